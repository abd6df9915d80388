/** The small parts that count: admission, deadlines, windows, shards, output, attachments. */
import { describe, expect, test } from '@jest/globals'
import { Admission } from '../../../gateway/admission.ts'
import { Attachment } from '../../../gateway/attachment.ts'
import { Deadlines, type Timed } from '../../../gateway/deadlines.ts'
import { ended, lost } from '../../../gateway/disconnection.ts'
import { Direct, Owed, packetIdOf } from '../../../gateway/outbound.ts'
import type { Outgoing } from '../../../gateway/outgoing.ts'
import { Output } from '../../../gateway/output.ts'
import { Progress } from '../../../gateway/progress.ts'
import { AckType, PublishAck } from '../../../gateway/publish-ack.ts'
import { Shards } from '../../../gateway/shards.ts'
import { AppendError } from '../../../log/log.ts'
import { Parser } from '../../../mqtt/parser.ts'
import fc from '../../support/fast-check.ts'
import { outgoing } from './outgoing-message.ts'

describe('admission', () => {
  const limits = { CONNECTIONS_MAX: 3, CONNECTIONS_PER_ADDRESS_MAX: 2 }

  test('counts in all, and gives back', () => {
    const admission = new Admission(limits)
    expect([admission.enter(), admission.enter(), admission.enter(), admission.enter()]).toEqual([true, true, true, false])
    admission.leave()
    expect(admission.connections).toBe(2)
    expect(admission.enter()).toBe(true)
  })

  test('counts per address, and gives back', () => {
    const admission = new Admission(limits)
    expect(['a', 'a', 'a', 'b'].map((address) => admission.place(address))).toEqual([true, true, false, true])
    admission.unplace('a')
    expect(['a', 'a'].map((address) => admission.place(address))).toEqual([true, false])
  })
})

describe('deadlines', () => {
  const timed = (seen: number[], next: number | null = null): Timed => ({
    onDeadline: (now) => {
      seen.push(now)
      return next
    },
  })

  test('nobody is looked at before its time, everybody soon after it', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 200_000 }), { maxLength: 50 }), (delays) => {
        const deadlines = new Deadlines(0)
        const seen = delays.map((): number[] => [])
        for (const [i, at] of delays.entries()) deadlines.set(timed(seen[i] as number[]), at)
        for (let now = 0; now <= 201_000; now += 250) deadlines.turn(now)
        for (const [i, at] of delays.entries()) {
          expect(seen[i]?.length).toBe(1)
          expect(seen[i]?.[0]).toBeGreaterThanOrEqual(at)
          expect(seen[i]?.[0]).toBeLessThanOrEqual(at + 500)
        }
      }),
      { numRuns: 30 },
    )
  })

  test('a later deadline replaces the earlier; who is removed is not looked at', () => {
    const deadlines = new Deadlines(0)
    const [moved, removed]: [number[], number[]] = [[], []]
    const first = timed(moved)
    const second = timed(removed)
    deadlines.set(first, 1000)
    deadlines.set(first, 5000)
    deadlines.set(second, 1000)
    deadlines.remove(second)
    for (let now = 0; now <= 10_000; now += 250) deadlines.turn(now)
    expect(moved).toEqual([5250])
    expect(removed).toEqual([])
  })

  test('after a long pause of the process everybody due is looked at once', () => {
    const deadlines = new Deadlines(0)
    const seen: number[] = []
    for (let at = 1000; at <= 100_000; at += 1000) deadlines.set(timed(seen), at)
    deadlines.turn(3_600_000)
    expect(seen.length).toBe(100)
  })

  test('what lies beyond a turn of the wheel is looked at early and may go back', () => {
    const deadlines = new Deadlines(0)
    const seen: number[] = []
    const far: Timed = {
      onDeadline: (now) => {
        if (now < 1_000_000) return 1_000_000
        seen.push(now)
        return null
      },
    }
    deadlines.set(far, 1_000_000)
    for (let now = 0; now <= 1_001_000; now += 250) deadlines.turn(now)
    expect(seen).toEqual([1_000_250])
  })
})

