/** The physical limit: Kafka's own kafka-producer-perf-test against the Kafka of the stack, with records as large and acks=all. */
import { existsSync, mkdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { pino } from 'pino'
import { KafkaLog } from '../log/kafka/kafka-log.ts'
import { artifactsFolder, kafkaVersion, libraryFolder } from '../stack/kafka/artifacts.ts'
import { onPath, run } from '../test/wire/programs.ts'

export interface KafkaLimit {
  readonly recordsPerSecond: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
}

const project = dirname(import.meta.dirname)
const records = 1_000_000

/** Where Kafka's command-line tools are: they are not among the broker's own jars. */
export async function toolsJar(): Promise<string> {
  const folder = join(artifactsFolder(project), 'tools')
  const jar = join(folder, `kafka-tools-${kafkaVersion}.jar`)
  if (existsSync(jar)) return jar
  mkdirSync(folder, { recursive: true })
  const copy = ['-q', '-B', 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy', `-Dartifact=org.apache.kafka:kafka-tools:${kafkaVersion}`]
  const { code, errors, output } = await run('mvn', [...copy, `-DoutputDirectory=${folder}`, '-Dtransitive=false'], { deadlineMs: 120_000 })
  if (code !== 0 || !existsSync(jar)) throw new Error(`kafka-tools could not be fetched: ${errors || output}`)
  return jar
}

/** As many partitions as `messages` has by default. */
async function createTopic(brokers: string, topic: string): Promise<void> {
  const log = new KafkaLog({ brokers: brokers.split(','), clientId: 'bench', logger: pino({ level: 'silent' }) })
  await log.createTopics([{ name: topic, partitions: 4, replication: 1, settings: { 'retention.ms': '3600000' } }])
  await log.close()
}

/** Null where there is no Java or Maven. `recordBytes`: value and key of one message as Loggerhead writes it. */
export async function measureKafkaLimit(brokers: string, topic: string, recordBytes: number): Promise<KafkaLimit | null> {
  if (!onPath('java') || !onPath('mvn')) return null
  await createTopic(brokers, topic)
  const classes = `${await toolsJar()}:${join(libraryFolder(project), '*')}`
  const args = ['--topic', topic, '--num-records', String(records), '--record-size', String(recordBytes), '--throughput', '-1', '--bootstrap-server', brokers]
  const producer = ['--command-property', 'acks=all']
  const { code, output, errors } = await run('java', ['-cp', classes, 'org.apache.kafka.tools.ProducerPerformance', ...args, ...producer], {
    deadlineMs: 120_000,
  })
  if (code !== 0) throw new Error(`kafka-producer-perf-test ended with ${code}: ${errors || output}`)
  // 1000000 records sent, 250000.0 records/sec (61.04 MB/sec), 90.1 ms avg latency, 300.0 ms max latency, 80 ms 50th, …, 200 ms 99th, …
  const last = output.trim().split('\n').at(-1) ?? ''
  const found = /sent, ([\d.]+) records\/sec.* (\d+) ms 50th.* (\d+) ms 99th/.exec(last)
  if (!found) throw new Error(`kafka-producer-perf-test said: ${last}`)
  return { recordsPerSecond: Math.round(Number(found[1])), p50: Number(found[2]), p99: Number(found[3]) }
}
