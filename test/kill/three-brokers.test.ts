/** A Kafka of three brokers and three copies of everything: one of them dies under load, whatever it was to whom, or gateways and routers do, or all. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import kafkajs from 'kafkajs'
import { findFreePorts } from '../../stack/ports.ts'
import { findJava, OwnKafka } from '../integration/log/own-kafka.ts'
import { type Stack, startStack, until } from '../support/stack.ts'
import type { Load, Resumed } from './harness.ts'
import { isLong, patienceMs, random, strike, underLoad } from './under-load.ts'

const java = await findJava()
const why = !isLong ? 'three brokers are for test:long' : typeof java === 'string' ? java : undefined
const possible = why === undefined ? describe : describe.skip
const title = 'three brokers, min.insync.replicas 2'
const kills = 3
const copies = 3

/** Partitions that Kafka keeps groups in, here. */
const groupPartitions = 4
const groups = '__consumer_offsets'

let brokers: readonly OwnKafka[] = []
let stack: Stack
let admin: kafkajs.Admin

possible(why === undefined ? title : `${title} [skipped: ${why}]`, () => {
  beforeAll(async () => {
    const controllers = await findFreePorts(copies)
    const ids = Array.from({ length: copies }, (_, index) => index + 1)
    const quorum = ids.map((id, index) => `${id}@127.0.0.1:${controllers[index]}`).join(',')
    // Together: each answers once most of them are there.
    brokers = await Promise.all(
      ids.map((id, index) =>
        OwnKafka.start({
          clusterId: 'bG9nZ2VyaGVhZC10ZXN0cw',
          javaOptions: ['-Xms96m', '-Xmx256m'],
          more: ({ port }) => ({
            'node.id': `${id}`,
            'controller.quorum.voters': quorum,
            listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllers[index]}`,
            'offsets.topic.replication.factor': `${copies}`,
            'offsets.topic.num.partitions': `${groupPartitions}`,
            'transaction.state.log.replication.factor': `${copies}`,
            'transaction.state.log.min.isr': '2',
          }),
        }),
      ),
    )
    const addresses = brokers.map((each) => each.brokers)
    admin = new kafkajs.Kafka({ clientId: 'test', brokers: addresses, logLevel: kafkajs.logLevel.NOTHING, retry: { retries: 20 } }).admin()
    await admin.connect()
    await until('three brokers are registered', 60_000, async () => (await admin.describeCluster()).brokers.length === copies)
    stack = await startStack({
      environment: {
        KAFKA_BROKERS: addresses.join(','),
        LOGGERHEAD_PREFIX: 'three',
        KAFKA_REPLICATION: `${copies}`,
        GATEWAYS: '2',
        ROUTERS: '2',
      },
    })
    await inSync()
  }, 300_000)

  afterAll(async () => {
    await stack?.stop()
    await admin?.disconnect()
    await Promise.all(brokers.map((each) => each.stop()))
  }, 120_000)

  const messages = () => `${stack.prefix}.default.messages`

  async function partition(topic: string, of: number): Promise<kafkajs.PartitionMetadata> {
    const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
    return topics[0]?.partitions.find(({ partitionId }) => partitionId === of) as kafkajs.PartitionMetadata
  }

  /** Every copy is as new as its leader's: the next death leaves two. */
  const inSync = () =>
    until('all copies are in sync', patienceMs, async () => {
      const { topics } = await admin.fetchTopicMetadata().catch(() => ({ topics: [] }))
      return topics.length > 0 && topics.every(({ partitions }) => partitions.every(({ isr, replicas }) => isr.length === replicas.length))
    })

  async function killBroker(load: Load, victim: () => Promise<number>): Promise<Resumed> {
    await load.after(20 + Math.floor(random() * 100), patienceMs)
    const broker = brokers[(await victim()) - 1] as OwnKafka
    load.mark()
    await broker.kill()
    const resumed = await load.resumed(patienceMs)
    await broker.up()
    await inSync()
    return resumed
  }

  const victims: readonly (readonly [what: string, victim: () => Promise<number>])[] = [
    ['leader of a messages partition', async () => (await partition(messages(), 0)).leader],
    ['follower of a messages partition', async () => followerOf(await partition(messages(), 0))],
    ['coordinator of the routers’ group', async () => (await partition(groups, hash(`${messages()}.router`) % groupPartitions)).leader],
  ]
  for (const qos of [1, 2] as const) {
    for (const [what, victim] of victims) {
      test(
        `nothing acknowledged is lost or out of order at QoS ${qos} when the ${what} is killed ${kills} times under load`,
        async () => {
          const load = { qos, publishers: 4, rate: 20, transient: 1 }
          const verdict = await underLoad(stack, `kill -9 the ${what} (QoS ${qos})`, load, async (running) => {
            const rounds: Resumed[] = []
            while (rounds.length < kills) rounds.push(await killBroker(running, victim))
            return rounds
          })
          expect(verdict.problems).toEqual([])
        },
        10 * 60_000,
      )
    }
    test(
      `nothing acknowledged is lost or out of order at QoS ${qos} when gateways and routers are killed, one by one and together, ${kills} times each under load`,
      async () => {
        const strikes = [['gateway'], ['router'], ['gateway-2'], ['router-2'], ['gateway', 'router']]
        const load = { qos, publishers: 4, rate: 20, transient: 1 }
        const verdict = await underLoad(stack, `kill -9 gateways and routers on three brokers (QoS ${qos})`, load, async (running) => {
          const rounds: Resumed[] = []
          for (let i = 0; i < kills * strikes.length; i++) rounds.push(await strike(stack, running, strikes[i % strikes.length] as string[]))
          return rounds
        })
        expect(verdict.problems).toEqual([])
      },
      10 * 60_000,
    )
    test(
      `nothing acknowledged is lost or out of order at QoS ${qos} when a broker dies together with a gateway and a router`,
      async () => {
        const load = { qos, publishers: 4, rate: 20, transient: 1 }
        const verdict = await underLoad(stack, `kill -9 a broker, a gateway and a router (QoS ${qos})`, load, async (running) => {
          const rounds: Resumed[] = []
          for (const [, victim] of victims) {
            const broker = brokers[(await victim()) - 1] as OwnKafka
            rounds.push(await strike(stack, running, ['gateway', 'router'], () => broker.kill()))
            await broker.up()
            await inSync()
          }
          return rounds
        })
        expect(verdict.problems).toEqual([])
      },
      10 * 60_000,
    )
  }
})

const followerOf = ({ leader, replicas }: kafkajs.PartitionMetadata): number => replicas.find((each) => each !== leader) as number

/** Java's String.hashCode without its sign: Kafka keeps a group in the partition that it names. */
function hash(text: string): number {
  let value = 0
  for (let i = 0; i < text.length; i++) value = (Math.imul(value, 31) + text.charCodeAt(i)) | 0
  return value & 0x7fff_ffff
}
