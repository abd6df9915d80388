/** What a route has made of a load while the router was killed again and again, held against the log itself. */
import { pino } from 'pino'
import { KafkaLog } from '../../log/kafka/kafka-log.ts'
import type { LogRecord } from '../../log/log.ts'
import { count } from '../support/available.ts'
import { type Stack, until } from '../support/stack.ts'
import { readRecords } from '../wire/kafka-log.ts'
import { makeKafkaTopic } from '../wire/kafka-records.ts'
import type { Resumed } from './harness.ts'
import { patienceMs, random, strike, underLoad } from './under-load.ts'

const publishers = 6
const rate = 100

export interface RoutedOnce {
  readonly problems: readonly string[]
  readonly routed: number
}

/** Routes everything of a load into a Kafka topic of four partitions; the router is killed each time that it has been healthy for 2 to 5 s. */
export async function routedOnce(stack: Stack, kills: number): Promise<RoutedOnce> {
  const target = 'routed-once'
  await makeKafkaTopic(stack.brokers, target, 4)
  const body = { topicFilters: ['kill/+/+/+'], target: { kafkaTopic: target } }
  const put = await stack.api('PUT', '/namespaces/default/routes/once', body)
  if (put.status !== 201) throw new Error(`PUT of the route: ${put.status} ${JSON.stringify(put.body)}`)
  const messages = count(6_000, 50_000)
  let prefix = ''
  const verdict = await underLoad(stack, 'kill -9 router (routes)', { publishers, rate, online: 1, flapping: 0, offline: 0 }, async (load) => {
    prefix = load.prefix
    const rounds: Resumed[] = []
    while (rounds.length < kills) {
      await stack.untilHealthy(patienceMs)
      // Told by what is published meanwhile and not by a clock.
      await load.after(Math.floor(publishers * rate * (2 + 3 * random())), patienceMs)
      rounds.push(await strike(stack, load, ['router']))
    }
    await load.until(`${messages} messages`, 10 * patienceMs, () => load.acknowledged >= messages)
    return rounds
  })
  const log = new KafkaLog({ brokers: stack.brokers.split(','), clientId: 'test', logger: pino({ level: 'silent' }) })
  try {
    const inLog = await sourcesInLog(stack, prefix)
    const found = await until('everything is routed', patienceMs, async () => {
      const records = await everything(log, target)
      return new Set(records.map(sourceOf)).size >= inLog.length && records
    })
    const problems = [...verdict.problems, ...judge(inLog, found)]
    await stack.api('DELETE', '/namespaces/default/routes/once')
    return { problems, routed: found.length }
  } finally {
    await log.close()
  }
}

interface Source {
  readonly topic: string
  readonly source: string
}

/** Where each message of the load stands. */
async function sourcesInLog(stack: Stack, prefix: string): Promise<readonly Source[]> {
  const messages = `${stack.prefix}.default.messages`
  return (await readRecords(stack.brokers, messages, 'Message'))
    .filter(({ value }) => value.topic.startsWith(`${prefix}/`))
    .map(({ value, partition, offset }) => ({ topic: value.topic, source: `${messages}/${partition}/${offset}` }))
}

/** All that stands in a topic now, to its very end. */
async function everything(log: KafkaLog, topic: string): Promise<LogRecord[]> {
  const records: LogRecord[] = []
  for (const [partition, end] of await log.endOffsets(topic)) {
    for (let at = 0; at < end; ) {
      const stretch = await log.read(topic, partition, at)
      records.push(...stretch.records)
      at = stretch.nextOffset
    }
  }
  return records
}

const sourceOf = ({ headers }: LogRecord): string => String(headers.find(({ name }) => name === 'loggerhead_source')?.value)

/** Each message once, and those of one MQTT topic in their order. */
export function judge(inLog: readonly Source[], routed: readonly LogRecord[]): readonly string[] {
  const problems: string[] = []
  const times = new Map<string, number>()
  for (const record of routed) times.set(sourceOf(record), (times.get(sourceOf(record)) ?? 0) + 1)
  for (const [source, count] of times) if (count > 1) problems.push(`${source} was routed ${count} times`)
  const wanted = new Set(inLog.map(({ source }) => source))
  for (const source of wanted) if (!times.has(source)) problems.push(`${source} was not routed`)
  for (const source of times.keys()) if (!wanted.has(source)) problems.push(`${source} is none of the load`)
  const last = new Map<string, number>()
  for (const record of routed) {
    const key = String(record.key)
    const offset = Number(sourceOf(record).split('/').at(-1))
    if (offset < (last.get(key) ?? -1)) problems.push(`${key}: ${offset} stands behind ${last.get(key)}`)
    last.set(key, offset)
  }
  return problems.slice(0, 20)
}
