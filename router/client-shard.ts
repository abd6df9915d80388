/**
 * The owner of the clients of a shard: answers attaches, ends what was taken over, has persistent sessions sent what they are
 * owed (owed-sender.ts), keeps their progress in the inbox, and decides expiry, overflow and revocation — each decision a record first.
 */
import type { Appender, Log } from '../log/log.ts'
import type { Over } from '../model/inbox-fold.ts'
import type { QueueLimitsInForce } from '../model/queue-limits.ts'
import { quotaExceeded as overQuota, type Session, type Subscription } from '../model/session.ts'
import type { SessionChange, SessionFold } from '../model/session-fold.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'
import { type Ack, AckOutcome, type LiveSession } from '../proto/frames.ts'
import { encodeRecord } from '../schemas/codec.ts'
import type { GatewayIncarnation } from '../schemas/gateway-up.ts'
import type { RecordName, Records } from '../schemas/records.ts'
import type { Attachment } from '../schemas/snapshot-records.ts'
import type { ClientSession } from './client-session.ts'
import { ConnectionNotices } from './connection-notices.ts'
import type { Gateway } from './gateway.ts'
import type { Gateways } from './gateways.ts'
import { NameQuota, type NameQuotaOptions } from './name-quota.ts'
import { OwedSender, type Releases } from './owed-sender.ts'
import type { Payloads } from './payloads.ts'
import { ProgressJournal } from './progress-journal.ts'
import { QueueBounds } from './queue-bounds.ts'
import { SecondWheel } from './second-wheel.ts'
import { SessionConnections } from './session-connections.ts'
import type { SessionJudge } from './session-judge.ts'
import { type AnotherMember, SharedHandover } from './shared-handover.ts'
import type { SharedRoom } from './shared-room.ts'
import { WillPublisher } from './will-publisher.ts'

export interface ClientShardLimits {
  /** Bytes on their way to one gateway above which nothing more is sent to it. */
  readonly gatewayBytesMax: number
  /** As ProgressJournalOptions' `unreadMax`. */
  readonly receiptsUnreadMax: number
}

export interface ClientShardCounters {
  delivered(count: number): void
  dropped(reason: string, count: number): void
  sessionEnded(reason: string): void
  willFired(outcome: 'published' | 'unauthorized'): void
  reassigned(count: number): void
  limitReached(limit: 'RECEIPTS_UNREAD_MAX'): void
}

export interface ClientShardOptions {
  readonly shard: number
  readonly term: number
  readonly fold: SessionFold
  readonly gateways: Gateways
  readonly payloads: Pick<Payloads, 'get'>
  readonly appender: Appender
  readonly log: Log
  readonly partitions: number
  readonly topics: { readonly sessions: string; readonly inbox: string; readonly messages: string }
  readonly limits: ClientShardLimits
  readonly counters: ClientShardCounters
  readonly now: () => number
  readonly quota: Pick<NameQuotaOptions, 'ofName' | 'catchUp'>
  judge(): SessionJudge
  queueLimits(): QueueLimitsInForce
  /** Offset in `sessions` of a shard that this router has applied. */
  sessionsPosition(shard: number): number
  /** Another member for what a session leaves of a shared subscription. */
  readonly anotherMember: AnotherMember
  /** What members of them may be given. */
  readonly room: SharedRoom
  /** A member of some has acknowledged what it was owed. */
  onRoom(session: Session): void
  /** An append was refused: this router must let go of the shard. */
  onRefused(error: Error): void
}

/** An owner that lost the shard without hearing of it is not thought to go on for longer, ms. */
const staleMs = 15_000
/** Most that one connection can have been sent above its cursor: packet ids end there. */
const windowMax = 65_535

export class ClientShard {
  readonly shard: number
  readonly term: number
  readonly #options: ClientShardOptions
  readonly #connections: SessionConnections
  readonly #notices: ConnectionNotices
  /** Sessions whose gateway has not told this owner of their connection: another may have sent to it, or still does. */
  readonly #uncertain = new Set<Session>()
  /** Sessions that an owner before this one may still be sending to on a connection that this one never hears of. */
  readonly #doubtful = new Set<Session>()
  readonly #takenAt: number
  /** Sessions whose queue may hold, below this number, what their client may no longer read. */
  readonly #rejudged = new WeakMap<Session, number>()
  /** Sessions without a connection that wait for their expiry. */
  readonly #expiring = new SecondWheel()
  readonly #ending = new WeakSet<Session>()
  readonly #progress: ProgressJournal<Releases>
  readonly #bounds: QueueBounds
  readonly #handover: SharedHandover
  readonly #sender: OwedSender
  readonly #wills: WillPublisher
  readonly #quota: NameQuota
  #isClosed = false

