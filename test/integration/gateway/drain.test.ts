/** Clients moved off a gateway that stops. */

import { afterEach, expect, test } from '@jest/globals'
import type { Packet } from '../../../mqtt/packet.ts'
import { type Harness, startHarness } from './harness.ts'
import { connectPacket, RawClient } from './raw-client.ts'

let harness: Harness | null = null
afterEach(async () => {
  harness?.log.store.setAway(false)
  harness?.process.hurry()
  await harness?.stop()
  harness = null
})

/** The period is long: what these tests wait for comes before its end, or would fail. */
async function start(environment = {}): Promise<Harness> {
  harness = await startHarness({ DRAIN_PERIOD: '20000', ...environment })
  return harness
}

const elsewhere = { SERVER_REFERENCE: 'other:8883' }
const publish = (packetId: number, qos: 1 | 2 = 1): Packet => ({
  type: 'publish',
  topic: 't',
  payload: Buffer.from(`${packetId}`),
  qos,
  dup: false,
  retain: false,
  packetId,
})

test('M5-22: clients are sent to the Server Reference with 0x9C (section 4.11), 3.1.1 clients are closed, and no door is open meanwhile', async () => {
  const { port, router, process } = await start(elsewhere)
  const five = await RawClient.attached(port, connectPacket('five'))
  const four = await RawClient.attached(port, connectPacket('four', { protocolVersion: 4 }))
  const stopped = process.stop()
  await expect(RawClient.open(port)).rejects.toThrow()
  expect(process.gateway.status).toMatchObject({ ok: false, reason: 'shutting down' })
  expect(await five.next('disconnect')).toMatchObject({ reasonCode: 0x9c, properties: { serverReference: 'other:8883' } })
  await Promise.all([five.closed(), four.closed(), stopped])
  expect(four.packets.map(({ type }) => type)).toEqual(['connack'])
  await router.until(() => router.of('Detached').length === 2)
  // A will of theirs counts: they did not take it back [MQTT-3.1.2-8].
  expect(router.of('Detached')).toMatchObject(Array(2).fill({ reason: 'ServerInitiatedDisconnect', reasonCode: 0x8b, keepWill: true }))
})

test('what was read is answered before the good-bye', async () => {
  const { port, process, log } = await start()
  const client = await RawClient.attached(port, connectPacket('c', { properties: { sessionExpiryInterval: 60 } }))
  client.send(publish(1, 2))
  await client.next('pubrec')
  log.store.setAway(true)
  client.send(publish(2), publish(3, 2), { type: 'pubrel', packetId: 1, reasonCode: 0 }, publish(4))
  client.send({
    type: 'subscribe',
    packetId: 5,
    properties: {},
    filters: [{ filter: 's', qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0 }],
  })
  client.send({ type: 'pingreq' })
  // By then all of it has been read.
  await client.next('pingresp')
  const stopped = process.stop()
  log.store.setAway(false)
  await client.closed()
  await stopped
  expect(client.packets.map((packet) => ('packetId' in packet ? `${packet.type} ${packet.packetId}` : packet.type))).toEqual([
    'connack',
    'pubrec 1',
    'pingresp',
    'puback 2',
    'pubrec 3',
    'pubcomp 1',
    'puback 4',
    'suback 5',
    'disconnect',
  ])
})

test('DRAIN_PERIOD: clients whose answers do not come in it are closed at its end', async () => {
  const { port, process, log, reached } = await start({ DRAIN_PERIOD: '300', SHUTDOWN_TIMEOUT: '300' })
  const client = await RawClient.attached(port, connectPacket('c'))
  log.store.setAway(true)
  client.send(publish(1), { type: 'pingreq' })
  await client.next('pingresp')
  const stopped = process.stop()
  expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x8b })
  await stopped
  expect(client.of('puback')).toEqual([])
  expect(await reached('DRAIN_PERIOD')).toBe(1)
})

test('a stop that is asked for again waits for nobody', async () => {
  const { port, process, log, reached } = await start({ SHUTDOWN_TIMEOUT: '300' })
  const client = await RawClient.attached(port, connectPacket('c'))
  log.store.setAway(true)
  client.send(publish(1), { type: 'pingreq' })
  await client.next('pingresp')
  const stopped = process.stop()
  process.hurry()
  expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x8b })
  await stopped
  expect(await reached('DRAIN_PERIOD')).toBe(0)
})

for (const [version, reference, code] of [
  [5, {}, 0x88],
  [5, elsewhere, 0x9c],
  [4, elsewhere, 0x88],
] as const) {
  const name = version === 4 ? '3.1.1' : '5'
  test(`a CONNECT of MQTT ${name} on a socket that was open already is refused ${reference === elsewhere ? 'towards the Server Reference' : 'with 0x88'}`, async () => {
    const { port, process, log } = await start(reference)
    const busy = await RawClient.attached(port, connectPacket('busy'))
    log.store.setAway(true)
    busy.send(publish(1), { type: 'pingreq' })
    await busy.next('pingresp')
    const late = await RawClient.open(port, version)
    const stopped = process.stop()
    late.send(connectPacket('late', { protocolVersion: version }))
    expect(await late.next('connack')).toMatchObject({ reasonCode: code })
    await late.closed()
    log.store.setAway(false)
    await stopped
  })
}

test('a CONNECT that waits for its session is refused towards the Server Reference too', async () => {
  const { port, process, router } = await start(elsewhere)
  router.answersAttaches = false
  const waiting = await RawClient.open(port)
  waiting.send(connectPacket('waiting'))
  await router.until(() => router.of('Attached', 'waiting').length === 1)
  const stopped = process.stop()
  expect(await waiting.next('connack')).toMatchObject({ reasonCode: 0x9c, properties: { serverReference: 'other:8883' } })
  await stopped
  await router.until(() => router.of('Detached', 'waiting').length === 1)
  // Nothing was agreed: [MQTT-3.1.2-7].
  expect(router.of('Detached', 'waiting')).toMatchObject([{ keepWill: false }])
})
