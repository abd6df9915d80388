/** Two gateways and two routers: a client need not know which of them serves it, nor which of them dies. */

import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals'
import kafkajs from 'kafkajs'
import { Cluster, type Member, publish, receive, subscribe } from '../../support/cluster.ts'
import { isSettled, sessionsState } from '../../support/log-state.ts'
import { until } from '../../support/stack.ts'
import * as mqtt from '../../wire/bytes.ts'
import type { Wire } from '../../wire/wire.ts'

let cluster: Cluster
let root = ''

beforeAll(async () => {
  const environment = { KAFKA_SESSION_TIMEOUT_MS: '2000', SHARD_SILENCE: '20000', GATEWAY_LOST: '40000', SHARED_MEMBER_MESSAGES_MAX: '25' }
  cluster = await Cluster.start({ environment })
}, 120_000)

afterAll(async () => {
  await cluster?.stop()
})

beforeEach(async () => {
  await cluster.whole()
  root = `two/${Math.random().toString(36).slice(2, 8)}`
}, 120_000)

const router = (index: number) => cluster.routers[index] as Member
const gateway = (index: number) => cluster.gateways[index] as Member
/** One topic in each shard. */
const topics = (below: string) => Array.from({ length: cluster.partitions }, (_, shard) => cluster.inShard(shard, `${below}/t`))

describe('SUBACK means subscribed: what is published after it arrives', () => {
  const troubles: readonly (readonly [what: string, before: () => Promise<void>, during: () => Promise<void>])[] = [
    ['while all goes well', async () => {}, async () => {}],
    [
      'while a router lags behind',
      async () => {},
      async () => {
        await router(1).pause()
        // Shorter than its session: it keeps its shards.
        await new Promise((resolve) => setTimeout(resolve, 1_200))
        router(1).resume()
      },
    ],
    ['while a router starts', () => router(1).end('SIGTERM'), () => router(1).start()],
    ['while a router dies', async () => {}, () => router(0).end()],
    ['while a router is stopped', async () => {}, () => router(0).end('SIGTERM')],
  ]
  for (const [what, before, during] of troubles) {
    test(`${what} [MQTT-3.8.4-3]`, async () => {
      await before()
      await cluster.untilServed()
      const publishers = await Promise.all([0, 1].map((at) => cluster.connect(at, { clientId: `${root}/publisher-${at}` })))
      // One in a shard of each router, and one of each kind.
      const kept = await cluster.connect(0, { clientId: cluster.inShard(3, `${root}/kept`), expiry: 3_600 })
      const transient = await cluster.connect(1, { clientId: cluster.inShard(0, `${root}/transient`) })
      const expected: string[] = []
      let trouble: Promise<void> | undefined
      for (let round = 0; round < 5; round++) {
        await Promise.all([kept, transient].map(({ wire }) => subscribe(wire, `${root}/${round}/#`)))
        trouble ??= during()
        for (const [i, topic] of topics(`${root}/${round}`).entries()) {
          await publish((publishers[i % 2] as { wire: Wire }).wire, topic, `${round} ${topic}`)
          expected.push(`${round} ${topic}`)
        }
      }
      const got = await Promise.all([kept, transient].map(({ wire }) => receive(wire, expected.length)))
      for (const each of got) expect([...each].sort()).toEqual([...expected].sort())
      await trouble
    })
  }
})

