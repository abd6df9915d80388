/**
 * The registry's one writer: decides a change against the view, appends it, and answers once its own view has folded it.
 *
 * Decisions need all earlier changes folded, so that changes go one after another; but changes of different clients
 * do not depend on each other, so that what queued up meanwhile goes as one group. That makes ten thousand clients a matter of seconds.
 */
import { type Append, AppendError, type Appender, FencedError, type Log } from '../log/log.ts'
import { historyKept, historyKeptText, historyMarker, keptOf } from '../model/history-kept.ts'
import type { NamespaceRecord } from '../model/namespaces.ts'
import { RegistryFollower } from '../model/registry-follower.ts'
import { type Resource, readProperties } from '../model/registry-resources.ts'
import { foldName, type RegistryView } from '../model/registry-view.ts'
import { encodeRecord } from '../schemas/codec.ts'
import type { RegistryEntry } from '../schemas/registry-records.ts'
import type { Author } from './callers.ts'
import { authorHeader, authorOf, ChangeTeller, toldMarker } from './change-teller.ts'
import type { Command } from './command.ts'
import { Problem } from './problem.ts'
import { SnapshotWriter } from './snapshot-writer.ts'

export interface RegistryOptions {
  readonly log: Log
  readonly topics: { readonly registry: string; readonly 'registry-snapshots': string; readonly lifecycle: string }
  readonly namespace: string
  /** How long the topic keeps every change, milliseconds; without it nobody can ask for its past. */
  readonly historyWindowMs?: number
  readonly clock: { now(): number }
  readonly writeTimeoutMs: number
  readonly requestsMax: number
  /** Counts a limit that took effect. */
  readonly onLimit: (limit: 'REGISTRY_REQUESTS_MAX' | 'REGISTRY_WRITE_TIMEOUT') => void
  /** Told of what keeps changes from being told of in `lifecycle`, each time. */
  readonly onUntold?: (error: unknown) => void
  /** Told of each snapshot: read, that this start began with it; unusable, that it has read everything; written; failed, so that starts read more for a while. */
  readonly onSnapshot?: (result: 'read' | 'unusable' | 'written' | 'failed', error?: unknown) => void
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
/** A restart tells again of so many changes at most, and of none that was made this long before, ms. */
const unmarkedMax = 1_000
const markEveryMs = 5_000
/** A stop waits so long for its last marker, ms: without it the next start tells some changes again. */
const lastMarkMs = 1_000
const tellAgainMs = 1_000
const away = (detail: string, cause?: unknown) => new Problem(503, detail, { retryAfter: 2, cause })

export class Registry {
  readonly #options: RegistryOptions
  readonly #appender: Appender
  readonly #lifecycle: Appender
  readonly #teller: ChangeTeller
  readonly follower: RegistryFollower
  readonly #snapshots: SnapshotWriter
  readonly #queue: Waiting[] = []
  readonly #marking: NodeJS.Timeout
  /** Records on their way, and the offset of the last that is known to stand. */
  #writing = 0
  #written: number
  /** A write of which nothing is known may stand somewhere behind the last that is known to. */
  #isUncertain = false
  #isRunning = false
  #isClosed = false

  /** Fences the registry that wrote before, and reads all it wrote. */
  static async start(options: RegistryOptions): Promise<Registry> {
    const { log, topics, clock } = options
    const appender = await log.appender({ transactionalId: `${topics.registry}.writer` })
    // Kafka refuses the older writer in a partition only once the newer has written there; then the end stands still.
    const at = clock.now()
    const fence = { kind: 'fence', name: 'writer', properties: '{}', etag: '', createdAt: at, updatedAt: at, by: 'registry' }
    const isNew = ((await log.endOffsets(topics.registry)).get(0) ?? 0) === 0
    const offset = await appender.write(toRecord(topics.registry, 'fence/writer', encodeRecord('RegistryEntry', fence), at))
    const [lifecycle, partitions] = await Promise.all([log.appender(), log.partitions(topics.lifecycle)])
    const { namespace, onUntold: onTrouble = () => {} } = options
    const teller = new ChangeTeller({ appender: lifecycle, topic: topics.lifecycle, partitions, namespace, retryMs: tellAgainMs, onTrouble })
    const follower = await RegistryFollower.start({
      log,
      topic: topics.registry,
      snapshots: topics['registry-snapshots'],
      clock,
      onFailed: options.onFailed,
      onSnapshot: ({ position }) => teller.skipTo(position),
      onUnusable: (error) => options.onSnapshot?.('unusable', error),
      onRecord: ({ timestamp, headers }, read, view) => teller.note({ ...read, at: timestamp, author: authorOf(headers) }, view),
    })
    await follower.reached(offset)
    if (follower.snapshot) options.onSnapshot?.('read')
    const registry = new Registry(options, appender, lifecycle, teller, follower, offset)
    // What was before there was ever a marker has been told, or is not known to be owed.
    if (!teller.isMarked) await registry.mark(toldMarker)
    await registry.#noteHistory(isNew)
    teller.begin(offset)
    registry.#writeSnapshot()
    return registry
  }

