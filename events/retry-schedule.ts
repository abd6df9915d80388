/** When an event is tried again (PU-05), and when it is given up (PU-07). */

/** Waits after the first attempt, the second and so on, ms; the last one again and again. */
export type RetrySchedule = readonly [number, ...number[]]

/** Event Grid's: at once, then after 10 s, 30 s, 1 min, 5 min, and every 5 min. */
export const defaultSchedule: RetrySchedule = [10_000, 30_000, 60_000, 300_000]

/** Waits are up to this much longer by chance, so that what failed together does not come together again. */
const jitter = 0.2

/** Wait after the attempt numbered `attempt` from 1, ms; `chance` is from 0 to 1. */
export function retryWait(schedule: RetrySchedule, attempt: number, chance: number): number {
  const wait = schedule[Math.min(attempt, schedule.length) - 1] ?? schedule[0]
  return Math.round(wait * (1 + jitter * chance))
}

export interface RetryPolicy {
  readonly schedule: RetrySchedule
  /** 1 to 10. */
  readonly maxDeliveryCount: number
  /** From when the event was published, ms. */
  readonly timeToLiveMs: number
}

/** As `deadletterreason` tells it, in Event Grid's words. */
export const DeadLetterReason = {
  clientError: 'Undeliverable due to client error',
  deliveryCount: 'Maximum delivery attempts was exceeded',
  timeToLive: 'Time to live was exceeded',
  rejected: 'Rejected by the consumer',
} as const
export type DeadLetterReason = (typeof DeadLetterReason)[keyof typeof DeadLetterReason]

const reasonLabels: ReadonlyMap<string, string> = new Map([
  [DeadLetterReason.clientError, 'UndeliverableDueToClientError'],
  [DeadLetterReason.deliveryCount, 'MaxDeliveryAttemptsExceeded'],
  [DeadLetterReason.timeToLive, 'TimeToLiveExceeded'],
  [DeadLetterReason.rejected, 'Rejected'],
])

/** A reason as metrics name it. */
export const reasonLabel = (reason: string): string => reasonLabels.get(reason) ?? 'Other'

export interface TriedEvent {
  /** When it was accepted, ms since the epoch. */
  readonly publishedAt: number
  /** Attempts that have ended. */
  readonly deliveryCount: number
}

/** Why no further attempt is made; looked at right before one, and only then (PU-07). */
export function whyGivenUp({ publishedAt, deliveryCount }: TriedEvent, policy: RetryPolicy, nowMs: number): DeadLetterReason | undefined {
  if (nowMs - publishedAt >= policy.timeToLiveMs) return DeadLetterReason.timeToLive
  return deliveryCount >= policy.maxDeliveryCount ? DeadLetterReason.deliveryCount : undefined
}

/** What becomes of an event whose attempt failed: when it is tried again, or why not. `deliveryCount` counts that attempt. */
export function afterFailure(
  event: TriedEvent,
  verdict: { readonly fate: 'delivered' | 'retry' | 'undeliverable'; readonly retryAfterMs: number },
  policy: RetryPolicy,
  nowMs: number,
  chance: number,
): { readonly retryAt: number } | { readonly deadLetter: DeadLetterReason } {
  if (verdict.fate === 'undeliverable') return { deadLetter: DeadLetterReason.clientError }
  if (event.deliveryCount >= policy.maxDeliveryCount) return { deadLetter: DeadLetterReason.deliveryCount }
  return { retryAt: nowMs + Math.max(verdict.retryAfterMs, retryWait(policy.schedule, event.deliveryCount, chance)) }
}
