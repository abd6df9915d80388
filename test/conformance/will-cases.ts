import { expect } from '@jest/globals'
import * as mqtt from '../wire/bytes.ts'
import { Property, valueFor, valuesFor } from '../wire/bytes.ts'
import type { Wire } from '../wire/wire.ts'
import type { Case, Trial } from './trial.ts'

interface WillOptions {
  readonly clientId?: string
  readonly topic?: string
  readonly payload?: string
  readonly qos?: 0 | 1 | 2
  readonly retain?: boolean
  readonly clean?: boolean
  /** Seconds; MQTT 5 only. */
  readonly expiry?: number
  readonly will?: mqtt.Properties
  readonly keepAlive?: number
}

/** A client with a will, connected. */
async function mortal(t: Trial, options: WillOptions = {}): Promise<Wire> {
  const wire = await t.open()
  const { qos = 1, retain = false, clean = true } = options
  const extra = [mqtt.properties(t.version, options.will), mqtt.text(options.topic ?? t.topic('will')), mqtt.text(options.payload ?? 'gone')]
  const list: mqtt.Properties = t.version === 5 && options.expiry !== undefined ? [[Property.sessionExpiryInterval, options.expiry]] : []
  const flags = (clean ? 2 : 0) | 4 | (qos << 3) | (retain ? 0x20 : 0)
  const clientId = options.clientId ?? `${t.name}-mortal`
  wire.send(mqtt.connect({ version: t.version, clientId, flags, extra: Buffer.concat(extra), properties: list, keepAlive: options.keepAlive ?? 60 }))
  const connack = await wire.expect('connack')
  if (connack.code !== 0) throw new Error(`CONNECT was refused with ${connack.code}`)
  return wire
}

async function mourner(t: Trial): Promise<Wire> {
  const wire = await t.session()
  await t.subscribe(wire, t.topic('will'))
  return wire
}

const disconnect = (t: Trial, code: number): Buffer => (t.version === 4 ? mqtt.packet(0xe0) : mqtt.packet(0xe0, Buffer.from([code])))
const none = async (t: Trial, wire: Wire): Promise<void> =>
  expect((await t.upToMarker(wire, t.topic('will'))).map(({ payload }) => payload.toString())).toEqual([])

