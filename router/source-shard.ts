/**
 * The owner of a shard's `messages`: matches each stretch and sees it through. Effects are safe to repeat — gateways skip
 * positions they have, inboxes skip what is below their high-water — so a successor matches the stretches after the last
 * journaled Progress again, whatever of them had been done.
 */
import type { Appender, Stretch } from '../log/log.ts'
import type { Session } from '../model/session.ts'
import { encodeRecord } from '../schemas/codec.ts'
import { peekMessage } from '../schemas/message-record.ts'
import { RecordError } from '../schemas/record-error.ts'
import type { IndexEntry } from '../schemas/records.ts'
import type { Gateway } from './gateway.ts'
import type { Gateways } from './gateways.ts'
import { RepeatedWills } from './repeated-wills.ts'
import { type DirectFrame, directFrames, emptyPlan, indexParts, type PublishedRecord, planRecord, type StretchPlan } from './stretch-plan.ts'
import type { Match, SubscriptionTrie } from './subscription-trie.ts'
import { Watermark } from './watermark.ts'

/** Keeps one Indexed record well below Kafka's max.message.bytes of 1 MiB. */
const indexedSizeMax = 600 * 1024
/** Frames of direct messages are cut at this size, bytes. */
const frameSizeMax = 1024 * 1024

/** The shard's retained messages, as matching meets them. */
export interface RetainedKeeper {
  /** Keeps the newest retained message of a topic; true when `done` will be called once that is in the log. */
  take(topic: string, offset: number, value: Buffer, done: () => void): boolean
  /** Some subscription has not been sent all of what is retained. */
  readonly isBusy: boolean
  hurry(session: Session, topic: string): void
}

export interface SourceShardOptions {
  readonly shard: number
  readonly term: number
  readonly position: number
  /** Offset in `messages` up to which an owner before this one may have been. */
  readonly backlogEnd: number
  readonly trie: SubscriptionTrie
  readonly retained: RetainedKeeper
  readonly gateways: Gateways
  readonly appender: Appender
  readonly inboxTopic: string
  readonly now: () => number
  /** Offset in `sessions` of a shard that the trie has applied. */
  sessionsPosition(shard: number): number
  onUnreadable(offset: number, error: Error): void
  onMatched(messages: number, plan: StretchPlan): void
  /** An append was refused: this router must let go of the shard. */
  onRefused(error: Error): void
  /** The position moved. */
  onProgress(): void
}

export class SourceShard {
  readonly shard: number
  readonly term: number
  readonly #options: SourceShardOptions
  readonly #watermark: Watermark
  /** Everything below was matched. */
  #taken: number
  readonly #wills = new RepeatedWills()
  #roomWanted: (() => void) | undefined
  #isClosed = false

  constructor(options: SourceShardOptions) {
    this.#options = options
    this.shard = options.shard
    this.term = options.term
    this.#taken = options.position
    this.#watermark = new Watermark(options.position, () => this.#moved())
  }

  /** Everything below is done. */
  get position(): number {
    return this.#watermark.position
  }

  /** Everything below was matched. */
  get taken(): number {
    return this.#taken
  }

  /** Bytes of stretches that are matched and not done. */
  get outstandingBytes(): number {
    return this.#watermark.weight
  }

  /** Resolves when at most `bytesMax` is outstanding. */
  async room(bytesMax: number): Promise<void> {
    while (this.#watermark.weight > bytesMax && !this.#isClosed) {
      await new Promise<void>((resolve) => {
        this.#roomWanted = resolve
      })
    }
  }

