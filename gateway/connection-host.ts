import type { Principal } from '../access/principal.ts'
import type { Refusal } from '../audit/refusals.ts'
import type { AckOutcome } from '../proto/frames.ts'
import type { Attachment } from './attachment.ts'
import type { Connection } from './connection.ts'
import type { CredentialJudge } from './credential-judge.ts'
import type { Ending } from './disconnection.ts'
import type { FailedConnects } from './failed-connects.ts'
import type { Flushes } from './flushes.ts'
import type { NamespaceAccess } from './namespace-access.ts'
import type { Client, Readiness } from './protocol.ts'
import type { PublishHost } from './publishing.ts'
import type { NamespaceRates } from './rates.ts'
import type { ConnectionReceipts } from './receipts.ts'
import type { SessionJournal } from './session-journal.ts'
import type { SubscribeHost } from './subscribing.ts'
import type { Takeovers } from './takeovers.ts'
import type { UnreadConnections } from './unread-connections.ts'

/** What a connection needs of its gateway. */
export interface ConnectionHost extends PublishHost, SubscribeHost {
  readonly access: NamespaceAccess
  readonly credentials: CredentialJudge
  readonly sessions: SessionJournal
  readonly rates: NamespaceRates
  readonly failedConnects: FailedConnects
  readonly takeovers: Takeovers
  readonly flushes: Flushes
  readonly unread: UnreadConnections
  /** By client id: connections whose CONNECT waits because of takeovers. */
  readonly waiting: Map<string, Connection>
  receiptsOf(clientId: string): ConnectionReceipts
  now(): number
  /** Bytes have come: before they are taken it is seen to that the process was not paused meanwhile. */
  lookForPause(): void
  readiness(isInternal: boolean): Readiness
  freshClientId(): string
  /** Appends Attached; null when no router speaks for the client's shard. `hasUserName`: the CONNECT, or who vouched, said whose session it is. */
  attach(connection: Connection, client: Client, principal: Principal, hasUserName: boolean): Attachment | null
  /** The connection is over; called once for every attachment. */
  detach(attachment: Attachment, ending: Ending): void
  /** A numbered message of the session is done. */
  acknowledge(attachment: Attachment, number: number, outcome: AckOutcome): void
  setDeadline(connection: Connection, atMs: number): void
  /** The transport is gone. */
  left(connection: Connection): void
  /** Something was refused: for auditors. */
  refused(connection: Connection, refusal: Omit<Refusal, 'remoteAddress' | 'transport'>): void
  report(connection: Connection, event: string, detail: Readonly<Record<string, unknown>>): void
}
