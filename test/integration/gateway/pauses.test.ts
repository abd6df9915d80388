/** A process that was paused (docs/decisions/0014-pauses.md): its clock is ahead of where it was last looked at. */
import { afterEach, expect, jest, test } from '@jest/globals'
import type { FakeRouter } from './fake-router.ts'
import { type Environment, type Harness, startHarness } from './harness.ts'
import { connectPacket, RawClient } from './raw-client.ts'

let harness: Harness

afterEach(async () => {
  jest.restoreAllMocks()
  await harness.stop()
})

/** What the pause itself makes late is not what these tests are about. */
async function start(environment: Environment = {}): Promise<Harness> {
  const late = { REGISTRY_STALE: '60000', REGISTRY_LOST: '60000', SHARD_SILENCE: '60000', CONNECT_TIMEOUT: '60000' }
  harness = await startHarness({ ...late, ...environment }, { pauseMsMax: 10_000 })
  return harness
}

const publish = (payload: string, packetId: number) =>
  ({ type: 'publish', topic: 't', payload: Buffer.from(payload), qos: 1, dup: false, retain: false, packetId }) as const

function pause(): void {
  const now = Date.now.bind(Date)
  jest.spyOn(Date, 'now').mockImplementation(() => now() + 15_000)
}

/** The gateway has taken all that the router sent before. */
async function pinged(router: FakeRouter, nonce: number, reconciled?: readonly number[]): Promise<void> {
  router.send({ kind: 'ping', nonce, ...(reconciled && { reconciled }) })
  await router.until(() => router.received.some((frame) => frame.kind === 'pong' && frame.nonce === nonce))
}

const appended = (router: FakeRouter): string[] => router.of('Message').map(({ payload }) => payload.toString())

test('a CONNECT that waits for its turn through a pause is closed: it may have come in elsewhere', async () => {
  const { port, router } = await start({ TAKEOVER_BURST: '1', TAKEOVER_INTERVAL: '30000' })
  const first = await RawClient.attached(port, connectPacket('c'))
  await RawClient.attached(port, connectPacket('c'))
  await first.closed()
  const third = await RawClient.attached(port, connectPacket('c'))
  const waiting = await RawClient.open(port)
  waiting.send(connectPacket('c'))
  await router.until(() => harness.process.gateway.waiting.has('c'))
  pause()
  third.send({ type: 'pingreq' })
  await waiting.closed()
  expect([waiting.packets, harness.process.gateway.waiting.size]).toEqual([[], 0])
})

test('nothing is read on a ping that left before the router heard which connections stand', async () => {
  const { port, router, newRouter } = await start()
  const client = await RawClient.attached(port, connectPacket('c', { properties: { sessionExpiryInterval: 100 } }))
  client.send(publish('1', 1))
  await client.next('puback')
  const { connection } = router.of('Attached', 'c')[0] as { connection: number }
  const other = await RawClient.attached(port, connectPacket('other'))
  pause()
  client.send(publish('late', 2))
  await router.until(() => router.ended !== null)
  const next = await newRouter({ term: 2 })
  await next.until(() => next.received.filter(({ kind }) => kind === 'shardState').length === 2)
  await pinged(next, 1, [])
  next.send({ kind: 'close', shard: 0, term: 2, connection, reasonCode: 0x8e, reason: 'SessionTakenOver' })
  next.send({ kind: 'close', shard: 1, term: 2, connection, reasonCode: 0x8e, reason: 'SessionTakenOver' })
  await pinged(next, 2, [0, 1])
  await client.closed()
  other.send(publish('newest', 1))
  await other.next('puback')
  await next.until(() => appended(next).includes('newest'))
  expect(appended(next)).toEqual(['1', 'newest'])
})

test.each([
  ['the ping that names its shard', [0, 1]],
  ['any ping of a router of before pings named shards', undefined],
] as const)('a connection that still stands is read again on %s', async (_what, reconciled) => {
  const { port, router, newRouter } = await start()
  const client = await RawClient.attached(port, connectPacket('c', { properties: { sessionExpiryInterval: 100 } }))
  client.send(publish('1', 1))
  await client.next('puback')
  pause()
  client.send(publish('2', 2))
  await router.until(() => router.ended !== null)
  const next = await newRouter({ term: 2 })
  await next.until(() => next.received.filter(({ kind }) => kind === 'shardState').length === 2)
  expect(client.of('puback').length).toBe(1)
  await pinged(next, 1, reconciled)
  await client.next('puback', 2)
})