  private constructor(options: RegistryOptions, appender: Appender, lifecycle: Appender, teller: ChangeTeller, follower: RegistryFollower, fence: number) {
    this.#options = options
    this.#appender = appender
    this.#lifecycle = lifecycle
    this.#teller = teller
    this.follower = follower
    this.#snapshots = new SnapshotWriter({ ...options, appender, writer: fence, last: follower.snapshot })
    this.#written = fence
    this.#marking = setInterval(() => void this.#markTold(1).then(() => this.#writeSnapshot()), markEveryMs)
    this.#marking.unref()
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
  async mark(name: string, properties = '{}'): Promise<void> {
    const at = this.#options.clock.now()
    const marker = { kind: 'marker', name, properties, etag: '', createdAt: at, updatedAt: at, by: 'registry' }
    const value = encodeRecord('RegistryEntry', marker)
    await this.follower.reached(await this.#write(toRecord(this.#options.topics.registry, `marker/${name}`, value, at)))
  }

  /** Who asks for the past is told from when on the topic holds all of it. */
  async #noteHistory(isNew: boolean): Promise<void> {
    const { historyWindowMs, clock } = this.#options
    if (historyWindowMs === undefined) return
    const kept = historyKept(keptOf(this.view), historyWindowMs, clock.now(), isNew)
    if (kept) await this.mark(historyMarker, historyKeptText(kept))
  }

  /** In the home namespace: writes what the deployment knows of a namespace. Rejects with Problem. */
  async putNamespace(name: string, properties: NamespaceRecord, author: Author): Promise<void> {
    const { clock, topics } = this.#options
    const at = clock.now()
    const entry = { kind: 'namespaces', name, properties: JSON.stringify(properties), etag: '', createdAt: at, updatedAt: at, by: author.by }
    try {
      const offset = await this.#write(toRecord(topics.registry, `namespaces/${name}`, encodeRecord('RegistryEntry', entry), at, author))
      await Promise.all([this.follower.reached(offset), this.#teller.told(offset)])
    } catch (error) {
      throw this.#whyNot(error)
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    clearInterval(this.#marking)
    for (const waiting of this.#queue.splice(0)) waiting.reject(away('the registry is stopping'))
    await this.#markLast()
    this.#teller.close()
    await Promise.all([this.follower.close(), this.#appender.close(), this.#lifecycle.close()])
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    try {
      while (this.#queue.length > 0) {
        await this.#carryOut(this.#takeGroup())
        await this.#markTold(unmarkedMax)
        this.#writeSnapshot()
      }
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
    const offset = await this.#write(toRecord(this.#options.topics.registry, `${kind}/${name}`, value, at, author))
    await Promise.all([this.follower.reached(offset), this.#teller.told(offset)])
    waiting.resolve({ before, after: entry && this.view.of(kind).get(name) })
  }

  async #write(record: Append): Promise<number> {
    this.#writing++
    try {
      this.#written = await this.#appender.write(record)
      this.#isUncertain = false
      return this.#written
    } catch (error) {
      if (error instanceof AppendError && error.outcome === 'unknown') this.#isUncertain = true
      throw error
    } finally {
      this.#writing--
    }
  }

  /** Writes that everything has been told, when it has and so many changes are not covered by an earlier marker. */
  async #markTold(unmarked: number): Promise<void> {
    const { unmarked: uncovered, position } = this.#teller
    if (uncovered < unmarked || this.#writing > 0 || this.#isUncertain || position <= this.#written) return
    await this.mark(toldMarker).catch(() => {}) // another time; who is fenced hears of it from its next change
  }

  /** Begins a snapshot when one is due. Nothing waits for it, and nothing is lost without it. */
  #writeSnapshot(): void {
    // Who begins with it takes what it holds for told.
    const isTold = this.#teller.isMarked && this.#teller.position >= this.view.position
    if (this.#isClosed || !isTold || !this.#snapshots.isDue(this.view)) return
    const { onSnapshot } = this.#options
    this.#snapshots.write(this.view).then(
      () => onSnapshot?.('written'),
      (error: unknown) => {
        if (!this.#isClosed) onSnapshot?.('failed', error)
      },
    )
  }

  async #markLast(): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, lastMarkMs)
    })
    await Promise.race([this.#markTold(1), late])
    clearTimeout(timer)
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

function toRecord(topic: string, key: string, value: Buffer | null, timestamp: number, author?: Author): Append {
  return { topic, partition: 0, key: Buffer.from(key), value, timestamp, ...(author && { headers: [authorHeader(author)] }) }
}