  constructor(options: ClientShardOptions) {
    this.#options = options
    const { shard, term, log, appender, topics, partitions, now, onRefused } = options
    this.#wills = new WillPublisher({
      shard,
      term,
      log,
      appender,
      topics,
      partitions,
      now,
      mayPublish: (clientId, { authenticationName, will }) => {
        const judge = options.judge()
        const session = options.fold.sessions.get(clientId)
        // Who took the client id over since lends it nothing.
        const principal = judge.principalOf(session?.authenticationName === authenticationName ? session : { authenticationName })
        return principal !== undefined && judge.mayPublish(principal, will.topic)
      },
      onFired: (outcome) => options.counters.willFired(outcome),
      onRefused,
    })
    this.#quota = new NameQuota({
      ...options.quota,
      now,
      onAdmitted: (session) => {
        if (session.attached) this.#notices.accept(session, session.attached)
      },
      onRefused: (session) => this.#end(session, overQuota),
      onFailed: (error) => {
        if (!this.#isClosed) onRefused(error)
      },
    })
    this.shard = options.shard
    this.term = options.term
    this.#takenAt = options.now()
    this.#notices = new ConnectionNotices(options)
    this.#connections = new SessionConnections({ shard, gateways: options.gateways, onSettled: (client) => this.#sender.want(client) })
    this.#sender = new OwedSender({
      ...options,
      connections: this.#connections,
      gatewayBytesMax: options.limits.gatewayBytesMax,
      rejudgedBelow: (session) => this.#rejudged.get(session) ?? 0,
      giveUp: (client, number, reason) => this.#giveUp(client, number, reason),
    })
    this.#progress = new ProgressJournal({
      ...options,
      topic: topics.inbox,
      unreadMax: options.limits.receiptsUnreadMax,
      onUnreadMax: () => options.counters.limitReached('RECEIPTS_UNREAD_MAX'),
      takeUnreleased: (session) => {
        const client = this.#connections.of(session)
        return client?.hasUnreleased ? { client, numbers: client.takeUnreleased() } : null
      },
      onReleasable: (releases) => this.#sender.release(releases),
      // The journal says that the client has received them.
      onReceivedStand: (session) => {
        const client = this.#connections.of(session)
        if (client) this.#sender.want(client)
      },
    })
    this.#bounds = new QueueBounds({
      limits: options.queueLimits,
      now,
      underWay: (session) => this.#underWay(session),
      onDropped: (session, numbers, reason) => this.#drop(session, numbers, reason),
      onOverflow: (session) => this.#end(session, 'SessionOverflow'),
    })
    this.#handover = new SharedHandover({ ...options, onSettled: (session) => this.#progress.note(session) })
    for (const session of options.fold.sessions.values()) {
      if (session.isOver) continue
      if (session.queue.length > 0) this.#rejudged.set(session, session.queue.next)
      if (session.attached) {
        this.#uncertain.add(session)
        // On the session's first connection all that was sent will be told.
        if (session.id !== session.epoch) this.#suspect(session)
        this.#connect(session, session.attached)
        if (options.gateways.isSuperseded(session.attached.gateway)) this.#detachLost(session, session.attached)
      } else {
        this.#doubtful.add(session)
        this.#suspect(session)
        this.#awaitExpiry(session)
        this.#handover.leave(session)
      }
    }
    this.rejudge()
    this.limitsChanged()
    this.#wills.recover(options.fold.sessions.values())
  }

  /** Messages of shared subscriptions are on their way from one member to another. */
  get isGivingOn(): boolean {
    return this.#handover.isBusy
  }

  /** What members that are over did not acknowledge goes to others. */
  giveOn(orphans: readonly Over[]): void {
    if (!this.#isClosed) for (const each of orphans) this.#handover.inherit(each)
  }

  /** A member of the shared subscription has a connection, and was granted QoS 1 or more: it may be given what absent ones hold. */
  memberCame(filter: string): void {
    if (!this.#isClosed) this.#handover.memberCame(filter)
  }

  /** Sessions with a connection. */
  get attachedCount(): number {
    return this.#connections.size
  }

  /** What the fold of `sessions` says has changed. */
  changed(change: SessionChange): void {
    if (this.#isClosed) return
    switch (change.kind) {
      case 'attached': {
        const { session, record, replaced, attachment } = change
        if (replaced) {
          this.#disconnect(record.clientId, replaced)
          this.#notices.close(replaced, ReasonCode.SessionTakenOver, 'SessionTakenOver')
        }
        this.#settleUncertain(session)
        // What was decided about its end meant the connection before.
        this.#ending.delete(session)
        // Told late, when the session has moved on already: what comes next says how.
        if (session.attached !== attachment) return
        // A gateway that knows this owner listens to no other.
        if (this.#options.gateways.get(attachment.gateway)?.isReady(this.shard)) this.#doubtful.delete(session)
        else this.#uncertain.add(session)
        this.#connect(session, attachment)
        this.#handover.forget(session)
        this.#admit(session, attachment)
        // What was revoked of the connection before may have come too late for it.
        if (change.isPresent) this.#judge(session, [...session.subscriptions.values()])
        // Its gateway was lost before the log had this: nobody else will ever end it.
        if (this.#options.gateways.isSuperseded(attachment.gateway)) this.#detachLost(session, attachment)
        return
      }
      case 'refused':
        this.#notices.refuse(change.record, ReasonCode.NotAuthorized)
        return
      case 'detached':
        this.#disconnect(change.session.clientId, change.from)
        this.#settleUncertain(change.session)
        // What a router said about a lost gateway must reach the connection, should it live after all.
        if (change.record.by === 'router') this.#notices.close(change.from, change.record.reasonCode, change.record.reason)
        this.#awaitExpiry(change.session)
        this.#handover.leave(change.session)
        this.#bounds.check(change.session)
        return
      case 'ended':
        if (change.from) {
          this.#disconnect(change.session.clientId, change.from)
          const [code, reason] = closingOf(change.reason)
          if (change.reason === overQuota) this.#notices.refuse(change.from, ReasonCode.QuotaExceeded)
          else this.#notices.close(change.from, code, reason)
        }
        this.#quota.forget(change.session)
        if (this.#progress.forget(change.session) && change.queue.wasShared) this.#handover.settle(change.session, change.queue)
        this.#handover.forget(change.session)
        this.#uncertain.delete(change.session)
        this.#doubtful.delete(change.session)
        this.#options.counters.sessionEnded(change.reason)
        return
      case 'subscribed':
        this.#judge(change.session, change.added)
        return
      case 'reauthenticated':
        this.#rejudgeWhole(change.session)
        return
      case 'unsubscribed':
        return
      case 'wills':
        this.#wills.changed(change.session)
        return
    }
  }

  /** The shard's inbox was read up to the position, and no other owner's term stands there. */
  inboxRead(position: number): void {
    this.#progress.read(position)
  }

  /** Queues grew or moved. */
  touched(sessions: readonly Session[]): void {
    for (const session of sessions) {
      this.#bounds.check(session)
      if (this.#doubtful.has(session)) this.#suspect(session)
      this.#handover.moved(session)
      const client = this.#connections.of(session)
      if (!client) {
        this.#handover.grew(session)
        continue
      }
      if (client.settle().length > 0 || client.hasUnreleased) this.#progress.note(session)
      this.#sender.want(client)
    }
  }

  /** A gateway told which of the shard's connections live there. */
  shardState(gateway: Gateway, live: readonly LiveSession[]): void {
    const here = this.#connections.at(gateway.identity.incarnation)
    const told = new Set<number>()
    for (const { connection, session, sent, unacknowledged, received } of live) {
      told.add(connection)
      const client = here.get(connection)
      if (!client || client.session.id !== session) {
        // A newer epoch holds the session, or it is over: the gateway missed that.
        gateway.endConnection({
          kind: 'close',
          shard: this.shard,
          term: this.term,
          connection,
          reasonCode: ReasonCode.SessionTakenOver,
          reason: 'SessionTakenOver',
        })
        continue
      }
      const finished = client.resume(Math.max(sent, 0), unacknowledged, received)
      this.#know(client.session)
      if (finished.length > 0 || sent > 0 || client.hasUnreleased) this.#progress.note(client.session)
      this.#sender.want(client)
    }
    for (const [connection, client] of here) {
      // Not confirmed yet: the gateway still waits for the answer, or does not know the connection and ignores it.
      if (told.has(connection) || !client.session.attached) continue
      this.#know(client.session)
      client.restart()
      this.#admit(client.session, client.session.attached)
      this.#sender.want(client)
    }
  }

  acknowledged(gateway: Gateway, acks: readonly Ack[]): void {
    const { incarnation } = gateway.identity
    const here = this.#connections.at(incarnation)
    const leaving = this.#connections.leaving(incarnation)
    let delivered = 0
    let member: Session | undefined
    for (const { connection, number, outcome } of acks) {
      const client = here.get(connection) ?? leaving.get(connection)
      if (!client) continue
      if (outcome === AckOutcome.received || (outcome !== AckOutcome.acknowledged && client.isHalfDone(number))) {
        if (client.received(number)) this.#progress.note(client.session)
        else this.#sender.want(client)
        continue
      }
      if (!client.finish(number)) {
        // Done before, it had its place in the window all the same.
        this.#sender.want(client)
        continue
      }
      if (outcome === AckOutcome.acknowledged) delivered++
      else this.#drop(client.session, [number], outcome === AckOutcome.expired ? 'expired' : outcome === AckOutcome.tooLarge ? 'tooLarge' : 'unauthorized')
      this.#progress.note(client.session)
      this.#sender.want(client)
      if (client.session === member || !client.session.queue.wasShared) continue
      if (member) this.#options.onRoom(member)
      member = client.session
    }
    if (member) this.#options.onRoom(member)
    this.#options.counters.delivered(delivered)
  }

  /** The gateway takes more again. */
  drained(gateway: Gateway): void {
    this.#sender.drained(gateway.identity.incarnation)
  }

  /** A connection of the shard cannot be served any more: its gateway's queue is full. */
  overflowed(gateway: Gateway, connection: number): void {
    const client = this.#connections.at(gateway.identity.incarnation).get(connection)
    if (client) this.#end(client.session, 'SessionOverflow')
  }

  /** All connections of the incarnation are over. */
  gatewayLost(incarnation: GatewayIncarnation): void {
    for (const client of [...this.#connections.at(incarnation.incarnation).values()]) {
      if (client.session.attached) this.#detachLost(client.session, client.session.attached)
    }
  }

  /** The registry changed: what a client may no longer read it no longer gets, offline sessions included. */
  rejudge(): void {
    for (const session of this.#options.fold.sessions.values()) if (!session.isOver) this.#rejudgeWhole(session)
  }

  #rejudgeWhole(session: Session): void {
    this.#judge(session, [...session.subscriptions.values()])
  }

  /** Once a second: expiries that have come. */
  tick(): void {
    const now = this.#options.now()
    this.#connections.loseUnknown(now, (gateway) => this.gatewayLost(gateway))
    if (now - this.#takenAt > staleMs) this.#doubtful.clear()
    this.#quota.look()
    this.#wills.tick()
    this.#handover.tick()
    for (const session of this.#expiring.due(now)) {
      if (session.isOver || session.attached) continue
      if (session.expiresAt <= now) this.#end(session, 'SessionExpiry')
      else this.#awaitExpiry(session)
    }
    this.#bounds.tick(now)
  }

  /** Resolves once the journal has all that the queues know now: a snapshot of them must not know more. */
  async journal(): Promise<void> {
    for (const { session } of this.#connections.all()) if (session.queue.length > 0) this.#progress.note(session)
    await this.#progress.written()
  }

  close(): void {
    this.#isClosed = true
    this.#sender.close()
    this.#progress.close()
    this.#wills.close()
    this.#handover.close()
  }

  #connect(session: Session, attached: Attachment): void {
    this.#sender.want(this.#connections.connect(session, attached))
  }

  #disconnect(clientId: string, from: Attachment): void {
    const client = this.#connections.disconnect(clientId, from)
    if (client) this.#sender.forget(client)
  }

  /** Its connection ends before its gateway told what it was sent. */
  #settleUncertain(session: Session): void {
    if (!this.#uncertain.delete(session)) return
    this.#doubtful.add(session)
    this.#suspect(session)
  }

  /** Its gateway told this owner of it, and listens to no other. */
  #know(session: Session): void {
    this.#uncertain.delete(session)
    this.#doubtful.delete(session)
    this.#bounds.check(session)
  }

  /** An earlier owner may have sent what stands in the queue without living to say so: it carries DUP from now on [MQTT-3.3.1-1]. */
  #suspect(session: Session): void {
    const { queue } = session
    const sent = Math.min(queue.next, queue.cursor + windowMax)
    if (sent <= queue.sent) return
    queue.sent = sent
    this.#progress.note(session)
  }

  /** A session that begins is answered once its name may have it; one that goes on had been let in. */
  #admit(session: Session, attached: Attachment): void {
    if (session.sessionsMax > 0 && (session.id === session.epoch || this.#quota.isUndecided(session))) this.#quota.decide(session)
    else this.#notices.accept(session, attached)
  }

  /** A session of the authentication name has ended, in whatever shard. */
  freed(authenticationName: string): void {
    this.#quota.freed(authenticationName)
  }

  #detachLost(session: Session, attached: Attachment): void {
    this.#write('sessions', 'Detached', session.clientId, {
      clientId: session.clientId,
      epoch: session.epoch,
      at: this.#options.now(),
      reason: 'ServerError',
      reasonCode: ReasonCode.ServerUnavailable,
      sessionExpiryInterval: null,
      keepWill: true,
      by: 'router',
    })
    this.#disconnect(session.clientId, attached)
  }

  #end(session: Session, reason: string): void {
    if (this.#ending.has(session)) return
    this.#ending.add(session)
    this.#write('sessions', 'SessionEnded', session.clientId, {
      clientId: session.clientId,
      session: session.id,
      epoch: session.epoch,
      at: this.#options.now(),
      reason,
      shard: this.shard,
      term: this.term,
    })
  }

  #awaitExpiry(session: Session): void {
    const at = session.expiresAt
    if (!session.isOver && at !== Number.POSITIVE_INFINITY) this.#expiring.put(session, at)
  }

  /** Other limits hold from now on. */
  limitsChanged(): void {
    for (const session of this.#options.fold.sessions.values()) if (session.queue.length > 0) this.#bounds.check(session)
  }

  /** From which number on nothing of the session's queue can be under way to its client; undefined while only its gateway knows. */
  #underWay(session: Session): number | undefined {
    // What an owner before this one has sent is told first.
    if (this.#uncertain.has(session)) return undefined
    return this.#connections.of(session)?.nextToSend ?? 0
  }

  #judge(session: Session, subscriptions: readonly Subscription[]): void {
    if (subscriptions.length === 0) return
    const judge = this.#options.judge()
    // Granted under a newer view than this router's: judged again once that has come.
    if (judge.position < session.judgedAt) return
    const principal = judge.principalOf(session)
    const revoked = subscriptions.filter((subscription) => !principal || !judge.mayReceive(principal, subscription))
    if (revoked.length === 0) return
    this.#rejudged.set(session, Number.POSITIVE_INFINITY)
    this.#write('sessions', 'Unsubscribed', session.clientId, {
      clientId: session.clientId,
      epoch: session.epoch,
      at: this.#options.now(),
      filters: revoked.map(({ filter }) => filter),
      withdraws: false,
    })
    // Nobody any more, or somebody who may less.
    if (session.attached) this.#notices.close(session.attached, ReasonCode.NotAuthorized, principal ? 'ClientAuthorizationError' : 'ClientAuthenticationError')
  }

  /**
   * The message is not sent; true when it is done. One that is half done must not be: its client, if it has the message, would
   * take a later one with this packet id for a repeat. It goes on with PUBREL, which a client without it answers too.
   */
  #giveUp(client: ClientSession, number: number, reason: string): boolean {
    const { session } = client
    this.#progress.note(session)
    if (client.isHalfDone(number)) {
      session.queue.receive(number)
      this.#options.counters.dropped(reason, 1)
      return false
    }
    client.finish(number)
    this.#drop(session, [number], reason)
    return true
  }

  #drop(session: Session, numbers: readonly number[], reason: string): void {
    this.#options.counters.dropped(reason, numbers.length)
    this.#write('inbox', 'Dropped', null, { shard: this.shard, term: this.term, clientId: session.clientId, session: session.id, numbers, reason })
  }

  #write<N extends RecordName>(topic: 'sessions' | 'inbox', name: N, key: string | null, record: Records[N]): void {
    const append = {
      topic: this.#options.topics[topic],
      partition: this.shard,
      key: key === null ? null : Buffer.from(key),
      value: encodeRecord(name, record),
      timestamp: this.#options.now(),
    }
    this.#options.appender.append(append, (error) => {
      if (error) this.#options.onRefused(error)
    })
  }
}

/** How a connection learns why its session ended. */
function closingOf(reason: string): readonly [reasonCode: number, disconnectionReason: string] {
  if (reason === 'SessionOverflow') return [ReasonCode.QuotaExceeded, 'SessionOverflow']
  if (reason === 'AuthorizationError') return [ReasonCode.NotAuthorized, 'ClientAuthorizationError']
  return [ReasonCode.AdministrativeAction, 'ServerInitiatedDisconnect']
}
