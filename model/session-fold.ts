/**
 * The fold of one `sessions` partition. Pure over records: same records, same sessions, on every router and at any past
 * position. What changed is returned, so that a router can act on it.
 */
import type { AnyRecord, Attached, Attachment, Detached, SessionEnded, Subscribed, Unsubscribed } from '../schemas/records.ts'
import { Session, type Subscription } from './session.ts'

export type SessionChange =
  /** The session has a new connection. `replaced` is the connection it was taken from. Follows `ended` when it put an end to an older session. */
  | {
      readonly kind: 'attached'
      readonly session: Session
      readonly record: Attached
      readonly attachment: Attachment
      readonly isPresent: boolean
      readonly replaced: Attachment | null
      /** The session's when this happened: the session itself moves on. */
      readonly sequence: number
    }
  /** Another identity holds the client id: the connection gets nothing (Event Grid SE-04). */
  | { readonly kind: 'refused'; readonly record: Attached; readonly holder: Session }
  | { readonly kind: 'detached'; readonly session: Session; readonly record: Detached; readonly from: Attachment; readonly sequence: number }
  | { readonly kind: 'subscribed'; readonly session: Session; readonly added: readonly Subscription[] }
  | { readonly kind: 'unsubscribed'; readonly session: Session; readonly removed: readonly Subscription[] }
  /** Follows `detached` when the session ends with its connection; else stands alone. */
  | {
      readonly kind: 'ended'
      readonly session: Session
      readonly reason: string
      readonly removed: readonly Subscription[]
      readonly from: Attachment | null
      readonly at: number
      readonly sequence: number
    }

/** What is over is forgotten after this long without a new connection, milliseconds of record time. */
const sequenceKeptMs = 7 * 24 * 3600 * 1000
/** Sessions that are over and remembered for their sequence, at most: the oldest are forgotten first. */
const overMax = 50_000

/** The sessions of one shard. */
export class SessionFold {
  readonly shard: number
  readonly sessions = new Map<string, Session>()
  /** Offset in `sessions` after the last applied record. */
  position = 0
  /** Of the shard's owner, as announced here: decisions of lower terms behind it are ignored. */
  term = -1
  /** Those that are over, in the order they ended. */
  readonly #over = new Map<string, Session>()

  constructor(shard: number) {
    this.shard = shard
  }

  /** Puts a session of a snapshot in; those that are over come in the order they ended. */
  restore(session: Session): void {
    this.sessions.set(session.clientId, session)
    if (session.isOver) this.#over.set(session.clientId, session)
  }

  /** Applies the record at `offset`. Records before `position` are known already and change nothing. */
  apply(offset: number, record: AnyRecord): readonly SessionChange[] {
    if (offset < this.position) return []
    this.position = offset + 1
    switch (record.name) {
      case 'Attached':
        this.#sweep(record.value.at)
        return this.#attached(offset, record.value)
      case 'Subscribed':
        return this.#subscribed(record.value)
      case 'Unsubscribed':
        return this.#unsubscribed(record.value)
      case 'Detached':
        return this.#detached(record.value)
      case 'SessionEnded':
        return this.#ended(record.value)
      case 'TermAnnounced':
        if (record.value.shard === this.shard) this.term = Math.max(this.term, record.value.term)
        return []
      default:
        return []
    }
  }

