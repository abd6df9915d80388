import { expect } from '@jest/globals'
import * as mqtt from '../wire/bytes.ts'
import { Property, valueFor, valuesFor } from '../wire/bytes.ts'
import type { Wire } from '../wire/wire.ts'
import type { Case, Trial } from './trial.ts'

const retainAsPublished = 8
const retainHandling = (handling: 0 | 1 | 2): number => handling << 4
const told = (deliveries: readonly mqtt.Delivery[]): string[] =>
  deliveries.map(({ topic, payload, retain }) => `${topic.split('/').at(-1)} ${payload} ${retain ? 1 : 0}`)

/** Publishes retained messages and sees them delivered: the server has matched them. */
async function retain(t: Trial, topics: readonly string[], more: Partial<mqtt.Publish> = {}): Promise<void> {
  const control = await t.session()
  await t.subscribe(
    control,
    topics.map((topic) => [t.topic(topic), 1] as const),
  )
  for (const topic of topics) await t.publish(t.topic(topic), `of ${topic}`, { retain: true, ...more })
  const missing = new Set(topics)
  while (missing.size > 0) missing.delete((await t.receive(control)).topic.slice(t.name.length + 1))
  control.destroy()
}

const receiveSome = async (t: Trial, wire: Wire, count: number): Promise<mqtt.Delivery[]> => {
  const got: mqtt.Delivery[] = []
  while (got.length < count) got.push(await t.receive(wire))
  return got
}

