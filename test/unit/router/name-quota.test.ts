import { expect, test } from '@jest/globals'
import { partitionOf } from '../../../log/partitioner.ts'
import { inFrozenTime } from '../../simulation/frozen-time.ts'
import { Random } from '../../simulation/random.ts'
import type { SimConnection, SimGateway } from '../../simulation/sim-gateway.ts'
import { type RouterProcess, World } from '../../simulation/world.ts'

let world: World

inFrozenTime(() => world)

/** Client ids that take turns in the two shards. */
const ids = (count: number): string[] => {
  const [even = [], odd = []] = [0, 1].map((shard) =>
    Array.from({ length: count * 8 }, (_, i) => `c${i}`).filter((id) => partitionOf(Buffer.from(id), 2) === shard),
  )
  return Array.from({ length: count }, (_, i) => (i % 2 ? odd : even)[i >> 1] as string)
}

/** Two routers, a shard each. */
async function given(): Promise<{ readonly gateway: SimGateway; readonly routers: readonly RouterProcess[] }> {
  world = await new World({ random: new Random(1).next }).start()
  const gateway = await world.startGateway('gw')
  return { gateway, routers: [await world.startRouter('r1'), await world.startRouter('r2')] }
}

async function answered(...connections: SimConnection[]): Promise<(string | number)[]> {
  await world.until(() => connections.every(({ phase }) => phase !== 'attaching'), 'they are answered')
  return connections.map(({ phase, closedWith }) => closedWith?.reasonCode ?? phase)
}

const names = (clientId: string) => world.records('sessions', partitionOf(Buffer.from(clientId), 2)).map(({ record }) => record)

test('a further session of a name gets 0x97, an offline one counts, and one that goes on is let in [MS-01] [SE-06]', async () => {
  const { gateway } = await given()
  const [a, b, c] = ids(3) as [string, string, string]
  const first = gateway.connect(a, { name: 'n', sessionsMax: 2 })
  const second = gateway.connect(b, { name: 'n', sessionsMax: 2 })
  expect(await answered(first, second)).toEqual(['open', 'open'])
  first.close('ConnectionLost')
  const third = gateway.connect(c, { name: 'n', sessionsMax: 2 })
  expect(await answered(third)).toEqual([0x97])
  const again = gateway.connect(a, { name: 'n', sessionsMax: 1 })
  expect([await answered(again), again.sessionPresent]).toEqual([['open'], true])
  expect(names(c).filter(({ name }) => name === 'SessionEnded')).toMatchObject([{ value: { clientId: c, reason: 'QuotaExceeded' } }])
  // Nothing of the refused one stays.
  const clean = gateway.connect(c, { name: 'other', sessionsMax: 1 })
  expect([await answered(clean), clean.sessionPresent]).toEqual([['open'], false])
})

test('the session of its own client id makes room for a clean start', async () => {
  const { gateway } = await given()
  const [a] = ids(1) as [string]
  const first = gateway.connect(a, { name: 'n', sessionsMax: 1 })
  await answered(first)
  const second = gateway.connect(a, { name: 'n', sessionsMax: 1, cleanStart: true })
  expect([await answered(second), second.sessionPresent]).toEqual([['open'], false])
})

test('of many that come at once in both shards exactly as many stay as may, whichever router decides', async () => {
  const { gateway } = await given()
  for (let round = 0; round < 5; round++) {
    const all = ids(8).map((id) => gateway.connect(`${id}`, { name: `n${round}`, sessionsMax: 3, cleanStart: true, expiry: 0 }))
    const outcomes = await answered(...all)
    expect([outcomes.filter((each) => each === 'open').length, outcomes.filter((each) => each === 0x97).length]).toEqual([3, 5])
    for (const connection of all) connection.close('ClientInitiatedDisconnect')
    await world.turns(50)
  }
})

test('one that began before its router died is decided about by the next', async () => {
  const { gateway, routers } = await given()
  const [a, b] = ids(2) as [string, string]
  await answered(gateway.connect(a, { name: 'n', sessionsMax: 1 }))
  for (const router of routers) router.kill()
  const late = gateway.connect(b, { name: 'n', sessionsMax: 1 })
  await world.turns(50)
  expect(late.phase).toBe('attaching')
  await world.startRouter('r3')
  expect(await answered(late)).toEqual([0x97])
})
