/** What `loggerhead replay` was asked for, put together. */
import { existsSync } from 'node:fs'
import { basename, extname } from 'node:path'
import { fixed, orderProblem, parseBound } from '../../history/replay-range.ts'
import { topicSettings } from '../../log/topics.ts'
import { topicFilterProblem } from '../../mqtt/topic.ts'
import { readSettings } from '../../settings/setting.ts'
import { Failure } from '../failure.ts'
import { type ConnectionOptions, connect } from '../mqtt-connection.ts'
import type { Surroundings } from '../surroundings.ts'
import { CursorFile } from './cursor-file.ts'
import type { KafkaFormat } from './kafka-format.ts'
import type { ReplayOutput, Standing } from './output.ts'
import { Pace } from './pace.ts'
import { replayProgress } from './progress-bar.ts'
import { replay } from './replay.ts'

export interface ReplayCommandOptions extends ConnectionOptions {
  readonly from: string
  readonly to?: string
  readonly client?: string
  readonly as?: string
  readonly access?: string
  readonly limit?: number
  readonly file?: string
  readonly toMqtt?: string
  readonly topicPrefix?: string
  readonly retain: boolean
  readonly toKafka?: string
  readonly kafkaFormat: KafkaFormat
  readonly speed?: string
  readonly resume?: string
}

/** Where it goes, without secrets: what a cursor file remembers of it. */
interface Target {
  readonly name: string
  open(standing: Standing): Promise<ReplayOutput>
}

const fileFormats = { '.ndjson': 'ndjson', '.jsonl': 'ndjson', '.csv': 'csv', '.parquet': 'parquet' } as const

function fileTarget(file: string): Target {
  const format = fileFormats[extname(file).toLowerCase() as keyof typeof fileFormats]
  if (format === undefined) throw new Failure(`--file: “${file}” does not end in ${Object.keys(fileFormats).join(', ')}`)
  return {
    name: `file ${basename(file)}`,
    async open(standing) {
      if (format === 'parquet') return (await import('./parquet-folder.ts')).ParquetFolder.open(file, standing)
      return (await import('./line-file.ts')).LineFile.open(file, format, standing)
    },
  }
}

