import { afterAll, beforeAll, expect, test } from '@jest/globals'
import kafkajs from 'kafkajs'
import { type Stack, startStack, until } from '../support/stack.ts'
import * as mqtt from '../wire/bytes.ts'
import { Property } from '../wire/bytes.ts'
import { readRecords } from '../wire/kafka-log.ts'
import { Wire } from '../wire/wire.ts'

let stack: Stack

beforeAll(async () => {
  stack = await startStack({ environment: { GATEWAYS: '2' } })
}, 180_000)

afterAll(async () => {
  await stack?.stop()
}, 60_000)

const run = Math.random().toString(36).slice(2, 8)

/** Connects through a gateway once it lets people in. */
async function connect(gateway: string, options: Partial<Parameters<typeof mqtt.connect>[0]> & { readonly clientId: string }): Promise<Wire> {
  return await until(`${options.clientId} is let in by ${gateway}`, 60_000, async () => {
    try {
      const { ports } = await stack.process(gateway)
      const wire = await Wire.open({ host: '127.0.0.1', port: ports.mqtt as number }, 5)
      wire.send(mqtt.connect({ version: 5, keepAlive: 60, ...options }))
      const connack = await wire.expect('connack')
      if (connack.code === 0) return wire
      wire.destroy()
    } catch {}
    return undefined
  })
}

async function withWill(clientId: string, topic: string): Promise<Wire> {
  const extra = Buffer.concat([mqtt.properties(5), mqtt.text(topic), mqtt.text(`will of ${clientId}`)])
  return await connect('gateway', { clientId, flags: 2 | 4 | 8, extra })
}

/** A persistent session that is subscribed and away: what comes waits for it. */
async function mourner(clientId: string, topic: string): Promise<void> {
  const wire = await connect('gateway-2', { clientId, clean: true, properties: [[Property.sessionExpiryInterval, 3_600]] })
  wire.send(mqtt.subscribe(5, 1, [[topic, 1]]))
  await wire.find('suback')
  wire.send(mqtt.disconnect(5))
  await wire.closed()
}

/** Everything the session gets until `end` comes, which is published when `topic` is quiet. */
async function mourn(clientId: string, topic: string, count: number): Promise<string[]> {
  const wire = await connect('gateway-2', { clientId, clean: false, properties: [[Property.sessionExpiryInterval, 3_600]] })
  const got: string[] = []
  const next = async (deadlineMs: number): Promise<string> => {
    const delivery = await wire.find('publish', deadlineMs)
    wire.send(mqtt.puback(delivery.id))
    return delivery.payload.toString()
  }
  while (got.length < count) got.push(await next(90_000))
  wire.send(mqtt.publish({ version: 5, topic, payload: 'end', qos: 1, id: 77 }))
  for (let last = await next(30_000); last !== 'end'; last = await next(30_000)) got.push(last)
  wire.destroy()
  return got
}

for (const victims of [['gateway'], ['gateway', 'router'], ['router']]) {
  test(`a will arrives once when ${victims.join(' and ')} ${victims.length > 1 ? 'are' : 'is'} killed`, async () => {
    const topic = `wills/${run}/${victims.join('-')}`
    await mourner(`${topic}/mourner`, topic)
    const clients = ['a', 'b', 'c', 'd'].map((name) => `${topic}/${name}`)
    const wires = await Promise.all(clients.map((clientId) => withWill(clientId, topic)))
    const killed = await Promise.all(victims.map(async (name) => [name, await stack.kill(name)] as const))
    if (!victims.includes('gateway')) for (const wire of wires) wire.destroy()
    const got = await mourn(`${topic}/mourner`, topic, clients.length)
    expect(got.sort()).toEqual(clients.map((clientId) => `will of ${clientId}`))
    for (const [name, pid] of killed) await stack.restarted(name, pid, 60_000)
    const inLog = await readRecords(stack.brokers, `${stack.prefix}.default.messages`, 'Message')
    const ids = inLog.filter(({ value }) => value.topic === topic && value.payload.toString() !== 'end').map(({ value }) => value.messageId.toString('hex'))
    expect(new Set(ids).size).toBe(clients.length)
  }, 180_000)
}

test('what is retained outlives the death of everything, and compaction', async () => {
  const root = `retained/${run}`
  const publisher = await connect('gateway', { clientId: `${root}/publisher`, clean: true })
  let id = 0
  const publish = async (topic: string, payload: string): Promise<void> => {
    publisher.send(mqtt.publish({ version: 5, topic, payload, qos: 1, id: (++id % 60_000) + 1, retain: true }))
    await publisher.find('puback')
  }
  for (let version = 0; version < 5; version++) for (let i = 0; i < 10; i++) await publish(`${root}/${i}`, `version ${version}`)
  await publish(`${root}/3`, '')
  // PUBACK means that the message is in the log; what is retained is written when a router has come to it.
  await until('what was retained has been replaced', 60_000, async () => (await replaced()) > 10)
  // In every partition: Kafka leaves the newest segment of each alone.
  await compact(async () => {
    for (let i = 0; i < 16; i++) await publish(`${root}/roll${i}`, `${id}`)
  })
  const names = ['registry', 'router', 'gateway', 'gateway-2']
  const killed = await Promise.all(names.map(async (name) => [name, await stack.kill(name)] as const))
  for (const [name, pid] of killed) await stack.restarted(name, pid, 60_000)
  const expected = Array.from({ length: 10 }, (_, i) => `${i}: version 4`).filter((each) => !each.startsWith('3:'))
  for (const expiry of [0, 3_600]) {
    const wire = await connect('gateway', { clientId: `${root}/subscriber-${expiry}`, clean: true, properties: [[Property.sessionExpiryInterval, expiry]] })
    wire.send(mqtt.subscribe(5, 1, [[`${root}/+`, 1]]))
    const got: string[] = []
    while (got.filter((each) => !each.startsWith('roll')).length < expected.length) {
      const delivery = await wire.find('publish', 60_000)
      expect(delivery.retain).toBe(true)
      wire.send(mqtt.puback(delivery.id))
      got.push(`${delivery.topic.split('/').at(-1)}: ${delivery.payload}`)
    }
    expect(got.filter((each) => !each.startsWith('roll')).sort()).toEqual(expected)
    wire.destroy()
  }
}, 300_000)

/** How many records of the test's topics stand in `retained` with a later one of the same topic behind them. */
async function replaced(): Promise<number> {
  const records = await readRecords(stack.brokers, `${stack.prefix}.default.retained`, 'Retained')
  const keys = records.map(({ key }) => `${key}`).filter((key) => key.startsWith(`retained/${run}/`) && !key.includes('/roll'))
  return keys.length - new Set(keys).size
}

/** Makes Kafka compact the topic `retained` at once; resolves when it has. */
async function compact(write: () => Promise<void>): Promise<void> {
  const topic = `${stack.prefix}.default.retained`
  const admin = new kafkajs.Kafka({ clientId: 'test', brokers: [stack.brokers], logLevel: kafkajs.logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    const settings = {
      'segment.ms': '100',
      'min.compaction.lag.ms': '0',
      'max.compaction.lag.ms': '1',
      'min.cleanable.dirty.ratio': '0.001',
      'cleanup.policy': 'compact',
    }
    const configEntries = Object.entries(settings).map(([name, value]) => ({ name, value }))
    await admin.alterConfigs({ validateOnly: false, resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: topic, configEntries }] })
    await until('compaction', 150_000, async () => {
      // A new record makes the segment before it one that the cleaner may touch.
      await write()
      return (await replaced()) === 0
    })
  } finally {
    await admin.disconnect()
  }
}
