/**
 * What a replay costs: for each message that matches when one in 1, in 100 and in 10,000 does, beside Kafka's own console consumer, which
 * reads everything; how much of the partitions it reads; and what live traffic notes of one. Part of `npm run bench`; alone:
 *
 *   npm run bench -- --only replay --peers none
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { pino } from 'pino'
import { HistoryReader } from '../history/history-reader.ts'
import { LogIndex } from '../history/log-index.ts'
import { resolvePlaces } from '../history/places.ts'
import { KafkaLog } from '../log/kafka/kafka-log.ts'
import { partitionOf } from '../log/partitioner.ts'
import { decodeRecord } from '../schemas/codec.ts'
import { encodeMessage } from '../schemas/message-record.ts'
import { libraryFolder } from '../stack/kafka/artifacts.ts'
import { loggedMessage } from '../test/support/logged-message.ts'
import { until } from '../test/support/stack.ts'
import { onPath, run } from '../test/wire/programs.ts'
import { type LoggerheadBroker, startLoggerhead } from './brokers/loggerhead.ts'
import { toolsJar } from './kafka-limit.ts'
import { measure } from './measure.ts'
import { median } from './median.ts'
import { useOf } from './process-times.ts'
import type { ReplayRead } from './replay-reader.ts'
import type { Scenario } from './scenarios.ts'

/** What one replay, or one reading by a Kafka client, took. */
interface Cost {
  readonly ms: number
  /** Of all processes of the broker and of the reader of Kafka, microseconds for each message that matched. */
  readonly cpuEach: number
}

export interface Matched {
  readonly oneIn: number
  readonly filter: string
  readonly messages: number
  readonly replay: Cost
  /** Kafka's console consumer on the partitions that the filter's topics are in; null where it is not to be had. */
  readonly consumer: Cost | null
  /** Bytes of the partitions and of their index that a replay reads, of those in the partitions. */
  readonly bytesShare: number
}

interface Live {
  readonly publishRate: number
  readonly pubackP50: number
  readonly pubackP99: number
  readonly latencyP50: number
  readonly latencyP99: number
}

export interface ReplayMeasured {
  readonly recorded: number
  readonly rounds: number
  readonly matches: readonly Matched[]
  readonly alone: Live
  readonly besideReplay: Live
}

const recorded = 200_000
const topics = 40_000
const payload = Buffer.alloc(256, 'x')
/** Records of a batch, more or less: as many as a few busy gateways write at once. */
const window = 100
const root = 'bench-replay'
const topicOf = (i: number): string => `${root}/${i % 100}/${i % topics}`
const from = '2000-01-01T00:00:00Z'

/** Beside a replay: what a fleet publishes and somebody listens to, far from any limit. */
const live: Scenario = { name: 'live', about: 'live', isQuick: true, load: { publishers: 20, subscribers: 20, rate: 50, window: 20 } }

/** Appends messages as a gateway would, and waits until the router has indexed them. */
async function record(log: KafkaLog, topic: string, indexTopic: string): Promise<void> {
  const partitions = (await log.endOffsets(topic)).size
  const appender = await log.appender()
  for (let at = 0; at < recorded; at += window) {
    const writes = Array.from({ length: Math.min(window, recorded - at) }, (_, i) => {
      const name = topicOf(at + i)
      const receivedAt = Date.now()
      const value = encodeMessage(loggedMessage({ clientId: `device-${(at + i) % 100}`, receivedAt, topic: name, payload }))
      const key = Buffer.from(name)
      return appender.write({ topic, partition: partitionOf(key, partitions), key, value: Buffer.from(value), timestamp: receivedAt })
    })
    await Promise.all(writes)
  }
  await appender.close()
  const ends = await log.endOffsets(topic)
  await until('the index tells of what was recorded', 120_000, async () => {
    for (const [partition, end] of ends) if ((await indexedTo(log, indexTopic, partition)) < end - 1_000) return false
    return true
  })
}

async function indexedTo(log: KafkaLog, indexTopic: string, partition: number): Promise<number> {
  const end = (await log.endOffsets(indexTopic)).get(partition) ?? 0
  if (end === 0) return 0
  const { records } = await log.read(indexTopic, partition, end - 1, 1)
  const value = records.at(-1)?.value
  const entry = value ? decodeRecord(value) : undefined
  return entry?.name === 'HistoryBlocks' ? (entry.value.blocks.at(-1)?.to ?? 0) : 0
}