function mqttTarget(url: string, options: ReplayCommandOptions): Target {
  if (!URL.canParse(url) || !/^(mqtts?|wss?):$/.test(new URL(url).protocol))
    throw new Failure(`--to-mqtt: “${url}” is not an address such as mqtt://127.0.0.1:1883`)
  const { topicPrefix = '', retain, v3 = false } = options
  if (/[+#\0]/.test(topicPrefix)) throw new Failure(`--topic-prefix: “${topicPrefix}” has a wildcard, which no topic has`)
  return {
    name: `mqtt ${new URL(url).host} ${topicPrefix}`,
    async open() {
      const { MqttTarget } = await import('./mqtt-target.ts')
      return new MqttTarget({ client: await connect(url, options), topicPrefix, keepsRetain: retain, withProperties: !v3 })
    },
  }
}

function kafkaTarget(topic: string, format: KafkaFormat, { environment, config }: Surroundings): Target {
  return {
    name: `kafka ${topic} ${format}`,
    async open() {
      const [{ isOwnTopic, KafkaTarget }, { openLog }] = await Promise.all([import('./kafka-target.ts'), import('../kafka.ts')])
      const prefix = readSettings(topicSettings, environment).LOGGERHEAD_PREFIX
      if (isOwnTopic(topic, prefix)) throw new Failure(`--to-kafka: ${topic} is one of the broker’s own topics, which nobody else may write to`)
      return KafkaTarget.open(openLog(environment), topic, format, config.namespace)
    },
  }
}

function targetOf(around: Surroundings, options: ReplayCommandOptions): Target {
  const { file, toMqtt, toKafka, topicPrefix, retain, speed } = options
  if ([file, toMqtt, toKafka].filter((each) => each !== undefined).length > 1) throw new Failure('--file, --to-mqtt and --to-kafka: only one of them at a time')
  if (toMqtt === undefined && (topicPrefix !== undefined || !retain)) throw new Failure('--topic-prefix and --no-retain go with --to-mqtt')
  if (file !== undefined && speed !== undefined) throw new Failure('--speed: a file is written as fast as it goes')
  if (file !== undefined) return fileTarget(file)
  if (toMqtt !== undefined) return mqttTarget(toMqtt, options)
  if (toKafka !== undefined) return kafkaTarget(toKafka, options.kafkaFormat, around)
  return { name: 'standard output', open: async () => new (await import('./printer.ts')).Printer(around.format, process.stdout) }
}

/** Slower than a thousandth and faster than a million times is no pace that anybody means. */
function speedOf(text: string | undefined): number | null {
  if (text === undefined) return null
  const speed = Number(text)
  if (!(text.trim() !== '' && speed >= 0.001 && speed <= 1_000_000)) throw new Failure(`--speed: “${text}” is not from 0.001 to 1000000`)
  return speed
}

/** Looked at before there is a file or a cursor of it, which would be those of another replay once the words are put right. Throws Failure. */
export function checkSelection(filter: string, { from, to }: Pick<ReplayCommandOptions, 'from' | 'to'>, now: number): void {
  const problem = topicFilterProblem(filter)
  if (problem) throw new Failure(`the topic filter “${filter}” ${problem}`)
  const begin = parseBound(from)
  if (typeof begin === 'string') throw new Failure(`--from ${begin}`)
  if (to === undefined) return
  const end = parseBound(to)
  if (typeof end === 'string') throw new Failure(`--to ${end}`)
  const backwards = orderProblem(fixed(begin, now), fixed(end, now))
  if (backwards) throw new Failure(`--to is before --from: ${backwards}`)
}

/** Throws Failure. The exit code is 130 when a signal has stopped it. */
export async function runReplay(around: Surroundings, filter: string, options: ReplayCommandOptions): Promise<void> {
  const { from, to = null, client = null, as = null, access = null, limit = null, file, toMqtt, toKafka } = options
  const target = targetOf(around, options)
  const pace = new Pace(speedOf(options.speed))
  const cursorPath = options.resume ?? (file === undefined ? undefined : `${file}.cursor`)
  // What is gone on with was in order when it began: its durations back were counted then.
  const isNew = cursorPath === undefined || !existsSync(cursorPath)
  if (isNew) checkSelection(filter, options, Date.now())
  if (file !== undefined && existsSync(file) && isNew) {
    throw new Failure(`--file: “${file}” is there already, and no ${cursorPath} to go on with it: take another name, or delete it`)
  }
  const stopping = new AbortController()
  // A second signal ends it at once.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stopping.abort())
  const isPrinted = file === undefined && toMqtt === undefined && toKafka === undefined
  const cursorFile = cursorPath === undefined ? undefined : new CursorFile(cursorPath)
  const { messages, cursor, isDone, wasDone } = await replay({
    api: around.api,
    purpose: { filter, from, to, client, as, access, limit, namespace: around.config.namespace, output: target.name },
    pace,
    cursorFile,
    progress: replayProgress(around.note, process.stderr.isTTY === true && !(isPrinted && process.stdout.isTTY)),
    signal: stopping.signal,
    noteEveryMs: 1_000,
    open: target.open,
  })
  const goesOn = cursorFile ? 'the same command goes on there' : cursor === null ? '' : `--from ${cursor} goes on there`
  if (wasDone) around.note(`all ${messages} messages were replayed before, as ${cursorPath} says; now none was`)
  else around.note(isDone ? `${messages} messages` : `stopped after ${messages} messages; ${goesOn}`)
  if (!isDone) process.exitCode = 130
  else if (options.resume === undefined) await cursorFile?.remove()
}
