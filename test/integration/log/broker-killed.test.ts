/** Kafka killed, frozen and restarted under an appender and a follower. */
import { randomInt } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { kafkaConnection, kafkaSettings } from '../../../log/kafka/connection-settings.ts'
import { KafkaLog } from '../../../log/kafka/kafka-log.ts'
import type { Appender } from '../../../log/log.ts'
import { readSettings } from '../../../settings/setting.ts'
import { count } from '../../support/available.ts'
import { findJava, OwnKafka, until } from './own-kafka.ts'

const java = await findJava()
const run = typeof java === 'string' ? test.skip : test
const why = typeof java === 'string' ? ` [skipped: ${java}]` : ''
const silent = { debug() {}, info() {}, warn() {}, error() {} }

let kafka: OwnKafka
beforeAll(async () => {
  if (typeof java !== 'string') kafka = await OwnKafka.start()
}, 300_000)
afterAll(async () => {
  await kafka?.stop()
})

/** Appends numbered records to all partitions, as fast as answers come, with a bounded number unanswered. */
class Load {
  readonly answers: Map<number, number>[]
  readonly sent: number[]
  readonly errors: Error[] = []
  lastAnswerAt = 0
  #open = 0
  #stopped = false
  readonly #appender: Appender
  readonly #topic: string

  constructor(appender: Appender, topic: string, partitions: number) {
    this.#appender = appender
    this.#topic = topic
    this.answers = Array.from({ length: partitions }, () => new Map())
    this.sent = new Array(partitions).fill(0)
    this.#fill()
  }

  #fill(): void {
    while (!this.#stopped && this.#open < 300) {
      const partition = randomInt(this.sent.length)
      const number = this.sent[partition] as number
      this.sent[partition] = number + 1
      this.#open++
      this.#appender.append(
        { topic: this.#topic, partition, key: null, value: Buffer.from(`${number}`.padEnd(100, ' ')), timestamp: Date.now() },
        (error, offset) => {
          this.#open--
          this.lastAnswerAt = Date.now()
          if (error) this.errors.push(error)
          else this.answers[partition]?.set(number, offset)
        },
      )
    }
    if (!this.#stopped) setTimeout(() => this.#fill(), 5)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#appender.flush()
  }
}

run(
  `Kafka killed with -9 in the middle of appends only delays them: nothing lost, repeated or out of order${why}`,
  async () => {
    const partitions = 3
    const topic = 'killed'
    const log = new KafkaLog({ brokers: [kafka.brokers], clientId: 'killed', logger: silent })
    await log.createTopics([{ name: topic, partitions, replication: 1, settings: {} }])
    const follower = await log.follow({ topic, from: new Map(Array.from({ length: partitions }, (_, partition) => [partition, 0])) })
    const followed: number[][] = Array.from({ length: partitions }, () => [])
    const following = (async () => {
      for await (const { partition, records } of follower.stretches()) {
        for (const { offset, value } of records) {
          // In offset order, each once: its place in the list is its offset.
          if (followed[partition]?.length !== offset) throw new Error(`offset ${offset} after ${followed[partition]?.length} records`)
          followed[partition]?.push(Number(value?.toString()))
        }
      }
    })()
    following.catch(() => {})
    const load = new Load(await log.appender(), topic, partitions)
    const kills = count(1, 20)
    const resumedMs: number[] = []
    for (let kill = 0; kill < kills; kill++) {
      await delay(randomInt(200, 800))
      await kafka.kill()
      await until('health says unreachable', () => !log.health().reachable)
      await delay(randomInt(50, 500))
      const before = load.lastAnswerAt
      await kafka.up()
      const upAt = Date.now()
      await until('appends are answered again', () => load.lastAnswerAt > before)
      resumedMs.push(Date.now() - upAt)
      await until('health says reachable', () => log.health().reachable)
    }
    await load.stop()
    expect(load.errors).toEqual([])
    for (let partition = 0; partition < partitions; partition++) {
      // Appended in order and each once: the record's number is its offset.
      expect([...(load.answers[partition] as Map<number, number>)].every(([number, offset]) => number === offset)).toBe(true)
      expect(load.answers[partition]?.size).toBe(load.sent[partition])
    }
    expect([...(await log.endOffsets(topic)).values()]).toEqual(load.sent)
    await until('the follower has read all', () => followed.every((numbers, partition) => numbers.length === load.sent[partition]))
    for (const numbers of followed) expect(numbers.every((number, offset) => number === offset)).toBe(true)
    process.stderr.write(`answers again after Kafka's port opened: ${resumedMs.join(', ')} ms; ${load.sent.reduce((a, b) => a + b)} records\n`)
    await log.close()
    await expect(following).rejects.toThrow('closed')
  },
  600_000,
)

