import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { readConfig } from '../../stack/config.ts'
import { Load } from '../kill/harness.ts'
import { type Stack, startStack, until } from '../support/stack.ts'
import * as mqtt from '../wire/bytes.ts'
import { Program } from '../wire/programs.ts'
import { Wire } from '../wire/wire.ts'
import type { AttackCounts } from './attacks.ts'
import { MemoryWatch, quantile } from './processes.ts'

const isLong = process.env.LOGGERHEAD_TEST_LONG === '1'
const attackSeconds = isLong ? 30 : 3
/** What each service may hold, whatever is done to it, MiB: its memory setting. */
const { GATEWAY_MEMORY, ROUTER_MEMORY, REGISTRY_MEMORY, DOOR_MEMORY } = readConfig({}).values
const memorySettings: Readonly<Record<string, number>> = { gateway: GATEWAY_MEMORY, router: ROUTER_MEMORY, registry: REGISTRY_MEMORY, door: DOOR_MEMORY }

let stack: Stack
let pids: Readonly<Record<string, number>>

beforeAll(async () => {
  stack = await startStack({ environment: { CONNECT_TIMEOUT: '4000', SLOW_CLIENT_TIMEOUT: '2000' } })
  pids = Object.fromEntries(Object.entries(await stack.processes()).map(([name, { pid }]) => [name, pid]))
}, 180_000)

afterAll(async () => {
  await stack?.stop()
})

const endpoint = () => ({ host: '127.0.0.1', port: stack.ports.mqtt })
const services = () => Object.fromEntries(Object.entries(pids).filter(([name]) => name !== 'kafka'))
const ms = (value: number) => `${value.toFixed(1)} ms`

/**
 * Some take longer to show: half-open sockets outlast CONNECT_TIMEOUT, and the kernel takes some MiB for each client that does not read.
 * That attack is ended once a limit took effect.
 */
const longer: Readonly<Record<string, number>> = { halfOpen: 3, neverRead: 90 }
const secondsOf = (name: string) => attackSeconds + (longer[name] ?? 0)

function attack(name: string): Program {
  return new Program(process.execPath, [join(import.meta.dirname, 'attacks.ts'), name, String(stack.ports.mqtt), String(secondsOf(name))], {
    deadlineMs: 120_000,
  })
}

async function countsOf(program: Program): Promise<AttackCounts> {
  const { output, errors } = await program.ended
  const line = output.trim().split('\n').at(-1)
  if (!line) throw new Error(`the attack did not end well: ${errors}`)
  return JSON.parse(line) as AttackCounts
}

/** Which limits took effect in the gateway so far, and how often. */
async function limitsReached(): Promise<Map<string, number>> {
  const { ports } = await stack.process('gateway')
  const text = await (await fetch(`http://127.0.0.1:${ports.internal}/metrics`)).text()
  return new Map([...text.matchAll(/^loggerhead_limit_reached_total\{.*?limit="(\w+)".*?\} (\d+)/gm)].map(([, limit = '', count]) => [limit, Number(count)]))
}

/** What does not read is dropped or closed, and counted: that is why nothing grows. */
const isOfReaders = ([limit, count]: readonly [string, number]): boolean => /^OUTBOUND|^SLOW/.test(limit) && count > 0

describe('a bystander', () => {
  const names = {
    halfOpen: '2,000 half-open sockets',
    neverRead: '200 clients that never read',
    connectStorm: '500 connects a second',
    malformed: '1,000 malformed packets a second',
    mutants: '8,000 packets a second with bytes changed',
  }

  for (const [name, what] of Object.entries(names)) {
    test(`loses nothing beside ${what}, and no process passes its memory setting`, async () => {
      const load = await Load.start({ endpoints: [endpoint()], publishers: 2, topicsEach: 2, online: 1, offline: 0, flapping: 0, rate: 50 })
      try {
        await load.after(200)
        const before = load.takeAckTimes()
        const watch = new MemoryWatch(services())
        const began = performance.now()
        const attacking = attack(name)
        if (name === 'neverRead') {
          await until('what does not read reaches a limit', 80_000, async () => [...(await limitsReached())].some(isOfReaders))
          attacking.kill('SIGTERM')
        }
        const counts = await countsOf(attacking)
        const lasted = Math.round((performance.now() - began) / 1_000)
        const during = load.takeAckTimes()
        await load.after(50)
        await load.finish(60_000)
        const memory = watch.stop()
        const limits = [...(await limitsReached())].filter(([, count]) => count > 0)
        process.stderr.write(
          `${what}, ${lasted} s: PUBACK of a bystander p50 ${ms(quantile(before, 0.5))} → ${ms(quantile(during, 0.5))}, p99 ${ms(quantile(before, 0.99))} → ${ms(quantile(during, 0.99))}; ` +
            `${JSON.stringify(counts)}; highest memory ${[...memory].map(([process, mib]) => `${process} ${Math.round(mib)} MiB`).join(', ')}; limits so far ${limits.map(([limit, count]) => `${limit} ${count}`).join(', ')}\n`,
        )
        expect(load.verdict(null).problems).toEqual([])
        expect(load.losses).toBe(0)
        expect([...memory].filter(([process, mib]) => mib > (memorySettings[process] ?? 0))).toEqual([])
        expect(counts.done).toBeGreaterThan(
          { halfOpen: 1_900, neverRead: 190, connectStorm: 100 * attackSeconds, malformed: 200 * attackSeconds, mutants: 1_000 * attackSeconds }[name] ?? 0,
        )
        // Nobody died of it.
        expect(Object.fromEntries(Object.entries(await stack.processes()).map(([each, { pid }]) => [each, pid]))).toEqual(pids)
      } finally {
        await load.end()
      }
    }, 180_000)
  }
})

