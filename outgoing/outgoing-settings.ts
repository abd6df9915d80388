/** Settings of every service that sends requests to the outside. */
import { readFileSync } from 'node:fs'
import { type AddressRange, AddressSet, parseRange } from '../model/ip-rules.ts'
import { listed, SettingError, type Settings, type Values } from '../settings/setting.ts'
import type { OutgoingPolicy } from './outgoing-policy.ts'

export const outgoingSettings = {
  OUTGOING_HOSTS: {
    kind: 'text',
    default: '',
    about:
      'Hosts that may be asked for issuers’ keys and as webhooks, separated by commas; *.example.com for those below; empty: any with a public address, over HTTPS',
  },
  OUTGOING_ADDRESSES: {
    kind: 'text',
    default: '',
    about:
      'Addresses or ranges (CIDR) that those hosts may have besides public ones, separated by commas. A host that OUTGOING_HOSTS names may have a private one; link-local ones are never asked',
  },
  OUTGOING_CA: { kind: 'text', default: '', about: 'PEM file with the authorities that sign those hosts’ certificates; empty: the public ones' },
} as const satisfies Settings

function rangeOf(text: string): AddressRange {
  const range = parseRange(text)
  if (!range) throw new SettingError('OUTGOING_ADDRESSES', `“${text}” is neither an address nor a range such as 10.0.0.0/8 or fd00::/8`)
  return range
}

/** Throws SettingError. */
export function readOutgoingPolicy(
  values: Pick<Values<typeof outgoingSettings>, 'OUTGOING_HOSTS' | 'OUTGOING_ADDRESSES'>,
  profile: 'development' | 'production',
): OutgoingPolicy {
  return {
    hosts: listed(values.OUTGOING_HOSTS.toLowerCase()),
    addresses: new AddressSet(listed(values.OUTGOING_ADDRESSES).map(rangeOf)),
    plainOnLoopback: profile === 'development',
  }
}

/** What OUTGOING_CA holds; undefined for the public authorities. Throws SettingError. */
export function readAuthorities(file: string): string | undefined {
  if (file === '') return undefined
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new SettingError('OUTGOING_CA', `cannot read the file “${file}”: ${(error as Error).message}`)
  }
}
