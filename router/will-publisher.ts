/**
 * The wills of a shard's clients, in its owner's hands. When one is due is a record first (the fold decides, or a WillDue
 * record), so that a connection that comes meanwhile cancels it for everybody or for nobody. Then the message goes into
 * `messages`, then WillFired tells the fold to forget it. A successor that finds one between the two publishes the same
 * message with the same id, unless it is there.
 */
import { createHash } from 'node:crypto'
import type { Appender, Log } from '../log/log.ts'
import { partitionOf } from '../log/partitioner.ts'
import type { Session } from '../model/session.ts'
import { encodeRecord } from '../schemas/codec.ts'
import { decodeMessage, encodeMessage } from '../schemas/message-record.ts'
import type { Message, PendingWill, RecordName, Records } from '../schemas/records.ts'

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
/** Marks the ids of wills: what source shards look for repeats among. */
const idMark = Buffer.from('will')

/** The id of a will's message: the same whoever publishes it. */
export function willMessageId(shard: number, clientId: string, epoch: number): Buffer {
  const hash = createHash('sha256').update(`${shard} ${epoch} ${clientId}`).digest()
  return Buffer.concat([idMark, hash.subarray(0, 12)])
}

export const isWillMessageId = (id: Buffer): boolean => id.subarray(0, idMark.length).equals(idMark)

export function willMessage(shard: number, clientId: string, pending: PendingWill): Message {
  const { will } = pending
  return {
    messageId: willMessageId(shard, clientId, pending.epoch),
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
    this.#look(session, false)
  }

  /** Sessions as the shard was taken with them: what is decided may be in `messages` already. */
  recover(sessions: Iterable<Session>): void {
    for (const session of sessions) if (session.wills.length > 0) this.#look(session, true)
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

  #look(session: Session, mayBePublished: boolean): void {
    let waits = false
    for (const pending of session.wills) {
      if (!pending.isDecided) waits = true
      else if (!this.#firing.has(pending.epoch)) {
        this.#firing.add(pending.epoch)
        this.#deciding.delete(pending.epoch)
        if (mayBePublished) void this.#fireUnlessThere(session.clientId, pending).catch((error: Error) => this.#failed(error))
        else this.#fire(session.clientId, pending)
      }
    }
    if (waits) this.#waiting.add(session)
    else this.#waiting.delete(session)
  }

  async #fireUnlessThere(clientId: string, pending: PendingWill): Promise<void> {
    const { log, topics, partitions, shard } = this.#options
    const id = willMessageId(shard, clientId, pending.epoch)
    const partition = partitionOf(Buffer.from(pending.will.topic), partitions)
    let offset = (await log.offsetsAt(topics.messages, pending.dueAt - clockSkewMs)).get(partition) ?? 0
    const end = (await log.endOffsets(topics.messages)).get(partition) ?? 0
    while (offset < end && !this.#isClosed) {
      const stretch = await log.read(topics.messages, partition, offset)
      for (const { value } of stretch.records) {
        if (!value?.includes(id) || !decodeMessage(value).messageId.equals(id)) continue
        this.#forget(clientId, pending, 'published')
        return
      }
      if (stretch.nextOffset <= offset) break
      offset = stretch.nextOffset
    }
    if (!this.#isClosed) this.#fire(clientId, pending)
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
