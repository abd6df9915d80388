/** What is kept of an event that was given up (PU-13, PU-14). */
import type { DeliveryHeaders } from './delivery-headers.ts'

export interface GivenUp {
  /** In the CloudEvents JSON format. */
  readonly event: object
  /** Where it stands in its topic. */
  readonly source: { readonly partition: number; readonly offset: number }
  /** In Event Grid's words, or the text of another reason. */
  readonly reason: string
  readonly deliveryCount: number
  /** What the last attempt came to; null when there was none. */
  readonly lastResult: string | null
  /** Milliseconds since the epoch. */
  readonly publishedAt: number
  /** Null when there was no attempt. */
  readonly lastAttemptAt: number | null
  /** Headers of the subscription that are no secrets. */
  readonly headers: DeliveryHeaders
}

/** The document: the event, why it was given up, the headers it would have had, and where it came from, so that it can be tried again. */
export function deadLetter({ event, source, reason, deliveryCount, lastResult, publishedAt, lastAttemptAt, headers }: GivenUp): object {
  return {
    event,
    ...(Object.keys(headers).length > 0 ? { customDeliveryProperties: headers } : {}),
    deadletterProperties: {
      deadletterreason: reason,
      deliveryattempts: deliveryCount,
      ...(lastResult === null ? {} : { deliveryresult: lastResult }),
      publishutc: new Date(publishedAt).toISOString(),
      ...(lastAttemptAt === null ? {} : { deliveryattemptutc: new Date(lastAttemptAt).toISOString() }),
    },
    source,
  }
}

/** Where a file of dead letters stands below its folder: Event Grid's layout of blobs, months, days and hours (UTC) without leading zeros. */
export function deadLetterPath(namespace: string, topic: string, subscription: string, atMs: number, guid: string): string {
  const at = new Date(atMs)
  const time = [at.getUTCFullYear(), at.getUTCMonth() + 1, at.getUTCDate(), at.getUTCHours()]
  return [namespace, topic, subscription, ...time, `${guid}.json`].join('/')
}

/** Waits between attempts to write a dead letter away (PU-12), ms; the last one again and again. */
export const deadLetterWaits = [10_000, 60_000, 300_000] as const
