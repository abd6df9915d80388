/**
 * The fold of one `sessions` partition. Pure over records: same records, same sessions, on every router and at any past
 * position. What changed is returned, so that a router can act on it.
 */
import { parseShared } from '../mqtt/topic.ts'
import type { AnyRecord } from '../schemas/records.ts'
import type {
  Attached,
  Detached,
  Reauthenticated,
  Released,
  SessionEnded,
  Subscribed,
  SubscriptionRequest,
  Unsubscribed,
  WillDue,
  WillFired,
} from '../schemas/session-records.ts'
import type { Attachment, PendingWill } from '../schemas/snapshot-records.ts'
import { PacketUses } from './packet-uses.ts'
import { afterDue, afterEnd, afterReattach, without, withWillOf } from './pending-wills.ts'
import { noWills, quotaExceeded, Session, type Subscription } from './session.ts'
import type { SessionQueue } from './session-queue.ts'

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
  /** `retained`: those of `added` that are owed what is retained. */
  | { readonly kind: 'subscribed'; readonly session: Session; readonly added: readonly Subscription[]; readonly retained: readonly Subscription[] }
  | { readonly kind: 'unsubscribed'; readonly session: Session; readonly removed: readonly Subscription[] }
  /** A QoS 2 publish of the session is over: its packet id is free, and `use` was the number of this use. */
  | { readonly kind: 'released'; readonly session: Session; readonly packetId: number; readonly use: number }
  /** The session's attributes are not what they were. */
  | { readonly kind: 'reauthenticated'; readonly session: Session }
  /** Follows `detached` when the session ends with its connection; else stands alone. */
  | {
      readonly kind: 'ended'
      readonly session: Session
      readonly reason: string
      readonly removed: readonly Subscription[]
      /** What it was owed, as far as the inbox had been folded. */
      readonly queue: SessionQueue
      readonly from: Attachment | null
      readonly at: number
      readonly sequence: number
    }
  /** `session.wills` is not what it was. Follows what made it so. */
  | { readonly kind: 'wills'; readonly session: Session }

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
  /** Those that are not, by the offset of the attach that began them. */
  readonly #live = new Map<number, Session>()

  constructor(shard: number) {
    this.shard = shard
  }

  /** Puts a session of a snapshot in; those that are over come in the order they ended. */
  restore(session: Session): void {
    this.sessions.set(session.clientId, session)
    if (session.isOver) this.#over.set(session.clientId, session)
    else this.#live.set(session.id, session)
  }

  /** The session that the attach at `id` began; undefined when it is over, or was never. */
  live(id: number): Session | undefined {
    return this.#live.get(id)
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
        return this.#subscribed(offset, record.value)
      case 'Unsubscribed':
        return this.#unsubscribed(record.value)
      case 'Reauthenticated':
        return this.#reauthenticated(record.value)
      case 'Released':
        return this.#released(record.value)
      case 'Detached':
        return this.#detached(record.value)
      case 'SessionEnded':
        return this.#ended(record.value)
      case 'WillDue':
        return this.#willDue(record.value)
      case 'WillFired':
        return this.#willFired(record.value)
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
    if (isLive && !isOwner(known, record)) return [{ kind: 'refused', record, holder: known }]
    // A session that ends with its connection is never gone on with, not even by a takeover [MQTT-3.1.2-6].
    const isPresent = isLive && !record.cleanStart && known.expiryInterval > 0
    const replaced = known?.attached ?? null
    const wills = known ? willsAfterAttach(known, record.at, isPresent) : noWills
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
          vouchedBy: record.vouchedBy,
          ownerKind: record.ownerKind,
        })
    const changes: SessionChange[] = []
    if (known && !known.isOver && !isPresent) {
      const reason = !isLive ? 'SessionExpiry' : record.cleanStart ? 'CleanStart' : 'TransientSession'
      const removed = [...known.subscriptions.values()]
      changes.push({ kind: 'ended', session: known, reason, removed, queue: known.queue, from: null, at: record.at, sequence: known.sequence })
      known.subscriptions = new Map()
      known.resetQueue()
      known.uses = null
      known.endedAt = record.at
      this.#live.delete(known.id)
    }
    this.#over.delete(record.clientId)
    this.#live.set(session.id, session)
    session.epoch = offset
    session.sequence++
    session.expiryInterval = record.sessionExpiryInterval
    const attachment = attachmentOf(record)
    session.attached = attachment
    session.judgedAt = Math.max(session.judgedAt, record.registryPosition)
    session.detachedAt = null
    session.will = record.will
    session.attributes = record.attributes
    if (!isPresent) session.sessionsMax = record.sessionsMax
    session.vouchedBy = record.vouchedBy
    if (record.ownerKind !== '') session.ownerKind = record.ownerKind
    this.sessions.set(record.clientId, session)
    changes.push({ kind: 'attached', session, record, attachment, isPresent, replaced, sequence: session.sequence })
    const hadWills = (known?.wills.length ?? 0) > 0
    session.wills = wills
    if (hadWills || wills.length > 0) changes.push({ kind: 'wills', session })
    return changes
  }

  #subscribed(offset: number, record: Subscribed): readonly SessionChange[] {
    const session = this.#current(record.clientId, record.epoch)
    if (!session) return []
    session.judgedAt = Math.max(session.judgedAt, record.registryPosition)
    const added: Subscription[] = []
    const retained: Subscription[] = []
    for (const request of record.subscriptions) {
      const before = session.subscriptions.get(request.filter)
      const isOwed = isOwedRetained(request, before !== undefined)
      // An earlier request that is not served yet stays owed, whatever this one asks.
      const subscription: Subscription = isOwed
        ? { ...request, epoch: record.epoch, retainedAt: offset, retainedSince: record.at }
        : {
            ...request,
            epoch: record.epoch,
            retainedAt: before?.retainedAt ?? null,
            retainedSince: before?.retainedSince ?? null,
            replayAt: request.replay ? offset : null,
          }
      session.subscriptions.set(request.filter, subscription)
      added.push(subscription)
      if (isOwed) retained.push(subscription)
    }
    return [{ kind: 'subscribed', session, added, retained }]
  }

  #unsubscribed(record: Unsubscribed): readonly SessionChange[] {
    const session = record.withdraws ? this.sessions.get(record.clientId) : this.#current(record.clientId, record.epoch)
    if (!session || session.isOver) return []
    const removed: Subscription[] = []
    for (const filter of record.filters) {
      const subscription = session.subscriptions.get(filter)
      // A later connection may have asked for the same, and was told that it has it.
      if (!subscription || (record.withdraws && subscription.epoch !== record.epoch)) continue
      session.subscriptions.delete(filter)
      removed.push(subscription)
    }
    return removed.length === 0 && record.withdraws ? [] : [{ kind: 'unsubscribed', session, removed }]
  }

  /**
   * One of an older connection is ignored like all it says: its client never saw the PUBCOMP and sends PUBREL again. Two for
   * one use do no harm: the client uses the packet id again only after PUBCOMP, when both are folded.
   */
  #reauthenticated(record: Reauthenticated): readonly SessionChange[] {
    const session = this.#current(record.clientId, record.epoch)
    if (!session) return []
    session.judgedAt = Math.max(session.judgedAt, record.registryPosition)
    session.attributes = record.attributes
    return [{ kind: 'reauthenticated', session }]
  }

  #released(record: Released): readonly SessionChange[] {
    const session = this.#current(record.clientId, record.epoch)
    if (!session) return []
    session.uses ??= new PacketUses()
    const use = session.uses.of(record.packetId)
    session.uses.release(record.packetId)
    return [{ kind: 'released', session, packetId: record.packetId, use }]
  }

  #detached(record: Detached): readonly SessionChange[] {
    const session = this.#current(record.clientId, record.epoch)
    const from = session?.attached
    if (!session || !from) return []
    session.attached = null
    session.detachedAt = record.at
    if (record.sessionExpiryInterval !== null) session.expiryInterval = record.sessionExpiryInterval
    const { will } = session
    session.will = null
    if (record.keepWill) session.wills = withWillOf(session, from, will, record.at) // else the client took it back [MQTT-3.1.2-10]
    const detached: SessionChange = { kind: 'detached', session, record, from, sequence: session.sequence }
    const changes: SessionChange[] = session.expiryInterval > 0 ? [detached] : [detached, this.#end(session, record.at, 'TransientSession')]
    if (session.wills.length > 0) changes.push({ kind: 'wills', session })
    return changes
  }

  #ended(record: SessionEnded): readonly SessionChange[] {
    if (record.term < this.term) return []
    const session = this.#current(record.clientId, record.epoch)
    if (!session || session.id !== record.session) return []
    // An expiry is decided about a session without a connection; the other reasons end a connected one too.
    if (record.reason === 'SessionExpiry' && session.attached) return []
    const ended = this.#end(session, record.at, record.reason)
    return session.wills.length > 0 ? [ended, { kind: 'wills', session }] : [ended]
  }

  #willDue(record: WillDue): readonly SessionChange[] {
    if (record.term < this.term) return []
    const session = this.sessions.get(record.clientId)
    if (!session) return []
    return this.#changeWills(session, afterDue(session.wills, record.epoch))
  }

  /** Whoever wrote it: the message is in the log before this. */
  #willFired(record: WillFired): readonly SessionChange[] {
    const session = this.sessions.get(record.clientId)
    if (!session) return []
    return this.#changeWills(session, without(session.wills, record.epoch))
  }

  #changeWills(session: Session, wills: readonly PendingWill[]): readonly SessionChange[] {
    if (wills === session.wills) return []
    session.wills = wills
    return [{ kind: 'wills', session }]
  }

  #end(session: Session, at: number, reason: string): SessionChange {
    const removed = [...session.subscriptions.values()]
    const { attached: from, queue } = session
    session.subscriptions = new Map()
    session.resetQueue()
    // The server ends a connection that stands: its will is sent with the session's end, unless its CONNECT was never accepted [MQTT-3.1.2-7].
    const hasWill = from !== null && reason !== quotaExceeded
    session.wills = afterEnd(hasWill ? withWillOf(session, from, session.will, at) : session.wills, at)
    session.attached = null
    session.will = null
    session.uses = null
    session.endedAt = at
    this.#live.delete(session.id)
    // Last in both, so that a snapshot tells the order too.
    this.sessions.delete(session.clientId)
    this.sessions.set(session.clientId, session)
    this.#over.set(session.clientId, session)
    return { kind: 'ended', session, reason, removed, queue, from, at, sequence: session.sequence }
  }

  /** The live session whose current attach is `epoch`: what an older connection says is ignored. */
  #current(clientId: string, epoch: number): Session | undefined {
    const session = this.sessions.get(clientId)
    return session && !session.isOver && session.epoch === epoch ? session : undefined
  }

  /** Forgets sessions that were over long ago, or too many, by the records alone so that every fold forgets the same. */
  #sweep(now: number): void {
    for (const [clientId, { endedAt, wills }] of this.#over) {
      if (this.#over.size <= overMax && now - (endedAt ?? now) <= sequenceKeptMs) return
      if (wills.length > 0) continue
      this.#over.delete(clientId)
      this.sessions.delete(clientId)
    }
  }
}

