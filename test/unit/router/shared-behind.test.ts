import { describe, expect, jest, test } from '@jest/globals'
import { inFrozenTime } from '../../simulation/frozen-time.ts'
import type { Delivery, SimGateway } from '../../simulation/sim-gateway.ts'
import { type RouterProcess, World } from '../../simulation/world.ts'
import { subscription } from '../model/session-records.ts'

let world: World

inFrozenTime(() => world)

type Connection = ReturnType<SimGateway['connect']>

const filter = '$share/g/a/#'
/** Of a queue, so that a group is behind with few messages. */
const queueMax = 40

async function given(environment: Record<string, string> = {}): Promise<{ router: RouterProcess; gateway: SimGateway }> {
  world = await new World({ partitions: 4, environment: { SESSION_QUEUE_MESSAGES_MAX: String(queueMax), ...environment } }).start()
  const gateway = await world.startGateway('gw')
  return { gateway, router: await world.startRouter('r1') }
}

/** What came to a member, in its order, and what of it it has not acknowledged. */
class Taker {
  readonly got: string[] = []
  readonly open: Delivery[] = []
  connection!: Connection
  most = 0

  static async join(gateway: SimGateway, clientId: string, qos: 0 | 1 | 2 = 1, options: Parameters<SimGateway['connect']>[1] = {}): Promise<Taker> {
    const taker = new Taker()
    taker.connection = gateway.connect(clientId, {
      receiveMaximum: 100,
      expiry: 0,
      cleanStart: true,
      ...options,
      onDelivery: (_, delivery) => {
        taker.got.push(delivery.text)
        if (delivery.number >= 0) taker.open.push(delivery)
        taker.most = Math.max(taker.most, taker.open.length)
      },
    })
    await world.until(() => taker.connection.phase !== 'attaching', `${clientId} is answered`)
    await taker.connection.subscribe(subscription(filter, { qos }))
    return taker
  }

  acknowledge(): void {
    for (const delivery of this.open.splice(0)) this.connection.acknowledge(delivery)
  }
}

/** Publishes texts `p<publisher> <number>`, so that each publisher's can be told in their order. */
async function publish(gateway: SimGateway, count: number, qos: 0 | 1 | 2 = 1, from = 0): Promise<string[]> {
  const texts: string[] = []
  for (let i = from; i < from + count; i++) {
    const publisher = `p${i % 8}`
    texts.push(`${publisher} ${i}`)
    await gateway.publish(`a/${publisher}`, `${publisher} ${i}`, { clientId: publisher, qos })
  }
  return texts
}

const all = (...takers: readonly Taker[]): string[] => takers.flatMap(({ got }) => got)
const distinct = (...takers: readonly Taker[]): string[] => [...new Set(all(...takers))].sort()

/** Lets members acknowledge until each text has come. */
async function takeAll(expected: readonly string[], ...takers: readonly Taker[]): Promise<void> {
  await world.until(() => {
    for (const taker of takers) taker.acknowledge()
    return distinct(...takers).length >= expected.length
  }, `${expected.length} messages`)
  expect(distinct(...takers)).toEqual([...expected].sort())
}

/** Texts of a publisher that came behind a later one, at one member. */
const disordered = ({ got }: Taker): string[] => {
  const last = new Map<string, number>()
  return got.filter((text) => {
    const [publisher, number] = text.split(' ') as [string, string]
    const isLate = Number(number) < (last.get(publisher) ?? -1)
    last.set(publisher, Number(number))
    return isLate
  })
}

const records = (name: string) =>
  Array.from({ length: world.partitions }, (_, shard) => world.records('inbox', shard).map(({ record }) => record))
    .flat()
    .filter((record) => record.name === name)
const figure = async (router: RouterProcess, name: string, labels: Record<string, string> = {}): Promise<number> => {
  const values = (await router.figures.getSingleMetric(name)?.get())?.values ?? []
  return values.filter((each) => Object.entries(labels).every(([key, value]) => each.labels[key] === value)).reduce((sum, { value }) => sum + value, 0)
}

