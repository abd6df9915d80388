import type { AppendError } from '../log/log.ts'

/** What an acknowledgement goes back to. */
export interface Publisher {
  /** A publish was answered by the log, or could not be appended. */
  onPublishAnswered(error: AppendError | null): void
}

/** Answers that wait: still in Kafka's hands, or the PUBACK reason code that may go out. */
const waiting = -1

/**
 * One QoS 1 publish between its append and its PUBACK. PUBACKs leave in the order of the publishes [MQTT-4.6.0-2],
 * while partitions answer in any order: each connection keeps these in a queue. Reused, so that a publish in flight
 * costs no closure.
 */
export class PublishAck {
  packetId = 0
  reasonCode = waiting
  #publisher: Publisher | null = null

  readonly done = (error: AppendError | null): void => {
    const publisher = this.#publisher
    if (error === null) this.reasonCode = 0
    if (publisher) publisher.onPublishAnswered(error)
    else release(this)
  }

  get isAnswered(): boolean {
    return this.reasonCode !== waiting
  }

  static take(publisher: Publisher, packetId: number): PublishAck {
    const ack = pool.pop() ?? new PublishAck()
    ack.#publisher = publisher
    ack.packetId = packetId
    ack.reasonCode = waiting
    return ack
  }

  /** The PUBACK is out: the object may serve another publish. */
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
