/**
 * What an event subscription owes: a pure fold over the records of `deliveries` and the decisions that make new ones. Per partition
 * of the topic a position, below which every event is settled, was not wanted, or stands here as unsettled.
 *
 * An event is unsettled from when it is given out until it is acknowledged, rejected, dead or dropped. Times are milliseconds since the epoch.
 */
import type { UnsettledEvent } from '../../schemas/event-records.ts'

/** An event by its place in the topic. */
export interface EventPlace {
  readonly partition: number
  readonly offset: number
}

/** Tells it from every other one of the topic. */
export const placeKey = ({ partition, offset }: EventPlace): string => `${partition}/${offset}`

/** As its record has it, and where it stands. */
export interface Unsettled extends EventPlace, Omit<UnsettledEvent, 'id'> {}

/** What has to stand in the log before the decision that made it has an effect. In this order: a settled event must not outlive the position that covers it. */
export type LedgerChange =
  | { readonly kind: 'unsettled'; readonly event: Unsettled }
  | { readonly kind: 'settled'; readonly place: EventPlace }
  | { readonly kind: 'position'; readonly partition: number; readonly position: number }

/** A lock may be renewed for this long from when the event was received (spec 1.16). */
export const renewableMs = 3_600_000

interface Partition {
  /** The next event that was not given out. */
  position: number
  /** As the log has it. */
  recorded: number
  readonly unsettled: Map<number, Unsettled>
  /** Given out by somebody who notes it only when it fails: the log's position waits for them. */
  readonly unrecorded: Set<number>
}

export class Ledger {
  readonly #partitions = new Map<number, Partition>()
  #size = 0

  /** `starts` is where the subscription begins in each partition. */
  constructor(starts: readonly number[]) {
    for (const [partition, start] of starts.entries()) this.#at(partition, start)
  }

  /** Unsettled events. */
  get size(): number {
    return this.#size
  }