describe('what a client was sent', () => {
  test('packet ids are 1 to 65535 and follow the number', () => {
    expect([0, 1, 65_534, 65_535, 131_070].map(packetIdOf)).toEqual([1, 2, 65_535, 1, 1])
  })

  test('an owed number is in flight until it is acknowledged, then done for ever', () => {
    const owed = new Owed()
    expect([owed.take(7, 1), owed.take(7, 1), owed.take(9, 1)]).toEqual([8, 'known', 10])
    expect([owed.acknowledge(10), owed.acknowledge(10), owed.acknowledge(99)]).toEqual([9, null, null])
    expect(owed.take(9, 1)).toBe('done')
    expect(owed.state(1, 2)).toEqual({ connection: 1, session: 2, sent: 10, unacknowledged: [7], received: [] })
    owed.drop(7)
    expect(owed.inflight).toBe(0)
  })

  const around = outgoing({ payload: Buffer.alloc(0) }).size
  const message = (size: number): Outgoing => outgoing({ payload: Buffer.alloc(size) })
  const receiver = { connection: 1, qos: 1 as const, dup: false, retain: false, number: -1, subscriptionIdentifiers: [] }

  test('direct ids count from 1 within the window; what waits goes in order', () => {
    const direct = new Direct({ receiveMaximum: 2, messagesMax: 2, bytesMax: 2 * around + 25 })
    expect([direct.take(1), direct.take(1), direct.take(1)]).toEqual([1, 2, null])
    const [a, b, c] = [message(10), message(10), message(1)]
    expect(direct.wait({ message: a, receiver })).toBeNull()
    expect(direct.wait({ message: message(16), receiver })).toBe('OUTBOUND_QUEUE_BYTES_MAX')
    expect(direct.wait({ message: b, receiver })).toBeNull()
    expect(direct.wait({ message: c, receiver })).toBe('OUTBOUND_QUEUE_MESSAGES_MAX')
    expect(direct.shift()).toBeNull()
    expect(direct.acknowledge(2)).toBe(true)
    expect(direct.acknowledge(2)).toBe(false)
    expect(direct.shift()).toMatchObject({ packetId: 3, waiting: { message: a } })
    expect(direct.take(1)).toBeNull() // somebody waits before
    direct.acknowledge(1)
    expect(direct.shift()).toMatchObject({ packetId: 4, waiting: { message: b } })
    expect([direct.waiting, direct.waitingBytes, direct.inflight]).toEqual([0, 0, 2])
  })

  test.each([
    ['user properties', { userProperties: Array(10).fill({ name: 'n'.repeat(100), value: 'v'.repeat(900) }) }],
    ['user properties without a letter', { userProperties: Array(5_000).fill({ name: '', value: '' }) }],
    ['a response topic', { responseTopic: 'r'.repeat(10_000) }],
    ['correlation data', { correlationData: Buffer.alloc(10_000) }],
    ['a content type', { contentType: 'c'.repeat(10_000) }],
  ])('OUTBOUND_QUEUE_BYTES_MAX: the bytes of %s count among what waits', (_what, properties) => {
    const direct = new Direct({ receiveMaximum: 1, messagesMax: 100, bytesMax: 25_000 })
    const large = outgoing(properties)
    expect(large.size).toBeGreaterThanOrEqual(10_000)
    const outcomes = Array.from({ length: 3 }, () => direct.wait({ message: large, receiver }))
    expect(outcomes).toEqual([null, null, 'OUTBOUND_QUEUE_BYTES_MAX'])
  })

  test('a packet id in flight is given to no other message, however often the ids come round [MQTT-2.2.1-4]', () => {
    const direct = new Direct({ receiveMaximum: 3, messagesMax: 1, bytesMax: 1 })
    expect(direct.take(1)).toBe(1)
    const given = new Set<number>()
    for (let i = 0; i < 200_000; i++) {
      const id = direct.take(1) as number
      given.add(id)
      direct.acknowledge(id)
    }
    expect(given.has(1)).toBe(false)
    expect([Math.min(...given), Math.max(...given)]).toEqual([2, 65_535])
    expect(direct.acknowledge(1)).toBe(true)
  })
})

