/** `loggerhead partitions`, as a process of its own: what shards hold is known to the router alone. */
import { kafkaConnection, kafkaSettings } from '../../log/kafka/connection-settings.ts'
import { KafkaLog } from '../../log/kafka/kafka-log.ts'
import { AppendError, FencedError } from '../../log/log.ts'
import { topicSettings } from '../../log/topics.ts'
import { RecordError } from '../../schemas/record-error.ts'
import { readSettings, SettingError, type Settings } from '../../settings/setting.ts'
import { openLogger } from '../../telemetry/logger.ts'
import { ChangeRefused, changePartitions } from './change.ts'
import { answers } from './listening.ts'
import { findNamespace, writePartitions } from './namespace-entry.ts'

const settings = {
  ...kafkaSettings,
  ...topicSettings,
  LOGGERHEAD_NAMESPACE: { kind: 'text', default: 'default', about: 'The home namespace of the deployment' },
} as const satisfies Settings

async function run(): Promise<void> {
  const values = readSettings(settings, process.env)
  const [, , count, name = values.LOGGERHEAD_NAMESPACE] = process.argv
  const { LOGGERHEAD_PREFIX: prefix, LOGGERHEAD_NAMESPACE: home } = values
  const logger = openLogger('partitions', undefined, { LOG_LEVEL: 'error', ...process.env })
  const log = new KafkaLog({ ...kafkaConnection(values), clientId: `loggerhead-partitions-${process.pid}`, logger })
  try {
    const topics = await findNamespace(log, prefix, home, name)
    await changePartitions({
      log,
      topics,
      to: Number(count),
      now: Date.now,
      answers,
      say: (line) => process.stdout.write(`${line}\n`),
      onMoved: (to) => writePartitions(log, prefix, home, name, to, Date.now()),
    })
  } finally {
    await log.close()
  }
}

/** For those who know what to do about it a sentence; for the others everything. */
function explained(error: unknown): string {
  if (error instanceof ChangeRefused || error instanceof SettingError) return error.message
  if (error instanceof FencedError) return 'somebody else runs the command, or a router took a shard: this one ends; run it again when nothing else does'
  if (error instanceof AppendError) return `Kafka did not take what it was given (${error.message}): run the command again, it goes on where it stopped`
  if (error instanceof RecordError) return `the change cannot go on: ${error.message}`
  return error instanceof Error ? `${error.stack ?? error.message}` : String(error)
}

run().then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`loggerhead: ${explained(error)}\n`)
    process.exit(1)
  },
)
