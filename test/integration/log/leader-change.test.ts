/** Two brokers, two replicas: the leader is killed, and later comes back. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { KafkaLog } from '../../../log/kafka/kafka-log.ts'
import { findJava, OwnKafka, until } from './own-kafka.ts'

const java = await findJava()
const run = typeof java === 'string' ? test.skip : test
const why = typeof java === 'string' ? ` [skipped: ${java}]` : ''
const silent = { debug() {}, info() {}, warn() {}, error() {} }

let first: OwnKafka
let second: OwnKafka
beforeAll(async () => {
  if (typeof java === 'string') return
  let quorum = ''
  first = await OwnKafka.start({
    more: ({ controllerPort }) => {
      quorum = `127.0.0.1:${controllerPort}`
      return {}
    },
  })
  const meta = await readFile(join(first.folder, 'log/meta.properties'), 'utf8')
  second = await OwnKafka.start({
    // The same cluster: formatted by hand, with the first node's cluster id.
    prepare: async (folder) => {
      await mkdir(join(folder, 'log'))
      await writeFile(join(folder, 'log/meta.properties'), meta.replace(/node\.id=1/, 'node.id=2').replace(/directory\.id=.*\n/, ''))
    },
    more: (own) => ({
      'process.roles': 'broker',
      'node.id': '2',
      'controller.quorum.voters': `1@${quorum}`,
      listeners: `PLAINTEXT://127.0.0.1:${own.port}`,
      'advertised.listeners': `PLAINTEXT://127.0.0.1:${own.port}`,
    }),
  })
}, 300_000)
afterAll(async () => {
  await second?.stop()
  await first?.stop()
})

run(
  `appender, follower and reads go on with another leader, and nothing is lost, repeated or out of order${why}`,
  async () => {
    const log = new KafkaLog({ brokers: [first.brokers, second.brokers], clientId: 'leaders', logger: silent })
    const partitions = [0, 1, 2, 3]
    const topic = 'leaders'
    // The second broker has to be registered before a topic can have two replicas.
    let isMade = false
    while (!isMade) {
      try {
        await log.createTopics([{ name: topic, partitions: partitions.length, replication: 2, settings: { 'min.insync.replicas': '1' } }])
        isMade = true
      } catch (error) {
        if (!String(error).includes('INVALID_REPLICATION_FACTOR')) throw error
      }
    }
    const follower = await log.follow({ topic, from: new Map(partitions.map((partition) => [partition, 0])) })
    const followed: number[][] = partitions.map(() => [])
    const following = (async () => {
      for await (const { partition, records } of follower.stretches()) {
        for (const { offset, value } of records) {
          if (offset !== followed[partition]?.length) throw new Error(`offset ${offset} after ${followed[partition]?.length} records`)
          followed[partition]?.push(Number(value?.toString()))
        }
      }
    })()
    following.catch(() => {})
    const appender = await log.appender()
    const sent = partitions.map(() => 0)
    const answered = partitions.map(() => 0)
    const failures: unknown[] = []
    let isRunning = true
    let open = 0
    const fill = (): void => {
      while (isRunning && open < 100) {
        const partition =
          (sent[0] as number) <= (sent[1] as number) ? 0 : (sent[1] as number) <= (sent[2] as number) ? 1 : (sent[2] as number) <= (sent[3] as number) ? 2 : 3
        const number = sent[partition] as number
        sent[partition] = number + 1
        open++
        appender.append({ topic, partition, key: null, value: Buffer.from(`${number}`), timestamp: Date.now() }, (error, offset) => {
          open--
          if (error || offset !== number || answered[partition] !== number) failures.push([error, partition, offset, number])
          answered[partition] = number + 1
        })
      }
      if (isRunning) setTimeout(fill, 5)
    }
    fill()
    const allMoved = async (what: string): Promise<void> => {
      const before = [...answered]
      await until(what, () => answered.every((count, partition) => count > (before[partition] as number)), 60_000)
    }
    await allMoved('all partitions are answered')
    await second.kill()
    await allMoved('all partitions are answered by the first broker')
    expect(log.health().reachable).toBe(true)
    const ends = await log.endOffsets(topic)
    expect((await log.readMany(topic, ends)).length).toBe(4)
    await second.up()
    await allMoved('all partitions are answered with both')
    isRunning = false
    await appender.flush()
    expect(failures).toEqual([])
    expect(answered).toEqual(sent)
    await until('the follower has read all', () => followed.every((numbers, partition) => numbers.length === sent[partition]))
    for (const numbers of followed) expect(numbers.every((number, offset) => number === offset)).toBe(true)
    await log.close()
  },
  180_000,
)