test('SE-04: a client that hops between gateways keeps its session, and the older connection ends with 0x8E [MQTT-3.1.4-3]', async () => {
  const clientId = `${root}/hopper`
  const { wire: publisher } = await cluster.connect(1, { clientId: `${root}/publisher` })
  let here = await cluster.connect(0, { clientId, clean: false, expiry: 3_600 })
  expect(here.present).toBe(false)
  await subscribe(here.wire, `${root}/t`)
  const sent = Array.from({ length: 60 }, (_, i) => `${i}`)
  const taken: { readonly payload: string; readonly dup: boolean }[] = []
  const take = async (wire: Wire, count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      const { payload, dup, id } = await wire.find('publish')
      taken.push({ payload: payload.toString(), dup })
      wire.send(mqtt.puback(id))
    }
  }
  for (let hop = 1; hop <= 6; hop++) {
    for (const payload of sent.slice((hop - 1) * 10, hop * 10)) await publish(publisher, `${root}/t`, payload)
    await take(here.wire, 5)
    const before = here.wire
    here = await cluster.connect(hop % 2, { clientId, clean: false, expiry: 3_600 })
    expect(here.present).toBe(true)
    expect((await before.find('disconnect')).code).toBe(0x8e)
  }
  while (new Set(taken.map(({ payload }) => payload)).size < sent.length) await take(here.wire, 1)
  const firsts = taken.filter(({ payload }, i) => taken.findIndex((each) => each.payload === payload) === i)
  expect(firsts.map(({ payload }) => payload)).toEqual(sent)
  // Acknowledged or not when the connection was taken: what comes again says so [MQTT-3.3.1-1].
  expect(taken.filter((each) => !firsts.includes(each) && !each.dup)).toEqual([])
})

test('a session goes on at the other gateway where it was: DUP, PUBREL under its packet id, then what came meanwhile [MQTT-4.4.0-1]', async () => {
  const clientId = `${root}/resumed`
  const { wire: publisher } = await cluster.connect(0, { clientId: `${root}/publisher` })
  const { wire: first } = await cluster.connect(0, { clientId, expiry: 3_600 })
  await subscribe(first, `${root}/t`, 2)
  await publish(publisher, `${root}/t`, 'one')
  await publish(publisher, `${root}/t`, 'two', { qos: 2 })
  const [one, two] = [await first.find('publish'), await first.find('publish')]
  first.send(mqtt.pubrec(two.id))
  expect((await first.find('pubrel')).id).toBe(two.id)
  first.destroy()
  await publish(publisher, `${root}/t`, 'three')
  const { wire: second, present } = await cluster.connect(1, { clientId, clean: false, expiry: 3_600 })
  expect(present).toBe(true)
  const again = await second.find('publish')
  expect([again.payload.toString(), again.dup, again.id]).toEqual(['one', true, one.id])
  expect((await second.find('pubrel')).id).toBe(two.id)
  second.send(mqtt.puback(again.id), mqtt.pubcomp(two.id))
  // It may have been on its way to the connection that died: a repeat or not.
  expect((await second.find('publish')).payload.toString()).toBe('three')
})

test('members of a shared subscription at different gateways share, and the messages of one whose gateway dies go to the other', async () => {
  const filter = `$share/workers/${root}/#`
  const { wire: publisher } = await cluster.connect(0, { clientId: `${root}/publisher` })
  const members = await Promise.all([0, 1].map((at) => cluster.connect(at, { clientId: `${root}/member-${at}`, expiry: 3_600 })))
  const [stays, dies] = members.map(({ wire }) => wire) as [Wire, Wire]
  await Promise.all([stays, dies].map((wire) => subscribe(wire, filter)))
  const sent = Array.from({ length: 40 }, (_, i) => `${i}`)
  for (const [i, payload] of sent.entries()) await publish(publisher, `${root}/${i}`, payload)
  await until(
    'all are given',
    60_000,
    () => [stays, dies].reduce((sum, wire) => sum + wire.pending.filter(({ type }) => type === 'publish').length, 0) === sent.length,
  )
  const given = (wire: Wire) => wire.pending.flatMap((each) => (each.type === 'publish' ? [each.payload.toString()] : []))
  const [theirs, lost] = [given(stays), given(dies)]
  expect(Math.min(theirs.length, lost.length)).toBeGreaterThan(0)
  expect([...theirs, ...lost].sort()).toEqual([...sent].sort())
  await receive(stays, theirs.length)
  await gateway(1).end()
  await gateway(1).start()
  expect((await receive(stays, lost.length)).sort()).toEqual(lost.sort())
})