/** Seconds of CPU of all processes of the broker. */
async function cpuOf(broker: LoggerheadBroker): Promise<number> {
  return Object.values(await broker.pids()).reduce((sum, pid) => sum + (useOf(pid)?.cpu ?? 0), 0)
}

const reader = (broker: LoggerheadBroker, filter: string) => [join(import.meta.dirname, 'replay-reader.ts'), '--port', String(broker.port), '--filter', filter]

async function measureReplayOf(broker: LoggerheadBroker, filter: string, to: string): Promise<{ readonly messages: number; readonly cost: Cost }> {
  const before = await cpuOf(broker)
  const { code, output, errors } = await run(process.execPath, reader(broker, `$replay/${from}..${to}/${filter}`), { deadlineMs: 300_000 })
  if (code !== 0) throw new Error(`the replay of ${filter} ended with ${code}: ${errors}`)
  const { messages, ms } = JSON.parse(output) as ReplayRead
  return { messages, cost: { ms, cpuEach: (((await cpuOf(broker)) - before) * 1e6) / messages } }
}

/** Kafka's console consumer from the beginning of the topic, or of one partition, to what is its end now. Includes the start of its Java. */
async function consume(
  broker: LoggerheadBroker,
  topic: string,
  partition: number | null,
  records: number,
): Promise<{ readonly ms: number; readonly cpu: number } | null> {
  if (!onPath('java') || !onPath('mvn')) return null
  const project = join(import.meta.dirname, '..')
  const place = partition === null ? ['--from-beginning'] : ['--partition', String(partition), '--offset', 'earliest']
  const classes = `${await toolsJar()}:${join(libraryFolder(project), '*')}`
  const before = await cpuOf(broker)
  const began = performance.now()
  const child = spawn(
    'java',
    [
      '-cp',
      classes,
      'org.apache.kafka.tools.consumer.ConsoleConsumer',
      '--bootstrap-server',
      broker.stack.brokers,
      '--topic',
      topic,
      ...place,
      '--max-messages',
      String(records),
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  let errors = ''
  child.stderr.setEncoding('utf8').on('data', (text) => (errors += text))
  let own = 0
  const watching = setInterval(() => {
    own = useOf(child.pid ?? -1)?.cpu ?? own
  }, 20)
  const [code] = await once(child, 'close')
  clearInterval(watching)
  if (code !== 0) throw new Error(`kafka-console-consumer ended with ${code}: ${errors}`)
  return { ms: performance.now() - began, cpu: own + (await cpuOf(broker)) - before }
}

/** Bytes that a reader of the past takes, with the index and without. */
async function bytesShareOf(log: KafkaLog, topic: string, indexTopic: string, filter: string): Promise<number> {
  const places = await resolvePlaces({
    log,
    topic,
    filter,
    partitions: (await log.endOffsets(topic)).size,
    from: { kind: 'time', at: 0 },
    to: { kind: 'time', at: Number.MAX_SAFE_INTEGER },
  })
  const read = async (index: LogIndex | undefined): Promise<number> => {
    const history = new HistoryReader({ log, topic, query: { filter, client: null }, places, index })
    while (!history.isThere) await history.read(256 * 1024, 1_000)
    return history.bytesRead + (index?.bytesRead ?? 0)
  }
  return (await read(new LogIndex(log, indexTopic))) / (await read(undefined))
}

async function liveOf(broker: LoggerheadBroker, round: number, seconds: number): Promise<Live> {
  const { report } = await measure(broker, live, round, seconds)
  const { publish, delivery } = report
  return {
    publishRate: publish.rate,
    pubackP50: publish.puback.p50 ?? 0,
    pubackP99: publish.puback.p99 ?? 0,
    latencyP50: delivery.latency.p50 ?? 0,
    latencyP99: delivery.latency.p99 ?? 0,
  }
}

/** The same load while everything that was recorded is replayed, over and over. */
async function besideReplay(broker: LoggerheadBroker, to: string, round: number, seconds: number): Promise<Live> {
  let isOver = false
  let child: ReturnType<typeof spawn> | undefined
  const replaying = (async () => {
    while (!isOver) {
      child = spawn(process.execPath, reader(broker, `$replay/${from}..${to}/${root}/#`), { stdio: 'ignore' })
      await once(child, 'close')
    }
  })()
  try {
    return await liveOf(broker, round, seconds)
  } finally {
    isOver = true
    child?.kill()
    await replaying
  }
}

const medianLive = (all: readonly Live[]): Live => ({
  publishRate: median(all.map((each) => each.publishRate)),
  pubackP50: median(all.map((each) => each.pubackP50)),
  pubackP99: median(all.map((each) => each.pubackP99)),
  latencyP50: median(all.map((each) => each.latencyP50)),
  latencyP99: median(all.map((each) => each.latencyP99)),
})

/** On a broker of its own, where nothing else is in the log. Takes some two minutes, and `rounds` times twice `seconds`. */
export async function measureReplay(rounds: number, seconds: number): Promise<ReplayMeasured> {
  const broker = await startLoggerhead()
  const log = new KafkaLog({ brokers: [broker.stack.brokers], clientId: 'bench', logger: pino({ level: 'silent' }) })
  try {
    const topic = `${broker.stack.prefix}.default.messages`
    const indexTopic = `${broker.stack.prefix}.default.index`
    await record(log, topic, indexTopic)
    const to = new Date(Date.now() + 1).toISOString()
    const ends = await log.endOffsets(topic)
    const matches: Matched[] = []
    for (const { oneIn, filter, partition } of [
      { oneIn: 1, filter: `${root}/#`, partition: null },
      { oneIn: 100, filter: `${root}/7/#`, partition: null },
      { oneIn: 10_000, filter: topicOf(107), partition: partitionOf(topicOf(107), ends.size) },
    ]) {
      const replays: Awaited<ReturnType<typeof measureReplayOf>>[] = []
      const consumers: { readonly ms: number; readonly cpu: number }[] = []
      const records = partition === null ? recorded : (ends.get(partition) as number)
      for (let round = 0; round < rounds; round++) {
        replays.push(await measureReplayOf(broker, filter, to))
        const consumed = await consume(broker, topic, partition, records)
        if (consumed) consumers.push(consumed)
      }
      const messages = replays[0]?.messages ?? 0
      matches.push({
        oneIn,
        filter,
        messages,
        replay: { ms: median(replays.map(({ cost }) => cost.ms)), cpuEach: median(replays.map(({ cost }) => cost.cpuEach)) },
        consumer:
          consumers.length === 0 ? null : { ms: median(consumers.map(({ ms }) => ms)), cpuEach: (median(consumers.map(({ cpu }) => cpu)) * 1e6) / messages },
        bytesShare: await bytesShareOf(log, topic, indexTopic, filter),
      })
    }
    const alone: Live[] = []
    const beside: Live[] = []
    for (let round = 1; round <= rounds; round++) {
      alone.push(await liveOf(broker, round, seconds))
      beside.push(await besideReplay(broker, to, round, seconds))
    }
    return { recorded, rounds, matches, alone: medianLive(alone), besideReplay: medianLive(beside) }
  } finally {
    await log.close()
    await broker.stop()
  }
}

const number = (value: number, digits = 0): string => value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })

