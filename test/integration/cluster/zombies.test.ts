/**
 * Processes and clients that are held past every lease and then go on where they stood: what they still write and send
 * changes nothing – not for the clients, not in what the topics say when they are folded, not after compaction.
 */

import { afterAll, beforeAll, beforeEach, expect, test } from '@jest/globals'
import { ClientProcess } from '../../support/client-process.ts'
import { Cluster, type Connected, type Member, publish, receive, subscribe } from '../../support/cluster.ts'
import { compact } from '../../support/compaction.ts'
import { isSettled, messagesState, retainedState, sessionsState, snapshotsState } from '../../support/log-state.ts'
import { until } from '../../support/stack.ts'
import * as mqtt from '../../wire/bytes.ts'
import type { Wire } from '../../wire/wire.ts'
import { BrokenWire, produceKey } from '../log/broken-wire.ts'

let cluster: Cluster
let root = ''
const gatewayLostMs = 9_000
const shardSilenceMs = 3_500
/** Between the second gateway and Kafka. */
let kafkaWire: BrokenWire
/** Persistent sessions that the tests leave behind. */
const survivors: string[] = []

beforeAll(async () => {
  const environment = {
    KAFKA_SESSION_TIMEOUT_MS: '1500',
    SHARD_SILENCE: `${shardSilenceMs}`,
    // Longer than the test needs in which nobody may miss it; the next one shortens it.
    GATEWAY_LOST: '120000',
    GATEWAY_STALL: '2000',
    SNAPSHOT_RECORDS: '100',
  }
  const [host = '', port = ''] = (process.env.KAFKA_BROKERS ?? '').split(',')[0]?.split(':') ?? []
  kafkaWire = new BrokenWire(host, Number(port))
  await kafkaWire.listen()
  cluster = await Cluster.start({ environment, environments: { 'gateway-2': { KAFKA_BROKERS: `127.0.0.1:${kafkaWire.port}` } } })
}, 120_000)

afterAll(async () => {
  await cluster?.stop()
  await kafkaWire?.close()
})

beforeEach(async () => {
  await cluster.whole()
  root = `zombies/${Math.random().toString(36).slice(2, 8)}`
}, 120_000)

const will = (topic: string, delaySeconds = 0, retain = false) => ({
  flags: 2 | 4 | 8 | (retain ? 32 : 0),
  extra: Buffer.concat([mqtt.properties(5, [[mqtt.Property.willDelayInterval, delaySeconds]]), mqtt.text(topic), mqtt.text('the will')]),
})
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

