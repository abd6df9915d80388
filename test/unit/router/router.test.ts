import { describe, expect, jest, test } from '@jest/globals'
import { MemoryLog } from '../../../log/memory-log.ts'
import { partitionOf } from '../../../log/partitioner.ts'
import { namespaceTopicName } from '../../../log/topics.ts'
import { Payloads } from '../../../router/payloads.ts'
import { encodeRecord } from '../../../schemas/codec.ts'
import { inFrozenTime } from '../../simulation/frozen-time.ts'
import type { SimGateway } from '../../simulation/sim-gateway.ts'
import { type RouterProcess, World } from '../../simulation/world.ts'

let world: World

inFrozenTime(() => world)

async function given(environment: Readonly<Record<string, string>> = {}): Promise<{ router: RouterProcess; gateway: SimGateway }> {
  world = await new World({ environment }).start()
  const gateway = await world.startGateway('gw')
  return { gateway, router: await world.startRouter('r1') }
}

/** Names of records in the shard of a client. */
const journal = (topic: 'sessions' | 'inbox', clientId: string) =>
  world.records(topic, partitionOf(Buffer.from(clientId), world.partitions)).map(({ record }) => record)

async function connected(gateway: SimGateway, clientId: string, options: Parameters<SimGateway['connect']>[1] = {}) {
  const connection = gateway.connect(clientId, options)
  await world.until(() => connection.phase !== 'attaching', `${clientId} is answered`)
  return connection
}

const received = (connection: { texts: string[] }, count: number) =>
  world.until(() => connection.texts.length >= count, `${count} deliveries, got ${connection.texts}`)

describe('attach', () => {
  test('is answered with the session, and with session present on return', async () => {
    const { gateway } = await given()
    const first = await connected(gateway, 'c')
    expect([first.phase, first.session, first.sessionPresent]).toEqual(['open', first.epoch, false])
    first.close('ClientInitiatedDisconnect')
    const second = await connected(gateway, 'c')
    expect([second.session, second.sessionPresent]).toEqual([first.session, true])
  })

  test('is answered with the filters of the session, and with their number when they are more than 64 KiB', async () => {
    const { gateway } = await given()
    const filters = Array.from({ length: 656 }, (_, i) => String(i).padEnd(100, '.'))
    const answered = async (): Promise<readonly string[] | number> => {
      const connection = await connected(gateway, 'c')
      await connection.subscribe(...filters.splice(0, 655))
      connection.close('ClientInitiatedDisconnect')
      return connection.filters
    }
    expect([await answered(), await answered(), await answered()]).toEqual([[], Array.from({ length: 655 }, (_, i) => String(i).padEnd(100, '.')), 656])
  })

  test('by another identity is refused with 0x87 [SE-04]', async () => {
    const { gateway } = await given()
    await connected(gateway, 'c', { name: 'owner' })
    expect((await connected(gateway, 'c', { name: 'thief' })).closedWith).toEqual({ reasonCode: 0x87, reason: 'refused' })
  })

  test('takes over: the older connection is closed with 0x8E, on another gateway too', async () => {
    const { gateway } = await given()
    const other = await world.startGateway('other')
    const old = await connected(gateway, 'c')
    const young = await connected(other, 'c')
    await world.until(() => old.phase === 'closed', 'the old one is closed')
    expect([old.closedWith, young.phase, young.session]).toEqual([{ reasonCode: 0x8e, reason: 'SessionTakenOver' }, 'open', old.session])
  })

  test('that came while no router was there is answered by the next', async () => {
    world = await new World().start()
    const gateway = await world.startGateway('gw')
    const connection = gateway.connect('c')
    await world.turns(50)
    expect(connection.phase).toBe('attaching')
    await world.startRouter('r1')
    await world.until(() => connection.phase === 'open', 'it is answered')
  })
})

