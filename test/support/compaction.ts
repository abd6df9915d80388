import kafkajs from 'kafkajs'
import { readTopic } from '../wire/kafka-log.ts'
import type { NamespaceLog } from './log-state.ts'
import { until } from './stack.ts'

const atOnce = {
  'cleanup.policy': 'compact',
  'segment.ms': '100',
  'min.compaction.lag.ms': '0',
  'max.compaction.lag.ms': '1',
  'min.cleanable.dirty.ratio': '0.001',
  'delete.retention.ms': '0',
}

/** Makes Kafka compact topics at once; resolves when of each key that stands there now only the newest record is left. */
export async function compact(cluster: NamespaceLog, topics: readonly ('retained' | 'snapshots' | 'gateways')[]): Promise<void> {
  const kafka = new kafkajs.Kafka({ clientId: 'test', brokers: cluster.brokers.split(','), logLevel: kafkajs.logLevel.NOTHING })
  const [admin, producer] = [kafka.admin(), kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner })]
  await Promise.all([admin.connect(), producer.connect()])
  try {
    const configEntries = Object.entries(atOnce).map(([name, value]) => ({ name, value }))
    const resources = topics.map((topic) => ({ type: kafkajs.ConfigResourceTypes.TOPIC, name: cluster.topics[topic], configEntries }))
    await admin.alterConfigs({ validateOnly: false, resources })
    const records = async () =>
      (
        await Promise.all(topics.map((topic) => readTopic(cluster.brokers, cluster.topics[topic]).then((all) => all.map((each) => ({ ...each, topic })))))
      ).flat()
    const stale = new Set(superseded(await records()))
    await until('compaction', 150_000, async () => {
      // Kafka leaves the newest segment of each partition alone: a record that clears nothing begins another.
      for (const topic of topics) {
        const partitions = topic === 'gateways' ? 1 : cluster.partitions
        const messages = Array.from({ length: partitions }, (_, partition) => ({ key: 'begins a segment', value: null, partition }))
        await producer.send({ topic: cluster.topics[topic], messages })
      }
      return !(await records()).some((each) => stale.has(nameOf(each)))
    })
  } finally {
    await Promise.all([admin.disconnect(), producer.disconnect()])
  }
}

interface Placed {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly key: string | null
}

const nameOf = ({ topic, partition, offset }: Placed): string => `${topic} ${partition} ${offset}`

/** Records that a later one of their key has replaced. */
function superseded(records: readonly Placed[]): string[] {
  const newest = new Map<string, Placed>()
  const old: string[] = []
  for (const record of [...records].sort((a, b) => a.offset - b.offset)) {
    const key = `${record.topic} ${record.partition} ${record.key}`
    const before = newest.get(key)
    if (before) old.push(nameOf(before))
    newest.set(key, record)
  }
  return old
}
