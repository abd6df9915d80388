/** Life cycle events on a whole stack: every reason for a disconnection, brought about by the situation that it names (LC-02), and numbers that order them. */
import { once } from 'node:events'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { WebSocket } from 'ws'
import { lifecycleCloudEvent } from '../../events/lifecycle-event.ts'
import { writePacket } from '../../mqtt/writer.ts'
import { connectPacket, RawClient } from '../integration/gateway/raw-client.ts'
import { inShard } from '../support/cluster.ts'
import { type Stack, startStack, until } from '../support/stack.ts'
import { readRecords } from '../wire/kafka-log.ts'
import { allow, put, remove } from './registered.ts'

const soonMs = 60_000
const password = 'correct horse'
const partitions = 4
let stack: Stack

beforeAll(async () => {
  stack = await startStack({ environment: { SESSION_QUEUE_MESSAGES_MAX: '20', KAFKA_PARTITIONS: `${partitions}` } })
  await put(stack, 'topicSpaces/lifecycle', { topicTemplates: ['lifecycle/#'] })
  await put(stack, 'clientGroups/lifecycle', { query: 'attributes.kind = "lifecycle"' })
  await allow(stack, 'lifecycle-sub', 'lifecycle', 'lifecycle', 'Subscriber')
}, 180_000)

afterAll(async () => {
  await stack?.stop()
})

interface Event {
  readonly type: string
  readonly subject: string
  readonly time: string
  readonly data: Readonly<Record<string, unknown>>
}

/** Everything that has happened so far, as CloudEvents. */
async function events(): Promise<readonly Event[]> {
  const records = await readRecords(stack.brokers, `${stack.prefix}.default.lifecycle`, 'LifecycleEvent')
  return records.flatMap(({ value }) => {
    const event = lifecycleCloudEvent(value, '/namespaces/default')
    return event ? [{ ...event.attributes, data: event.data.value() as Event['data'] }] : []
  })
}

/** The events of a session, briefly. */
const of = (all: readonly Event[], clientId: string) =>
  all
    .filter(({ data }) => data.clientSessionName === clientId)
    .map(({ type, data }) => [
      type.replace('Microsoft.EventGrid.MQTTClientSession', ''),
      data.sequenceNumber,
      ...(data.disconnectionReason ? [data.disconnectionReason] : []),
    ])

const attach = (clientId: string, rest: Parameters<typeof connectPacket>[1] = {}) => RawClient.attached(stack.ports.mqtt, connectPacket(clientId, rest))
/** After a restart, or once a rule is gone: a visitor of every shard gets in. */
async function anybodyGetsIn(): Promise<void> {
  for (let shard = 0; shard < partitions; shard++) {
    const visitor = await until('anybody gets in', 60_000, () => attach(inShard(shard, 'visitor', partitions)).catch(() => undefined))
    visitor.destroy()
  }
}
const registered = async (name: string): Promise<RawClient> => {
  const body = { authenticationName: name, attributes: { kind: 'lifecycle' }, clientCertificateAuthentication: {}, passwordAuthentication: { password } }
  await put(stack, `clients/${name}`, body)
  return until(`${name} gets in`, soonMs, () => attach(name, { username: name, password: Buffer.from(password) }).catch(() => undefined))
}
async function putNamespace(body: object): Promise<void> {
  const answer = await stack.api('PUT', '/namespaces/default', body)
  if (answer.status !== 200 && answer.status !== 201) throw new Error(`${answer.status} ${JSON.stringify(answer.body)}`)
}
const subscription = (filter: string) =>
  ({ type: 'subscribe', packetId: 1, filters: [{ filter, qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0 }], properties: {} }) as const

