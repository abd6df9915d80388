/** Where requests of the services to the outside may go: what an operator has not allowed is not asked, by name or by address. */
import { isIP } from 'node:net'
import ipaddr from 'ipaddr.js'
import { AddressSet } from '../model/ip-rules.ts'

export interface OutgoingPolicy {
  /** Host names; empty: any. `*.example.com` stands for the names below. */
  readonly hosts: readonly string[]
  /** Addresses besides the public ones that may be connected to, whatever name stands for them. */
  readonly addresses: AddressSet
  /** Plain HTTP is fine on this machine: the development profile. */
  readonly plainOnLoopback: boolean
}

/** Where machines find their cloud's credentials: nothing that a namespace's settings may reach, by whatever name. */
const credentials = new AddressSet([{ address: 'fd00:ec2::254', family: 'ipv6', prefix: 128 }])

type Place = 'public' | 'loopback' | 'linkLocal' | 'private'

/** IANA's special-purpose ranges are private here: none of them is a host on the internet. */
function placeOf(address: string): Place {
  const parsed = ipaddr.process(address)
  const text = parsed.toString()
  if (credentials.has(text)) return 'linkLocal'
  switch (parsed.range()) {
    case 'unicast':
      return 'public'
    case 'loopback':
      return 'loopback'
    case 'linkLocal':
      return 'linkLocal'
    default:
      // A connection to the unspecified addresses, 0.0.0.0/8 and ::, ends on this machine too.
      return /^(0\.|::$)/.test(text) ? 'loopback' : 'private'
  }
}

function matchesHost(host: string, pattern: string): boolean {
  return pattern.startsWith('*.') ? host.endsWith(pattern.slice(1)) && host.length > pattern.length - 1 : host === pattern
}

/** The host of a URL as the policy names it. */
export const hostOf = (url: URL): string => url.hostname.replace(/^\[|\]$/g, '').toLowerCase()

/** Why a URL may not be asked; undefined when it may, as far as its text tells. */
export function whyForbidden(text: string, policy: OutgoingPolicy): string | undefined {
  if (!URL.canParse(text)) return 'it is no URL'
  const url = new URL(text)
  const host = hostOf(url)
  if (url.username !== '' || url.password !== '') return 'it must hold no user name or password'
  const isLocal = host === 'localhost' || (isIP(host) !== 0 && placeOf(host) === 'loopback')
  if (url.protocol !== 'https:' && !(url.protocol === 'http:' && isLocal && policy.plainOnLoopback)) return 'it must begin with https://'
  if (policy.hosts.length > 0 && !policy.hosts.some((pattern) => matchesHost(host, pattern))) return `the host ${host} is not among OUTGOING_HOSTS`
  return isIP(host) === 0 ? undefined : whyAddressForbidden(host, host, policy)
}

/**
 * Why an address that `host` stands for may not be connected to. A host that an operator names may be in a private network; on
 * this machine only when it is named in full, since whoever holds a zone decides what the names below stand for.
 */
export function whyAddressForbidden(address: string, host: string, { hosts, addresses, plainOnLoopback }: OutgoingPolicy): string | undefined {
  const place = placeOf(address)
  if (place === 'public') return undefined
  if (place === 'linkLocal') return 'its address is link-local'
  if (addresses.has(ipaddr.process(address).toString())) return undefined
  if (place === 'loopback') return plainOnLoopback || hosts.includes(host) ? undefined : 'its address is this machine’s own'
  return hosts.some((pattern) => matchesHost(host, pattern)) ? undefined : 'its address is private: OUTGOING_HOSTS or OUTGOING_ADDRESSES must allow it'
}
