import { expect } from '@jest/globals'
import * as mqtt from '../wire/bytes.ts'
import { Property, valueFor } from '../wire/bytes.ts'
import type { Case, Trial } from './trial.ts'

const texts = (deliveries: readonly mqtt.Delivery[]): string[] => deliveries.map(({ payload }) => payload.toString())
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** PUBLISH at QoS 2 to PUBCOMP, from a client of its own. */
async function exactlyOnce(t: Trial, topic: string, payload: string, properties: mqtt.Properties = []): Promise<void> {
  const wire = await t.session()
  wire.send(mqtt.publish({ version: t.version, topic, payload, qos: 2, id: 1, properties }))
  await wire.find('pubrec')
  wire.send(mqtt.pubrel(1))
  await wire.find('pubcomp')
  wire.destroy()
}

/** Sections 1.5, 2.2.1, 3.3 and 4.3: from a publisher to a subscriber, and how each answers the other. */
export const forwardingCases: readonly Case[] = [
  {
    clause: 'MQTT-1.5.4-3, MQTT-4.7.3-4',
    title: 'U+FEFF is a character like any other: it stays in a topic, and a filter without it does not match',
    async run(t) {
      const wire = await t.session()
      const without = await t.session()
      const topic = t.topic('\ufeffbom/\ufeff')
      await t.subscribe(wire, topic)
      await t.subscribe(without, t.topic('bom/'))
      await t.publish(topic, '\ufeffx')
      const delivery = await t.receive(wire)
      expect([delivery.topic, delivery.payload]).toEqual([topic, Buffer.from('\ufeffx')])
      expect(texts(await t.upToMarker(without, t.topic('bom/')))).toEqual([])
    },
  },
  {
    clause: 'MQTT-4.7.3-4',
    title: 'composed and decomposed characters are different topics',
    async run(t) {
      const wire = await t.session()
      await t.subscribe(wire, t.topic('\u00e9'))
      await t.publish(t.topic('e\u0301'), 'decomposed')
      await t.publish(t.topic('\u00e9'), 'composed')
      expect(texts(await t.upToMarker(wire, t.topic('\u00e9')))).toEqual(['composed'])
    },
  },
  {
    clause: 'MQTT-4.7.3-3',
    title: 'a topic of 65 535 bytes is delivered or refused, and the server goes on',
    async run(t) {
      const wire = await t.session()
      wire.send(mqtt.publish({ version: t.version, topic: t.topic('x'.repeat(65_534 - t.name.length)), qos: 1, id: 1 }))
      const answer = await wire.next('an answer').catch(() => null)
      if (answer !== null) expect(['puback', 'disconnect']).toContain(answer.type)
      if (answer?.type === 'disconnect') expect([0x90, 0x95]).toContain(answer.code)
      await t.roundTrip(await t.session())
    },
  },
  {
    clause: 'MQTT-2.2.1-2, MQTT-4.3.1-1',
    title: 'QoS 0 has no packet identifier and no DUP, in and out: the payload begins where it begins',
    async run(t) {
      const wire = await t.session()
      await t.subscribe(wire, [[t.topic('a'), 2]])
      const payload = Buffer.from([0, 7, 0, 8])
      await t.publish(t.topic('a'), '', { qos: 0, payload })
      expect(await t.receive(wire)).toMatchObject({ qos: 0, dup: false, payload })
    },
  },
  {
    clause: 'MQTT-3.3.4-1',
    title: 'PUBLISH is answered as its QoS demands: not at all, by PUBACK, by PUBREC',
    async run(t) {
      const wire = await t.session()
      for (const qos of [0, 1, 2]) wire.send(mqtt.publish({ version: t.version, topic: t.topic('a'), qos, id: 10 + qos }))
      wire.send(mqtt.pubrel(12))
      expect(await wire.expect('puback')).toMatchObject({ id: 11 })
      expect(await wire.expect('pubrec')).toMatchObject({ id: 12 })
      expect(await wire.expect('pubcomp')).toMatchObject({ id: 12 })
      await t.roundTrip(wire)
      expect(wire.pending).toEqual([])
    },
  },
  {
    clause: 'MQTT-2.2.1-4, MQTT-4.3.2-1, MQTT-4.3.3-1, MQTT-4.3.2-2, MQTT-4.3.3-2',
    title: 'messages in flight at QoS 1 and 2 have packet identifiers of their own and no DUP, also when some are acknowledged in between',
    async run(t) {
      for (const wire of [await t.session(), (await t.persistent(t.name, true)).wire]) {
        await t.subscribe(wire, [
          [t.topic('1'), 1],
          [t.topic('2'), 2],
        ])
        const held = new Set<number>()
        for (let i = 0; i < 24; i++) {
          if (i % 2 === 0) await t.publish(t.topic('1'), `${i}`)
          else await exactlyOnce(t, t.topic('2'), `${i}`)
          const { id, dup, qos } = await wire.find('publish')
          expect([id > 0, held.has(id), dup, qos]).toEqual([true, false, false, i % 2 === 0 ? 1 : 2])
          if (i % 4 === 0) wire.send(mqtt.puback(id))
          else held.add(id)
        }
      }
    },
  },
  {
    clause: 'MQTT-3.1.2-26, MQTT-3.3.2-11, -7',
    title: 'topic aliases to a client stay within its Topic Alias Maximum, stand for the right topics, and begin anew with each connection',
    versions: [5],
    async run(t) {
      for (let connection = 0; connection < 2; connection++) {
        const wire = await t.session({ clientId: t.name, properties: [[Property.topicAliasMaximum, 2]] })
        await t.subscribe(wire, t.topic('+'))
        const names = new Map<unknown, string>()
        for (let i = 0; i < 18; i++) {
          const topic = t.topic(`t${Math.floor(i / 2) % 3}`) // three topics for two aliases
          await t.publish(topic, topic)
          const delivery = await t.receive(wire)
          const alias = valueFor(delivery, Property.topicAlias)
          if (alias !== undefined && delivery.topic !== '') names.set(alias, delivery.topic)
          expect(delivery.topic === '' ? names.get(alias) : delivery.topic).toBe(delivery.payload.toString())
        }
        expect(Math.max(0, ...[...names.keys()].map(Number))).toBeLessThanOrEqual(2)
        if (t.isOwn) expect(names.size).toBeGreaterThan(0)
      }
    },
  },
  {
    clause: 'MQTT-3.1.2-27',
    title: 'a client that takes no topic aliases, by saying so or by saying nothing, gets none',
    versions: [5],
    async run(t) {
      for (const properties of [[], [[Property.topicAliasMaximum, 0] as const]]) {
        const wire = await t.session({ properties })
        await t.subscribe(wire, t.topic('a'))
        for (let i = 0; i < 6; i++) await t.publish(t.topic('a'), `${i}`)
        for (let i = 0; i < 6; i++) {
          const delivery = await t.receive(wire)
          expect([delivery.topic, valueFor(delivery, Property.topicAlias)]).toEqual([t.topic('a'), undefined])
        }
      }
    },
  },
  {
    clause: 'MQTT-3.3.4-10, MQTT-4.9.0-2, -3',
    title: 'a client that acknowledges nothing is answered in everything else',
    versions: [5],
    async run(t) {
      const wire = await t.session({ properties: [[Property.receiveMaximum, 1]] })
      await t.subscribe(wire, t.topic('a'))
      await t.publish(t.topic('a'), '1')
      await t.publish(t.topic('a'), '2')
      await wire.find('publish')
      wire.send(
        mqtt.subscribe(5, 501, [[t.topic('b'), 0]]),
        mqtt.unsubscribe(5, 502, [t.topic('c')]),
        mqtt.publish({ version: 5, topic: t.topic('d'), qos: 1, id: 503 }),
        mqtt.publish({ version: 5, topic: t.topic('d'), qos: 2, id: 504 }),
        mqtt.pubrel(504),
      )
      expect([(await wire.find('suback')).id, (await wire.find('unsuback')).id, (await wire.find('puback')).id]).toEqual([501, 502, 503])
      expect([(await wire.find('pubrec')).id, (await wire.find('pubcomp')).id]).toEqual([504, 504])
      await t.roundTrip(wire)
      expect(wire.pending).toEqual([])
    },
  },
  {
    clause: 'MQTT-4.3.3-9, MQTT-3.5.2-1, MQTT-3.4.2-1',
    title: 'a PUBLISH without permission is refused by name, and its packet identifier brings a new message',
    versions: [5],
    async run(t) {
      const wire = await t.session()
      const subscriber = await t.session()
      await t.subscribe(subscriber, t.topic('a'))
      wire.send(mqtt.publish({ version: 5, topic: '$SYS/a', qos: 1, id: 8 }), mqtt.publish({ version: 5, topic: '$SYS/a', qos: 2, id: 9 }))
      const refusals = [await wire.find('puback'), await wire.find('pubrec')]
      if (!t.isOwn && refusals.some(({ code }) => code < 0x80)) return // another server may allow it
      expect(refusals.map(({ code }) => code)).toEqual([0x87, 0x87])
      wire.send(mqtt.publish({ version: 5, topic: t.topic('a'), payload: 'x', qos: 2, id: 9 }))
      expect(await wire.find('pubrec')).toMatchObject({ id: 9, code: 0 })
      wire.send(mqtt.pubrel(9))
      expect(await wire.find('pubcomp')).toMatchObject({ id: 9, code: 0 })
      expect(texts(await t.upToMarker(subscriber, t.topic('a')))).toEqual(['x'])
    },
  },
  {
    clause: '3.1.1 MQTT-3.3.5-2',
    title: 'a PUBLISH without permission is acknowledged or ends the connection, and reaches nobody',
    versions: [4],
    async run(t) {
      const subscriber = await t.session()
      await t.subscribe(subscriber, [
        ['$SYS/#', 1],
        [t.topic('a'), 1],
      ])
      const wire = await t.session()
      wire.send(mqtt.publish({ version: 4, topic: `$SYS/${t.name}`, payload: 'forbidden', qos: 1, id: 1 }))
      const answer = await wire.next('an answer').catch(() => null)
      if (answer !== null) expect(answer).toMatchObject({ type: 'puback', id: 1 })
      if (!t.isOwn) return // another server may allow it
      expect((await t.upToMarker(subscriber, t.topic('a'))).map(({ payload }) => payload.toString())).not.toContain('forbidden')
    },
  },
  {
    clause: 'MQTT-4.3.3-13',
    title: 'the acknowledgements of QoS 2 go on though the message has expired',
    lasts: true,
    versions: [5],
    async run(t) {
      const wire = await t.session()
      wire.send(mqtt.publish({ version: 5, topic: t.topic('a'), qos: 2, id: 4, properties: [[Property.messageExpiryInterval, 1]] }))
      expect(await wire.find('pubrec')).toMatchObject({ id: 4, code: 0 })
      await pause(1_500) // the time that passes is what is tested
      wire.send(mqtt.pubrel(4))
      expect(await wire.find('pubcomp')).toMatchObject({ id: 4, code: 0 })
    },
  },
  {
    clause: 'MQTT-4.3.3-7',
    title: 'a QoS 2 message that was sent is not ended by its expiry: it comes again on the next connection',
    lasts: true,
    versions: [5],
    async run(t) {
      const first = await t.persistent(t.name, true)
      await t.subscribe(first.wire, [[t.topic('a'), 2]])
      await exactlyOnce(t, t.topic('a'), 'begun', [[Property.messageExpiryInterval, 8]])
      const begun = await first.wire.find('publish')
      await pause(8_500) // the time that passes is what is tested
      first.wire.destroy()
      const { wire } = await t.persistent(t.name, false)
      expect(await wire.find('publish')).toMatchObject({ id: begun.id, dup: true, qos: 2 })
      wire.send(mqtt.pubrec(begun.id))
      expect(await wire.find('pubrel')).toMatchObject({ id: begun.id })
      wire.send(mqtt.pubcomp(begun.id))
    },
  },
  {
    clause: 'MQTT-3.1.2-28',
    title: 'Response Information comes to who asks for it, and to nobody else',
    versions: [5],
    async run(t) {
      for (const asks of [0, 1]) {
        const clientId = `${t.name}-${asks}`
        const { connack } = await t.connect({ clientId, properties: [[Property.requestResponseInformation, asks]] })
        const told = valueFor(connack, Property.responseInformation)
        if (asks === 0) expect(told).toBeUndefined()
        else if (t.isOwn) expect(told).toBe(`answers/${clientId}`)
        else expect(['undefined', 'string']).toContain(typeof told) // another server may have none to tell
      }
    },
  },
]
