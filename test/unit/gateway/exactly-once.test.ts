/** QoS 2 in one connection: the publishing half and the delivering half, packet by packet. */
import { expect, jest, test } from '@jest/globals'
import type { Principal } from '../../../access/principal.ts'
import { Delivering } from '../../../gateway/delivering.ts'
import { Output } from '../../../gateway/output.ts'
import type { Client } from '../../../gateway/protocol.ts'
import { type PublisherSession, Publishing } from '../../../gateway/publishing.ts'
import { ClientRates, NamespaceRates } from '../../../gateway/rates.ts'
import type { SealingReadiness } from '../../../gateway/sealing.ts'
import { AppendError, type Appended } from '../../../log/log.ts'
import type { NamespaceRules } from '../../../model/namespace-limits.ts'
import { PacketUses } from '../../../model/packet-uses.ts'
import type { PublishPacket } from '../../../mqtt/packet.ts'
import { AckOutcome } from '../../../proto/frames.ts'
import { isRepeatable, readRepeatableId } from '../../../schemas/message-id.ts'
import { clientOf, config, metricsOf, taken } from './client-parts.ts'
import { outgoing } from './outgoing-message.ts'

function publisher(
  but: {
    version?: 4 | 5
    client?: Partial<Client>
    session?: Partial<PublisherSession>
    mayPublish?: () => 'allowed' | 'denied'
    rules?: Partial<NamespaceRules>
    now?: () => number
    sealingReadiness?: () => SealingReadiness
  } = {},
) {
  const appends: { readonly id: Buffer | undefined; readonly done: Appended }[] = []
  const releases: { readonly packetId: number; readonly done: Appended }[] = []
  const lost: AppendError[] = []
  const output = new Output()
  const host = {
    config: { ...config, rules: { ...config.rules, ...but.rules } },
    metrics: metricsOf(),
    registryVersion: 1,
    logIsFull: false,
    partitionOf: () => 0,
    access: { mayPublish: but.mayPublish ?? (() => 'allowed' as const) },
    now: but.now ?? (() => 0),
    sealingReadiness: but.sealingReadiness ?? (() => 'ready' as const),
    messages: { append: (_identity: unknown, _topic: unknown, _packet: unknown, done: Appended, id?: Buffer) => appends.push({ id, done }) },
  }
  const owner = {
    principal: { authenticationName: 'a' } as Principal,
    onRefused: () => {},
    onReleased: (packetId: number, done: Appended) => void releases.push({ packetId, done }),
    onAcknowledged: () => {},
    onPublishLost: (error: AppendError) => void lost.push(error),
  }
  const session = { id: 77, shard: 2, isPresent: false, uses: new PacketUses(), ...but.session }
  const publishing = new Publishing(host, owner, { ...clientOf(but.version ?? 5), ...but.client }, session, output)
  const publish = (packetId: number, dup = false, qos: 1 | 2 = 2) =>
    publishing.receive({ type: 'publish', topic: 't', payload: Buffer.alloc(0), qos, dup, retain: false, packetId } as PublishPacket)
  return { publishing, publish, appends, releases, lost, sent: () => taken(output) }
}

test('PUBREC follows the append of the message, PUBCOMP that of the release', () => {
  const { publish, publishing, appends, releases, sent } = publisher()
  publish(1)
  expect(sent()).toEqual([])
  appends[0]?.done(null, 0)
  expect(sent()).toEqual(['50020001'])
  publishing.release(1)
  expect([sent(), releases.map(({ packetId }) => packetId)]).toEqual([[], [1]])
  releases[0]?.done(null, 0)
  expect(sent()).toEqual(['70020001'])
})

test('a publish waits for the key that it is to be sealed with, KAFKA_AWAY_CLOSE from the first try on, and then the connection ends with 0x89', () => {
  const late = config.KAFKA_AWAY_CLOSE
  let now = 0
  let isReady = false
  const { publish, publishing, appends } = publisher({ now: () => now, sealingReadiness: () => (isReady ? 'ready' : 'wait') })
  expect(publish(1)).toBe('wait')
  now = late - 1
  expect(publish(1)).toBe('wait')
  isReady = true
  expect(publish(1)).toBe('taken')
  // Another wait begins anew.
  isReady = false
  publishing.forgetDecisions()
  now = 2 * late
  expect(publish(2)).toBe('wait')
  now = 3 * late
  expect(publish(2)).toMatchObject({ do: 'end', limit: 'KAFKA_AWAY_CLOSE', ending: { reasonCode: 0x89 } })
  expect(appends.length).toBe(1)
})

