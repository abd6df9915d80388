import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type Stack, startStack, until } from '../support/stack.ts'
import * as mqtt from '../wire/bytes.ts'
import { readRecords } from '../wire/kafka-log.ts'
import { type Endpoint, Wire } from '../wire/wire.ts'

// Two gateways: what is promised for a session must hold wherever its client comes back.
let stack: Stack
let gateways: readonly [Endpoint, Endpoint]
const wires: Wire[] = []

beforeAll(async () => {
  stack = await startStack({ environment: { GATEWAYS: '2' } })
  gateways = [
    { host: '127.0.0.1', port: stack.ports.mqtt },
    { host: '127.0.0.1', port: stack.ports.mqtt + 10 },
  ]
}, 180_000)

afterAll(async () => {
  for (const each of wires) each.destroy()
  await stack?.stop()
})

async function connect(
  gateway: 0 | 1,
  clientId: string,
  options: { readonly clean?: boolean; readonly expiry?: number } = {},
): Promise<{ wire: Wire; present: boolean }> {
  const wire = await Wire.open(gateways[gateway], 5)
  wires.push(wire)
  const properties: mqtt.Properties = [[mqtt.Property.sessionExpiryInterval, options.expiry ?? 300]]
  wire.send(mqtt.connect({ version: 5, clientId, clean: options.clean ?? false, properties }))
  const connack = await wire.expect('connack')
  expect(connack.code).toBe(0)
  return { wire, present: connack.sessionPresent }
}

async function subscribe(wire: Wire, filter: string): Promise<void> {
  wire.send(mqtt.subscribe(5, 1, [[filter, 1]]))
  expect((await wire.find('suback')).codes).toEqual([1])
}

let nextId = 1
async function publish(wire: Wire, topic: string, payload: string): Promise<void> {
  const id = nextId++
  wire.send(mqtt.publish({ version: 5, topic, payload, qos: 1, id }))
  expect(await wire.find('puback')).toMatchObject({ id })
}

async function receive(wire: Wire): Promise<mqtt.Delivery> {
  const delivery = await wire.find('publish')
  wire.send(mqtt.puback(delivery.id))
  return delivery
}

async function leave(wire: Wire): Promise<void> {
  wire.send(mqtt.disconnect(5))
  await wire.closed()
}

const fresh = () => `s${randomBytes(5).toString('hex')}`

describe('a session and two gateways', () => {
  test('a message published at one gateway reaches a subscriber at the other', async () => {
    const id = fresh()
    const { wire: subscriber } = await connect(0, `${id}-sub`, { clean: true, expiry: 0 })
    await subscribe(subscriber, `${id}/+`)
    const { wire: publisher } = await connect(1, `${id}-pub`, { clean: true, expiry: 0 })
    const sent = Array.from({ length: 100 }, (_, i) => `${i}`)
    for (const each of sent) await publish(publisher, `${id}/t`, each)
    const got: string[] = []
    while (got.length < sent.length) got.push((await receive(subscriber)).payload.toString())
    expect(got).toEqual(sent)
  })

  test('a connection at the other gateway takes the session over: 0x8e there, session present here', async () => {
    const id = fresh()
    const first = await connect(0, id, { clean: true })
    expect(first.present).toBe(false)
    await subscribe(first.wire, `${id}/+`)
    const second = await connect(1, id)
    expect(second.present).toBe(true)
    expect(await first.wire.closed()).toMatchObject([{ type: 'disconnect', code: 0x8e }])
    await publish(second.wire, `${id}/t`, 'here')
    expect((await receive(second.wire)).payload.toString()).toBe('here')
  })

  test('unacknowledged messages follow the client to the other gateway, with DUP and in order', async () => {
    const id = fresh()
    const first = await connect(0, id, { clean: true })
    await subscribe(first.wire, `${id}/t`)
    const { wire: publisher } = await connect(1, `${id}-pub`, { clean: true, expiry: 0 })
    for (const each of ['1', '2', '3']) await publish(publisher, `${id}/t`, each)
    const sent = [await first.wire.find('publish'), await first.wire.find('publish'), await first.wire.find('publish')]
    first.wire.destroy()
    await publish(publisher, `${id}/t`, '4')
    const { wire, present } = await connect(1, id)
    expect(present).toBe(true)
    const got: mqtt.Delivery[] = []
    while (got.length < 4) got.push(await receive(wire))
    expect(got.map((each) => each.payload.toString())).toEqual(['1', '2', '3', '4'])
    // The fourth may have been on its way to the connection that died: a repeat or not.
    expect(got.slice(0, 3).map((each) => [each.dup, each.id])).toEqual(sent.map((each) => [true, each.id]))
  })

  test('what was published while the client was away waits for it at either gateway', async () => {
    const id = fresh()
    const first = await connect(0, id, { clean: true })
    await subscribe(first.wire, `${id}/#`)
    await leave(first.wire)
    const { wire: publisher } = await connect(0, `${id}-pub`, { clean: true, expiry: 0 })
    const sent = Array.from({ length: 200 }, (_, i) => `${i}`)
    for (const each of sent) await publish(publisher, `${id}/t`, each)
    const { wire } = await connect(1, id)
    const got: mqtt.Delivery[] = []
    while (got.length < sent.length) got.push(await receive(wire))
    expect(got.map((each) => each.payload.toString())).toEqual(sent)
    expect(got.some((each) => each.dup)).toBe(false)
  })

  test('clean start at the other gateway ends the session', async () => {
    const id = fresh()
    const first = await connect(0, id, { clean: true })
    await subscribe(first.wire, `${id}/#`)
    const second = await connect(1, id, { clean: true })
    expect(second.present).toBe(false)
    const { wire: control } = await connect(0, `${id}-control`, { clean: true, expiry: 0 })
    await subscribe(control, `${id}/#`)
    await publish(control, `${id}/t`, 'nobody else')
    await receive(control)
    await subscribe(second.wire, `${id}-other`)
    await publish(control, `${id}-other`, 'marker')
    expect((await receive(second.wire)).payload.toString()).toBe('marker')
  })

  test('an expired session is gone at both gateways', async () => {
    const id = fresh()
    await leave((await connect(0, id, { clean: true, expiry: 1 })).wire)
    await until('the session has expired', 60_000, async () => {
      await new Promise((resolve) => setTimeout(resolve, 1_500)) // longer than the expiry: each look begins it anew
      const { wire, present } = await connect(1, id, { expiry: 1 })
      await leave(wire)
      return !present
    })
  })
})