  /** Matches a stretch; the trie has applied all that was subscribed before it was fetched. */
  take(stretch: Stretch): void {
    if (this.#isClosed) return
    const plan = emptyPlan()
    const { trie, retained } = this.#options
    const matched = new Map<string, readonly Match[]>()
    const kept = new Map<string, { readonly offset: number; readonly value: Buffer }>()
    let bytes = 0
    for (const record of stretch.records) {
      const { key, value, offset } = record
      if (!value || !key || offset < this.#taken) continue
      bytes += value.length
      if (this.#wills.isRepeated(offset, value)) continue
      const topic = key.toString()
      let matches = matched.get(topic)
      if (!matches) {
        matches = trie.match(topic)
        matched.set(topic, matches)
        if (retained.isBusy) for (const { session } of matches) retained.hurry(session, topic)
      }
      if (matches.length === 0) {
        if (this.#isRetained(offset, value)) kept.set(topic, { offset, value })
        continue
      }
      const message = this.#peek(offset, value)
      if (message?.retain) kept.set(topic, { offset, value })
      if (message) planRecord(plan, { source: this.shard, offset, value }, message, matches)
    }
    this.#taken = Math.max(this.#taken, stretch.nextOffset)
    this.#options.onMatched(stretch.records.length, plan)
    this.#carryOut(stretch, plan, bytes, kept)
  }

  close(): void {
    this.#isClosed = true
    this.#roomWanted?.()
  }

  #isRetained(offset: number, value: Buffer): boolean {
    try {
      return peekMessage(value).retain
    } catch (error) {
      this.#options.onUnreadable(offset, error as Error)
      return false
    }
  }

  #keep(topic: string, offset: number, value: Buffer, done: () => void): void {
    try {
      if (this.#options.retained.take(topic, offset, value, done)) return
    } catch (error) {
      if (!(error instanceof RecordError)) throw error
      this.#options.onUnreadable(offset, error)
    }
    done()
  }

  #peek(offset: number, value: Buffer): PublishedRecord | undefined {
    try {
      const { clientId, qos, retain, receivedAt, messageExpiryInterval } = peekMessage(value)
      const expiresAt = messageExpiryInterval === null ? 0 : receivedAt + messageExpiryInterval * 1000
      return { clientId, qos: qos as 0 | 1 | 2, retain, expiresAt, receivedAt, isBacklog: offset < this.#options.backlogEnd }
    } catch (error) {
      this.#options.onUnreadable(offset, error as Error)
      return undefined
    }
  }

  #carryOut(stretch: Stretch, plan: StretchPlan, bytes: number, kept: ReadonlyMap<string, { readonly offset: number; readonly value: Buffer }>): void {
    const from = stretch.records[0]?.offset ?? stretch.nextOffset
    const direct: { link: Gateway; frame: DirectFrame }[] = []
    for (const part of plan.direct.values()) {
      const link = this.#options.gateways.get(part.gateway)
      // Without a link the incarnation is over, and its connections with it.
      if (link) for (const frame of directFrames(part.messages, stretch.nextOffset, frameSizeMax)) direct.push({ link, frame })
    }
    const indexed = [...plan.indexed].map(([shard, entries]) => ({ shard, parts: [...indexParts(entries, indexedSizeMax)] }))
    const waits = indexed.reduce((sum, { parts }) => sum + parts.length, direct.length)
    // Each retained message counts as one, and is taken off at once when there is nothing to append.
    const done = this.#watermark.begin(stretch.nextOffset, waits + kept.size, bytes)
    for (const [topic, { offset, value }] of kept) this.#keep(topic, offset, value, done)
    for (const { link, frame } of direct) link.direct({ kind: 'direct', shard: this.shard, term: this.term, from, ...frame }, done)
    for (const { shard, parts } of indexed) this.#index(shard, from, stretch.nextOffset, parts, done)
  }

  #index(shard: number, from: number, to: number, parts: readonly (readonly IndexEntry[])[], done: () => void): void {
    const { appender, inboxTopic, now, onRefused, sessionsPosition } = this.#options
    const sessionsOffset = sessionsPosition(shard)
    parts.forEach((entries, part) => {
      const value = encodeRecord('Indexed', { shard: this.shard, term: this.term, from, to, part, parts: parts.length, sessionsOffset, entries })
      appender.append({ topic: inboxTopic, partition: shard, key: null, value, timestamp: now() }, (error) => (error ? onRefused(error) : done()))
    })
  }

  #moved(): void {
    this.#roomWanted?.()
    this.#roomWanted = undefined
    this.#options.onProgress()
  }
}