  get partitions(): readonly number[] {
    return [...this.#partitions.keys()]
  }

  /** The next event of the partition that was not given out. */
  position(partition: number): number {
    return this.#at(partition).position
  }

  /** True for an event that was given out already, or passed over. */
  isPast({ partition, offset }: EventPlace): boolean {
    const { position, unsettled } = this.#at(partition)
    return offset < position || unsettled.has(offset)
  }

  get(place: EventPlace): Unsettled | undefined {
    return this.#at(place.partition).unsettled.get(place.offset)
  }

  /** Folds a record. */
  apply(change: LedgerChange): void {
    switch (change.kind) {
      case 'position': {
        const at = this.#at(change.partition)
        // It may stand before where the subscription began: it was rewound.
        at.position = change.position
        at.recorded = change.position
        return
      }
      case 'unsettled':
        this.#put(change.event)
        return
      case 'settled':
        this.#delete(change.place)
        return
    }
  }

  /** The position as the log has it. */
  recorded(partition: number): number {
    return this.#at(partition).recorded
  }

  /** Begins anew at a position: what is unsettled from there on is forgotten. */
  rewind(partition: number, position: number): readonly LedgerChange[] {
    const at = this.#at(partition)
    const changes: LedgerChange[] = []
    for (const offset of [...at.unsettled.keys()]) {
      if (offset < position) continue
      const settled = this.settle({ partition, offset })
      if (settled) changes.push(settled)
    }
    at.position = position
    at.recorded = coveredBy(at)
    // First of all: if the rest is not written, too much comes again and nothing is missed.
    return [{ kind: 'position', partition, position: at.recorded }, ...changes]
  }

  /** Nothing below was wanted, or it was given out. */
  pass(partition: number, to: number): void {
    const at = this.#at(partition)
    if (to > at.position) at.position = to
  }

  /** The log's position of each partition that has moved on; to be appended behind the events it covers. */
  positions(): readonly LedgerChange[] {
    const changes: LedgerChange[] = []
    for (const [partition, at] of this.#partitions) {
      const position = coveredBy(at)
      if (position <= at.recorded) continue
      at.recorded = position
      changes.push({ kind: 'position', partition, position })
    }
    return changes
  }

  /** Gives an event to a receiver for a time; it is a new one, or one whose time has come. */
  lock(place: EventPlace, publishedAt: number, lock: string, now: number, until: number): LedgerChange {
    const before = this.get(place)
    const event: Unsettled = {
      partition: place.partition,
      offset: place.offset,
      publishedAt: before?.publishedAt ?? publishedAt,
      deliveryCount: (before?.deliveryCount ?? 0) + 1,
      lock,
      lockedSince: now,
      until,
      lastAttemptAt: now,
      lastResult: before?.lastResult ?? null,
    }
    return this.#record(event)
  }

  /** An event is given out by somebody who notes it only when it fails (push): whoever comes after a crash gives it out again. */
  hold(place: EventPlace, publishedAt: number): void {
    if (this.get(place)) return
    const { partition, offset } = place
    this.#put({
      partition,
      offset,
      publishedAt,
      deliveryCount: 0,
      lock: '',
      lockedSince: 0,
      until: Number.MAX_SAFE_INTEGER,
      lastAttemptAt: null,
      lastResult: null,
    })
    this.#at(partition).unrecorded.add(offset)
  }

  /** Nobody holds events without a record any more: whoever asks next is given them. */
  unhold(now: number): void {
    for (const { unsettled, unrecorded } of this.#partitions.values()) {
      for (const offset of unrecorded) {
        const event = unsettled.get(offset)
        if (event) this.#put({ ...event, until: now })
      }
    }
  }

  /** The receiver's lock is good now. */
  isLockedBy(event: Unsettled | undefined, lock: string, now: number): event is Unsettled {
    return event !== undefined && event.lock !== '' && event.lock === lock && now < event.until
  }

  /** The lock counts anew from now; undefined when it has been renewed for long enough. */
  renew(event: Unsettled, now: number, lockMs: number): LedgerChange | undefined {
    if (now - event.lockedSince > renewableMs) return undefined
    return this.#record({ ...event, until: now + lockMs })
  }

  /** Nobody has it; it may be given out again from `until` on. */
  release(event: Unsettled, until: number): LedgerChange {
    return this.#record({ ...event, lock: '', lockedSince: 0, until })
  }

  /** An attempt of somebody who holds it has failed. */
  failed(place: EventPlace, attempt: Pick<Unsettled, 'publishedAt' | 'deliveryCount' | 'until' | 'lastAttemptAt' | 'lastResult'>): LedgerChange {
    const { publishedAt, deliveryCount, until, lastAttemptAt, lastResult } = attempt
    return this.#record({
      partition: place.partition,
      offset: place.offset,
      lock: '',
      lockedSince: 0,
      publishedAt,
      deliveryCount,
      until,
      lastAttemptAt,
      lastResult,
    })
  }

  /** The event needs nothing more. Undefined when the log never knew of it: its position alone tells. */
  settle(place: EventPlace): LedgerChange | undefined {
    const { unrecorded } = this.#at(place.partition)
    const wasRecorded = this.get(place) !== undefined && !unrecorded.has(place.offset)
    this.#delete(place)
    return wasRecorded ? { kind: 'settled', place: { partition: place.partition, offset: place.offset } } : undefined
  }

  /**
   * Those that may be given out again now, in the topic's order within each partition. What a predecessor noted above the position
   * waits until the position has passed it: settled before, it would be read as a new event after another crash.
   */
  due(now: number): readonly Unsettled[] {
    const due: Unsettled[] = []
    for (const { unsettled, position } of this.#partitions.values()) {
      for (const event of unsettled.values()) if (event.until <= now && event.offset < position) due.push(event)
    }
    return due.sort((a, b) => a.partition - b.partition || a.offset - b.offset)
  }

  /** When the next one may be given out again; Infinity when none will. */
  nextDueAt(): number {
    let next = Number.POSITIVE_INFINITY
    for (const { unsettled, position } of this.#partitions.values()) {
      for (const { until, offset } of unsettled.values()) if (until < next && offset < position) next = until
    }
    return next
  }

  /** As changes that make another ledger of it. What somebody holds without a record is not among them: it is given out again. */
  state(): readonly LedgerChange[] {
    return [...this.#partitions].flatMap(([partition, at]) => [
      ...[...at.unsettled.values()].filter(({ offset }) => !at.unrecorded.has(offset)).map((event): LedgerChange => ({ kind: 'unsettled', event })),
      { kind: 'position', partition, position: coveredBy(at) },
    ])
  }

  all(): readonly Unsettled[] {
    return [...this.#partitions.values()].flatMap(({ unsettled }) => [...unsettled.values()])
  }

  #at(partition: number, start = 0): Partition {
    const known = this.#partitions.get(partition)
    if (known) return known
    const made: Partition = { position: start, recorded: start, unsettled: new Map(), unrecorded: new Set() }
    this.#partitions.set(partition, made)
    return made
  }

  #record(event: Unsettled): LedgerChange {
    this.#put(event)
    this.#at(event.partition).unrecorded.delete(event.offset)
    return { kind: 'unsettled', event }
  }

  #put(event: Unsettled): void {
    const { unsettled } = this.#at(event.partition)
    if (!unsettled.has(event.offset)) this.#size++
    unsettled.set(event.offset, event)
  }

  #delete({ partition, offset }: EventPlace): void {
    const at = this.#at(partition)
    at.unrecorded.delete(offset)
    if (at.unsettled.delete(offset)) this.#size--
  }
}

/** The position that the log may have: what is held without a record stands at or above it. There may be more of that than a call takes arguments. */
function coveredBy({ position, unrecorded }: Partition): number {
  let covered = position
  for (const offset of unrecorded) if (offset < covered) covered = offset
  return covered
}

/** An unsettled event as its record has it, and back. */
export function toRecord(id: string, { partition: _partition, offset: _offset, ...rest }: Unsettled): UnsettledEvent {
  return { id, ...rest }
}

export function fromRecord({ partition, offset }: EventPlace, { id: _id, ...rest }: UnsettledEvent): Unsettled {
  return { partition, offset, ...rest }
}
