/**
 * Tells in `lifecycle` of every change that stands in `registry`, in its order and read from there: so that none is lost when the
 * registry dies between writing a change and telling of it, or never hears what became of a write. Everything before the last
 * record `marker/told` has been told; what stands behind it is told again by the registry that starts next, with the same ids.
 */
import { AppendError, type Appender, type RecordHeader } from '../log/log.ts'
import { partitionOf } from '../log/partitioner.ts'
import { readNamespaceEntry } from '../model/namespaces.ts'
import { resourceKinds } from '../model/registry-resources.ts'
import { type RegistryRecord, type RegistryView, splitKey } from '../model/registry-view.ts'
import { encodeRecord } from '../schemas/codec.ts'
import type { Author } from './callers.ts'
import { type KeyedEvent, lifecycleEvents, namespaceEvent } from './lifecycle.ts'

/** The name of the marker. */
export const toldMarker = 'told'

/** A record of `registry` as it is read. */
export interface ReadChange extends RegistryRecord {
  /** When it was made, ms since the epoch. */
  readonly at: number
  /** Undefined in records of earlier versions. */
  readonly author: Author | undefined
}

const authorName = 'author'
/** Header of a record: a tombstone says nothing itself, and others not from where. */
export const authorHeader = ({ by, address }: Author): RecordHeader => ({ name: authorName, value: Buffer.from(JSON.stringify({ by, address })) })

/** Undefined for what is none. */
export function authorOf(headers: readonly RecordHeader[]): Author | undefined {
  try {
    const { by, address } = JSON.parse(String(headers.find(({ name }) => name === authorName)?.value)) as Author
    return typeof by === 'string' ? { by, ...(typeof address === 'string' ? { address } : {}) } : undefined
  } catch {
    return undefined
  }
}

export interface ChangeTellerOptions {
  readonly appender: Pick<Appender, 'write'>
  readonly topic: string
  readonly partitions: number
  readonly namespace: string
  /** Between two attempts while Kafka does not take the events, ms. */
  readonly retryMs: number
  /** Told of what keeps an event from being told, each time. */
  readonly onTrouble: (error: unknown) => void
}

interface Owed {
  readonly offset: number
  readonly at: number
  /** Made when it is told: most of what is read at a start was told long ago. */
  readonly events: () => readonly KeyedEvent[]
}

interface Waiter {
  readonly offset: number
  resolve(): void
  reject(error: unknown): void
}

export class ChangeTeller {
  readonly #options: ChangeTellerOptions
  #owed: Owed[] = []
  readonly #waiters = new Set<Waiter>()
  /** Offset after the last record that was noted. */
  #noted = 0
  #skippedTo = 0
  /** Whether a marker stands in the log: what is older than the first one nobody owes. */
  #isMarked = false
  /** Offset of the fence of this registry, once it may tell: behind another's fence, others tell. */
  #ownFence = Number.POSITIVE_INFINITY
  #isReplaced = false
  #isRunning = false
  #isClosed = false
  #retry: NodeJS.Timeout | undefined
  #wake = (): void => {}
  /** Changes that no marker covers. */
  unmarked = 0

  constructor(options: ChangeTellerOptions) {
    this.#options = options
  }

  /** Everything before this offset has been told. */
  get position(): number {
    return this.#owed[0]?.offset ?? this.#noted
  }

  /** Whether there has ever been a marker. */
  get isMarked(): boolean {
    return this.#isMarked
  }

