/** What a client may get wrong, byte by byte: one row each, on the version it is wrong in. */
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import type { Packet } from '../../../mqtt/packet.ts'
import { type Harness, startHarness } from './harness.ts'
import { connectPacket, RawClient } from './raw-client.ts'

let harness: Harness
beforeAll(async () => {
  harness = await startHarness({ CONNECTS_PER_SECOND_MAX: '100000' })
})
afterAll(() => harness.stop())

/** Packs a packet's body behind its first byte; bodies here are shorter than 128 bytes. */
const packet = (first: number, ...body: readonly (number | string | readonly number[])[]): Buffer => {
  const bytes = Buffer.concat(
    body.map((part) =>
      typeof part === 'string' ? Buffer.concat([Buffer.from([part.length >> 8, part.length]), Buffer.from(part)]) : Buffer.from([part].flat()),
    ),
  )
  return Buffer.concat([Buffer.from([first, bytes.length]), bytes])
}

type Wrong = readonly [what: string, bytes: Buffer, reasonCode: number | null]

/** Before CONNECT: nothing comes back, or a CONNACK. */
const first: readonly Wrong[] = [
  ['a PUBLISH first', packet(0x30, 't'), null],
  ['a PINGREQ first', packet(0xc0), null],
  ['packet type 0', packet(0x00), null],
  ['CONNECT with flags', packet(0x11, 'MQTT', 5, 2, [0, 0], 0, ''), null],
  ['an HTTP request', Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), null],
  ['a TLS hello', Buffer.from([0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3]), null],
  ['another protocol’s name', packet(0x10, 'MQTS', 5, 2, [0, 0], 0, 'x'), 0x84],
  ['a remaining length of five bytes', Buffer.from([0x10, 0xff, 0xff, 0xff, 0xff, 0x01]), null],
  ['a version that does not exist', packet(0x10, 'MQTT', 6, 2, [0, 0], 0, 'x'), 0x84],
  ['the reserved connect flag', packet(0x10, 'MQTT', 5, 3, [0, 0], 0, 'x'), 0x81],
  ['a will QoS of 3', packet(0x10, 'MQTT', 5, 0x1e, [0, 0], 0, 'x', 0, 'w', 'p'), 0x81],
  ['a receive maximum of 0', packet(0x10, 'MQTT', 5, 2, [0, 0], 3, 0x21, [0, 0], 'x'), 0x82],
  ['a property twice', packet(0x10, 'MQTT', 5, 2, [0, 0], 6, [0x21, 0, 9], [0x21, 0, 9], 'x'), 0x82],
  ['an unknown property', packet(0x10, 'MQTT', 5, 2, [0, 0], 2, [0x7f, 0], 'x'), 0x81],
  ['an authentication method', packet(0x10, 'MQTT', 5, 2, [0, 0], 4, 0x15, 'X', 'x'), 0x8c],
  ['a client id that is not UTF-8', packet(0x10, 'MQTT', 5, 2, [0, 0], 0, [0, 2, 0xc3, 0x28]), 0x81],
  ['a CONNECT that ends early', packet(0x10, 'MQTT', 5, 2, [0, 0], 0, [0, 9, 0x78]), 0x81],
  ['a reserved client id', packet(0x10, 'MQTT', 5, 2, [0, 0], 0, '$loggerhead/x'), 0x87],
  ['the internal user on a public listener', packet(0x10, 'MQTT', 5, 0xc2, [0, 0], 0, '$loggerhead/x', '$loggerhead', 'key'), 0x87],
  ['a will topic with a wildcard', packet(0x10, 'MQTT', 5, 6, [0, 0], 0, 'x', 0, 'w/#', 'p'), 0x81],
]

test.each(first.map((row) => [row[0], row[1], row[2]] as const))('%s instead of a good CONNECT', async (_what, bytes, reasonCode) => {
  const client = await RawClient.open(harness.port, 5)
  client.raw(bytes)
  await client.closed()
  expect(client.packets.map((answer) => (answer.type === 'connack' ? answer.reasonCode : answer.type))).toEqual(reasonCode === null ? [] : [reasonCode])
})

test('3.1.1: an empty client id with clean session 0 is refused with return code 2', async () => {
  const client = await RawClient.open(harness.port, 4)
  client.raw(packet(0x10, 'MQTT', 4, 0, [0, 0], ''))
  expect(await client.next('connack')).toMatchObject({ reasonCode: 0x85 })
  await client.closed()
})