describe('a group whose members have enough', () => {
  test('waits in the log: none of them ends, nothing is lost, repeated or out of order', async () => {
    const { gateway, router } = await given()
    const members = [await Taker.join(gateway, 'm1'), await Taker.join(gateway, 'm2')]
    const texts = await publish(gateway, 500)
    await world.turns(200)
    expect(records('SharedBehind').length).toBeGreaterThan(0)
    await takeAll(texts, ...members)
    expect(members.map(({ connection }) => connection.phase)).toEqual(['open', 'open'])
    for (const each of members) expect([each.most <= queueMax, disordered(each)]).toEqual([true, []])
    expect(all(...members)).toHaveLength(500)
    expect(await figure(router, 'loggerhead_shared_caught_up_total')).toBeGreaterThan(300)
    expect(router.failures).toEqual([])
  })

  test('is given what is published when it has caught up, behind what it had to read', async () => {
    const { gateway, router } = await given()
    const members = [await Taker.join(gateway, 'm1'), await Taker.join(gateway, 'm2')]
    const texts = await publish(gateway, 200)
    for (let round = 0; round < 5; round++) {
      texts.push(...(await publish(gateway, 30, 1, texts.length)))
      for (const each of members) each.acknowledge()
      await world.turns(30)
    }
    await takeAll(texts, ...members)
    await world.pass(3_000)
    const told = records('SharedBehind')
    for (let shard = 0; shard < world.partitions; shard++)
      expect(told.filter(({ value }) => (value as { shard: number }).shard === shard).at(-1)?.value ?? { groups: [] }).toMatchObject({ groups: [] })
    const before = await figure(router, 'loggerhead_shared_caught_up_total')
    const more = await publish(gateway, 8, 1, texts.length)
    await takeAll([...texts, ...more], ...members)
    expect(await figure(router, 'loggerhead_shared_caught_up_total')).toBe(before)
    for (const each of members) expect(disordered(each)).toEqual([])
    expect(all(...members)).toHaveLength(texts.length + more.length)
  })

  test('does not wait for one of them that takes nothing', async () => {
    const { gateway } = await given()
    const idle = await Taker.join(gateway, 'idle')
    const busy = await Taker.join(gateway, 'busy')
    const texts = await publish(gateway, 300)
    await world.until(() => {
      busy.acknowledge()
      return distinct(idle, busy).length === 300
    }, 'the busy one gets the rest')
    expect([idle.connection.phase, distinct(idle, busy)]).toEqual(['open', [...texts].sort()])
    expect(idle.most).toBeLessThanOrEqual(queueMax)
  })

  test('hands on what one leaves, and gives what waits to one that comes', async () => {
    const { gateway } = await given()
    const leaving = await Taker.join(gateway, 'm1')
    const staying = await Taker.join(gateway, 'm2')
    const texts = await publish(gateway, 300)
    await world.turns(100)
    leaving.connection.close('ConnectionLost')
    const coming = await Taker.join(gateway, 'm3')
    await world.until(() => {
      for (const each of [staying, coming]) each.acknowledge()
      return distinct(staying, coming).length === 300
    }, 'the others get all of it')
    expect(distinct(staying, coming)).toEqual([...texts].sort())
    expect([staying, coming].map(({ connection }) => connection.phase)).toEqual(['open', 'open'])
  })

  test('gives one that was granted QoS 0 no more than its queue has room for either', async () => {
    const { gateway } = await given()
    const slow = await Taker.join(gateway, 'm1')
    const texts = await publish(gateway, 300)
    await world.turns(100)
    const quick = await Taker.join(gateway, 'm2', 0)
    await world.until(() => {
      quick.acknowledge()
      return distinct(slow, quick).length === 300 || quick.connection.phase === 'closed'
    }, 'it takes the rest')
    expect([quick.connection.phase, distinct(slow, quick), quick.most <= queueMax]).toEqual(['open', [...texts].sort(), true])
  })

  test('with another group beside it that keeps up, holds up neither that nor other subscribers', async () => {
    const { gateway } = await given()
    await Taker.join(gateway, 'm1')
    const other = new Set<string>()
    const quick: Connection = gateway.connect('quick', {
      receiveMaximum: 100,
      onDelivery: (connection, delivery) => {
        other.add(delivery.text)
        connection.acknowledge(delivery)
      },
    })
    await world.until(() => quick.phase !== 'attaching', 'quick is answered')
    await quick.subscribe('$share/other/a/#')
    const texts = await publish(gateway, 300)
    await world.until(() => other.size === 300, 'the other group has all')
    expect([...other].sort()).toEqual([...texts].sort())
  })

  test('without any of them left, gives its messages up with a reason', async () => {
    const { gateway, router } = await given()
    const only = await Taker.join(gateway, 'm1')
    await publish(gateway, 300)
    await world.turns(100)
    only.connection.close('ConnectionLost')
    await world.pass(5_000)
    // Those that it held, and those that waited.
    expect(await figure(router, 'loggerhead_deliveries_dropped_total', { reason: 'noMember' })).toBe(300)
    const late = await Taker.join(gateway, 'm2')
    await world.pass(2_000)
    expect(late.got).toEqual([])
  })

  test('goes on behind what retention has removed meanwhile, which is counted as gone', async () => {
    const { gateway, router } = await given()
    const only = await Taker.join(gateway, 'm1')
    const texts = await publish(gateway, 300)
    await world.turns(200)
    for (let shard = 0; shard < world.partitions; shard++) world.retire('messages', shard, world.records('messages', shard).length)
    const later = await publish(gateway, 60, 1, texts.length)
    const gone = () => figure(router, 'loggerhead_deliveries_dropped_total', { reason: 'gone' })
    await world.until(() => {
      only.acknowledge()
      return later.every((text) => only.got.includes(text))
    }, 'what the log has')
    expect([only.connection.phase, new Set(only.got).size + (await gone()), disordered(only)]).toEqual(['open', texts.length + later.length, []])
    expect(await gone()).toBeGreaterThan(texts.length / 2)
    expect(router.failures).toEqual([])
  })

  test('passes over what has expired meanwhile, and counts it', async () => {
    const { gateway, router } = await given()
    const only = await Taker.join(gateway, 'm1')
    for (let i = 0; i < 100; i++) await gateway.publish('a/b', `${i}`, { clientId: `p${i}`, messageExpiryInterval: 5 })
    await world.turns(100)
    await world.pass(6_000)
    const last = await publish(gateway, 1)
    await world.until(() => {
      only.acknowledge()
      return only.got.includes(last[0] as string)
    }, 'what is news still')
    expect(all(only).length - 1 + (await figure(router, 'loggerhead_deliveries_dropped_total', { reason: 'expired' }))).toBe(100)
  })

  test('of members without a connection waits for one that comes', async () => {
    const { gateway } = await given()
    const away = await Taker.join(gateway, 'm1', 1, { expiry: 100_000, cleanStart: false })
    const texts = await publish(gateway, 200)
    await world.turns(100)
    away.connection.close('ConnectionLost')
    await world.pass(5_000)
    const back = await Taker.join(gateway, 'm1', 1, { expiry: 100_000, cleanStart: false })
    await takeAll(texts, away, back)
    expect(back.connection.phase).toBe('open')
  })
})