for (const isLost of [false, true]) {
  test(isLost ? 'a gateway that was declared lost' : 'a gateway whose clients went on at another before anybody missed it', async () => {
    for (const router of isLost ? cluster.routers : []) {
      await router.end('SIGTERM')
      await router.start({ GATEWAY_LOST: `${gatewayLostMs}` })
      await cluster.whole()
    }
    const zombie = cluster.gateways[1] as Member
    const connect = (at: number, name: string, more: object = {}) => cluster.connect(at, { clientId: `${root}/${name}`, ...kept, ...more })
    const { wire: watcher } = await connect(0, 'watcher')
    await subscribe(watcher, `${root}/#`)
    const names = ['once', 'twice', 'retaining', 'receiving', 'exact', 'subscribing', 'leaving'] as const
    const old = Object.fromEntries(await Promise.all(names.map(async (name) => [name, (await connect(1, name)).wire]))) as Record<(typeof names)[number], Wire>
    await connect(1, 'willed', { ...will(`${root}/will`), flags: 4 | 8 })
    // A member of a shared subscription, and what it has not acknowledged.
    const { wire: worker } = await connect(1, 'worker')
    await subscribe(worker, `$share/g/${root}/job`)
    await publish(watcher, `${root}/job`, 'the job')
    const job = await worker.find('publish')
    const { wire: colleague } = await connect(0, 'colleague')
    if (isLost) await subscribe(colleague, `$share/g/${root}/job`)
    // At QoS 2 one message is received and not done, the next is not received.
    await subscribe(old.exact, `${root}/exact`, 2)
    for (const payload of ['exact 1', 'exact 2']) await publish(watcher, `${root}/exact`, payload, { qos: 2 })
    const exact = [await old.exact.find('publish'), await old.exact.find('publish')] as const
    old.exact.send(mqtt.pubrec(exact[0].id))
    await old.exact.find('pubrel')
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
    await zombie.pause()
    const pausedAt = performance.now()
    // What it will find when it goes on.
    const late = (topic: string, qos: number, id: number, more: object = {}) =>
      mqtt.publish({ version: 5, topic: `${root}/${topic}`, payload: 'late', qos, id, ...more })
    old.once.send(late('once', 1, 7))
    old.twice.send(mqtt.pubrel(1), late('twice', 2, 2))
    old.retaining.send(late('retained', 1, 7, { retain: true }))
    old.receiving.send(mqtt.puback(owed.id))
    old.exact.send(mqtt.pubcomp(exact[0].id), mqtt.pubrec(exact[1].id))
    worker.send(mqtt.puback(job.id))
    old.subscribing.send(mqtt.subscribe(5, 7, [[`${root}/late`, 1]]), mqtt.unsubscribe(5, 8, [`${root}/kept`]))
    old.leaving.send(mqtt.disconnect(5, 0, [[mqtt.Property.sessionExpiryInterval, 0]]))

    const now = Object.fromEntries(await Promise.all(names.map(async (name) => [name, await connect(0, name)]))) as Record<(typeof names)[number], Connected>
    for (const { present } of Object.values(now)) expect(present).toBe(true)
    // Its work goes to who is there once it is given up, or with it to where it went on.
    const laborer = isLost ? colleague : (await connect(0, 'worker')).wire
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
    expect((await now.exact.wire.find('pubrel')).id).toBe(exact[0].id)
    const exactAgain = await now.exact.wire.find('publish')
    expect([exactAgain.id, exactAgain.payload.toString(), exactAgain.dup]).toEqual([exact[1].id, 'exact 2', true])

    const expected = [
      'the job',
      'exact 1',
      'exact 2',
      'old',
      'owed',
      'first',
      'first',
      'half done',
      'late',
      'newest',
      'late',
      'late',
      'newest',
      ...(isLost ? ['the will'] : []),
    ]
    expect((await receive(watcher, expected.length)).sort()).toEqual(expected.sort())
    if (isLost) await until('the gateway counts as lost', 60_000, async () => (await lostGateways()) >= lost + 2)
    else await until('it will not have heard a router for too long', 60_000, () => performance.now() - pausedAt > shardSilenceMs)
    const jobAgain = await laborer.find('publish')
    expect(jobAgain.payload.toString()).toBe('the job')
    await until('all is journaled', 60_000, () => isSettled(cluster))
    const before = await state()

    zombie.resume()
    await until('the gateway is itself again', 60_000, async () => {
      const { attached, shardsWithoutRouter } = await zombie.status<{ attached: number; shardsWithoutRouter: number[] }>()
      // Who did not go elsewhere is still there, unless it was given up.
      return attached === (isLost ? 0 : 1) && shardsWithoutRouter.length === 0
    })
    await publish(watcher, `other/${root}`, 'the routers have seen all before this')
    await until('all is journaled', 60_000, () => isSettled(cluster))
    expect(await state()).toEqual(before)

    // And nobody notices: connections stand, and every flow goes on.
    for (const { wire } of Object.values(now)) expect(wire.isClosed).toBe(false)
    await publish(now.leaving.wire, `${root}/late`, 'for nobody but the watcher')
    await publish(now.leaving.wire, `${root}/kept`, 'for both')
    expect(await receive(now.subscribing.wire, 1)).toEqual(['for both'])
    // Two topics, which may be in two shards: nothing orders one before the other.
    expect((await receive(watcher, 2)).sort()).toEqual(['for both', 'for nobody but the watcher'])
    laborer.send(mqtt.puback(jobAgain.id))
    await publish(watcher, `${root}/job`, 'the next job')
    expect(await receive(laborer, 1)).toEqual(['the next job'])
    now.exact.wire.send(mqtt.pubcomp(exact[0].id), mqtt.pubrec(exact[1].id))
    expect((await now.exact.wire.find('pubrel')).id).toBe(exact[1].id)
    now.exact.wire.send(mqtt.pubcomp(exact[1].id))
    await publish(watcher, `${root}/exact`, 'exact 3', { qos: 2 })
    expect(await receive(now.exact.wire, 1)).toEqual(['exact 3'])
    now.receiving.wire.send(mqtt.puback(again.id))
    await publish(watcher, `${root}/owed`, 'next')
    expect(await receive(now.receiving.wire, 1)).toEqual(['next'])
    const { wire: visitor } = await cluster.connect(1, { clientId: `${root}/visitor` })
    await subscribe(visitor, `${root}/retained`)
    expect(await receive(visitor, 1)).toEqual(['newest'])
    survivors.push(...names.filter((name) => name !== 'leaving').map((name) => `${root}/${name}`))
  }, 180_000)
}

