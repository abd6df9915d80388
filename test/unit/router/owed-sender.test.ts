import { beforeEach, expect, test } from '@jest/globals'
import type { ClientSession } from '../../../router/client-session.ts'
import type { Gateway } from '../../../router/gateway.ts'
import type { Gateways } from '../../../router/gateways.ts'
import { OwedSender } from '../../../router/owed-sender.ts'
import { SessionConnections } from '../../../router/session-connections.ts'
import { attachment, owe, sessionOf } from './sessions.ts'

/** Bytes on their way to the one gateway, of which it takes 100. */
let queuedBytes: number
/** Connections that were sent something, in order. */
let sent: number[]
/** How often somebody was looked at. */
let looks: number
let connections: SessionConnections
let sender: OwedSender

beforeEach(() => {
  queuedBytes = 0
  sent = []
  looks = 0
  const gateway = {
    identity: { id: 'g7', incarnation: 7, address: '' },
    isReady: () => true,
    get queuedBytes() {
      return queuedBytes
    },
    send: ({ messages }: { messages: readonly { receivers: readonly { connection: number }[] }[] }) => {
      for (const { receivers } of messages) sent.push(...receivers.map(({ connection }) => connection))
    },
  } as unknown as Gateway
  const gateways = {
    get: () => {
      looks++
      return gateway
    },
  } as unknown as Gateways
  connections = new SessionConnections({ shard: 0, gateways, onSettled: () => {} })
  sender = new OwedSender({
    shard: 0,
    term: 1,
    connections,
    gateways,
    payloads: { get: () => Buffer.from('x') },
    gatewayBytesMax: 100,
    now: () => 0,
    judge: () => {
      throw new Error('nothing is judged anew')
    },
    rejudgedBelow: () => 0,
    giveUp: () => true,
  })
})

const turn = () => new Promise((resolve) => setImmediate(resolve))

/** A client by its connection, and messages of these offsets for it. */
function client(connection: number, ...offsets: number[]): ClientSession {
  const attached = attachment(connection)
  const session = sessionOf(`c${connection}`, { attached })
  owe(session, ...offsets)
  return connections.connect(session, attached)
}

test('a client that stopped because its gateway takes no more goes on once the gateway has taken all', async () => {
  const [first, second] = [client(1, 10), client(2, 11)]
  queuedBytes = 101
  sender.want(first)
  sender.want(second)
  await turn()
  expect(sent).toEqual([])
  queuedBytes = 0
  sender.drained(7)
  await turn()
  expect(sent).toEqual([1, 2])
})

test('it stops as often as the gateway does', async () => {
  const held = client(1, 10)
  queuedBytes = 101
  sender.want(held)
  await turn()
  sender.drained(7)
  await turn()
  expect(sent).toEqual([])
  queuedBytes = 100
  sender.drained(7)
  await turn()
  expect(sent).toEqual([1])
})

test('a gateway that has taken all costs nothing for clients that did not stop for it, however many they are', async () => {
  for (let connection = 1; connection <= 1_000; connection++) sender.want(client(connection, connection))
  await turn()
  expect(sent).toHaveLength(1_000)
  looks = 0
  sender.drained(7)
  await turn()
  expect(looks).toBe(0)
})

test('another gateway’s room wakes nobody', async () => {
  const held = client(1, 10)
  queuedBytes = 101
  sender.want(held)
  await turn()
  queuedBytes = 0
  sender.drained(8)
  await turn()
  expect(sent).toEqual([])
})

test('a connection that is over is not held any more', async () => {
  const held = client(1, 10)
  queuedBytes = 101
  sender.want(held)
  await turn()
  sender.forget(held)
  looks = 0
  sender.drained(7)
  await turn()
  expect(looks).toBe(0)
})
