import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type Stack, startStack, until } from '../support/stack.ts'
import * as mqtt from '../wire/bytes.ts'
import { PeerClosed, Wire } from '../wire/wire.ts'

let stack: Stack
const wires: Wire[] = []

/** Two gateways, and limits small enough to be reached here: bytes, and ms. A stretch of messages is matched as a whole, so it must be smaller than they are. */
function withLimits(limits: Readonly<Record<string, number>>): void {
  beforeAll(async () => {
    const settings = { GATEWAYS: 2, FETCH_BYTES_MAX: 65_536, ...limits }
    stack = await startStack({ environment: Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, String(value)])) })
  }, 180_000)

  afterAll(async () => {
    for (const each of wires.splice(0)) each.destroy()
    await stack?.stop()
  })
}

async function connect(
  gateway: 0 | 1,
  clientId: string,
  options: { readonly clean?: boolean; readonly expiry?: number; readonly receiveMaximum?: number } = {},
) {
  const wire = await Wire.open({ host: '127.0.0.1', port: stack.ports.mqtt + 10 * gateway }, 5)
  wires.push(wire)
  const properties: [number, number][] = [[mqtt.Property.sessionExpiryInterval, options.expiry ?? 0]]
  if (options.receiveMaximum !== undefined) properties.push([mqtt.Property.receiveMaximum, options.receiveMaximum])
  wire.send(mqtt.connect({ version: 5, clientId, clean: options.clean ?? true, properties }))
  const connack = await wire.expect('connack')
  expect(connack.code).toBe(0)
  return { wire, present: connack.sessionPresent }
}

async function subscribe(wire: Wire, filter: string, qos = 1): Promise<void> {
  wire.send(mqtt.subscribe(5, 1, [[filter, qos]]))
  expect((await wire.find('suback')).codes).toEqual([qos])
}

const body = (index: number, bytes: number) => `${index} `.padEnd(bytes, '.')
const indexOf = (delivery: mqtt.Delivery) => Number(delivery.payload.toString('latin1', 0, 12).split(' ')[0])

/** Publishes so many at QoS 1, a few in flight, and waits for every PUBACK. */
async function publish(wire: Wire, topic: string, count: number, bytes: number): Promise<void> {
  const window = 8
  let acknowledged = 0
  const next = async () => {
    expect(await wire.find('puback')).toMatchObject({ code: expect.any(Number) })
    acknowledged++
  }
  for (let i = 0; i < count; i++) {
    while (i - acknowledged >= window) await next()
    wire.send(mqtt.publish({ version: 5, topic, payload: body(i, bytes), qos: 1, id: i + 1 }))
  }
  while (acknowledged < count) await next()
}

async function receive(wire: Wire, count: number, deadlineMs?: number): Promise<number[]> {
  const got: number[] = []
  while (got.length < count) {
    const delivery = await wire.find('publish', deadlineMs).catch((error: Error) => {
      throw new Error(`${error.message} after ${got.length} of ${count}; ${JSON.stringify(wire.pending)}`)
    })
    if (delivery.qos === 1) wire.send(mqtt.puback(delivery.id))
    got.push(indexOf(delivery))
  }
  return got
}

/** The sum of a metric of the router over all labels that match. */
async function metric(name: string, labels = ''): Promise<number> {
  const { ports } = await stack.process('router')
  const text = await (await fetch(`http://127.0.0.1:${ports.internal}/metrics`)).text()
  return text
    .split('\n')
    .filter((line) => new RegExp(`^${name}(\\{|\\s)`).test(line) && line.includes(labels))
    .reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0)
}