describe('delivery', () => {
  test('what is published after the SUBACK reaches a connection that keeps nothing, directly', async () => {
    const { gateway } = await given()
    const connection = await connected(gateway, 'c', { expiry: 0, cleanStart: true })
    await connection.subscribe('a/+')
    await gateway.publish('a/b', 'one')
    await gateway.publish('a/b', 'zero', { qos: 0 })
    await gateway.publish('b', 'other')
    await received(connection, 2)
    expect(connection.received.map(({ text, qos, number }) => [text, qos, number])).toEqual([
      ['one', 1, -1],
      ['zero', 0, -1],
    ])
    expect(journal('inbox', 'c').filter(({ name }) => name === 'Indexed')).toEqual([])
  })

  test('a persistent session is owed what it subscribed to, within its window; acknowledgements move the cursor in the journal', async () => {
    const { gateway } = await given()
    const connection = await connected(gateway, 'c', { receiveMaximum: 2 })
    await connection.subscribe('a')
    for (const text of ['0', '1', '2', '3']) await gateway.publish('a', text)
    await received(connection, 2)
    await world.pass(1_000)
    expect(connection.texts).toEqual(['0', '1'])
    for (const delivery of [...connection.received]) connection.acknowledge(delivery)
    await received(connection, 4)
    await world.until(
      () => journal('inbox', 'c').some(({ name, value }) => name === 'Acknowledged' && 'sessions' in value && value.sessions[0]?.cursor === 2),
      'the cursor moves',
    )
  })

  test('what came while it was away waits; what was sent and not acknowledged comes again with DUP, in order', async () => {
    const { gateway } = await given()
    const first = await connected(gateway, 'c', { receiveMaximum: 2 })
    await first.subscribe('a')
    for (const text of ['0', '1', '2']) await gateway.publish('a', text)
    await received(first, 2)
    first.close('ConnectionLost')
    await gateway.publish('a', '3')
    const second = await connected(gateway, 'c')
    await received(second, 4)
    expect(second.texts).toEqual(['0 dup', '1 dup', '2', '3'])
  })

  test('what one fetch brought of all shards is matched after one look at the sessions', async () => {
    const { gateway } = await given()
    const connection = await connected(gateway, 'c', { expiry: 0, cleanStart: true })
    await connection.subscribe('#')
    const topics = Array.from({ length: 20 }, (_, i) => `topic-${i}`)
    const shards = new Set(topics.map((topic) => partitionOf(Buffer.from(topic), world.partitions)))
    const looks = jest.spyOn(MemoryLog.prototype, 'readMany')
    try {
      await Promise.all(topics.map((topic) => gateway.publish(topic, topic)))
      await received(connection, topics.length)
      expect([shards.size, looks.mock.calls.length]).toEqual([world.partitions, 1])
    } finally {
      looks.mockRestore()
    }
  })

  test('records are kept for later only where a session is owed one of them', async () => {
    const { gateway } = await given()
    const keep = jest.spyOn(Payloads.prototype, 'keep')
    try {
      const direct = await connected(gateway, 'direct', { expiry: 0, cleanStart: true })
      await direct.subscribe('#')
      await gateway.publish('a', 'direct')
      await received(direct, 1)
      expect(keep).not.toHaveBeenCalled()
      const owed = await connected(gateway, 'owed')
      await owed.subscribe('a')
      await gateway.publish('a', 'owed')
      await received(owed, 1)
      expect(keep.mock.calls.map(([{ records }]) => records.length)).toEqual([1])
    } finally {
      keep.mockRestore()
    }
  })

  test('an unsubscribed session gets no more', async () => {
    const { gateway } = await given()
    const connection = await connected(gateway, 'c')
    await connection.subscribe('a', 'b')
    await connection.unsubscribe('a')
    await gateway.publish('a', 'no')
    await gateway.publish('b', 'yes')
    await received(connection, 1)
    await world.pass(500)
    expect(connection.texts).toEqual(['yes'])
  })

  test('a link that is lost is made good on the next one, without repeats', async () => {
    const { gateway } = await given()
    const connection = await connected(gateway, 'c', { receiveMaximum: 100 })
    const transient = await connected(gateway, 't', { expiry: 0, cleanStart: true })
    await Promise.all([connection.subscribe('a'), transient.subscribe('a')])
    for (let round = 0; round < 5; round++) {
      for (let i = 0; i < 10; i++) void gateway.publish('a', `${round}.${i}`)
      await world.turns(round * 3)
      gateway.cut()
      await world.turns(round)
    }
    await received(connection, 50)
    await received(transient, 50)
    const all = Array.from({ length: 50 }, (_, i) => `${Math.floor(i / 10)}.${i % 10}`)
    expect([connection.texts, transient.texts]).toEqual([all, all])
  })

  test('nothing goes past what was lost with a link, however busy the next one begins', async () => {
    const { gateway } = await given()
    const connection = await connected(gateway, 'c', { receiveMaximum: 1_000 })
    await connection.subscribe('a')
    let count = 0
    for (let round = 0; round < 8; round++) {
      for (let i = 0; i < 5; i++) void gateway.publish('a', `${count++}`)
      await world.turns(round)
      gateway.cut()
      await world.turns(1)
      jest.advanceTimersByTime(100)
      for (let turn = 0; turn < 15; turn++) {
        void gateway.publish('a', `${count++}`)
        await world.turns(1)
      }
    }
    await received(connection, count)
    expect(connection.texts).toEqual(Array.from({ length: count }, (_, i) => `${i}`))
  })

  test('a message that expired in the queue is dropped with its reason in the journal', async () => {
    const { gateway } = await given()
    const first = await connected(gateway, 'c')
    await first.subscribe('a')
    first.close('ConnectionLost')
    await gateway.publish('a', 'late', { messageExpiryInterval: 5 })
    await gateway.publish('a', 'good')
    await world.pass(6_000)
    const second = await connected(gateway, 'c')
    await received(second, 1)
    expect(second.texts).toEqual(['good'])
    await world.until(
      () => journal('inbox', 'c').some(({ name, value }) => name === 'Dropped' && 'reason' in value && value.reason === 'expired'),
      'it is journaled',
    )
  })
})

