import { expect } from '@jest/globals'
import { until } from '../support/stack.ts'
import * as mqtt from '../wire/bytes.ts'
import { Property, valueFor, valuesFor } from '../wire/bytes.ts'
import type { Case } from './trial.ts'

const malformedOrProtocolError = [0x81, 0x82]

/** Sections 3.3, 3.4, 4.3, 4.9: messages in and out. */
export const publishCases: readonly Case[] = [
  {
    clause: 'MQTT-3.3.1-4',
    title: 'PUBLISH at QoS 3 ends the connection',
    async run(t) {
      const wire = await t.session()
      wire.send(mqtt.publish({ version: t.version, topic: t.topic('a'), qos: 3, id: 1 }))
      await t.refused(wire, [0x81])
    },
  },
  {
    clause: 'MQTT-3.3.1-2',
    title: 'DUP at QoS 0 ends the connection',
    async run(t) {
      const wire = await t.session()
      wire.send(mqtt.publish({ version: t.version, topic: t.topic('a'), qos: 0, dup: true }))
      await t.refused(wire, malformedOrProtocolError)
    },
  },
  {
    clause: 'MQTT-3.3.2-2, MQTT-4.7.0-1',
    title: 'a wildcard in a topic name ends the connection',
    async run(t) {
      for (const topic of ['a/#', '+/b', 'a+b', '#']) {
        const wire = await t.session()
        wire.send(mqtt.publish({ version: t.version, topic: t.topic(topic), qos: 1, id: 1 }))
        await t.refused(wire, [0x81, 0x82, 0x90])
      }
    },
  },
  {
    clause: 'MQTT-4.7.3-1',
    title: 'an empty topic name ends the connection',
    async run(t) {
      const wire = await t.session()
      wire.send(mqtt.publish({ version: t.version, topic: '', qos: 1, id: 1 }))
      await t.refused(wire, [0x81, 0x82, 0x90])
    },
  },
  {
    clause: 'MQTT-1.5.4-1, -2, MQTT-3.3.2-1, MQTT-4.7.3-2',
    title: 'a topic name that is not UTF-8 or holds U+0000 ends the connection',
    async run(t) {
      for (const topic of [Buffer.from([0x61, 0xc3, 0x28]), Buffer.from([0x61, 0x00, 0x62])]) {
        const wire = await t.session()
        wire.send(mqtt.publish({ version: t.version, topic, qos: 1, id: 1 }))
        await t.refused(wire, [0x81, 0x82, 0x90])
      }
    },
  },
  {
    clause: 'MQTT-2.2.1-3',
    title: 'packet identifier 0 at QoS 1 ends the connection',
    async run(t) {
      const wire = await t.session()
      wire.send(mqtt.publish({ version: t.version, topic: t.topic('a'), qos: 1, id: 0 }))
      await t.refused(wire, malformedOrProtocolError)
    },
  },
  {
    clause: 'MQTT-4.6.0-2, MQTT-4.3.2-4, MQTT-2.2.1-5',
    title: 'each QoS 1 PUBLISH is acknowledged by its identifier, in the order they came',
    async run(t) {
      const wire = await t.session()
      const ids = Array.from({ length: 50 }, (_, i) => ((i * 7919) % 65_535) + 1)
      wire.send(...ids.map((id, i) => mqtt.publish({ version: t.version, topic: t.topic(`${i % 5}`), payload: `${i}`, qos: 1, id })))
      const acknowledged: number[] = []
      for (const _ of ids) acknowledged.push((await wire.expect('puback')).id)
      expect(acknowledged).toEqual(ids)
    },
  },
  {
    clause: 'MQTT-4.3.2-5',
    title: 'a packet identifier brings a new message once it is acknowledged, though the message be the same and DUP be set',
    async run(t) {
      const subscriber = await t.session()
      const topic = t.topic('again')
      await t.subscribe(subscriber, topic)
      const wire = await t.session()
      for (const dup of [false, false, true, true]) {
        wire.send(mqtt.publish({ version: t.version, topic, payload: 'same', qos: 1, id: 9, dup }))
        expect(await wire.expect('puback')).toMatchObject({ id: 9 })
      }
      expect((await t.upToMarker(subscriber, topic)).map((each) => each.payload.toString())).toEqual(['same', 'same', 'same', 'same'])
    },
  },
  {
    clause: 'MQTT-3.3.1-3',
    title: 'the DUP flag of a publisher does not travel to subscribers',
    async run(t) {
      const subscriber = await t.session()
      await t.subscribe(subscriber, t.topic('dup'))
      await t.publish(t.topic('dup'), 'again', { dup: true })
      expect(await t.receive(subscriber)).toMatchObject({ dup: false })
    },
  },
  {
    clause: 'MQTT-3.8.4-8',
    title: 'a message comes at the lower of its own and the granted QoS, once',
    async run(t) {
      const subscribers = [await t.session(), await t.session()]
      const topic = t.topic('qos')
      for (const [granted, wire] of subscribers.entries()) expect(await t.subscribe(wire, [[topic, granted]])).toEqual([granted])
      await t.publish(topic, 'at 0', { qos: 0 })
      await t.publish(topic, 'at 1', { qos: 1 })
      await t.publish(topic, 'marker')
      for (const [granted, wire] of subscribers.entries()) {
        const got: mqtt.Delivery[] = []
        for (let each = await t.receive(wire); each.payload.toString() !== 'marker'; each = await t.receive(wire)) got.push(each)
        const seen = got.map((each) => `${each.payload} came at ${each.qos}`).sort()
        expect(seen).toEqual(['at 0 came at 0', `at 1 came at ${granted}`])
      }
    },
  },
  {
    clause: 'MQTT-4.6.0-5, -6',
    title: 'M5-16: messages of one topic come in the order they were published',
    async run(t) {
      const subscriber = await t.session()
      const topic = t.topic('ordered')
      await t.subscribe(subscriber, t.topic('#'))
      const wire = await t.session()
      const sent = Array.from({ length: 100 }, (_, i) => `${i}`)
      wire.send(...sent.map((payload, i) => mqtt.publish({ version: t.version, topic, payload, qos: 1, id: i + 1 })))
      const got: string[] = []
      while (got.length < sent.length) got.push((await t.receive(subscriber)).payload.toString())
      expect(got).toEqual(sent)
    },
  },
  {
    clause: '3.3.3',
    title: 'an empty payload and every byte value arrive as sent',
    async run(t) {
      const subscriber = await t.session()
      const topic = t.topic('bytes')
      await t.subscribe(subscriber, topic)
      const all = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
      await t.publish(topic, '', { payload: Buffer.alloc(0) })
      await t.publish(topic, '', { payload: all })
      expect((await t.receive(subscriber)).payload).toEqual(Buffer.alloc(0))
      expect((await t.receive(subscriber)).payload).toEqual(all)
    },
  },
  {
    clause: 'MQTT-3.3.2-4, -15, -16, -17, -18, -20',
    title: 'M5-04, M5-09, M5-10: payload format, content type, response topic, correlation data and user properties in their order arrive unaltered',
    versions: [5],
    async run(t) {
      const subscriber = await t.session()
      const topic = t.topic('properties')
      await t.subscribe(subscriber, topic)
      const list: mqtt.Properties = [
        [Property.payloadFormatIndicator, 1],
        [Property.contentType, 'application/geo+json'],
        [Property.responseTopic, t.topic('answer')],
        [Property.correlationData, Buffer.from([0, 1, 254, 255])],
        [Property.userProperty, ['b', '1']],
        [Property.userProperty, ['a', '2']],
        [Property.userProperty, ['b', '3']],
        [Property.userProperty, ['', 'ü 🦀']],
      ]
      await t.publish(topic, 'text', { properties: list })
      const got = await t.receive(subscriber)
      for (const [identifier, value] of list.slice(0, 4)) expect(valueFor(got, identifier)).toEqual(value)
      expect(valuesFor(got, Property.userProperty)).toEqual(valuesFor({ properties: list }, Property.userProperty))
    },
  },
  {
    clause: 'MQTT-3.3.2-6',
    title: 'the expiry interval of a message that waited for its receiver is lowered by the time it waited',
    lasts: true,
    versions: [5],
    async run(t) {
      const topic = t.topic('expiry')
      const first = await t.persistent(t.name, true)
      await t.subscribe(first.wire, topic)
      first.wire.send(mqtt.disconnect(5))
      await first.wire.closed()
      const before = Date.now()
      await t.publish(topic, 'waits', { properties: [[Property.messageExpiryInterval, 100]] })
      const acknowledgedAt = Date.now()
      await until('more than a second has passed since the PUBACK', 60_000, () => Date.now() - acknowledgedAt > 1_000)
      const { wire } = await t.persistent(t.name, false)
      const left = Number(valueFor(await t.receive(wire), Property.messageExpiryInterval))
      expect(left).toBeLessThan(100)
      expect(left).toBeGreaterThanOrEqual(100 - Math.ceil((Date.now() - before) / 1_000))
    },
  },
  {
    clause: 'MQTT-3.3.2-5',
    title: 'a message that expired while its receiver was away is not delivered',
    lasts: true,
    versions: [5],
    async run(t) {
      const topic = t.topic('expired')
      const first = await t.persistent(t.name, true)
      await t.subscribe(first.wire, topic)
      first.wire.send(mqtt.disconnect(5))
      await first.wire.closed()
      await t.publish(topic, 'short', { properties: [[Property.messageExpiryInterval, 1]] })
      await t.publish(topic, 'long', { properties: [[Property.messageExpiryInterval, 100]] })
      await new Promise((resolve) => setTimeout(resolve, 2_100)) // the time that passes is what is tested
      const { wire } = await t.persistent(t.name, false)
      expect((await t.upToMarker(wire, topic)).map((each) => each.payload.toString())).toEqual(['long'])
    },
  },
  {
    clause: 'MQTT-3.3.2-12, -7',
    title: 'every topic alias from 1 to the maximum stands for its topic, can be given another, and ends with the connection, not with the session',
    versions: [5],
    async run(t) {
      const { wire, connack } = await t.persistent(t.name, true)
      const maximum = Number(valueFor(connack, Property.topicAliasMaximum) ?? 0)
      if (!t.isOwn && maximum === 0) return // this server takes no aliases
      const subscriber = await t.session()
      await t.subscribe(subscriber, t.topic('alias/+'))
      const aliases = Array.from({ length: Math.min(maximum, 100) }, (_, i) => maximum - i)
      const topicOf = (alias: number, round: number) => t.topic(`alias/${alias + round}`) // in each round another's of the one before
      const expected: string[] = []
      for (const round of [0, 1]) {
        for (const alias of aliases) await t.publishOn(wire, topicOf(alias, round), `named ${alias}`, { properties: [[Property.topicAlias, alias]] })
        for (const alias of aliases) await t.publishOn(wire, '', `alias ${alias}`, { properties: [[Property.topicAlias, alias]] })
        for (const what of ['named', 'alias']) for (const alias of aliases) expected.push(`${what} ${alias} ${topicOf(alias, round)}`)
      }
      const got: string[] = []
      while (got.length < expected.length) {
        const each = await t.receive(subscriber)
        got.push(`${each.payload} ${each.topic}`)
      }
      expect(got.sort()).toEqual(expected.sort())
      wire.destroy()
      const again = await t.persistent(t.name, false)
      expect(again.connack.sessionPresent).toBe(true)
      again.wire.send(mqtt.publish({ version: 5, topic: '', qos: 1, id: 1, properties: [[Property.topicAlias, maximum]] })) // [MQTT-3.3.2-7]
      await t.refused(again.wire, [0x82])
    },
  },
  {
    clause: 'MQTT-3.3.2-8, -9, MQTT-3.2.2-17',
    title: 'topic alias 0 and one above the Topic Alias Maximum end the connection with 0x94',
    versions: [5],
    async run(t) {
      for (const beyond of [false, true]) {
        const { wire, connack } = await t.connect()
        const alias = beyond ? Number(valueFor(connack, Property.topicAliasMaximum) ?? 0) + 1 : 0
        wire.send(mqtt.publish({ version: 5, topic: t.topic('a'), qos: 1, id: 1, properties: [[Property.topicAlias, alias]] }))
        await t.refused(wire, [0x94, 0x82])
      }
    },
  },
  {
    clause: 'MQTT-3.3.2-14',
    title: 'a wildcard in a Response Topic is refused',
    versions: [5],
    async run(t) {
      const wire = await t.session()
      wire.send(mqtt.publish({ version: 5, topic: t.topic('a'), qos: 1, id: 1, properties: [[Property.responseTopic, 'a/#']] }))
      await t.refused(wire, [0x81, 0x82, 0x90])
    },
  },
  {
    clause: 'MQTT-3.3.4-6',
    title: 'a Subscription Identifier in a PUBLISH from a client is refused',
    versions: [5],
    async run(t) {
      const wire = await t.session()
      wire.send(mqtt.publish({ version: 5, topic: t.topic('a'), qos: 1, id: 1, properties: [[Property.subscriptionIdentifier, 1]] }))
      await t.refused(wire, malformedOrProtocolError)
    },
  },
  {
    clause: 'MQTT-3.3.4-9',
    title: "M5-08: no more unacknowledged QoS 1 messages than the client's Receive Maximum, while QoS 0 goes on",
    versions: [5],
    async run(t) {
      const wire = await t.session({ properties: [[Property.receiveMaximum, 2]] })
      const control = await t.session()
      const topic = t.topic('flow')
      await t.subscribe(wire, topic)
      await t.subscribe(control, topic)
      for (const payload of ['1', '2', '3', '4', '5']) await t.publish(topic, payload)
      for (let i = 0; i < 5; i++) await t.receive(control)
      const first = await wire.find('publish')
      const second = await wire.find('publish')
      await t.roundTrip(wire)
      expect(wire.pending).toEqual([])
      await t.publish(topic, 'unlimited', { qos: 0 })
      expect(await wire.find('publish')).toMatchObject({ qos: 0 })
      wire.send(mqtt.puback(first.id))
      const third = await wire.find('publish')
      await t.roundTrip(wire)
      expect(wire.pending).toEqual([])
      wire.send(mqtt.puback(second.id), mqtt.puback(third.id))
      const got = [first, second, third, await t.receive(wire), await t.receive(wire)]
      expect(got.map((each) => each.payload.toString())).toEqual(['1', '2', '3', '4', '5'])
    },
  },
  {
    clause: 'MQTT-3.3.4-7',
    title: "a burst beyond the server's Receive Maximum is refused with 0x93 or acknowledged to the last message",
    versions: [5],
    async run(t) {
      const { wire, connack } = await t.connect()
      const maximum = Number(valueFor(connack, Property.receiveMaximum) ?? 65_535)
      if (!t.isOwn && maximum > 5_000) return // too large to be exceeded in one go
      const burst = Array.from({ length: maximum * 3 }, (_, i) => mqtt.publish({ version: 5, topic: t.topic('burst'), payload: 'x', qos: 1, id: i + 1 }))
      wire.send(...burst)
      const acknowledged: number[] = []
      while (acknowledged.length < burst.length) {
        const packet = await wire.next('an acknowledgement')
        if (packet.type === 'disconnect') {
          expect(packet.code).toBe(0x93)
          break
        }
        if (packet.type === 'puback') acknowledged.push(packet.id)
      }
      expect(acknowledged).toEqual(Array.from({ length: acknowledged.length }, (_, i) => i + 1))
    },
  },
  {
    clause: 'MQTT-4.4.0-2',
    title: 'a PUBACK with an error is an acknowledgement: the message does not come again',
    versions: [5],
    async run(t) {
      const topic = t.topic('no')
      const first = await t.persistent(t.name, true)
      await t.subscribe(first.wire, topic)
      await t.publish(topic, 'unwanted')
      first.wire.send(mqtt.puback((await first.wire.find('publish')).id, 0x80))
      await t.roundTrip(first.wire).catch(() => {}) // Event Grid ends the connection here; the specification lets it stay
      first.wire.destroy()
      const { wire } = await t.persistent(t.name, false)
      expect((await t.upToMarker(wire, topic)).map((each) => each.payload.toString())).toEqual([])
    },
  },
]
