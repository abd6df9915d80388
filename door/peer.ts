import { BlockList, isIPv6 } from 'node:net'

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

/** What the front door knows of who asks. */
export interface Peer {
  /** As the socket gives it; undefined once it is gone. */
  readonly address: string | undefined
  readonly encrypted: boolean
}

/** True for 127.0.0.0/8, ::1 and the same mapped into IPv6. */
export function isLoopback(address: string | undefined): boolean {
  return address !== undefined && loopback.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')
}

/** Why a key may not come this way, or null. A key that has crossed a network in the clear is anyone's. */
export function refuseKey(peer: Peer, production: boolean, authorization: string | undefined): string | null {
  if (!production || authorization === undefined || peer.encrypted || isLoopback(peer.address)) return null
  return 'no bearer key is taken over plain HTTP from another machine: use HTTPS (HTTPS_PORT), or ask from this machine; replace the key that was just sent in the clear'
}