test('many groups that are behind read nothing while nobody takes anything', async () => {
  // More than may hold what they have read.
  const groups = 40
  const { gateway, router } = await given({ SHARED_MEMBER_MESSAGES_MAX: '1', SESSION_QUEUE_MESSAGES_MAX: '100000' })
  const only = await Taker.join(gateway, 'm1', 1, { expiry: 100_000, cleanStart: false })
  for (let i = 1; i < groups; i++) await only.connection.subscribe(subscription(`$share/g${i}/a/#`, { qos: 1 }))
  const texts = await publish(gateway, 5)
  await world.pass(20_000)
  const read = jest.spyOn(router.log, 'read')
  const again = () => read.mock.calls.filter(([topic]) => topic === world.topics.messages).length
  await world.pass(10_000)
  expect(again()).toBe(0)
  only.connection.close('ConnectionLost')
  await world.pass(10_000)
  expect(again()).toBe(0)
  const back = await Taker.join(gateway, 'm1', 1, { expiry: 100_000, cleanStart: false })
  await world.until(() => {
    back.acknowledge()
    return all(only, back).length >= texts.length * groups
  }, 'each group is given each message')
  for (const text of texts) expect(new Set(all(only, back).filter((each) => each === text)).size).toBe(1)
  expect(router.failures).toEqual([])
})

