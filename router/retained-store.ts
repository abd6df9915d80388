/**
 * The retained messages of one shard, in its owner's hands: in memory for whoever subscribes, and in the compacted topic
 * `retained` for the next owner. Kafka's fence keeps a former owner from writing there.
 */
import type { Appender, Log } from '../log/log.ts'
import { limitInForce, type NamespaceLimits } from '../model/namespace-limits.ts'
import { RetainedIndex } from '../model/retained-index.ts'
import { decodeRecord, encodeRecord, inSingleObject } from '../schemas/codec.ts'
import type { RetainedNote } from '../schemas/inbox-records.ts'
import { decodeMessage, peekMessage } from '../schemas/message-record.ts'
import type { RetainedJournal } from './retained-journal.ts'

export interface RetainedMessage {
  readonly topic: string
  /** Position in `messages`. */
  readonly offset: number
  /** The Message record's value. */
  readonly value: Buffer
  readonly qos: 0 | 1 | 2
  /** Milliseconds since the epoch; 0 never. */
  readonly expiresAt: number
  /** Position in `retained`; null until Kafka has told. */
  retainedOffset: number | null
}

export interface RetainedCounters {
  /** The Message Expiry Interval of a retained message is over. */
  expired(): void
  /** Messages and bytes held by the shard now. */
  retained(shard: number, messages: number, bytes: number): void
  /** A message was delivered and not retained. */
  notRetained(reason: 'full' | 'tooLarge'): void
}

/** Of one shard. What is there stays when they become narrower. */
export interface RetainedLimits {
  readonly bytesMax: number
  readonly messageBytesMax: number
  readonly messagesMax: number
}

/** The limits of a shard, `partitions` of which share what the namespace may retain. */
export function retainedLimits(
  config: Omit<RetainedLimits, 'bytesMax'>,
  limits: NamespaceLimits | undefined,
  partitions: number,
): Omit<RetainedLimits, 'bytesMax'> {
  return {
    messageBytesMax: limitInForce('retainedMessageBytes', limits, config.messageBytesMax),
    messagesMax: Math.ceil(limitInForce('retainedMessages', limits, config.messagesMax) / partitions),
  }
}

export interface RetainedStoreOptions {
  readonly shard: number
  /** Fenced: the shard's own. */
  readonly appender: Appender
  /** Keeps what was retained when. */
  readonly journal: Pick<RetainedJournal, 'note'>
  readonly topic: string
  /** As the namespace narrows them now. */
  limits(): RetainedLimits
  readonly counters: RetainedCounters
  readonly now: () => number
  onRefused(error: Error): void
}

/**
 * What a topic costs besides its name and its message, bytes: 650 measured with 300,000 topics of four levels and messages of 200 bytes, in
 * V8's heap and buffers. The process grew by 1.7 times the whole.
 */
const overhead = 700
/** Keys that begin so are not topics, which hold no U+0000 [MQTT-4.7.3-2]. */
const fenceKey = Buffer.from('\u0000fence')

export const retainedFenceKey = (): Buffer => fenceKey

const costOf = (topic: string, size: number): number => topic.length + size + overhead

/** Calls `done` at the second call. */
function whenBoth(done: () => void): () => void {
  let isFirst = true
  return () => {
    if (isFirst) isFirst = false
    else done()
  }
}

function noteOf({ topic, offset, value, qos, expiresAt }: RetainedMessage): RetainedNote {
  return { topic, offset, isCleared: false, receivedAt: peekMessage(value).receivedAt, expiresAt: expiresAt || null, qos, size: value.length }
}

const cleared = (topic: string, offset: number, value: Buffer): RetainedNote => ({
  topic,
  offset,
  isCleared: true,
  receivedAt: peekMessage(value).receivedAt,
  expiresAt: null,
  qos: 0,
  size: 0,
})

export class RetainedStore {
  readonly index = new RetainedIndex<RetainedMessage>()
  readonly #options: RetainedStoreOptions
  #bytes = 0
  /** Topics whose message expires, by second. */
  readonly #expiring = new Map<number, Set<string>>()
  #isClosed = false

  constructor(options: RetainedStoreOptions) {
    this.#options = options
  }

