/** The key or token of a request. */
import type { IncomingHttpHeaders } from 'node:http'
import { isTooOpen, type Origin } from '../access/request-origin.ts'
import { Problem } from './problem.ts'

const bearer = /^Bearer +([^\s]+) *$/i

/** The key or token that a request brings. Throws Problem unless it came by a way that may be used. */
export function readBearer(headers: IncomingHttpHeaders, origin: Origin, isProduction: boolean): string {
  if (isTooOpen(origin, isProduction)) throw new Problem(403, 'a key is not taken over plain HTTP from anywhere but loopback; use HTTPS')
  const given = bearer.exec(headers.authorization ?? '')?.[1]
  if (given !== undefined) return given
  throw new Problem(401, 'the header “Authorization: Bearer <key>” is missing; the owner’s key stands in the file api-key of the data folder')
}
