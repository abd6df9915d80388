import { Histogram } from './histogram.ts'
import type { LoadOptions } from './load-options.ts'

/** Payload: run u32, stream u32, sequence u32, four bytes unused, time f64 (ms). */
export const headBytes = 24

/** What all clients of a run write into. */
export class Run {
  readonly options: LoadOptions
  readonly tag: number
  /** performance.now() from which messages are measured. */
  measureFrom = Number.POSITIVE_INFINITY
  readonly acknowledgement = new Histogram()
  readonly delivery = new Histogram()
  sent = 0
  acknowledged = 0
  refused = 0
  delivered = 0
  measuredSent = 0
  measuredAcknowledged = 0
  measuredDelivered = 0
  lastAcknowledgedAt = 0
  lastDeliveredAt = 0
  isStopping = false
  readonly losses: string[] = []

  constructor(options: LoadOptions, tag: number) {
    this.options = options
    this.tag = tag
  }
}