describe('a message on its way out', () => {
  const read = (output: Output, version: 4 | 5) => {
    const packets: object[] = []
    new Parser({ sender: 'server', version, maximumPacketSize: 1_000_000 }).parse(Buffer.concat(output.take() as Buffer[]), (packet) => packets.push(packet))
    return packets
  }
  const receiver = { connection: 1, qos: 1 as const, dup: false, retain: false, number: -1, subscriptionIdentifiers: [] as number[] }

  test.each([0, 10, 127, 128, 4096, 5000, 20_000])('a payload of %i bytes reads back for each receiver with its own packet id', (size) => {
    const payload = Buffer.alloc(size, 7)
    const message = outgoing({ payload })
    for (const version of [4, 5] as const) {
      const output = new Output()
      message.write(output, version, receiver, 5, 0)
      message.write(output, version, { ...receiver, dup: true }, 65_535, 0)
      message.write(output, version, { ...receiver, qos: 0, retain: true }, 0, 0)
      expect(read(output, version)).toMatchObject([
        { topic: 't', qos: 1, packetId: 5, dup: false, payload },
        { topic: 't', qos: 1, packetId: 65_535, dup: true, payload },
        { topic: 't', qos: 0, retain: true, payload },
      ])
    }
  })

  test('its expiry counts down, and ends', () => {
    const message = outgoing({ messageExpiryInterval: 10 })
    const told = (now: number) => {
      const output = new Output()
      message.write(output, 5, receiver, 1, now)
      return (read(output, 5)[0] as { properties: { messageExpiryInterval: number } }).properties.messageExpiryInterval
    }
    expect([told(1000), told(1500), told(2500), told(10_500)]).toEqual([10, 10, 9, 1])
    expect([message.isExpired(10_999), message.isExpired(11_000)]).toEqual([false, true])
  })

  test('the size it is judged by is the size it has', () => {
    const message = outgoing({ payload: Buffer.alloc(300), contentType: 'x' })
    for (const version of [4, 5] as const) {
      const output = new Output()
      message.write(output, version, { ...receiver, subscriptionIdentifiers: [1, 500] }, 1, 0)
      expect(message.sizeFor(version, { ...receiver, subscriptionIdentifiers: [1, 500] }, 0)).toBe(output.bytes)
    }
  })
})

describe('output', () => {
  test('keeps the order of what is put in, and neighbouring acknowledgements are one buffer', () => {
    const output = new Output()
    for (let id = 1; id <= 100; id++) output.fourBytes(0x40, id)
    expect(output.bytes).toBe(400)
    const parts = output.take()
    expect(parts.length).toBeLessThanOrEqual(2)
    expect(Buffer.concat(parts as Buffer[]).readUInt16BE(398)).toBe(100)
    expect(output.take()).toEqual([])
  })

  test('two connections that take turns do not mix', () => {
    const [a, b] = [new Output(), new Output()]
    for (let id = 1; id <= 5000; id++) {
      a.fourBytes(0x40, id)
      if (id % 3 === 0) b.fourBytes(0x40, id)
      if (id % 7 === 0) a.push(Buffer.from([1, 2]))
    }
    const expected: number[] = []
    for (let id = 1; id <= 5000; id++) {
      expected.push(0x40, 2, id >> 8, id & 0xff)
      if (id % 7 === 0) expected.push(1, 2)
    }
    expect(Buffer.concat(a.take() as Buffer[]).equals(Buffer.from(expected))).toBe(true)
    expect(Buffer.concat(b.take() as Buffer[]).length).toBe(4 * Math.floor(5000 / 3))
  })
})