test('a gateway whose publish was on its way to Kafka, and got lost there while it was paused', async () => {
  const zombie = cluster.gateways[1] as Member
  const { wire: old } = await cluster.connect(1, { clientId: `${root}/client`, ...kept })
  await publish(old, `${root}/t`, 'old', { retain: true })
  kafkaWire.judge = (apiKey, frame) => {
    if (apiKey !== produceKey || !frame.includes(`${root}/t`)) return {}
    void zombie.pause()
    return { cut: true }
  }
  old.send(mqtt.publish({ version: 5, topic: `${root}/t`, payload: 'late', qos: 1, id: 7, retain: true }))
  await until('the gateway is paused in the middle of its request', 60_000, () => kafkaWire.cuts > 0)
  kafkaWire.judge = () => ({})
  const pausedAt = performance.now()
  const { wire: young } = await cluster.connect(0, { clientId: `${root}/client`, ...kept })
  await publish(young, `${root}/t`, 'late', { retain: true })
  await publish(young, `${root}/t`, 'newest', { retain: true })
  await until('it was no busy moment', 60_000, () => performance.now() - pausedAt > 2_500)
  await until('all is journaled', 60_000, () => isSettled(cluster))
  const before = await state()
  zombie.resume()
  await until('the gateway is itself again', 60_000, async () => (await zombie.status<{ shardsWithoutRouter: number[] }>()).shardsWithoutRouter.length === 0)
  // Its next record on the topic stands behind whatever it had been about to send.
  const { wire: other } = await cluster.connect(1, { clientId: `${root}/other` })
  await publish(other, cluster.inShard(cluster.shardOf(`${root}/t`), `other/${root}`), 'behind it')
  await until('all is journaled', 60_000, () => isSettled(cluster))
  const { sessions, ...rest } = await state()
  const { sessions: sessionsBefore, ...restBefore } = before
  expect(rest).toEqual(restBefore)
  expect({ ...sessions, [`${root}/other`]: undefined }).toEqual({ ...sessionsBefore, [`${root}/other`]: undefined })
  expect(young.isClosed).toBe(false)
}, 120_000)

/** Retained messages on their way to a client: a page of them is 64. */
const keptCount = 150

