/**
 * Messages of clients whose data can be erased: sealed on their way into the log, opened on their way out. A client's key stands in the
 * log before anything is sealed with it, so that whoever reads a sealed message finds its key, or knows that it was destroyed.
 */
import { randomBytes } from 'node:crypto'
import type { Logger } from 'pino'
import type { Principal } from '../access/principal.ts'
import type { Appender } from '../log/log.ts'
import { type ClientKeys, clientKeyKey, clientKeyRecord, type Loss } from '../model/client-keys.ts'
import type { PublishPacket } from '../mqtt/packet.ts'
import { decodeMessage, encodeMessage } from '../schemas/message-record.ts'
import { keyIdIn, keyIdSize, keySize, openedMessage, type SealingKey, seal } from '../schemas/sealed-message.ts'
import type { Will } from '../schemas/session-records.ts'

export interface SealingOptions {
  /** Clients that have this attribute. */
  readonly attribute: string
  readonly keys: ClientKeys
  readonly appender: Appender
  /** The topic `keys`. */
  readonly topic: string
  readonly logger: Logger
  now(): number
  /** Keys that the namespace may have: with as many no client gets another. */
  readonly keysMax: number
  /** Messages that a gateway seals with one key before it makes another; 2^26 when not given. */
  readonly messagesPerKey?: number
  /** A message that nobody can read any more. */
  onLost(loss: Loss): void
}

/** Whether a client's message can be taken now: `wait` while its first key, or the one after an erasure, is on its way into the log; `full` when it gets none. */
export type SealingReadiness = 'ready' | 'wait' | 'full'

/** Nonces are random: all gateways, and all their runs, together are to stay below 2^32 for a key (NIST SP 800-38D, 8.3). */
const messagesPerKeyMax = 2 ** 26
/** How long a key that the log did not take is not asked for again, ms. */
const askAgainMs = 1000

export class Sealing {
  readonly #options: SealingOptions
  /** Names whose key is on its way into the log, or was not taken just now. */
  readonly #asked = new Set<string>()
  /** Messages that were sealed here. */
  readonly #sealed = new WeakMap<SealingKey, number>()

  constructor(options: SealingOptions) {
    this.#options = options
  }

  readiness({ authenticationName, attributes }: Principal): SealingReadiness {
    const { attribute, keys } = this.#options
    if (attributes[attribute] === undefined || keys.ofName(authenticationName)) return 'ready'
    if (this.#asked.has(authenticationName)) return 'wait'
    if (!this.#hasRoom) return 'full'
    void this.#make(authenticationName)
    return 'wait'
  }

  get #hasRoom(): boolean {
    return this.#options.keys.size + this.#asked.size < this.#options.keysMax
  }

  /** How many keys there are. */
  get keys(): number {
    return this.#options.keys.size
  }

  /** Records of the topic `keys` that could not be read. */
  get unreadable(): readonly [topic: string, records: number] {
    return [this.#options.topic, this.#options.keys.unreadableRecords]
  }

  /** The packet as it goes into the log. An empty payload clears what is retained and holds nothing personal: it stays as it is. */
  sealed(authenticationName: string, topic: string, packet: PublishPacket): PublishPacket {
    const key = this.#options.keys.ofName(authenticationName)
    if (!key || packet.payload.length === 0) return packet
    this.#count(authenticationName, key)
    const { userProperties = [], correlationData = null, ...properties } = packet.properties ?? {}
    const payload = seal({ payload: packet.payload, userProperties, correlationData }, key, topic)
    return { ...packet, payload, ...(packet.properties && { properties }) }
  }

  sealedWill(authenticationName: string, will: Will): Will {
    const key = this.#options.keys.ofName(authenticationName)
    if (!key || will.payload.length === 0) return will
    this.#count(authenticationName, key)
    const userProperties = will.userProperties.map(({ name, value }) => [name, value] as const)
    const payload = seal({ payload: will.payload, userProperties, correlationData: will.correlationData }, key, will.topic)
    return { ...will, payload, userProperties: [], correlationData: null }
  }

  /** Whether a record holds a sealed message whose key is not known here, and was not found to be destroyed. */
  isUnknown(value: Buffer): boolean {
    const id = keyIdIn(value)
    return id !== undefined && !this.#options.keys.isSettled(id)
  }

  /** Resolves once the key of every message that was in the log when this was called is known, or known to be destroyed. */
  async confirm(): Promise<void> {
    await this.#options.keys.confirm()
  }

  /** The record of a message as it was published, in a buffer of its own where it was sealed; null when nobody can read it. Throws RecordError. */
  opened(value: Buffer): Buffer | null {
    const id = keyIdIn(value)
    if (!id) return value
    const key = this.#options.keys.find(id)
    const opened = key && openedMessage(decodeMessage(value), key.key)
    if (opened) return Buffer.from(encodeMessage(opened))
    if (!key) this.#options.keys.noteLost(id)
    this.#options.onLost(this.#options.keys.lossOf(id))
    return null
  }

  /** The payload of a message on the topic as it was published; null when nobody can read it. Rejects when the log does not tell of its key. */
  async openedPayload(payload: Buffer, topic: string): Promise<Buffer | null> {
    const opened = await this.#options.keys.openedPayload(payload, topic)
    if (typeof opened !== 'string') return opened
    this.#options.onLost(opened)
    return null
  }

  /** Nobody waits for the next key: until it is in the log, and where there is no room for it, the one before goes on. */
  #count(authenticationName: string, key: SealingKey): void {
    const { messagesPerKey = messagesPerKeyMax } = this.#options
    const sealed = (this.#sealed.get(key) ?? 0) + 1
    this.#sealed.set(key, sealed)
    if (sealed >= messagesPerKey && this.#hasRoom && !this.#asked.has(authenticationName)) void this.#make(authenticationName)
  }

  async #make(authenticationName: string): Promise<void> {
    const { appender, topic, keys, logger, now } = this.#options
    this.#asked.add(authenticationName)
    const made: SealingKey = { id: randomBytes(keyIdSize), key: randomBytes(keySize) }
    try {
      const value = clientKeyRecord(authenticationName, made, now())
      const offset = await appender.write({ topic, partition: 0, key: clientKeyKey(authenticationName, made.id), value, timestamp: now() })
      await keys.reached(offset + 1)
    } catch (error) {
      logger.warn({ authenticationName, error: (error as Error).message }, 'a key to seal messages with is not in the log; it is asked for again')
      await new Promise((resolve) => setTimeout(resolve, askAgainMs).unref())
    } finally {
      this.#asked.delete(authenticationName)
    }
  }
}
