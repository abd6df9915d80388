/** The groups that are behind with a shard's messages: who they are, what is withheld from them, and their places for the journal. */
import type { Appender, Log, LogRecord } from '../log/log.ts'
import { encodeRecord } from '../schemas/codec.ts'
import type { BehindGroup, IndexReceiver } from '../schemas/inbox-records.ts'
import type { RecordName, Records } from '../schemas/records.ts'
import type { ReplayTurns } from './replay-turns.ts'
import type { SharedChoice } from './shared-choice.ts'
import { SharedLane } from './shared-lane.ts'
import type { SharedRoom } from './shared-room.ts'
import type { SubscriptionTrie } from './subscription-trie.ts'

/** Bytes of the names of all groups that are behind: the record of their places names each twice at most, and stays well below max.message.bytes. */
const namesMax = 256 * 1024

export interface SharedLanesOptions {
  readonly shard: number
  readonly term: number
  readonly log: Pick<Log, 'read' | 'startOffsets'>
  readonly topics: { readonly messages: string; readonly inbox: string }
  readonly appender: Appender
  readonly trie: Pick<SubscriptionTrie, 'group'>
  readonly choice: Pick<SharedChoice, 'chooseWithRoom'>
  readonly room: SharedRoom
  /** One read at a time, whichever shard's and group's. */
  readonly turns: Pick<ReplayTurns, 'want' | 'leave' | 'used' | 'closed'>
  /** Groups that may be behind at a time. */
  readonly groupsMax: number
  readonly counters: {
    dropped(reason: string, count: number): void
    given(count: number): void
    /** One more group would have fallen behind than may. */
    full(): void
  }
  /** As the owner before left it. */
  readonly behind: readonly BehindGroup[]
  readonly choices: ReadonlyMap<string, ReadonlyMap<number, readonly IndexReceiver[]>>
  /** Offset in `messages` up to which that one may have been: what it withheld there, and told of other sessions, stays withheld. */
  readonly backlogEnd: number
  readonly now: () => number
  shardOf(clientId: string): number
  isRepeat(id: Buffer, offset: number): boolean
  sessionsPosition(shard: number): number
  /** Records whose messages are sent soon. */
  remember(records: readonly LogRecord[]): void
  /** A group fell behind or caught up; or messages that it was behind with have nobody to go to. */
  onTold(what: 'fell behind' | 'caught up' | 'gone' | 'noMember', group: string, count: number): void
  onFailure(error: Error): void
  onRefused(error: Error): void
}

export class SharedLanes {
  readonly #options: SharedLanesOptions
  readonly #lanes = new Map<string, SharedLane>()
  #namesSize = 0
  /** Offset up to which messages were matched. */
  #taken = 0
  /** What is withheld changed since it was written down. */
  #hasChanged = false
  /** Places moved since. */
  #hasMoved = false
  #isClosed = false
  #settled: (() => void) | undefined

  constructor(options: SharedLanesOptions) {
    this.#options = options
    for (const group of new Set(options.behind.map((each) => each.group))) this.#add(group, options.behind)
  }

