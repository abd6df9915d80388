/** Group membership across processes: what happens to the shards of one that is killed. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterEach, test } from '@jest/globals'
import { KafkaLog } from '../../../log/kafka/kafka-log.ts'
import { until } from './own-kafka.ts'

const brokers = process.env.KAFKA_BROKERS
const run = brokers ? test : test.skip
const why = brokers ? '' : ' [skipped: KAFKA_BROKERS is not set]'
const silent = { debug() {}, info() {}, warn() {}, error() {} }

class Member {
  assigned: readonly number[] = []
  readonly process: ChildProcess

  constructor(topic: string, instance: string, sessionMs: number) {
    const args = [join(import.meta.dirname, 'member.ts'), brokers ?? '', topic, instance, `${sessionMs}`]
    this.process = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    this.process.stdout?.on('data', (text: Buffer) => {
      this.assigned = JSON.parse(text.toString().trim().split('\n').at(-1) ?? '[]')
    })
    members.push(this)
  }

  async kill(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return
    const gone = once(this.process, 'exit')
    this.process.kill('SIGKILL')
    await gone
  }
}

const members: Member[] = []
afterEach(async () => {
  for (const member of members.splice(0)) await member.kill()
})

async function makeTopic(partitions: number): Promise<string> {
  const log = new KafkaLog({ brokers: (brokers ?? '').split(','), clientId: 'membership', logger: silent })
  const topic = `membership-${randomBytes(6).toString('hex')}`
  await log.createTopics([{ name: topic, partitions, replication: 1, settings: {} }])
  await log.close()
  return topic
}

run(`a process killed with -9 has its shards back at once when it is started again, long before its session ends${why}`, async () => {
  const topic = await makeTopic(4)
  // Longer than anything here waits.
  const sessionMs = 300_000
  const first = new Member(topic, 'router-1', sessionMs)
  await until('the first member owns all', () => first.assigned.length === 4)
  const second = new Member(topic, 'router-2', sessionMs)
  await until('both share', () => first.assigned.length === 2 && second.assigned.length === 2)
  await first.kill()
  const restarted = new Member(topic, 'router-1', sessionMs)
  const owned = () => JSON.stringify([restarted.assigned, second.assigned])
  await until('each owns its half again', () => owned() === '[[0,1],[2,3]]')
})

run(`shards of a process that is killed and does not come back go to the others when its session ends${why}`, async () => {
  const topic = await makeTopic(3)
  const first = new Member(topic, 'router-1', 3_000)
  const second = new Member(topic, 'router-2', 3_000)
  await until('both share', () => first.assigned.length + second.assigned.length === 3 && first.assigned.length > 0 && second.assigned.length > 0)
  await first.kill()
  await until('the second owns all', () => JSON.stringify(second.assigned) === '[0,1,2]')
})
