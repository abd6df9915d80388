import { describe, expect, test } from '@jest/globals'
import { partitionOf } from '../../../log/partitioner.ts'
import { RepeatableKind, repeatableId } from '../../../schemas/message-id.ts'
import type { SubscriptionRequest } from '../../../schemas/session-records.ts'
import { inFrozenTime } from '../../simulation/frozen-time.ts'
import type { SimConnection, SimGateway } from '../../simulation/sim-gateway.ts'
import { type RouterProcess, World } from '../../simulation/world.ts'
import { subscription } from '../model/session-records.ts'

let world: World

inFrozenTime(() => world)

async function given(environment: Readonly<Record<string, string>> = {}): Promise<{ router: RouterProcess; gateway: SimGateway; other: SimGateway }> {
  world = await new World({ environment }).start()
  const gateway = await world.startGateway('gw')
  const other = await world.startGateway('other')
  return { gateway, other, router: await world.startRouter('r1') }
}

const filter = (name: string): SubscriptionRequest => subscription(name, { qos: 2 })

async function connected(gateway: SimGateway, clientId: string, options: Parameters<SimGateway['connect']>[1] = {}): Promise<SimConnection> {
  const connection = gateway.connect(clientId, options)
  await world.until(() => connection.phase !== 'attaching', `${clientId} is answered`)
  return connection
}

const arrived = (connection: SimConnection, count: number) =>
  world.until(() => connection.received.length >= count, `${count} deliveries, got ${connection.texts}`)
const progress = (clientId: string) =>
  world
    .records('inbox', partitionOf(Buffer.from(clientId), world.partitions))
    .flatMap(({ record }) => (record.name === 'Acknowledged' ? record.value.sessions : []))
    .filter((each) => each.clientId === clientId)
const messages = (topic: string) =>
  world
    .records('messages', partitionOf(Buffer.from(topic), world.partitions))
    .flatMap(({ record }) => (record.name === 'Message' && record.value.topic === topic ? [record.value] : []))

