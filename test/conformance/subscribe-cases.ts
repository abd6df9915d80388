import { expect } from '@jest/globals'
import * as mqtt from '../wire/bytes.ts'
import { Property, valueFor, valuesFor } from '../wire/bytes.ts'
import type { Wire } from '../wire/wire.ts'
import type { Case, Trial } from './trial.ts'

const noLocal = 4
const malformedOrProtocolError = [0x81, 0x82]

/** Filters, and what they match; every name stands below the case's own root. */
const matches: readonly { readonly clause: string; readonly filter: string; readonly yes: readonly string[]; readonly no: readonly string[] }[] = [
  {
    clause: 'MQTT-4.7.1-1',
    filter: 'sport/tennis/player1/#',
    yes: ['sport/tennis/player1', 'sport/tennis/player1/ranking', 'sport/tennis/player1/score/wimbledon'],
    no: ['sport/tennis/player2', 'sport/tennis', 'sport/tennis/player11'],
  },
  { clause: 'MQTT-4.7.1-2', filter: 'sport/+', yes: ['sport/', 'sport/tennis'], no: ['sport', 'sport/tennis/player1'] },
  { clause: 'MQTT-4.7.1-2', filter: '+/tennis/#', yes: ['sport/tennis', 'a/tennis/b/c', '/tennis'], no: ['tennis', 'a/b/tennis'] },
  { clause: 'MQTT-4.7.1-2', filter: 'sport/+/player1', yes: ['sport/tennis/player1', 'sport//player1'], no: ['sport/player1', 'sport/a/b/player1'] },
  { clause: '4.7.1', filter: '/finance', yes: ['/finance'], no: ['finance', 'finance/'] },
  { clause: '4.7.1', filter: '+/+', yes: ['/finance', 'a/b', 'a/'], no: ['finance', 'a/b/c'] },
  { clause: 'MQTT-4.7.3-4', filter: 'ACCOUNTS', yes: ['ACCOUNTS'], no: ['Accounts', 'accounts'] },
  { clause: '4.7.1', filter: 'Accounts payable/ä🦀', yes: ['Accounts payable/ä🦀'], no: ['Accountspayable/ä🦀', 'Accounts payable/a'] },
]

async function matching(t: Trial, row: (typeof matches)[number]): Promise<void> {
  const wire = await t.session()
  const control = await t.session()
  await t.subscribe(wire, [
    [t.topic(row.filter), 1],
    [t.topic('the marker'), 1],
  ])
  await t.subscribe(control, t.topic('#'))
  const topics = [...row.no, ...row.yes]
  for (const topic of topics) await t.publish(t.topic(topic), topic)
  for (let i = 0; i < topics.length; i++) await t.receive(control) // all of them have been matched
  const got: string[] = []
  for (const each of row.yes) {
    got.push((await t.receive(wire)).payload.toString())
    void each
  }
  for (const each of await t.upToMarker(wire, t.topic('the marker'))) got.push(each.payload.toString())
  expect(got.sort()).toEqual([...row.yes].sort())
}

/** In SUBACK, or by the end of the connection. */
async function filterRefused(t: Trial, wire: Wire): Promise<void> {
  const answer = await wire.next('an answer').catch(() => null)
  if (answer?.type === 'suback') expect(answer.codes[0]).toBeGreaterThanOrEqual(0x80)
  else if (answer?.type === 'disconnect') expect([0x81, 0x82, 0x8f]).toContain(answer.code)
  else expect([answer, t.isOwn && t.version === 5]).toEqual([null, false]) // closed, which our own does not do without a word
}

