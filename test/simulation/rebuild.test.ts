import { afterEach, beforeEach, expect, jest, test } from '@jest/globals'
import { present } from '../../history/moment.ts'
import { rebuild } from '../../history/rebuild.ts'
import { MemoryLog, MemoryStore } from '../../log/memory-log.ts'
import { Simulation } from './course.ts'
import { foldFromSnapshot, foldRetained } from './folds.ts'
import { retainedNow } from './past.ts'
import { ProcessLog } from './process-log.ts'
import { freezeTime, World } from './world.ts'

const worlds: World[] = []

beforeEach(() => freezeTime())
afterEach(() => {
  for (const world of worlds.splice(0)) world.end()
  jest.useRealTimers()
})

test('a copy of a random life, whose journals were cut off, is the same state to whoever folds it, and a router serves its sessions', async () => {
  const simulation = new Simulation(Number(process.env.SIM_SEED ?? 4711))
  await simulation.start()
  const { world } = simulation
  worlds.push(world)
  for (let i = 0; i < 200; i++) await simulation.step()
  await simulation.settle()
  simulation.retire()
  for (const router of [...simulation.routers]) if (router.process) await router.process.stop()

  const store = new MemoryStore()
  const from = new ProcessLog(world.store)
  const to = new MemoryLog(store)
  const options = {
    from: { log: from, topics: world.topics },
    to: { log: to, prefix: 'loggerhead', topics: world.topics },
    shards: world.partitions,
    moment: await present(from, world.topics, world.now()),
    now: world.now(),
  }
  const { copied, retainedGone, leftOut } = await rebuild(options)
  expect([retainedGone, leftOut]).toEqual([0, []])
  expect(Object.values(copied).every((count) => count > 0)).toBe(true)
  const copy = new World({ partitions: world.partitions, store })
  worlds.push(copy)
  for (let shard = 0; shard < world.partitions; shard++) {
    for (const topic of ['messages', 'sessions', 'inbox'] as const) {
      const end = (each: World) => each.store.partition(each.topics[topic], shard)?.endOffset
      expect([topic, end(copy)]).toEqual([topic, end(world)])
    }
    expect(await foldFromSnapshot(copy, shard)).toEqual(await foldFromSnapshot(world, shard))
    expect(retainedNow(copy, shard)).toEqual(foldRetained(world, shard))
  }
  const gateway = await copy.startGateway('gw-copy')
  await copy.startRouter('router-copy')
  const connection = gateway.connect('device-0', { cleanStart: false, expiry: 100_000 })
  await copy.until(() => connection.phase === 'open', 'the device is let in')
  expect(connection.sessionPresent).toBe(true)
  // What was copied into is no place for a second copy.
  await expect(rebuild(options)).rejects.toThrow(/holds records already/)
}, 120_000)
