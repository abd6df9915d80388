import { expect } from '@jest/globals'
import * as mqtt from '../wire/bytes.ts'
import { Property, valueFor } from '../wire/bytes.ts'
import type { Wire } from '../wire/wire.ts'
import type { Case, Trial } from './trial.ts'

const letters = '0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ'

/** A CONNECT that is well-formed and refused by everybody. */
function refusedConnect(t: Trial, clientId = t.name, clean = true): Buffer {
  if (t.version === 4) return mqtt.connect({ version: 4, clientId: '', clean: false })
  return mqtt.connect({ version: 5, clientId, clean, properties: [[Property.authenticationMethod, 'no such method']] })
}

const willOf = (t: Trial, topic: string, payload: string): Buffer => Buffer.concat([mqtt.properties(t.version), mqtt.text(topic), mqtt.text(payload)])

/** The same with a will that it may have published. */
function refusedWithWill(t: Trial, extra: Buffer): Buffer {
  if (t.version === 4) return mqtt.connect({ version: 4, clientId: '', flags: 4, extra })
  return mqtt.connect({ version: 5, clientId: t.name, flags: 2 | 4, extra, properties: [[Property.authenticationMethod, 'no such method']] })
}

async function willAccepted(t: Trial, qos: number, retain: boolean): Promise<Wire> {
  const wire = await t.open()
  const extra = willOf(t, t.topic('will'), '')
  wire.send(mqtt.connect({ version: t.version, clientId: `${t.name}-${qos}${retain}`, flags: 2 | 4 | (qos << 3) | (retain ? 0x20 : 0), extra }))
  expect(await wire.expect('connack')).toMatchObject({ code: 0 })
  return wire
}

