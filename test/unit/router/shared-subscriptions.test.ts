import { describe, expect, test } from '@jest/globals'
import { partitionOf } from '../../../log/partitioner.ts'
import { inFrozenTime } from '../../simulation/frozen-time.ts'
import type { SimGateway } from '../../simulation/sim-gateway.ts'
import { type RouterProcess, World } from '../../simulation/world.ts'
import { subscription } from '../model/session-records.ts'

let world: World

inFrozenTime(() => world)

type Connection = ReturnType<SimGateway['connect']>

async function given(partitions = 2): Promise<{ router: RouterProcess; gateway: SimGateway }> {
  world = await new World({ partitions }).start()
  const gateway = await world.startGateway('gw')
  return { gateway, router: await world.startRouter('r1') }
}

async function member(gateway: SimGateway, clientId: string, filter = '$share/g/a/#', options: Parameters<SimGateway['connect']>[1] = {}): Promise<Connection> {
  const connection = gateway.connect(clientId, { receiveMaximum: 100, ...options })
  await world.until(() => connection.phase !== 'attaching', `${clientId} is answered`)
  await connection.subscribe(filter)
  return connection
}

const texts = (...connections: Connection[]): string[] => connections.flatMap((each) => each.texts).sort()
const received = (count: number, ...connections: Connection[]) =>
  world.until(() => texts(...connections).length >= count, `${count} deliveries, got ${texts(...connections)}`)
const acknowledgeAll = (connection: Connection): void => {
  for (const delivery of [...connection.received]) connection.acknowledge(delivery)
}
const inbox = (clientId: string) => world.records('inbox', partitionOf(Buffer.from(clientId), world.partitions)).map(({ record }) => record)

describe('a message of a shared subscription', () => {
  test('goes to one member, and to each group for itself', async () => {
    const { gateway } = await given()
    const g = [await member(gateway, 'm1'), await member(gateway, 'm2')]
    const h = await member(gateway, 'm3', '$share/h/a/#')
    const other = await member(gateway, 'm4', '$share/g/a/b')
    for (let i = 0; i < 6; i++) await gateway.publish('a/b', `${i}`, { clientId: `p${i}` })
    await received(6, ...g)
    await received(6, h)
    await received(6, other)
    await world.pass(1_000)
    const all = ['0', '1', '2', '3', '4', '5']
    expect([texts(...g), texts(h), texts(other)]).toEqual([all, all, all])
  })

  test('is spread over members that acknowledge', async () => {
    const { gateway } = await given()
    const members = [await member(gateway, 'm1'), await member(gateway, 'm2')]
    for (let i = 0; i < 10; i++) {
      await gateway.publish('a/b', `${i}`)
      await received(i + 1, ...members)
      for (const each of members) acknowledgeAll(each)
      await world.turns(20)
    }
    expect(members.map((each) => each.texts.length)).toEqual([5, 5])
  })

  test('stays with the member that has not acknowledged what the publisher sent on the topic before', async () => {
    const { gateway } = await given()
    const members = [await member(gateway, 'm1'), await member(gateway, 'm2')]
    for (let i = 0; i < 5; i++) await gateway.publish('a/b', `${i}`)
    await received(5, ...members)
    expect(members.map((each) => each.texts.length).sort()).toEqual([0, 5])
    await gateway.publish('a/c', 'other topic')
    await received(6, ...members)
    expect(members.map((each) => each.texts.length).sort()).toEqual([1, 5])
  })

  test('comes beside the copy of a normal subscription of the same session', async () => {
    const { gateway } = await given()
    const both = await member(gateway, 'm1')
    await both.subscribe('a/b')
    await gateway.publish('a/b', 'x')
    await received(2, both)
    expect(both.texts).toEqual(['x', 'x'])
  })

  test('is owed to a session that ends with its connection too, and at QoS 0 goes directly', async () => {
    const { gateway } = await given()
    const transient = await member(gateway, 't', '$share/g/a', { expiry: 0, cleanStart: true })
    await gateway.publish('a', 'one')
    await gateway.publish('a', 'zero', { qos: 0 })
    await received(2, transient)
    expect(transient.received.map(({ text, number }) => [text, number]).sort()).toEqual([
      ['one', 0],
      ['zero', -1],
    ])
  })

  test('prefers members with a connection, and waits for a persistent one when none has', async () => {
    const { gateway } = await given()
    const away = await member(gateway, 'away')
    const here = await member(gateway, 'here')
    away.close('ConnectionLost')
    for (let i = 0; i < 4; i++) await gateway.publish('a/b', `${i}`, { clientId: `p${i}` })
    await received(4, here)
    acknowledgeAll(here)
    here.close('ConnectionLost')
    await world.turns(50)
    await gateway.publish('a/b', 'later')
    await world.turns(50)
    const back = [await member(gateway, 'away'), await member(gateway, 'here')]
    await received(1, ...back)
    expect(texts(...back)).toEqual(['later'])
  })

  test('its member stands in the log before anything is done about it', async () => {
    const { gateway } = await given(1)
    const one = await member(gateway, 'm1')
    await gateway.publish('a/b', 'x')
    await received(1, one)
    const names = inbox('m1').map(({ name }) => name)
    expect(names.indexOf('Chosen')).toBeGreaterThan(-1)
    expect(names.indexOf('Chosen')).toBeLessThan(names.indexOf('Indexed'))
    expect(inbox('m1').find(({ name }) => name === 'Chosen')?.value).toMatchObject({
      choices: [{ offset: 0, receiver: { clientId: 'm1', qos: 1, group: '$share/g/a/#' } }],
    })
  })
})

