import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { topicNames } from '../../log/topics.ts'
import { compact } from '../support/compaction.ts'
import { isSettled, type NamespaceLog, retainedState } from '../support/log-state.ts'
import { type Stack, startStack, until } from '../support/stack.ts'
import * as mqtt from '../wire/bytes.ts'
import { Property } from '../wire/bytes.ts'
import { readRecords } from '../wire/kafka-log.ts'
import { PeerClosed, Wire } from '../wire/wire.ts'

let stack: Stack
const partitions = 4

beforeAll(async () => {
  stack = await startStack({ environment: { GATEWAYS: '2', KAFKA_PARTITIONS: `${partitions}` } })
}, 180_000)

afterAll(async () => {
  await stack?.stop()
})

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
  const come = () => connect('gateway-2', { clientId, clean: false, properties: [[Property.sessionExpiryInterval, 3_600]] })
  let wire = await come()
  const got: string[] = []
  const next = async (): Promise<string> => {
    const delivery = await wire.find('publish', 90_000)
    wire.send(mqtt.puback(delivery.id))
    const payload = delivery.payload.toString()
    // Sent before a connection ended and not known to be acknowledged [MQTT-4.4.0-1].
    return delivery.dup && got.includes(payload) ? await next() : payload
  }
  let isEndSaid = false
  for (let last = ''; last !== 'end'; ) {
    try {
      if (got.length >= count && !isEndSaid) wire.send(mqtt.publish({ version: 5, topic, payload: 'end', qos: 1, id: 77 }))
      isEndSaid = got.length >= count
      last = await next()
      if (last !== 'end') got.push(last)
    } catch (error) {
      // No router has spoken for the shard for SHARD_SILENCE: a machine may be that busy.
      if (!(error instanceof PeerClosed)) throw error
      wire = await come()
      isEndSaid = false
    }
  }
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
  const log: NamespaceLog = { brokers: stack.brokers, topics: topicNames(stack.prefix, 'default'), partitions }
  const publisher = await connect('gateway', { clientId: `${root}/publisher`, clean: true })
  let id = 0
  const publish = async (topic: string, payload: string): Promise<void> => {
    publisher.send(mqtt.publish({ version: 5, topic, payload, qos: 1, id: ++id, retain: true }))
    await publisher.find('puback')
  }
  const asOf = (moment: string, kind: string) => stack.lines(`/namespaces/default/at/${moment}/${kind}`)
  for (let i = 0; i < 10; i++) await publish(`${root}/${i}`, 'version 0')
  await until('all is journaled', 60_000, () => isSettled(log))
  // A shard has history from its first checkpoint on: one may just have been taken over from a router that was killed.
  let moment = ''
  await until('a moment of it can be asked for', 60_000, async () => {
    moment = new Date().toISOString()
    await until('that moment is over', 10_000, () => Date.now() > Date.parse(moment) + 1)
    return asOf(moment, 'retained').then(
      () => true,
      () => false,
    )
  })
  for (let version = 1; version < 5; version++) for (let i = 0; i < 10; i++) await publish(`${root}/${i}`, `version ${version}`)
  await publish(`${root}/3`, '')
  publisher.destroy()
  // PUBACK means that the message is in the log. What its router had not journaled when it died the next one would match again,
  // with the subscriptions that come below: as live messages (decision 0002).
  await until('all is journaled', 60_000, () => isSettled(log))
  const expected = Object.fromEntries(Array.from({ length: 10 }, (_, i) => [`${root}/${i}`, 'version 4'] as const).filter(([topic]) => !topic.endsWith('/3')))
  const kept = async () => Object.fromEntries(Object.entries(await retainedState(log)).filter(([topic]) => topic.startsWith(root)))
  expect(await kept()).toEqual(expected)
  await compact(log, ['retained'])
  expect(await kept()).toEqual(expected)
  const names = ['registry', 'router', 'gateway', 'gateway-2']
  const killed = await Promise.all(names.map(async (name) => [name, await stack.kill(name)] as const))
  for (const [name, pid] of killed) await stack.restarted(name, pid, 60_000)
  for (const expiry of [0, 3_600]) {
    const wire = await connect('gateway', { clientId: `${root}/subscriber-${expiry}`, clean: true, properties: [[Property.sessionExpiryInterval, expiry]] })
    wire.send(mqtt.subscribe(5, 1, [[`${root}/+`, 1]]))
    const got: [topic: string, payload: string][] = []
    while (got.length < Object.keys(expected).length) {
      const delivery = await wire.find('publish')
      expect(delivery.retain).toBe(true)
      wire.send(mqtt.puback(delivery.id))
      got.push([delivery.topic, `${delivery.payload}`])
    }
    expect(Object.fromEntries(got)).toEqual(expected)
    wire.destroy()
  }
  // What was retained before all of it was replaced, compacted away and its processes killed.
  const past = (await asOf(moment, 'retained')).filter(({ name }) => String(name).startsWith(root))
  expect(past.map(({ name }) => name).sort()).toEqual(Array.from({ length: 10 }, (_, i) => `${root}/${i}`).sort())
  for (const { position } of past) {
    const [message] = await stack.lines(`/namespaces/default/history?from=${position}&limit=1`)
    expect(message).toMatchObject({ payload: 'version 0' })
  }
}, 300_000)
