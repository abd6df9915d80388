/** A Kafka client that reads the newest records of a topic and counts them, until its standard input ends. */
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { pino } from 'pino'
import { KafkaLog } from '../log/kafka/kafka-log.ts'

const { values } = parseArgs({ options: { brokers: { type: 'string', default: '' }, topic: { type: 'string', default: '' } } })
const log = new KafkaLog({ brokers: values.brokers.split(','), clientId: 'bench-consumer', logger: pino({ level: 'silent' }) })
const follower = await log.follow({ topic: values.topic, from: await log.endOffsets(values.topic), maxBytes: 4 * 1024 * 1024 })
let records = 0
let bytes = 0
void once(process.stdin.resume(), 'end').then(() => {
  const { user, system } = process.cpuUsage()
  process.stdout.write(`${JSON.stringify({ records, bytes, cpuMicroseconds: user + system })}\n`)
  process.exit(0)
})
process.stdout.write('reading\n')
for await (const stretch of follower.stretches()) {
  records += stretch.records.length
  for (const { value } of stretch.records) bytes += value?.length ?? 0
}