describe('half-open connections', () => {
  test('are closed when the time for CONNECT is over', async () => {
    const wires = await Promise.all(Array.from({ length: 20 }, () => Wire.open(endpoint(), 5)))
    for (const [i, wire] of wires.entries()) if (i % 2 === 0) wire.send(mqtt.connect({ version: 5, clientId: 'half' }).subarray(0, 5))
    await Promise.all(wires.map((wire) => wire.closed()))
  })
})

describe('a slow subscriber', () => {
  test('never holds up another one, nor its publisher', async () => {
    const topic = 'hostile/slow'
    const connect = async (clientId: string, properties: mqtt.Properties = []) => {
      const wire = await Wire.open(endpoint(), 5)
      wire.send(mqtt.connect({ version: 5, clientId, properties }))
      expect((await wire.expect('connack')).code).toBe(0)
      return wire
    }
    const slow = await connect('slow', [[mqtt.Property.sessionExpiryInterval, 60]])
    const quick = await connect('quick')
    const publisher = await connect('talker')
    for (const wire of [slow, quick]) {
      wire.send(mqtt.subscribe(5, 1, [[topic, 1]]))
      await wire.expect('suback')
    }
    slow.pause()
    const payload = Buffer.alloc(64 * 1024, 115)
    const times: number[] = []
    for (let i = 0; i < 300; i++) {
      // 19 MiB in all: more than the slow one's socket and window take
      const since = performance.now()
      publisher.send(mqtt.publish({ version: 5, topic, payload, qos: 1, id: i + 1 }))
      expect(await publisher.expect('puback')).toMatchObject({ id: i + 1, code: 0 })
      times.push(performance.now() - since)
      const delivery = await quick.expect('publish')
      quick.send(mqtt.puback(delivery.id))
    }
    process.stderr.write(`beside a subscriber that does not read: PUBACK p50 ${ms(quantile(times, 0.5))}, p99 ${ms(quantile(times, 0.99))}\n`)
    // The slow one was away or is behind; it loses nothing: its session is persistent.
    slow.destroy()
    const again = await Wire.open(endpoint(), 5)
    again.send(mqtt.connect({ version: 5, clientId: 'slow', clean: false, properties: [[mqtt.Property.sessionExpiryInterval, 0]] }))
    expect(await again.expect('connack')).toMatchObject({ code: 0, sessionPresent: true })
    const seen: number[] = []
    while (seen.length < 300) {
      const delivery = await again.find('publish')
      again.send(mqtt.puback(delivery.id))
      seen.push(delivery.payload.length)
    }
    expect(seen.every((length) => length === payload.length)).toBe(true)
    for (const wire of [again, quick, publisher]) wire.destroy()
  }, 120_000)
})

describe('a limit of a connection', () => {
  test('more filters, longer topics and longer client ids than allowed are refused, and nobody else notices', async () => {
    const bystander = await Wire.open(endpoint(), 5)
    bystander.send(mqtt.connect({ version: 5, clientId: 'limits-bystander' }))
    await bystander.expect('connack')
    const bad: readonly Buffer[] = [
      mqtt.subscribe(
        5,
        1,
        Array.from({ length: 2_000 }, (_, i) => [`f/${i}`, 0] as const),
      ),
      mqtt.publish({ version: 5, topic: `t/${'x'.repeat(60_000)}`, qos: 1, id: 1 }),
      mqtt.publish({ version: 5, topic: Array.from({ length: 1_000 }, () => 'l').join('/'), qos: 1, id: 1 }),
    ]
    for (const packet of bad) {
      const wire = await Wire.open(endpoint(), 5)
      wire.send(mqtt.connect({ version: 5, clientId: 'limits' }), packet)
      expect((await wire.expect('connack')).code).toBe(0)
      const answer = await wire.next('a refusal')
      if (answer.type === 'suback')
        expect(answer.codes.filter((code) => code < 0x80).length).toBeLessThanOrEqual(100) // FILTERS_PER_SUBSCRIBE_MAX
      else if (answer.type === 'puback') expect(answer.code).toBeGreaterThanOrEqual(0x80)
      else expect(answer.type).toBe('disconnect')
      wire.destroy()
    }
    const long = await Wire.open(endpoint(), 5)
    long.send(mqtt.connect({ version: 5, clientId: 'i'.repeat(5_000) }))
    const answer = await long.next('a refusal').catch(() => null)
    if (answer) expect(answer).toMatchObject({ type: 'connack', code: 0x85 })
    bystander.send(mqtt.pingreq)
    await bystander.expect('pingresp')
    bystander.destroy()
    await until('healthy', 60_000, async () => (await stack.health()).status === 200)
  })
})