  get size(): number {
    return this.index.size
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Reads what former owners have left. The fence must stand. */
  async load(log: Log): Promise<void> {
    const { topic, shard, now, counters } = this.#options
    let offset = (await log.startOffsets(topic)).get(shard) ?? 0
    const end = (await log.endOffsets(topic)).get(shard) ?? 0
    while (offset < end) {
      const stretch = await log.read(topic, shard, offset)
      for (const { key, value, offset: at } of stretch.records) {
        if (!key || key[0] === 0) continue
        const name = key.toString()
        this.#forget(name)
        if (!value) continue
        const record = decodeRecord(value)
        if (record.name !== 'Retained') continue
        const expiresAt = record.value.expiresAt ?? 0
        if (expiresAt !== 0 && expiresAt <= now()) continue
        if (this.#hasRoom(name, record.value.message.length)) this.#put(name, record.value.offset, record.value.message, expiresAt, at)
        else {
          counters.notRetained('full')
          this.#options.journal.note(cleared(name, record.value.offset, record.value.message), () => {})
        }
      }
      if (stretch.nextOffset === offset) throw new Error(`${topic}[${shard}] has nothing at ${offset}, although it reaches to ${end}`)
      offset = stretch.nextOffset
    }
    this.#told()
  }

  /**
   * Takes the newest retained message of a topic; an empty payload clears it [MQTT-3.3.1-6]. What a former owner has
   * seen to already is known by its position. Returns whether `done` will be called, once Kafka has it.
   */
  take(topic: string, offset: number, published: Buffer, done: () => void): boolean {
    const { counters } = this.#options
    const limits = this.#options.limits()
    const known = this.index.get(topic)
    if (known && known.offset >= offset) return false
    const { payload } = decodeMessage(published)
    const value = inSingleObject(published)
    const clear = (): true => {
      // A former owner may have cleared it and not told: so it is told even of what is not there.
      const { journal } = this.#options
      const both = known ? whenBoth(done) : done
      journal.note(cleared(topic, offset, value), both)
      if (known) this.#clear(topic, both)
      return true
    }
    if (payload.length === 0) return clear()
    const hasRoom = (known || this.index.size < limits.messagesMax) && this.#hasRoom(topic, value.length)
    const reason = value.length > limits.messageBytesMax ? 'tooLarge' : hasRoom ? null : 'full'
    if (reason !== null) {
      counters.notRetained(reason)
      // It replaces the one before all the same [MQTT-3.3.1-5]: an outdated message must not pass for the last.
      return clear()
    }
    const { receivedAt, messageExpiryInterval } = peekMessage(value)
    const expiresAt = messageExpiryInterval === null ? 0 : receivedAt + messageExpiryInterval * 1000
    const message = this.#put(topic, offset, value, expiresAt, null)
    const record = encodeRecord('Retained', { offset, expiresAt: expiresAt || null, message: message.value })
    const both = whenBoth(done)
    this.#options.journal.note(noteOf(message), both)
    this.#append(topic, record, both, (at) => {
      message.retainedOffset = at
    })
    this.#told()
    return true
  }

  /** All that is retained, as the journal tells it. */
  *notes(): Generator<RetainedNote> {
    for (const message of this.index.all()) yield noteOf(message)
  }

  /** Tells the journal of messages from this position on: a former owner may have retained them and not told. */
  tellAgain(from: number): void {
    for (const message of this.index.all()) if (message.offset >= from) this.#options.journal.note(noteOf(message), () => {})
  }

  /** Once a second: what has expired goes [MQTT-3.3.2-5]. */
  tick(): void {
    const now = this.#options.now()
    for (const [second, topics] of this.#expiring) {
      if (second * 1000 > now) continue
      this.#expiring.delete(second)
      for (const topic of topics) {
        const message = this.index.get(topic)
        if (message && message.expiresAt !== 0 && message.expiresAt <= now) {
          this.#options.counters.expired()
          this.#clear(topic, () => {})
        }
      }
    }
  }

  close(): void {
    this.#isClosed = true
  }

  #hasRoom(topic: string, size: number): boolean {
    const known = this.index.get(topic)
    const after = this.#bytes + costOf(topic, size) - (known ? costOf(topic, known.value.length) : 0)
    return after <= this.#options.limits().bytesMax
  }

  #put(topic: string, offset: number, value: Buffer, expiresAt: number, retainedOffset: number | null): RetainedMessage {
    this.#forget(topic)
    // Its own copy: the fetched batch is far larger.
    const copy = Buffer.allocUnsafeSlow(value.length)
    value.copy(copy)
    const message: RetainedMessage = { topic, offset, value: copy, qos: peekMessage(copy).qos as 0 | 1 | 2, expiresAt, retainedOffset }
    this.index.set(topic, message)
    this.#bytes += costOf(topic, value.length)
    if (expiresAt !== 0) {
      const second = Math.ceil(expiresAt / 1000)
      const topics = this.#expiring.get(second) ?? new Set<string>()
      this.#expiring.set(second, topics)
      topics.add(topic)
    }
    return message
  }

  #clear(topic: string, done: () => void): void {
    this.#forget(topic)
    this.#append(topic, null, done)
    this.#told()
  }

  #forget(topic: string): void {
    const known = this.index.get(topic)
    if (!known) return
    this.index.delete(topic)
    this.#bytes -= costOf(topic, known.value.length)
    if (known.expiresAt !== 0) this.#expiring.get(Math.ceil(known.expiresAt / 1000))?.delete(topic)
  }

  #append(topic: string, value: Buffer | null, done: () => void, onOffset: (offset: number) => void = () => {}): void {
    const { appender, topic: log, shard, now, onRefused } = this.#options
    appender.append({ topic: log, partition: shard, key: Buffer.from(topic), value, timestamp: now() }, (error, offset) => {
      if (this.#isClosed) return
      if (error) onRefused(error)
      else {
        onOffset(offset)
        done()
      }
    })
  }

  #told(): void {
    this.#options.counters.retained(this.#options.shard, this.index.size, this.#bytes)
  }
}
