import { describe, expect, test } from '@jest/globals'
import { Owed, packetIdOf } from '../../../gateway/outbound.ts'
import type { Client } from '../../../gateway/protocol.ts'
import { explanation, receiveSubscribe } from '../../../gateway/protocol.ts'
import { readReplayProperties, replayOf, replayProblem } from '../../../gateway/replay-request.ts'
import type { SubscribePacket } from '../../../mqtt/packet.ts'
import { config as limits } from './client-parts.ts'

const now = Date.parse('2026-01-31T12:00:00Z')
const hourAgo = '2026-01-31T11:00:00.000Z'

describe('in a filter, from MQTT 3.1.1 on', () => {
  test('it is fixed in time when it is asked for', () => {
    expect(replayOf('$replay/-PT1H/a/#', null, now)).toEqual({ from: hourAgo, to: null, client: null, speed: null, access: 'now' })
    expect(replayOf('$replay/0:7..-PT0S/a', null, now)).toEqual({ from: '0:7', to: '2026-01-31T12:00:00.000Z', client: null, speed: null, access: 'now' })
    expect(replayOf('a', null, now)).toBeNull()
  })

  test.each([
    ['$replay/x/a', /a replay that has a beginning that is neither a time/],
    ['$replay/-PT1H', /without a topic filter/],
    ['$share/g/$replay/-PT1H/a', /shared subscription to a replay/],
    ['$replay/-PT1H/$share/g/a', /of a shared subscription/],
    ['$replay/-PT1H..-PT2H/a', /a replay that ends before it begins: 2026-01-31T10:00:00.000Z is before 2026-01-31T11:00:00.000Z/],
    ['$replay/2026-01-31T11:00:00Z..-PT1H0.001S/a', /ends before it begins: 2026-01-31T10:59:59.999Z is before 2026-01-31T11:00:00.000Z/],
    ['$replay/0:5,1:7..0:5,1:6/a', /ends before it begins: 1:6 is before 1:7/],
  ])('what asks for nothing is refused and explained: %s', (filter, why) => {
    expect(replayProblem(filter, null, now)).toMatch(why)
    const packet: SubscribePacket = {
      type: 'subscribe',
      packetId: 1,
      filters: [{ filter, qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0 }],
      properties: {},
    }
    const announced = {
      maximumQoS: 2,
      subscriptionIdentifiersAvailable: true,
      receiveMaximum: 10,
      maximumPacketSize: 1000,
      topicAliasMaximum: 0,
      retainAvailable: true,
    } as const
    const none = { named: new Set<string>(), unnamed: 0 }
    expect(receiveSubscribe(packet, { protocolVersion: 5, announced, isBridge: false }, none, limits, () => true, now)).toMatchObject({
      reasonCodes: [0x8f],
      granted: [],
    })
    expect(receiveSubscribe(packet, { protocolVersion: 4, announced, isBridge: false }, none, limits, () => true, now)).toMatchObject({
      reasonCodes: [0x80],
      granted: [],
    })
    expect(explanation([filter], [0x8f], { protocolVersion: 5, wantsProblemInformation: true } as Client, now).properties?.reasonString).toMatch(why)
  })
})

describe('in user properties of MQTT 5', () => {
  const read = (...properties: [string, string][]) => readReplayProperties(properties, now)

  test('they say from where, up to where, how fast and whose', () => {
    expect(read(['replay-from', '-PT1H'])).toEqual({ from: hourAgo, to: null, client: null, speed: null, access: 'now' })
    expect(read(['replay-from', '0:1,1:2'], ['replay-to', '0:9,1:9'], ['replay-speed', '2.5'], ['replay-client', 'pump-1'], ['x', 'y'])).toEqual({
      from: '0:1,1:2',
      to: '0:9,1:9',
      client: 'pump-1',
      speed: 2.5,
      access: 'now',
    })
    expect(read(['x', 'y'])).toBeNull()
  })

  test.each([
    [[['replay-to', '-PT1H']], /no replay-from/],
    [[['replay-from', 'yesterday']], /a replay-from that is neither/],
    [
      [
        ['replay-from', '-PT1H'],
        ['replay-to', ''],
      ],
      /a replay-to that is neither/,
    ],
    [
      [
        ['replay-from', '2026-01-31T12:00:00Z'],
        ['replay-to', '-PT1S'],
      ],
      /a replay-to before its replay-from: 2026-01-31T11:59:59.000Z is before 2026-01-31T12:00:00.000Z/,
    ],
    ...['0', '-1', 'fast', '', 'NaN', 'Infinity', '1e9'].map(
      (speed) =>
        [
          [
            ['replay-from', '-PT1H'],
            ['replay-speed', speed],
          ],
          /a replay-speed that is not/,
        ] as const,
    ),
    [
      [
        ['replay-from', '-PT1H'],
        ['replay-client', ''],
      ],
      /replay-client that is empty/,
    ],
    [
      [
        ['replay-from', '-PT1H'],
        ['replay-access', 'Then'],
      ],
      /replay-access that is neither now nor then/,
    ],
  ] as [[string, string][], RegExp][])('what is wrong with %j is told', (properties, why) => {
    expect(read(...properties)).toMatch(why)
  })

  test('access as of then is asked for where it is known who could do what, which is as far back as the registry’s history goes', () => {
    const asked = (from: string, since: number | null): unknown =>
      readReplayProperties(
        [
          ['replay-from', from],
          ['replay-access', 'then'],
        ],
        now,
        since,
      )
    expect(asked('-PT1H', now - 3_600_000)).toMatchObject({ from: hourAgo, access: 'then' })
    expect(asked('-PT1H', now - 3_599_999)).toMatch(/a replay-from before 2026-01-31T11:00:00.001Z, from when on it is known/)
    // When messages at positions came is seen when they are read.
    expect(asked('0:1', now)).toMatchObject({ from: '0:1', access: 'then' })
    expect(asked('0:1', null)).toMatch(/no history of who could do what/)
    expect(read(['replay-from', '-PT1H'], ['replay-access', 'now'])).toMatchObject({ access: 'now' })
    expect(read(['replay-access', 'then'])).toMatch(/no replay-from/)
  })

  test('they are for plain filters alone', () => {
    const asked = read(['replay-from', '-PT1H'])
    expect(replayProblem('a/#', asked, now)).toBeNull()
    expect(replayProblem('$share/g/a', asked, now)).toMatch(/shared subscription/)
    expect(replayProblem('$replay/-PT2H/a', asked, now)).toMatch(/twice/)
    expect(replayOf('a/#', asked, now)).toEqual(asked)
  })
})

test('a numbered message at QoS 0 waits for no packet of the client, and a new owner is told of it until it is written', () => {
  const owed = new Owed()
  expect(owed.take(0, 0)).toBe(1)
  expect(owed.take(1, 1)).toBe(2)
  expect(owed.flight(packetIdOf(0))).toBeNull()
  expect(owed.state(4, 5)).toEqual({ connection: 4, session: 5, sent: 2, unacknowledged: [0, 1], received: [] })
  owed.drop(0)
  expect(owed.take(0, 0)).toBe('done')
  expect(owed.state(4, 5).unacknowledged).toEqual([1])
})
