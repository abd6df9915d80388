/** Writes snapshots of the registry (model/registry-snapshot.ts) when so much has come since the last that a start would notice. */
import type { Appender, Log } from '../log/log.ts'
import { readBetween } from '../log/read-between.ts'
import { type RegistrySnapshot, recordsOfSnapshot, SnapshotUnusable } from '../model/registry-snapshot.ts'
import type { RegistryView } from '../model/registry-view.ts'
import { encodeRecord } from '../schemas/codec.ts'
import type { SnapshotRecord } from '../schemas/registry-records.ts'

/** Fewer records than this are read faster than anybody waits. */
const recordsMin = 5_000
const chunkBytesMax = 256 * 1024

/**
 * Whether one is due: a start then reads at most as many records again as stand, and writing them costs no more than the changes did.
 * `since`: offsets since the last one, or since the last attempt.
 */
export function isSnapshotDue(since: number, standing: number): boolean {
  return since >= Math.max(recordsMin, standing)
}

export interface SnapshotWriterOptions {
  readonly log: Log
  readonly topics: { readonly registry: string; readonly 'registry-snapshots': string }
  /** Fenced: the registry's own. */
  readonly appender: Pick<Appender, 'write'>
  /** Offset of the registry's fence. */
  readonly writer: number
  /** The snapshot that this process began with. */
  readonly last: RegistrySnapshot | undefined
  readonly clock: { now(): number }
}

export class SnapshotWriter {
  readonly #options: SnapshotWriterOptions
  #last: RegistrySnapshot | undefined
  /** Up to here it was written, or tried: what fails is tried again when as much has come once more. */
  #triedAt: number
  #isUnderWay = false

  constructor(options: SnapshotWriterOptions) {
    this.#options = options
    this.#last = options.last
    this.#triedAt = options.last?.position ?? 0
  }

  /** Whether `write` is to be called. */
  isDue(view: RegistryView): boolean {
    return !this.#isUnderWay && isSnapshotDue(view.position - this.#triedAt, view.standingCount)
  }

  /** Writes what the view is at the call; resolves once it is closed. Rejects when it could not be written, which hurts nobody. */
  async write(view: RegistryView): Promise<void> {
    this.#isUnderWay = true
    this.#triedAt = view.position
    try {
      this.#last = await writeRegistrySnapshot(this.#options, view, this.#last)
    } catch (error) {
      // Retention or damage may be at the one before: the next is made of the topic alone.
      this.#last = undefined
      throw error
    } finally {
      this.#isUnderWay = false
    }
  }
}

/** The snapshot of what the view is at the call, made of the records themselves: those of the snapshot before, and of the topic from there on. */
export async function writeRegistrySnapshot(
  { log, topics, appender, writer, clock }: Omit<SnapshotWriterOptions, 'last'>,
  view: RegistryView,
  before: RegistrySnapshot | undefined,
): Promise<RegistrySnapshot> {
  const { position } = view
  const standing = Float64Array.from(view.standing()).sort()
  const topic = topics['registry-snapshots']
  const write = (value: Buffer): Promise<number> => appender.write({ topic, partition: 0, key: null, value, timestamp: clock.now() })
  let [chunks, count, from] = [0, 0, 0]
  let records: SnapshotRecord[] = []
  let bytes = 0
  // One after another: changes wait for none but the one that is on its way.
  const flush = async (): Promise<void> => {
    if (records.length === 0) return
    const offset = await write(encodeRecord('RegistrySnapshotChunk', { writer, position, chunk: chunks, records }))
    if (chunks === 0) from = offset
    chunks++
    records = []
    bytes = 0
  }
  for await (const some of recordsBelow(log, topics, position, before)) {
    for (const record of some) {
      if (record.offset !== standing[count]) continue
      count++
      const size = record.value.length + record.key.length * 3 + 16
      if (bytes + size > chunkBytesMax) await flush()
      records.push(record)
      bytes += size
    }
  }
  await flush()
  if (count < standing.length) throw new SnapshotUnusable({ position }, `${standing.length - count} of ${standing.length} records were not found`)
  const last = (await log.read(topics.registry, 0, position - 1, 1)).records.find(({ offset }) => offset === position - 1)
  if (!last) throw new SnapshotUnusable({ position }, 'no record stands right below it')
  const closed = { writer, position, lastAt: last.timestamp, from, chunks, records: count, at: clock.now() }
  return { ...closed, offset: await write(encodeRecord('RegistrySnapshotClosed', closed)) }
}

/** Records of the registry below the position, but for tombstones and those that the snapshot before has passed over. */
async function* recordsBelow(
  log: Log,
  topics: SnapshotWriterOptions['topics'],
  position: number,
  before: RegistrySnapshot | undefined,
): AsyncGenerator<readonly SnapshotRecord[]> {
  if (before) yield* recordsOfSnapshot(log, topics['registry-snapshots'], before)
  const from = before?.position ?? (await log.startOffsets(topics.registry)).get(0) ?? 0
  for await (const records of readBetween(log, topics.registry, 0, { from, to: position })) {
    // Copies: the fetched batch is far larger.
    yield records.flatMap(({ offset, key, value }) => (value ? [{ offset, key: key?.toString() ?? '', value: Buffer.from(value) }] : []))
  }
}