/** What brings each reason about; answers when the client has lost its connection, or will have. */
const situations: readonly (readonly [reason: string, situation: string, clientId: string, act: (clientId: string) => Promise<void>])[] = [
  [
    'ClientAuthenticationError',
    'the client is disabled',
    'disabled',
    async (name) => {
      const client = await registered(name)
      await put(stack, `clients/${name}`, { authenticationName: name, state: 'Disabled', clientCertificateAuthentication: {}, passwordAuthentication: {} })
      await client.closed()
    },
  ],
  [
    'ClientAuthorizationError',
    'a binding that its subscription needs is deleted',
    'unbound',
    async (name) => {
      const client = await registered(name)
      client.send(subscription('lifecycle/x'))
      expect(await client.next('suback')).toMatchObject({ reasonCodes: [1] })
      await remove(stack, 'permissionBindings/lifecycle-sub')
      await client.closed()
    },
  ],
  [
    'ClientError',
    'a packet is malformed',
    'malformed',
    async (name) => {
      const client = await attach(name)
      client.raw(Buffer.from('f70100', 'hex'))
      await client.closed()
    },
  ],
  [
    'ClientInitiatedDisconnect',
    'the client sends DISCONNECT',
    'polite',
    async (name) => {
      const client = await attach(name)
      client.send({ type: 'disconnect', reasonCode: 0, properties: {} })
      await client.closed()
    },
  ],
  [
    'ClientInitiatedDisconnect',
    'the client closes its WebSocket',
    'browser',
    async (name) => {
      const socket = new WebSocket(`ws://127.0.0.1:${stack.ports.ws}/mqtt`, 'mqtt')
      await once(socket, 'open')
      socket.send(writePacket(connectPacket(name), 5))
      await once(socket, 'message')
      socket.close()
      await once(socket, 'close')
    },
  ],
  [
    'ConnectionLost',
    'the transport breaks',
    'broken',
    async (name) => {
      const client = await attach(name)
      client.socket.resetAndDestroy()
    },
  ],
  [
    'QuotaExceeded',
    'its name has a session more than it may',
    'second',
    async (name) => {
      const settings = (limit: number) => putNamespace({ topicSpacesConfiguration: { maximumClientSessionsPerAuthenticationName: limit } })
      const username = 'the-same'
      const first = await attach('first', { username })
      await settings(1)
      await until('the limit is known', soonMs, async () => {
        const client = await attach(name, { username }).catch(() => undefined)
        client?.destroy()
        return client === undefined
      })
      await settings(100)
      first.destroy()
    },
  ],
  [
    'ServerInitiatedDisconnect',
    'an operator disconnects it',
    'dismissed',
    async (name) => {
      const client = await attach(name)
      expect((await stack.api('POST', `/namespaces/default/sessions/${name}:disconnect`)).status).toBe(204)
      await client.closed()
    },
  ],
  [
    'SessionOverflow',
    'its queue of QoS 1 messages is full',
    'overflowing',
    async (name) => {
      const client = await attach(name, { properties: { sessionExpiryInterval: 600, receiveMaximum: 1 } })
      client.send(subscription('sample/overflow'))
      await client.next('suback')
      const publisher = await attach('overflower')
      for (let packetId = 1; packetId <= 40; packetId++) {
        publisher.send({ type: 'publish', topic: 'sample/overflow', payload: Buffer.from('x'), qos: 1, dup: false, retain: false, packetId })
      }
      await client.closed()
      publisher.destroy()
    },
  ],
  [
    'SessionTakenOver',
    'another connection takes its client id',
    'twice',
    async (name) => {
      const client = await attach(name)
      await attach(name)
      await client.closed()
    },
  ],
  [
    'IpForbidden',
    'an IP rule leaves its address out',
    'elsewhere',
    async (name) => {
      const client = await attach(name)
      await putNamespace({ inboundIpRules: [{ ipMask: '192.0.2.0/24', action: 'Allow' }] })
      await client.closed()
      await putNamespace({ inboundIpRules: [] })
      await anybodyGetsIn()
    },
  ],
  [
    'ServerError',
    'the gateway dies',
    'stranded',
    async (name) => {
      const client = await attach(name, { properties: { sessionExpiryInterval: 600 } })
      const pid = await stack.kill('gateway')
      await client.closed()
      await stack.restarted('gateway', pid)
      await anybodyGetsIn()
    },
  ],
]

test.each(situations)('LC-02 %s: when %s', async (reason, _situation, clientId, act) => {
  await act(clientId)
  const isIt = ([type, , why]: readonly unknown[]): boolean => type === 'Disconnected' && why === reason
  const told = await until(`${clientId} is told of`, soonMs, async () => {
    const all = of(await events(), clientId)
    return all.some(isIt) && all
  })
  // LC-05: it has the number of its connection.
  expect(told).toContainEqual(['Connected', told.find(isIt)?.[1]])
})

