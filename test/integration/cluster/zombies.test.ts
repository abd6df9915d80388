/**
 * Processes and clients that are held past every lease and then go on where they stood: what they still write and send
 * changes nothing – not for the clients, not in what the topics say when they are folded, not after compaction.
 */

import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals'
import { Cluster, type Connected, type Member, publish, receive, subscribe } from '../../support/cluster.ts'
import { compact } from '../../support/compaction.ts'
import { isSettled, messagesState, retainedState, sessionsState } from '../../support/log-state.ts'
import { until } from '../../support/stack.ts'
import * as mqtt from '../../wire/bytes.ts'
import type { Wire } from '../../wire/wire.ts'

let cluster: Cluster
let root = ''
const gatewayLostMs = 7_000

beforeAll(async () => {
  const environment = {
    KAFKA_SESSION_TIMEOUT_MS: '1500',
    SHARD_SILENCE: '3500',
    GATEWAY_LOST: `${gatewayLostMs}`,
    GATEWAY_STALL: '2000',
    SNAPSHOT_RECORDS: '100',
  }
  cluster = await Cluster.start({ environment })
}, 120_000)

afterAll(async () => {
  await cluster?.stop()
}, 60_000)

beforeEach(async () => {
  await cluster.whole()
  root = `zombies/${Math.random().toString(36).slice(2, 8)}`
}, 120_000)

const will = (topic: string) => ({ flags: 2 | 4 | 8, extra: Buffer.concat([mqtt.properties(5), mqtt.text(topic), mqtt.text('the will')]) })
const kept = { clean: false, expiry: 3_600 }

/** What the topics say of this test's clients and topics. */
async function state(): Promise<{ readonly sessions: object; readonly retained: object; readonly messages: readonly string[] }> {
  const ours = <T>(all: Readonly<Record<string, T>>) => Object.fromEntries(Object.entries(all).filter(([name]) => name.startsWith(root)))
  const messages = (await messagesState(cluster))
    .filter(({ topic }) => topic.startsWith(root))
    .map(({ topic, payload, gateway }) => `${gateway} ${topic} ${payload}`)
  return { sessions: ours(await sessionsState(cluster)), retained: ours(await retainedState(cluster)), messages }
}

const lostGateways = async () => (await Promise.all(cluster.routers.map((each) => each.metric('loggerhead_gateways_lost_total')))).reduce((a, b) => a + b, 0)