describe('a member that goes', () => {
  test.each([
    ['persistent', 100],
    ['ending with its connection', 0],
  ])('without acknowledging (%s) leaves QoS 1 messages to another [MQTT-4.8.2-4]', async (_, expiry) => {
    const { gateway } = await given()
    const first = await member(gateway, 'm1', '$share/g/a/#', { expiry, cleanStart: expiry === 0 })
    for (const text of ['0', '1', '2']) await gateway.publish('a/b', text)
    await received(3, first)
    first.acknowledge(first.received[1] as (typeof first.received)[number])
    const second = await member(gateway, 'm2')
    await world.turns(50)
    first.close('ConnectionLost')
    await received(2, second)
    await world.pass(1_000)
    expect(second.texts).toEqual(['0', '2'])
    const again = await member(gateway, 'm1', '$share/g/other')
    await world.pass(1_000)
    expect(again.texts).toEqual([])
  })

  test('with an end to its session leaves them to a member without a connection', async () => {
    const { gateway } = await given()
    const away = await member(gateway, 'away')
    away.close('ConnectionLost')
    const transient = await member(gateway, 't', '$share/g/a/#', { expiry: 0, cleanStart: true })
    await gateway.publish('a/b', 'x')
    await received(1, transient)
    transient.close('ConnectionLost')
    await world.turns(100)
    const back = await member(gateway, 'away')
    await received(1, back)
    expect(back.texts).toEqual(['x'])
  })

  test('as the last one, keeps its messages while its session lasts; then they are given up with a reason', async () => {
    const { gateway } = await given()
    const only = await member(gateway, 'm1', '$share/g/a/#', { expiry: 10 })
    await gateway.publish('a/b', 'x')
    await received(1, only)
    only.close('ConnectionLost')
    await world.turns(50)
    expect(inbox('m1').map(({ name }) => name)).not.toContain('Dropped')
    await world.pass(15_000)
    expect(
      inbox('m1')
        .filter(({ name }) => name === 'Dropped')
        .map(({ value }) => value),
    ).toMatchObject([{ clientId: 'm1', reason: 'noMember', numbers: [0] }])
  })

  test('takes QoS 2 messages with it, and keeps them for its return [MQTT-4.8.2-5]', async () => {
    const { gateway } = await given()
    const first = await member(gateway, 'm1', '$share/g/a/#')
    await first.subscribe(subscription('$share/g/a/#', { qos: 2 }))
    await gateway.publish('a/b', 'x', { qos: 2 })
    await received(1, first)
    const second = await member(gateway, 'm2')
    first.close('ConnectionLost')
    await world.pass(1_000)
    expect(second.texts).toEqual([])
    const again = await member(gateway, 'm1', '$share/g/other')
    await received(1, again)
    expect(again.texts).toEqual(['x dup'])
  })
})

