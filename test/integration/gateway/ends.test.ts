/** How connections and the gateway itself end, and what of it stands in the log. */

import { mkdtempSync, writeFileSync } from 'node:fs'
import { get } from 'node:http'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from '@jest/globals'
import type { Packet } from '../../../mqtt/packet.ts'
import { decodeRecord } from '../../../schemas/codec.ts'
import { type Harness, startHarness } from './harness.ts'
import { connectPacket, RawClient } from './raw-client.ts'

let harness: Harness | null = null
afterEach(async () => {
  await harness?.stop()
  harness = null
})

async function start(environment = {}, options = {}): Promise<Harness> {
  harness = await startHarness(environment, options)
  return harness
}

const will = { topic: 'w', payload: Buffer.from('gone'), qos: 1 as const, retain: false, properties: { willDelayInterval: 5 } }

const rows: readonly (readonly [string, (client: RawClient) => void, object])[] = [
  [
    'DISCONNECT',
    (client) => client.send({ type: 'disconnect', reasonCode: 0 }),
    { reason: 'ClientInitiatedDisconnect', reasonCode: 0, keepWill: false, sessionExpiryInterval: null },
  ],
  [
    'DISCONNECT with will',
    (client) => client.send({ type: 'disconnect', reasonCode: 4 }),
    { reason: 'ClientInitiatedDisconnect', reasonCode: 4, keepWill: true },
  ],
  [
    'DISCONNECT with another session expiry',
    (client) => client.send({ type: 'disconnect', reasonCode: 0, properties: { sessionExpiryInterval: 7 } }),
    { reason: 'ClientInitiatedDisconnect', sessionExpiryInterval: 7 },
  ],
  [
    'DISCONNECT with an endless session expiry',
    (client) => client.send({ type: 'disconnect', reasonCode: 0, properties: { sessionExpiryInterval: 0xffff_ffff } }),
    { sessionExpiryInterval: 604_800 },
  ],
  ['a reset', (client) => client.socket.resetAndDestroy(), { reason: 'ConnectionLost', reasonCode: 0, keepWill: true }],
  ['a FIN', (client) => client.socket.end(), { reason: 'ConnectionLost', reasonCode: 0, keepWill: true }],
]

test.each(rows)('%s leaves one Detached', async (what, act, expected) => {
  const { port, router } = await start()
  const client = await RawClient.attached(port, connectPacket('c', { will, properties: { sessionExpiryInterval: 100 } }))
  expect(router.of('Attached', 'c')[0]).toMatchObject({ will: { topic: 'w', delaySeconds: 5, qos: 1 }, protocolVersion: 5, cleanStart: true })
  act(client)
  await client.closed()
  await router.until(() => router.of('Detached', 'c').length === 1)
  expect(router.of('Detached', 'c')).toMatchObject([{ epoch: router.session('c')?.epoch, by: 'gateway', ...expected }])
  expect(what).toBeTruthy()
})

test('a stop tells every client, records every detach and its own end, and opens no more doors', async () => {
  const { port, router, log, plan, process } = await start()
  const five = await RawClient.attached(port, connectPacket('five'))
  const four = await RawClient.attached(port, connectPacket('four', { protocolVersion: 4 }))
  await process.stop()
  expect(await five.next('disconnect')).toMatchObject({ reasonCode: 0x8b })
  await four.closed()
  expect(four.packets.map(({ type }) => type)).toEqual(['connack'])
  await router.until(() => router.of('Detached').length === 2)
  expect(router.of('Detached').map(({ reason, reasonCode }) => [reason, reasonCode])).toEqual([
    ['ServerInitiatedDisconnect', 0x8b],
    ['ServerInitiatedDisconnect', 0x8b],
  ])
  const stretch = await log.read(plan.names.gateways, 0, 0)
  const ups = stretch.records.map(({ value }) => decodeRecord(value as Buffer).value)
  expect(ups).toMatchObject([
    { id: 'gateway', stopping: false, incarnation: null },
    { id: 'gateway', stopping: true, incarnation: 0 },
  ])
  await expect(RawClient.open(port)).rejects.toThrow()
})