for (const isLost of [true, false]) {
  test(isLost ? 'a gateway that was declared lost' : 'a gateway whose clients went on at another before anybody missed it', async () => {
    const zombie = cluster.gateways[1] as Member
    const connect = (at: number, name: string, more: object = {}) => cluster.connect(at, { clientId: `${root}/${name}`, ...kept, ...more })
    const { wire: watcher } = await connect(0, 'watcher')
    await subscribe(watcher, `${root}/#`)
    const names = ['once', 'twice', 'retaining', 'receiving', 'subscribing', 'leaving'] as const
    const old = Object.fromEntries(await Promise.all(names.map(async (name) => [name, (await connect(1, name)).wire]))) as Record<(typeof names)[number], Wire>
    await connect(1, 'willed', { ...will(`${root}/will`), flags: 4 | 8 })
    await subscribe(old.subscribing, `${root}/kept`)
    await subscribe(old.receiving, `${root}/owed`)
    await publish(old.retaining, `${root}/retained`, 'old', { retain: true })
    await publish(watcher, `${root}/owed`, 'owed')
    const owed = await old.receiving.find('publish')
    // It has decided about their topics: what comes late needs no view of the registry.
    await publish(old.once, `${root}/once`, 'first')
    await publish(old.twice, `${root}/twice`, 'first', { qos: 2 })
    old.twice.send(mqtt.publish({ version: 5, topic: `${root}/twice`, payload: 'half done', qos: 2, id: 1 }))
    await old.twice.find('pubrec')

    const lost = await lostGateways()
    zombie.pause()
    const pausedAt = performance.now()
    // What it will find when it goes on.
    const late = (topic: string, qos: number, id: number, more: object = {}) =>
      mqtt.publish({ version: 5, topic: `${root}/${topic}`, payload: 'late', qos, id, ...more })
    old.once.send(late('once', 1, 7))
    old.twice.send(mqtt.pubrel(1), late('twice', 2, 2))
    old.retaining.send(late('retained', 1, 7, { retain: true }))
    old.receiving.send(mqtt.puback(owed.id))
    old.subscribing.send(mqtt.subscribe(5, 7, [[`${root}/late`, 1]]), mqtt.unsubscribe(5, 8, [`${root}/kept`]))
    old.leaving.send(mqtt.disconnect(5, 0, [[mqtt.Property.sessionExpiryInterval, 0]]))

    const now = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await connect(0, name)]))) as Record<(typeof names)[number], Connected>
    for (const { present } of Object.values(now)) expect(present).toBe(true)
    // The clients go on: they send again what was not answered, and more.
    await publish(now.once.wire, `${root}/once`, 'late')
    await publish(now.once.wire, `${root}/once`, 'newest')
    now.twice.wire.send(mqtt.pubrel(1))
    expect((await now.twice.wire.find('pubcomp')).code).toBe(0)
    now.twice.wire.send(late('twice', 2, 2, { dup: true }))
    await now.twice.wire.find('pubrec')
    now.twice.wire.send(mqtt.pubrel(2))
    await now.twice.wire.find('pubcomp')
    await publish(now.retaining.wire, `${root}/retained`, 'late', { retain: true })
    await publish(now.retaining.wire, `${root}/retained`, 'newest', { retain: true })
    const again = await now.receiving.wire.find('publish')
    expect([again.payload.toString(), again.dup]).toEqual(['owed', true])

    const expected = ['old', 'owed', 'first', 'first', 'half done', 'late', 'newest', 'late', 'late', 'newest', ...(isLost ? ['the will'] : [])]
    expect((await receive(watcher, expected.length)).sort()).toEqual(expected.sort())
    if (isLost) await until('the gateway counts as lost', 30_000, async () => (await lostGateways()) >= lost + 2)
    else await until('it was no busy moment', 30_000, () => performance.now() - pausedAt > 2_500)
    await until('all is journaled', 30_000, () => isSettled(cluster))
    const before = await state()

    zombie.resume()
    await until('the gateway is itself again', 30_000, async () => {
      const { attached, shardsWithoutRouter } = await zombie.status<{ attached: number; shardsWithoutRouter: number[] }>()
      // Who did not go elsewhere is still there, unless it was given up.
      return attached === (isLost ? 0 : 1) && shardsWithoutRouter.length === 0
    })
    await publish(watcher, `other/${root}`, 'the routers have seen all before this')
    await until('all is journaled', 30_000, () => isSettled(cluster))
    expect(await state()).toEqual(before)

    // And nobody notices: connections stand, and every flow goes on.
    for (const { wire } of Object.values(now)) expect(wire.isClosed).toBe(false)
    await publish(now.leaving.wire, `${root}/late`, 'for nobody but the watcher')
    await publish(now.leaving.wire, `${root}/kept`, 'for both')
    expect(await receive(now.subscribing.wire, 1)).toEqual(['for both'])
    expect(await receive(watcher, 2)).toEqual(['for nobody but the watcher', 'for both'])
    now.receiving.wire.send(mqtt.puback(again.id))
    await publish(watcher, `${root}/owed`, 'next')
    expect(await receive(now.receiving.wire, 1)).toEqual(['next'])
    const { wire: visitor } = await cluster.connect(1, { clientId: `${root}/visitor` })
    await subscribe(visitor, `${root}/retained`)
    expect(await receive(visitor, 1)).toEqual(['newest'])
  }, 120_000)
}