test('what is more than the members of a shared subscription take waits in the log, whoever leaves, comes and dies meanwhile', async () => {
  const filter = `$share/behind/${root}/#`
  const publishers = await Promise.all([0, 1, 0, 1].map((at, i) => cluster.connect(at, { clientId: `${root}/publisher-${i}` })))
  const [stays, leaves] = (await Promise.all([0, 1].map((at) => cluster.connect(at, { clientId: `${root}/taker-${at}` })))).map(({ wire }) => wire) as [
    Wire,
    Wire,
  ]
  await Promise.all([stays, leaves].map((wire) => subscribe(wire, filter)))
  const numbers = Array.from({ length: 75 }, (_, i) => i)
  const publishAll = publishers.map(async ({ wire }, publisher) => {
    for (const number of numbers) await publish(wire, `${root}/${publisher}`, `${publisher} ${number}`)
  })
  await Promise.all(publishAll)
  const got = new Set<string>()
  const take = async (wire: Wire): Promise<void> => {
    while (wire.pending.some(({ type }) => type === 'publish')) {
      const { payload, id } = await wire.find('publish')
      got.add(payload.toString())
      wire.send(mqtt.puback(id))
    }
  }
  await until('one has got some', 60_000, async () => {
    await take(stays)
    return got.size > 0
  })
  const { wire: comes } = await cluster.connect(1, { clientId: `${root}/taker-2` })
  leaves.destroy()
  await router(0).end()
  await subscribe(comes, filter)
  await until('all have come', 120_000, async () => {
    await Promise.all([stays, comes].map(take))
    return got.size === publishers.length * numbers.length
  })
  expect([...got].sort()).toEqual(publishers.flatMap((_, publisher) => numbers.map((number) => `${publisher} ${number}`)).sort())
}, 240_000)

test('wills come once when gateway and router die together, and none of a client that is back at the other gateway in time [MQTT-3.1.3-9]', async () => {
  const { wire: mourner } = await cluster.connect(0, { clientId: `${root}/mourner`, expiry: 3_600 })
  await subscribe(mourner, `${root}/wills`)
  const withWill = (name: string, delay: number) =>
    cluster.connect(1, {
      clientId: `${root}/${name}`,
      expiry: 3_600,
      flags: 2 | 4 | 8,
      extra: Buffer.concat([mqtt.properties(5, [[mqtt.Property.willDelayInterval, delay]]), mqtt.text(`${root}/wills`), mqtt.text(name)]),
    })
  await Promise.all([withWill('at once', 0), withWill('later', 2), withWill('back', 3_000)])
  await Promise.all([gateway(1).end(), router(0).end()])
  const back = cluster.connect(0, { clientId: `${root}/back`, clean: false, expiry: 3_600 })
  await Promise.all([gateway(1).start(), router(0).start()])
  expect((await back).present).toBe(true)
  // Of two shards: the router of the one may take longer to be back than the other waits for its delay.
  expect((await receive(mourner, 2)).sort()).toEqual(['at once', 'later'])
  const { wire } = await cluster.connect(1, { clientId: `${root}/end` })
  await publish(wire, `${root}/wills`, 'end')
  expect(await receive(mourner, 1)).toEqual(['end'])
  expect((await sessionsState(cluster))[`${root}/back`]).toMatchObject({ wills: [] })
})

test('clients that a stopping gateway moves off go on at the other, and their wills are sent unless they are back within the delay [MQTT-3.1.2-8]', async () => {
  const { wire: mourner } = await cluster.connect(0, { clientId: `${root}/mourner`, expiry: 3_600 })
  await subscribe(mourner, `${root}/wills`)
  const extra = (name: string, delay: number) =>
    Buffer.concat([mqtt.properties(5, [[mqtt.Property.willDelayInterval, delay]]), mqtt.text(`${root}/wills`), mqtt.text(name)])
  const moved = await Promise.all(
    [0, 3_000].map((delay) =>
      cluster.connect(1, { clientId: `${root}/delay-${delay}`, expiry: 3_600, flags: 2 | 4 | 8, extra: extra(`after ${delay}`, delay) }),
    ),
  )
  const stopped = gateway(1).end('SIGTERM')
  for (const { wire } of moved) expect((await wire.find('disconnect')).code).toBe(0x8b)
  await stopped
  for (const delay of [0, 3_000]) expect((await cluster.connect(0, { clientId: `${root}/delay-${delay}`, clean: false, expiry: 3_600 })).present).toBe(true)
  expect(await receive(mourner, 1)).toEqual(['after 0'])
  expect((await sessionsState(cluster))[`${root}/delay-3000`]).toMatchObject({ wills: [] })
})

