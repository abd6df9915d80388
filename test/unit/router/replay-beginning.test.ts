/** Replays whose beginning retention has removed, before or under them: what is gone is said. */
import { describe, expect, test } from '@jest/globals'
import { inFrozenTime } from '../../simulation/frozen-time.ts'
import type { World } from '../../simulation/world.ts'
import { numbered, Reader, replay, startReplays } from './replay-world.ts'

let world: World

inFrozenTime(() => world)

async function start(environment: Readonly<Record<string, string>> = {}) {
  const started = await startReplays(environment)
  world = started.world
  return started
}

describe('a beginning that retention has removed', () => {
  test.each(['1970-01-01T00:00:00.000Z', '0:0,1:0'])('is said by the end marker, with the time from which all is there: from %s', async (from) => {
    const { gateway } = await start()
    await world.startRouter('r0')
    const at: number[] = []
    let source = 0
    for (const text of numbered(0, 10)) {
      at.push(world.now())
      source = (await gateway.publish('t', text)).source
      await world.pass(1_000)
    }
    world.retire('messages', source, 4)
    const reader = new Reader()
    await (await reader.connect(gateway)).subscribe(replay('t', { from }))
    await world.until(() => reader.markers.length > 0, 'the end marker')
    expect(reader.texts).toEqual(numbered(4, 10))
    expect(reader.markers).toMatchObject([{ messages: 6, since: new Date(at[4] as number).toISOString() }])
  })

  test('is not said to who asks for what is there', async () => {
    const { gateway } = await start()
    await world.startRouter('r0')
    for (const text of numbered(0, 10)) await gateway.publish('t', text)
    await world.pass(1_000)
    const from = new Date(world.now()).toISOString()
    const { source } = await gateway.publish('t', '10')
    world.retire('messages', source, 10)
    const reader = new Reader()
    await (await reader.connect(gateway)).subscribe(replay('t', { from }))
    await world.until(() => reader.markers.length > 0, 'the end marker')
    expect(reader.texts).toEqual(['10'])
    expect(reader.markers[0]).not.toHaveProperty('since')
  })

  test('is said as it was when the replay began, by a router that goes on with it; what is removed from under a replay is said as well', async () => {
    const { gateway } = await start({ REPLAY_WINDOW_MESSAGES: '20', SNAPSHOT_RECORDS: '100' })
    const router = await world.startRouter('r0')
    const at: number[] = []
    let source = 0
    for (const text of numbered(0, 2_500)) {
      at.push(world.now())
      source = (await gateway.publish('t', text)).source
      if (Number(text) % 100 === 0) await world.pass(100)
    }
    const since = (text: number): string => new Date(at[text] as number).toISOString()
    world.retire('messages', source, 300)
    // With nothing published beside it a replay puts a thousand messages into a queue at once.
    await world.pass(2_000)
    const readers = [new Reader({ expiry: 1_000, receiveMaximum: 10 }), new Reader({ expiry: 1_000, receiveMaximum: 10 })]
    const [first, second] = readers as [Reader, Reader]
    await (await first.connect(gateway, 'first')).subscribe(replay('t', { from: since(100) }))
    const connection = await second.connect(gateway, 'second')
    await connection.subscribe(replay('t', { from: `${source}:300` }))
    await world.until(() => readers.every(({ got }) => got.length > 200), 'some of it')
    connection.close('ConnectionLost')
    router.kill()
    // Both have passed that.
    world.retire('messages', source, 1_000)
    await world.startRouter('r1')
    await first.connect(gateway, 'first')
    await world.until(() => first.markers.length > 0, 'the end marker of the first')
    expect(first.markers).toMatchObject([{ messages: 2_200, since: since(300) }])
    world.retire('messages', source, 2_000)
    await second.connect(gateway, 'second')
    await world.until(() => second.markers.length > 0, 'the end marker of the second')
    expect(second.markers).toMatchObject([{ messages: 1_500, since: since(2_000) }])
  })
})
