import { expect } from '@jest/globals'
import * as mqtt from '../wire/bytes.ts'
import { Property, valueFor } from '../wire/bytes.ts'
import type { Wire } from '../wire/wire.ts'
import type { Case, Trial } from './trial.ts'

const publish = (t: Trial, topic: string, payload: string, id: number, dup = false): Buffer =>
  mqtt.publish({ version: t.version, topic, payload, qos: 2, id, dup })

/** PUBLISH to PUBCOMP. */
async function exactlyOnce(t: Trial, wire: Wire, topic: string, payload: string, id: number): Promise<void> {
  wire.send(publish(t, topic, payload, id))
  expect(await wire.find('pubrec')).toMatchObject({ id })
  wire.send(mqtt.pubrel(id))
  expect(await wire.find('pubcomp')).toMatchObject({ id })
}

/** Takes a delivery at QoS 2 through to PUBCOMP. */
async function take(wire: Wire): Promise<mqtt.Delivery> {
  const delivery = await wire.find('publish')
  expect(delivery.qos).toBe(2)
  wire.send(mqtt.pubrec(delivery.id))
  expect(await wire.find('pubrel')).toMatchObject({ id: delivery.id, code: 0 })
  wire.send(mqtt.pubcomp(delivery.id))
  return delivery
}

const texts = (deliveries: readonly mqtt.Delivery[]) => deliveries.map((each) => each.payload.toString())

