import type { Credentials } from '../access/authenticate.ts'
import type { Principal } from '../access/principal.ts'
import type { Attachment } from './attachment.ts'
import type { Client } from './protocol.ts'

/** The router's answer to an Attached record. */
export interface AttachAnswer {
  readonly reasonCode: number
  readonly session: number
  readonly epoch: number
  readonly sessionPresent: boolean
  /** Of the session's packet ids (model/packet-uses.ts). */
  readonly uses: Buffer
  /** What the session is subscribed to; only how many filters when they are too much to tell. */
  readonly filters: readonly string[] | number
}

/** A session as the connection holds it from its Attached record on. */
export interface AttachedSession {
  readonly client: Client
  credentials: Credentials
  readonly attachment: Attachment
  principal: Principal
  /** Milliseconds since the epoch: judge the credentials anew then. */
  expiresAt: number
  /** Of the rules that its subscriptions were judged by last. */
  rulesPosition: number
}
