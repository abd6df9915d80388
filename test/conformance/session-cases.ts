import { expect } from '@jest/globals'
import * as mqtt from '../wire/bytes.ts'
import { Property } from '../wire/bytes.ts'
import type { Case } from './trial.ts'

/** Sections 4.1, 4.4, 4.5 and 4.6: what outlives a connection. */
export const sessionCases: readonly Case[] = [
  {
    clause: 'MQTT-4.5.0-1',
    title: 'M3-02: QoS 1 messages wait for a session that is away, in order, and come once',
    async run(t) {
      const topic = t.topic('away')
      const first = await t.persistent(t.name, true)
      await t.subscribe(first.wire, topic)
      first.wire.send(mqtt.disconnect(t.version))
      await first.wire.closed()
      const sent = Array.from({ length: 20 }, (_, i) => `${i}`)
      for (const payload of sent) await t.publish(topic, payload)
      const { wire, connack } = await t.persistent(t.name, false)
      expect(connack.sessionPresent).toBe(true)
      const got = await t.upToMarker(wire, topic)
      expect(got.map((each) => each.payload.toString())).toEqual(sent)
      expect(got.filter((each) => each.dup)).toEqual([])
    },
  },
  {
    clause: 'MQTT-3.1.2-5, -23',
    title: 'the subscriptions of a session go on without being made again, after an abrupt end too',
    async run(t) {
      const topic = t.topic('kept')
      const first = await t.persistent(t.name, true)
      await t.subscribe(first.wire, topic)
      first.wire.destroy()
      const { wire } = await t.persistent(t.name, false)
      await t.publish(topic, 'still')
      expect((await t.receive(wire)).payload.toString()).toBe('still')
    },
  },
  {
    clause: 'MQTT-3.1.2-4',
    title: 'clean start leaves neither subscriptions nor waiting messages behind',
    async run(t) {
      const topic = t.topic('dropped')
      const first = await t.persistent(t.name, true)
      await t.subscribe(first.wire, topic)
      first.wire.send(mqtt.disconnect(t.version))
      await first.wire.closed()
      await t.publish(topic, 'waiting')
      const wire = await t.session({ clientId: t.name, clean: true })
      const other = t.topic('other')
      await t.subscribe(wire, other)
      const control = await t.session()
      await t.subscribe(control, topic)
      await t.publish(topic, 'unsubscribed')
      await t.receive(control)
      expect(await t.upToMarker(wire, other)).toEqual([])
    },
  },
  {
    clause: 'MQTT-4.4.0-1, MQTT-4.3.2-2, -3, MQTT-3.3.1-1, MQTT-4.6.0-1',
    title: 'unacknowledged messages come again on the next connection: DUP, same identifiers, same order',
    async run(t) {
      const topic = t.topic('resend')
      const first = await t.persistent(t.name, true)
      await t.subscribe(first.wire, topic)
      for (const payload of ['a', 'b', 'c']) await t.publish(topic, payload)
      const sent = [await first.wire.find('publish'), await first.wire.find('publish'), await first.wire.find('publish')]
      expect(sent.map((each) => each.dup)).toEqual([false, false, false])
      first.wire.destroy()
      const { wire } = await t.persistent(t.name, false)
      const again = [await t.receive(wire), await t.receive(wire), await t.receive(wire)]
      expect(again.map((each) => [each.payload.toString(), each.dup, each.id])).toEqual(sent.map((each) => [each.payload.toString(), true, each.id]))
    },
  },
  {
    clause: 'MQTT-4.3.2-3',
    title: 'messages that were acknowledged do not come again',
    async run(t) {
      const topic = t.topic('done')
      const first = await t.persistent(t.name, true)
      await t.subscribe(first.wire, topic)
      for (const payload of ['a', 'b', 'c']) await t.publish(topic, payload)
      const sent = [await first.wire.find('publish'), await first.wire.find('publish'), await first.wire.find('publish')]
      first.wire.send(mqtt.puback(sent[0]?.id ?? 0), mqtt.puback(sent[2]?.id ?? 0))
      await t.roundTrip(first.wire)
      first.wire.send(mqtt.disconnect(t.version)) // behind the acknowledgements, so the server has them
      await first.wire.closed()
      const { wire } = await t.persistent(t.name, false)
      expect((await t.upToMarker(wire, topic)).map((each) => each.payload.toString())).toEqual(['b'])
    },
  },
  {
    clause: 'MQTT-4.4.0-1',
    title: 'nothing is sent again while the connection stays',
    versions: [5],
    async run(t) {
      const wire = await t.session()
      const topic = t.topic('patience')
      await t.subscribe(wire, topic)
      await t.publish(topic, 'unacknowledged')
      await wire.find('publish')
      const before = await t.upToMarker(wire, topic)
      expect(before).toEqual([])
    },
  },
  {
    clause: 'MQTT-4.6.0-5',
    title: 'what waited comes before what is published after the return',
    async run(t) {
      const topic = t.topic('order')
      const first = await t.persistent(t.name, true)
      await t.subscribe(first.wire, topic)
      first.wire.send(mqtt.disconnect(t.version))
      await first.wire.closed()
      const sent = Array.from({ length: 40 }, (_, i) => `${i}`)
      for (const payload of sent.slice(0, 30)) await t.publish(topic, payload)
      const { wire } = await t.persistent(t.name, false)
      for (const payload of sent.slice(30)) await t.publish(topic, payload)
      expect((await t.upToMarker(wire, topic)).map((each) => each.payload.toString())).toEqual(sent)
    },
  },
  {
    clause: 'MQTT-3.1.4-3',
    title: 'a session that is taken over keeps its subscriptions and loses nothing',
    async run(t) {
      const topic = t.topic('over')
      const first = await t.persistent(t.name, true)
      await t.subscribe(first.wire, topic)
      await t.publish(topic, 'unacknowledged')
      await first.wire.find('publish')
      const second = await t.persistent(t.name, false)
      expect(second.connack.sessionPresent).toBe(true)
      await first.wire.closed()
      expect(await t.receive(second.wire)).toMatchObject({ dup: true })
      await t.publish(topic, 'new')
      expect((await t.receive(second.wire)).payload.toString()).toBe('new')
    },
  },
  {
    clause: 'MQTT-4.1.0-2',
    title: 'a session is gone once its expiry has passed',
    lasts: true,
    versions: [5],
    async run(t) {
      const first = await t.connect({ clientId: t.name, clean: true, expiry: 1 })
      first.wire.send(mqtt.disconnect(5))
      await first.wire.closed()
      const deadline = performance.now() + 60_000
      await new Promise((resolve) => setTimeout(resolve, 1_500)) // the time that passes is what is tested
      for (;;) {
        const { wire, connack } = await t.connect({ clientId: t.name, clean: false, expiry: 1 })
        if (!connack.sessionPresent) return
        if (performance.now() > deadline) throw new Error('the session is still there')
        wire.send(mqtt.disconnect(5))
        await wire.closed()
        await new Promise((resolve) => setTimeout(resolve, 2_500))
      }
    },
  },
  {
    clause: 'MQTT-3.3.4-9',
    title: 'the Receive Maximum of the new connection holds for what waited',
    versions: [5],
    async run(t) {
      const topic = t.topic('window')
      const first = await t.persistent(t.name, true)
      await t.subscribe(first.wire, topic)
      first.wire.send(mqtt.disconnect(5))
      await first.wire.closed()
      for (const payload of ['1', '2', '3', '4']) await t.publish(topic, payload)
      const { wire } = await t.persistent(t.name, false, [[Property.receiveMaximum, 1]])
      for (const payload of ['1', '2', '3', '4']) {
        const each = await wire.find('publish')
        expect(each.payload.toString()).toBe(payload)
        await t.roundTrip(wire)
        expect(wire.pending).toEqual([])
        wire.send(mqtt.puback(each.id))
      }
    },
  },
]