/** What a router of the shard is in the middle of, for clients of it: a QoS 2 exchange, a shared message without an answer, and pages of retained messages. */
async function inTheMiddle(shard: number, publisher: Wire) {
  const inIt = (name: string) => cluster.inShard(shard, `${root}/${name}`)
  const topic = (name: string) => `${root}-apart/${name}`
  const join = async (name: string, more: object = {}): Promise<Wire> => (await cluster.connect(1, { clientId: inIt(name), ...more })).wire
  const exact = await join('exact', kept)
  await subscribe(exact, topic('exact'), 2)
  for (const payload of ['exact 1', 'exact 2']) await publish(publisher, topic('exact'), payload, { qos: 2 })
  const [first, second] = [await exact.find('publish'), await exact.find('publish')]
  exact.send(mqtt.pubrec(first.id))
  await exact.find('pubrel')

  const worker = await join('worker', kept)
  await subscribe(worker, `$share/g/${topic('job')}`)
  await publish(publisher, topic('job'), 'the job')
  await worker.find('publish')
  const colleague = await join('colleague')
  await subscribe(colleague, `$share/g/${topic('job')}`)

  const missing = new Set(Array.from({ length: keptCount }, (_, index) => cluster.inShard(shard, topic(`kept/${index}`))))
  for (const name of missing) await publish(publisher, name, 'kept', { retain: true })
  const reader = await join('reader', { properties: [[mqtt.Property.receiveMaximum, 8]] })
  await subscribe(reader, topic('kept/#'))
  const takeUntil = async (left: number): Promise<void> => {
    while (missing.size > left) {
      const packet = await reader.find('publish')
      missing.delete(packet.topic)
      reader.send(mqtt.puback(packet.id))
    }
  }
  await takeUntil(keptCount - 3)

  return {
    wires: [exact, colleague, reader],
    /** Nobody owns the shard who could do something about it. */
    meanwhile(): void {
      exact.send(mqtt.pubcomp(first.id), mqtt.pubrec(second.id))
      worker.destroy()
    },
    async byTheHeir(): Promise<void> {
      expect((await exact.find('pubrel')).id).toBe(second.id)
      exact.send(mqtt.pubcomp(second.id))
      await publish(publisher, topic('exact'), 'exact 3', { qos: 2 })
      expect(await receive(exact, 1)).toEqual(['exact 3'])
      expect(await receive(colleague, 1)).toEqual(['the job'])
      await takeUntil(0)
    },
    async atLast(): Promise<void> {
      await publish(publisher, topic('exact'), 'exact 4', { qos: 2 })
      expect(await receive(exact, 1)).toEqual(['exact 4'])
      await publish(publisher, topic('job'), 'the next job')
      expect(await receive(colleague, 1)).toEqual(['the next job'])
    },
  }
}

