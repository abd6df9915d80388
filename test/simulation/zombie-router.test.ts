/** A router that stands still in the middle of what a new subscription is owed of retained messages, and goes on when its shards are another's. */
import { expect, test } from '@jest/globals'
import { inFrozenTime } from './frozen-time.ts'
import type { ConnectOptions, SimConnection } from './sim-gateway.ts'
import { World } from './world.ts'

let world: World
inFrozenTime(() => world)

/** It stands in the log that everything published in the shard was matched. */
function isNoted(shard: number): boolean {
  const end = world.store.partition(world.topics.messages, shard)?.endOffset
  return world.records('inbox', shard).some(({ record }) => record.name === 'Progress' && record.value.position === end)
}

const count = 150
const numbers = Array.from({ length: count }, (_, index) => `${index}`)

test.each([0, 1, 2, 3, 5, 8, 13, 21, 34, 55])(
  '%i turns after SUBACK: retained messages come once to a persistent session at QoS 2, and all to one that ends with its connection',
  async (turns) => {
    world = await new World({ partitions: 2 }).start()
    const gateway = await world.startGateway('gw')
    const zombie = await world.startRouter('r1')
    for (const number of numbers) {
      const messageId = Buffer.alloc(16)
      messageId.writeUInt32BE(1 + Number(number))
      void gateway.publish(`kept/${number}`, number, { qos: 2, retain: true, messageId })
    }
    const stored = (): number => [0, 1].flatMap((shard) => world.records('retained', shard).filter(({ record }) => record.name === 'Retained')).length
    await world.until(() => stored() === count, 'all of them are retained')

    // A successor that did not know so would take them for what is published now.
    await world.until(() => [0, 1].every(isNoted), 'the router has noted that it is through with them')
    const connected = async (clientId: string, options: ConnectOptions): Promise<SimConnection> => {
      const connection = gateway.connect(clientId, { ...options, onDelivery: (each, delivery) => setImmediate(() => each.acknowledge(delivery)) })
      await world.until(() => connection.phase === 'open', `${clientId} is answered`)
      return connection
    }
    const persistent = await connected('persistent', { expiry: 1_000, receiveMaximum: 8 })
    const passing = await connected('passing', { expiry: 0 })
    const filter = { filter: 'kept/#', qos: 2, noLocal: false, retainAsPublished: false, retainHandling: 0, subscriptionIdentifier: null, replay: null }
    await Promise.all([persistent.subscribe(filter), passing.subscribe(filter)])
    await world.turns(turns)

    zombie.standStill()
    await zombie.log.expel()
    await world.startRouter('r2')
    const received = ({ received: all }: SimConnection): string[] => [...new Set(all.map(({ text }) => text))]
    await world.until(() => [persistent, passing].every((each) => received(each).length === count), 'everything arrives')
    zombie.goOn()
    setTimeout(() => void zombie.log.hear(), 1_500)
    await world.pass(4_000)
    await gateway.publish('kept/0', 'the next', { qos: 2, messageId: Buffer.alloc(16, 0xff) })
    await world.until(() => [persistent, passing].every((each) => received(each).length === count + 1), 'what is published then')
    expect(persistent.received.map(({ text }) => text).sort()).toEqual([...numbers, 'the next'].sort())
    expect(persistent.received.every(({ qos }) => qos === 2)).toBe(true)
    expect([persistent.phase, passing.phase]).toEqual(['open', 'open'])
  },
)