/** For people. */
export function replayText({ recorded, rounds, matches, alone, besideReplay }: ReplayMeasured): string {
  const lines = matches.map(({ oneIn, messages, replay, consumer, bytesShare }) => {
    const beside = consumer
      ? `; kafka-console-consumer ${number(consumer.ms)} ms, ${number(consumer.cpuEach)} µs (${number(consumer.cpuEach / replay.cpuEach, 1)} ×)`
      : ''
    return `  one in ${number(oneIn)} (${number(messages)}): ${number(replay.ms)} ms, ${number(replay.cpuEach)} µs of CPU each, reads 1/${number(1 / bytesShare, 1)} of the bytes${beside}`
  })
  const liveLine = (what: string, { publishRate, pubackP50, pubackP99, latencyP50, latencyP99 }: Live): string =>
    `  ${what.padEnd(16)} ${number(publishRate)} msg/s, PUBACK p50 ${number(pubackP50, 1)} p99 ${number(pubackP99, 1)} ms, end to end p50 ${number(latencyP50, 1)} p99 ${number(latencyP99, 1)} ms`
  return [
    `replays of ${number(recorded)} messages on ${number(topics)} topics, medians of ${rounds}:`,
    ...lines,
    'live traffic:',
    liveLine('alone', alone),
    liveLine('beside a replay', besideReplay),
  ].join('\n')
}
