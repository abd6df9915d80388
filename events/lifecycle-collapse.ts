/**
 * Quick changes of a client resource are told as one, with its final state (LC-07): everything within 3 s of the first change, and
 * a deletion within 5 s of it. A pure fold over a stretch of records; the log itself holds every change.
 */
import type { LifecycleEvent } from '../schemas/event-records.ts'
import { clientCreatedOrUpdated, clientDeleted } from './lifecycle-event.ts'

const changeMs = 3_000
const deletionMs = 5_000

/** A record, or none that can be read. */
export interface LifecycleRecord {
  readonly event: LifecycleEvent | undefined
}

export interface Collapsed<R> {
  /** What is to be told, in the order of the records. */
  readonly told: readonly R[]
  /** How many records from the front are decided about; what stands behind them is to be looked at again, from there on. */
  readonly decided: number
  /** When the first of those is decided about at the latest, ms since the epoch; Infinity when there is none. */
  readonly until: number
}

/** The changes of one client that are told as one: the last of them. */
interface Burst {
  readonly first: number
  readonly since: number
  last: number
}

/**
 * `now` is the time up to which all records are known: of a stretch that ends before the log does, that of its last record. All
 * that stands behind the first change that is not decided about waits with it, so that where to go on is one position.
 */
export function collapse<R extends LifecycleRecord>(records: readonly R[], now: number): Collapsed<R> {
  const bursts = new Map<string, Burst>()
  const collapsed = new Set<number>()
  records.forEach(({ event }, index) => {
    if (event?.type !== clientCreatedOrUpdated && event?.type !== clientDeleted) return
    const burst = bursts.get(event.subject)
    const within = event.type === clientDeleted ? deletionMs : changeMs
    if (burst && event.time - burst.since <= within) {
      collapsed.add(burst.last)
      burst.last = index
    } else bursts.set(event.subject, { first: index, since: event.time, last: index })
  })
  const open = [...bursts.values()].filter((burst) => isOpen(burst, now))
  // Folded: there may be more of them than a call takes arguments.
  const decided = open.reduce((least, { first }) => Math.min(least, first), records.length)
  const until = open.reduce((least, { first, since }) => (first === decided ? Math.min(least, since + deletionMs) : least), Number.POSITIVE_INFINITY)
  return { told: records.filter(({ event }, index) => index < decided && event !== undefined && !collapsed.has(index)), decided, until }
}

/** A time that is still to come is that of a clock that is wrong: nobody waits for it. */
const isOpen = ({ since }: Burst, now: number): boolean => now - since <= deletionMs && since - now <= deletionMs