test('a router whose shards are another’s, in the middle of QoS 2 exchanges, handovers in groups and pages of retained messages', async () => {
  const zombie = cluster.routers[1] as Member
  const heir = cluster.routers[0] as Member
  const shard = (await cluster.shardsOf(zombie))[0] as number
  const inIt = (name: string) => cluster.inShard(shard, `${root}/${name}`)
  const [owner, persistent, transient, willed] = ['publisher', 'persistent', 'transient', 'willed'].map(inIt) as [string, string, string, string]
  const topic = inIt('topic')
  const publisher = await cluster.connect(0, { clientId: owner })
  const [keeps, ends] = [await cluster.connect(0, { clientId: persistent, ...kept }), await cluster.connect(1, { clientId: transient })]
  const mortal = await cluster.connect(1, { clientId: willed, expiry: 3_600, ...will(`${root}/will`) })
  // One dies before the pause and its will has to wait, the other in it: the zombie will find both due.
  const wills = `${root}/wills`
  const dying = (await cluster.connect(1, { clientId: inIt('dying'), expiry: 3_600, ...will(wills, 0, true) })).wire
  const dead = (await cluster.connect(1, { clientId: inIt('dead'), expiry: 3_600, ...will(wills, 12, true) })).wire
  for (const { wire } of [keeps, ends]) await subscribe(wire, `${root}/#`)
  await publish(publisher.wire, topic, 'first', { retain: true })
  for (const { wire } of [keeps, ends]) expect(await receive(wire, 1)).toEqual(['first'])
  // Else the heir would send what is retained to these new subscriptions once more.
  await until('all is journaled', 60_000, () => isSettled(cluster))
  await publish(publisher.wire, topic, 'unacknowledged')
  const [pending] = await Promise.all([keeps.wire.find('publish'), receive(ends.wire, 1)])

  const middle = await inTheMiddle(shard, publisher.wire)
  dead.destroy()
  await until('its connection is over for the zombie', 60_000, async () => {
    // Its will waits then, or on a machine that took longer than its delay was sent already: the other one still finds the zombie.
    const session = (await sessionsState(cluster))[inIt('dead')] as { readonly attached: object | null } | undefined
    return session?.attached === null
  })
  await zombie.pause()
  const pausedAt = performance.now()
  middle.meanwhile()
  dying.destroy()
  // In the middle of everything: what it owned is published on, subscribed to, acknowledged and retained meanwhile.
  await publish(publisher.wire, topic, 'second', { retain: true })
  await publish(publisher.wire, topic, 'third', { qos: 2, retain: true })
  await subscribe(ends.wire, inIt('further'))
  keeps.wire.send(mqtt.puback(pending.id))
  await until('its shards are the other’s', 60_000, async () => (await cluster.shardsOf(heir)).length === cluster.partitions)
  for (const { wire } of [keeps, ends]) expect((await receive(wire, 4)).sort()).toEqual(['second', 'the will', 'the will', 'third'])
  await publish(publisher.wire, wills, 'after the wills', { retain: true })
  for (const { wire } of [keeps, ends]) expect(await receive(wire, 1)).toEqual(['after the wills'])
  await middle.byTheHeir()
  // Past the time after which it will hold every gateway for lost.
  await until('every lease is over', 60_000, () => performance.now() - pausedAt > gatewayLostMs)
  await until('all is journaled', 60_000, () => isSettled(cluster))
  const before = await state()

  zombie.resume()
  await until('it is a member again', 60_000, async () => (await cluster.shardsOf(zombie)).length > 0)
  await cluster.untilServed()
  await publish(publisher.wire, `other/${root}`, 'all have seen all before this')
  await until('all is journaled', 60_000, () => isSettled(cluster))
  expect(await state()).toEqual(before)
  for (const wire of [publisher, keeps, ends, mortal].map(({ wire }) => wire).concat(middle.wires)) expect(wire.isClosed).toBe(false)
  for (const last of [topic, wills]) await publish(publisher.wire, last, 'last')
  for (const { wire } of [keeps, ends]) expect(await receive(wire, 2)).toEqual(['last', 'last'])
  const { wire: visitor } = await cluster.connect(1, { clientId: `${root}/visitor` })
  await subscribe(visitor, topic)
  expect(await receive(visitor, 1)).toEqual(['third'])
  await subscribe(visitor, wills)
  expect(await receive(visitor, 1)).toEqual(['after the wills'])
  await middle.atLast()
  survivors.push(persistent)
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
  await until('all is journaled', 60_000, () => isSettled(cluster))
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
  await until('all is journaled', 60_000, () => isSettled(cluster))
  expect(await state()).toEqual(before)
  expect([again.payload.toString(), again.dup, young.isClosed]).toEqual(['owed', true, false])
})