/** Sections 3.1.3, 3.1.4 and 3.2: identifiers, and what answers a CONNECT. */
export const connackCases: readonly Case[] = [
  {
    clause: 'MQTT-3.1.3-5',
    title: 'client identifiers of 1 and of 23 digits and letters get in',
    async run(t) {
      for (const clientId of ['7', letters.slice(0, 23), letters.slice(23, 46), letters.slice(-23)]) {
        expect((await t.connect({ clientId })).connack).toMatchObject({ code: 0, sessionPresent: false })
      }
    },
  },
  {
    clause: 'MQTT-3.1.3-2',
    title: 'the client identifier, as it is written, names the session',
    async run(t) {
      const first = await t.persistent(`${t.name}x`, true)
      first.wire.send(mqtt.disconnect(t.version))
      await first.wire.closed()
      expect((await t.persistent(`${t.name}X`, false)).connack.sessionPresent).toBe(false)
      expect((await t.persistent(`${t.name}x`, false)).connack.sessionPresent).toBe(true)
    },
  },
  {
    clause: 'MQTT-3.1.3-8, 3.1.1 MQTT-3.1.3-9',
    title: 'a client identifier above the limit is refused: 0x85, or 2 in 3.1.1, and closed',
    async run(t) {
      const { wire, connack } = await t.connect({ clientId: t.name + 'x'.repeat(20_000) })
      if (connack.code === 0) return expect(t.isOwn).toBe(false) // another server may have no limit
      expect(connack).toMatchObject({ code: t.version === 5 ? 0x85 : 2, sessionPresent: false })
      await wire.closed()
    },
  },
  {
    clause: 'MQTT-3.1.2-1, -2',
    title: 'MQTT 3.1 is answered by return code 1 and a version above 5 by 0x84, then the connection is closed',
    async run(t) {
      const wire = await t.open()
      const old = t.version === 4
      wire.send(mqtt.connect({ version: t.version, clientId: t.name, ...(old ? { protocolName: 'MQIsdp', protocolLevel: 3 } : { protocolLevel: 6 }) }))
      expect(await wire.expect('connack')).toMatchObject({ code: old ? 1 : 0x84, sessionPresent: false })
      await wire.closed()
    },
  },
  {
    clause: 'MQTT-3.1.4-6, MQTT-3.2.2-6, -7, -8, MQTT-3.14.0-1, MQTT-4.13.2-1, MQTT-4.12.0-1',
    title: 'a refused CONNECT is answered by CONNACK alone, the connection closed, and what stands behind it not handled',
    async run(t) {
      const subscriber = await t.session()
      await t.subscribe(subscriber, t.topic('behind'))
      const wire = await t.open()
      wire.send(
        refusedConnect(t),
        mqtt.publish({ version: t.version, topic: t.topic('behind'), payload: 'behind', qos: 1, id: 1 }),
        mqtt.subscribe(t.version, 2, [[t.topic('a'), 1]]),
        mqtt.pingreq,
      )
      const answers = await wire.closed()
      expect(answers).toMatchObject([{ type: 'connack', sessionPresent: false }])
      if (t.version === 4) expect(answers).toMatchObject([{ code: 2 }])
      else expect([0x8c, 0x87]).toContain((answers[0] as mqtt.Connack).code)
      expect(await t.upToMarker(subscriber, t.topic('behind'))).toEqual([])
    },
  },
  {
    clause: 'MQTT-3.2.2-6',
    title: 'Session Present is 0 in a refusal though the session exists',
    versions: [5],
    async run(t) {
      const first = await t.persistent(t.name, true)
      first.wire.send(mqtt.disconnect(5))
      await first.wire.closed()
      const wire = await t.open()
      wire.send(refusedConnect(t, t.name, false))
      const refusal = await wire.expect('connack')
      expect([refusal.sessionPresent, refusal.code >= 0x80]).toEqual([false, true])
      expect((await t.persistent(t.name, false)).connack.sessionPresent).toBe(true)
    },
  },
  {
    clause: 'MQTT-3.1.4-2',
    title: 'a CONNECT that fails a check is refused and closed, and its will is not published',
    async run(t) {
      const subscriber = await t.session()
      await t.subscribe(subscriber, t.topic('will'))
      const refused = await t.open()
      refused.send(refusedWithWill(t, willOf(t, t.topic('will'), 'refused')))
      expect(await refused.closed()).toMatchObject([{ type: 'connack', sessionPresent: false }])
      // What is done at the end of this client's connection comes behind whatever was done at the end of the refused one's.
      const accepted = await t.open()
      accepted.send(mqtt.connect({ version: t.version, clientId: t.name, flags: 2 | 4, extra: willOf(t, t.topic('will'), 'accepted') }))
      expect(await accepted.expect('connack')).toMatchObject({ code: 0 })
      accepted.destroy()
      expect((await t.receive(subscriber)).payload.toString()).toBe('accepted')
      expect(await t.upToMarker(subscriber, t.topic('will'))).toEqual([])
    },
  },
  {
    clause: 'MQTT-3.1.4-2',
    title: 'a CONNECT whose will may not be published is refused and closed',
    async run(t) {
      const wire = await t.open()
      wire.send(mqtt.connect({ version: t.version, clientId: t.name, flags: 2 | 4, extra: willOf(t, '$SYS/will', 'x') }))
      const connack = await wire.expect('connack')
      if (connack.code === 0) return expect(t.isOwn).toBe(false) // another server may allow it
      expect(connack).toMatchObject({ code: t.version === 5 ? 0x87 : 5, sessionPresent: false })
      await wire.closed()
    },
  },
  {
    clause: 'MQTT-4.12.0-6',
    title: 'without an authentication method in CONNECT there is neither AUTH nor a method in CONNACK',
    versions: [5],
    async run(t) {
      const { wire, connack } = await t.connect()
      expect(valueFor(connack, Property.authenticationMethod)).toBeUndefined()
      await t.roundTrip(wire)
      expect(wire.pending).toEqual([])
    },
  },
  {
    clause: 'MQTT-3.2.2-1, MQTT-2.2.2-1',
    title: 'CONNACK has no reserved flag, and a length for its properties',
    async run(t) {
      const { connack } = await t.connect() // the reader refuses anything else: wire/conduct.test.ts
      expect(connack).toMatchObject({ code: 0, sessionPresent: false })
    },
  },
  {
    clause: 'MQTT-3.2.2-9, -10',
    title: 'QoS 2 and retained messages are offered, for wills too: there is nothing to announce and nothing to refuse',
    async run(t) {
      const { wire, connack } = await t.connect()
      if (!t.isOwn && (valueFor(connack, Property.maximumQoS) !== undefined || valueFor(connack, Property.retainAvailable) === 0)) return
      expect([valueFor(connack, Property.maximumQoS), valueFor(connack, Property.retainAvailable)]).toEqual([undefined, undefined])
      expect(
        await t.subscribe(
          wire,
          [0, 1, 2].map((qos) => [t.topic(`${qos}`), qos] as const),
        ),
      ).toEqual([0, 1, 2])
      for (const qos of [0, 1, 2]) for (const retain of [false, true]) (await willAccepted(t, qos, retain)).send(mqtt.disconnect(t.version))
    },
  },
  {
    clause: 'MQTT-3.1.2-24, MQTT-3.2.2-19, -20',
    title: 'a client whose Maximum Packet Size lets no CONNACK through is not left waiting: the connection is closed',
    versions: [5],
    async run(t) {
      for (const maximum of [1, 4]) {
        const wire = await t.open()
        wire.send(t.connectPacket({ properties: [[Property.maximumPacketSize, maximum]] }))
        expect((await wire.closed()).filter((each) => each.type !== 'connack')).toEqual([])
      }
    },
  },
  {
    clause: 'MQTT-4.1.0-1',
    title: 'a session is kept while its connection is open, however short its expiry interval',
    lasts: true,
    versions: [5],
    async run(t) {
      const { wire } = await t.connect({ clientId: t.name, clean: true, expiry: 1 })
      await t.subscribe(wire, t.topic('a'))
      await new Promise((resolve) => setTimeout(resolve, 2_100)) // the time that passes is what is tested
      await t.publish(t.topic('a'), 'later')
      expect((await t.receive(wire)).payload.toString()).toBe('later')
    },
  },
  {
    clause: 'MQTT-4.1.0-1',
    title: 'a session is kept while its connection is open: a subscription of the beginning brings messages to its end',
    async run(t) {
      const wire = await t.session({ clean: true })
      await t.subscribe(wire, t.topic('a'))
      for (let i = 0; i < 5; i++) {
        await t.publish(t.topic('a'), `${i}`)
        expect((await t.receive(wire)).payload.toString()).toBe(`${i}`)
        wire.send(mqtt.unsubscribe(t.version, t.id(), [t.topic('other')]))
        await wire.find('unsuback')
      }
    },
  },
  {
    clause: 'MQTT-4.2-1',
    title: 'packets may be cut anywhere: byte by byte they are as good as whole',
    async run(t) {
      const wire = await t.open()
      const all = Buffer.concat([
        t.connectPacket(),
        mqtt.subscribe(t.version, 1, [[t.topic('cut'), 1]]),
        mqtt.publish({ version: t.version, topic: t.topic('cut'), payload: 'whole', qos: 1, id: 2 }),
      ])
      for (const byte of all) {
        wire.send(Buffer.from([byte]))
        await new Promise((resolve) => setImmediate(resolve)) // a write of its own
      }
      expect((await wire.expect('connack')).code).toBe(0)
      expect((await wire.find('suback')).id).toBe(1)
      expect((await wire.find('puback')).id).toBe(2)
      expect((await t.receive(wire)).payload.toString()).toBe('whole')
    },
  },
]