test('a publish that gets no key to be sealed with, because there are SEALING_KEYS_MAX, ends the connection with 0x97', () => {
  const { publish, appends } = publisher({ sealingReadiness: () => 'full' })
  expect(publish(1)).toMatchObject({ do: 'end', limit: 'SEALING_KEYS_MAX', ending: { reasonCode: 0x97 } })
  expect(appends).toEqual([])
})

test('a repeat on the same connection is not appended; its PUBREC stands behind the first', () => {
  const { publish, appends, sent } = publisher()
  publish(1)
  publish(1, true)
  expect([appends.length, sent()]).toEqual([1, []])
  appends[0]?.done(null, 0)
  publish(1, true)
  expect([appends.length, sent()]).toEqual([1, ['50020001', '50020001', '50020001']])
})

test('ids are made of session, packet id and use, so that another gateway makes the same', () => {
  const uses = new PacketUses()
  uses.release(1)
  const first = publisher({ session: { uses: PacketUses.decode(uses.encode()) } })
  const second = publisher({ session: { uses } })
  first.publish(1)
  second.publish(1, true)
  expect(first.appends[0]?.id).toEqual(second.appends[0]?.id)
  expect(readRepeatableId(first.appends[0]?.id as Buffer)).toEqual({ kind: 1, session: 77, shard: 2, use: 1, detail: 1 })
  second.publishing.release(1)
  second.publish(1)
  expect(readRepeatableId(second.appends[1]?.id as Buffer)).toMatchObject({ use: 2 })
})

test('a session that ends with its connection needs neither repeatable ids nor releases in the log', () => {
  const { publish, publishing, appends, releases, sent } = publisher({ session: { uses: null } })
  publish(1)
  appends[0]?.done(null, 0)
  publishing.release(1)
  expect([appends[0]?.id, releases, sent()]).toEqual([undefined, [], ['50020001', '70020001']])
})

test('QoS 1 has no repeatable id', () => {
  const { publish, appends } = publisher()
  publish(1, false, 1)
  expect(appends[0]?.id === undefined || !isRepeatable(appends[0].id)).toBe(true)
})

test('PUBREL for an unknown packet id: 0x92 in version 5, a plain PUBCOMP in 3.1.1', () => {
  const five = publisher()
  five.publishing.release(9)
  const four = publisher({ version: 4 })
  four.publishing.release(9)
  expect([five.sent(), four.sent(), five.releases]).toEqual([['7003000992'], ['70020009'], []])
})

test('in a session that was there before, an unknown PUBREL may end what an earlier connection brought', () => {
  const { publishing, releases, sent } = publisher({ session: { isPresent: true } })
  publishing.release(9)
  expect([releases.length, sent()]).toEqual([1, []])
  releases[0]?.done(null, 0)
  expect(sent()).toEqual(['70020009'])
})

test('Receive Maximum counts a publish until its PUBCOMP, repeats not', () => {
  const { publish, publishing, appends, releases } = publisher()
  for (const packetId of [1, 2, 3]) publish(packetId)
  for (const { done } of appends) done(null, 0)
  expect(publishing.unacknowledged).toBe(3)
  expect(publish(2, true)).toBe('taken')
  publishing.release(1)
  expect(publishing.unacknowledged).toBe(3)
  releases[0]?.done(null, 0)
  expect([publishing.unacknowledged, publish(4), publish(5)]).toMatchObject([2, 'taken', { limit: 'RECEIVE_MAXIMUM' }])
})

test('a 3.1.1 client is not read while the log owes answers; publishes that wait for PUBREL do not count', () => {
  const { publish, appends } = publisher({ version: 4 })
  expect([publish(1), publish(2), publish(3)]).toEqual(['taken', 'taken', 'window'])
  for (const { done } of appends) done(null, 0)
  expect([publish(4), publish(5), publish(6)]).toEqual(['taken', 'taken', 'window'])
})