test('a router whose shards are another’s', async () => {
  const zombie = cluster.routers[1] as Member
  const heir = cluster.routers[0] as Member
  const shard = (await cluster.shardsOf(zombie))[0] as number
  const inIt = (name: string) => cluster.inShard(shard, `${root}/${name}`)
  const [owner, persistent, transient, willed] = ['publisher', 'persistent', 'transient', 'willed'].map(inIt) as [string, string, string, string]
  const topic = inIt('topic')
  const publisher = await cluster.connect(0, { clientId: owner })
  const [keeps, ends] = [await cluster.connect(0, { clientId: persistent, ...kept }), await cluster.connect(1, { clientId: transient })]
  const mortal = await cluster.connect(1, { clientId: willed, expiry: 3_600, ...will(`${root}/will`) })
  for (const { wire } of [keeps, ends]) await subscribe(wire, `${root}/#`)
  await publish(publisher.wire, topic, 'first', { retain: true })
  for (const { wire } of [keeps, ends]) expect(await receive(wire, 1)).toEqual(['first'])
  // Else the heir would send what is retained to these new subscriptions once more.
  await until('all is journaled', 30_000, () => isSettled(cluster))
  await publish(publisher.wire, topic, 'unacknowledged')
  const [pending] = await Promise.all([keeps.wire.find('publish'), receive(ends.wire, 1)])

  zombie.pause()
  // In the middle of everything: what it owned is published on, subscribed to, acknowledged and retained meanwhile.
  await publish(publisher.wire, topic, 'second', { retain: true })
  await publish(publisher.wire, topic, 'third', { qos: 2, retain: true })
  await subscribe(ends.wire, inIt('further'))
  keeps.wire.send(mqtt.puback(pending.id))
  await until('its shards are the other’s', 30_000, async () => (await cluster.shardsOf(heir)).length === cluster.partitions)
  for (const { wire } of [keeps, ends]) expect(await receive(wire, 2)).toEqual(['second', 'third'])
  // Past the time after which it will hold every gateway for lost.
  const since = performance.now()
  await until('every lease is over', 30_000, () => performance.now() - since > gatewayLostMs)
  await until('all is journaled', 30_000, () => isSettled(cluster))
  const before = await state()

  zombie.resume()
  await until('it is a member again', 30_000, async () => (await cluster.shardsOf(zombie)).length > 0)
  await cluster.untilServed()
  await publish(publisher.wire, `other/${root}`, 'all have seen all before this')
  await until('all is journaled', 30_000, () => isSettled(cluster))
  expect(await state()).toEqual(before)
  for (const { wire } of [publisher, keeps, ends, mortal]) expect(wire.isClosed).toBe(false)
  await publish(publisher.wire, topic, 'last')
  for (const { wire } of [keeps, ends]) expect(await receive(wire, 1)).toEqual(['last'])
  const { wire: visitor } = await cluster.connect(1, { clientId: `${root}/visitor` })
  await subscribe(visitor, topic)
  expect(await receive(visitor, 1)).toEqual(['third'])
}, 120_000)

test('a client that another holds the session of', async () => {
  const { wire: watcher } = await cluster.connect(1, { clientId: `${root}/watcher`, ...kept })
  await subscribe(watcher, `${root}/t`)
  const clientId = `${root}/client`
  const { wire: old } = await cluster.connect(0, { clientId, ...kept, ...will(`${root}/t`), flags: 4 | 8 })
  await subscribe(old, `${root}/mine`)
  await publish(watcher, `${root}/mine`, 'owed')
  const owed = await old.find('publish')
  old.pause()
  const { wire: young } = await cluster.connect(1, { clientId, ...kept })
  // The will of the connection that was taken over [MQTT-3.1.4-3].
  expect(await receive(watcher, 1)).toEqual(['the will'])
  const again = await young.find('publish')
  await publish(young, `${root}/t`, 'newest', { retain: true })
  expect(await receive(watcher, 1)).toEqual(['newest'])
  await until('all is journaled', 30_000, () => isSettled(cluster))
  const before = await state()
  old.send(
    mqtt.puback(owed.id),
    mqtt.publish({ version: 5, topic: `${root}/t`, payload: 'late', qos: 1, id: 9, retain: true }),
    mqtt.subscribe(5, 10, [[`${root}/t`, 1]]),
    mqtt.disconnect(5, 0, [[mqtt.Property.sessionExpiryInterval, 0]]),
  )
  old.resume()
  await old.closed()
  await publish(young, `other/${root}`, 'all have seen all before this')
  await until('all is journaled', 30_000, () => isSettled(cluster))
  expect(await state()).toEqual(before)
  expect([again.payload.toString(), again.dup, young.isClosed]).toEqual(['owed', true, false])
}, 60_000)

test('and all of it is the same after every compacted topic was compacted, and after a start from what is left', async () => {
  const { wire } = await cluster.connect(0, { clientId: `${root}/publisher` })
  const topics = Array.from({ length: cluster.partitions }, (_, shard) => cluster.inShard(shard, `${root}/t`))
  for (const payload of ['old', 'newest']) for (const topic of topics) await publish(wire, topic, payload, { retain: true })
  await publish(wire, topics[0] as string, '', { retain: true })
  await until('all is journaled', 30_000, () => isSettled(cluster))
  root = 'zombies/'
  const before = await state()
  await compact(cluster, ['retained', 'snapshots', 'gateways'])
  expect(await state()).toEqual(before)
  await Promise.all(cluster.members.map((member) => member.end()))
  await Promise.all(cluster.members.map((member) => member.start()))
  const { wire: visitor } = await cluster.connect(0, { clientId: 'visitor' })
  await subscribe(visitor, 'zombies/#')
  const retained = Object.values(before.retained).sort()
  expect((await receive(visitor, retained.length)).sort()).toEqual(retained)
}, 180_000)
