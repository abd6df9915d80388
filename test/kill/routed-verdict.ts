/** What routes and pushing promise, held against what is in Kafka and what a webhook got. Pure, so that the judge itself can be tested. */
import type { FoundRecord } from '../wire/kafka-records.ts'

/** A message of the load, and where it stands in the log. */
export interface Source {
  readonly topic: string
  /** As the header `loggerhead_source` of its copies has it. */
  readonly source: string
}

/** An event as a webhook got it. */
export interface Arrival {
  readonly id: string
  readonly subject: string
  /** In base64. */
  readonly data: string
}

const shown = 20
const sourceOf = ({ headers }: FoundRecord): string => String(headers.loggerhead_source)

/** Each message stands in the target once, and those of one MQTT topic in their order. `records`: in the order of each partition. */
export function judgeRouted(inLog: readonly Source[], records: readonly FoundRecord[]): readonly string[] {
  const problems: string[] = []
  const times = new Map<string, number>()
  for (const record of records) times.set(sourceOf(record), (times.get(sourceOf(record)) ?? 0) + 1)
  for (const [source, count] of times) if (count > 1) problems.push(`${source} was routed ${count} times`)
  const wanted = new Set(inLog.map(({ source }) => source))
  for (const source of wanted) if (!times.has(source)) problems.push(`${source} was not routed`)
  for (const source of times.keys()) if (!wanted.has(source)) problems.push(`${source} is none of the load`)
  const last = new Map<string, number>()
  for (const record of records) {
    const key = String(record.key)
    const offset = Number(sourceOf(record).split('/').at(-1))
    if (offset < (last.get(key) ?? -1)) problems.push(`${key}: ${offset} stands behind ${last.get(key)}`)
    last.set(key, offset)
  }
  return problems.slice(0, shown)
}

/** Every event of the topic came at least once, as it is; what came again has the same id; where it is promised, each key's first arrivals are in order. */
export function judgePushed(records: readonly FoundRecord[], arrivals: readonly Arrival[], isOrdered: boolean): readonly string[] {
  const problems: string[] = []
  const byId = new Map(records.map((record) => [String(record.headers.ce_id), record]))
  if (byId.size !== records.length) problems.push(`${records.length} events have ${byId.size} ids`)
  const arrived = new Set<string>()
  const orders = new Map<string, string[]>()
  for (const { id, subject, data } of arrivals) {
    const event = byId.get(id)
    if (!event) problems.push(`${id} of ${subject} is none of the topic's events`)
    else if (event.headers.ce_subject !== subject || event.value?.toString('base64') !== data) problems.push(`${id} arrived as another event`)
    if (event && !arrived.has(id)) orders.set(subject, [...(orders.get(subject) ?? []), id])
    arrived.add(id)
  }
  for (const [id, { headers }] of byId) if (!arrived.has(id)) problems.push(`${id} of ${headers.ce_subject} did not arrive`)
  if (isOrdered) problems.push(...disorder(records, orders))
  return problems.slice(0, shown)
}

function disorder(records: readonly FoundRecord[], orders: ReadonlyMap<string, readonly string[]>): readonly string[] {
  const placeOf = new Map(records.map(({ headers }, place) => [String(headers.ce_id), place]))
  return [...orders].flatMap(([subject, ids]) =>
    ids.flatMap((id, i) => {
      const before = ids[i - 1]
      return before !== undefined && (placeOf.get(before) ?? 0) > (placeOf.get(id) ?? 0) ? [`${subject}: ${before} arrived before ${id}`] : []
    }),
  )
}