/** Sections 3.1.2.5 and 3.1.3.2: wills. */
export const willCases: readonly Case[] = [
  {
    clause: 'MQTT-3.1.2-7, -8, -10',
    title: 'M5-13, M3-03: the will is published once when the connection is lost',
    async run(t) {
      const wire = await mourner(t)
      ;(await mortal(t)).destroy()
      expect(await t.receive(wire)).toMatchObject({ topic: t.topic('will'), payload: Buffer.from('gone'), qos: 1, retain: false })
      await none(t, wire)
    },
  },
  {
    clause: 'MQTT-3.1.2-8',
    title: 'the will is published when the server ends the connection for a protocol error',
    async run(t) {
      const wire = await mourner(t)
      ;(await mortal(t)).send(mqtt.publish({ version: t.version, topic: 'a/#', qos: 1, id: 1 }))
      expect((await t.receive(wire)).payload.toString()).toBe('gone')
    },
  },
  {
    clause: 'MQTT-3.1.2-22',
    title: 'the will is published when the keep alive runs out',
    lasts: true,
    async run(t) {
      const wire = await mourner(t)
      await mortal(t, { keepAlive: 1 })
      expect((await t.receive(wire)).payload.toString()).toBe('gone')
    },
  },
  {
    clause: 'MQTT-3.1.2-10, MQTT-3.14.4-3',
    title: 'a normal DISCONNECT takes the will back',
    async run(t) {
      const wire = await mourner(t)
      const client = await mortal(t)
      client.send(disconnect(t, 0))
      await client.closed()
      // The same client id again: the session's owner has seen the disconnect.
      await t.session({ clientId: `${t.name}-mortal` })
      await none(t, wire)
    },
  },
  {
    clause: '3.14.2.1',
    title: 'DISCONNECT with 0x04 keeps the will',
    versions: [5],
    async run(t) {
      const wire = await mourner(t)
      ;(await mortal(t)).send(disconnect(t, 4))
      expect((await t.receive(wire)).payload.toString()).toBe('gone')
    },
  },
  {
    clause: 'MQTT-3.1.2-14, -15',
    title: 'a will without the retain flag is not retained, one with it is',
    async run(t) {
      const wire = await mourner(t)
      ;(await mortal(t)).destroy()
      await t.receive(wire)
      const later = await mourner(t)
      await none(t, later)
      await t.receive(wire) // the marker
      ;(await mortal(t, { retain: true, payload: 'kept' })).destroy()
      expect(await t.receive(wire)).toMatchObject({ retain: false })
      const last = await mourner(t)
      const kept = await t.receive(last)
      expect([kept.payload.toString(), kept.retain]).toEqual(['kept', true])
    },
  },
  {
    clause: 'MQTT-3.1.2-12',
    title: 'the will has the QoS it was given',
    async run(t) {
      const wire = await t.session()
      await t.subscribe(wire, [[t.topic('will'), 2]])
      for (const qos of [0, 1, 2] as const) {
        ;(await mortal(t, { qos, clientId: `${t.name}-mortal-${qos}` })).destroy()
        expect(await t.receive(wire)).toMatchObject({ qos })
      }
    },
  },
  {
    clause: 'MQTT-3.1.3-9',
    title: 'M5-13: a will that waits for its delay is cancelled by a connection that goes on with the session',
    lasts: true,
    versions: [5],
    async run(t) {
      const wire = await mourner(t)
      const clientId = `${t.name}-mortal`
      ;(await mortal(t, { clientId, expiry: 60, will: [[Property.willDelayInterval, 8]] })).destroy()
      const back = await t.persistent(clientId, false)
      expect(back.connack.sessionPresent).toBe(true)
      // A second one whose delay is as long and begins later: once that is here, the first would have been.
      ;(await mortal(t, { clientId: `${t.name}-other`, expiry: 60, payload: 'other', will: [[Property.willDelayInterval, 8]] })).destroy()
      expect((await t.receive(wire)).payload.toString()).toBe('other')
      await none(t, wire)
    },
  },
  {
    clause: 'MQTT-3.1.2-8',
    title: 'the delay passes before the will is published, and the end of the session ends it',
    lasts: true,
    versions: [5],
    async run(t) {
      const wire = await mourner(t)
      const began = performance.now()
      ;(await mortal(t, { expiry: 60, will: [[Property.willDelayInterval, 2]] })).destroy()
      await t.receive(wire)
      expect(performance.now() - began).toBeGreaterThan(1_900)
      ;(await mortal(t, { clientId: `${t.name}-b`, expiry: 1, payload: 'b', will: [[Property.willDelayInterval, 3_600]] })).destroy()
      expect((await t.receive(wire)).payload.toString()).toBe('b')
      ;(await mortal(t, { clientId: `${t.name}-c`, expiry: 0, payload: 'c', will: [[Property.willDelayInterval, 3_600]] })).destroy()
      expect((await t.receive(wire)).payload.toString()).toBe('c')
    },
  },
  {
    clause: 'MQTT-3.1.2-8',
    title: 'a session that is begun anew publishes the will that waited at once',
    versions: [5],
    async run(t) {
      const wire = await mourner(t)
      const clientId = `${t.name}-mortal`
      ;(await mortal(t, { clientId, expiry: 60, will: [[Property.willDelayInterval, 3_600]] })).destroy()
      await t.session({ clientId, clean: true })
      expect((await t.receive(wire)).payload.toString()).toBe('gone')
    },
  },
  {
    clause: 'MQTT-3.1.4-3',
    title: 'a takeover publishes the will of the connection that is replaced',
    async run(t) {
      const wire = await mourner(t)
      const clientId = `${t.name}-mortal`
      await mortal(t, { clientId })
      await t.session({ clientId })
      expect((await t.receive(wire)).payload.toString()).toBe('gone')
      await none(t, wire)
    },
  },
  {
    clause: 'MQTT-3.1.3-10',
    title: 'M5-13: the will’s properties arrive as they were, user properties in their order',
    versions: [5],
    async run(t) {
      const wire = await mourner(t)
      const will: mqtt.Properties = [
        [Property.payloadFormatIndicator, 1],
        [Property.messageExpiryInterval, 600],
        [Property.contentType, 'text/plain'],
        [Property.responseTopic, 'answer/here'],
        [Property.correlationData, Buffer.from([1, 2, 3])],
        [Property.userProperty, ['b', '1']],
        [Property.userProperty, ['a', '2']],
        [Property.userProperty, ['b', '1']],
      ]
      ;(await mortal(t, { will })).destroy()
      const delivery = await t.receive(wire)
      expect(valueFor(delivery, Property.payloadFormatIndicator)).toBe(1)
      expect(valueFor(delivery, Property.contentType)).toBe('text/plain')
      expect(valueFor(delivery, Property.responseTopic)).toBe('answer/here')
      expect(valueFor(delivery, Property.correlationData)).toEqual(Buffer.from([1, 2, 3]))
      expect(valueFor(delivery, Property.messageExpiryInterval)).toBeGreaterThan(300) // it counts down while it is under way
      expect(valuesFor(delivery, Property.userProperty)).toEqual([
        ['b', '1'],
        ['a', '2'],
        ['b', '1'],
      ])
    },
  },
  {
    clause: '3.1.3.2.2',
    title: 'DISCONNECT with 0x04 and an expiry of 0 ends the session: its will does not wait for its delay',
    versions: [5],
    async run(t) {
      const wire = await mourner(t)
      const client = await mortal(t, { expiry: 3_600, will: [[Property.willDelayInterval, 3_600]] })
      client.send(mqtt.disconnect(5, 4, [[Property.sessionExpiryInterval, 0]]))
      expect((await t.receive(wire)).payload.toString()).toBe('gone')
    },
  },
  {
    clause: 'MQTT-3.1.2-15, MQTT-3.3.1-6, -7',
    title: 'an empty will with the retain flag removes what is retained',
    async run(t) {
      await t.publish(t.topic('will'), 'old', { retain: true })
      const wire = await mourner(t)
      expect(await t.receive(wire)).toMatchObject({ retain: true, payload: Buffer.from('old') })
      ;(await mortal(t, { retain: true, payload: '' })).destroy()
      expect(await t.receive(wire)).toMatchObject({ retain: false, payload: Buffer.alloc(0) })
      await none(t, await mourner(t))
    },
  },
  {
    clause: 'MQTT-3.8.3-3',
    title: 'No Local keeps away from a session what its own earlier connection published as its will, and what it retained itself',
    versions: [5],
    async run(t) {
      const client = await mortal(t, { clientId: t.name, expiry: 300 })
      const noLocal = [[t.topic('will'), 1 | 4]] as const
      await t.subscribe(client, noLocal)
      await t.publishOn(client, t.topic('will'), 'kept', { retain: true })
      const wire = await mourner(t)
      await t.receive(wire)
      client.destroy()
      expect((await t.receive(wire)).payload.toString()).toBe('gone')
      const back = await t.persistent(t.name, false)
      expect(back.connack.sessionPresent).toBe(true)
      await t.subscribe(back.wire, noLocal)
      await none(t, back.wire)
    },
  },
  {
    clause: '3.1.1 MQTT-3.1.2-12',
    title: 'a client without a will that is lost publishes nothing',
    async run(t) {
      const wire = await mourner(t)
      ;(await t.session({ clientId: `${t.name}-mortal` })).destroy()
      await t.session({ clientId: `${t.name}-mortal` }) // the session's owner has seen the end
      await none(t, wire)
    },
  },
  {
    clause: '3.1.3.2.2',
    title: 'a will of a session that ends with its connection does not wait for its delay',
    versions: [5],
    async run(t) {
      const wire = await mourner(t)
      ;(await mortal(t, { will: [[Property.willDelayInterval, 3_600]] })).send(disconnect(t, 4))
      expect((await t.receive(wire)).payload.toString()).toBe('gone')
    },
  },
]
