/** Appends life cycle events and knows up to where in `sessions` they are all in the log. */
import type { Appender } from '../log/log.ts'
import { partitionOf } from '../log/partitioner.ts'
import type { SessionChange } from '../model/session-fold.ts'
import { encodeRecord } from '../schemas/codec.ts'
import { lifecycleEvents } from './lifecycle-events.ts'
import { Watermark } from './watermark.ts'

export interface LifecycleWriterOptions {
  readonly namespace: string
  readonly shard: number
  /** Events of records below this are written. */
  readonly position: number
  readonly appender: Appender
  readonly topic: string
  readonly partitions: number
  onRefused(error: Error): void
  onProgress(): void
}

export class LifecycleWriter {
  readonly #options: LifecycleWriterOptions
  readonly #watermark: Watermark
  #taken: number

  constructor(options: LifecycleWriterOptions) {
    this.#options = options
    this.#taken = options.position
    this.#watermark = new Watermark(options.position, () => options.onProgress())
  }

  /** The events of every record of `sessions` below this are in the log. */
  get position(): number {
    return this.#watermark.position
  }

  /** Takes what the record at `offset` changed; records already taken are ignored. */
  applied(offset: number, changes: readonly SessionChange[]): void {
    if (offset < this.#taken) return
    this.#taken = offset + 1
    const { namespace, shard, appender, topic, partitions, onRefused } = this.#options
    const events = changes.flatMap((change) => lifecycleEvents(namespace, shard, offset, change))
    const done = this.#watermark.begin(offset + 1, events.length)
    for (const { authenticationName, event } of events) {
      const key = Buffer.from(authenticationName)
      const append = { topic, partition: partitionOf(key, partitions), key, value: encodeRecord('LifecycleEvent', event), timestamp: event.time }
      appender.append(append, (error) => (error ? onRefused(error) : done()))
    }
  }
}
