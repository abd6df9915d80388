/** Sessions that come back: what waited joins what is published meanwhile, and a crowd of them reads the log once. */
import { describe, expect, test } from '@jest/globals'
import { inFrozenTime } from '../../simulation/frozen-time.ts'
import { Random } from '../../simulation/random.ts'
import type { Delivery, SimConnection, SimGateway } from '../../simulation/sim-gateway.ts'
import { World } from '../../simulation/world.ts'
import { count } from '../../support/available.ts'

const topics = ['a/x', 'a/y', 'a/z']

let world: World

inFrozenTime(() => world)

const all = { filter: 'a/+', qos: 2, noLocal: false, retainAsPublished: false, retainHandling: 0, subscriptionIdentifier: null, replay: null }

async function open(connection: SimConnection): Promise<SimConnection> {
  await world.until(() => connection.phase !== 'attaching', 'it is answered')
  expect(connection.phase).toBe('open')
  return connection
}

/** A client of one session that comes and goes, and what it got first, in order. */
class Wanderer {
  readonly first: Delivery[] = []
  readonly #seen = new Set<string>()
  readonly #random: Random
  connection: SimConnection | null = null

  constructor(random: Random) {
    this.#random = random
  }

  connect(gateway: SimGateway): SimConnection {
    const connection = gateway.connect('wanderer', {
      expiry: 100_000,
      receiveMaximum: 1 + this.#random.below(20),
      onDelivery: (each, delivery) => {
        if (each !== this.connection) return
        if (!this.#seen.has(delivery.text)) this.first.push(delivery)
        this.#seen.add(delivery.text)
        let turns = this.#random.below(4)
        const later = (): void => void (turns-- > 0 ? setImmediate(later) : each.acknowledge(delivery))
        later()
      },
    })
    this.connection = connection
    return connection
  }
}

test.each(Array.from({ length: count(6, 100) }, (_, i) => 1 + i * 7919))(
  'seed %d: a session that returns under live traffic sees each topic whole and in the order of the log, at QoS 1 and at QoS 2',
  async (seed) => {
    const random = new Random(seed)
    world = await new World({ random: random.next, environment: { PAYLOAD_CACHE_BYTES: '65536', SNAPSHOT_RECORDS: '200' } }).start()
    const gateways = [await world.startGateway('gw-0'), await world.startGateway('gw-1')]
    let router = await world.startRouter('r0')
    const wanderer = new Wanderer(random)
    await (await open(wanderer.connect(random.pick(gateways)))).subscribe(all)
    const messages = 400
    for (let i = 0; i < messages; i++) {
      const text = `${i} ${'x'.repeat(random.below(600))}`
      void random.pick(gateways).publish(random.pick(topics), text, { qos: 1 + random.below(2) })
      await world.turns(random.below(3))
      // Away for a while, and back while the others go on.
      if (random.chance(0.03)) wanderer.connection?.close('ConnectionLost')
      else if (random.chance(0.04)) wanderer.connect(random.pick(gateways))
      if (random.chance(0.005)) {
        router.kill()
        router = await world.startRouter(`r${i}`)
      }
    }
    wanderer.connect(random.pick(gateways))
    await world.until(() => wanderer.first.length >= messages, `all of it comes, ${wanderer.first.length} did`)
    for (const qos of [1, 2]) {
      for (const topic of topics) {
        const line = wanderer.first.filter((each) => each.topic === topic && each.qos === qos).map(({ offset }) => offset)
        expect(line).toEqual(line.toSorted((a, b) => a - b))
      }
    }
    expect(wanderer.first).toHaveLength(messages)
  },
  120_000,
)

/** How often the log of messages is read for sessions that return at once and are owed the same by a router that holds none of it. */
async function readsOf(sessions: number, messages: number, cacheBytes: number): Promise<number> {
  world = await new World({ partitions: 1, environment: { PAYLOAD_CACHE_BYTES: `${cacheBytes}` } }).start()
  const gateway = await world.startGateway('gw')
  const before = await world.startRouter('before')
  const connect = (i: number, onDelivery?: (each: SimConnection, delivery: Delivery) => void): SimConnection =>
    // Some take much at a time and some little.
    gateway.connect(`c${i}`, { expiry: 1_000, receiveMaximum: 1 + (i % 20), ...(onDelivery && { onDelivery }) })
  for (let i = 0; i < sessions; i++) {
    const connection = await open(connect(i))
    await connection.subscribe({ ...all, qos: 1 })
    connection.close('ConnectionLost')
  }
  for (let i = 0; i < messages; i++) await gateway.publish('a/x', `${i} ${'x'.repeat(1_000)}`)
  await world.pass(1_000)
  await before.stop()
  const router = await world.startRouter('after')
  let reads = 0
  const { read } = router.log
  router.log.read = (topic, ...rest) => {
    if (topic === world.topics.messages) reads++
    return read(topic, ...rest)
  }
  let got = 0
  for (let i = 0; i < sessions; i++) {
    connect(i, (each, delivery) => {
      got++
      setImmediate(() => each.acknowledge(delivery))
    })
  }
  await world.until(() => got >= sessions * messages, 'everybody gets everything')
  world.end()
  return reads
}

describe('a herd of sessions that return at once and are owed the same', () => {
  const messages = 1_200
  /** One read brings half a MiB: what a single session would need. */
  const alone = Math.ceil((messages * 1_000) / (512 * 1024))
  const [few, many] = [count(4, 50), count(40, 500)]

  test('reads what it is owed once, however many they are', async () => {
    const reads = [await readsOf(few, messages, 16_777_216), await readsOf(many, messages, 16_777_216)]
    process.stderr.write(`${messages} messages of 1 kB: ${reads[0]} reads for ${few} sessions, ${reads[1]} for ${many}\n`)
    for (const each of reads) {
      expect(each).toBeGreaterThanOrEqual(alone)
      expect(each).toBeLessThanOrEqual(alone * 2)
    }
  }, 120_000)

  test('reads again where they are further apart than the router may hold, and by far not as often as there are sessions', async () => {
    const reads = [await readsOf(few, messages, 65_536), await readsOf(many, messages, 65_536)]
    process.stderr.write(`the same with 64 KiB of memory: ${reads[0]} reads for ${few} sessions, ${reads[1]} for ${many}\n`)
    // Who shares a read depends on how far each is: far less often than if each read for itself.
    expect(reads[1]).toBeLessThan(((reads[0] as number) * many) / few / 3)
  }, 120_000)
})
