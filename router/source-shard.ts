/**
 * The owner of a shard's `messages`: matches each stretch and sees it through. Effects are safe to repeat — gateways skip
 * positions they have, inboxes skip what is below their high-water — so a successor matches the stretches after the last
 * journaled Progress again, whatever of them had been done.
 */
import type { Appender, LogRecord, Stretch } from '../log/log.ts'
import type { Session } from '../model/session.ts'
import { encodeRecord } from '../schemas/codec.ts'
import type { HeldMessage, IndexEntry, IndexReceiver } from '../schemas/inbox-records.ts'
import { KnownTexts } from '../schemas/known-texts.ts'
import { isRepeatable, type RepeatableId, readRepeatableId } from '../schemas/message-id.ts'
import { decodeMessage, type MessageView, peekMessage } from '../schemas/message-record.ts'
import { RecordError } from '../schemas/record-error.ts'
import type { OpenSpan, Tracing } from '../telemetry/tracing.ts'
import type { Gateway } from './gateway.ts'
import type { Gateways } from './gateways.ts'
import { HeldMessages, type Owner } from './held-messages.ts'
import { full, type SharedChoice, type SharedMessage } from './shared-choice.ts'
import type { Member, SharedGroup } from './shared-group.ts'
import type { SharedLanes } from './shared-lanes.ts'
import type { SharedRoom } from './shared-room.ts'
import {
  choiceParts,
  type DirectFrame,
  directFrames,
  emptyPlan,
  indexParts,
  type PublishedRecord,
  planRecord,
  publishedOf,
  type SharedMatch,
  type SharedMatches,
  type StretchPlan,
} from './stretch-plan.ts'
import type { Match, ReplayMatch, SubscriptionTrie } from './subscription-trie.ts'
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
  readonly choice: SharedChoice
  readonly room: SharedRoom
  /** Groups that are behind. */
  readonly lanes: SharedLanes
  /** Members of shared subscriptions that an owner before this one chose, by offset: they are chosen again, and nobody else. */
  readonly recorded: ReadonlyMap<number, readonly IndexReceiver[]>
  /** The shard of a client id. */
  shardOf(clientId: string): number
  readonly gateways: Gateways
  readonly appender: Appender
  readonly inboxTopic: string
  readonly now: () => number
  /** What may stand in `messages` more than once, as the predecessor left it; in its order. */
  readonly held: readonly HeldMessage[]
  /** Ids remembered after they were let go. */
  readonly repeatsRemembered: number
  /** Nobody appends a message of this id again: its use is over, or its session. */
  isOver(id: RepeatableId): boolean
  /** A record of the log that may be asked for later. */
  index(offset: number, size: number, topic: string, clientId: string): void
  /** A record whose message counts already was skipped. */
  onRepeat(): void
  /** Offset in `sessions` of a shard that the trie has applied. */
  sessionsPosition(shard: number): number
  onUnreadable(offset: number, error: Error): void
  /** Before anything of the plan is carried out. */
  onMatched(stretch: Stretch, plan: StretchPlan): void
  /** Null where nothing is traced. */
  readonly tracing: Tracing | null
  /** An append was refused: this router must let go of the shard. */
  onRefused(error: Error): void
  /** The position moved. */
  onProgress(): void
}

interface Matched {
  readonly matches: readonly Match[]
  readonly groups: readonly SharedGroup[]
  readonly replays: readonly ReplayMatch[]
}

interface Held {
  readonly to: number
  isChosen: boolean
  readonly carryOut: () => void
}

const noReceivers: readonly IndexReceiver[] = []
const topics = new KnownTexts()

