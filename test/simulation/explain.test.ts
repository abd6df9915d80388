/** What the log is said to tell of a delivery, held against what devices got in a random life of the whole. Replay one course with SIM_SEED=<seed>. */
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals'
import { explainDelivery } from '../../inquiry/explain-delivery.ts'
import { RegistryView } from '../../model/registry-view.ts'
import { count } from '../support/available.ts'
import { Simulation } from './course.ts'
import { ProcessLog } from './process-log.ts'
import { Random } from './random.ts'
import { freezeTime } from './world.ts'

const runs = count(2, 20)
const firstSeed = process.env.SIM_SEED ? Number(process.env.SIM_SEED) : Math.floor(Date.now() / 1000) % 1_000_000
const seeds = process.env.SIM_SEED ? [firstSeed] : Array.from({ length: runs }, (_, i) => firstSeed + i * 7919)
/** Pairs of a device and a message that are asked about in each course. */
const asked = count(80, 400)

/** The whole of the journals is asked: what was taken out of them nobody can tell. */
class Kept extends Simulation {
  override retire(): void {}
}

let simulation: Kept | undefined
beforeEach(() => freezeTime())
afterEach(() => {
  simulation?.world.end()
  jest.useRealTimers()
})

test.each(seeds)(
  'SIM_SEED=%d: explain-delivery says of a message that it was acknowledged exactly when its client got it, and of none that was received that it was not sent',
  async (seed) => {
    simulation = new Kept(seed)
    await simulation.start()
    const { world } = simulation
    for (let i = 0; i < 150; i++) await simulation.step()
    await simulation.settle()
    for (const router of [...simulation.routers]) if (router.process) await router.process.stop()

    const messages = Array.from({ length: world.partitions }, (_, partition) => partition).flatMap((partition) =>
      world.records('messages', partition).flatMap(({ offset, record }) => (record.name === 'Message' ? [{ partition, offset, message: record.value }] : [])),
    )
    const random = new Random(seed)
    const log = new ProcessLog(world.store)
    const outcomes = new Map<string, number>()
    const wrong: string[] = []
    for (let i = 0; i < asked; i++) {
      const device = random.pick(simulation.devices)
      const { partition, offset, message } = random.pick(messages)
      let answer: Awaited<ReturnType<typeof explainDelivery>> | undefined
      const options = {
        log,
        topics: world.topics,
        partitions: world.partitions,
        registry: new RegistryView(),
        clientId: device.clientId,
        now: world.now,
        onRead: () => {},
      }
      const asking = explainDelivery({ ...options, message: { kind: 'position', partition, offset } }).then((given) => {
        answer = given
      })
      await Promise.all([asking, world.until(() => answer !== undefined, 'the answer')])
      const { outcome } = answer as NonNullable<typeof answer>
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
      const isReceived = device.hasReceived(message.payload.toString())
      const isRight =
        outcome === 'acknowledged'
          ? isReceived
          : ['noSubscription', 'noSession', 'noLocal', 'notKept', 'waiting', 'replayPending'].includes(outcome)
            ? !isReceived
            : ['handedToGateway', 'unclear', 'anotherMember', 'sessionEnded'].includes(outcome)
      // A persistent session's QoS 1 message stands in a queue: that it was received is never open.
      const isOpen = outcome === 'handedToGateway' && device.isPersistent && message.qos > 0
      if (!isRight || isOpen) {
        wrong.push(
          `${device.clientId} ${partition}:${offset} ${message.payload} at QoS ${message.qos}, ${isReceived ? 'received' : 'not received'}: ${JSON.stringify(answer)}`,
        )
      }
    }
    if (process.env.SIM_TRACE) process.stderr.write(`${JSON.stringify([...outcomes])}\n`)
    expect(wrong).toEqual([])
    // The course was one in which there is something to tell.
    expect([...outcomes.keys()]).toEqual(expect.arrayContaining(['acknowledged', 'noSubscription']))
  },
  120_000,
)
