/**
 * The wills of a shard's clients, in its owner's hands. When one is due is a record first (the fold decides, or a WillDue
 * record), so that a connection that comes meanwhile cancels it for everybody or for nobody. Then the message goes into
 * `messages`, then WillFired tells the fold to forget it. A successor that finds one between the two publishes the same
 * message with the same id, unless it is there.
 */
import type { Appender, Log } from '../log/log.ts'
import { partitionOf } from '../log/partitioner.ts'
import type { Session } from '../model/session.ts'
import { encodeRecord } from '../schemas/codec.ts'
import type { Message } from '../schemas/message.ts'
import { isRepeatable, RepeatableKind, readRepeatableId, repeatableId } from '../schemas/message-id.ts'
import { encodeMessage, messageIdOf } from '../schemas/message-record.ts'
import type { RecordName, Records } from '../schemas/records.ts'
import type { PendingWill } from '../schemas/snapshot-records.ts'

export interface WillPublisherOptions {
  readonly shard: number
  readonly term: number
  readonly log: Log
  readonly appender: Appender
  readonly topics: { readonly sessions: string; readonly messages: string }
  readonly partitions: number
  readonly now: () => number
  /** By the registry as of now. */
  mayPublish(clientId: string, pending: PendingWill): boolean
  onFired(outcome: 'published' | 'unauthorized'): void
  onRefused(error: Error): void
}

/** Clocks of routers and Kafka differ by less, ms. */
const clockSkewMs = 60_000

/** The id of a will's message: the same whoever publishes it. No other connection's attach stands at `epoch` of the shard. */
function willMessageId(shard: number, epoch: number): Buffer {
  return repeatableId({ kind: RepeatableKind.Will, shard, session: epoch, use: 0, detail: 0 })
}

export function willMessage(shard: number, clientId: string, pending: PendingWill): Message {
  const { will } = pending
  return {
    messageId: willMessageId(shard, pending.epoch),
    clientId,
    session: pending.session,
    // When it became due: its expiry interval counts from there, whoever publishes it and when.
    receivedAt: pending.dueAt,
    topic: will.topic,
    qos: will.qos,
    retain: will.retain,
    messageExpiryInterval: will.messageExpiryInterval,
    authenticationName: pending.authenticationName,
    gateway: pending.gateway,
    protocolVersion: pending.protocolVersion,
    payloadFormatIndicator: will.payloadFormatIndicator,
    contentType: will.contentType,
    responseTopic: will.responseTopic,
    correlationData: will.correlationData,
    userProperties: will.userProperties,
    payload: will.payload,
  }
}

/** Wills of one partition of `messages` that may be there already, by the ids of their messages. */
type Decided = Map<string, { readonly clientId: string; readonly pending: PendingWill }>

export class WillPublisher {
  readonly #options: WillPublisherOptions
  /** Sessions with wills that wait for their delay. */
  readonly #waiting = new Set<Session>()
  /** Epochs that WillDue was written for, or that are being published. */
  readonly #deciding = new Set<number>()
  readonly #firing = new Set<number>()
  #isClosed = false

  constructor(options: WillPublisherOptions) {
    this.#options = options
  }

  get waiting(): number {
    return this.#waiting.size
  }

  /** The session's wills are not what they were. */
  changed(session: Session): void {
    this.#look(session)
  }

  /** Sessions as the shard was taken with them: what is decided may be in `messages` already. One scan a partition tells of all. */
  recover(sessions: Iterable<Session>): void {
    const decided = new Map<number, Decided>()
    for (const session of sessions) if (session.wills.length > 0) this.#look(session, decided)
    if (decided.size > 0) void this.#fireUnlessThere(decided).catch((error: Error) => this.#failed(error))
  }

