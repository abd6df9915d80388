/**
 * The keys that clients' messages are sealed with, as they stand in the compacted topic `keys`: a record for each key, under
 * `<authentication name>/<key id>`. A tombstone destroys it: whoever follows the topic forgets it at once.
 */
import { type Follower, type Log, LogClosed, type LogRecord } from '../log/log.ts'
import { decodeRecord, encodeRecord } from '../schemas/codec.ts'
import { RecordError } from '../schemas/record-error.ts'
import { keyIdSize, keySize, open, type SealingKey, sealedWith } from '../schemas/sealed-message.ts'

export interface ClientKeysOptions {
  readonly log: Log
  /** The one-partition topic `keys`. */
  readonly topic: string
  /** A record that is no client's key: it is passed over, and what was sealed with its key cannot be read. */
  onUnreadable(offset: number, error: RecordError): void
  /** Called once when following cannot go on. */
  onFailed(error: unknown): void
}

/** Why nobody can read a message: its key was destroyed, or the key's record, or the message itself, is damaged. */
export type Loss = 'erased' | 'unreadable'

/** Ids of lost keys that are remembered: for one that is forgotten the log is asked again. */
const lostMax = 10_000

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
  readonly #onUnreadable: ClientKeysOptions['onUnreadable']
  readonly #byId = new Map<string, SealingKey>()
  /** Ids of keys whose records are damaged. */
  readonly #unreadable = new Set<string>()
  /** Ids of keys that nobody has any more, as far as they were met. */
  readonly #lost = new Set<string>()
  /** Ids by name, as they came into the log. */
  readonly #ofName = new Map<string, readonly string[]>()
  readonly #waiters = new Set<Waiter>()
  readonly #ended: Promise<void>
  /** Since this was started; the same one again counts again. */
  #unreadableRecords = 0
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

  private constructor({ log, topic, onUnreadable, onFailed }: ClientKeysOptions, follower: Follower, from: number) {
    this.#log = log
    this.#topic = topic
    this.#onUnreadable = onUnreadable
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

  /** The key of an id; undefined when it is lost: what was read before its key is known waits for the log, which is asked of each key once. */
  async findConfirmed(id: Buffer): Promise<SealingKey | undefined> {
    if (!this.isSettled(id)) await this.confirm()
    const key = this.find(id)
    if (!key) this.noteLost(id)
    return key
  }

  /** Whether there is nothing to ask of a key: it is known, or known to be lost. */
  isSettled(id: Buffer): boolean {
    const hex = id.toString('hex')
    return this.#byId.has(hex) || this.#unreadable.has(hex) || this.#lost.has(hex)
  }

  /** Of a message's key that is not known although everything was confirmed after the message was read: it stood in the log before that, and does not come again. */
  noteLost(id: Buffer): void {
    if (this.isSettled(id)) return
    if (this.#lost.size >= lostMax) this.#lost.delete(this.#lost.keys().next().value as string)
    this.#lost.add(id.toString('hex'))
  }

  get unreadableRecords(): number {
    return this.#unreadableRecords
  }

  /** Keys that are known, those of damaged records included. */
  get size(): number {
    return this.#byId.size + this.#unreadable.size
  }

  /** The newest key of a client that is there still. */
  ofName(authenticationName: string): SealingKey | undefined {
    const ids = this.#ofName.get(authenticationName) ?? []
    for (let at = ids.length - 1; at >= 0; at--) {
      const key = this.#byId.get(ids[at] as string)
      if (key) return key
    }
    return undefined
  }

  /** Why what was sealed with the key cannot be read. */
  lossOf(id: Buffer): Loss {
    return this.#byId.has(id.toString('hex')) || this.#unreadable.has(id.toString('hex')) ? 'unreadable' : 'erased'
  }

  /** The payload of a message on the topic as it was published, or why nobody can read it. Rejects when the log does not tell of its key. */
  async openedPayload(payload: Buffer, topic: string): Promise<Buffer | Loss> {
    const id = sealedWith(payload)
    if (!id) return payload
    const key = await this.findConfirmed(id)
    return (key && open(payload, key.key, topic)?.payload) ?? this.lossOf(id)
  }

  /** Calls back after a key was destroyed, or its record damaged. */
  onDestroyed(callback: () => void): void {
    this.#callbacks.add(callback)
  }

  /** Ids of all keys of a client, in hex, those of damaged records included. */
  idsOf(authenticationName: string): readonly string[] {
    return this.#ofName.get(authenticationName) ?? []
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

  #apply({ key, value, offset }: LogRecord): void {
    const text = key?.toString('utf8') ?? ''
    const slash = text.lastIndexOf('/')
    const [name, id] = [text.slice(0, slash), text.slice(slash + 1)]
    if (!value) {
      // What is written so that a segment is closed is nobody's.
      if (slash !== -1) this.#forget(name, id)
      return
    }
    try {
      const read = sealingKeyOf(value, id)
      this.#unreadable.delete(id)
      if (!this.#byId.has(id)) this.#byId.set(id, read)
    } catch (error) {
      if (!(error instanceof RecordError)) throw error
      this.#unreadableRecords++
      this.#onUnreadable(offset, error)
      if (slash === -1) return
      // As whoever reads the topic for the first time has it: compaction leaves nothing of the record before.
      this.#forget(name, id)
      this.#unreadable.add(id)
    }
    const ids = this.#ofName.get(name) ?? []
    if (!ids.includes(id)) this.#ofName.set(name, [...ids, id])
  }

  #forget(name: string, id: string): void {
    this.#byId.get(id)?.key.fill(0)
    this.#byId.delete(id)
    this.#unreadable.delete(id)
    const left = (this.#ofName.get(name) ?? []).filter((each) => each !== id)
    if (left.length > 0) this.#ofName.set(name, left)
    else this.#ofName.delete(name)
    for (const callback of this.#callbacks) callback()
  }
}

/** The key of a record under an id. Throws RecordError. */
function sealingKeyOf(value: Buffer, id: string): SealingKey {
  const record = decodeRecord(value)
  if (record.name !== 'ClientKey') throw new RecordError(`a ${record.name} record stands where only keys of clients do`)
  // avsc has copied them out of what was fetched.
  const { id: own, key } = record.value
  if (own.length !== keyIdSize || own.toString('hex') !== id)
    throw new RecordError(`the record of a client's key has the id ${own.toString('hex')}, and stands under “${id}”`)
  if (key.length !== keySize) throw new RecordError(`a client's key has ${key.length} bytes instead of ${keySize}`)
  return { id: own, key }
}
