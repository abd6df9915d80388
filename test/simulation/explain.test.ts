/** What the log is said to tell of a delivery, held against what devices got in a random life of the whole. Replay one course with SIM_SEED=<seed>. */
import { afterEach, beforeEach, expect, jest, test } from '@jest/globals'
import { explainDelivery } from '../../inquiry/explain-delivery.ts'
import { RegistryView } from '../../model/registry-view.ts'
import { count } from '../support/available.ts'
import { Simulation } from './course.ts'
import { ProcessLog } from './process-log.ts'
import { Random } from './random.ts'
import { seedsOf } from './seeds.ts'
import { freezeTime } from './world.ts'

const runs = count(1, 20)
const seeds = seedsOf(runs)
/** Pairs of a device and a message that are asked about in each course. */
const asked = count(80, 400)

type Told = Awaited<ReturnType<typeof explainDelivery>>

/** The whole of the journals is asked: what was taken out of them nobody can tell. */
class Kept extends Simulation {
  override retire(): void {}
}

/** And no gateway dies with receipts that it has gathered. */
class Receipted extends Kept {
  constructor(seed: number) {
    super(seed, true)
  }
  override async crashGateway(): Promise<void> {}
}

let simulation: Simulation | undefined
beforeEach(() => freezeTime())
afterEach(() => {
  simulation?.world.end()
  jest.useRealTimers()
})

/** Plays the course, and asks about devices and messages by chance; what is told that `isRight` does not find right. */
async function wrongAbout(
  course: Kept,
  seed: number,
  isRight: (told: Told, isReceived: boolean, isPersistent: boolean) => boolean,
): Promise<readonly string[]> {
  simulation = course
  await course.start()
  const { world } = course
  for (let i = 0; i < 150; i++) await course.step()
  await course.settle()
  for (const router of [...course.routers]) if (router.process) await router.process.stop()

  const messages = Array.from({ length: world.partitions }, (_, partition) => partition).flatMap((partition) =>
    world.records('messages', partition).flatMap(({ offset, record }) => (record.name === 'Message' ? [{ partition, offset, message: record.value }] : [])),
  )
  const random = new Random(seed)
  const log = new ProcessLog(world.store)
  const outcomes = new Map<string, number>()
  const wrong: string[] = []
  for (let i = 0; i < asked; i++) {
    const device = random.pick(course.devices)
    // Every other one is of those that it got: most messages are for others.
    const got = i % 2 === 0 ? messages.filter(({ message }) => device.hasReceived(message.payload.toString())) : []
    const { partition, offset, message } = random.pick(got.length > 0 ? got : messages)
    let told: Told | undefined
    const options = { log, topics: world.topics, partitions: world.partitions, registry: new RegistryView(), clientId: device.clientId, now: world.now }
    const asking = explainDelivery({ ...options, onRead: () => {}, message: { kind: 'position', partition, offset } }).then((given) => {
      told = given
    })
    await Promise.all([asking, world.until(() => told !== undefined, 'the answer')])
    const answer = told as unknown as Told
    outcomes.set(answer.outcome, (outcomes.get(answer.outcome) ?? 0) + 1)
    const isReceived = device.hasReceived(message.payload.toString())
    if (isRight(answer, isReceived, device.isPersistent)) continue
    wrong.push(`${device.clientId}: ${message.payload}, ${isReceived ? 'received' : 'not received'}: ${JSON.stringify(answer)}`)
  }
  if (process.env.SIM_TRACE) process.stderr.write(`${JSON.stringify([...outcomes])}\n`)
  return wrong
}

/** What may be said of a message, by whether its client got it. */
function isRight({ outcome, message }: Told, isReceived: boolean, isPersistent: boolean): boolean {
  if (outcome === 'acknowledged') return isReceived
  // A persistent session's QoS 1 message stands in a queue: whether it was received is never open.
  if (outcome === 'handedToGateway') return !isPersistent || message.qos === 0
  return notSent.has(outcome) ? !isReceived : open.has(outcome)
}

const notSent = new Set(['noSubscription', 'noSession', 'noLocal', 'notKept', 'waiting', 'replayPending'])
const open = new Set(['handedToGateway', 'unclear', 'anotherMember', 'sessionEnded'])

test.each(seeds)(
  'SIM_SEED=%d: explain-delivery says of a message that it was acknowledged only when its client got it, and of none that was received that it was not sent',
  async (seed) => {
    expect(await wrongAbout(new Kept(seed), seed, isRight)).toEqual([])
  },
  120_000,
)

test.each(seeds)(
  'SIM_SEED=%d: of journals whose beginning is gone it says nothing wrong, whatever checkpoint it begins at',
  async (seed) => {
    expect(await wrongAbout(new Simulation(seed), seed, isRight)).toEqual([])
  },
  120_000,
)

test.each(seeds)(
  'SIM_SEED=%d: with receipts it says of every message that was received that it was sent, at QoS 0 and to connections too',
  async (seed) => {
    const sent = new Set(['acknowledged', 'sent', 'inFlight'])
    const isTold = ({ outcome }: Told, isReceived: boolean): boolean => !isReceived || sent.has(outcome)
    expect(await wrongAbout(new Receipted(seed), seed, isTold)).toEqual([])
  },
  120_000,
)