/** A persistent member of a group in the middle of a QoS 2 delivery and, behind it, one at QoS 1; and another member that came later. */
async function begunInGroup(t: Trial): Promise<{ readonly first: Wire; readonly other: Wire; readonly delivery: mqtt.Delivery }> {
  const shared = `$share/${t.name}/${t.topic('work')}`
  const { wire: first } = await t.persistent(t.name, true)
  await t.subscribe(first, [[shared, 2]])
  const publisher = await t.session()
  publisher.send(mqtt.publish({ version: t.version, topic: t.topic('work'), payload: 'work', qos: 2, id: 1 }))
  await publisher.find('pubrec')
  publisher.send(mqtt.pubrel(1))
  const delivery = await first.find('publish')
  await t.publishOn(publisher, t.topic('work'), 'at 1')
  await first.find('publish')
  const other = await t.session()
  await t.subscribe(other, [
    [shared, 2],
    [t.topic('marker'), 1],
  ])
  return { first, other, delivery }
}

/** What the member had at QoS 1 has come to the other, and what it had at QoS 2 has not. */
async function onlyAtOne(t: Trial, other: Wire): Promise<void> {
  // Another server may keep it for who comes back.
  if (t.isOwn) expect((await t.receive(other)).payload.toString()).toBe('at 1')
  expect((await t.upToMarker(other, t.topic('marker'))).map(({ payload }) => payload.toString())).toEqual([])
}

