/** NS-07 over real sockets: loopback has as many addresses as a test needs. */
import { connect } from 'node:net'
import { afterEach, expect, test } from '@jest/globals'
import { type Harness, openRegistry, startHarness } from './harness.ts'
import { connectPacket, RawClient } from './raw-client.ts'

let harness: Harness | null = null
const clients: RawClient[] = []

afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  await harness?.stop()
  harness = null
})

function from(localAddress: string, port: number): RawClient {
  const client = new RawClient(connect({ port, host: '127.0.0.1', localAddress }), 5)
  clients.push(client)
  return client
}

const only = (...ipMasks: string[]) => ({ 'namespace/default': { inboundIpRules: ipMasks.map((ipMask) => ({ ipMask, action: 'Allow' })) } })

test('NS-07: inboundIpRules let in the addresses of their ranges; others are closed unheard, and counted', async () => {
  harness = await startHarness({}, { registry: { ...openRegistry, ...only('127.0.1.0/24', '2001:db8::/32') } })
  const inside = from('127.0.1.9', harness.port)
  inside.send(connectPacket('inside'))
  expect(await inside.next('connack')).toMatchObject({ reasonCode: 0 })
  const outside = from('127.0.2.9', harness.port)
  outside.send(connectPacket('outside'))
  await outside.closed()
  expect(outside.packets).toEqual([])
  expect(await harness.metric('loggerhead_ip_refused_total')).toBe(1)
})

test('NS-07 LC-02: a rule that is taken away ends the connections of its addresses with IpForbidden, before CONNECT too, and no others', async () => {
  harness = await startHarness({}, { registry: { ...openRegistry, ...only('127.0.0.0/8') } })
  const stays = from('127.0.1.9', harness.port)
  stays.send(connectPacket('stays'))
  await stays.next('connack')
  const goes = from('127.0.2.9', harness.port)
  goes.send(connectPacket('goes'))
  await goes.next('connack')
  const silent = from('127.0.2.9', harness.port)
  const { router, process } = harness
  await router.until(() => process.connections() === 3)
  await harness.put(only('127.0.1.0/24'))
  expect(await goes.next('disconnect')).toMatchObject({ reasonCode: 0x87 })
  await silent.closed()
  await router.until(() => router.of('Detached', 'goes').length === 1)
  expect(router.of('Detached', 'goes')[0]).toMatchObject({ reason: 'IpForbidden', reasonCode: 0x87, by: 'gateway' })
  stays.send({ type: 'pingreq' })
  await stays.next('pingresp')
})

test('NS-07: publicNetworkAccess Disabled leaves private addresses, and a rule that cannot be read opens nothing', async () => {
  harness = await startHarness({}, { registry: { ...openRegistry, 'namespace/default': { publicNetworkAccess: 'Disabled', inboundIpRules: [] } } })
  const first = from('127.0.0.1', harness.port)
  first.send(connectPacket('private'))
  expect(await first.next('connack')).toMatchObject({ reasonCode: 0 })
  await harness.put(only('anything'))
  await first.closed()
})

test('NS-11 LC-02: a subscription that is no longer permitted ends its connection at once, whatever routers know; others stay', async () => {
  const space = (topicTemplates: readonly string[]) => ({ 'topicSpaces/everything': { topicTemplates } })
  harness = await startHarness({}, { registry: { ...openRegistry, ...space(['a/#', 'b/#']) } })
  const [a, b] = [from('127.0.0.1', harness.port), from('127.0.0.1', harness.port)]
  for (const [client, filter] of [
    [a, 'a/+'],
    [b, 'b/+'],
  ] as const) {
    client.send(connectPacket(filter[0] as string))
    await client.next('connack')
    client.send({ type: 'subscribe', packetId: 1, filters: [{ filter, qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0 }], properties: {} })
    await client.next('suback')
  }
  await harness.put(space(['b/#']))
  expect(await a.next('disconnect')).toMatchObject({ reasonCode: 0x87 })
  const { router } = harness
  await router.until(() => router.of('Detached', 'a').length === 1)
  expect(router.of('Detached', 'a')[0]).toMatchObject({ reason: 'ClientAuthorizationError' })
  b.send({ type: 'unsubscribe', packetId: 2, filters: ['b/+', 'a/+'], properties: {} })
  expect(await b.next('unsuback')).toMatchObject({ reasonCodes: [0, 0x11] })
})
