import { expect } from '@jest/globals'
import * as mqtt from '../wire/bytes.ts'
import { Property, valueFor } from '../wire/bytes.ts'
import type { Case } from './trial.ts'

const malformedOrProtocolError = [0x81, 0x82]

/** Section 3.1 and 3.2: who gets in, and what the answer says. */
export const connectCases: readonly Case[] = [
  {
    clause: 'MQTT-3.1.0-1',
    title: 'a first packet that is not CONNECT ends the connection',
    async run(t) {
      for (const first of [mqtt.pingreq, mqtt.subscribe(t.version, 1, [['a', 0]]), mqtt.publish({ version: t.version, topic: 'a' })]) {
        const wire = await t.open()
        wire.send(first)
        expect((await wire.closed()).filter((each) => each.type !== 'disconnect')).toEqual([])
      }
    },
  },
  {
    clause: 'MQTT-3.1.0-2, MQTT-3.2.0-2',
    title: 'a second CONNECT ends the connection',
    async run(t) {
      const wire = await t.session()
      wire.send(t.connectPacket())
      await t.refused(wire, [0x82])
    },
  },
  {
    clause: 'MQTT-3.1.2-1',
    title: 'another protocol name ends the connection',
    async run(t) {
      const wire = await t.open()
      wire.send(mqtt.connect({ version: t.version, clientId: t.name, protocolName: 'HTTP' }))
      await t.refused(wire, [0x84, 0x81, 0x82, 1])
    },
  },
  {
    clause: 'MQTT-3.1.2-2',
    title: 'an unknown protocol version is refused',
    async run(t) {
      for (const protocolLevel of t.version === 4 ? [0, 2, 3] : [6, 9, 127]) {
        const wire = await t.open()
        wire.send(mqtt.connect({ version: t.version, clientId: t.name, protocolLevel }))
        await t.refused(wire, [0x84, 1])
      }
    },
  },
  {
    clause: 'MQTT-3.1.2-3',
    title: 'the reserved connect flag must be 0',
    async run(t) {
      const wire = await t.open()
      wire.send(mqtt.connect({ version: t.version, clientId: t.name, flags: 3 }))
      await t.refused(wire, [0x81, 0x82])
    },
  },
  {
    clause: 'MQTT-3.1.2-11',
    title: 'a will QoS without the will flag is refused',
    async run(t) {
      const wire = await t.open()
      wire.send(mqtt.connect({ version: t.version, clientId: t.name, flags: 2 | 8 }))
      await t.refused(wire, malformedOrProtocolError)
    },
  },
  {
    clause: 'MQTT-3.1.2-12',
    title: 'a will at QoS 3 is refused',
    async run(t) {
      const wire = await t.open()
      const will = Buffer.concat([mqtt.properties(t.version), mqtt.text('a'), mqtt.text('b')])
      wire.send(mqtt.connect({ version: t.version, clientId: t.name, flags: 2 | 4 | 0x18, extra: will }))
      await t.refused(wire, malformedOrProtocolError)
    },
  },
  {
    clause: '3.1.1 MQTT-3.1.2-22',
    title: 'a password without a user name is refused',
    versions: [4],
    async run(t) {
      const wire = await t.open()
      wire.send(mqtt.connect({ version: t.version, clientId: t.name, password: 'secret' }))
      await t.refused(wire, [1, 2, 3, 4, 5])
    },
  },
  {
    clause: 'MQTT-3.1.2-4, MQTT-3.1.4-4, MQTT-3.2.2-2',
    title: 'clean start ends the old session: none is present',
    async run(t) {
      const first = await t.persistent(t.name, true)
      first.wire.send(mqtt.disconnect(t.version))
      await first.wire.closed()
      expect((await t.connect({ clientId: t.name, clean: true })).connack).toMatchObject({ code: 0, sessionPresent: false })
      expect((await t.persistent(t.name, false)).connack).toMatchObject({ code: 0, sessionPresent: false })
    },
  },
  {
    clause: 'MQTT-3.1.2-5, -23, MQTT-3.2.2-3',
    title: 'without clean start an existing session goes on: it is present',
    async run(t) {
      const first = await t.persistent(t.name, true)
      first.wire.send(mqtt.disconnect(t.version))
      await first.wire.closed()
      expect((await t.persistent(t.name, false)).connack).toMatchObject({ code: 0, sessionPresent: true })
    },
  },
  {
    clause: 'MQTT-3.1.2-6, MQTT-3.2.2-3',
    title: 'without clean start and without a session none is present',
    async run(t) {
      expect((await t.persistent(t.name, false)).connack).toMatchObject({ code: 0, sessionPresent: false })
    },
  },
  {
    clause: 'MQTT-4.1.0-2',
    title: 'a session of expiry 0 ends with its connection',
    versions: [5],
    async run(t) {
      const first = await t.connect({ clientId: t.name, clean: true, expiry: 0 })
      first.wire.send(mqtt.disconnect(5))
      await first.wire.closed()
      expect((await t.persistent(t.name, false)).connack.sessionPresent).toBe(false)
    },
  },
  {
    clause: 'MQTT-3.1.2-22, MQTT-3.2.2-22',
    title: 'a client that is silent for one and a half times its keep alive is closed, not sooner, and long before one whose keep alive is longer',
    lasts: true,
    async run(t) {
      const since = performance.now()
      const longer = await t.session({ keepAlive: 40 })
      const wire = await t.session({ keepAlive: 1 })
      await t.refused(wire, [0x8d])
      expect(performance.now() - since).toBeGreaterThan(1_400)
      expect(longer.isClosed).toBe(false)
    },
  },
  {
    clause: 'MQTT-3.12.4-1',
    title: 'PINGREQ is answered and keeps the connection open',
    lasts: true,
    async run(t) {
      const wire = await t.session({ keepAlive: 4 })
      for (let i = 0; i < 7; i++) {
        await t.roundTrip(wire)
        await new Promise((resolve) => setTimeout(resolve, 900)) // the time that passes is what is tested
      }
      await t.roundTrip(wire)
    },
  },
  {
    clause: 'MQTT-3.1.3-6, -7',
    title: 'an empty client id with clean start gets in',
    async run(t) {
      const { connack } = await t.connect({ clientId: '', clean: true })
      expect(connack).toMatchObject({ code: 0, sessionPresent: false })
      if (t.version === 5) expect(String(valueFor(connack, Property.assignedClientIdentifier)).length).toBeGreaterThan(0) // [MQTT-3.2.2-16]
    },
  },
  {
    clause: 'MQTT-3.2.2-16, MQTT-3.1.3-7',
    title: 'M5-15: assigned client ids are distinct and can be used again',
    versions: [5],
    async run(t) {
      const first = await t.connect({ clientId: '', clean: true, expiry: 60 })
      const second = await t.connect({ clientId: '', clean: true })
      const id = String(valueFor(first.connack, Property.assignedClientIdentifier))
      expect(valueFor(second.connack, Property.assignedClientIdentifier)).not.toBe(id)
      first.wire.send(mqtt.disconnect(5))
      await first.wire.closed()
      const again = await t.connect({ clientId: id, clean: false, expiry: 60 })
      expect(again.connack.sessionPresent).toBe(true)
      expect(valueFor(again.connack, Property.assignedClientIdentifier)).toBeUndefined()
    },
  },
  {
    clause: '3.1.1 MQTT-3.1.3-7, -8',
    title: 'an empty client id without clean session is refused with 2',
    versions: [4],
    async run(t) {
      const wire = await t.open()
      wire.send(mqtt.connect({ version: 4, clientId: '', clean: false }))
      expect(await wire.expect('connack')).toMatchObject({ code: 2, sessionPresent: false })
      await wire.closed() // [MQTT-3.1.3-9]
    },
  },
  {
    clause: 'MQTT-1.5.4-1, MQTT-3.1.3-4',
    title: 'a client id that is not UTF-8 is refused',
    async run(t) {
      for (const id of [Buffer.from([0xc3, 0x28]), Buffer.from([0xed, 0xa0, 0x80]), Buffer.from([0x61, 0xff])]) {
        const wire = await t.open()
        wire.send(mqtt.connect({ version: t.version, clientId: id }))
        await t.refused(wire, [0x81, 0x85, 2])
      }
    },
  },
  {
    clause: 'MQTT-1.5.4-2',
    title: 'U+0000 in a client id is refused',
    async run(t) {
      const wire = await t.open()
      wire.send(mqtt.connect({ version: t.version, clientId: `${t.name}\u0000` }))
      await t.refused(wire, [0x81, 0x85, 2])
    },
  },
  {
    clause: 'MQTT-3.1.4-3, MQTT-3.14.2-1, -2, MQTT-3.14.4-1, -2',
    title: 'SE-03: a second connection takes the session over and the first is closed',
    async run(t) {
      const first = await t.session({ clientId: t.name })
      await t.session({ clientId: t.name })
      const before = await first.closed()
      if (t.version === 5) expect(before).toMatchObject([{ type: 'disconnect', code: 0x8e }])
      else expect(before).toEqual([])
    },
  },
  {
    clause: 'MQTT-3.2.0-1, MQTT-3.1.4-5',
    title: 'CONNACK comes first, also when the client does not wait for it',
    async run(t) {
      const wire = await t.open()
      const topic = t.topic('early')
      wire.send(
        t.connectPacket(),
        mqtt.subscribe(t.version, 1, [[topic, 1]]),
        mqtt.publish({ version: t.version, topic, payload: 'early', qos: 1, id: 2 }),
        mqtt.pingreq,
      )
      expect((await wire.expect('connack')).code).toBe(0)
      expect((await wire.find('suback')).id).toBe(1)
      expect((await wire.find('puback')).id).toBe(2)
      await wire.find('pingresp')
    },
  },
  {
    clause: '3.1.2.11.3',
    title: 'a Receive Maximum of 0 is a protocol error',
    versions: [5],
    async run(t) {
      const wire = await t.open()
      wire.send(t.connectPacket({ properties: [[Property.receiveMaximum, 0]] }))
      await t.refused(wire, malformedOrProtocolError)
    },
  },
  {
    clause: '3.1.2.11.4',
    title: 'a Maximum Packet Size of 0 is a protocol error',
    versions: [5],
    async run(t) {
      const wire = await t.open()
      wire.send(t.connectPacket({ properties: [[Property.maximumPacketSize, 0]] }))
      await t.refused(wire, malformedOrProtocolError)
    },
  },
  {
    clause: '2.2.2.2',
    title: 'a property given twice, or in a packet where it does not belong, is refused',
    versions: [5],
    async run(t) {
      for (const list of [
        [[Property.sessionExpiryInterval, 1] as const, [Property.sessionExpiryInterval, 2] as const],
        [[Property.receiveMaximum, 5] as const, [Property.receiveMaximum, 5] as const],
        [[Property.topicAlias, 1] as const],
        [[Property.assignedClientIdentifier, 'me'] as const],
      ]) {
        const wire = await t.open()
        wire.send(t.connectPacket({ properties: list }))
        await t.refused(wire, malformedOrProtocolError)
      }
    },
  },
  {
    clause: 'MQTT-3.1.2-28',
    title: 'no Response Information unless it was asked for',
    versions: [5],
    async run(t) {
      const { connack } = await t.connect()
      expect(valueFor(connack, Property.responseInformation)).toBeUndefined()
    },
  },
  {
    clause: 'MQTT-3.1.2-29',
    title: 'Request Problem Information 0 keeps reason strings and user properties out of acknowledgements, of what is refused too',
    versions: [5],
    async run(t) {
      const wire = await t.session({ properties: [[Property.requestProblemInformation, 0]] })
      const answers: mqtt.Properties[] = []
      wire.send(mqtt.unsubscribe(5, 1, [t.topic('never')]))
      answers.push((await wire.expect('unsuback')).properties)
      wire.send(mqtt.subscribe(5, 2, [[t.topic('a'), 1]]))
      answers.push((await wire.expect('suback')).properties)
      wire.send(mqtt.publish({ version: 5, topic: t.topic('b'), qos: 1, id: 3 }))
      answers.push((await wire.expect('puback')).properties)
      wire.send(
        mqtt.publish({ version: 5, topic: '$SYS/no', qos: 1, id: 4 }),
        mqtt.publish({ version: 5, topic: '$SYS/no', qos: 2, id: 5 }),
        mqtt.pubrel(6),
        mqtt.pubrec(7),
      )
      const refusals = [await wire.find('puback'), await wire.find('pubrec'), await wire.find('pubcomp'), await wire.find('pubrel')]
      if (t.isOwn) expect(refusals.map(({ code }) => code)).toEqual([0x87, 0x87, 0x92, 0x92])
      answers.push(...refusals.map(({ properties }) => properties))
      const problems: number[] = [Property.reasonString, Property.userProperty]
      expect(answers.flat().filter(([identifier]) => problems.includes(identifier))).toEqual([])
    },
  },
  {
    clause: '3.2.2.3.14',
    title: 'a keep alive above what the server holds is answered with Server Keep Alive',
    versions: [5],
    async run(t) {
      const { connack } = await t.connect({ keepAlive: 65_535 })
      const granted = valueFor(connack, Property.serverKeepAlive)
      if (granted !== undefined) expect(Number(granted)).toBeLessThan(65_535)
      const usual = await t.connect({ keepAlive: 60 })
      expect([undefined, 60]).toContain(valueFor(usual.connack, Property.serverKeepAlive))
    },
  },
  {
    clause: '3.2.2.3.2',
    title: 'a session expiry that is lowered is told in CONNACK',
    versions: [5],
    async run(t) {
      const { connack } = await t.connect({ clientId: t.name, expiry: 0xffffffff })
      const granted = valueFor(connack, Property.sessionExpiryInterval)
      if (granted !== undefined) expect(Number(granted)).toBeGreaterThan(0)
      const small = await t.connect({ expiry: 7 })
      expect([undefined, 7]).toContain(valueFor(small.connack, Property.sessionExpiryInterval))
      await t.connect({ clientId: t.name, clean: true })
    },
  },
  {
    clause: 'MQTT-3.2.2-15',
    title: 'a packet above the announced Maximum Packet Size ends the connection with 0x95',
    versions: [5],
    async run(t) {
      const { wire, connack } = await t.connect()
      const maximum = valueFor(connack, Property.maximumPacketSize)
      if (!t.isOwn && (maximum === undefined || Number(maximum) > 8 * 1024 * 1024)) return // nothing announced: nothing to exceed here
      const topic = t.topic('big')
      const around = mqtt.publish({ version: 5, topic, payload: '', qos: 1, id: 1 }).length + 3
      wire.send(mqtt.publish({ version: 5, topic, payload: Buffer.alloc(Number(maximum) - around, 120), qos: 1, id: 1 }))
      expect(await wire.expect('puback')).toMatchObject({ id: 1, code: 0 })
      wire.send(mqtt.publish({ version: 5, topic, payload: Buffer.alloc(Number(maximum), 120), qos: 1, id: 2 }))
      await t.refused(wire, [0x95])
    },
  },
  {
    clause: 'MQTT-3.1.2-24, -25',
    title: "M5-08: a packet above the client's Maximum Packet Size is not sent, and the next one comes",
    versions: [5],
    async run(t) {
      const wire = await t.session({ properties: [[Property.maximumPacketSize, 200]] })
      const topic = t.topic('small')
      await t.subscribe(wire, topic)
      await t.publish(topic, 'x'.repeat(500))
      await t.publish(topic, 'y'.repeat(50))
      const before = await t.upToMarker(wire, topic)
      expect(before.map((each) => each.payload.toString()[0])).toEqual(['y'])
    },
  },
  {
    clause: 'MQTT-4.13.1-1',
    title: 'malformed packets end the connection',
    async run(t) {
      const bad: [string, Buffer][] = [
        ['a remaining length of five bytes', Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 0x7f])],
        ['packet type 0', Buffer.from([0x00, 0x00])],
        ['a PUBLISH that ends inside its topic', mqtt.packet(0x30, Buffer.from([0, 200, 97]))],
        ['flags on PINGREQ', Buffer.from([0xc1, 0x00])],
        ['flags on DISCONNECT', Buffer.from([0xe1, 0x00])],
        ['a SUBSCRIBE that ends inside its filter', mqtt.packet(0x82, Buffer.from([0, 1, 0, 200, 97]))],
        ['CONNACK from a client', mqtt.packet(0x20, Buffer.from([0, 0]), mqtt.properties(t.version))],
        ['SUBACK from a client', mqtt.packet(0x90, mqtt.u16(1), mqtt.properties(t.version), Buffer.from([0]))],
        ['UNSUBACK from a client', mqtt.packet(0xb0, mqtt.u16(1), mqtt.properties(t.version), Buffer.from(t.version === 5 ? [0] : []))],
        ['PINGRESP from a client', Buffer.from([0xd0, 0x00])],
      ]
      if (t.version === 4) bad.push(['packet type 15', Buffer.from([0xf0, 0x00])])
      else bad.push(['AUTH without an authentication method', mqtt.packet(0xf0, Buffer.from([0x18, 0]))])
      for (const [what, bytes] of bad) {
        const wire = await t.session()
        wire.send(bytes)
        await t.refused(wire, [0x81, 0x82]).catch((error: Error) => {
          throw new Error(`${what}: ${error.message}`)
        })
      }
    },
  },
  {
    clause: 'MQTT-3.14.4-1, -2',
    title: 'after DISCONNECT the server closes, and packets behind it are not handled',
    async run(t) {
      const subscriber = await t.session()
      const topic = t.topic('late')
      await t.subscribe(subscriber, topic)
      const wire = await t.session()
      wire.send(mqtt.disconnect(t.version), mqtt.publish({ version: t.version, topic, payload: 'late', qos: 1, id: 1 }))
      expect(await wire.closed()).toEqual([])
      expect(await t.upToMarker(subscriber, topic)).toEqual([])
    },
  },
  {
    clause: '3.14.2.2.2',
    title: 'DISCONNECT may not give a session of expiry 0 another expiry',
    versions: [5],
    async run(t) {
      const wire = await t.connect({ clientId: t.name, clean: true, expiry: 0 })
      wire.wire.send(mqtt.disconnect(5, 0, [[Property.sessionExpiryInterval, 100]]))
      await t.refused(wire.wire, [0x82])
      expect((await t.persistent(t.name, false)).connack.sessionPresent).toBe(false)
    },
  },
  {
    clause: '3.14.2.2.2',
    title: 'DISCONNECT may end a session early with expiry 0',
    versions: [5],
    async run(t) {
      const wire = await t.connect({ clientId: t.name, clean: true, expiry: 100 })
      wire.wire.send(mqtt.disconnect(5, 0, [[Property.sessionExpiryInterval, 0]]))
      await wire.wire.closed()
      expect((await t.persistent(t.name, false)).connack.sessionPresent).toBe(false)
    },
  },
  {
    clause: '3.14.2.2.2',
    title: 'DISCONNECT may give a session a longer expiry',
    lasts: true,
    versions: [5],
    async run(t) {
      const { wire } = await t.connect({ clientId: t.name, clean: true, expiry: 1 })
      wire.send(mqtt.disconnect(5, 0, [[Property.sessionExpiryInterval, 300]]))
      await wire.closed()
      await new Promise((resolve) => setTimeout(resolve, 2_100)) // the time that passes is what is tested
      expect((await t.persistent(t.name, false)).connack.sessionPresent).toBe(true)
    },
  },
  {
    clause: 'MQTT-3.4.2-2, MQTT-3.5.2-2, MQTT-3.7.2-2, MQTT-3.9.2-1, MQTT-3.14.2-3, MQTT-3.1.2-24',
    title: 'a client with little room gets reason codes without what explains them',
    versions: [5],
    async run(t) {
      const wire = await t.session({ properties: [[Property.maximumPacketSize, 40]] })
      wire.send(mqtt.publish({ version: 5, topic: '$SYS/no', qos: 1, id: 4 }), mqtt.publish({ version: 5, topic: '$SYS/no', qos: 2, id: 5 }))
      wire.send(mqtt.pubrel(6))
      const refusals = [await wire.find('puback'), await wire.find('pubrec'), await wire.find('pubcomp')]
      if (t.isOwn) expect(refusals.map(({ code }) => code)).toEqual([0x87, 0x87, 0x92])
      wire.send(mqtt.subscribe(5, 7, [['$SYS/no/and with a name that would make an explanation long', 1]]))
      const { codes } = await wire.find('suback')
      if (t.isOwn) expect(codes).toEqual([0x87])
      wire.send(mqtt.subscribe(5, 1, [[t.topic('a/#/misplaced, and with a name that makes an explanation long'), 1]]))
      const end = await wire.closed() // the reader refuses what is larger than 40 bytes
      if (t.isOwn) expect(end).toMatchObject([{ type: 'disconnect', code: 0x81 }])
    },
  },
]