/** Sections 3.8 to 3.11, 4.7 and 4.8: subscriptions. */
export const subscribeCases: readonly Case[] = [
  ...matches.map((row) => ({
    clause: `MQTT-3.3.2-3, ${row.clause}`,
    title: `the filter ${row.filter} matches ${row.yes.join(', ')} and not ${row.no.join(', ')}`,
    run: (t: Trial) => matching(t, row),
  })),
  {
    clause: 'MQTT-4.7.2-1',
    title: 'filters that begin with a wildcard do not match topics that begin with $',
    async run(t) {
      const wire = await t.session()
      const codes = await t.subscribe(wire, [
        ['#', 1],
        ['+/monitor/Clients', 1],
        ['+/canary/#', 1],
      ])
      if (!t.isOwn && codes.some((code) => code >= 0x80)) return // this server lets nobody subscribe to everything
      const foreign = wire.pending.filter((each) => each.type === 'publish' && each.topic.startsWith('$'))
      const other = await t.session()
      other.send(mqtt.publish({ version: t.version, topic: '$SYS/monitor/Clients', payload: t.name, qos: 1, id: 77 }))
      await other.next('an answer').catch(() => {}) // acknowledged, refused or closed: all of them are allowed
      await t.broker.stirDollarTopics()
      const before = await t.upToMarker(wire, t.topic('marker'))
      expect([...foreign, ...before.filter((each) => each.topic.startsWith('$'))]).toEqual([])
    },
  },
  {
    clause: 'MQTT-4.7.1-1, -2',
    title: 'a filter with a misplaced wildcard is refused',
    async run(t) {
      for (const filter of ['a/#/b', 'a#', 'a/b#', 'a+/b', '+a', 'a/+b']) {
        const wire = await t.session()
        wire.send(mqtt.subscribe(t.version, 1, [[t.topic(filter), 1]]))
        await filterRefused(t, wire)
      }
    },
  },
  {
    clause: 'MQTT-3.8.1-1, MQTT-3.10.1-1',
    title: 'SUBSCRIBE and UNSUBSCRIBE with other reserved bits end the connection',
    async run(t) {
      for (const first of [0x80, 0x83, 0xa0]) {
        const wire = await t.session()
        wire.send(mqtt.packet(first, mqtt.u16(1), mqtt.properties(t.version), mqtt.text('a'), Buffer.from(first < 0xa0 ? [0] : [])))
        await t.refused(wire, [0x81, 0x82])
      }
    },
  },
  {
    clause: 'MQTT-3.8.3-2, MQTT-3.10.3-2',
    title: 'SUBSCRIBE and UNSUBSCRIBE without a filter end the connection',
    async run(t) {
      for (const bytes of [mqtt.subscribe(t.version, 1, []), mqtt.unsubscribe(t.version, 1, [])]) {
        const wire = await t.session()
        wire.send(bytes)
        await t.refused(wire, malformedOrProtocolError)
      }
    },
  },
  {
    clause: 'MQTT-3.8.3-5',
    title: 'reserved bits and QoS 3 in subscription options end the connection',
    async run(t) {
      for (const options of t.version === 5 ? [3, 0x40, 0x80, 0x30] : [3, 4, 0x80]) {
        const wire = await t.session()
        wire.send(mqtt.subscribe(t.version, 1, [[t.topic('a'), options]]))
        await t.refused(wire, malformedOrProtocolError)
      }
    },
  },
  {
    clause: 'MQTT-2.2.1-3',
    title: 'packet identifier 0 in SUBSCRIBE and UNSUBSCRIBE ends the connection',
    async run(t) {
      for (const bytes of [mqtt.subscribe(t.version, 0, [[t.topic('a'), 0]]), mqtt.unsubscribe(t.version, 0, [t.topic('a')])]) {
        const wire = await t.session()
        wire.send(bytes)
        await t.refused(wire, malformedOrProtocolError)
      }
    },
  },
  {
    clause: 'MQTT-3.8.4-1, -2, -6, -7, MQTT-3.9.3-1, -2, MQTT-2.2.1-6',
    title: 'SUBACK has one code per filter, in their order, and grants no more than asked',
    async run(t) {
      const wire = await t.session()
      wire.send(
        mqtt.subscribe(t.version, 4711, [
          [t.topic('a'), 1],
          [t.topic('b'), 0],
          [t.topic('c'), 1],
          [t.topic('d'), 2],
        ]),
      )
      const suback = await wire.expect('suback')
      expect(suback.id).toBe(4711)
      expect(suback.codes.slice(0, 3)).toEqual([1, 0, 1])
      expect(suback.codes).toHaveLength(4)
      expect([0, 1, 2]).toContain(suback.codes[3])
    },
  },
  {
    clause: 'MQTT-3.8.4-3',
    title: 'a filter subscribed again replaces its subscription: one copy, at the new QoS',
    async run(t) {
      const wire = await t.session()
      const topic = t.topic('twice')
      await t.subscribe(wire, [[topic, 1]])
      await t.subscribe(wire, [[topic, 0]])
      await t.publish(topic, 'once')
      expect((await t.upToMarker(wire, topic)).map((each) => `${each.payload} ${each.qos}`)).toEqual(['once 0'])
    },
  },
  {
    clause: 'MQTT-3.3.4-2',
    title: 'overlapping subscriptions bring the message at the highest QoS among them',
    async run(t) {
      const wire = await t.session()
      await t.subscribe(wire, [
        [t.topic('over/#'), 0],
        [t.topic('over/lap'), 1],
        [t.topic('+/lap'), 0],
      ])
      await t.publish(t.topic('over/lap'), 'copy')
      const copies = await t.upToMarker(wire, t.topic('over/lap'))
      const own = copies.filter((each) => each.payload.toString() === 'copy')
      expect(Math.max(...own.map((each) => each.qos))).toBe(1)
      expect(own.filter((each) => each.qos === 1)).toHaveLength(1)
      expect(own.length).toBeLessThanOrEqual(3)
    },
  },
  {
    clause: 'MQTT-3.3.4-3, -4',
    title: 'subscription identifiers arrive, those of overlapping subscriptions in one copy',
    versions: [5],
    async run(t) {
      const { wire, connack } = await t.connect()
      if (!t.isOwn && valueFor(connack, Property.subscriptionIdentifiersAvailable) === 0) return // not offered
      await t.subscribe(wire, [[t.topic('ids/#'), 1]], [[Property.subscriptionIdentifier, 7]])
      await t.subscribe(wire, [[t.topic('ids/a'), 1]], [[Property.subscriptionIdentifier, 268_435_455]])
      await t.subscribe(wire, [[t.topic('ids/+'), 0]])
      await t.publish(t.topic('ids/a'), 'copy')
      const copies = (await t.upToMarker(wire, t.topic('ids/a'))).filter((each) => each.payload.toString() === 'copy')
      if (t.isOwn) expect(copies).toHaveLength(1) // another server may send one for each subscription
      const identifiers = copies.flatMap((each) => valuesFor(each, Property.subscriptionIdentifier) as number[])
      expect(identifiers.sort((a, b) => a - b)).toEqual([7, 268_435_455])
    },
  },
  {
    clause: '3.8.2.1.2',
    title: 'subscription identifier 0 is a protocol error',
    versions: [5],
    async run(t) {
      const wire = await t.session()
      wire.send(mqtt.subscribe(5, 1, [[t.topic('a'), 1]], [[Property.subscriptionIdentifier, 0]]))
      await t.refused(wire, malformedOrProtocolError)
    },
  },
  {
    clause: 'MQTT-3.8.3-3',
    title: 'M5-21: No Local keeps own messages away, and only own ones',
    versions: [5],
    async run(t) {
      const wire = await t.session()
      const topic = t.topic('local')
      await t.subscribe(wire, [[topic, 1 | noLocal]])
      await t.publishOn(wire, topic, 'own')
      await t.publish(topic, 'foreign')
      expect((await t.upToMarker(wire, topic)).map((each) => each.payload.toString())).toEqual(['foreign'])
    },
  },
  {
    clause: '4.8.2',
    title: 'M5-17: a message goes to one member of a group, to every group, and besides to those who subscribe for themselves',
    async run(t) {
      const members = [await t.session(), await t.session()]
      const [first, second] = members as [Wire, Wire]
      const other = await t.session()
      for (const wire of members) expect(await t.subscribe(wire, `$share/g/${t.topic('+')}`)).toEqual([1])
      await t.subscribe(other, `$share/h/${t.topic('+')}`)
      await t.subscribe(other, t.topic('#'))
      for (let i = 0; i < 6; i++) await t.publish(t.topic(`${i}`), `${i}`)
      const copies: string[] = []
      for (let i = 0; i < 12; i++) copies.push((await t.receive(other)).payload.toString())
      expect(copies.sort()).toEqual(['0', '0', '1', '1', '2', '2', '3', '3', '4', '4', '5', '5'])
      const got: string[] = []
      for (const wire of [first, second]) {
        await t.subscribe(wire, t.topic('own/marker'))
        for (const each of await t.upToMarker(wire, t.topic('own/marker'))) got.push(each.payload.toString())
      }
      expect(got.sort()).toEqual(['0', '1', '2', '3', '4', '5'])
    },
  },
  {
    clause: '4.8.2',
    title: 'a session in several groups that subscribes for itself, too, gets a copy for each with the identifier of that subscription',
    versions: [5],
    async run(t) {
      const wire = await t.session()
      const filters = [t.topic('+'), `$share/g/${t.topic('a')}`, `$share/g/${t.topic('+')}`, `$share/h/${t.topic('a')}`]
      for (const [index, filter] of filters.entries()) await t.subscribe(wire, filter, [[Property.subscriptionIdentifier, index + 1]])
      await t.publish(t.topic('a'), 'work')
      const identifiers: unknown[] = []
      for (const _ of filters) identifiers.push(...valuesFor(await t.receive(wire), Property.subscriptionIdentifier))
      expect(identifiers.sort()).toEqual([1, 2, 3, 4])
      await t.roundTrip(wire)
      expect(wire.pending).toEqual([])
    },
  },
  {
    clause: '4.8.2',
    title: 'what a member of a group has not acknowledged when it goes comes to another',
    async run(t) {
      const leaving = await t.session()
      await t.subscribe(leaving, `$share/g/${t.topic('a')}`)
      await t.publish(t.topic('a'), 'work')
      expect((await leaving.find('publish')).payload.toString()).toBe('work')
      const staying = await t.session()
      await t.subscribe(staying, `$share/g/${t.topic('a')}`)
      leaving.destroy()
      expect((await t.receive(staying)).payload.toString()).toBe('work')
    },
  },
  {
    clause: 'MQTT-4.8.2-6',
    title: 'what a member of a group answered with an error is given to nobody else',
    versions: [5],
    async run(t) {
      const refusing = await t.session()
      await t.subscribe(refusing, `$share/g/${t.topic('a')}`)
      for (const payload of ['refused', 'left']) await t.publish(t.topic('a'), payload)
      const delivery = await refusing.find('publish')
      await refusing.find('publish')
      const staying = await t.session()
      await t.subscribe(staying, `$share/g/${t.topic('a')}`)
      refusing.send(mqtt.packet(0x40, mqtt.u16(delivery.id), Buffer.from([0x80])))
      await t.roundTrip(refusing)
      refusing.destroy()
      // What it had not answered comes, unless another server drops it; the other would have come before it.
      if (t.isOwn) expect((await t.receive(staying)).payload.toString()).toBe('left')
      expect(await t.upToMarker(staying, t.topic('a'))).toEqual([])
    },
  },
  {
    clause: 'MQTT-4.8.2-1, -2',
    title: 'a malformed shared subscription is refused',
    async run(t) {
      for (const filter of ['$share/g', '$share/g/', '$share//a', '$share/+/a', '$share/g#/a']) {
        const wire = await t.session()
        wire.send(mqtt.subscribe(t.version, 1, [[filter, 1]]))
        await filterRefused(t, wire)
      }
    },
  },
  {
    clause: 'MQTT-3.8.3-4',
    title: 'No Local on a shared subscription is a protocol error',
    versions: [5],
    async run(t) {
      const wire = await t.session()
      wire.send(mqtt.subscribe(5, 1, [[`$share/group/${t.topic('a')}`, 1 | noLocal]]))
      await filterRefused(t, wire)
    },
  },
  {
    clause: 'MQTT-3.10.4-1, -2, -4',
    title: 'UNSUBSCRIBE ends the subscription of exactly that filter',
    async run(t) {
      const wire = await t.session()
      const topic = t.topic('stay/a')
      await t.subscribe(wire, [
        [t.topic('stay/+'), 1],
        [t.topic('go'), 1],
      ])
      wire.send(mqtt.unsubscribe(t.version, 99, [t.topic('go'), t.topic('stay/#')]))
      expect((await wire.expect('unsuback')).id).toBe(99) // [MQTT-3.10.4-4]
      const control = await t.session()
      await t.subscribe(control, t.topic('go'))
      await t.publish(t.topic('go'), 'gone')
      await t.receive(control)
      await t.publish(topic, 'here')
      expect((await t.upToMarker(wire, topic)).map((each) => each.payload.toString())).toEqual(['here'])
    },
  },
  {
    clause: 'MQTT-3.10.4-6, MQTT-3.11.3-2',
    title: 'UNSUBACK says per filter whether there was a subscription: none any more where a filter comes the second time',
    versions: [5],
    async run(t) {
      const wire = await t.session()
      await t.subscribe(wire, t.topic('there'))
      wire.send(mqtt.unsubscribe(5, 3, [t.topic('never'), t.topic('there'), t.topic('there')]))
      expect((await wire.expect('unsuback')).codes).toEqual([0x11, 0, 0x11])
    },
  },
  {
    clause: 'MQTT-3.11.3-2',
    title: 'UNSUBACK knows what a session subscribed to on an earlier connection',
    versions: [5],
    async run(t) {
      const first = await t.persistent(t.name, true)
      await t.subscribe(first.wire, t.topic('kept'))
      first.wire.send(mqtt.disconnect(5))
      await first.wire.closed()
      const { wire } = await t.persistent(t.name, false)
      wire.send(mqtt.unsubscribe(5, 3, [t.topic('kept'), t.topic('never')]))
      expect((await wire.expect('unsuback')).codes).toEqual([0, 0x11])
    },
  },
  {
    clause: 'MQTT-4.5.0-1',
    title: 'messages published after the SUBACK arrive, however soon',
    async run(t) {
      const wire = await t.session()
      for (let i = 0; i < 20; i++) {
        const topic = t.topic(`at once/${i}`)
        await t.subscribe(wire, topic)
        await t.publishOn(wire, topic, `${i}`)
        expect((await t.receive(wire)).payload.toString()).toBe(`${i}`)
      }
    },
  },
  {
    clause: 'MQTT-3.8.4-5',
    title: 'a filter twice in one SUBSCRIBE counts as two subscriptions one after the other: the second stands',
    async run(t) {
      const wire = await t.session()
      expect(
        await t.subscribe(wire, [
          [t.topic('a'), 1],
          [t.topic('a'), 0],
        ]),
      ).toEqual([1, 0])
      await t.publish(t.topic('a'), 'once')
      expect((await t.upToMarker(wire, t.topic('a'))).map((each) => `${each.payload} ${each.qos}`)).toEqual(['once 0'])
    },
  },
  {
    clause: 'MQTT-3.8.4-4',
    title: 'a subscription that is made again and again loses no message and repeats none',
    async run(t) {
      const wire = await t.session()
      const topic = t.topic('stream')
      await t.subscribe(wire, topic)
      const publisher = await t.session()
      const sent = Array.from({ length: 100 }, (_, i) => `${i}`)
      for (const [i, payload] of sent.entries()) {
        publisher.send(mqtt.publish({ version: t.version, topic, payload, qos: 1, id: i + 1 }))
        if (i % 10 === 0) await t.subscribe(wire, topic)
      }
      for (const _ of sent) await publisher.expect('puback')
      expect((await t.upToMarker(wire, topic)).map((each) => each.payload.toString())).toEqual(sent)
    },
  },
  {
    clause: 'MQTT-3.10.4-4, -5, -6, MQTT-3.11.3-1, -2, MQTT-2.2.1-6',
    title: 'UNSUBSCRIBE of several filters has one UNSUBACK, with its identifier and codes in its order, though there was no subscription',
    async run(t) {
      const wire = await t.session()
      await t.subscribe(wire, t.topic('b'))
      wire.send(mqtt.unsubscribe(t.version, 601, [t.topic('a'), t.topic('b'), t.topic('c')]), mqtt.unsubscribe(t.version, 602, [t.topic('d')]), mqtt.pingreq)
      const answers = new Map([await wire.find('unsuback'), await wire.find('unsuback')].map(({ id, codes }) => [id, codes]))
      expect([...answers.keys()].sort()).toEqual([601, 602])
      if (t.version === 5) expect([answers.get(601), answers.get(602)]).toEqual([[0x11, 0, 0x11], [0x11]])
      await wire.find('pingresp')
      expect(wire.pending).toEqual([])
    },
  },
  {
    clause: 'MQTT-3.10.4-3',
    title: 'a delivery that has begun is completed after UNSUBSCRIBE, on the next connection too',
    async run(t) {
      const first = await t.persistent(t.name, true)
      const wire = first.wire
      await t.subscribe(wire, [
        [t.topic('1'), 1],
        [t.topic('2'), 2],
      ])
      const publisher = await t.session()
      await t.publishOn(publisher, t.topic('1'), 'at 1')
      const atOne = await wire.find('publish')
      publisher.send(mqtt.publish({ version: t.version, topic: t.topic('2'), payload: 'at 2', qos: 2, id: 9 }))
      await publisher.find('pubrec')
      publisher.send(mqtt.pubrel(9))
      const atTwo = await wire.find('publish')
      wire.send(mqtt.unsubscribe(t.version, 700, [t.topic('1'), t.topic('2')]))
      await wire.find('unsuback')
      wire.send(mqtt.pubrec(atTwo.id))
      expect(await wire.find('pubrel')).toMatchObject({ id: atTwo.id, code: 0 })
      wire.send(mqtt.pubcomp(atTwo.id))
      await t.roundTrip(wire)
      wire.destroy()
      const back = await t.persistent(t.name, false)
      expect(await back.wire.find('publish')).toMatchObject({ id: atOne.id, dup: true, payload: Buffer.from('at 1') })
      back.wire.send(mqtt.puback(atOne.id))
      await t.roundTrip(back.wire)
      expect(back.wire.pending).toEqual([])
    },
  },
  {
    clause: 'MQTT-4.8.2-3',
    title: 'a member of a group gets a message at no more than the QoS it was granted',
    async run(t) {
      const wire = await t.session()
      expect(await t.subscribe(wire, [[`$share/${t.name}/${t.topic('a')}`, 0]])).toEqual([0])
      await t.publish(t.topic('a'), 'at 1')
      expect(await t.receive(wire)).toMatchObject({ qos: 0, payload: Buffer.from('at 1') })
    },
  },
  {
    clause: 'MQTT-4.8.2-4',
    title: 'a QoS 2 message of a group that was begun waits for its member, and is nobody else’s',
    async run(t) {
      const { first, other, delivery } = await begunInGroup(t)
      first.destroy()
      await onlyAtOne(t, other)
      const { wire } = await t.persistent(t.name, false)
      expect(await wire.find('publish')).toMatchObject({ id: delivery.id, dup: true, payload: Buffer.from('work') })
      wire.send(mqtt.pubrec(delivery.id))
      expect(await wire.find('pubrel')).toMatchObject({ id: delivery.id })
      wire.send(mqtt.pubcomp(delivery.id))
      await t.roundTrip(wire)
    },
  },
  {
    clause: 'MQTT-4.8.2-5',
    title: 'a QoS 2 message of a group goes with the session of its member',
    async run(t) {
      const { first, other } = await begunInGroup(t)
      first.destroy()
      const wire = await t.session({ clientId: t.name, clean: true })
      await t.subscribe(wire, t.topic('marker'))
      await onlyAtOne(t, other)
      expect((await t.receive(wire)).payload.toString()).toMatch(/^marker/)
    },
  },
  {
    clause: 'MQTT-3.8.4-3, MQTT-3.3.4-3',
    title: 'a filter subscribed again replaces its identifier too, by none if there is none',
    versions: [5],
    async run(t) {
      const wire = await t.session()
      const topic = t.topic('a')
      for (const identifier of [7, 8, undefined]) {
        await t.subscribe(wire, topic, identifier === undefined ? [] : [[Property.subscriptionIdentifier, identifier]])
        await t.publish(topic, 'x')
        expect(valuesFor(await t.receive(wire), Property.subscriptionIdentifier)).toEqual(identifier === undefined ? [] : [identifier])
      }
    },
  },
  {
    clause: 'MQTT-3.10.4-1',
    title: 'UNSUBSCRIBE of a shared filter leaves the plain one alone, and the other way round',
    async run(t) {
      const wire = await t.session()
      const [plain, shared] = [t.topic('a'), `$share/${t.name}/${t.topic('a')}`]
      await t.subscribe(wire, plain)
      await t.subscribe(wire, shared)
      wire.send(mqtt.unsubscribe(t.version, 801, [shared]))
      await wire.find('unsuback')
      await t.publish(plain, 'for the plain one')
      expect((await t.upToMarker(wire, plain)).map(({ payload }) => payload.toString())).toEqual(['for the plain one'])
      await t.subscribe(wire, shared)
      wire.send(mqtt.unsubscribe(t.version, 802, [plain]))
      await wire.find('unsuback')
      await t.publish(plain, 'for the group')
      expect((await t.receive(wire)).payload.toString()).toBe('for the group')
      await t.roundTrip(wire)
      expect(wire.pending).toEqual([])
    },
  },
]