  /** Once a second: delays that are over. */
  tick(): void {
    const now = this.#options.now()
    for (const session of this.#waiting) {
      for (const pending of session.wills) {
        if (pending.isDecided || pending.dueAt > now || this.#deciding.has(pending.epoch)) continue
        this.#deciding.add(pending.epoch)
        const { shard, term } = this.#options
        this.#write('WillDue', session.clientId, { clientId: session.clientId, epoch: pending.epoch, at: now, shard, term })
      }
    }
  }

  close(): void {
    this.#isClosed = true
  }

  /** What is decided is published, or put down in `decided`. */
  #look(session: Session, decided?: Map<number, Decided>): void {
    let waits = false
    for (const pending of session.wills) {
      if (!pending.isDecided) waits = true
      else if (!this.#firing.has(pending.epoch)) {
        this.#firing.add(pending.epoch)
        this.#deciding.delete(pending.epoch)
        if (decided) this.#put(decided, session.clientId, pending)
        else this.#fire(session.clientId, pending)
      }
    }
    if (waits) this.#waiting.add(session)
    else this.#waiting.delete(session)
  }

  #put(decided: Map<number, Decided>, clientId: string, pending: PendingWill): void {
    const { shard, partitions } = this.#options
    const partition = partitionOf(Buffer.from(pending.will.topic), partitions)
    const here: Decided = decided.get(partition) ?? new Map()
    decided.set(partition, here.set(willMessageId(shard, pending.epoch).toString('latin1'), { clientId, pending }))
  }

  /** One partition after the other: however many wills there are, one read is under way. */
  async #fireUnlessThere(decided: ReadonlyMap<number, Decided>): Promise<void> {
    const { log, topics } = this.#options
    const ends = await log.endOffsets(topics.messages)
    for (const [partition, wills] of decided) {
      let from = Number.POSITIVE_INFINITY
      for (const { pending } of wills.values()) from = Math.min(from, pending.dueAt - clockSkewMs)
      let offset = (await log.offsetsAt(topics.messages, from)).get(partition) ?? 0
      const end = ends.get(partition) ?? 0
      while (offset < end && wills.size > 0 && !this.#isClosed) {
        const stretch = await log.read(topics.messages, partition, offset)
        for (const { value } of stretch.records) if (value) this.#forgetPublished(wills, value)
        if (stretch.nextOffset <= offset) break
        offset = stretch.nextOffset
      }
      if (this.#isClosed) return
      for (const { clientId, pending } of wills.values()) this.#fire(clientId, pending)
    }
  }

  #forgetPublished(wills: Decided, value: Buffer): void {
    const id = messageIdOf(value)
    if (id === undefined || !isRepeatable(id) || readRepeatableId(id).kind !== RepeatableKind.Will) return
    const key = id.toString('latin1')
    const will = wills.get(key)
    if (!will) return
    wills.delete(key)
    this.#forget(will.clientId, will.pending, 'published')
  }

  #fire(clientId: string, pending: PendingWill): void {
    const { shard, appender, topics, partitions, now, mayPublish } = this.#options
    const { topic } = pending.will
    // Judged again: a right that was taken away since the CONNECT is gone for the will too.
    if (!mayPublish(clientId, pending)) {
      this.#forget(clientId, pending, 'unauthorized')
      return
    }
    const key = Buffer.from(topic)
    const value = encodeMessage(willMessage(shard, clientId, pending))
    appender.append({ topic: topics.messages, partition: partitionOf(key, partitions), key, value, timestamp: now() }, (error) => {
      if (this.#isClosed) return
      if (error) this.#failed(error)
      else this.#forget(clientId, pending, 'published')
    })
  }

  #forget(clientId: string, pending: PendingWill, outcome: 'published' | 'unauthorized'): void {
    this.#options.onFired(outcome)
    this.#write('WillFired', clientId, { clientId, epoch: pending.epoch, at: this.#options.now(), outcome }, () => this.#firing.delete(pending.epoch))
  }

  #write<N extends RecordName>(name: N, clientId: string, record: Records[N], done: () => void = () => {}): void {
    const { appender, topics, shard, now } = this.#options
    const append = { topic: topics.sessions, partition: shard, key: Buffer.from(clientId), value: encodeRecord(name, record), timestamp: now() }
    appender.append(append, (error) => {
      if (this.#isClosed) return
      if (error) this.#failed(error)
      else done()
    })
  }

  #failed(error: Error): void {
    if (!this.#isClosed) this.#options.onRefused(error)
  }
}