  /** Goes on with what the owner before left. */
  start(taken: number): void {
    this.#taken = taken
    for (const lane of this.#lanes.values()) lane.schedule()
  }

  /** Groups that are behind. */
  get count(): number {
    let count = 0
    for (const { withheld } of this.#lanes.values()) if (withheld.isOpen) count++
    return count
  }

  /** Messages of the shard that they have still to look at, of the one that is furthest behind. */
  get behind(): number {
    let most = 0
    for (const { behind } of this.#lanes.values()) most = Math.max(most, behind)
    return most
  }

  /** What /status shows. */
  status(): object[] {
    return [...this.#lanes.values()].filter(({ withheld }) => withheld.isOpen).map(({ group, behind, done }) => ({ group, behind, done }))
  }

  /** Choices of an owner before this one have not all been made again: they stand in its records only. */
  get hasRecorded(): boolean {
    for (const { hasRecorded } of this.#lanes.values()) if (hasRecorded) return true
    return false
  }

  /** Resolves once what earlier spans owe is given: later messages of their groups come behind it. */
  async settled(): Promise<void> {
    while (!this.#isClosed && [...this.#lanes.values()].some(({ owesEarlier }) => owesEarlier)) {
      await new Promise<void>((resolve) => {
        this.#settled = resolve
      })
    }
  }

  /** The group gets the message by reading it again. */
  isWithheld(group: string, offset: number): boolean {
    return this.#lanes.size > 0 && (this.#lanes.get(group)?.withheld.covers(offset) ?? false)
  }

  /** From this message on the group is behind; false when it cannot be, and the message is to be given. */
  fallBehind(group: string, offset: number): boolean {
    const known = this.#lanes.get(group)
    if (known && offset < known.withheld.end) return false
    if (!known && (this.#lanes.size >= this.#options.groupsMax || this.#namesSize + Buffer.byteLength(group) > namesMax)) {
      this.#options.counters.full()
      return false
    }
    const lane = known ?? this.#add(group, [])
    lane.fallBehind(offset)
    this.#hasChanged = true
    this.#options.onTold('fell behind', group, 0)
    return true
  }

  /** Everything below is matched; groups that have come so far, and whose members take more, get the next messages as they are matched. */
  rejoin(taken: number): void {
    this.#taken = taken
    const { trie, room, onTold, backlogEnd } = this.#options
    if (this.#lanes.size === 0 || taken < backlogEnd) return
    for (const lane of this.#lanes.values()) {
      // One span more than this is told of at most: the record of all must stay small.
      if (!lane.isThere || lane.withheld.count > 1) continue
      const group = trie.group(lane.group)
      if (group?.hasAttached && !group.nextAttached(room.debt, room.isFree)) continue
      lane.withheld.close(taken)
      this.#hasChanged = true
      onTold('caught up', lane.group, 0)
    }
  }

  /** More was matched. */
  onward(taken: number): void {
    this.#taken = taken
    for (const lane of this.#lanes.values()) lane.schedule()
  }

  /** Writes down what is withheld when that changed; true then: nothing that was matched with it has an effect before that was read back. */
  tell(): boolean {
    if (!this.#hasChanged) return false
    this.#write()
    return true
  }

  /** Progress up to there is in the journal, or on its way: places may follow. */
  journal(progress: number): void {
    for (const [group, lane] of this.#lanes) {
      if (!lane.withheld.prune(lane.done, progress)) continue
      this.#hasMoved = true
      if (!lane.withheld.isEmpty) continue
      lane.close()
      this.#lanes.delete(group)
      this.#namesSize -= Buffer.byteLength(group)
    }
    if (this.#hasMoved) this.#write()
  }

  /** Choices for the group up to there were read back under the own term, and no later term before them. */
  chosen(group: string, to: number): void {
    this.#lanes.get(group)?.chosen(to)
  }

  close(): void {
    this.#isClosed = true
    for (const lane of this.#lanes.values()) lane.close()
    this.#settled?.()
  }

  #write(): void {
    this.#hasChanged = false
    this.#hasMoved = false
    const { shard, term } = this.#options
    this.#append(shard, 'SharedBehind', { shard, term, groups: [...this.#lanes.values()].flatMap(({ withheld, done }) => withheld.told(done)) })
  }

  #add(group: string, behind: readonly BehindGroup[]): SharedLane {
    const { shard, term, log, topics, trie, choice, room, turns, counters, choices, now, shardOf, isRepeat, sessionsPosition, remember, onTold, onFailure } =
      this.#options
    const lane: SharedLane = new SharedLane({
      group,
      source: shard,
      told: behind.filter((each) => each.group === group),
      // Of one that falls behind under this owner they are over: its places are above them.
      recorded: (behind.length > 0 ? choices.get(group) : undefined) ?? new Map(),
      taken: () => this.#taken,
      members: () => trie.group(group),
      choose: (members, message) => choice.chooseWithRoom(members, message, true),
      mayTake: (members) => (members.hasAttached ? members.nextAttached(room.debt, room.hasRoom, true) !== undefined : !members.hasAway),
      given: ({ session }, bytes) => room.given(session, bytes),
      shardOf,
      isRepeat,
      read: (offset, maxBytes) => log.read(topics.messages, shard, offset, maxBytes),
      start: async () => (await log.startOffsets(topics.messages)).get(shard) ?? 0,
      now,
      wantTurn: (step) => turns.want(lane, step),
      used: (close) => turns.used(close),
      closed: (close) => turns.closed(close),
      wait: (retry) => room.wait(group, retry),
      leave: (retry) => room.leave(group, retry),
      record: (from, to, all) => this.#append(shard, 'SharedChosen', { shard, term, group, from, to, choices: all }),
      index: (target, from, to, entries, done) => {
        const sessionsOffset = sessionsPosition(target)
        this.#append(target, 'SharedIndexed', { shard, term, group, from, to, sessionsOffset, entries, at: now() }, done)
      },
      remember,
      onDropped: (reason, count) => {
        counters.dropped(reason, count)
        if (reason !== 'expired') onTold(reason, group, count)
      },
      onGiven: (count) => counters.given(count),
      onFailure,
      onMoved: () => {
        this.#hasMoved = true
        this.#settled?.()
        this.#settled = undefined
      },
    })
    this.#lanes.set(group, lane)
    this.#namesSize += Buffer.byteLength(group)
    return lane
  }

  #append<N extends RecordName>(partition: number, name: N, record: Records[N], done: () => void = nothing): void {
    if (this.#isClosed) return
    const { appender, topics, now, onRefused } = this.#options
    appender.append({ topic: topics.inbox, partition, key: null, value: encodeRecord(name, record), timestamp: now() }, (error) => {
      if (error) onRefused(error)
      else done()
    })
  }
}

const nothing = (): void => {}
