/**
 * The life of one connection in the log: one Attached, then exactly one Detached, whatever order the log's answer, the
 * router's answer and the end of the connection come in.
 */
import type { Detached } from '../schemas/session-records.ts'
import type { Ending } from './disconnection.ts'

export class Attachment {
  readonly clientId: string
  readonly shard: number
  readonly connection: number
  readonly connectionId: Buffer
  /** Offset of the Attached record; null until the log or the router has told. */
  #epoch: number | null = null
  #ending: Ending | null = null
  #detached = false

  constructor(clientId: string, shard: number, connection: number, connectionId: Buffer) {
    this.clientId = clientId
    this.shard = shard
    this.connection = connection
    this.connectionId = connectionId
  }

  get epoch(): number | null {
    return this.#epoch
  }

  get isEnded(): boolean {
    return this.#ending !== null
  }

  /** The log or the router told where the Attached record stands. Answers what is to be appended now, if anything. */
  attached(epoch: number, nowMs: number): Detached | null {
    this.#epoch ??= epoch
    return this.#detach(nowMs)
  }

  /** The connection is over. Answers what is to be appended now, if anything. */
  end(ending: Ending, nowMs: number): Detached | null {
    this.#ending ??= ending
    return this.#detach(nowMs)
  }

  #detach(nowMs: number): Detached | null {
    const ending = this.#ending
    if (this.#detached || ending === null || this.#epoch === null) return null
    this.#detached = true
    return {
      clientId: this.clientId,
      epoch: this.#epoch,
      at: nowMs,
      reason: ending.reason,
      reasonCode: ending.reasonCode,
      sessionExpiryInterval: ending.sessionExpiryInterval,
      keepWill: ending.keepWill,
      by: 'gateway',
    }
  }
}