test('what is retained through one gateway comes through the other, once, whichever router dies meanwhile', async () => {
  const [first, second] = (await Promise.all([0, 1].map((at) => cluster.connect(at, { clientId: `${root}/publisher-${at}` })))).map(({ wire }) => wire) as [
    Wire,
    Wire,
  ]
  const all = topics(root)
  for (const topic of all) await publish(first, topic, `old ${topic}`, { retain: true })
  for (const topic of all) await publish(second, topic, `new ${topic}`, { retain: true })
  await publish(first, all[0] as string, '', { retain: true })
  // Else the successor would match the last of them again, with the subscription that comes now (decision 0002).
  await until('all is journaled', 60_000, () => isSettled(cluster))
  const { wire: subscriber } = await cluster.connect(1, { clientId: `${root}/subscriber`, expiry: 3_600 })
  const dying = router(1).end()
  await subscribe(subscriber, `${root}/#`)
  const expected = all.slice(1).map((topic) => `new ${topic}`)
  expect((await receive(subscriber, expected.length)).sort()).toEqual(expected.sort())
  await dying
  await publish(second, `${root}/end`, 'end')
  expect(await receive(subscriber, 1)).toEqual(['end'])
})

test('a router that is stopped leaves its shards to the other at once, not when its session would have ended', async () => {
  await router(1).end('SIGTERM')
  // Longer than anybody here waits.
  await router(1).start({ KAFKA_SESSION_TIMEOUT_MS: '300000' })
  await until('it has shards', 60_000, async () => (await cluster.shardsOf(router(1))).length > 0)
  await router(1).end('SIGTERM')
  await until('the other has them all', 60_000, async () => (await cluster.shardsOf(router(0))).length === cluster.partitions)
}, 120_000)

// The last one: what it removes from the log the others may want to read.
test('a shared subscription goes on behind what Kafka has removed before its members took it: that is counted as gone, and said', async () => {
  // Member and topic of one router, which knows what the member has not acknowledged.
  const topic = cluster.inShard(0, `${root}/t`)
  const filter = `$share/gone/${topic}`
  const { wire: publisher } = await cluster.connect(0, { clientId: `${root}/publisher` })
  const { wire: taker } = await cluster.connect(1, { clientId: cluster.inShard(0, `${root}/taker`) })
  await subscribe(taker, filter)
  // More than a lane holds in memory of what it has read.
  const texts = Array.from({ length: 400 }, (_, i) => `${i} ${'x'.repeat(8_192)}`)
  for (const text of texts) await publish(publisher, topic, text)
  await until('all is journaled', 60_000, () => isSettled(cluster))
  const { messages } = cluster.topics
  const admin = new kafkajs.Kafka({ brokers: cluster.brokers.split(','), logLevel: kafkajs.logLevel.NOTHING }).admin()
  await admin.connect()
  const offset = (await admin.fetchTopicOffsets(messages)).find(({ partition }) => partition === 0)?.offset as string
  await admin.deleteTopicRecords({ topic: messages, partitions: [{ partition: 0, offset }] })
  await admin.disconnect()
  await publish(publisher, topic, 'later')
  const got = new Set<string>()
  while (!got.has('later')) {
    const { payload, id } = await taker.find('publish', 60_000)
    got.add(payload.toString())
    taker.send(mqtt.puback(id))
  }
  const missing = texts.filter((text) => !got.has(text)).length
  const gone = await Promise.all(cluster.routers.map((each) => each.metric('loggerhead_deliveries_dropped_total', 'reason="gone"')))
  expect(missing).toBeGreaterThan(0)
  expect(gone.reduce((sum, each) => sum + each, 0)).toBeGreaterThanOrEqual(missing)
  await until('it is said', 60_000, () =>
    cluster.routers.some(({ log }) => log.split('\n').some((line) => line.includes('that a shared subscription was behind with') && line.includes(filter))),
  )
}, 180_000)
