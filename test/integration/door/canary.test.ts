import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from '@jest/globals'
import { closeAll, closing, freePort, metric, type OpenDoor, openDoor, until, upstream } from './fixtures.ts'
import { mqttStandIn, type StandIn } from './mqtt-stand-in.ts'

afterEach(closeAll)

function keyFile(): string {
  const folder = mkdtempSync(join(tmpdir(), 'loggerhead-door-'))
  closing(() => rmSync(folder, { recursive: true }))
  writeFileSync(join(folder, 'internal-key'), 'a key of the house\n')
  return join(folder, 'internal-key')
}

const deadlineMs = 60_000

/** The time of a round, which is over when the test says so, and that of everything else, which never is. */
class HeldTime {
  #rounds = 0
  #over = (): void => {}

  readonly limit = (ms: number): { readonly signal: AbortSignal; clear(): void } => {
    const controller = new AbortController()
    if (ms === deadlineMs) {
      this.#rounds++
      this.#over = () => controller.abort()
    }
    return { signal: controller.signal, clear: () => {} }
  }

  /** Ends the time of the round that begins next, once it has come as far as it can. */
  async isOver(isStuck: () => boolean): Promise<void> {
    const round = this.#rounds + 1
    await until(() => this.#rounds === round && isStuck())
    this.#over()
  }
}

/** A door over these gateways; a result never stays good unless asked for, and a round may last for ever unless its time is held. */
function doorOver(gateways: Record<string, string>, environment: Record<string, string> = {}, time = new HeldTime()): Promise<OpenDoor> {
  return openDoor(
    {
      CANARY_ADDRESSES: Object.entries(gateways)
        .map(([id, address]) => `${id}=${address}`)
        .join(','),
      INTERNAL_KEY_FILE: keyFile(),
      DURABILITY: 'single copy in the page cache',
      HEALTH_FRESH: '0',
      HEALTH_DEADLINE: `${deadlineMs}`,
      ...environment,
    },
    time.limit,
  )
}

async function health(
  door: OpenDoor,
): Promise<{ code: number; body: { status: string; hop?: string; reason?: string; gateways: { id: string; ms: number }[]; durability: string } }> {
  const answer = await fetch(`${door.url}/healthz`)
  return { code: answer.status, body: (await answer.json()) as never }
}

const publishes = (standIn: StandIn) => standIn.seen.flatMap((packet) => (packet.cmd === 'publish' ? [packet] : []))
const connects = (standIn: StandIn) => standIn.seen.flatMap((packet) => (packet.cmd === 'connect' ? [packet] : []))
/** Of deliveries: the canary has them. */
const acknowledged = (standIn: StandIn) => standIn.seen.filter(({ cmd }) => cmd === 'puback')

/** The answer of a round whose time is over when it is stuck. */
async function timedOut(door: OpenDoor, time: HeldTime, isStuck: () => boolean): ReturnType<typeof health> {
  const [answer] = await Promise.all([health(door), time.isOver(isStuck)])
  return answer
}

test('when the canary came back through every gateway, /healthz is 200 with the time of each and the durability class', async () => {
  const door = await doorOver({ gateway: (await mqttStandIn()).address, 'gateway-2': (await mqttStandIn()).address })
  const { code, body } = await health(door)
  expect(body).toEqual({
    status: 'ok',
    durability: 'single copy in the page cache',
    gateways: [
      { id: 'gateway', ms: expect.any(Number) },
      { id: 'gateway-2', ms: expect.any(Number) },
    ],
  })
  expect(code).toBe(200)
  expect(await metric(door, 'loggerhead_door_canary_rounds_total{result="arrived"}')).toBe(1)
})

test('it connects with the internal key under its own name, and publishes one message for each partition', async () => {
  const gateway = await mqttStandIn()
  const door = await doorOver({ gateway: gateway.address }, { KAFKA_PARTITIONS: '7' })
  await health(door)
  expect(gateway.seen[0]).toMatchObject({
    cmd: 'connect',
    clientId: '$loggerhead/canary/gateway',
    username: '$loggerhead',
    password: Buffer.from('a key of the house'),
    clean: true,
    protocolVersion: 5,
  })
  expect(gateway.seen[1]).toMatchObject({ cmd: 'subscribe', subscriptions: [{ topic: '$loggerhead/canary/gateway/+', qos: 1 }] })
  expect(new Set(publishes(gateway).map(({ topic }) => topic)).size).toBe(7)
  expect(publishes(gateway).every(({ qos }) => qos === 1)).toBe(true)
})

test('nothing is connected or written before somebody asks, and the connection is kept afterwards', async () => {
  const gateway = await mqttStandIn()
  const door = await doorOver({ gateway: gateway.address })
  await fetch(`${door.url}/metrics`)
  expect(gateway.seen).toEqual([])
  for (let round = 0; round < 3; round++) expect((await health(door)).code).toBe(200)
  expect([connects(gateway).length, publishes(gateway).length]).toEqual([1, 12])
})

test('fifty who ask at once cost one round, and so do those who ask within HEALTH_FRESH', async () => {
  const gateway = await mqttStandIn()
  const door = await doorOver({ gateway: gateway.address }, { HEALTH_FRESH: '60000' })
  const answers = await Promise.all(Array.from({ length: 50 }, () => health(door)))
  expect(answers.every(({ code }) => code === 200)).toBe(true)
  await health(door)
  expect(publishes(gateway).length).toBe(4)
})

test('a gateway that is not there is named within HEALTH_DEADLINE, with the reason in words', async () => {
  const door = await doorOver({ gateway: (await mqttStandIn()).address, 'gateway-2': `127.0.0.1:${await freePort()}` })
  const { code, body } = await health(door)
  expect([code, body.status, body.hop]).toEqual([503, 'failing', 'gateway-2'])
  expect(body.reason).toMatch(/does not accept connections.*ECONNREFUSED/)
  expect(body.gateways).toEqual([{ id: 'gateway', ms: expect.any(Number) }])
  expect(await metric(door, 'loggerhead_door_canary_rounds_total{result="failed"}')).toBe(1)
})

test('a gateway that gives no CONNACK is named', async () => {
  const [gateway, time] = [await mqttStandIn(), new HeldTime()]
  gateway.faults.connack = 'none'
  const { body } = await timedOut(await doorOver({ gateway: gateway.address }, {}, time), time, () => connects(gateway).length === 1)
  expect(body).toMatchObject({ hop: 'gateway', reason: 'gateway gateway gave no CONNACK: after 60000 ms' })
})

test('a CONNACK that refuses is told from none', async () => {
  const gateway = await mqttStandIn()
  gateway.faults.connack = 'refuse'
  const { body } = await health(await doorOver({ gateway: gateway.address }))
  expect(body).toMatchObject({ hop: 'gateway', reason: expect.stringMatching(/refused the canary.*unavailable/i) })
})

test('no PUBACK names Kafka, whatever the gateway says of itself', async () => {
  const [gateway, time] = [await mqttStandIn(), new HeldTime()]
  gateway.faults.puback = 'no'
  const { body } = await timedOut(await doorOver({ gateway: gateway.address }, {}, time), time, () => publishes(gateway).length === 4)
  expect(body).toMatchObject({ hop: 'kafka', reason: 'gateway gateway gave no PUBACK (partitions 0, 1, 2, 3): after 60000 ms' })
})

test('a publish that Kafka has not answered is waited for, not piled upon, and health returns by itself', async () => {
  const [gateway, time] = [await mqttStandIn(), new HeldTime()]
  const door = await doorOver({ gateway: gateway.address }, {}, time)
  gateway.faults.puback = 'hold'
  for (let round = 0; round < 2; round++) expect((await timedOut(door, time, () => publishes(gateway).length === 4)).body.hop).toBe('kafka')
  expect(publishes(gateway).length).toBe(4)
  gateway.release()
  expect((await health(door)).code).toBe(200)
  expect([connects(gateway).length, publishes(gateway).length]).toEqual([1, 8])
})

test('a PUBACK without a delivery names the router and the partition', async () => {
  const [gateway, time] = [await mqttStandIn(), new HeldTime()]
  const door = await doorOver({ gateway: gateway.address }, {}, time)
  await health(door)
  await until(() => acknowledged(gateway).length === 4)
  const third = publishes(gateway)[2]?.topic
  gateway.faults.deliver = (topic) => topic !== third
  // The delivery of the fourth comes behind all PUBACKs.
  const { body } = await timedOut(door, time, () => acknowledged(gateway).length === 7)
  expect(body).toMatchObject({ hop: 'router', reason: 'gateway gateway delivered nothing (partition 2): after 60000 ms' })
  gateway.faults.deliver = () => true
  expect((await health(door)).code).toBe(200)
})

test('what the services say of themselves decides: Kafka away is Kafka, a router down the router', async () => {
  const gateway = await mqttStandIn()
  gateway.faults.connack = 'none'
  const status = { ok: false, kafka: { reachable: false, reason: 'connect ECONNREFUSED 127.0.0.1:9092' } }
  const says = (body: unknown) => upstream((_, response) => response.end(JSON.stringify(body)))
  const asked = async (environment: Record<string, string>) => {
    const [before, time] = [connects(gateway).length, new HeldTime()]
    return timedOut(await doorOver({ gateway: gateway.address }, environment, time), time, () => connects(gateway).length > before)
  }
  const away = await asked({ GATEWAY_URLS: await says(status) })
  expect(away.body).toMatchObject({ hop: 'kafka', reason: expect.stringContaining('ECONNREFUSED 127.0.0.1:9092') })
  const down = await asked({ GATEWAY_URLS: await says({ ok: true }), ROUTER_URLS: `http://127.0.0.1:${await freePort()}` })
  expect(down.body).toMatchObject({ hop: 'router', reason: expect.stringContaining('router does not answer') })
})

test('a gateway restarted between two rounds is found again in the next one', async () => {
  const gateway = await mqttStandIn()
  const door = await doorOver({ gateway: gateway.address })
  expect((await health(door)).code).toBe(200)
  gateway.hangUp()
  expect((await health(door)).code).toBe(200)
  expect(connects(gateway).length).toBe(2)
})

test('a key file that is missing is said', async () => {
  const door = await doorOver({ gateway: (await mqttStandIn()).address }, { INTERNAL_KEY_FILE: '/nonexistent/key' })
  expect((await health(door)).body).toMatchObject({ hop: 'gateway', reason: expect.stringMatching(/internal key cannot be read.*ENOENT/) })
})

test('a door without gateways is not healthy', async () => {
  expect(await health(await openDoor({}))).toMatchObject({ code: 503, body: { hop: 'gateway' } })
})
