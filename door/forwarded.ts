import type { IncomingHttpHeaders } from 'node:http'
import type { Peer } from './peer.ts'

/** RFC 9110, 7.6.1: headers that speak of one connection only. Trailers are not forwarded. */
const hopByHop: ReadonlySet<string> = new Set([
  'connection',
  'proxy-connection',
  'keep-alive',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'proxy-authenticate',
  'proxy-authorization',
])

/** What a client could use to pass for another: the services behind believe these. */
const claims = /^(forwarded|x-forwarded-.*|x-real-ip|x-client-ip|true-client-ip|via)$/

/** Headers that the Connection header declares to be hop-by-hop may never be these: that would take them from the service behind. */
const kept: ReadonlySet<string> = new Set(['authorization', 'host', 'content-length', 'content-type'])

function named(connection: string | undefined): Set<string> {
  return new Set((connection ?? '').split(',').map((name) => name.trim().toLowerCase()))
}

/** The headers for the service behind: without what concerns this connection alone or claims another origin, with the true origin. */
export function forwardedHeaders(headers: IncomingHttpHeaders, peer: Peer): IncomingHttpHeaders {
  const dropped = named(headers.connection)
  const forwarded: IncomingHttpHeaders = {}
  for (const [name, value] of Object.entries(headers)) {
    // A body of unknown length stays chunked on the next connection too.
    const chunked = name === 'transfer-encoding'
    if (claims.test(name) || name === 'expect' || (hopByHop.has(name) && !chunked) || (dropped.has(name) && !kept.has(name) && !chunked)) continue
    forwarded[name] = value
  }
  if (peer.address !== undefined) forwarded['x-forwarded-for'] = peer.address
  forwarded['x-forwarded-proto'] = peer.encrypted ? 'https' : 'http'
  if (headers.host !== undefined) forwarded['x-forwarded-host'] = headers.host
  return forwarded
}

/** The headers of an answer, likewise. */
export function returnedHeaders(headers: IncomingHttpHeaders): IncomingHttpHeaders {
  const dropped = named(headers.connection)
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !hopByHop.has(name) && !dropped.has(name)))
}
