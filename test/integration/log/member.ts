/** A process that is a member of a group: prints each assignment, until it is killed. Arguments: brokers, topic (and group), instance, session (ms). */
import { KafkaLog } from '../../../log/kafka/kafka-log.ts'

const [brokers = '', topic = '', instance = '', session = ''] = process.argv.slice(2)
const silent = { debug() {}, info() {}, warn() {}, error() {} }
const log = new KafkaLog({ brokers: brokers.split(','), clientId: 'member', logger: silent, sessionTimeoutMs: Number(session) })
await log.join({
  group: topic,
  topic,
  instance,
  onAssigned: (partitions) => void process.stdout.write(`${JSON.stringify(partitions)}\n`),
  onRevoked: () => {},
})
