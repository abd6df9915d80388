/** Who may have what replayed: the permission Replayer as of now, and access as of now or of then. */
import { describe, expect, test } from '@jest/globals'
import { inFrozenTime } from '../../simulation/frozen-time.ts'
import { Random } from '../../simulation/random.ts'
import type { SimConnection, SimGateway } from '../../simulation/sim-gateway.ts'
import type { World } from '../../simulation/world.ts'
import { count } from '../../support/available.ts'
import { Reader, replay, startReplays } from './replay-world.ts'

let world: World

inFrozenTime(() => world)

async function start(environment: Readonly<Record<string, string>> = {}) {
  const started = await startReplays(environment)
  world = started.world
  return started
}

test('whoever loses the permission loses the replay, and what of it waits', async () => {
  const { gateway } = await start({ REPLAY_WINDOW_MESSAGES: '10' })
  await world.startRouter('r0')
  for (let i = 0; i < 3_000; i++) void gateway.publish('t', `${i} ${'x'.repeat(400)}`)
  await world.turns(50)
  const reader = new Reader({ expiry: 1_000 })
  const connection = await reader.connect(gateway)
  await connection.subscribe(replay('t', { to: '2100-01-01T00:00:00.000Z' }))
  await world.until(() => reader.got.length > 100, 'some of it')
  await world.register('permissionBindings', 'all-replay', null)
  await world.until(() => connection.phase === 'closed', 'the connection ends')
  const { length } = reader.got
  await reader.connect(gateway)
  await world.pass(2_000)
  expect(reader.got).toHaveLength(length)
  expect(reader.markers).toEqual([])
})

describe('access as of then', () => {
  const to = '2100-01-01T00:00:00.000Z'
  const marker = (since: number) => world.register('marker', 'history', { since, windowMs: 7 * 24 * 3_600_000 })
  /** A message of the same millisecond came before it. */
  const grant = async (space: string, is = true): Promise<void> => {
    const binding = { clientGroupName: '$anonymous', topicSpaceName: space, permission: 'Subscriber' }
    await world.register('permissionBindings', `sub-${space}`, is ? binding : null)
    await world.pass(1)
  }

  /** Nobody may subscribe to anything, until it is granted. */
  async function closed(environment: Readonly<Record<string, string>> = {}): Promise<SimGateway> {
    const { gateway } = await start(environment)
    await marker(0)
    await world.register('permissionBindings', 'all-sub', null)
    for (const space of ['a', 'b']) await world.register('topicSpaces', space, { topicTemplates: [`${space}/#`] })
    return gateway
  }

  test('brings what could be subscribed to when it came, though it cannot be now, and by now’s rules what comes live', async () => {
    const gateway = await closed()
    await world.startRouter('r0')
    const publish = async (text: string): Promise<void> => {
      for (const space of ['a', 'b']) await gateway.publish(`${space}/x`, `${space}${text}`)
      await world.pass(1_000)
    }
    await publish('0')
    await grant('a')
    await publish('1')
    await grant('b')
    await publish('2')
    await grant('a', false)
    await publish('3')
    await grant('b', false)
    await publish('4')
    const reader = new Reader()
    await (await reader.connect(gateway)).subscribe(replay('+/x', { to, access: 'then' }))
    await world.until(() => reader.markers.length > 0, 'the end marker')
    expect(reader.texts.toSorted()).toEqual(['a1', 'a2', 'b2', 'b3'])
    expect(reader.markers[0]).toMatchObject({ messages: 4 })
    expect(reader.markers[0]).not.toHaveProperty('since')
    // One that goes on takes both permissions as of now, and has everything live.
    await world.register('permissionBindings', 'all-sub', { clientGroupName: '$anonymous', topicSpaceName: 'all', permission: 'Subscriber' })
    const other = new Reader()
    await (await other.connect(gateway, 'other')).subscribe(replay('+/x', { access: 'then' }))
    await world.until(() => other.markers.length > 0, 'the join')
    await publish('5')
    await world.until(() => other.got.length >= 6, 'what comes live')
    expect(other.texts.toSorted()).toEqual(['a1', 'a2', 'a5', 'b2', 'b3', 'b5'])
  })

  test('takes the permission Replayer as of now: whoever loses it loses the replay', async () => {
    const gateway = await closed({ REPLAY_WINDOW_MESSAGES: '10' })
    await world.startRouter('r0')
    await grant('a')
    for (let i = 0; i < 3_000; i++) void gateway.publish('a/x', `${i} ${'x'.repeat(400)}`)
    await world.turns(50)
    const reader = new Reader({ expiry: 1_000 })
    const connection = await reader.connect(gateway)
    await connection.subscribe(replay('a/x', { to, access: 'then' }))
    await world.until(() => reader.got.length > 100, 'some of it')
    await world.register('permissionBindings', 'all-replay', null)
    await world.until(() => connection.phase === 'closed', 'the connection ends')
    expect(reader.got.length).toBeLessThan(3_000)
    expect(reader.markers).toEqual([])
  })

  test('is not known from before the registry’s history: that is left out, and the end marker says from when on nothing is', async () => {
    const gateway = await closed()
    await world.startRouter('r0')
    await grant('a')
    await gateway.publish('a/x', 'before')
    await world.pass(1_000)
    const since = world.now()
    await marker(since)
    await gateway.publish('a/x', 'behind')
    const reader = new Reader()
    await (await reader.connect(gateway)).subscribe(replay('+/x', { from: '0:0,1:0', to, access: 'then' }))
    await world.until(() => reader.markers.length > 0, 'the end marker')
    expect([reader.texts, reader.markers[0]?.since]).toEqual([['behind'], new Date(since).toISOString()])
  })

  test.each(Array.from({ length: count(4, 50) }, (_, i) => 5 + i * 15_485_863))(
    'seed %d: is the same whoever dies in the middle, and however often replays let go of what they hold',
    async (seed) => {
      const random = new Random(seed)
      const gateway = await closed({ REPLAY_WINDOW_MESSAGES: '20', ROUTER_REPLAYS_OPEN_MAX: random.chance(0.5) ? '1' : '100', SNAPSHOT_RECORDS: '100' })
      let router = await world.startRouter('r0')
      const granted = new Set<string>()
      const allowed: string[] = []
      for (let i = 0; i < 1_500; i++) {
        if (random.chance(0.03)) {
          const space = random.pick(['a', 'b'])
          if (granted.has(space)) granted.delete(space)
          else granted.add(space)
          await grant(space, granted.has(space))
        }
        const space = random.pick(['a', 'b'])
        const topic = `${space}/${random.below(5)}`
        if (granted.has(space)) allowed.push(String(i))
        await gateway.publish(topic, String(i))
        if (random.chance(0.1)) await world.pass(1)
      }
      const readers = [new Reader({ expiry: 100_000, receiveMaximum: 20 }), new Reader({ expiry: 100_000, receiveMaximum: 20 })]
      const connect = (): Promise<SimConnection[]> => Promise.all(readers.map((reader, at) => reader.connect(gateway, `reader-${at}`)))
      for (const each of await connect()) await each.subscribe(replay('+/+', { to, access: 'then' }))
      for (let i = 0; readers.some(({ markers }) => markers.length === 0); i++) {
        if (i > 2_000) throw new Error('it never ends')
        await world.turns(10)
        await world.pass(20)
        if (!random.chance(0.05)) continue
        router.kill()
        router = await world.startRouter(`r${i}`)
        await connect()
      }
      for (const { texts } of readers) expect([...new Set(texts)].toSorted((a, b) => Number(a) - Number(b))).toEqual(allowed)
    },
    60_000,
  )
})
