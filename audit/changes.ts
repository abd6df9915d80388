/** Who changed which resource, when, from what to what: the registry's life cycle events, read back in the order of time. */
import { type Log, OffsetOutOfRange } from '../log/log.ts'
import { decodePublished } from '../schemas/codec.ts'
import { RecordError } from '../schemas/record-error.ts'

/** One change of the registry, as it stands in the topic `lifecycle`. */
export interface RegistryChange {
  readonly partition: number
  readonly offset: number
  /** Milliseconds since the epoch. */
  readonly at: number
  /** `<kind>/<name>`. */
  readonly resource: string
  readonly change: 'created' | 'updated' | 'deleted'
  /** `api-key`, `apiKeys/<name>`, `oidc/<subject>`, or a part of the registry. */
  readonly by: string
  /** Undefined when nobody asked for it, and in records of before it was written down. */
  readonly address?: string
  /** Without secrets; null when there was none. */
  readonly before: object | null
  readonly after: object | null
  /** Fields that changed in what is not shown of them. */
  readonly concealed?: readonly string[]
}

export interface ChangeQuery {
  /** `<kind>/<name>`, or `<kind>` for all of it; undefined for all there are. */
  readonly resource?: string | undefined
  readonly by?: string | undefined
}

/** Where to read in one partition: from `next` up to `end`, not included. */
export interface Reach {
  readonly source: number
  readonly next: number
  readonly end: number
}

export interface ReadChangesOptions {
  readonly log: Log
  /** The topic `lifecycle`. */
  readonly topic: string
  readonly query: ChangeQuery
  readonly reaches: readonly Reach[]
}

const readBytes = 256 * 1024

interface Source {
  readonly source: number
  readonly end: number
  next: number
  found: RegistryChange[]
}

const isAsked = ({ resource, by }: ChangeQuery, change: RegistryChange): boolean =>
  (resource === undefined || change.resource === resource || change.resource.startsWith(`${resource}/`)) && (by === undefined || change.by === by)

type TellsChange = Pick<RegistryChange, 'by' | 'address' | 'before' | 'after' | 'concealed'> & { readonly kind: string; readonly name: string }

/** The change that a record of `lifecycle` tells of; undefined when it tells of something else. */
function changeOf(partition: number, offset: number, value: Buffer): RegistryChange | undefined {
  const { name, value: event } = decodePublished(value)
  if (name !== 'LifecycleEvent' || event.type !== 'Loggerhead.RegistryResourceChanged') return undefined
  const told = JSON.parse(event.data) as TellsChange | null
  if (typeof told?.kind !== 'string') return undefined
  const { kind, name: named, ...data } = told
  const change = data.after === null ? 'deleted' : data.before === null ? 'created' : 'updated'
  return { partition, offset, at: event.time, resource: `${kind}/${named}`, change, ...data }
}

/** All that match, those of all partitions in the order of time; holds one fetch of each partition. */
export async function* readChanges(options: ReadChangesOptions): AsyncGenerator<RegistryChange> {
  const sources: Source[] = options.reaches.map(({ source, next, end }) => ({ source, next, end, found: [] }))
  for (;;) {
    for (const source of sources) while (source.found.length === 0 && source.next < source.end) await fill(source, options)
    const first = sources.reduce<Source | undefined>(
      (least, each) => (each.found[0] && (!least?.found[0] || each.found[0].at < least.found[0].at) ? each : least),
      undefined,
    )
    const change = first?.found.shift()
    if (!change) return
    yield change
  }
}

async function fill(source: Source, { log, topic, query }: ReadChangesOptions): Promise<void> {
  try {
    const stretch = await log.read(topic, source.source, source.next, readBytes)
    for (const { offset, value } of stretch.records) {
      if (!value || offset >= source.end) continue
      const change = readable(source.source, offset, value)
      if (change && isAsked(query, change)) source.found.push(change)
    }
    source.next = Math.max(stretch.nextOffset, source.next + 1)
  } catch (error) {
    if (!(error instanceof OffsetOutOfRange)) throw error
    // Retention was faster.
    const start = (await log.startOffsets(topic)).get(source.source) ?? 0
    if (start <= source.next) throw error
    source.next = start
  }
}

/** What is no record of ours stands for no change. */
function readable(partition: number, offset: number, value: Buffer): RegistryChange | undefined {
  try {
    return changeOf(partition, offset, value)
  } catch (error) {
    if (error instanceof RecordError || error instanceof SyntaxError) return undefined
    throw error
  }
}