describe('SHARED_MEMBER_MESSAGES_MAX', () => {
  test('no member is owed twice as much, however long its queue may be', async () => {
    const { gateway } = await given({ SHARED_MEMBER_MESSAGES_MAX: '3', SESSION_QUEUE_MESSAGES_MAX: '100000' })
    const members = [await Taker.join(gateway, 'm1'), await Taker.join(gateway, 'm2')]
    const texts = await publish(gateway, 100)
    await world.turns(100)
    await takeAll(texts, ...members)
    for (const each of members) expect([each.most <= 6, disordered(each)]).toEqual([true, []])
  })
})

describe('SHARED_BEHIND_MAX', () => {
  test('a group above it gets its messages at once, and its members end at their limits', async () => {
    const { gateway, router } = await given({ SHARED_BEHIND_MAX: '0' })
    const only = await Taker.join(gateway, 'm1')
    await publish(gateway, 100)
    await world.until(() => only.connection.phase === 'closed', 'it ends')
    expect(only.connection.closedWith?.reason).toBe('SessionOverflow')
    expect(records('SharedBehind')).toEqual([])
    expect(await figure(router, 'loggerhead_limit_reached_total', { limit: 'SHARED_BEHIND_MAX' })).toBeGreaterThan(0)
  })
})

describe('a router that goes while a group is behind', () => {
  test.each([0, 2, 5, 13, 34, 89].flatMap((turns) => [['is killed', turns] as const, ['stops', turns] as const]))(
    '%s %i turns after its members took some loses nothing of it',
    async (how, turns) => {
      const { gateway, router } = await given({ SNAPSHOT_RECORDS: '100' })
      const members = [await Taker.join(gateway, 'm1'), await Taker.join(gateway, 'm2'), await Taker.join(gateway, 'm3')]
      const texts = await publish(gateway, 300)
      await world.pass(1_500)
      for (const each of members) each.acknowledge()
      await world.turns(turns)
      if (how === 'is killed') router.kill()
      else await router.stop()
      const next = await world.startRouter('r2')
      texts.push(...(await publish(gateway, 40, 1, 300)))
      await takeAll(texts, ...members)
      expect([members.map(({ connection }) => connection.phase), next.failures]).toEqual([['open', 'open', 'open'], []])
    },
  )

  test.each([0, 5, 34])('is killed %i turns after its members took some repeats nothing at QoS 2', async (turns) => {
    const { gateway, router } = await given()
    const members = [await Taker.join(gateway, 'm1', 2), await Taker.join(gateway, 'm2', 2)]
    const texts = await publish(gateway, 200, 2)
    for (const each of members) each.acknowledge()
    await world.turns(turns)
    router.kill()
    await world.startRouter('r2')
    await takeAll(texts, ...members)
    await world.pass(2_000)
    // Sent again with DUP to the member that has it, on its connection; to no other.
    const owners = new Map<string, Set<Taker>>()
    for (const each of members) for (const text of each.got) owners.set(text, (owners.get(text) ?? new Set()).add(each))
    expect([...owners].filter(([, takers]) => takers.size > 1)).toEqual([])
  })
})