  /** Takes note of a record; `view` is what was before it. */
  note(record: ReadChange, view: RegistryView): void {
    if (record.offset < this.#noted || this.#isReplaced) return
    this.#noted = record.offset + 1
    const { kind, name } = splitKey(record.key)
    if (kind === 'marker' && name === toldMarker) {
      this.#isMarked = true
      this.#owed = this.#owed.filter(({ offset }) => offset > record.offset)
      this.unmarked = this.#owed.length
    } else if (kind === 'fence' && record.offset > this.#ownFence) this.#isReplaced = true
    else this.#owe(kind, name, record, view)
    this.#go()
  }

  /** Begins behind a snapshot: all that stands below the offset has been told, by a registry that marked it. */
  skipTo(position: number): void {
    this.#skippedTo = position
    this.#noted = position
    this.#isMarked = true
  }

  /** From here on changes are told, those first that were not told before; `fence` is the offset of this registry's fence. */
  begin(fence: number): void {
    this.#ownFence = fence
    // A later registry has written that snapshot.
    this.#isReplaced ||= this.#skippedTo > fence
    this.#go()
  }

  /** Resolves once the record at the offset, and all before it, have been told. */
  told(offset: number): Promise<void> {
    if (this.#isClosed) return Promise.reject(closed())
    if (this.position > offset) return Promise.resolve()
    return new Promise((resolve, reject) => this.#waiters.add({ offset, resolve, reject }))
  }

  close(): void {
    this.#isClosed = true
    clearTimeout(this.#retry)
    this.#wake()
    for (const waiter of this.#waiters) waiter.reject(closed())
    this.#waiters.clear()
  }

  #owe(kind: string, name: string, record: ReadChange, view: RegistryView): void {
    const { namespace } = this.#options
    const { offset, at, entry, author = { by: entry?.by ?? 'unknown' } } = record
    const known = resourceKinds.find((each) => each === kind)
    let events: Owed['events'] | undefined
    if (known) {
      const before = view.of(known).get(name)
      events = () => lifecycleEvents({ kind: known, name, before, after: entry ?? undefined, author, at, offset }, namespace)
    } else if (kind === 'namespaces' && entry) {
      const before = view.namespaces.get(name)
      events = () => {
        const after = readNamespaceEntry(name, entry.properties, entry.updatedAt)
        return after ? [namespaceEvent({ name, before, after, author, at, offset }, namespace)] : []
      }
    }
    if (!events || !this.#isMarked) return
    this.#owed.push({ offset, at, events })
    this.unmarked++
  }

  #go(): void {
    if (this.#ownFence === Number.POSITIVE_INFINITY || this.#isRunning || this.#isClosed) return
    if (this.#owed.length === 0) this.#answer()
    else void this.#run()
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    while (this.#owed.length > 0 && !this.#isClosed) {
      const some = [...this.#owed]
      const written = await Promise.all(some.flatMap((owed) => this.#eventsOf(owed).map((event) => this.#append(event, owed.at))))
      if (written.includes(false)) {
        await this.#pause() // nobody is answered meanwhile: who waits has a deadline
        continue
      }
      this.#owed = this.#owed.filter(({ offset }) => offset > some.at(-1)!.offset)
      this.#answer()
    }
    this.#isRunning = false
  }

  #eventsOf({ events }: Owed): readonly KeyedEvent[] {
    try {
      return events()
    } catch (error) {
      this.#options.onTrouble(error) // it would be the same the next time
      return []
    }
  }

  /** False when it is to be tried again. */
  async #append({ key, event }: KeyedEvent, at: number): Promise<boolean> {
    const { appender, topic, partitions, onTrouble } = this.#options
    try {
      const value = encodeRecord('LifecycleEvent', event)
      await appender.write({ topic, partition: partitionOf(key, partitions), key: Buffer.from(key), value, timestamp: at })
      return true
    } catch (error) {
      onTrouble(error)
      return !(error instanceof AppendError) || error.refusal === 'tooLarge' || error.refusal === 'invalid'
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
      this.#retry = setTimeout(resolve, this.#options.retryMs)
    })
  }

  #answer(): void {
    for (const waiter of this.#waiters) {
      if (this.position <= waiter.offset) continue
      this.#waiters.delete(waiter)
      waiter.resolve()
    }
  }
}

const closed = (): Error => new Error('the registry is stopping')