describe('what members that are over have left', () => {
  /** Two that hold twenty messages each, in a deployment whose queues hold twenty, and are gone for good; one that is there. */
  async function givenLeft() {
    // No group is behind: members are given all that their queues hold.
    world = await new World({ partitions: 2, environment: { SESSION_QUEUE_MESSAGES_MAX: '20', SHARED_BEHIND_MAX: '0' } }).start()
    const gateway = await world.startGateway('gw')
    const router = await world.startRouter('r1')
    const brief = { expiry: 0, cleanStart: true }
    const leaving = [await member(gateway, 'm1', '$share/g/a/#', brief), await member(gateway, 'm2', '$share/g/a/#', brief)]
    for (let i = 0; i < 40; i++) {
      await gateway.publish('a/b', `${i}`, { clientId: `p${i}` })
      await received(i + 1, ...leaving)
    }
    const got = new Set<string>()
    const staying = await member(gateway, 'm3', '$share/g/a/#', {
      ...brief,
      onDelivery: (_, { text }) => {
        got.add(text.replace(' dup', ''))
      },
    })
    for (const each of leaving) each.close('ConnectionLost')
    await world.turns(100)
    /** Acknowledges what comes, until all has come; the most that was owed at a time. */
    const takeAll = async (): Promise<number> => {
      let most = 0
      let seen = 0
      for (let second = 0; second < 60 && got.size < 40 && staying.phase === 'open'; second++) {
        await world.pass(1_000)
        most = Math.max(most, staying.received.length - seen)
        seen = staying.received.length
        acknowledgeAll(staying)
        await world.turns(20)
      }
      return most
    }
    return { gateway, router, staying, got, takeAll }
  }

  test('goes to others as far as they have room, and none of them ends for it', async () => {
    const { router, staying, got, takeAll } = await givenLeft()
    const most = await takeAll()
    expect([got.size, staying.phase, router.failures]).toEqual([40, 'open', []])
    expect(most).toBeLessThanOrEqual(20)
  })

  test.each(['is killed', 'stops, and leaves a snapshot,'])('waits in the log while the router %s and another comes', async (how) => {
    const { router, staying, got, takeAll } = await givenLeft()
    expect(got.size).toBeLessThan(40)
    if (how === 'is killed') router.kill()
    else await router.stop()
    await world.startRouter('r2')
    await takeAll()
    expect([got.size, staying.phase]).toEqual([40, 'open'])
  })

  test('is given up with a reason when nobody is left', async () => {
    const { gateway, staying } = await givenLeft()
    expect(inbox('m1').map(({ name }) => name)).not.toContain('noMember')
    staying.close('ConnectionLost')
    await world.pass(3_000)
    const late = await member(gateway, 'm4')
    await world.pass(2_000)
    expect(texts(late)).toEqual([])
    const shards = Array.from({ length: world.partitions }, (_, shard) => world.records('inbox', shard).map(({ record }) => record))
    const given = shards.flat().flatMap((record) => (record.name === 'Dropped' && record.value.reason === 'noMember' ? record.value.numbers : []))
    // What the one that stayed was given and left counts with it.
    expect(given).toHaveLength(40)
  })
})

