import type { Credentials } from '../access/authenticate.ts'
import type { Principal } from '../access/principal.ts'
import type { Attachment } from './attachment.ts'
import type { Client } from './protocol.ts'

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