/** After CONNECT: a version 5 client gets a DISCONNECT with the reason, a 3.1.1 client is closed. */
const open: readonly Wrong[] = [
  ['a second CONNECT', packet(0x10, 'MQTT', 5, 2, [0, 0], 0, 'x'), 0x82],
  ['a packet only a server sends', packet(0x20, 0, 0, 0), 0x82],
  ['a PINGRESP', packet(0xd0), 0x82],
  ['QoS 3', packet(0x36, 't', [0, 1], 0), 0x81],
  ['DUP with QoS 0', packet(0x38, 't', 0), 0x81],
  ['a packet id of 0', packet(0x32, 't', [0, 0], 0), 0x82],
  ['a wildcard in a topic name', packet(0x30, 't/+', 0), 0x81],
  ['U+0000 in a topic name', packet(0x30, 't\0', 0), 0x81],
  ['a SUBSCRIBE without filters', packet(0x82, [0, 1], 0), 0x82],
  ['a SUBSCRIBE with wrong flags', packet(0x80, [0, 1], 0, 't', 1), 0x81],
  ['reserved subscription options', packet(0x82, [0, 1], 0, 't', 0xc1), 0x81],
  ['an UNSUBSCRIBE without filters', packet(0xa2, [0, 1], 0), 0x82],
  ['AUTH that was never agreed', packet(0xf0, 0x18, 0), 0x82],
  ['a PUBACK cut short', packet(0x40, 1), 0x81],
  ['a string that runs over its packet', packet(0x30, [0, 9, 0x74], 0), 0x81],
]

const open5: readonly Wrong[] = [
  ['topic alias 0', packet(0x30, 't', 3, [0x23, 0, 0]), 0x94],
  ['a topic alias never set', packet(0x30, '', 3, [0x23, 0, 7]), 0x82],
  ['no topic and no alias', packet(0x30, '', 0), 0x82],
  ['a subscription identifier from a client', packet(0x30, 't', 2, [0x0b, 1]), 0x82],
  ['a subscription identifier of 0', packet(0x82, [0, 1], 2, [0x0b, 0], 't', 1), 0x82],
  ['a session expiry at DISCONNECT where there was none', packet(0xe0, 0, 5, [0x11, 0, 0, 0, 9]), 0x82],
]

test.each([...open, ...open5])('5: %s ends the connection', async (what, bytes, reasonCode) => {
  const client = await RawClient.attached(harness.port, connectPacket(`5 ${what}`))
  client.raw(bytes)
  expect(await client.next('disconnect')).toMatchObject({ reasonCode })
  await client.closed()
  await harness.router.until(() => harness.router.of('Detached', `5 ${what}`).length === 1)
  expect(harness.router.of('Detached', `5 ${what}`)[0]).toMatchObject({ reason: 'ClientError', reasonCode, keepWill: true })
})

/** 3.1.1 has no properties. */
const without = (bytes: Buffer): Buffer => {
  const type = bytes[0] as number
  if (type === 0x10) return packet(0x10, 'MQTT', 4, 2, [0, 0], 'x')
  return bytes
}

test.each(open)('3.1.1: %s ends the connection without a word', async (what, bytes) => {
  const client = await RawClient.attached(harness.port, connectPacket(`4 ${what}`, { protocolVersion: 4 }))
  client.raw(without(bytes))
  // Some of these need a following packet to be wrong in 3.1.1, where they carry no properties.
  client.raw(Buffer.from([0x00, 0x00]))
  await client.closed()
  expect(client.packets.filter(({ type }) => type === 'disconnect')).toEqual([])
})

test('3.1.1: a retained publish is taken, and the log remembers that it was', async () => {
  const client = await RawClient.attached(harness.port, connectPacket('retains', { protocolVersion: 4 }))
  client.send({ type: 'publish', topic: 'r', payload: Buffer.from('kept'), qos: 1, dup: false, retain: true, packetId: 1 })
  await client.next('puback')
  await harness.router.until(() => harness.router.of('Message', 'retains').length === 1)
  expect(harness.router.of('Message', 'retains')[0]).toMatchObject({ retain: true, qos: 1, protocolVersion: 4 })
  client.destroy()
})

const request = (filter: string, qos: 0 | 1 | 2 = 1): Packet => ({
  type: 'subscribe',
  packetId: 1,
  filters: [{ filter, qos, noLocal: false, retainAsPublished: false, retainHandling: 0 }],
  properties: {},
})

test.each(['a/#/b', 'a#', 'a+/b', ''])('the filter “%s”, which is none, ends the connection', async (filter) => {
  const client = await RawClient.attached(harness.port, connectPacket(`no filter ${filter}`))
  client.send(request(filter))
  expect((await client.next('disconnect')).reasonCode).toBeGreaterThanOrEqual(0x81)
  await client.closed()
})

