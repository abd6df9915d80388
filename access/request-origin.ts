/** Where an HTTP request comes from, and whether a key may have come that way. */
import type { IncomingHttpHeaders } from 'node:http'
import { BlockList, isIP } from 'node:net'

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

/** Networks in which the front door may stand. */
const internal = new BlockList()
for (const [net, prefix] of [
  ['127.0.0.0', 8],
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['169.254.0.0', 16],
] as const)
  internal.addSubnet(net, prefix, 'ipv4')
internal.addAddress('::1', 'ipv6')
internal.addSubnet('fc00::', 7, 'ipv6')
internal.addSubnet('fe80::', 10, 'ipv6')

function isIn(list: BlockList, address: string): boolean {
  const plain = address.startsWith('::ffff:') && isIP(address.slice(7)) === 4 ? address.slice(7) : address
  const version = isIP(plain)
  return version !== 0 && list.check(plain, version === 4 ? 'ipv4' : 'ipv6')
}

export interface Origin {
  readonly address: string
  readonly isEncrypted: boolean
}

/** Where a request comes from. The front door's word counts only from an internal address; the last hop it names is the one it saw. */
export function originOf(remoteAddress: string, headers: IncomingHttpHeaders): Origin {
  const forwardedFor = headers['x-forwarded-for']
  if (forwardedFor === undefined || !isIn(internal, remoteAddress)) return { address: remoteAddress, isEncrypted: false }
  const last = String(forwardedFor).split(',').at(-1)!.trim()
  return { address: last, isEncrypted: headers['x-forwarded-proto'] === 'https' }
}

/** In production no key is taken that travelled in the clear. */
export function isTooOpen(origin: Origin, isProduction: boolean): boolean {
  return isProduction && !origin.isEncrypted && !isIn(loopback, origin.address)
}