  #attached(offset: number, record: Attached): readonly SessionChange[] {
    const known = this.sessions.get(record.clientId)
    const isLive = known !== undefined && !known.isOver && record.at < known.expiresAt
    if (isLive && known.authenticationName !== record.authenticationName) return [{ kind: 'refused', record, holder: known }]
    // A session that ends with its connection is never gone on with, not even by a takeover [MQTT-3.1.2-6].
    const isPresent = isLive && !record.cleanStart && known.expiryInterval > 0
    const replaced = known?.attached ?? null
    const session = isPresent
      ? known
      : new Session({
          clientId: record.clientId,
          shard: this.shard,
          authenticationName: record.authenticationName,
          id: offset,
          sequence: known?.sequence ?? 0,
          expiryInterval: record.sessionExpiryInterval,
          attached: null,
          will: record.will,
          attributes: record.attributes,
        })
    const changes: SessionChange[] = []
    if (known && !known.isOver && !isPresent) {
      const reason = !isLive ? 'SessionExpiry' : record.cleanStart ? 'CleanStart' : 'TransientSession'
      const removed = [...known.subscriptions.values()]
      changes.push({ kind: 'ended', session: known, reason, removed, from: null, at: record.at, sequence: known.sequence })
      known.subscriptions = new Map()
      known.resetQueue()
      known.endedAt = record.at
    }
    this.#over.delete(record.clientId)
    session.epoch = offset
    session.sequence++
    session.expiryInterval = record.sessionExpiryInterval
    const attachment = attachmentOf(record)
    session.attached = attachment
    session.judgedAt = Math.max(session.judgedAt, record.registryPosition)
    session.detachedAt = null
    session.will = record.will
    session.attributes = record.attributes
    this.sessions.set(record.clientId, session)
    changes.push({ kind: 'attached', session, record, attachment, isPresent, replaced, sequence: session.sequence })
    return changes
  }

  #subscribed(record: Subscribed): readonly SessionChange[] {
    const session = this.#current(record.clientId, record.epoch)
    if (!session) return []
    session.judgedAt = Math.max(session.judgedAt, record.registryPosition)
    for (const subscription of record.subscriptions) session.subscriptions.set(subscription.filter, subscription)
    return [{ kind: 'subscribed', session, added: record.subscriptions }]
  }

  #unsubscribed(record: Unsubscribed): readonly SessionChange[] {
    const session = this.#current(record.clientId, record.epoch)
    if (!session) return []
    const removed: Subscription[] = []
    for (const filter of record.filters) {
      const subscription = session.subscriptions.get(filter)
      if (!subscription) continue
      session.subscriptions.delete(filter)
      removed.push(subscription)
    }
    return [{ kind: 'unsubscribed', session, removed }]
  }

  #detached(record: Detached): readonly SessionChange[] {
    const session = this.#current(record.clientId, record.epoch)
    const from = session?.attached
    if (!session || !from) return []
    session.attached = null
    session.detachedAt = record.at
    if (record.sessionExpiryInterval !== null) session.expiryInterval = record.sessionExpiryInterval
    const detached: SessionChange = { kind: 'detached', session, record, from, sequence: session.sequence }
    return session.expiryInterval > 0 ? [detached] : [detached, this.#end(session, record.at, 'TransientSession')]
  }

  #ended(record: SessionEnded): readonly SessionChange[] {
    if (record.term < this.term) return []
    const session = this.#current(record.clientId, record.epoch)
    if (!session || session.id !== record.session) return []
    // An expiry is decided about a session without a connection; the other reasons end a connected one too.
    if (record.reason === 'SessionExpiry' && session.attached) return []
    return [this.#end(session, record.at, record.reason)]
  }

  #end(session: Session, at: number, reason: string): SessionChange {
    const removed = [...session.subscriptions.values()]
    const from = session.attached
    session.subscriptions = new Map()
    session.resetQueue()
    session.attached = null
    session.will = null
    session.endedAt = at
    // Last in both, so that a snapshot tells the order too.
    this.sessions.delete(session.clientId)
    this.sessions.set(session.clientId, session)
    this.#over.set(session.clientId, session)
    return { kind: 'ended', session, reason, removed, from, at, sequence: session.sequence }
  }

  /** The live session whose current attach is `epoch`: what an older connection says is ignored. */
  #current(clientId: string, epoch: number): Session | undefined {
    const session = this.sessions.get(clientId)
    return session && !session.isOver && session.epoch === epoch ? session : undefined
  }

  /** Forgets sessions that were over long ago, or too many, by the records alone so that every fold forgets the same. */
  #sweep(now: number): void {
    for (const [clientId, { endedAt }] of this.#over) {
      if (this.#over.size <= overMax && now - (endedAt ?? now) <= sequenceKeptMs) return
      this.#over.delete(clientId)
      this.sessions.delete(clientId)
    }
  }
}

function attachmentOf(record: Attached): Attachment {
  return {
    gateway: record.gateway,
    connection: record.connection,
    connectionId: record.connectionId,
    receiveMaximum: record.receiveMaximum,
    maximumPacketSize: record.maximumPacketSize,
    keepAlive: record.keepAlive,
    protocolVersion: record.protocolVersion,
    remoteAddress: record.remoteAddress,
    transport: record.transport,
    at: record.at,
  }
}
