/**
 * A group that is behind with a shard's messages reads them again from its place in the log, as its members have room. Its choices are records before their
 * effects, like those of what is matched (docs/decisions/0009-shared-subscriptions.md); what it gives has a high-water of its own in the inboxes.
 */
import { OffsetOutOfRange, type Stretch } from '../log/log.ts'
import { deliveryTerms } from '../model/delivery-terms.ts'
import { matches, parseShared } from '../mqtt/topic.ts'
import type { BehindGroup, Choice, IndexEntry, IndexReceiver } from '../schemas/inbox-records.ts'
import { KnownTexts } from '../schemas/known-texts.ts'
import { isRepeatable } from '../schemas/message-id.ts'
import { peekMessage } from '../schemas/message-record.ts'
import { RecordError } from '../schemas/record-error.ts'
import { full, type SharedMessage } from './shared-choice.ts'
import type { Member, SharedGroup } from './shared-group.ts'
import { indexReceiverSize, type PublishedRecord, publishedOf, receiverOf } from './stretch-plan.ts'
import { Watermark } from './watermark.ts'
import { Withheld } from './withheld.ts'

/** What one step chooses at most: its records stay well below max.message.bytes. */
const choicesMax = 1_000
const choiceBytesMax = 512 * 1024
/** Choices that are not done yet, above which the next step waits. */
const underWayMax = 8_000
/** Bytes of one read. */
const readBytes = 1024 * 1024
/** A read that failed is tried again after this, ms. */
const retryMs = 200

/** A message of the log that the group is to get. */
interface Waiting {
  readonly offset: number
  readonly size: number
  readonly topic: string
  readonly message: PublishedRecord
  /** Of one that may come again. */
  readonly id: Buffer | null
}

export interface LaneOptions {
  readonly group: string
  readonly source: number
  /** What the journal told; empty for a group that falls behind now. */
  readonly told: readonly BehindGroup[]
  /** Members that an owner before this one chose, by offset: they are chosen again, and nobody else. */
  readonly recorded: ReadonlyMap<number, readonly IndexReceiver[]>
  /** Offset up to which messages were matched. */
  taken(): number
  /** The shared subscription; undefined when nobody holds it. */
  members(): SharedGroup | undefined
  choose(group: SharedGroup, message: SharedMessage): Member | undefined | typeof full
  /** Some member has room, or none has to be waited for. */
  mayTake(group: SharedGroup): boolean
  given(member: Member, bytes: number): void
  shardOf(clientId: string): number
  isRepeat(id: Buffer, offset: number): boolean
  read(offset: number, maxBytes: number): Promise<Stretch>
  /** Where the shard's messages begin. */
  start(): Promise<number>
  readonly now: () => number
  /** Takes a step in turn with others; `close` lets go of what it holds in memory. */
  wantTurn(step: () => Promise<void>): void
  used(close: () => void): void
  closed(close: () => void): void
  /** Calls back when a member may have room. */
  wait(retry: () => void): void
  leave(retry: () => void): void
  /** Appends the choices; `chosen` is called when they were read back. */
  record(from: number, to: number, choices: readonly Choice[]): void
  /** Appends what a shard is given. */
  index(shard: number, from: number, to: number, entries: readonly IndexEntry[], done: () => void): void
  /** Records whose messages may be sent soon. */
  remember(records: Stretch['records']): void
  onDropped(reason: 'expired' | 'gone' | 'noMember', count: number): void
  onGiven(count: number): void
  onFailure(error: Error): void
  /** Some of it was seen through. */
  onMoved(): void
}

const topics = new KnownTexts()
const idOf = (id: Buffer): Buffer | null => (isRepeatable(id) ? Buffer.from(id) : null)

export class SharedLane {
  readonly withheld: Withheld
  readonly #options: LaneOptions
  readonly #filter: string
  readonly #recorded: Map<number, readonly IndexReceiver[]>
  /** Spans that ended under an owner before this one, which had chosen to their ends. */
  readonly #wasEndedTo: number
  /** So far such an owner had chosen at least: nobody is chosen below who was not. */
  readonly #wasChosenTo: number
  readonly #done: Watermark
  /** Everything withheld below was chosen. */
  #next: number
  #rest: readonly Waiting[] = []
  #restAt = 0
  /** Up to where the rest tells what there is; nothing is known when it is not above `#next`. */
  #readTo = 0
  #state: 'idle' | 'scheduled' | 'reading' | 'waiting' | 'closed' = 'idle'
  /** Nobody took the next message when it was offered last. */
  #wasFull = false
  readonly #unread: { readonly to: number; readonly carryOut: () => void }[] = []
  #timer: NodeJS.Timeout | undefined