/** Sections 4.3.3, 4.4, 4.6 and 4.9: QoS 2. */
export const exactlyOnceCases: readonly Case[] = [
  {
    clause: 'MQTT-4.3.3-8, -11, MQTT-2.2.1-5, MQTT-4.6.0-3',
    title: 'PUBREC answers PUBLISH and PUBCOMP answers PUBREL; PUBRECs come in the order of the publishes',
    async run(t) {
      const subscriber = await t.session()
      const topic = t.topic('in')
      await t.subscribe(subscriber, [[`${topic}/#`, 1]])
      const wire = await t.session()
      const ids = Array.from({ length: 30 }, (_, i) => ((i * 7919) % 65_535) + 1)
      wire.send(...ids.map((id, i) => publish(t, `${topic}/${i % 4}`, `${i}`, id)))
      for (const id of ids) expect(await wire.expect('pubrec')).toMatchObject({ id, code: 0 })
      wire.send(...ids.map((id) => mqtt.pubrel(id)))
      for (const id of ids) expect(await wire.expect('pubcomp')).toMatchObject({ id, code: 0 })
      const got: string[] = []
      while (got.length < ids.length) got.push((await t.receive(subscriber)).payload.toString())
      expect(got.map(Number).sort((a, b) => a - b)).toEqual(ids.map((_, i) => i))
    },
  },
  {
    clause: 'MQTT-3.1.2-4',
    title: 'a packet identifier of a session that was dropped brings a new message, though PUBREL never came for the one before and DUP be set',
    async run(t) {
      const subscriber = await t.session()
      const topic = t.topic('dropped')
      await t.subscribe(subscriber, topic)
      const first = await t.persistent(t.name, true)
      first.wire.send(publish(t, topic, 'of the old session', 7))
      await first.wire.find('pubrec')
      first.wire.destroy()
      await t.session({ clientId: t.name, clean: true })
      const next = await t.persistent(t.name, false)
      expect(next.connack.sessionPresent).toBe(false)
      next.wire.send(publish(t, topic, 'of the new session', 7, true))
      await next.wire.find('pubrec')
      next.wire.send(mqtt.pubrel(7))
      await next.wire.find('pubcomp')
      expect(texts(await t.upToMarker(subscriber, topic))).toEqual(['of the old session', 'of the new session'])
    },
  },
  {
    clause: 'MQTT-4.3.3-10',
    title: 'a PUBLISH that is sent again before its PUBREL is answered by PUBREC and delivered once',
    async run(t) {
      const subscriber = await t.session()
      const topic = t.topic('again')
      await t.subscribe(subscriber, topic)
      const wire = await t.session()
      wire.send(publish(t, topic, 'x', 5), publish(t, topic, 'x', 5, true))
      for (let i = 0; i < 2; i++) expect(await wire.expect('pubrec')).toMatchObject({ id: 5, code: 0 })
      wire.send(publish(t, topic, 'x', 5, true))
      expect(await wire.expect('pubrec')).toMatchObject({ id: 5, code: 0 })
      wire.send(mqtt.pubrel(5))
      expect(await wire.expect('pubcomp')).toMatchObject({ id: 5, code: 0 })
      expect(texts(await t.upToMarker(subscriber, topic))).toEqual(['x'])
    },
  },
  {
    clause: 'MQTT-4.3.3-10',
    title: 'one that is sent again on the next connection is delivered once, to who was away too',
    async run(t) {
      const topic = t.topic('moved')
      const subscriber = await t.session()
      await t.subscribe(subscriber, topic)
      const away = await t.persistent(`${t.name}-away`, true)
      await t.subscribe(away.wire, [[topic, 2]])
      away.wire.destroy()
      const first = await t.persistent(t.name, true)
      first.wire.send(publish(t, topic, 'x', 5))
      await first.wire.expect('pubrec')
      first.wire.destroy()
      const { wire } = await t.persistent(t.name, false)
      wire.send(publish(t, topic, 'x', 5, true))
      expect(await wire.expect('pubrec')).toMatchObject({ id: 5, code: 0 })
      wire.send(mqtt.pubrel(5))
      expect(await wire.expect('pubcomp')).toMatchObject({ id: 5, code: 0 })
      await exactlyOnce(t, wire, topic, 'y', 5)
      expect(texts(await t.upToMarker(subscriber, topic))).toEqual(['x', 'y'])
      const back = await t.persistent(`${t.name}-away`, false)
      expect([await take(back.wire), await take(back.wire)].map((each) => each.payload.toString())).toEqual(['x', 'y'])
    },
  },
  {
    clause: 'MQTT-4.3.3-12',
    title: 'after PUBCOMP the packet identifier brings a new message, though it be the same and DUP be set',
    async run(t) {
      const subscriber = await t.session()
      const topic = t.topic('reuse')
      await t.subscribe(subscriber, topic)
      const wire = await t.session()
      for (const payload of ['one', 'one', 'two']) await exactlyOnce(t, wire, topic, payload, 9)
      wire.send(publish(t, topic, 'two', 9, true))
      expect(await wire.find('pubrec')).toMatchObject({ id: 9 })
      wire.send(mqtt.pubrel(9))
      expect(await wire.find('pubcomp')).toMatchObject({ id: 9, code: 0 })
      expect(texts(await t.upToMarker(subscriber, topic))).toEqual(['one', 'one', 'two', 'two'])
    },
  },
  {
    clause: 'MQTT-4.3.3-11, MQTT-3.7.2-1',
    title: 'a PUBREL for an unknown packet identifier is answered by PUBCOMP, with 0x92 in version 5',
    async run(t) {
      const wire = await t.session()
      wire.send(mqtt.pubrel(77))
      expect(await wire.expect('pubcomp')).toMatchObject({ id: 77, code: t.version === 5 ? 0x92 : 0 })
      await t.roundTrip(wire)
    },
  },
  {
    clause: 'MQTT-4.4.0-1',
    title: 'a PUBREL that comes on the next connection ends the flow that an earlier one began',
    async run(t) {
      const topic = t.topic('late-pubrel')
      const subscriber = await t.session()
      await t.subscribe(subscriber, topic)
      const first = await t.persistent(t.name, true)
      first.wire.send(publish(t, topic, 'x', 3))
      await first.wire.expect('pubrec')
      first.wire.destroy()
      const { wire } = await t.persistent(t.name, false)
      wire.send(mqtt.pubrel(3))
      expect(await wire.expect('pubcomp')).toMatchObject({ id: 3, code: 0 })
      await exactlyOnce(t, wire, topic, 'y', 3)
      expect(texts(await t.upToMarker(subscriber, topic))).toEqual(['x', 'y'])
    },
  },
  {
    clause: 'MQTT-3.6.1-1',
    title: 'a PUBREL with other flags than 0010 ends the connection',
    async run(t) {
      const wire = await t.session()
      wire.send(Buffer.from([0x60, 2, 0, 1]))
      await t.refused(wire, [0x81, 0x82])
    },
  },
  {
    clause: 'MQTT-3.8.4-8',
    title: 'a QoS 2 message comes at the granted QoS, once',
    async run(t) {
      const topic = t.topic('granted')
      const subscribers = [await t.session(), await t.session(), await t.session()]
      for (const [granted, wire] of subscribers.entries()) expect(await t.subscribe(wire, [[topic, granted]])).toEqual([granted])
      const wire = await t.session()
      await exactlyOnce(t, wire, topic, 'x', 1)
      expect(await subscribers[0]?.find('publish')).toMatchObject({ qos: 0 })
      expect(await t.receive(subscribers[1] as Wire)).toMatchObject({ qos: 1 })
      expect(await take(subscribers[2] as Wire)).toMatchObject({ qos: 2, dup: false })
    },
  },
  {
    clause: 'MQTT-4.3.3-1, -2, -4, MQTT-4.6.0-4',
    title: 'PUBREC is answered by PUBREL, in the order of the PUBRECs; nothing comes twice',
    async run(t) {
      const topic = t.topic('out')
      const kept = await t.persistent(t.name, true)
      for (const wire of [await t.session(), kept.wire]) {
        await t.subscribe(wire, [[topic, 2]])
        const publisher = await t.session()
        for (const [i, payload] of ['a', 'b', 'c'].entries()) await exactlyOnce(t, publisher, topic, payload, i + 1)
        const got = [await wire.find('publish'), await wire.find('publish'), await wire.find('publish')]
        expect(got.map((each) => [each.payload.toString(), each.qos, each.dup])).toEqual([
          ['a', 2, false],
          ['b', 2, false],
          ['c', 2, false],
        ])
        expect(new Set(got.map((each) => each.id)).size).toBe(3)
        // Another order than that of the messages: it is the PUBRECs that count.
        const answered = [2, 0, 1].map((i) => (got[i] as mqtt.Delivery).id)
        wire.send(...answered.map((id) => mqtt.pubrec(id)))
        for (const id of answered) expect(await wire.find('pubrel')).toMatchObject({ id, code: 0 })
        wire.send(...answered.map((id) => mqtt.pubcomp(id)))
        await t.roundTrip(wire)
        expect(wire.pending).toEqual([])
      }
    },
  },
  {
    clause: 'MQTT-4.3.3-3, -5, -6, MQTT-3.3.1-1, MQTT-4.6.0-1',
    title: 'after PUBREC the next connection brings PUBREL and not the message; without it, the message with DUP and the same identifier',
    async run(t) {
      const topic = t.topic('resume')
      const first = await t.persistent(t.name, true)
      await t.subscribe(first.wire, [[topic, 2]])
      const publisher = await t.session()
      for (const [i, payload] of ['a', 'b', 'c'].entries()) await exactlyOnce(t, publisher, topic, payload, i + 1)
      const sent = [await first.wire.find('publish'), await first.wire.find('publish'), await first.wire.find('publish')]
      first.wire.send(mqtt.pubrec(sent[1]?.id as number))
      await first.wire.find('pubrel')
      first.wire.destroy()
      const { wire } = await t.persistent(t.name, false)
      const seen = [await wire.next(), await wire.next(), await wire.next()].map((each) => [each.type, 'id' in each && each.id, 'dup' in each && each.dup])
      expect(seen).toEqual([
        ['publish', sent[0]?.id, true],
        ['pubrel', sent[1]?.id, false],
        ['publish', sent[2]?.id, true],
      ])
      wire.send(mqtt.pubcomp(sent[1]?.id as number))
      for (const each of [sent[0], sent[2]]) wire.send(mqtt.pubrec(each?.id as number))
      for (const each of [sent[0], sent[2]]) expect(await wire.find('pubrel')).toMatchObject({ id: each?.id })
      for (const each of [sent[0], sent[2]]) wire.send(mqtt.pubcomp(each?.id as number))
      await t.roundTrip(wire)
      wire.send(mqtt.disconnect(t.version))
      await wire.closed()
      const last = await t.persistent(t.name, false)
      await exactlyOnce(t, publisher, topic, 'd', 1)
      expect((await take(last.wire)).payload.toString()).toBe('d')
      expect(last.wire.pending).toEqual([])
    },
  },
  {
    clause: 'MQTT-4.3.3-4, MQTT-4.4.0-2',
    title: 'a PUBREC with an error ends the flow: no PUBREL, and the message does not come again',
    versions: [5],
    async run(t) {
      const topic = t.topic('refused')
      const first = await t.persistent(t.name, true)
      await t.subscribe(first.wire, [[topic, 2]])
      const publisher = await t.session()
      await exactlyOnce(t, publisher, topic, 'a', 1)
      const { id } = await first.wire.find('publish')
      first.wire.send(mqtt.pubrec(id, 0x97))
      await exactlyOnce(t, publisher, topic, 'b', 1)
      expect((await take(first.wire)).payload.toString()).toBe('b')
      expect(first.wire.pending).toEqual([])
      await t.roundTrip(first.wire)
      first.wire.destroy()
      const { wire } = await t.persistent(t.name, false)
      await exactlyOnce(t, publisher, topic, 'c', 1)
      expect((await take(wire)).payload.toString()).toBe('c')
      expect(wire.pending).toEqual([])
    },
  },
  {
    clause: 'MQTT-4.9.0-1, -2, MQTT-3.3.4-9',
    title: 'the Receive Maximum of the client counts a QoS 2 message until its PUBCOMP',
    versions: [5],
    async run(t) {
      const topic = t.topic('window')
      for (const kept of [false, true]) {
        const properties: mqtt.Properties = [[Property.receiveMaximum, 1]]
        const wire = kept ? (await t.persistent(t.name, true, properties)).wire : await t.session({ properties })
        await t.subscribe(wire, [[topic, 2]])
        const publisher = await t.session()
        for (const payload of ['a', 'b']) await exactlyOnce(t, publisher, topic, payload, 1)
        const first = await wire.find('publish')
        wire.send(mqtt.pubrec(first.id))
        await wire.find('pubrel')
        // Another subscriber has both: the second would have come by now, were it not held back.
        await t.roundTrip(wire)
        await t.publish(topic, 'at 0', { qos: 0 })
        expect(await wire.find('publish')).toMatchObject({ qos: 0 })
        expect(wire.pending).toEqual([])
        wire.send(mqtt.pubcomp(first.id))
        expect((await take(wire)).payload.toString()).toBe('b')
      }
    },
  },
  {
    clause: 'MQTT-3.3.4-7',
    title: 'more QoS 2 publishes without PUBREL than the Receive Maximum of the server end the connection with 0x93',
    versions: [5],
    async run(t) {
      const { wire, connack } = await t.connect()
      const receiveMaximum = (valueFor(connack, Property.receiveMaximum) as number | undefined) ?? 65_535
      const ids = Array.from({ length: receiveMaximum }, (_, i) => i + 1)
      wire.send(...ids.map((id) => publish(t, t.topic('quota'), 'x', id)))
      for (const id of ids) expect(await wire.expect('pubrec')).toMatchObject({ id })
      wire.send(mqtt.pubrel(1))
      await wire.expect('pubcomp')
      wire.send(publish(t, t.topic('quota'), 'x', 1))
      await wire.expect('pubrec')
      wire.send(publish(t, t.topic('quota'), 'x', receiveMaximum + 1))
      await t.refused(wire, [0x93])
    },
  },
  {
    clause: 'MQTT-4.3.3-8',
    title: 'a 3.1.1 client may have any number of publishes that wait for PUBREL',
    versions: [4],
    async run(t) {
      const wire = await t.session()
      const ids = Array.from({ length: 2_500 }, (_, i) => i + 1)
      wire.send(...ids.map((id) => publish(t, t.topic('many'), 'x', id)))
      for (const id of ids) expect(await wire.expect('pubrec')).toMatchObject({ id })
      wire.send(...ids.map((id) => mqtt.pubrel(id)))
      for (const id of ids) expect(await wire.expect('pubcomp')).toMatchObject({ id })
    },
  },
  {
    clause: 'MQTT-3.6.2-1',
    title: 'PUBREC, PUBCOMP and PUBACK for what is not in flight do no harm',
    async run(t) {
      const wire = await t.session()
      wire.send(mqtt.pubcomp(5), mqtt.puback(6), mqtt.pubrec(7))
      expect(await wire.expect('pubrel')).toMatchObject({ id: 7, code: t.version === 5 ? 0x92 : 0 })
      await t.roundTrip(wire)
    },
  },
  {
    clause: 'MQTT-4.9.0-2, MQTT-4.4.0-2',
    title: 'a PUBACK or PUBREC with an error makes room for the next message',
    versions: [5],
    async run(t) {
      const wire = await t.session({ properties: [[Property.receiveMaximum, 1]] })
      await t.subscribe(wire, [[t.topic('a'), 2]])
      const publisher = await t.session()
      await exactlyOnce(t, publisher, t.topic('a'), 'at 2', 1)
      for (const payload of ['at 1', 'last']) await t.publishOn(publisher, t.topic('a'), payload)
      wire.send(mqtt.pubrec((await wire.find('publish')).id, 0x97))
      const second = await wire.find('publish')
      expect(second).toMatchObject({ payload: Buffer.from('at 1'), qos: 1 })
      wire.send(mqtt.puback(second.id, 0x97))
      expect((await t.receive(wire)).payload.toString()).toBe('last')
    },
  },
]
