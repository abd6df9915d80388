/**
 * Erases what a client has published: destroys the keys that its messages are sealed with. Of one namespace; the topic `keys` is read
 * only once there is something to open or to erase.
 */
import type { Log } from '../log/log.ts'
import { partitionOf } from '../log/partitioner.ts'
import { keysRolledMs, type TopicNames } from '../log/topics.ts'
import { ClientKeyRing } from '../model/client-key-ring.ts'
import type { Loss } from '../model/client-keys.ts'
import { encodeRecord } from '../schemas/codec.ts'
import type { Message } from '../schemas/message.ts'
import { decodeMessage } from '../schemas/message-record.ts'
import { openedMessage, sealedWith } from '../schemas/sealed-message.ts'
import type { Author } from './callers.ts'
import { Problem } from './problem.ts'

export interface ErasureOptions {
  readonly log: Log
  readonly topics: Pick<TopicNames, 'keys' | 'lifecycle'>
  /** Of `lifecycle`. */
  readonly partitions: number
  readonly namespace: string
  readonly clock: { now(): number }
  readonly logger: { error(detail: object, message: string): void }
}

/** A gateway may have made another key meanwhile. */
const roundsMax = 5
/** After an erasure `keys` is written to for so long, that its segments are closed and cleaned, ms. */
const rollingMs = 6 * keysRolledMs

export class Erasure {
  readonly #options: ErasureOptions
  readonly #ring: ClientKeyRing
  #rollUntil = 0
  #timer: NodeJS.Timeout | undefined

  constructor(options: ErasureOptions) {
    this.#options = options
    this.#ring = new ClientKeyRing({ log: options.log, topic: options.topics.keys, logger: options.logger })
  }

  /** Goes on with what an erasure before this process may have left: only a segment that is closed can be cleaned. */
  async begin(): Promise<void> {
    const { log, topics } = this.#options
    if (((await log.endOffsets(topics.keys)).get(0) ?? 0) > 0) this.#rollOn()
  }

  /** The message of a record as it was published, or why nobody can read it. */
  async opened(value: Buffer): Promise<Message | Loss> {
    const message = decodeMessage(value)
    const id = sealedWith(message.payload)
    if (!id) return message
    const keys = await this.#ring.keys()
    const key = await keys.findConfirmed(id)
    return (key && openedMessage(message, key.key)) ?? keys.lossOf(id)
  }

  /** The payload of a message on the topic as it was published, or why nobody can read it. */
  async openedPayload(payload: Buffer, topic: string): Promise<Buffer | Loss> {
    return sealedWith(payload) ? (await this.#ring.keys()).openedPayload(payload, topic) : payload
  }

  /** Destroys all keys of a client; resolves with their number once none is left. */
  async erase(authenticationName: string, author: Author): Promise<number> {
    const { log, topics, clock, partitions, namespace } = this.#options
    const keys = await this.#ring.keys()
    const appender = await log.appender()
    let destroyed = 0
    try {
      for (let round = 0; ; round++) {
        await keys.confirm()
        const ids = keys.idsOf(authenticationName)
        if (ids.length === 0) break
        if (round === roundsMax) throw new Problem(503, 'new keys are made for the client all the time; disconnect it first, and ask again', { retryAfter: 2 })
        const tombstone = { topic: topics.keys, partition: 0, value: null, timestamp: clock.now() }
        await Promise.all(ids.map((id) => appender.write({ ...tombstone, key: Buffer.from(`${authenticationName}/${id}`) })))
        destroyed += ids.length
      }
      const at = clock.now()
      const value = encodeRecord('LifecycleEvent', {
        id: `erased-${authenticationName}-${at}`,
        type: 'Loggerhead.ClientErased',
        source: `/namespaces/${namespace}`,
        subject: `clients/${authenticationName}`,
        time: at,
        data: JSON.stringify({ namespaceName: namespace, clientAuthenticationName: authenticationName, ...author, keys: destroyed }),
      })
      const key = Buffer.from(authenticationName)
      await appender.write({ topic: topics.lifecycle, partition: partitionOf(key, partitions), key, value, timestamp: at })
    } finally {
      await appender.close()
    }
    this.#rollOn()
    return destroyed
  }

  /** Writes what says nothing: a segment that is old enough is closed by it. */
  async roll(): Promise<void> {
    const { log, topics, clock } = this.#options
    const appender = await log.appender()
    await appender.write({ topic: topics.keys, partition: 0, key: Buffer.from('roll'), value: null, timestamp: clock.now() }).finally(() => appender.close())
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.#ring.close()
  }

  #rollOn(): void {
    const { clock } = this.#options
    this.#rollUntil = clock.now() + rollingMs
    this.#timer ??= setInterval(() => void this.#rollAgain(), keysRolledMs / 2).unref()
  }

  async #rollAgain(): Promise<void> {
    if (this.#options.clock.now() > this.#rollUntil) {
      clearInterval(this.#timer)
      this.#timer = undefined
      return
    }
    // Otherwise in its next turn.
    await this.roll().catch(() => {})
  }
}