describe('progress of a socket', () => {
  test('one that takes a little lives, one that takes nothing is stuck', () => {
    const progress = new Progress()
    expect(progress.written(100, 0, 0)).toBe(false)
    expect(progress.written(100, 100, 1000)).toBe(true)
    expect(progress.written(100, 200, 1500)).toBe(false)
    expect(progress.isStuck(200, 1900, 1000)).toBe(false)
    expect(progress.isStuck(199, 2500, 1000)).toBe(false)
    expect(progress.isStuck(199, 3499, 1000)).toBe(false)
    expect(progress.isStuck(199, 3500, 1000)).toBe(true)
    expect(progress.isStuck(0, 3600, 1000)).toBe(false)
    expect(progress.stuckSince).toBeNull()
  })

  test('what is written meanwhile does not count as taken', () => {
    const progress = new Progress()
    progress.written(100, 100, 0)
    progress.written(500, 600, 900)
    expect(progress.isStuck(600, 1000, 1000)).toBe(true)
    progress.drained()
    expect(progress.isStuck(600, 2000, 1000)).toBe(false)
  })
})

describe('publish acknowledgements', () => {
  test('one that is abandoned tells nobody, and serves again only once the log has answered', () => {
    const heard: (AppendError | null)[] = []
    const publisher = { onPublishAnswered: (error: AppendError | null) => heard.push(error) }
    const ack = PublishAck.take(publisher, AckType.Puback, 1)
    ack.abandon()
    expect(PublishAck.take(publisher, AckType.Puback, 2)).not.toBe(ack)
    ack.done(null)
    expect(heard).toEqual([])
    const again = PublishAck.take(publisher, AckType.Puback, 3)
    expect(again).toBe(ack)
    again.done(new AppendError('lost', 'unknown'))
    expect(heard.length).toBe(1)
    expect(again.isAnswered).toBe(false)
  })
})

describe('attachments', () => {
  const attachment = () => new Attachment('c', 1, 7, Buffer.alloc(16))

  test.each([
    [
      'attached, then ended',
      (one: Attachment) => [one.attached(5, 1), one.end(lost(false), 2), one.attached(5, 3), one.end(lost(true), 4)],
      [null, 'Detached', null, null],
    ],
    ['ended before the log answered', (one: Attachment) => [one.end(lost(false), 1), one.attached(5, 2), one.attached(5, 3)], [null, 'Detached', null]],
    ['ended twice, never answered', (one: Attachment) => [one.end(lost(false), 1), one.end(ended(0x8b, 'x'), 2)], [null, null]],
  ] as const)('%s: one Detached at most', (_what, act, expected) => {
    const records = act(attachment())
    expect(records.map((record) => record && 'Detached')).toEqual(expected)
    for (const record of records) if (record) expect(record).toMatchObject({ clientId: 'c', epoch: 5, reason: 'ConnectionLost', by: 'gateway' })
  })
})

describe('shards', () => {
  test('a lower term never speaks again; the same router may come back under its own', () => {
    const shards = new Shards<string>(2, 0)
    expect(shards.own(0, 5, 'a', 0)).toBe(true)
    expect(shards.own(0, 9, 'b', 0)).toBe(true)
    expect(shards.own(0, 5, 'a', 0)).toBe(false)
    expect([shards.accepts(0, 9, 'b'), shards.accepts(0, 5, 'a'), shards.accepts(0, 9, 'a'), shards.accepts(1, 9, 'b')]).toEqual([true, false, false, false])
    shards.drop('b')
    expect(shards.withoutLink()).toEqual([0, 1])
    expect(shards.own(0, 9, 'b2', 0)).toBe(true)
    expect(shards.own(7, 9, 'b', 0)).toBe(false)
  })

  test('a stretch is taken once, its overlap with the last one left out', () => {
    const shards = new Shards<string>(1, 0)
    expect([shards.receive(0, 10), shards.receive(0, 10), shards.receive(0, 8), shards.receive(0, 15)]).toEqual([-1, null, null, 10])
  })

  test('a shard is silent when its owner was not heard for long enough', () => {
    const shards = new Shards<string>(2, 0)
    shards.own(0, 1, 'a', 0)
    shards.heard('a', 900)
    expect(shards.silent(1000, 500)).toEqual([1])
    expect(shards.silent(1500, 500)).toEqual([0, 1])
    // Nobody was heard because the process was paused.
    shards.listenAnew(1600)
    expect([shards.silent(2100, 500), shards.silent(2101, 500)]).toEqual([[], [0, 1]])
  })
})
