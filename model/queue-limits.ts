/** What a session's queue may hold, and what becomes of it when that is too much: pure, from the limits and the queue. */
import { limitInForce, type NamespaceLimits, type WhenQueueFull } from './namespace-limits.ts'
import type { QueueEntry, SessionQueue } from './session-queue.ts'

export interface QueueLimits {
  readonly messages: number
  /** Of the messages' records in the log. */
  readonly bytes: number
  /** That a message may wait. */
  readonly seconds: number
  readonly whenFull: WhenQueueFull
}

/** `seconds` at this value limits nothing: HISTORY_WINDOW does. */
export const anyAge = 31_536_000

/** Why messages are dropped. */
export type DropReason = 'queueFull' | 'tooOld'

export interface QueueLimitsInForce {
  readonly connected: QueueLimits
  readonly offline: QueueLimits
}

/** The deployment's limits hold always; what a namespace narrows holds for its sessions without a connection (SE-07). */
export function queueLimitsInForce(settings: QueueLimits, limits: NamespaceLimits | undefined): QueueLimitsInForce {
  const whenFull = limits?.sessionQueueFull ?? (limits?.preset === 'eventgrid' ? 'endSession' : settings.whenFull)
  return {
    connected: { ...settings, whenFull },
    offline: {
      messages: limitInForce('sessionQueueMessages', limits, settings.messages),
      bytes: limitInForce('sessionQueueBytes', limits, settings.bytes),
      seconds: limitInForce('sessionQueueSeconds', limits, settings.seconds),
      whenFull,
    },
  }
}

export function isSame(a: QueueLimits, b: QueueLimits): boolean {
  return a.messages === b.messages && a.bytes === b.bytes && a.seconds === b.seconds && a.whenFull === b.whenFull
}

const isTooOld = ({ at }: QueueEntry, { seconds }: QueueLimits, now: number): boolean => at !== 0 && seconds < anyAge && at + seconds * 1000 <= now

/** The queue holds more than it may, or something for longer. */
export function isOverLimit(queue: SessionQueue, limits: QueueLimits, now: number): boolean {
  if (queue.length > limits.messages || queue.bytes > limits.bytes) return true
  const oldest = limits.seconds < anyAge ? queue.oldest : undefined
  return oldest !== undefined && isTooOld(oldest, limits, now)
}

/** Numbers to give up until the rest is within its limits, oldest first; `isKept` says which must not be. */
export function oldestToDrop(
  queue: SessionQueue,
  limits: QueueLimits,
  now: number,
  isKept: (entry: QueueEntry) => boolean,
): { readonly [R in DropReason]: number[] } {
  const dropped: { readonly [R in DropReason]: number[] } = { queueFull: [], tooOld: [] }
  let { length, bytes } = queue
  for (const entry of queue.entries()) {
    const isOld = isTooOld(entry, limits, now)
    // Later ones are younger.
    if (!isOld && length <= limits.messages && bytes <= limits.bytes) break
    if (isKept(entry)) continue
    dropped[isOld ? 'tooOld' : 'queueFull'].push(entry.number)
    length--
    bytes -= entry.size
  }
  return dropped
}