describe('ends', () => {
  test('a session without a connection expires', async () => {
    const { gateway } = await given()
    const connection = await connected(gateway, 'c', { expiry: 10 })
    connection.close('ConnectionLost')
    await world.pass(9_000)
    expect(journal('sessions', 'c').map(({ name }) => name)).not.toContain('SessionEnded')
    await world.until(
      () => journal('sessions', 'c').some(({ name, value }) => name === 'SessionEnded' && value.reason === 'SessionExpiry'),
      'it expires',
      4_000,
    )
    expect((await connected(gateway, 'c')).sessionPresent).toBe(false)
  })

  test('a session that came back in time expires after its next connection', async () => {
    const { gateway } = await given()
    for (let i = 0; i < 3; i++) {
      const connection = await connected(gateway, 'c', { expiry: 5 })
      expect(connection.sessionPresent).toBe(i > 0)
      await world.pass(10_000)
      connection.close('ConnectionLost')
      await world.pass(3_000)
    }
    await world.pass(4_000)
    expect((await connected(gateway, 'c')).sessionPresent).toBe(false)
  })

  test('a session that came back just before it was given up expires after its next connection all the same', async () => {
    const { gateway } = await given()
    const first = await connected(gateway, 'c', { expiry: 10 })
    first.close('ConnectionLost')
    await world.pass(9_800)
    const second = gateway.connect('c', { expiry: 10 })
    // The expiry is decided before the router hears of the attach, and comes behind it in the log.
    jest.advanceTimersByTime(2_000)
    await world.until(() => second.phase === 'open', 'it is answered')
    const ends = () => journal('sessions', 'c').filter(({ name }) => name === 'SessionEnded')
    expect([second.sessionPresent, ends().length]).toEqual([true, 1])
    second.close('ConnectionLost')
    await world.until(() => ends().length === 2, 'it expires', 13_000)
  })

  test('a queue over its limit ends the session; its connection is told 0x97', async () => {
    const { gateway } = await given({ SESSION_QUEUE_MESSAGES_MAX: '5' })
    const connection = await connected(gateway, 'c', { receiveMaximum: 1 })
    await connection.subscribe('a')
    for (let i = 0; i < 8; i++) void gateway.publish('a', `${i}`)
    await world.until(() => connection.phase === 'closed', 'it is closed')
    expect(connection.closedWith).toEqual({ reasonCode: 0x97, reason: 'SessionOverflow' })
    expect((await connected(gateway, 'c')).sessionPresent).toBe(false)
  })

  test('sessions of a gateway that died are detached, by its next incarnation or after its silence', async () => {
    const { gateway } = await given({ GATEWAY_LOST: '4000' })
    const other = await world.startGateway('other')
    await connected(gateway, 'c')
    await connected(other, 'd')
    gateway.crash()
    other.crash()
    await world.startGateway('gw')
    const detaches = (clientId: string) => journal('sessions', clientId).filter(({ name, value }) => name === 'Detached' && value.clientId === clientId)
    await world.until(() => detaches('c').length > 0, 'c is detached', 1_000)
    expect(detaches('d')).toEqual([])
    await world.until(() => detaches('d').length > 0, 'd is detached', 7_000)
    await world.pass(5_000)
    expect([detaches('c').length, detaches('d').length]).toEqual([1, 1])
    expect(detaches('c')[0]?.value).toMatchObject({ by: 'router', reason: 'ServerError' })
  })
})