test('a port in use is named with its setting', async () => {
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
  const { port } = taken.address() as { port: number }
  await expect(startHarness({ MQTT_PORT: String(port) })).rejects.toThrow(`MQTT_PORT: port ${port} on 127.0.0.1 is in use`)
  await expect(startHarness({ INTERNAL_PORT: String(port) })).rejects.toThrow(`INTERNAL_PORT: port ${port} on 127.0.0.1 is in use`)
  taken.close()
})

test('the internal listener lets in whoever knows the key, and nobody else', async () => {
  const key = join(mkdtempSync(join(tmpdir(), 'gateway-key-')), 'key')
  writeFileSync(key, 'secret\n')
  const { process, router } = await start({ INTERNAL_MQTT_PORT: '0', INTERNAL_KEY_FILE: key, CONNECTS_PER_SECOND_MAX: '1' })
  const internal = process.ports.internalMqtt as number
  const refused = async (packet: Packet): Promise<number> => {
    const client = await RawClient.open(internal)
    client.send(packet)
    return (await client.next('connack')).reasonCode
  }
  const as = (password: string, clientId = '$loggerhead/canary') => connectPacket(clientId, { username: '$loggerhead', password: Buffer.from(password) })
  expect(await refused(as('wrong'))).toBe(0x87)
  expect(await refused(as('secret', 'other'))).toBe(0x87)
  expect(await refused(connectPacket('somebody'))).toBe(0x87)
  const canary = await RawClient.attached(internal, as('secret'))
  canary.send({ type: 'publish', topic: '$loggerhead/canary/x', payload: Buffer.alloc(0), qos: 1, dup: false, retain: false, packetId: 1 })
  expect(await canary.next('puback')).toMatchObject({ reasonCode: 0 })
  await router.until(() => router.of('Message').length === 1)
  canary.destroy()
})

test('/status tells who it is and what stands behind it; /metrics what it has done', async () => {
  const { process, port } = await start()
  await RawClient.attached(port, connectPacket('c'))
  const ask = (path: string): Promise<string> =>
    new Promise((resolve, reject) =>
      get({ port: process.ports.internal, path, host: '127.0.0.1' }, async (response) => {
        let text = ''
        for await (const chunk of response) text += chunk
        resolve(text)
      }).on('error', reject),
    )
  expect(JSON.parse(await ask('/status'))).toMatchObject({
    ok: true,
    id: 'gateway',
    incarnation: 0,
    connections: 1,
    attached: 1,
    kafka: { reachable: true, pendingBytes: 0 },
    routers: [{ router: 'fake', shards: [0, 1] }],
    shardsWithoutRouter: [],
    registry: { position: 4 },
  })
  expect(await ask('/metrics')).toMatch(/loggerhead_connects_total\{result="accepted",namespace="default"\} 1/)
})

test('a gateway without a router says so', async () => {
  const { process } = await start({}, { router: false })
  expect(process.gateway.status).toMatchObject({ ok: false, reason: 'no router speaks for shard 0, 1', shardsWithoutRouter: [0, 1] })
})

test('3.1.1: a publish without permission ends the connection, or is acknowledged and dropped where PUBLISH_DENIED_3_1_1 says so [3.1.1 MQTT-3.3.5-2]', async () => {
  const registry = { 'clientGroups/$anonymous': {} }
  const publish: Packet = { type: 'publish', topic: 't', payload: Buffer.alloc(0), qos: 1, dup: false, retain: false, packetId: 1 }
  const closing = await start({}, { registry })
  const first = await RawClient.attached(closing.port, connectPacket('c', { protocolVersion: 4 }))
  first.send(publish)
  await first.closed()
  await closing.router.until(() => closing.router.of('Detached', 'c').length === 1)
  expect(closing.router.of('Detached', 'c')[0]).toMatchObject({ reason: 'ClientAuthorizationError' })
  await closing.stop()
  const tolerant = await start({ PUBLISH_DENIED_3_1_1: 'acknowledge' }, { registry })
  const second = await RawClient.attached(tolerant.port, connectPacket('c', { protocolVersion: 4 }))
  second.send(publish)
  await second.next('puback')
  expect(await tolerant.metric('loggerhead_publishes_dropped_total', { reason: 'unauthorized' })).toBe(1)
  expect(tolerant.router.of('Message')).toEqual([])
})