export class SourceShard {
  readonly shard: number
  readonly term: number
  readonly #options: SourceShardOptions
  readonly #watermark: Watermark
  /** Everything below was matched. */
  #taken: number
  #roomWanted: (() => void) | undefined
  /** Stretches whose effects wait for their choices to be read back from the log, and what was matched behind them. */
  readonly #held: Held[] = []
  readonly #recorded: Map<number, readonly IndexReceiver[]>
  #isClosed = false
  readonly #repeats: HeldMessages
  readonly lanes: SharedLanes
  /** Held since the journal was told last. */
  #untold: HeldMessage[] = []

  constructor(options: SourceShardOptions) {
    this.#options = options
    this.shard = options.shard
    this.term = options.term
    this.#taken = options.position
    this.#recorded = new Map(options.recorded)
    this.#watermark = new Watermark(options.position, () => this.#moved())
    this.#repeats = new HeldMessages(options.repeatsRemembered)
    this.lanes = options.lanes
    // The predecessor let go of some; `settle` does it again, once the folds are followed.
    for (const { id, offset } of options.held) this.#repeats.hold(id, offset, false)
  }

  /** Everything below is done. */
  get position(): number {
    return this.#watermark.position
  }

  /** Everything below was matched. */
  get taken(): number {
    return this.#taken
  }

  /** Choices of an owner before this one have not all been made again: they stand in its records only. */
  get hasRecorded(): boolean {
    return this.#recorded.size > 0 || this.lanes.hasRecorded
  }

  /** Bytes of stretches that are matched and not done. */
  get outstandingBytes(): number {
    return this.#watermark.weight
  }

