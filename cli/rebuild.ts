/** Copies a namespace until a moment into another Kafka. Reads and writes Kafka itself and needs no service. */
import { BeforeHistory } from '../history/before-history.ts'
import { momentOf } from '../history/moment.ts'
import { NotAlone, NotEmpty, rebuild } from '../history/rebuild.ts'
import { fixed, parseBound } from '../history/replay-range.ts'
import { topicNames, topicSettings } from '../log/topics.ts'
import { readSettings } from '../settings/setting.ts'
import { Failure } from './failure.ts'
import { firstAnswer } from './first-answer.ts'
import { openLog } from './kafka.ts'
import { namespaceTopics } from './namespace-topics.ts'
import type { Surroundings } from './surroundings.ts'

export interface RebuildRequest {
  readonly until: string
  readonly to: string
  readonly toPrefix?: string
}

export async function rebuildTo(around: Surroundings, { until, to, toPrefix }: RebuildRequest): Promise<void> {
  const { environment, config, note, show } = around
  const bound = parseBound(until)
  if (typeof bound === 'string') throw new Failure(`--until ${bound}`)
  const { LOGGERHEAD_PREFIX: prefix } = readSettings(topicSettings, environment)
  const from = openLog(environment)
  const copy = openLog({ KAFKA_BROKERS: to })
  try {
    const topics = await namespaceTopics(from, around)
    await firstAnswer(from, from.topicExists(topics.messages), 'KAFKA_BROKERS')
    await firstAnswer(copy, copy.topicExists(topics.messages), `--to ${to}`)
    const now = Date.now()
    const moment = await momentOf(from, topics, fixed(bound, now))
    const shards = await from.partitions(topics.messages)
    const own = toPrefix ?? prefix
    const done = await rebuild({
      from: { log: from, topics },
      to: { log: copy, prefix: own, topics: topicNames(own, config.namespace) },
      shards,
      moment,
      now,
      onCopied: (topic, records) => note(`${topic}: ${records} records`),
    })
    show({ until: new Date(moment.at).toISOString(), shards, prefix: own, namespace: config.namespace, ...done })
    if (around.format === 'table')
      note(`start it with KAFKA_BROKERS=${to} KAFKA_PARTITIONS=${shards} LOGGERHEAD_PREFIX=${own} HISTORY_WINDOW=unlimited npm start`)
  } catch (error) {
    if (error instanceof BeforeHistory) throw new Failure(`--until ${until}: ${error.message}`, { cause: error })
    if (error instanceof NotEmpty || error instanceof NotAlone) throw new Failure(`--to ${to}: ${error.message}`, { cause: error })
    throw error
  } finally {
    await Promise.all([from.close(), copy.close()])
  }
}
