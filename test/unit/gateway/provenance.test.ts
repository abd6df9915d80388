import { expect, test } from '@jest/globals'
import { receiveConnect } from '../../../gateway/protocol.ts'
import { provenanceMarks, replayMarks } from '../../../gateway/provenance.ts'
import type { ConnectPacket } from '../../../mqtt/packet.ts'
import type { Message } from '../../../schemas/message.ts'
import { config } from './client-parts.ts'
import { outgoing } from './outgoing-message.ts'

const message: Message = {
  messageId: Buffer.alloc(16),
  clientId: 'pump-1',
  session: 3,
  receivedAt: Date.parse('2026-01-31T12:00:00.123Z'),
  topic: 'a',
  qos: 1,
  retain: false,
  messageExpiryInterval: 5,
  authenticationName: 'Pump',
  gateway: 'gateway-2',
  protocolVersion: 5,
  payloadFormatIndicator: null,
  contentType: null,
  responseTopic: null,
  correlationData: null,
  userProperties: [{ name: 'provenance-gateway', value: 'forged' }],
  payload: Buffer.from('x'),
}

test('the origin of a message is its place, publisher, time and gateway; the place is left out where it is not known', () => {
  expect(provenanceMarks(message, 2, 1_200)).toEqual([
    ['provenance-position', '2:1200'],
    ['provenance-client-id', 'pump-1'],
    ['provenance-publisher', 'Pump'],
    ['provenance-received-at', '2026-01-31T12:00:00.123Z'],
    ['provenance-gateway', 'gateway-2'],
  ])
  expect(provenanceMarks(message, -1, 7).map(([name]) => name)).not.toContain('provenance-position')
})

test('a message of the past does not expire, and one that is told of its origin is larger by that alone', () => {
  const receiver = { connection: 1, qos: 1, dup: false, retain: false, number: 0, subscriptionIdentifiers: [] } as const
  const late = message.receivedAt + 60_000
  const live = outgoing(message, { partition: 2, offset: 1_200 })
  expect([live.isExpired(late), live.told.isExpired(late)]).toEqual([true, true])
  const past = outgoing(message, { partition: 2, offset: 1_200, marks: replayMarks(2, 1_200, message.receivedAt), isPast: true })
  expect([past.isExpired(late), past.told.isExpired(late)]).toEqual([false, false])
  const marks = provenanceMarks(message, 2, 1_200).reduce((sum, [name, value]) => sum + 5 + name.length + value.length, 0)
  for (const outgoing of [live, past]) {
    // The length of the properties may take a byte more.
    const more = outgoing.told.sizeFor(5, receiver, message.receivedAt) - outgoing.sizeFor(5, receiver, message.receivedAt)
    expect(more - marks).toBeGreaterThanOrEqual(0)
    expect(more - marks).toBeLessThanOrEqual(2)
    expect(outgoing.told.sizeFor(4, receiver, message.receivedAt)).toBe(outgoing.sizeFor(4, receiver, message.receivedAt))
  }
})

test('it is asked for at CONNECT', () => {
  const connect = (userProperties?: [string, string][]) => {
    const packet = {
      type: 'connect',
      protocolVersion: 5,
      clientId: 'c',
      cleanStart: true,
      keepAlive: 60,
      properties: { userProperties },
    } as unknown as ConnectPacket
    const decision = receiveConnect(packet, config, 'fresh', false)
    return 'client' in decision && decision.client.wantsProvenance
  }
  expect([connect([['provenance', 'true']]), connect([['provenance', 'no']]), connect([])]).toEqual([true, false, false])
})