test.each([4, 5] as const)('version %i: while the log owes an answer, repeats and PUBRELs of nothing are read up to twice the Receive Maximum', (version) => {
  const { publish, publishing, appends, sent } = publisher({ version })
  publish(1)
  const outcomes = [publish(1, true), publishing.release(8), publish(1, true), publishing.release(9), publish(1, true)]
  expect(outcomes).toEqual(['taken', 'taken', 'taken', 'taken', 'window'])
  expect(sent()).toEqual([])
  appends[0]?.done(null, 0)
  expect([sent().length, publishing.waiting, publish(1, true)]).toEqual([6, 0, 'taken'])
})

test('without permission PUBREC says so in version 5, and the packet id is free [MQTT-4.3.3-9]', () => {
  const mayPublish = jest.fn<() => 'allowed' | 'denied'>().mockReturnValue('denied')
  const { publish, publishing, appends, sent } = publisher({ mayPublish })
  publish(1)
  expect([sent(), appends.length, publishing.unacknowledged, publishing.received.size]).toEqual([['5003000187'], 0, 0, 0])
})

test('PB-03: where the namespace says so, a refused publish is answered in its turn and is the last that is read', () => {
  const mayPublish = jest.fn<() => 'allowed' | 'denied'>().mockReturnValueOnce('allowed').mockReturnValue('denied')
  const { publishing, publish, appends, sent } = publisher({ mayPublish, rules: { publishDeniedDisconnects: true } })
  publish(1, false, 1)
  publishing.forgetDecisions()
  expect([publish(2, false, 1), publishing.waiting, sent()]).toEqual(['last', 2, []])
  appends[0]?.done(null, 0)
  expect([publishing.waiting, sent()]).toEqual([0, ['40020001', '4003000287']])
})

test('a refusal gives its reason to a client that wants problem information and takes a packet of that size [MQTT-3.1.2-29] [MQTT-3.4.2-2]', () => {
  const refused = (client: Partial<Client>) => {
    const { publish, publishing, sent } = publisher({ client, mayPublish: () => 'denied' })
    publish(1)
    publish(2, false, 1)
    publishing.release(9)
    return sent().map((packet) =>
      Buffer.from(packet, 'hex')
        .toString('latin1')
        .replaceAll(/[^ -~]/g, ''),
    )
  }
  expect(refused({ wantsProblemInformation: true }).map((text) => text.slice(text.indexOf('no ')))).toEqual([
    'no permission to publish on this topic',
    'no permission to publish on this topic',
    'no QoS 2 publish waits for a PUBREL under this packet id',
  ])
  expect(refused({ wantsProblemInformation: true, maximumPacketSize: 20 }).join('')).not.toContain('no ')
  expect(refused({ wantsProblemInformation: false }).join('')).not.toContain('no ')
})

test('a release that the log did not take ends the connection', () => {
  const { publish, publishing, appends, releases, lost } = publisher()
  publish(1)
  appends[0]?.done(null, 0)
  publishing.release(1)
  releases[0]?.done(new AppendError('away', 'unknown'), -1)
  expect(lost.map(({ message }) => message)).toEqual(['away'])
})

function receiver(receiveMaximum = 10, isTransient = false, limits: Partial<typeof config> = {}) {
  const output = new Output()
  const done: [number, number][] = []
  const owner = {
    awaitsSuback: false,
    recordsGiven: 0,
    recordsAnswered: 0,
    waitingBytes: 0,
    onOutput: () => {},
    onDone: (number: number, outcome: AckOutcome) => void done.push([number, outcome]),
    onOverflow: () => {},
    onThrottled: () => {},
  }
  const metrics = metricsOf()
  const delivering = new Delivering(
    config,
    metrics,
    owner,
    clientOf(5, receiveMaximum),
    output,
    new ClientRates(new NamespaceRates({ config: { ...config, ...limits }, metrics, now: () => 0 })),
    isTransient,
  )
  const deliver = (number: number, but: { dup?: boolean; expiry?: number; now?: number } = {}) =>
    delivering.deliver(
      outgoing({ receivedAt: 0, qos: 2, messageExpiryInterval: but.expiry ?? null, payload: Buffer.alloc(0) }),
      { connection: 1, qos: 2, dup: but.dup ?? false, retain: false, number, subscriptionIdentifiers: [] },
      but.now ?? 0,
    )
  return { delivering, deliver, done, sent: () => taken(output) }
}