  /** Resolves when at most `bytesMax` is outstanding, and nothing that later messages must not overtake. */
  async room(bytesMax: number): Promise<void> {
    await this.lanes.settled()
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
    const matched = new Map<string, Matched>()
    const kept = new Map<string, { readonly offset: number; readonly value: Buffer }>()
    const { tracing } = this.#options
    const spans: OpenSpan[] = []
    let bytes = 0
    this.lanes.rejoin(this.#taken)
    for (const record of stretch.records) {
      const { key, value, offset } = record
      if (!value || !key || offset < this.#taken) continue
      bytes += value.length
      const topic = topics.textOf(key, 0, key.length)
      const view = this.#peek(offset, value)
      if (!view) continue
      const { clientId } = view
      this.#options.index(offset, key.length + value.length, topic, clientId)
      if (this.#isRepeat(view.messageId, offset)) continue
      if (tracing?.isChosen(view)) {
        const span = traceMatch(tracing, value, this.shard, offset)
        if (span) spans.push(span)
      }
      let found = matched.get(topic)
      if (!found) {
        found = { matches: trie.match(topic), groups: trie.matchGroups(topic), replays: trie.matchReplays(topic) }
        matched.set(topic, found)
        if (retained.isBusy) for (const { session } of found.matches) retained.hurry(session, topic)
      }
      if (view.retain) kept.set(topic, { offset, value })
      if (found.matches.length + found.groups.length + found.replays.length === 0 && !this.#recorded.has(offset)) continue
      const message = publishedOf(view, clientId, offset < this.#options.backlogEnd)
      planRecord(plan, { source: this.shard, offset, value }, message, found.matches, this.#share(found.groups, topic, record, message), found.replays)
    }
    this.#taken = Math.max(this.#taken, stretch.nextOffset)
    for (const offset of this.#recorded.keys()) if (offset < this.#taken) this.#recorded.delete(offset)
    this.#options.onMatched(stretch, plan)
    this.#carryOut(stretch, plan, bytes, kept, spans)
    this.lanes.onward(this.#taken)
  }

  /** The choices of the stretch stand in the log, under this term: no other owner's can count. */
  chosen(to: number): void {
    for (const held of this.#held) if (held.to === to) held.isChosen = true
    while (this.#held[0]?.isChosen) (this.#held.shift() as Held).carryOut()
  }

  close(): void {
    this.#isClosed = true
    this.lanes.close()
    this.#roomWanted?.()
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

  /** Lets go of what was over before this router followed. */
  settle(): void {
    this.#repeats.settle((id) => this.#options.isOver(id))
  }

  /** Nobody appends the message again. */
  letGo(id: RepeatableId): void {
    this.#repeats.letGo(id)
  }

  /** The session is over: nobody appends its messages again. */
  letGoAllOf(owner: Owner): void {
    this.#repeats.letGoAllOf(owner)
  }

  /** What is known of messages that may come again, for a snapshot. */
  held(): HeldMessage[] {
    return [...this.#repeats.entries()]
  }

  /** What was held since this was last asked: it has to be in the journal before a Progress that passes it. */
  takeUntold(): HeldMessage[] {
    const untold = this.#untold
    this.#untold = []
    return untold
  }

  /** The message of this id counts already, through another record. For who reads `messages` at another pace; what was forgotten is no repeat. */
  isRepeatElsewhere(id: Buffer, offset: number): boolean {
    return isRepeatable(id) && this.#repeats.isRepeat(id, offset)
  }

  /** True when the message of a repeatable id counts already, through another record. */
  #isRepeat(id: Buffer, offset: number): boolean {
    if (!isRepeatable(id)) return false
    if (this.#repeats.isRepeat(id, offset)) {
      this.#options.onRepeat()
      return true
    }
    // A copy: the id is a view into the fetched batch.
    const held = { id: Buffer.from(id), offset }
    this.#repeats.hold(held.id, offset, this.#options.isOver(readRepeatableId(held.id)))
    this.#untold.push(held)
    return false
  }

  #peek(offset: number, value: Buffer): MessageView | undefined {
    try {
      return peekMessage(value)
    } catch (error) {
      if (!(error instanceof RecordError)) throw error
      this.#options.onUnreadable(offset, error)
      return undefined
    }
  }

  #share(groups: readonly SharedGroup[], topic: string, { offset, value }: LogRecord, message: PublishedRecord): SharedMatches {
    const recorded = this.#recorded.get(offset) ?? noReceivers
    if (recorded.length > 0) this.#recorded.delete(offset)
    const members: SharedMatch[] = []
    for (const group of groups) {
      if (recorded.some((receiver) => receiver.group === group.filter)) continue
      const member = this.#choose(group, { publisher: message.clientId, topic, source: this.shard, offset }, message.qos)
      if (!member) continue
      if (message.qos > 0 && member.subscription.qos > 0) this.#options.room.given(member.session, value?.length ?? 0)
      members.push({ ...member, group: group.filter })
    }
    return { members, recorded: recorded.map((receiver) => [this.#options.shardOf(receiver.clientId), receiver] as const) }
  }

  /** Undefined when the group is behind, or nobody is there. QoS 0 is given when it is matched, or not at all. */
  #choose(group: SharedGroup, message: SharedMessage, qos: number): Member | undefined {
    const { choice } = this.#options
    if (qos === 0) return choice.choose(group, message)
    if (this.lanes.isWithheld(group.filter, message.offset)) return undefined
    const member = choice.chooseWithRoom(group, message)
    if (member !== full) return member
    // What an owner before this one has chosen must not be chosen again by a group that reads on.
    if (this.#recorded.size === 0 && this.lanes.fallBehind(group.filter, message.offset)) return undefined
    return choice.choose(group, message)
  }

  /**
   * A choice is a record before it has an effect: a successor that chose another member could neither take back what the
   * first one was given nor get past the high-water of the second one's shard.
   */
  #carryOut(
    stretch: Stretch,
    plan: StretchPlan,
    bytes: number,
    kept: ReadonlyMap<string, { readonly offset: number; readonly value: Buffer }>,
    spans: readonly OpenSpan[],
  ): void {
    const from = stretch.records[0]?.offset ?? stretch.nextOffset
    // So is what a group is not given.
    const isChosen = !this.lanes.tell() && plan.choices.length === 0
    // Each retained message counts as one, and is taken off at once when there is nothing to append.
    const settled = this.#watermark.begin(stretch.nextOffset, 1 + kept.size, bytes)
    for (const [topic, { offset, value }] of kept) this.#keep(topic, offset, value, settled)
    const done = spans.length === 0 ? settled : endingAll(spans, settled)
    if (isChosen && this.#held.length === 0) {
      this.#effect(from, stretch.nextOffset, plan, done)
      return
    }
    this.#held.push({ to: stretch.nextOffset, isChosen, carryOut: () => this.#effect(from, stretch.nextOffset, plan, done) })
    const { appender, inboxTopic, now, onRefused } = this.#options
    const parts = plan.choices.length > 0 ? [...choiceParts(plan.choices, indexedSizeMax)] : isChosen ? [] : [[]]
    parts.forEach((choices, part) => {
      const value = encodeRecord('Chosen', { shard: this.shard, term: this.term, from, to: stretch.nextOffset, part, parts: parts.length, choices })
      appender.append({ topic: inboxTopic, partition: this.shard, key: null, value, timestamp: now() }, (error) => {
        if (error) onRefused(error)
      })
    })
  }

  /** `finished` is called once all of it is in the log or with the gateways. */
  #effect(from: number, to: number, plan: StretchPlan, finished: () => void): void {
    const direct: { link: Gateway; frame: DirectFrame }[] = []
    for (const part of plan.direct.values()) {
      const link = this.#options.gateways.get(part.gateway)
      // Without a link the incarnation is over, and its connections with it.
      if (link) for (const frame of directFrames(part.messages, to, frameSizeMax)) direct.push({ link, frame })
    }
    const indexed = [...plan.indexed].map(([shard, entries]) => ({ shard, parts: [...indexParts(entries, indexedSizeMax)] }))
    const waits = indexed.reduce((sum, { parts }) => sum + parts.length, direct.length)
    const done = countdown(waits, finished)
    for (const { link, frame } of direct) link.direct({ kind: 'direct', shard: this.shard, term: this.term, from, ...frame }, done)
    for (const { shard, parts } of indexed) this.#index(shard, from, to, parts, done)
  }

  #index(shard: number, from: number, to: number, parts: readonly (readonly IndexEntry[])[], done: () => void): void {
    const { appender, inboxTopic, now, onRefused, sessionsPosition } = this.#options
    const sessionsOffset = sessionsPosition(shard)
    const at = now()
    parts.forEach((entries, part) => {
      const value = encodeRecord('Indexed', { shard: this.shard, term: this.term, from, to, part, parts: parts.length, sessionsOffset, entries, at })
      appender.append({ topic: inboxTopic, partition: shard, key: null, value, timestamp: at }, (error) => (error ? onRefused(error) : done()))
    })
  }

  #moved(): void {
    this.#roomWanted?.()
    this.#roomWanted = undefined
    this.#options.onProgress()
  }
}

/** Null for what cannot be read in full, or is not traced after all. */
function traceMatch(tracing: Tracing, value: Buffer, shard: number, offset: number): OpenSpan | null {
  try {
    const message = decodeMessage(value)
    const properties = message.userProperties.map(({ name, value }) => [name, value] as const)
    const attributes = { 'messaging.system': 'kafka', 'messaging.operation.name': 'match', 'messaging.destination.name': message.topic }
    return tracing.match(message, properties, { ...attributes, 'messaging.destination.partition.id': String(shard), 'messaging.kafka.offset': offset })
  } catch (error) {
    if (!(error instanceof RecordError)) throw error
    return null
  }
}

function endingAll(spans: readonly OpenSpan[], done: () => void): () => void {
  return () => {
    for (const span of spans) span.end()
    done()
  }
}

/** Calls `done` once the answer was called `waits` times; at once for none. */
function countdown(waits: number, done: () => void): () => void {
  let left = waits
  if (left === 0) done()
  return () => {
    left--
    if (left === 0) done()
  }
}
