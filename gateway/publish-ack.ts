import type { AppendError } from '../log/log.ts'
import { OperationError } from '../telemetry/dimensions.ts'
import type { OperationCounts } from './operation-counts.ts'

/** What an acknowledgement goes back to. */
export interface Publisher {
  /** A publish was answered by the log, or could not be appended. */
  onPublishAnswered(error: AppendError | null): void
}

/** Answers that wait: still in Kafka's hands, or the reason code that may go out. */
const waiting = -1

/** First byte of the acknowledgement. */
export const AckType = { Puback: 0x40, Pubrec: 0x50, Pubcomp: 0x70 } as const
export type AckType = (typeof AckType)[keyof typeof AckType]

/**
 * One PUBLISH or PUBREL between its append and its acknowledgement. PUBACKs and PUBRECs leave in the order of the publishes
 * [MQTT-4.6.0-2, -3], while partitions answer in any order: each connection keeps these in a queue. Reused, so that a publish in
 * flight costs no closure.
 */
export class PublishAck {
  type: AckType = AckType.Puback
  packetId = 0
  /** The acknowledgement ends a publish that Receive Maximum counts. */
  isLast = true
  reasonCode = waiting
  /** Why the publish was refused, for a client that wants to know; null leaves it to the reason code. */
  detail: string | null = null
  #publisher: Publisher | null = null
  /** Of a message on its way into the log: where it counts once it is there, whether or not its publisher still is. */
  #counts: OperationCounts | null = null
  #kind = 0
  #receivedAt = 0

  readonly done = (error: AppendError | null): void => {
    const publisher = this.#publisher
    if (error === null) this.reasonCode = 0
    if (this.#counts) {
      if (error) this.#counts.notPublished(this.#kind, OperationError.ServiceError)
      else this.#counts.stored(this.#kind, this.#receivedAt)
      this.#counts = null
    }
    if (publisher) publisher.onPublishAnswered(error)
    else release(this)
  }

  get isAnswered(): boolean {
    return this.reasonCode !== waiting
  }

  static take(publisher: Publisher, type: AckType, packetId: number): PublishAck {
    const ack = pool.pop() ?? new PublishAck()
    ack.#publisher = publisher
    ack.type = type
    ack.packetId = packetId
    ack.isLast = type === AckType.Puback
    ack.reasonCode = waiting
    ack.detail = null
    return ack
  }

  /** A message of this kind waits for the log, ms since the epoch. */
  count(counts: OperationCounts, kind: number, receivedAt: number): void {
    this.#counts = counts
    this.#kind = kind
    this.#receivedAt = receivedAt
  }

  /** The acknowledgement is out: the object may serve another publish. */
  free(): void {
    this.#publisher = null
    release(this)
  }

  /** The connection is gone: nobody waits; freed when the log answers. */
  abandon(): void {
    if (this.isAnswered) this.free()
    else this.#publisher = null
  }
}

const pool: PublishAck[] = []
const poolMax = 4096

function release(ack: PublishAck): void {
  if (pool.length < poolMax) pool.push(ack)
}