/**
 * Event Grid SE-04: a session is its owner's alone. A name that was proved is one owner, whether by the registry, a token or the
 * webhook: the namespace trusts them all with it. Who merely says it is another. Where a record does not tell, the name decides.
 */
function isOwner(session: Session, record: Attached): boolean {
  if (session.authenticationName !== record.authenticationName) return false
  const before = session.ownerKind || session.vouchedBy
  const now = record.ownerKind || record.vouchedBy
  return before === '' || now === '' || (before === 'anonymous') === (now === 'anonymous')
}

/** Section 3.8.3.1: retain handling 1 only brings what is retained when the subscription did not exist; shared ones are never sent any, and a replay brings what was published. */
function isOwedRetained({ filter, retainHandling, replay }: SubscriptionRequest, existed: boolean): boolean {
  if (replay) return false
  if (retainHandling === 2 || (retainHandling === 1 && existed)) return false // [MQTT-3.3.1-10], [MQTT-3.3.1-11]
  return parseShared(filter) === null
}

/** The will of the connection that is replaced, and those that waited for their delay. */
function willsAfterAttach(known: Session, at: number, isPresent: boolean): readonly PendingWill[] {
  const wills = known.attached ? withWillOf(known, known.attached, known.will, at) : known.wills
  return isPresent ? afterReattach(wills, at) : afterEnd(wills, at)
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
