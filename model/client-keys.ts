/**
 * The keys that clients' messages are sealed with, as they stand in the compacted topic `keys`: a record for each key, under
 * `<authentication name>/<key id>`. A tombstone destroys it: whoever follows the topic forgets it at once.
 */
import { type Follower, type Log, LogClosed, type LogRecord } from '../log/log.ts'
import { decodeRecord, encodeRecord } from '../schemas/codec.ts'
import { open, type SealingKey, sealedWith } from '../schemas/sealed-message.ts'

export interface ClientKeysOptions {
  readonly log: Log
  /** The one-partition topic `keys`. */
  readonly topic: string
  /** Called once when following cannot go on. */
  onFailed(error: unknown): void
}

interface Waiter {
  readonly position: number
  resolve(): void
  reject(error: unknown): void
}

/** The record's key of a client's key. */
export const clientKeyKey = (authenticationName: string, id: Buffer): Buffer => Buffer.from(`${authenticationName}/${id.toString('hex')}`)

export const clientKeyRecord = (authenticationName: string, { id, key }: SealingKey, at: number): Buffer =>
  encodeRecord('ClientKey', { authenticationName, id, key, at })

export class ClientKeys {
  readonly #log: Log
  readonly #callbacks = new Set<() => void>()
  readonly #topic: string
  readonly #follower: Follower
  readonly #byId = new Map<string, SealingKey>()
  /** Ids by name. */
  readonly #ofName = new Map<string, Set<string>>()
  readonly #waiters = new Set<Waiter>()
  readonly #ended: Promise<void>
  #position: number
  #failure: unknown
  #isClosing = false

  /** Resolves once it knows every key that was there when this was called. */
  static async start(options: ClientKeysOptions): Promise<ClientKeys> {
    const { log, topic } = options
    const from = (await log.startOffsets(topic)).get(0) ?? 0
    const keys = new ClientKeys(options, await log.follow({ topic, from: new Map([[0, from]]) }), from)
    await keys.confirm().catch(async (error: unknown) => {
      await keys.close()
      throw error
    })
    return keys
  }

  private constructor({ log, topic, onFailed }: ClientKeysOptions, follower: Follower, from: number) {
    this.#log = log
    this.#topic = topic
    this.#follower = follower
    this.#position = from
    this.#ended = this.#run().catch((error: unknown) => {
      this.#failure = error
      for (const waiter of this.#waiters) waiter.reject(error)
      this.#waiters.clear()
      if (!this.#isClosing) onFailed(error)
    })
  }

  /** The key of an id; undefined when it was destroyed, or is not known here yet. */
  find(id: Buffer): SealingKey | undefined {
    return this.#byId.size === 0 ? undefined : this.#byId.get(id.toString('hex'))
  }

  /** The key of an id; undefined when it was destroyed: what was read before its key is known waits for the log. */
  async findConfirmed(id: Buffer): Promise<SealingKey | undefined> {
    if (!this.find(id)) await this.confirm()
    return this.find(id)
  }

  /** A key of a client that is there still. */
  ofName(authenticationName: string): SealingKey | undefined {
    const [first] = this.#ofName.get(authenticationName) ?? []
    return first === undefined ? undefined : this.#byId.get(first)
  }

  /** The payload of a message on the topic as it was published; null when its key is destroyed. Rejects when the log does not tell of its key. */
  async openedPayload(payload: Buffer, topic: string): Promise<Buffer | null> {
    const id = sealedWith(payload)
    if (!id) return payload
    const key = await this.findConfirmed(id)
    return (key && open(payload, key.key, topic)?.payload) ?? null
  }

  /** Calls back after a key was destroyed. */
  onDestroyed(callback: () => void): void {
    this.#callbacks.add(callback)
  }

  /** Ids of all keys of a client, in hex. */
  idsOf(authenticationName: string): readonly string[] {
    return [...(this.#ofName.get(authenticationName) ?? [])]
  }

  /** Resolves once everything is known that stands in the log when this is called. */
  async confirm(): Promise<void> {
    await this.reached((await this.#log.endOffsets(this.#topic)).get(0) ?? 0)
  }

  /** Resolves once all records below the position are known. */
  reached(position: number): Promise<void> {
    if (this.#position >= position) return Promise.resolve()
    if (this.#failure !== undefined) return Promise.reject(this.#failure)
    return new Promise((resolve, reject) => this.#waiters.add({ position, resolve, reject }))
  }

  async close(): Promise<void> {
    this.#isClosing = true
    await this.#follower.close()
    await this.#ended
    for (const { key } of this.#byId.values()) key.fill(0)
  }

  async #run(): Promise<void> {
    for await (const stretch of this.#follower.stretches()) {
      for (const record of stretch.records) this.#apply(record)
      this.#position = stretch.nextOffset
      for (const waiter of this.#waiters) {
        if (this.#position < waiter.position) continue
        this.#waiters.delete(waiter)
        waiter.resolve()
      }
    }
    throw new LogClosed()
  }

  #apply({ key, value }: LogRecord): void {
    const text = key?.toString('utf8') ?? ''
    const slash = text.lastIndexOf('/')
    if (slash === -1) return
    const [name, id] = [text.slice(0, slash), text.slice(slash + 1)]
    if (!value) {
      this.#forget(name, id)
      return
    }
    const record = decodeRecord(value)
    if (record.name !== 'ClientKey') return
    const known = this.#byId.get(id)
    // avsc has copied them out of what was fetched.
    if (!known) this.#byId.set(id, { id: record.value.id, key: record.value.key })
    const ids = this.#ofName.get(name)
    if (ids) ids.add(id)
    else this.#ofName.set(name, new Set([id]))
  }

  #forget(name: string, id: string): void {
    this.#byId.get(id)?.key.fill(0)
    this.#byId.delete(id)
    const ids = this.#ofName.get(name)
    ids?.delete(id)
    if (ids?.size === 0) this.#ofName.delete(name)
    for (const callback of this.#callbacks) callback()
  }
}