  constructor(options: LaneOptions) {
    this.#options = options
    this.#filter = parseShared(options.group)?.filter ?? ''
    this.withheld = new Withheld(options.group, options.told)
    this.#recorded = new Map(options.recorded)
    this.#wasEndedTo = options.told.reduce((end, { to }) => Math.max(end, to ?? 0), 0)
    // In the order of the log: what lies before the last choice and was not chosen had expired, or had nobody to go to.
    this.#wasChosenTo = [...options.recorded.keys()].reduce((to, offset) => Math.max(to, offset + 1), this.#wasEndedTo)
    const byPlace = [...options.told].sort((a, b) => a.from - b.from)
    // The first that is not seen through: what is behind it comes in its turn.
    const open = byPlace.find(({ to, position }) => to === null || position < to)
    this.#next = open ? Math.max(open.from, open.position) : (byPlace.at(-1)?.position ?? 0)
    this.#done = new Watermark(this.#next, () => this.#moved())
  }

  get group(): string {
    return this.#options.group
  }

  /** Everything withheld below was given. */
  get done(): number {
    return this.#done.position
  }

  /** Messages of the shard that are still to be looked at: those of the group among them. */
  get behind(): number {
    return this.withheld.isOpen ? Math.max(0, this.#options.taken() - this.#next) : 0
  }

  /** All that was matched is chosen, and no more: an owner before this one may have come further. */
  get isThere(): boolean {
    return this.withheld.isOpen && this.#next === this.#options.taken() && this.withheld.covers(this.#next)
  }

  /** Choices of an owner before this one have not all been made again. */
  get hasRecorded(): boolean {
    return this.#recorded.size > 0
  }

  /** What ended under an owner before this one is not given to its end: the group's later messages come behind it. */
  get owesEarlier(): boolean {
    return this.done < this.#wasEndedTo && this.#state !== 'closed'
  }

  /** From this offset on the group is behind. */
  fallBehind(offset: number): void {
    this.withheld.open(offset)
    this.#next = Math.max(this.#next, offset)
    this.schedule()
  }

  schedule(): void {
    if (this.#state !== 'idle') return
    this.#state = 'scheduled'
    setImmediate(() => {
      if (this.#state !== 'scheduled') return
      this.#state = 'idle'
      this.#step()
    })
  }

  /** Choices up to there stand in the log, under this term. */
  chosen(to: number): void {
    while (this.#unread[0] && this.#unread[0].to <= to) this.#unread.shift()?.carryOut()
  }

  close(): void {
    const { leave, closed } = this.#options
    this.#state = 'closed'
    clearTimeout(this.#timer)
    leave(this.#retry)
    closed(this.#letGo)
    this.#letGo()
  }

  readonly #letGo = (): void => {
    this.#rest = []
    this.#restAt = 0
    this.#readTo = 0
  }

  readonly #retry = (): void => {
    if (this.#state !== 'waiting') return
    this.#state = 'idle'
    this.schedule()
  }

  #wait(): void {
    this.#state = 'waiting'
    this.#options.wait(this.#retry)
  }

  #moved(): void {
    this.schedule()
    this.#options.onMoved()
  }

  /** Up to where it may choose: the end of what is withheld, and nothing that is not matched. */
  #reach(): number {
    const span = this.withheld.next(this.#next)
    if (!span) return this.#next
    this.#next = span.from
    return span.to ?? Math.max(this.#options.taken(), this.#next)
  }

  #step(): void {
    if (this.#done.weight > underWayMax) return
    const reach = this.#reach()
    if (this.#next >= reach) return
    if (this.#restAt < this.#rest.length || this.#readTo > this.#next) this.#choose(reach)
    else if (this.#wasFull && !this.#isTaken()) this.#wait()
    else {
      this.#state = 'reading'
      this.#options.wantTurn(() => this.#read())
    }
  }

  /** What others let go of for want of memory is not read again each second for members that take nothing, or are away. */
  #isTaken(): boolean {
    const members = this.#options.members()
    return !members || this.#options.mayTake(members)
  }

  async #read(): Promise<void> {
    const { read, start, used, remember, onFailure, onDropped } = this.#options
    if (this.#state !== 'reading') return
    const from = this.#next
    try {
      const stretch = await read(from, readBytes)
      if (this.#isClosed) return
      const found: Stretch['records'][number][] = []
      const rest: Waiting[] = []
      for (const record of stretch.records) {
        const waiting = record.offset >= from ? this.#waitingOf(record) : undefined
        if (!waiting) continue
        found.push(record)
        rest.push(waiting)
      }
      if (found.length > 0) remember(found)
      this.#rest = rest
      this.#restAt = 0
      this.#readTo = Math.max(stretch.nextOffset, from)
      used(this.#letGo)
      this.#state = 'idle'
      if (this.#readTo > from) this.schedule()
      else this.#tryAgain()
    } catch (error) {
      if (this.#isClosed) return
      if (error instanceof OffsetOutOfRange) {
        const begins = await start().catch(() => 0)
        if (begins > from) {
          const to = Math.min(begins, this.withheld.next(from)?.to ?? begins)
          onDropped('gone', to - from)
          this.#pass(to)
        }
      } else onFailure(error as Error)
      this.#state = 'idle'
      this.#tryAgain()
    }
  }

  get #isClosed(): boolean {
    return this.#state === 'closed'
  }

  #tryAgain(): void {
    if (this.#isClosed) return
    this.#state = 'waiting'
    clearTimeout(this.#timer)
    this.#timer = setTimeout(this.#retry, retryMs)
  }

  /** What of a record the group is to get; undefined when it is not for it. */
  #waitingOf({ offset, key, value }: Stretch['records'][number]): Waiting | undefined {
    if (!key || !value) return undefined
    const topic = topics.textOf(key, 0, key.length)
    if (!matches(this.#filter, topic)) return undefined
    try {
      const view = peekMessage(value)
      // Those are given when they are matched.
      if (view.qos === 0) return undefined
      return { offset, size: value.length, topic, message: publishedOf(view, view.clientId, false), id: idOf(view.messageId) }
    } catch (error) {
      // Counted and told when it was matched.
      if (error instanceof RecordError) return undefined
      throw error
    }
  }

  #choose(reach: number): void {
    const { group, source, now, isRepeat, shardOf, given, onDropped, onGiven } = this.#options
    const from = this.#next
    const choices: Choice[] = []
    const byShard = new Map<number, IndexEntry[]>()
    let to = from
    let bytes = 0
    let isFull = false
    const give = (waiting: Waiting, shard: number, receiver: IndexReceiver): void => {
      choices.push({ offset: waiting.offset, receiver })
      bytes += 32 + indexReceiverSize(receiver)
      const entries = byShard.get(shard) ?? []
      byShard.set(shard, entries)
      const last = entries.at(-1)
      if (last?.offset === waiting.offset) (last.receivers as IndexReceiver[]).push(receiver)
      else entries.push({ offset: waiting.offset, size: waiting.size, expiresAt: waiting.message.expiresAt || null, receivers: [receiver] })
    }
    const lost = { expired: 0, noMember: 0 }
    for (; this.#restAt < this.#rest.length && choices.length < choicesMax && bytes < choiceBytesMax; this.#restAt++) {
      const waiting = this.#rest[this.#restAt] as Waiting
      const { offset, size, topic, message, id } = waiting
      if (offset >= reach) break
      if (offset < from) continue
      const recorded = this.#recorded.get(offset)
      if (recorded) {
        for (const receiver of recorded) give(waiting, shardOf(receiver.clientId), receiver)
        this.#recorded.delete(offset)
      } else if (offset >= this.#wasChosenTo && !(id && isRepeat(id, offset))) {
        if (message.expiresAt !== 0 && message.expiresAt <= now()) lost.expired++
        else {
          const members = this.#options.members()
          const member = members && this.#options.choose(members, { publisher: message.clientId, topic, source, offset })
          // Who has no connection has queue enough with what was given when it was matched.
          if (member === full || (member && !member.session.attached)) {
            isFull = true
            break
          }
          const terms = member && deliveryTerms(member.session, [member.subscription], message)
          if (!member) lost.noMember++
          else if (terms) {
            give(waiting, member.session.shard, receiverOf(member.session, terms, group, null))
            given(member, size)
          }
        }
      }
      to = offset + 1
    }
    const isSeen = this.#restAt >= this.#rest.length
    if (isSeen || (!isFull && (this.#rest[this.#restAt] as Waiting).offset >= reach)) to = Math.max(to, Math.min(isSeen ? this.#readTo : reach, reach))
    for (const reason of ['expired', 'noMember'] as const) if (lost[reason] > 0) onDropped(reason, lost[reason])
    if (choices.length > 0) {
      onGiven(choices.length)
      this.#carryOut(from, to, choices, byShard)
    } else if (to > from) this.#pass(to)
    this.#wasFull = isFull
    if (isFull) this.#wait()
    else this.schedule()
  }

  #carryOut(from: number, to: number, choices: readonly Choice[], byShard: ReadonlyMap<number, readonly IndexEntry[]>): void {
    const { record, index } = this.#options
    this.#onward(to)
    const done = this.#done.begin(to, byShard.size, choices.length)
    this.#unread.push({
      to,
      carryOut: () => {
        for (const [shard, entries] of byShard) index(shard, from, to, entries, done)
      },
    })
    record(from, to, choices)
  }

  /** Nothing up to there is to be given. */
  #pass(to: number): void {
    this.#onward(to)
    this.#done.begin(to, 0)
  }

  #onward(to: number): void {
    this.#next = to
    // Of a message that cannot be had any more.
    for (const offset of this.#recorded.keys()) if (offset < to) this.#recorded.delete(offset)
  }
}