describe('revocation', () => {
  test('ends what it allowed: subscription, connection and what is queued already', async () => {
    const { gateway } = await given()
    await world.register('topicSpaces', 'all', { topicTemplates: ['#'] })
    await world.register('topicSpaces', 'secret', { topicTemplates: ['secret/#'] })
    await world.register('permissionBindings', 'secret-sub', { clientGroupName: '$anonymous', topicSpaceName: 'secret', permission: 'Subscriber' })
    const first = await connected(gateway, 'c')
    await first.subscribe('secret/a', 'open')
    first.close('ConnectionLost')
    await gateway.publish('secret/a', 'hidden')
    await gateway.publish('open', 'shown')
    await world.pass(500)
    await world.register('permissionBindings', 'secret-sub', null)
    await world.register('topicSpaces', 'all', { topicTemplates: ['open'] })
    await world.until(() => journal('sessions', 'c').some(({ name }) => name === 'Unsubscribed'), 'it is revoked')
    const second = await connected(gateway, 'c')
    await received(second, 1)
    await world.pass(500)
    expect(second.texts).toEqual(['shown'])
  })

  test('closes a connected subscriber with 0x87', async () => {
    const { gateway } = await given()
    const connection = await connected(gateway, 'c')
    await connection.subscribe('a')
    await world.register('permissionBindings', 'all-sub', null)
    await world.until(() => connection.phase === 'closed', 'it is closed')
    expect(connection.closedWith).toEqual({ reasonCode: 0x87, reason: 'ClientAuthorizationError' })
  })

  test('holds for what was queued before another router took over', async () => {
    const { gateway, router } = await given()
    const first = await connected(gateway, 'c')
    await first.subscribe('a', 'b')
    first.close('ConnectionLost')
    await gateway.publish('a', 'hidden')
    await gateway.publish('b', 'shown')
    await world.pass(500)
    router.kill()
    await world.register('topicSpaces', 'all', { topicTemplates: ['b'] })
    const r2 = await world.startRouter('r2')
    await world.until(() => journal('sessions', 'c').some(({ name }) => name === 'Unsubscribed'), 'it is revoked')
    r2.kill()
    await world.startRouter('r3')
    const second = await connected(gateway, 'c')
    await received(second, 1)
    await world.pass(500)
    expect(second.received.map(({ text }) => text)).toEqual(['shown'])
  })
})