describe('SESSION_QUEUE_BYTES_MAX, GATEWAY_SEND_BYTES_MAX and ROUTER_OUTSTANDING_BYTES_MAX', () => {
  const outstandingMax = 262_144
  withLimits({ SESSION_QUEUE_BYTES_MAX: 2_000_000, GATEWAY_SEND_BYTES_MAX: 65_536, ROUTER_OUTSTANDING_BYTES_MAX: outstandingMax })

  test('a session ends that would hold too much, and no other', async () => {
    const overflowing = await connect(0, 'overflowing', { expiry: 300 })
    await subscribe(overflowing.wire, 'overflow/#')
    const modest = await connect(0, 'modest', { expiry: 300 })
    await subscribe(modest.wire, 'overflow/first')
    for (const { wire } of [overflowing, modest]) {
      wire.send(mqtt.disconnect(5))
      await wire.closed()
    }
    const { wire: publisher } = await connect(1, 'filler')
    await publish(publisher, 'overflow/first', 5, 50_000)
    await publish(publisher, 'overflow/second', 60, 50_000)
    await until('the session is ended', 60_000, async () => (await metric('loggerhead_mqtt_dropped_sessions_total', 'SessionOverflow')) > 0)
    expect((await connect(1, 'overflowing', { clean: false, expiry: 300 })).present).toBe(false)
    const again = await connect(1, 'modest', { clean: false, expiry: 300 })
    expect(again.present).toBe(true)
    expect(await receive(again.wire, 5)).toEqual([0, 1, 2, 3, 4])
  })

  test('a connected client whose session ends for that is told 0x97', async () => {
    const { wire } = await connect(0, 'idle', { expiry: 300, receiveMaximum: 1 })
    await subscribe(wire, 'idle/t')
    const { wire: publisher } = await connect(1, 'filler-2')
    await publish(publisher, 'idle/t', 60, 50_000)
    const before = await wire.closed()
    expect(before.at(-1)).toMatchObject({ type: 'disconnect', code: 0x97 })
    expect((await connect(0, 'idle', { clean: false })).present).toBe(false)
  })

  test('what is sent and matched at once is held back, and nothing is lost', async () => {
    const away = await connect(0, 'patient', { expiry: 300 })
    await subscribe(away.wire, 'held/t')
    away.wire.send(mqtt.disconnect(5))
    await away.wire.closed()
    const { wire: online } = await connect(1, 'online')
    await subscribe(online, 'held/t')
    const { wire: publisher } = await connect(0, 'pusher')
    const count = 90
    const arriving = receive(online, count)
    let highest = 0
    const watch = setInterval(
      () =>
        void metric('loggerhead_router_outstanding_bytes').then(
          (bytes) => {
            highest = Math.max(highest, bytes)
          },
          () => {},
        ),
      50,
    )
    await publish(publisher, 'held/t', count, 20_000)
    clearInterval(watch)
    const expected = Array.from({ length: count }, (_, i) => i)
    expect(await arriving).toEqual(expected)
    const { wire, present } = await connect(1, 'patient', { clean: false })
    expect(present).toBe(true)
    expect(await receive(wire, count)).toEqual(expected)
    // Per shard, and one stretch may be above it.
    expect(highest).toBeLessThan(4 * (outstandingMax + 2 * 65_536))
  })
})

describe('GATEWAY_QUEUE_BYTES_MAX and GATEWAY_STALL', () => {
  withLimits({ GATEWAY_QUEUE_BYTES_MAX: 400_000, GATEWAY_STALL: 4_000 })

  test('a gateway that does not move costs its own clients, and nobody else waits', async () => {
    const { wire: stuck } = await connect(1, 'stuck')
    const { wire: lossy } = await connect(1, 'lossy')
    const { wire: quick } = await connect(0, 'quick')
    await subscribe(stuck, 'stall/t')
    await subscribe(lossy, 'stall/t', 0)
    await subscribe(quick, 'stall/t')
    const { wire: publisher } = await connect(0, 'stall-publisher')
    const closedBefore = await metric('loggerhead_gateway_links_closed_total')
    const pid = await stack.kill('gateway-2', 'SIGSTOP')
    try {
      const count = 60
      const since = performance.now()
      // Each is awaited: the gateway that moves must not fall behind by as much as the queue holds.
      for (let i = 0; i < count; i++) {
        publisher.send(mqtt.publish({ version: 5, topic: 'stall/t', payload: body(i, 40_000), qos: 1, id: i + 1 }))
        await publisher.find('puback')
        expect(await receive(quick, 1)).toEqual([i])
      }
      process.stderr.write(`beside a gateway that does not move, ${count} messages took ${Math.round(performance.now() - since)} ms\n`)
      await until('the full queue is counted', 60_000, async () => (await metric('loggerhead_deliveries_dropped_total', 'gatewayQueueFull')) > 0)
      await until('the link is closed', 60_000, async () => (await metric('loggerhead_gateway_links_closed_total')) > closedBefore)
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    // It missed a QoS 1 message that nothing keeps for it: it must know. (0x97, or 0x8e when its session was over before the gateway heard of it.)
    const last = (await stuck.closed()).at(-1)
    expect(last?.type === 'disconnect' ? [0x97, 0x8e].includes(last.code) : last).toBe(true)
    await until('a client of that gateway is served again', 120_000, async () => {
      // When it notices that it was paused, it closes for a moment what may have been opened meanwhile.
      const isSubscribed = async (): Promise<Wire> => {
        const { wire } = await connect(1, 'fresh')
        await subscribe(wire, 'stall/again')
        return wire
      }
      const wire = await isSubscribed().catch((error: unknown) => {
        if (!(error instanceof PeerClosed)) throw error
      })
      if (!wire) return false
      await publish(publisher, 'stall/again', 1, 100)
      return (await receive(wire, 1, 20_000).catch(() => [])).length === 1
    })
  }, 180_000)
})
