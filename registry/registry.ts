/**
 * The registry's one writer: decides a change against the view, appends it, and answers once its own view has folded it.
 *
 * Decisions need all earlier changes folded, so that changes go one after another; but changes of different clients
 * do not depend on each other, so that what queued up meanwhile goes as one group. That makes ten thousand clients a matter of seconds.
 */
import { type Append, AppendError, type Appender, FencedError, type Log } from '../log/log.ts'
import { partitionOf } from '../log/partitioner.ts'
import type { NamespaceRecord } from '../model/namespaces.ts'
import { RegistryFollower } from '../model/registry-follower.ts'
import { type Resource, type ResourceKind, readProperties } from '../model/registry-resources.ts'
import { foldName, type RegistryView } from '../model/registry-view.ts'
import { encodeRecord } from '../schemas/codec.ts'
import type { RegistryEntry } from '../schemas/records.ts'
import type { Author } from './callers.ts'
import { type Change, type KeyedEvent, lifecycleEvents, namespaceEvent } from './lifecycle.ts'
import { Problem } from './problem.ts'

/** What a change writes, decided against the view as it is then: an entry, or null to delete. Throws Problem to refuse. */
export type Decide = (view: RegistryView, at: number) => DecidedEntry | null

export type DecidedEntry = Omit<RegistryEntry, 'kind' | 'name' | 'by'>

export interface Command {
  readonly kind: ResourceKind
  readonly name: string
  /** A client's authentication name where the request gives one: two of the same name must not be decided together. */
  readonly authenticationName?: string | undefined
  readonly author: Author
  readonly decide: Decide
}

export interface RegistryOptions {
  readonly log: Log
  readonly topics: { readonly registry: string; readonly lifecycle: string }
  readonly namespace: string
  readonly clock: { now(): number }
  readonly writeTimeoutMs: number
  readonly requestsMax: number
  /** Counts a limit that took effect. */
  readonly onLimit: (limit: 'REGISTRY_REQUESTS_MAX' | 'REGISTRY_WRITE_TIMEOUT') => void
  /** Called once when this process must end: another registry writes now, or the log cannot be followed. */
  readonly onFailed: (error: unknown) => void
}

/** What a change did. */
export interface Outcome {
  readonly before: Resource | undefined
  /** Undefined when deleted. */
  readonly after: Resource | undefined
}

interface Waiting {
  readonly command: Command
  readonly deadline: number
  resolve(outcome: Outcome): void
  reject(error: unknown): void
}

interface Decided {
  readonly waiting: Waiting
  readonly before: Resource | undefined
  readonly entry: RegistryEntry | undefined
}

const groupMax = 200
const away = (detail: string, cause?: unknown) => new Problem(503, detail, { retryAfter: 2, cause })

export class Registry {
  readonly #options: RegistryOptions
  readonly #appender: Appender
  readonly #lifecycle: Appender
  readonly #lifecyclePartitions: number
  readonly follower: RegistryFollower
  readonly #queue: Waiting[] = []
  #isRunning = false
  #isClosed = false

  /** Fences the registry that wrote before, and reads all it wrote. */
  static async start(options: RegistryOptions): Promise<Registry> {
    const { log, topics, clock } = options
    const appender = await log.appender({ transactionalId: `${topics.registry}.writer` })
    // Kafka refuses the older writer in a partition only once the newer has written there; then the end stands still.
    const at = clock.now()
    const fence = { kind: 'fence', name: 'writer', properties: '{}', etag: '', createdAt: at, updatedAt: at, by: 'registry' }
    const offset = await appender.write(toRecord(topics.registry, 'fence/writer', encodeRecord('RegistryEntry', fence), at))
    const [follower, lifecycle, partitions] = await Promise.all([
      RegistryFollower.start({ log, topic: topics.registry, clock, onFailed: options.onFailed }),
      log.appender(),
      log.partitions(topics.lifecycle),
    ])
    await follower.reached(offset)
    return new Registry(options, appender, lifecycle, partitions, follower)
  }

  private constructor(options: RegistryOptions, appender: Appender, lifecycle: Appender, lifecyclePartitions: number, follower: RegistryFollower) {
    this.#options = options
    this.#appender = appender
    this.#lifecycle = lifecycle
    this.#lifecyclePartitions = lifecyclePartitions
    this.follower = follower
  }

  get view(): RegistryView {
    return this.follower.view
  }

  /** Changes waiting or under way. */
  get waiting(): number {
    return this.#queue.length
  }