describe('another router', () => {
  test('goes on mid-stream: nothing is lost, and nothing comes twice on a connection that lives on', async () => {
    const { gateway, router } = await given()
    const connection = await connected(gateway, 'c', { receiveMaximum: 20, onDelivery: (each, delivery) => setImmediate(() => each.acknowledge(delivery)) })
    const transient = await connected(gateway, 't', { expiry: 0, cleanStart: true })
    await Promise.all([connection.subscribe('a'), transient.subscribe('a')])
    for (let i = 0; i < 60; i++) {
      void gateway.publish('a', `${i}`)
      await world.turns(1)
      if (i === 30) router.kill()
    }
    await world.startRouter('r2')
    for (let i = 60; i < 80; i++) void gateway.publish('a', `${i}`)
    await received(connection, 80)
    await received(transient, 80)
    await world.pass(1_000)
    const all = Array.from({ length: 80 }, (_, i) => `${i}`)
    expect([connection.received.map(({ text }) => text), transient.received.map(({ text }) => text)]).toEqual([all, all])
  })

  test('goes on from a snapshot after an orderly stop, with sequence numbers and queues', async () => {
    const { gateway, router } = await given()
    const first = await connected(gateway, 'c')
    await first.subscribe('a')
    await gateway.publish('a', '0')
    await received(first, 1)
    first.close('ConnectionLost')
    await gateway.publish('a', '1')
    await world.pass(1_000)
    await router.stop()
    // All that the snapshot covers may leave the log.
    for (let partition = 0; partition < world.partitions; partition++) {
      for (const topic of ['sessions', 'inbox'] as const) {
        const end = world.store.partition(world.topics[topic], partition)?.endOffset ?? 0
        world.store.truncate(world.topics[topic], partition, end)
      }
    }
    await world.startRouter('r2')
    const second = await connected(gateway, 'c')
    await received(second, 2)
    expect([second.sessionPresent, second.received.map(({ text }) => text)]).toEqual([true, ['0', '1']])
    await gateway.publish('a', '2')
    await received(second, 3)
    const events = Array.from({ length: world.partitions }, (_, partition) => world.records('lifecycle', partition)).flat()
    expect(
      events.map(({ record }) => record.name === 'LifecycleEvent' && [record.value.type.split('Session')[1], JSON.parse(record.value.data).sequenceNumber]),
    ).toEqual([
      ['Connected', 1],
      ['Disconnected', 1],
      ['Connected', 2],
    ])
  })

  test('marks what the one before may have sent on a connection that no gateway told it of', async () => {
    const { gateway, router } = await given()
    const first = await connected(gateway, 'c')
    await first.subscribe('a')
    first.close('ConnectionLost')
    // r2 gets the shards but does not reach the gateway; r1 goes on without knowing.
    gateway.refused.add('r2')
    await router.log.expel()
    await world.startRouter('r2')
    const second = gateway.connect('c')
    await gateway.publish('a', '0')
    await world.pass(1_000)
    second.close('ConnectionLost')
    await world.pass(500)
    router.kill()
    gateway.refused.clear()
    const third = await connected(gateway, 'c')
    await received(third, 1)
    expect(third.texts).toEqual(['0 dup'])
  })

  test('shares the shards with the first, and a stale one that goes on working changes nothing', async () => {
    const { gateway, router } = await given()
    const connection = await connected(gateway, 'c', { onDelivery: (each, delivery) => setImmediate(() => each.acknowledge(delivery)) })
    const other = await connected(gateway, 'd', { onDelivery: (each, delivery) => setImmediate(() => each.acknowledge(delivery)) })
    await Promise.all([connection.subscribe('a', 'b'), other.subscribe('a', 'b')])
    // The group takes the shards away from r1, which does not hear of it and goes on.
    await router.log.expel()
    await world.startRouter('r2')
    setTimeout(() => void router.log.hear(), 1_500)
    for (let i = 0; i < 20; i++) {
      void gateway.publish(i % 2 ? 'a' : 'b', `${i}`)
      await world.turns(2)
    }
    await received(connection, 20)
    await received(other, 20)
    await world.pass(2_000)
    for (const each of [connection, other]) {
      expect(each.received.length).toBe(20)
      for (const parity of [0, 1]) {
        const ofTopic = each.received.map(({ text }) => Number(text)).filter((n) => n % 2 === parity)
        expect(ofTopic).toEqual([...ofTopic].sort((a, b) => a - b))
      }
    }
    expect(router.failures).toEqual([])
  })

  test('ends at a message under an id that no schema registry has told it, and does not pass it over; damaged ones it passes over', async () => {
    const { router } = await given()
    const appender = await new MemoryLog(world.store).appender()
    const key = Buffer.from('t')
    const publish = (value: Buffer): Promise<number> => appender.write({ topic: world.topics.messages, partition: 0, key, value, timestamp: world.now() })
    await publish(Buffer.from('damaged'))
    await world.pass(3_000)
    expect(router.failures).toEqual([])
    await publish(Buffer.from([0, 0, 0, 0, 9, 1, 2, 3]))
    await world.until(() => router.failures.length > 0, 'it ends')
    expect(router.failures).toEqual([expect.objectContaining({ name: 'UnknownSchemaId', id: 9 })])
  })

  test('takes a shard whose sessions have a damaged record among them, which it passes over', async () => {
    const { gateway, router } = await given()
    const appender = await new MemoryLog(world.store).appender()
    await appender.write({ topic: world.topics.sessions, partition: 0, key: Buffer.from('damaged'), value: Buffer.from('damaged'), timestamp: world.now() })
    await world.pass(3_000)
    expect(router.failures).toEqual([])
    // Its last snapshot stands before the record.
    router.kill()
    const next = await world.startRouter('r2')
    expect(next.failures).toEqual([])
    const connection = gateway.connect('c1')
    await world.until(() => connection.phase === 'open', 'it is answered')
  })

  test('gives up the shard alone in which the log refuses a retained message, because another router has been there, and takes it again', async () => {
    const { gateway, router } = await given()
    const shard = partitionOf(Buffer.from('kept'), world.partitions)
    const other = await new MemoryLog(world.store).appender({ transactionalId: `${world.topics.snapshots}.shard-${shard}` })
    await other.fence(world.topics.retained, [shard])
    await gateway.publish('kept', 'text', { qos: 1, retain: true })
    const taken = (): number => world.records('inbox', shard).filter(({ record }) => record.name === 'ShardOwned' && record.value.shard === shard).length
    await world.until(() => taken() === 2, 'it takes the shard again')
    await world.until(() => world.records('retained', shard).some(({ record }) => record.name === 'Retained'), 'the message is retained')
    expect(router.failures).toEqual([])
  })

  test('gives up the shard alone in which the log refuses what an event subscription writes, and takes it again', async () => {
    const { router } = await given()
    await world.register('topics', 'doors', { eventRetentionInDays: 1, inputSchema: 'CloudEventSchemaV1_0', publisherType: 'Custom', partitions: 1 })
    const topic = namespaceTopicName({ names: world.topics }, 'doors')
    const log = new MemoryLog(world.store)
    await log.createTopics([{ name: topic, partitions: 1, replication: 1, settings: {} }])
    const appender = await log.appender()
    const header = (name: string, value: string) => ({ name, value: Buffer.from(value) })
    const headers = [header('ce_specversion', '1.0'), header('ce_id', '1'), header('ce_source', 's'), header('ce_type', 'opened')]
    const publish = () => appender.write({ topic, partition: 0, key: null, value: Buffer.from('1'), timestamp: world.now(), headers })
    await publish()
    // It passes over the event, and writes that it has.
    await world.register('eventSubscriptions', 'doors/closed', {
      deliveryConfiguration: { deliveryMode: 'Queue', queue: { receiveLockDurationInSeconds: 60, maxDeliveryCount: 10, eventTimeToLive: 'P7D' } },
      eventDeliverySchema: 'CloudEventSchemaV1_0',
      filtersConfiguration: { includedEventTypes: ['closed'] },
      start: { id: '1', offsets: [0] },
    })
    const shard = partitionOf('doors/closed', world.partitions)
    const position = (): number | undefined =>
      world
        .records('deliveries', shard)
        .flatMap(({ record }) => (record.name === 'SubscriptionCursor' ? [record.value.position] : []))
        .at(-1)
    await world.until(() => position() === 1, 'it has passed over the first')
    const other = await new MemoryLog(world.store).appender({ transactionalId: `${world.topics.snapshots}.shard-${shard}` })
    await other.fence(world.topics.deliveries, [shard])
    await publish()
    const taken = (): number => world.records('inbox', shard).filter(({ record }) => record.name === 'ShardOwned' && record.value.shard === shard).length
    await world.until(() => taken() === 2, 'it takes the shard again')
    await world.until(() => position() === 2, 'it has passed over the second')
    expect(router.failures).toEqual([])
  })

  test('takes a shard again that another one took while its event subscriptions were still being read', async () => {
    const { router } = await given()
    const { log } = router
    const appender = await new MemoryLog(world.store).appender()
    const owned = (): readonly number[] =>
      (router.router.status() as { readonly shards: readonly { readonly shard: number }[] }).shards.map(({ shard }) => shard)
    /** As one does that is late with what the group had given it before. */
    const takeAway = async (): Promise<void> => {
      const value = encodeRecord('ShardOwned', { shard: 0, router: 'late', at: world.now() })
      await appender.write({ topic: world.topics.inbox, partition: 0, key: null, value, timestamp: world.now() })
      await world.until(() => !owned().includes(0), 'it hears that the shard is not its own')
    }
    const isReleased = Promise.withResolvers<void>()
    const endOffsets = log.endOffsets.bind(log)
    let isHeld = false
    log.endOffsets = async (topic) => {
      if (topic === world.topics.registry && owned().includes(0)) {
        isHeld = true
        await isReleased.promise
      }
      return endOffsets(topic)
    }
    await takeAway()
    await world.until(() => isHeld, 'it takes the shard again')
    await takeAway()
    await world.pass(3_000)
    isReleased.resolve()
    await world.until(() => owned().includes(0), 'the shard is served again')
    expect(router.failures).toEqual([])
  })
})