/** Section 3.3.1.3 and 3.8.3.1: retained messages. */
export const retainedCases: readonly Case[] = [
  {
    clause: 'MQTT-3.3.1-5, -9, 3.1.1 MQTT-3.3.1-8',
    title: 'M5-14, M3-04: the last retained message of a topic is sent to a new subscription, with RETAIN 1',
    async run(t) {
      await t.publish(t.topic('a'), 'first', { retain: true })
      await retain(t, ['a'])
      const wire = await t.session()
      await t.subscribe(wire, t.topic('a'))
      expect(told([await t.receive(wire)])).toEqual(['a of a 1'])
      expect(await t.upToMarker(wire, t.topic('a'))).toEqual([])
    },
  },
  {
    clause: 'MQTT-3.3.1-9, 3.1.1 MQTT-3.3.1-8',
    title: 'a retained message that was acknowledged just before the SUBSCRIBE has RETAIN 1, too',
    async run(t) {
      for (let i = 0; i < 20; i++) {
        const wire = await t.session()
        await t.publish(t.topic(`now${i}`), 'x', { retain: true })
        await t.subscribe(wire, t.topic(`now${i}`))
        expect(told([await t.receive(wire)])).toEqual([`now${i} x 1`])
      }
    },
  },
  {
    clause: 'MQTT-3.3.1-6, -7',
    title: 'M5-14, M3-04: an empty retained message removes what is retained and is delivered like any other',
    async run(t) {
      await retain(t, ['a'])
      const live = await t.session()
      await t.subscribe(live, t.topic('a'))
      await t.receive(live)
      await t.publish(t.topic('a'), '', { retain: true })
      expect(told([await t.receive(live)])).toEqual(['a  0'])
      const wire = await t.session()
      await t.subscribe(wire, t.topic('a'))
      expect(await t.upToMarker(wire, t.topic('a'))).toEqual([])
    },
  },
  {
    clause: 'MQTT-3.3.1-8',
    title: 'a message without RETAIN leaves alone what is retained',
    async run(t) {
      await retain(t, ['a'])
      await t.publish(t.topic('a'), 'passing')
      await t.publish(t.topic('b'), 'passing')
      const wire = await t.session()
      await t.subscribe(wire, [[t.topic('+'), 1]])
      expect(told(await t.upToMarker(wire, t.topic('a'))).filter((each) => each.endsWith('1'))).toEqual(['a of a 1'])
    },
  },
  {
    clause: 'MQTT-3.3.1-9, MQTT-3.8.4-4',
    title: 'a wildcard brings what is retained on every topic it matches, and a subscription made again brings it again',
    async run(t) {
      const topics = ['x', 'x/1', 'x/2', 'x/1/deep', 'y/1']
      await retain(t, topics)
      const wire = await t.session()
      await t.subscribe(wire, t.topic('x/#'))
      const first = told(await receiveSome(t, wire, 4)).sort()
      expect(first).toEqual(['1 of x/1 1', '2 of x/2 1', 'deep of x/1/deep 1', 'x of x 1'])
      await t.subscribe(wire, t.topic('x/#'))
      expect(told(await receiveSome(t, wire, 4)).sort()).toEqual(first)
      await t.subscribe(wire, t.topic('+/1'))
      expect(told(await receiveSome(t, wire, 2)).sort()).toEqual(['1 of x/1 1', '1 of y/1 1'])
      expect(await t.upToMarker(wire, t.topic('x/1'))).toEqual([])
    },
  },
  {
    clause: 'MQTT-3.8.4-8',
    title: 'the QoS is the lower of the two, for each of 0 and 1',
    async run(t) {
      await retain(t, ['zero'], { qos: 0 })
      await retain(t, ['one'])
      const atOne = await t.session()
      await t.subscribe(atOne, t.topic('+'))
      expect((await receiveSome(t, atOne, 2)).map(({ topic, qos }) => `${topic.split('/').at(-1)} ${qos}`).sort()).toEqual(['one 1', 'zero 0'])
      const atZero = await t.session()
      await t.subscribe(atZero, [[t.topic('+'), 0]])
      expect((await receiveSome(t, atZero, 2)).map(({ qos }) => qos)).toEqual([0, 0])
    },
  },
  {
    clause: 'MQTT-3.3.1-10',
    title: 'M5-21: Retain Handling 1 brings what is retained to a new subscription only, which one is again after UNSUBSCRIBE',
    versions: [5],
    async run(t) {
      await retain(t, ['a'])
      const wire = await t.session()
      await t.subscribe(wire, [[t.topic('a'), 1 | retainHandling(1)]])
      expect(told([await t.receive(wire)])).toEqual(['a of a 1'])
      await t.subscribe(wire, [[t.topic('a'), 0 | retainHandling(1)]])
      expect(await t.upToMarker(wire, t.topic('a'))).toEqual([])
      wire.send(mqtt.unsubscribe(5, 900, [t.topic('a')]))
      await wire.find('unsuback')
      await t.subscribe(wire, [[t.topic('a'), 1 | retainHandling(1)]])
      expect(told([await t.receive(wire)])).toEqual(['a of a 1'])
    },
  },
  {
    clause: 'MQTT-3.3.1-10',
    title: 'Retain Handling 1 brings nothing to a session that goes on with its subscription',
    versions: [5],
    async run(t) {
      await retain(t, ['a'])
      const first = await t.persistent(t.name, true)
      await t.subscribe(first.wire, [[t.topic('a'), 1 | retainHandling(1)]])
      await t.receive(first.wire)
      await t.roundTrip(first.wire)
      first.wire.destroy()
      const { wire } = await t.persistent(t.name, false)
      await t.subscribe(wire, [[t.topic('a'), 1 | retainHandling(1)]])
      // Unless its acknowledgement was lost with the connection: then it comes again, as a repeat.
      expect((await t.upToMarker(wire, t.topic('a'))).filter(({ dup }) => !dup)).toEqual([])
    },
  },
  {
    clause: 'MQTT-3.3.1-11',
    title: 'Retain Handling 2 brings nothing that is retained',
    versions: [5],
    async run(t) {
      await retain(t, ['a'])
      const wire = await t.session()
      await t.subscribe(wire, [[t.topic('a'), 1 | retainHandling(2)]])
      expect(await t.upToMarker(wire, t.topic('a'))).toEqual([])
    },
  },
  {
    clause: 'MQTT-3.3.1-12, -13',
    title: 'M5-21: RETAIN is 0 for who is subscribed, and as published for who asked for that',
    async run(t) {
      const wire = await t.session()
      await t.subscribe(wire, t.topic('a'))
      await t.publish(t.topic('a'), 'x', { retain: true })
      expect(told([await t.receive(wire)])).toEqual(['a x 0'])
      if (t.version === 4) return
      const asPublished = await t.session()
      await t.subscribe(asPublished, [[t.topic('b'), 1 | retainAsPublished]])
      await t.publish(t.topic('b'), 'x', { retain: true })
      await t.publish(t.topic('b'), 'y')
      expect(told(await receiveSome(t, asPublished, 2))).toEqual(['b x 1', 'b y 0']) // [MQTT-3.3.1-13]
    },
  },
  {
    clause: 'MQTT-3.3.2-5, -6',
    title: 'what is retained expires, and the interval that is left is told',
    lasts: true,
    versions: [5],
    async run(t) {
      await retain(t, ['long'], { properties: [[Property.messageExpiryInterval, 100]] })
      // Nobody waits for it: on a machine that is busy it may have expired before it could be delivered.
      await t.publish(t.topic('short'), 'of short', { retain: true, properties: [[Property.messageExpiryInterval, 1]] })
      const live = await t.session()
      await t.subscribe(live, t.topic('short'))
      // Comes while it has not expired: try again until it has.
      for (let left = true; left; ) {
        const wire = await t.session()
        await t.subscribe(wire, t.topic('short'))
        left = (await t.upToMarker(wire, t.topic('short'))).some(({ retain }) => retain)
        wire.destroy()
      }
      const wire = await t.session()
      await t.subscribe(wire, t.topic('long'))
      const delivery = await t.receive(wire)
      expect(valueFor(delivery, Property.messageExpiryInterval)).toBeGreaterThan(0)
      expect(valueFor(delivery, Property.messageExpiryInterval)).toBeLessThanOrEqual(99)
    },
  },
  {
    clause: 'MQTT-3.3.2-17, -18, -20, MQTT-3.3.4-3',
    title: 'properties of what is retained arrive, with the identifier of the subscription',
    versions: [5],
    async run(t) {
      await retain(t, ['a'], {
        properties: [
          [Property.contentType, 'text/plain'],
          [Property.userProperty, ['k', '1']],
          [Property.userProperty, ['k', '2']],
        ],
      })
      const wire = await t.session()
      await t.subscribe(wire, t.topic('a'), [[Property.subscriptionIdentifier, 42]])
      const delivery = await t.receive(wire)
      expect(valueFor(delivery, Property.contentType)).toBe('text/plain')
      expect(valuesFor(delivery, Property.userProperty)).toEqual([
        ['k', '1'],
        ['k', '2'],
      ])
      expect(valuesFor(delivery, Property.subscriptionIdentifier)).toEqual([42])
    },
  },
  {
    clause: 'MQTT-3.3.1-9',
    title: 'more than the client takes at once is paged, and none of it is missing',
    async run(t) {
      const topics = Array.from({ length: 600 }, (_, i) => `many/${i}`)
      for (let i = 0; i < topics.length; i++) await t.publish(t.topic(topics[i] as string), `${i}`, { retain: true, qos: i % 2 === 0 ? 0 : 1 })
      const wire = await t.session(t.version === 5 ? { properties: [[Property.receiveMaximum, 3]] } : {})
      await t.subscribe(wire, t.topic('many/#'))
      const got = new Set<string>()
      while (got.size < topics.length) got.add((await t.receive(wire)).payload.toString())
      const kept = await t.persistent(t.name, true, t.version === 5 ? [[Property.receiveMaximum, 3]] : [])
      await t.subscribe(kept.wire, t.topic('many/#'))
      const again: string[] = []
      while (again.length < topics.length) again.push((await t.receive(kept.wire)).payload.toString())
      expect(new Set(again).size).toBe(topics.length)
    },
  },
  {
    clause: '3.1.1 MQTT-3.3.1-7',
    title: 'a retained message at QoS 0 takes the place of one at QoS 1',
    async run(t) {
      const control = await t.session()
      await t.subscribe(control, t.topic('a'))
      await retain(t, ['a'])
      await retain(t, ['a'], { qos: 0, payload: 'newer' })
      for (const payload of ['of a', 'newer']) expect((await t.receive(control)).payload.toString()).toBe(payload) // QoS 0 is not acknowledged
      const wire = await t.session()
      await t.subscribe(wire, t.topic('a'))
      expect(await t.upToMarker(wire, t.topic('a'))).toMatchObject([{ payload: Buffer.from('newer'), qos: 0, retain: true }])
    },
  },
  {
    clause: '3.1.1 MQTT-3.1.2-7',
    title: 'what is retained outlives the session that published it',
    async run(t) {
      const publisher = await t.session({ clientId: t.name, clean: true })
      await t.publishOn(publisher, t.topic('a'), 'kept', { retain: true })
      publisher.send(mqtt.disconnect(t.version))
      await publisher.closed()
      const again = await t.session({ clientId: t.name, clean: true })
      await t.subscribe(again, t.topic('a'))
      expect(told([await t.receive(again)])).toEqual(['a kept 1'])
    },
  },
  {
    clause: '4.8.2',
    title: 'a shared subscription brings nothing that is retained',
    async run(t) {
      await retain(t, ['a'])
      const wire = await t.session()
      await t.subscribe(wire, `$share/${t.name}/${t.topic('a')}`)
      expect(told(await t.upToMarker(wire, t.topic('a')))).toEqual([])
    },
  },
]