test('LC-01 LC-02 LC-05 connections are numbered in their order, connect and disconnect alike, through a restart of router and gateway', async () => {
  const visit = async () => {
    const client = await attach('numbered', { properties: { sessionExpiryInterval: 600 } })
    client.send({ type: 'disconnect', reasonCode: 0, properties: {} })
    await client.closed()
  }
  await visit()
  await visit()
  for (const name of ['router', 'gateway']) await stack.restarted(name, await stack.kill(name))
  await anybodyGetsIn()
  await visit()
  const goodbye = 'ClientInitiatedDisconnect'
  const expected = [1, 2, 3].flatMap((number) => [
    ['Connected', number],
    ['Disconnected', number, goodbye],
  ])
  const told = await until('all are told', soonMs, async () => {
    // One that is written again by the next router is the same event.
    const distinct = [...new Map(of(await events(), 'numbered').map((event) => [JSON.stringify(event), event])).values()]
    return distinct.length >= 6 && distinct
  })
  expect(told).toEqual(expected)
})

test('LC-01 LC-07 an event subscription of $lifecycle is received from like any other: CloudEvents, quick changes of a client as one', async () => {
  const deliveryConfiguration = { deliveryMode: 'Queue', queue: { receiveLockDurationInSeconds: 300 } }
  const filtersConfiguration = { filters: [{ operatorType: 'StringIn', key: 'data.clientAuthenticationName', values: ['watched'] }] }
  await put(stack, 'topics/$lifecycle/eventSubscriptions/watch', { deliveryConfiguration, filtersConfiguration })
  const client = await attach('watched', { username: 'watched' })
  const received: Event[] = []
  const receive = async (count: number) =>
    until(`${count} events are received`, 60_000, async () => {
      const path = '/topics/$lifecycle/eventsubscriptions/watch:receive?maxEvents=10&maxWaitTime=10'
      const { status, body } = await stack.api('POST', path)
      // The subscription is known to the router within moments.
      if (status === 200) received.push(...(body as { readonly value: readonly { readonly event: Event }[] }).value.map(({ event }) => event))
      return received.length >= count
    })
  await receive(1)
  expect(received[0]).toEqual({
    specversion: '1.0',
    id: expect.stringMatching(/^[0-9a-f-]{36}$/),
    time: expect.any(String),
    type: 'Microsoft.EventGrid.MQTTClientSessionConnected',
    source: '/namespaces/default',
    subject: 'clients/watched/sessions/watched',
    data: { namespaceName: 'default', clientAuthenticationName: 'watched', clientSessionName: 'watched', sequenceNumber: 1 },
  })
  client.destroy()
  await receive(2)
  expect(received[1]?.data).toMatchObject({ sequenceNumber: 1, disconnectionReason: 'ConnectionLost' })
  const body = (floor: number) => ({ authenticationName: 'watched', attributes: { floor }, clientCertificateAuthentication: {} })
  for (const floor of [1, 2, 3]) expect((await stack.api('PUT', '/namespaces/default/clients/watched', body(floor))).status).toBeLessThan(300)
  // How many come hangs on how quick the changes were: that three at once are one is held by the unit tests of the fold.
  await until('the last change is received', 60_000, async () => {
    await receive(received.length + 1)
    return JSON.stringify(received.at(-1)?.data.attributes) === '{"floor":3}'
  })
  for (const { type } of received.slice(2)) expect(type).toBe('Microsoft.EventGrid.MQTTClientCreatedOrUpdated')
}, 120_000)

test('LC-03 LC-04 a client that is made, changed and deleted is told of with its attributes', async () => {
  const body = (floor: number) => ({ authenticationName: 'lamp', attributes: { kind: 'lamp', floor, rooms: ['a', 'b'] }, clientCertificateAuthentication: {} })
  await put(stack, 'clients/lamp-1', body(1))
  await put(stack, 'clients/lamp-1', body(2))
  await remove(stack, 'clients/lamp-1')
  const told = await until('all are told', soonMs, async () => {
    const all = (await events()).filter(({ subject }) => subject === 'clients/lamp-1')
    return all.length === 3 && all
  })
  expect(told.map(({ type }) => type.split('.').at(-1))).toEqual(['MQTTClientCreatedOrUpdated', 'MQTTClientCreatedOrUpdated', 'MQTTClientDeleted'])
  expect(told[1]?.data).toEqual({
    createdOn: told[0]?.data.createdOn,
    updatedOn: told[1]?.time,
    namespaceName: 'default',
    clientName: 'lamp-1',
    clientAuthenticationName: 'lamp',
    state: 'Enabled',
    attributes: { kind: 'lamp', floor: 2, rooms: ['a', 'b'] },
  })
  expect(told[2]?.data).toEqual({ namespaceName: 'default', clientName: 'lamp-1', clientAuthenticationName: 'lamp' })
})