test('an owed message: PUBREC is told, PUBREL waits for the owner, PUBCOMP ends it', () => {
  const { delivering, deliver, done, sent } = receiver()
  deliver(0)
  expect(sent()).toEqual(['3406000174000100'])
  expect(delivering.receive(1, 0, 0)).toBe(true)
  expect(delivering.receive(1, 0, 0)).toBe(true)
  expect([sent(), done]).toEqual([[], [[0, AckOutcome.received]]])
  delivering.complete(1, 0)
  delivering.release(0)
  delivering.release(0)
  expect([sent(), done.length]).toEqual([['62020001'], 1])
  expect(delivering.state(5, 6)).toEqual({ connection: 5, session: 6, sent: 1, unacknowledged: [0], received: [0] })
  delivering.receive(1, 0, 0)
  expect(sent()).toEqual(['62020001'])
  delivering.complete(1, 0)
  expect(done[1]).toEqual([0, AckOutcome.acknowledged])
  expect(delivering.state(5, 6)).toEqual({ connection: 5, session: 6, sent: 1, unacknowledged: [], received: [] })
})

test('PUBREL of an earlier connection’s message goes out, and its number counts as sent', () => {
  const { delivering, done, sent } = receiver()
  delivering.release(4)
  expect([sent(), delivering.state(1, 2).sent]).toEqual([['62020005'], 5])
  delivering.complete(5, 0)
  expect(done).toEqual([[4, AckOutcome.acknowledged]])
})

test('PUBREL does not wait behind messages that wait for a rate, and comes in the order in which it may go [MQTT-4.6.0-4]', () => {
  const { delivering, deliver, sent } = receiver(10, false, { SESSION_PUBLISHES_OUT_PER_SECOND_MAX: 2 })
  for (const number of [0, 1, 2, 3]) deliver(number)
  expect(sent()).toEqual(['3406000174000100', '3406000174000200', '3406000174000300'])
  for (const packetId of [2, 1]) delivering.receive(packetId, 0, 0)
  for (const number of [1, 0]) delivering.release(number)
  expect(sent()).toEqual(['62020002', '62020001'])
  expect(delivering.state(1, 2)).toMatchObject({ sent: 4, unacknowledged: [0, 1, 2, 3], received: [0, 1] })
})

test('PUBREC with an error ends it without PUBREL [MQTT-4.3.3-4]; one for no QoS 2 message in flight is not ours', () => {
  const { delivering, deliver, done, sent } = receiver()
  deliver(0)
  sent()
  delivering.receive(1, 0x97, 0)
  expect([sent(), done, delivering.receive(1, 0, 0), delivering.receive(9, 0, 0)]).toEqual([[], [[0, AckOutcome.acknowledged]], false, false])
})

test('PUBACK does not end a QoS 2 message', () => {
  const { delivering, deliver, done } = receiver()
  deliver(0)
  delivering.acknowledge(1, 0, 0)
  expect([done, delivering.inflight]).toEqual([[], 1])
})

test('a message that expired is dropped before its first PUBLISH, and not once it may be half done [MQTT-4.3.3-7]', () => {
  const { deliver, done, sent } = receiver()
  deliver(0, { expiry: 1, now: 5_000 })
  deliver(1, { expiry: 1, now: 5_000, dup: true })
  expect([done, sent().length]).toEqual([[[0, AckOutcome.expired]], 1])
})

test('a session that ends with its connection: the whole handshake here, within the window until PUBCOMP', () => {
  const { delivering, deliver, done, sent } = receiver(1, true)
  deliver(-1)
  deliver(-1)
  expect(sent().length).toBe(1)
  delivering.receive(1, 0, 0)
  expect(sent()).toEqual(['62020001'])
  delivering.complete(1, 0)
  expect([sent(), done, delivering.inflight]).toEqual([['3406000174000200'], [], 1])
})