describe('to a persistent session', () => {
  test('PUBREL follows the record of PUBREC, and PUBCOMP ends it [MQTT-4.3.3-4]', async () => {
    const { gateway } = await given()
    const released: { readonly number: number; readonly journaled: boolean }[] = []
    const subscriber = await connected(gateway, 'c', {
      onRelease: (_connection, number) => released.push({ number, journaled: progress('c').some(({ received }) => received.includes(number)) }),
    })
    await subscriber.subscribe(filter('a'))
    await gateway.publish('a', 'x', { qos: 2 })
    await arrived(subscriber, 1)
    await world.pass(500)
    expect([subscriber.received[0]?.qos, released]).toEqual([2, []])
    subscriber.acknowledge(subscriber.received[0]!)
    await world.until(() => released.length === 1, 'PUBREL')
    expect(released).toEqual([{ number: 0, journaled: true }])
    expect(progress('c').some(({ cursor }) => cursor > 0)).toBe(false)
    subscriber.complete(0)
    await world.until(() => progress('c').at(-1)?.cursor === 1, 'it is done')
    expect(progress('c').at(-1)?.received).toEqual([])
  })

  test('on the next connection what was received goes on with PUBREL, the rest comes with DUP, in order [MQTT-4.4.0-1]', async () => {
    const { gateway, other } = await given()
    const first = await connected(gateway, 'c', { onRelease: () => {} })
    await first.subscribe(filter('a'))
    for (const text of ['0', '1', '2']) await gateway.publish('a', text, { qos: 2 })
    await arrived(first, 3)
    first.acknowledge(first.received[1]!)
    await world.until(() => first.released.length === 1, 'PUBREL')
    first.close('ConnectionLost')
    const order: string[] = []
    const second = await connected(other, 'c', {
      onDelivery: (_connection, { text, dup }) => order.push(`PUBLISH ${text}${dup ? ' dup' : ''}`),
      onRelease: (_connection, number) => order.push(`PUBREL ${number}`),
    })
    await world.until(() => order.length === 3, 'all three')
    expect(order).toEqual(['PUBLISH 0 dup', 'PUBREL 1', 'PUBLISH 2 dup'])
    second.complete(1)
    for (const delivery of second.received) second.acknowledge(delivery)
    await world.until(() => order.length === 5, 'their PUBRELs')
    second.complete(0)
    second.complete(2)
    await world.until(() => progress('c').at(-1)?.cursor === 3, 'all are done')
  })

  test('a PUBREC that came just before the connection ended is not forgotten', async () => {
    const { gateway, other } = await given()
    const first = await connected(gateway, 'c', { onRelease: () => {} })
    await first.subscribe(filter('a'))
    await gateway.publish('a', 'x', { qos: 2 })
    await arrived(first, 1)
    first.acknowledge(first.received[0]!)
    const second = await connected(other, 'c')
    await world.until(() => second.released.length > 0 || second.received.length > 0, 'something comes')
    expect([second.received, second.released]).toEqual([[], [0]])
  })

  test('the next owner of the shard goes on with PUBREL, on the connection that lives and on a new one', async () => {
    const { gateway, router } = await given()
    const subscriber = await connected(gateway, 'c', { onRelease: () => {} })
    await subscriber.subscribe(filter('a'))
    for (const text of ['0', '1']) await gateway.publish('a', text, { qos: 2 })
    await arrived(subscriber, 2)
    subscriber.acknowledge(subscriber.received[0]!)
    await world.until(() => subscriber.released.length === 1, 'PUBREL')
    router.kill()
    // Told to nobody: the gateway has to tell the next owner.
    subscriber.acknowledge(subscriber.received[1]!)
    await world.startRouter('r2')
    await world.until(() => subscriber.released.length === 2, 'the other PUBREL')
    expect(subscriber.released).toEqual([0, 1])
    subscriber.close('ConnectionLost')
    const next = await connected(gateway, 'c')
    await world.until(() => progress('c').at(-1)?.cursor === 2, 'both are done')
    expect([next.received, next.released]).toEqual([[], [0, 1]])
  })

  test('a message that was sent comes again though it has expired; one that was never sent is dropped [MQTT-4.3.3-7]', async () => {
    const { gateway } = await given()
    const first = await connected(gateway, 'c', { receiveMaximum: 1 })
    await first.subscribe(filter('a'))
    await gateway.publish('a', 'half', { qos: 2, messageExpiryInterval: 5 })
    await gateway.publish('a', 'never', { qos: 2, messageExpiryInterval: 5 })
    await gateway.publish('a', 'good', { qos: 2 })
    await arrived(first, 1)
    first.close('ConnectionLost')
    await world.pass(6_000)
    const second = await connected(gateway, 'c', { receiveMaximum: 1 })
    await arrived(second, 1)
    expect(second.received[0]).toMatchObject({ text: 'half', dup: true, number: 0 })
    second.acknowledge(second.received[0]!)
    await world.until(() => second.released.length === 1, 'PUBREL')
    second.complete(0)
    await arrived(second, 2)
    expect([second.released, second.texts]).toEqual([[0], ['half dup', 'good']])
  })
})