describe('QoS 2 and two gateways', () => {
  async function exactlyOnce(wire: Wire, topic: string, payload: string, id: number, dup = false): Promise<void> {
    wire.send(mqtt.publish({ version: 5, topic, payload, qos: 2, id, dup }))
    expect(await wire.find('pubrec')).toMatchObject({ id, code: 0 })
    wire.send(mqtt.pubrel(id))
    expect(await wire.find('pubcomp')).toMatchObject({ id, code: 0 })
  }

  /** Payloads up to a marker, each seen through to PUBCOMP. */
  async function upTo(wire: Wire, marker: string): Promise<string[]> {
    const got: string[] = []
    while (got.at(-1) !== marker) {
      const delivery = await wire.find('publish')
      got.push(delivery.payload.toString())
      wire.send(mqtt.pubrec(delivery.id))
      await wire.find('pubrel')
      wire.send(mqtt.pubcomp(delivery.id))
    }
    return got
  }

  const idsOf = async (topic: string) =>
    (await readRecords(stack.brokers, `${stack.prefix}.default.messages`, 'Message'))
      .filter(({ value }) => value.topic === topic)
      .map(({ value }) => `${value.payload} ${value.messageId.toString('hex')}`)

  test('a publish that is sent again through the other gateway is one message, in the log too', async () => {
    const id = fresh()
    const { wire: subscriber } = await connect(0, `${id}-sub`, { clean: true })
    subscriber.send(mqtt.subscribe(5, 1, [[`${id}/t`, 2]]))
    await subscriber.find('suback')
    const first = await connect(0, id, { clean: true })
    first.wire.send(mqtt.publish({ version: 5, topic: `${id}/t`, payload: 'x', qos: 2, id: 1 }))
    await first.wire.find('pubrec')
    first.wire.destroy()
    const { wire } = await connect(1, id)
    await exactlyOnce(wire, `${id}/t`, 'x', 1, true)
    await exactlyOnce(wire, `${id}/t`, 'marker', 1)
    expect(await upTo(subscriber, 'marker')).toEqual(['x', 'marker'])
    const ids = await idsOf(`${id}/t`)
    expect([ids.length, new Set(ids).size]).toEqual([3, 2])
  })

  test('a gateway that was stopped and appends its copy when all is over changes nothing', async () => {
    const id = fresh()
    const { wire: subscriber } = await connect(1, `${id}-sub`, { clean: true })
    subscriber.send(mqtt.subscribe(5, 1, [[`${id}/t`, 2]]))
    await subscriber.find('suback')
    const stopped = await connect(0, id, { clean: true })
    const pid = await stack.kill('gateway', 'SIGSTOP')
    let second: Wire
    try {
      // It lies in the stopped gateway's socket, which reads it before anybody can tell it that the session has moved.
      stopped.wire.send(mqtt.publish({ version: 5, topic: `${id}/t`, payload: 'x', qos: 2, id: 1 }))
      second = (await connect(1, id)).wire
      await exactlyOnce(second, `${id}/t`, 'x', 1, true)
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    await stopped.wire.closed()
    await exactlyOnce(second, `${id}/t`, 'marker', 1)
    expect(await upTo(subscriber, 'marker')).toEqual(['x', 'marker'])
    expect(new Set(await idsOf(`${id}/t`)).size).toBe(2)
    await stack.untilHealthy(60_000)
  }, 120_000)
})

describe('/healthz', () => {
  async function stopped(name: string): Promise<void> {
    const pid = await stack.kill(name, 'SIGSTOP')
    try {
      await until(`503, and ${name} is named`, 60_000, async () => {
        const now = await stack.health().catch(() => undefined)
        return now?.status === 503 && (JSON.parse(now.body) as { hop: string }).hop === name
      })
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    await stack.untilHealthy(60_000)
  }

  test('answers 200 with the way that the canary took', async () => {
    const body = await until('200', 60_000, async () => {
      const health = await stack.health()
      return health.status === 200 && health.body
    })
    expect(JSON.parse(body)).toMatchObject({ status: 'ok', gateways: [{ id: 'gateway' }, { id: 'gateway-2' }] })
  })

  test('answers 503 and names the router when it does not move', () => stopped('router'), 120_000)
  test('answers 503 and names the gateway when it does not move', () => stopped('gateway-2'), 120_000)
})