test('a shared subscription is granted in both versions', async () => {
  for (const version of [5, 4] as const) {
    const client = await RawClient.attached(harness.port, connectPacket(`shares-${version}`, { protocolVersion: version }))
    client.send(request('$share/group/a'))
    expect((await client.next('suback')).reasonCodes).toEqual([1])
    client.destroy()
  }
})

test('QoS 2 is granted', async () => {
  const client = await RawClient.attached(harness.port, connectPacket('grants'))
  client.send(request('a', 2))
  expect((await client.next('suback')).reasonCodes).toEqual([2])
  client.destroy()
})

test('UNSUBSCRIBE tells what existed', async () => {
  const client = await RawClient.attached(harness.port, connectPacket('unsubscribes'))
  client.send(request('a'), { type: 'unsubscribe', packetId: 2, filters: ['a', 'b'], properties: {} })
  expect((await client.next('unsuback')).reasonCodes).toEqual([0, 0x11])
  client.send({ type: 'unsubscribe', packetId: 3, filters: ['a'], properties: {} })
  expect((await client.next('unsuback', 2)).reasonCodes).toEqual([0x11])
  client.destroy()
})

test('acknowledgements of QoS 2 that nobody began are answered with 0x92', async () => {
  const client = await RawClient.attached(harness.port, connectPacket('stray'))
  client.send({ type: 'pubrel', packetId: 5, reasonCode: 0 }, { type: 'pubrec', packetId: 6, reasonCode: 0 }, { type: 'puback', packetId: 7, reasonCode: 0 })
  expect(await client.next('pubcomp')).toMatchObject({ packetId: 5, reasonCode: 0x92 })
  expect(await client.next('pubrel')).toMatchObject({ packetId: 6, reasonCode: 0x92 })
  client.send({ type: 'pingreq' })
  await client.next('pingresp')
  client.destroy()
})

test('packets that come right behind CONNECT are taken once it is answered, in order', async () => {
  const client = await RawClient.open(harness.port, 5)
  const publish = (packetId: number): Packet => ({
    type: 'publish',
    topic: 'early',
    payload: Buffer.from(String(packetId)),
    qos: 1,
    dup: false,
    retain: false,
    packetId,
  })
  client.send(connectPacket('early'), request('early'), publish(1), publish(2))
  client.send(publish(3), { type: 'pingreq' })
  await client.next('puback', 3)
  await client.next('pingresp')
  expect(client.packets[0]?.type).toBe('connack')
  expect(client.of('puback').map(({ packetId }) => packetId)).toEqual([1, 2, 3])
  client.destroy()
})

test('bytes one at a time are as good as all at once', async () => {
  const client = await RawClient.open(harness.port, 5)
  const bytes = Buffer.concat([packet(0x10, 'MQTT', 5, 2, [0, 0], 0, 'drip'), packet(0x32, 'drip', [0, 1], 0, 1, 2, 3)])
  for (const byte of bytes) {
    client.raw(Buffer.from([byte]))
    await new Promise((resolve) => setImmediate(resolve))
  }
  expect(await client.next('puback')).toMatchObject({ packetId: 1 })
  client.destroy()
})

test('a storm of rubbish beside it costs a bystander nothing', async () => {
  const bystander = await RawClient.attached(harness.port, connectPacket('bystander'))
  bystander.send(request('by'))
  await bystander.next('suback')
  const rubbish = [...first, ...open, ...open5].map((row) => row[1]).filter((bytes) => bytes !== open[0]?.[1]) // a second CONNECT is a good first one
  let stopped = false
  let sent = 0
  const storm = Promise.all(
    Array.from({ length: 8 }, async () => {
      while (!stopped) {
        const client = await RawClient.open(harness.port, 5)
        client.raw(rubbish[sent++ % rubbish.length] as Buffer)
        await client.closed()
      }
    }),
  )
  for (let i = 1; i <= 100; i++) {
    bystander.send({ type: 'publish', topic: 'by', payload: Buffer.from(String(i)), qos: 1, dup: false, retain: false, packetId: i })
    await bystander.next('puback', i)
    const delivered = await bystander.next('publish', i)
    bystander.send({ type: 'puback', packetId: delivered.packetId, reasonCode: 0 })
  }
  stopped = true
  await storm
  expect(bystander.of('publish').map(({ payload }) => payload.toString())).toEqual(Array.from({ length: 100 }, (_, i) => String(i + 1)))
  expect(sent).toBeGreaterThan(50)
  bystander.destroy()
})
