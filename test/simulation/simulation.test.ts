/**
 * A random life of the whole: devices, publishers, gateways and routers that come, go, hang and die. `npm test` plays the
 * same courses each time, so that a change is what fails it, and `npm run test:long` others. Replay one course with
 * SIM_SEED=<seed>; SIM_RUNS and SIM_STEPS make it longer.
 */
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals'
import { Simulation } from './course.ts'
import { foldAll, foldFromSnapshot, foldRetained } from './folds.ts'
import { checkCheckpoints, lookBack, retainedNow } from './past.ts'
import { seedsOf } from './seeds.ts'
import { freezeTime, type World } from './world.ts'

const isLong = process.env.LOGGERHEAD_TEST_LONG === '1'
const runs = Number(process.env.SIM_RUNS ?? (isLong ? 200 : 12))
const steps = Number(process.env.SIM_STEPS ?? 250)
const seeds = seedsOf(runs)

let world: World | undefined
/** Messages that came to devices at QoS 2, in all courses. */
let exactly = 0

beforeEach(() => freezeTime())
afterEach(() => {
  world?.end()
  jest.useRealTimers()
})

test.each(seeds)(
  'SIM_SEED=%d: what is acknowledged arrives, in order, repeats marked, the journals tell one story, and any moment of it can be had again',
  async (seed) => {
    const simulation = new Simulation(seed)
    await simulation.start()
    const { world: all } = simulation
    world = all
    try {
      for (let i = 0; i < steps; i++) {
        await simulation.step()
        if (simulation.mistakes.length > 0) throw new Error('a mistake was made')
      }
      await simulation.settle()
    } catch (error) {
      const missing = simulation.devices.map((device) => `${device.clientId} ${device.connection?.phase ?? 'away'} misses ${device.missing.join(', ')}`)
      missing.push(`the workers miss ${simulation.workers.missing.join(', ')}`)
      throw new Error([`SIM_SEED=${seed} ${(error as Error).message}`, ...simulation.mistakes, ...missing, ...simulation.story.slice(-12)].join('\n'), {
        cause: error,
      })
    }
    expect(simulation.mistakes).toEqual([])
    expect(simulation.acknowledged).toBeGreaterThan(100)
    exactly += simulation.devices.reduce((sum, device) => sum + device.exactly, 0)
    for (const router of [...simulation.routers]) if (router.process) await router.process.stop()
    for (let shard = 0; shard < all.partitions; shard++) {
      const whole = foldAll(all, shard, simulation.random)
      expect(foldAll(all, shard, simulation.random)).toEqual(whole)
      expect(await foldFromSnapshot(all, shard)).toEqual(whole)
      expect(foldRetained(all, shard)).toEqual(retainedNow(all, shard))
    }
    for (let shard = 0; shard < all.partitions; shard++) simulation.remember(shard)
    // The last moment of every shard at least.
    expect(await lookBack(simulation)).toBeGreaterThanOrEqual(all.partitions)
    expect(await checkCheckpoints(all)).toBeGreaterThan(0)
  },
  120_000,
)

// One course may do without.
if (seeds.length > 1) test('messages came at QoS 2 too', () => expect(exactly).toBeGreaterThan(0))