  /** Carries out a change. Rejects with Problem; with status 503 the change may still come to pass. */
  change(command: Command): Promise<Outcome> {
    const { clock, writeTimeoutMs, requestsMax, onLimit } = this.#options
    if (this.#isClosed) return Promise.reject(away('the registry is stopping'))
    if (this.#queue.length >= requestsMax) {
      onLimit('REGISTRY_REQUESTS_MAX')
      return Promise.reject(away(`${requestsMax} changes are waiting already`))
    }
    return new Promise<Outcome>((resolve, reject) => {
      const timer = setTimeout(() => {
        onLimit('REGISTRY_WRITE_TIMEOUT')
        const { reason } = this.#options.log.health()
        reject(away(`Kafka has not confirmed the change within ${writeTimeoutMs} ms; it may still come to pass${reason ? ` (${reason})` : ''}`))
      }, writeTimeoutMs)
      const settle =
        <T>(how: (value: T) => void) =>
        (value: T) => {
          clearTimeout(timer)
          how(value)
        }
      this.#queue.push({ command, deadline: clock.now() + writeTimeoutMs, resolve: settle(resolve), reject: settle(reject) })
      if (!this.#isRunning) void this.#run()
    })
  }

  /** What a change would do now; nothing is written. Throws Problem. */
  preview(command: Command): Outcome {
    const { kind, name, author, decide } = command
    const before = this.view.of(kind).get(name)
    const entry = decide(this.view, this.#options.clock.now())
    const properties = entry && readProperties(kind, name, entry.properties)
    if (!entry || !properties) return { before, after: undefined }
    const { etag, createdAt, updatedAt } = entry
    return { before, after: { kind, name, properties, etag, createdAt, updatedAt, by: author.by, offset: -1 } }
  }

  /** Remembers for ever that something was done once. */
  async mark(name: string): Promise<void> {
    const at = this.#options.clock.now()
    const marker = { kind: 'marker', name, properties: '{}', etag: '', createdAt: at, updatedAt: at, by: 'registry' }
    const value = encodeRecord('RegistryEntry', marker)
    await this.follower.reached(await this.#appender.write(toRecord(this.#options.topics.registry, `marker/${name}`, value, at)))
  }

  /** In the home namespace: writes what the deployment knows of a namespace. Rejects with Problem. */
  async putNamespace(name: string, properties: NamespaceRecord, author: Author): Promise<void> {
    const { clock, topics, namespace } = this.#options
    const at = clock.now()
    const before = this.view.namespaces.get(name)
    const entry = { kind: 'namespaces', name, properties: JSON.stringify(properties), etag: '', createdAt: at, updatedAt: at, by: author.by }
    try {
      const offset = await this.#appender.write(toRecord(topics.registry, `namespaces/${name}`, encodeRecord('RegistryEntry', entry), at))
      const event = namespaceEvent({ name, before, after: properties, author, at, offset }, namespace)
      await Promise.all([this.follower.reached(offset), this.#appendEvent(event, at)])
    } catch (error) {
      throw this.#whyNot(error)
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const waiting of this.#queue.splice(0)) waiting.reject(away('the registry is stopping'))
    await Promise.all([this.follower.close(), this.#appender.close(), this.#lifecycle.close()])
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    try {
      while (this.#queue.length > 0) await this.#carryOut(this.#takeGroup())
    } finally {
      this.#isRunning = false
    }
  }

  /** The next changes that do not depend on each other: clients of different names, or one of anything else. */
  #takeGroup(): readonly Waiting[] {
    const names = new Set<string>()
    const size = this.#queue.findIndex(({ command }, index) => {
      if (command.kind !== 'clients') return true
      const own = [`resource ${command.name}`, `name ${foldName(command.authenticationName ?? command.name)}`]
      if (index >= groupMax || own.some((name) => names.has(name))) return true
      for (const name of own) names.add(name)
      return false
    })
    return this.#queue.splice(0, size === -1 ? this.#queue.length : Math.max(1, size))
  }

  async #carryOut(group: readonly Waiting[]): Promise<void> {
    const at = this.#options.clock.now()
    const decided = group.flatMap((waiting) => this.#decide(waiting, at) ?? [])
    const appended = await Promise.allSettled(decided.map((each) => this.#append(each, at)))
    for (const [index, result] of appended.entries()) {
      if (result.status === 'fulfilled') continue
      decided[index]!.waiting.reject(this.#whyNot(result.reason))
    }
  }

  #decide(waiting: Waiting, at: number): Decided | undefined {
    const { kind, name, author, decide } = waiting.command
    if (at >= waiting.deadline) return undefined // answered already
    try {
      const entry = decide(this.view, at)
      return { waiting, before: this.view.of(kind).get(name), entry: entry ? { kind, name, by: author.by, ...entry } : undefined }
    } catch (error) {
      waiting.reject(error)
      return undefined
    }
  }

  async #append({ waiting, before, entry }: Decided, at: number): Promise<void> {
    const { kind, name, author } = waiting.command
    const value = entry ? encodeRecord('RegistryEntry', entry) : null
    const offset = await this.#appender.write(toRecord(this.#options.topics.registry, `${kind}/${name}`, value, at))
    const change: Change = { kind, name, before, after: entry, author, at, offset }
    await Promise.all([this.follower.reached(offset), this.#tell(change)])
    waiting.resolve({ before, after: entry && this.view.of(kind).get(name) })
  }

  async #tell(change: Change): Promise<void> {
    await Promise.all(lifecycleEvents(change, this.#options.namespace).map((event) => this.#appendEvent(event, change.at)))
  }

  async #appendEvent({ key, event }: KeyedEvent, at: number): Promise<void> {
    const record = toRecord(this.#options.topics.lifecycle, key, encodeRecord('LifecycleEvent', event), at)
    await this.#lifecycle.write({ ...record, partition: partitionOf(key, this.#lifecyclePartitions) })
  }

  #whyNot(error: unknown): Problem {
    if (error instanceof FencedError) {
      this.#isClosed = true
      this.#options.onFailed(error)
      return away('another registry has taken over; ask again', error)
    }
    if (error instanceof AppendError)
      return away(error.outcome === 'unknown' ? 'Kafka did not say whether it holds the change; it may' : 'Kafka did not take the change', error)
    return away('the change could not be confirmed; it may come to pass', error)
  }
}

function toRecord(topic: string, key: string, value: Buffer | null, timestamp: number): Append {
  return { topic, partition: 0, key: Buffer.from(key), value, timestamp }
}