run(
  `KAFKA_REQUEST_TIMEOUT_MS: Kafka frozen with its sockets open is noticed, and what was on its way is stored once${why}`,
  async () => {
    const topic = 'frozen'
    const settings = readSettings(kafkaSettings, { KAFKA_BROKERS: kafka.brokers, KAFKA_REQUEST_TIMEOUT_MS: '1000' })
    const log = new KafkaLog({ ...kafkaConnection(settings), clientId: 'frozen', logger: silent })
    await log.createTopics([{ name: topic, partitions: 2, replication: 1, settings: {} }])
    const appender = await log.appender()
    const load = new Load(appender, topic, 2)
    await until('appends are answered', () => load.lastAnswerAt > 0)
    kafka.freeze()
    await until('health says unreachable', () => !log.health().reachable)
    expect(appender.stalledMs).toBeGreaterThan(500)
    expect(log.health().unreachableMs).toBeGreaterThan(500)
    await delay(1500)
    const before = load.lastAnswerAt
    kafka.thaw()
    await until('appends are answered again', () => load.lastAnswerAt > before)
    await load.stop()
    expect(load.errors).toEqual([])
    expect([...(await log.endOffsets(topic)).values()]).toEqual(load.sent)
    for (const [partition, answers] of load.answers.entries()) {
      expect([...answers].every(([number, offset]) => number === offset)).toBe(true)
      expect(answers.size).toBe(load.sent[partition])
    }
    await log.close()
  },
  120_000,
)

run(
  `a log opened while Kafka is away comes up with it${why}`,
  async () => {
    await kafka.kill()
    const log = new KafkaLog({ brokers: [kafka.brokers], clientId: 'early', logger: silent })
    const writing = (async () => {
      await log.createTopics([{ name: 'early', partitions: 1, replication: 1, settings: {} }])
      const appender = await log.appender()
      return appender.write({ topic: 'early', partition: 0, key: null, value: Buffer.from('v'), timestamp: 1 })
    })()
    await until('health says unreachable', () => !log.health().reachable)
    await kafka.up()
    expect(await writing).toBe(0)
    await log.close()
  },
  120_000,
)

run(`a topic that is made after its first record was appended takes it${why}`, async () => {
  const log = new KafkaLog({ brokers: [kafka.brokers], clientId: 'late', logger: silent })
  const appender = await log.appender()
  const written = appender.write({ topic: 'late', partition: 0, key: null, value: Buffer.from('v'), timestamp: 1 })
  await delay(200)
  await log.createTopics([{ name: 'late', partitions: 1, replication: 1, settings: {} }])
  expect(await written).toBe(0)
  await log.close()
})

run(`a member that hears nothing from Kafka for a whole session gives its shards up, and gets them again${why}`, async () => {
  const log = new KafkaLog({ brokers: [kafka.brokers], clientId: 'member', logger: silent, sessionTimeoutMs: 1500, requestTimeoutMs: 1000 })
  await log.createTopics([{ name: 'session', partitions: 3, replication: 1, settings: {} }])
  let owned: readonly number[] = []
  const revoked: (readonly number[])[] = []
  await log.join({
    group: 'session',
    topic: 'session',
    instance: 'router-1',
    onAssigned: (partitions) => {
      owned = partitions
    },
    onRevoked: (partitions) => void revoked.push(partitions),
  })
  expect(owned).toEqual([0, 1, 2])
  await until('the shards are owned', () => owned.length === 3)
  // On a machine that is busy they may have been given up before.
  revoked.length = 0
  kafka.freeze()
  await until('the shards are given up', () => owned.length === 0)
  expect(revoked).toEqual([[0, 1, 2]])
  kafka.thaw()
  await until('the shards are owned again', () => owned.length === 3)
  await log.close()
})