test('[MQTT-3.1.2-22] a client process that was stopped past its keep alive, and whose session went on elsewhere', async () => {
  const { wire: watcher } = await cluster.connect(1, { clientId: `${root}/watcher`, ...kept })
  await subscribe(watcher, `${root}/t`)
  const clientId = `${root}/client`
  const client = await ClientProcess.start(cluster.endpoint(0))
  try {
    const { wire: old } = await cluster.connect(client.endpoint, { clientId, ...kept, keepAlive: 1, ...will(`${root}/t`), flags: 4 | 8 })
    // Its keep alive does not run out before it is stopped.
    const pinging = setInterval(() => old.send(mqtt.pingreq), 200)
    await subscribe(old, `${root}/mine`)
    await subscribe(old, `${root}/exact`, 2)
    await publish(old, `${root}/t`, 'old', { retain: true })
    await publish(watcher, `${root}/mine`, 'owed')
    await publish(watcher, `${root}/exact`, 'exact', { qos: 2 })
    const both = [await old.find('publish'), await old.find('publish')]
    const [owed, exact] = [1, 2].map((qos) => both.find((each) => each.qos === qos)?.id ?? 0) as [number, number]
    clearInterval(pinging)
    await client.stop()
    // What it had been about to say; the end of its keep alive ends its connection before.
    old.send(
      mqtt.puback(owed),
      mqtt.pubrec(exact),
      mqtt.publish({ version: 5, topic: `${root}/t`, payload: 'late', qos: 1, id: 9, retain: true }),
      mqtt.publish({ version: 5, topic: `${root}/t`, payload: 'late', qos: 2, id: 10 }),
      mqtt.subscribe(5, 11, [[`${root}/late`, 1]]),
      mqtt.unsubscribe(5, 12, [`${root}/mine`]),
      mqtt.disconnect(5, 0, [[mqtt.Property.sessionExpiryInterval, 0]]),
    )
    expect(await receive(watcher, 2)).toEqual(['old', 'the will'])
    const { wire: young, present } = await cluster.connect(1, { clientId, ...kept })
    expect(present).toBe(true)
    const again = [await young.find('publish'), await young.find('publish')]
    expect(again.map(({ payload, dup }) => `${payload} ${dup}`).sort()).toEqual(['exact true', 'owed true'])
    await publish(young, `${root}/t`, 'newest', { retain: true })
    expect(await receive(watcher, 1)).toEqual(['newest'])
    await until('all is journaled', 60_000, () => isSettled(cluster))
    const before = await state()
    client.goOn()
    await old.closed()
    await publish(young, `other/${root}`, 'all have seen all before this')
    await until('all is journaled', 60_000, () => isSettled(cluster))
    expect(await state()).toEqual(before)
    expect(young.isClosed).toBe(false)
    survivors.push(clientId)
  } finally {
    client.end()
  }
})

test('and all of it is the same after every compacted topic was compacted, and after a start from what is left', async () => {
  const { wire } = await cluster.connect(0, { clientId: `${root}/publisher` })
  const topics = Array.from({ length: cluster.partitions }, (_, shard) => cluster.inShard(shard, `${root}/t`))
  for (const payload of ['old', 'newest']) for (const topic of topics) await publish(wire, topic, payload, { retain: true })
  await publish(wire, topics[0] as string, '', { retain: true })
  wire.send(mqtt.disconnect(5))
  await wire.closed()
  await until('all is journaled', 60_000, () => isSettled(cluster))
  root = 'zombies/'
  // A snapshot is a shard's whole: of a router that stops in good order there is one.
  await Promise.all(cluster.routers.map((router) => router.end('SIGTERM')))
  const [before, snapshots] = [await state(), await snapshotsState(cluster, root)]
  expect(snapshots.length).toBe(cluster.partitions)
  await compact(cluster, ['retained', 'snapshots', 'gateways'])
  expect([await state(), await snapshotsState(cluster, root)]).toEqual([before, snapshots])
  await Promise.all(cluster.members.map((member) => member.end()))
  await Promise.all(cluster.members.map((member) => member.start()))
  const { wire: visitor } = await cluster.connect(0, { clientId: 'visitor' })
  await subscribe(visitor, 'zombies/#')
  const retained = Object.values(before.retained).sort()
  expect((await receive(visitor, retained.length)).sort()).toEqual(retained)
  expect(survivors.length).toBeGreaterThan(10)
  for (const clientId of survivors) expect([clientId, (await cluster.connect(1, { clientId, ...kept })).present]).toEqual([clientId, true])
}, 180_000)