describe('from a publisher', () => {
  const withSubscriber = async (environment: Readonly<Record<string, string>> = {}) => {
    const all = await given(environment)
    const subscriber = await connected(all.gateway, 'sub', { onDelivery: (each, delivery) => setImmediate(() => each.acknowledge(delivery)) })
    await subscriber.subscribe(filter('#'))
    return { ...all, subscriber }
  }

  test('a resend through another gateway has the same id and is delivered once; the next use of the packet id has another', async () => {
    const { gateway, other, subscriber } = await withSubscriber()
    const first = await connected(gateway, 'p')
    await first.publishExactlyOnce(1, 'a', 'x')
    const second = await connected(other, 'p')
    await second.publishExactlyOnce(1, 'a', 'x')
    await second.releasePublish(1)
    await second.publishExactlyOnce(1, 'a', 'y')
    await second.releasePublish(1)
    const third = await connected(gateway, 'p')
    await third.publishExactlyOnce(1, 'a', 'z')
    await arrived(subscriber, 3)
    await world.pass(500)
    expect(subscriber.texts).toEqual(['x', 'y', 'z'])
    const ids = messages('a').map(({ messageId }) => messageId.toString('hex'))
    expect(ids[0]).toBe(ids[1])
    expect(new Set(ids).size).toBe(3)
  })

  test('one that a stopped gateway appends after the release changes nothing', async () => {
    const { gateway, other, subscriber } = await withSubscriber()
    const stopped = await connected(gateway, 'p')
    const second = await connected(other, 'p')
    await second.publishExactlyOnce(1, 'a', 'x')
    await second.releasePublish(1)
    await arrived(subscriber, 1)
    await stopped.publishExactlyOnce(1, 'a', 'x')
    await second.publishExactlyOnce(1, 'a', 'y')
    await stopped.publishExactlyOnce(1, 'a', 'x')
    await arrived(subscriber, 2)
    await world.pass(500)
    expect(subscriber.texts).toEqual(['x', 'y'])
  })

  test('a release that is known before its message is matched loses nothing', async () => {
    const { gateway, router, subscriber } = await withSubscriber()
    const publisher = await connected(gateway, 'p')
    await world.pass(1_000)
    router.kill()
    for (const text of ['0', '1', '2']) {
      await publisher.publishExactlyOnce(1, 'a', text)
      await publisher.publishExactlyOnce(1, 'a', text)
      await publisher.releasePublish(1)
    }
    await world.startRouter('r2')
    await arrived(subscriber, 3)
    await world.pass(500)
    expect(subscriber.texts).toEqual(['0', '1', '2'])
  })

  test.each(['killed', 'stopped'] as const)('the next owner knows what its predecessor matched when that was %s', async (how) => {
    const { gateway, other, router, subscriber } = await withSubscriber()
    const publisher = await connected(gateway, 'p')
    await publisher.publishExactlyOnce(1, 'a', 'open')
    await publisher.publishExactlyOnce(2, 'a', 'released')
    await publisher.releasePublish(2)
    await arrived(subscriber, 2)
    await world.pass(1_000)
    if (how === 'killed') router.kill()
    else await router.stop()
    await world.startRouter('r2')
    const second = await connected(other, 'p')
    await second.publishExactlyOnce(1, 'a', 'open')
    await gateway.publish('a', 'released', { qos: 2, messageId: messages('a')[1]!.messageId })
    await second.publishExactlyOnce(3, 'a', 'new')
    await world.until(() => subscriber.texts.includes('new'), 'the new one')
    await world.pass(500)
    expect(subscriber.texts).toEqual(['open', 'released', 'new'])
  })

  test('what is matched and not done when the owner dies is matched again, not taken for its own repeat', async () => {
    const { gateway, router } = await given()
    const subscriber = await connected(gateway, 'sub', { expiry: 0, cleanStart: true })
    await subscriber.subscribe(filter('a'))
    const publisher = await connected(gateway, 'p')
    await world.pass(1_000)
    // Nothing is confirmed, so the stretch does not end.
    gateway.isFrozen = true
    await publisher.publishExactlyOnce(1, 'a', 'x')
    await world.pass(1_000)
    router.kill()
    gateway.thaw()
    await world.startRouter('r2')
    await arrived(subscriber, 1)
    expect(subscriber.texts).toEqual(['x'])
  })

  test('a session that is over leaves nothing to be held; a new one under the same client id is another publisher', async () => {
    const { gateway, subscriber } = await withSubscriber()
    const first = await connected(gateway, 'p')
    await first.publishExactlyOnce(1, 'a', 'x')
    const second = await connected(gateway, 'p', { cleanStart: true })
    await second.publishExactlyOnce(1, 'a', 'x')
    await arrived(subscriber, 2)
    expect(subscriber.texts).toEqual(['x', 'x'])
  })

  test('more finished messages than are remembered: the oldest are forgotten', async () => {
    const { gateway, subscriber } = await withSubscriber({ REPEATS_REMEMBERED: '1' })
    const publisher = await connected(gateway, 'p')
    const session = publisher.session as number
    for (const packetId of [1, 2]) {
      await publisher.publishExactlyOnce(packetId, 'a', `${packetId}`)
      await publisher.releasePublish(packetId)
    }
    await arrived(subscriber, 2)
    await world.pass(500)
    const id = (detail: number) => repeatableId({ kind: RepeatableKind.Publish, shard: publisher.shard, session, use: 0, detail })
    await gateway.publish('a', '2', { qos: 2, messageId: id(2) })
    await gateway.publish('a', '1', { qos: 2, messageId: id(1) })
    await arrived(subscriber, 3)
    await world.pass(500)
    expect(subscriber.texts).toEqual(['1', '2', '1'])
  })
})