describe('what absent members hold', () => {
  /** Members that went away with one message each, unacknowledged, while nobody else was there. */
  async function givenAway(gateway: SimGateway, names: readonly string[], qos: 1 | 2 = 1): Promise<void> {
    const members = await Promise.all(names.map((name) => member(gateway, name)))
    for (const each of members) await each.subscribe(subscription('$share/g/a/#', { qos }))
    for (const i of names.keys()) await gateway.publish('a/b', `${i}`, { clientId: `p${i}`, qos })
    await received(names.length, ...members)
    expect(members.map((each) => each.texts.length)).toEqual(names.map(() => 1))
    for (const each of members) each.close('ConnectionLost')
    await world.turns(100)
  }
  const unmarked = (connection: Connection): string[] => [...new Set(texts(connection).map((text) => text.replace(' dup', '')))]

  test('goes to the first that comes back, at QoS 1', async () => {
    const { gateway } = await given(4)
    await givenAway(gateway, ['m1', 'm2', 'm3', 'm4'])
    const back = await member(gateway, 'm2', '$share/other/x')
    await received(4, back)
    expect(unmarked(back)).toEqual(['0', '1', '2', '3'])
    acknowledgeAll(back)
    await world.pass(1_000)
    const others = await Promise.all(['m1', 'm3', 'm4'].map((name) => member(gateway, name, '$share/other/x')))
    await world.pass(1_000)
    expect(texts(...others)).toEqual([])
  })

  test('goes to one that joins while it is connected', async () => {
    const { gateway } = await given()
    await givenAway(gateway, ['m1', 'm2'])
    const fresh = await member(gateway, 'new', '$share/other/x')
    await fresh.subscribe('$share/g/a/#')
    await received(2, fresh)
    expect(texts(fresh)).toEqual(['0', '1'])
  })

  test.each([
    ['at QoS 2 goes to nobody else [MQTT-4.8.2-5]', 2, 2],
    ['at QoS 1 goes to nobody that was granted QoS 0', 1, 0],
  ] as const)('%s', async (_, qos, granted) => {
    const { gateway } = await given()
    await givenAway(gateway, ['m1', 'm2'], qos)
    const fresh = await member(gateway, 'new', '$share/other/x')
    await fresh.subscribe(subscription('$share/g/a/#', { qos: granted }))
    await world.pass(2_000)
    expect(texts(fresh)).toEqual([])
    const back = [await member(gateway, 'm1', '$share/other/x'), await member(gateway, 'm2', '$share/other/x')]
    await received(2, ...back)
  })

  test('goes after a router that died to the first that comes back', async () => {
    const { gateway, router } = await given()
    await givenAway(gateway, ['m1', 'm2', 'm3'])
    router.kill()
    await world.startRouter('r2')
    const back = await member(gateway, 'm1', '$share/other/x')
    await world.until(() => unmarked(back).length === 3, 'everything comes')
  })

  test('comes bit by bit: no more than half of SESSION_QUEUE_MESSAGES_MAX beyond what is acknowledged, and all in the end', async () => {
    world = await new World({ partitions: 2, environment: { SESSION_QUEUE_MESSAGES_MAX: '20' } }).start()
    const gateway = await world.startGateway('gw')
    const router = await world.startRouter('r1')
    const names = ['m1', 'm2', 'm3', 'm4']
    for (const name of names) (await member(gateway, name)).close('ConnectionLost')
    await world.turns(50)
    for (let i = 0; i < 60; i++) await gateway.publish('a/b', `${i}`, { clientId: `p${i}` })
    await world.turns(100)
    let most = 0
    let seen = 0
    const got = new Set<string>()
    const back = await member(gateway, 'm1', '$share/other/x', {
      onDelivery: (_, { text }) => {
        got.add(text.replace(' dup', ''))
      },
    })
    for (let second = 0; second < 30 && got.size < 60; second++) {
      await world.pass(1_000)
      most = Math.max(most, back.received.length - seen)
      seen = back.received.length
      acknowledgeAll(back)
      await world.turns(20)
    }
    expect([got.size, back.phase, router.failures]).toEqual([60, 'open', []])
    expect(most).toBeLessThanOrEqual(20)
  })
})

describe('a router that dies', () => {
  test.each([0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89])('%i turns after publishing loses nothing of a group, whoever leaves meanwhile', async (turns) => {
    const { gateway, router } = await given(4)
    const members = await Promise.all(['m1', 'm2', 'm3', 'm4', 'm5'].map((id) => member(gateway, id, '$share/g/#')))
    const expected: string[] = []
    for (let i = 0; i < 30; i++) {
      void gateway.publish(`t${i % 7}`, `${i}`, { clientId: `p${i % 3}` })
      expected.push(`${i}`)
    }
    await world.turns(turns)
    // Who is chosen anew is not who was chosen before.
    members[turns % 5]?.close('ConnectionLost')
    router.kill()
    await world.startRouter('r2')
    await world.until(() => new Set(texts(...members).map((text) => text.replace(' dup', ''))).size === 30, 'everything arrives')
    for (const each of members) acknowledgeAll(each)
    await world.pass(2_000)
    const got = new Set(members.flatMap((each) => each.texts.map((text) => text.replace(' dup', ''))))
    expect([...got].sort()).toEqual(expected.sort())
  })
})
