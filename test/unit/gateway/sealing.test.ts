import { afterEach, beforeEach, expect, jest, test } from '@jest/globals'
import { pino } from 'pino'
import type { Principal } from '../../../access/principal.ts'
import { Sealing } from '../../../gateway/sealing.ts'
import { AppendError, type Appender } from '../../../log/log.ts'
import { MemoryLog } from '../../../log/memory-log.ts'
import { ClientKeys, clientKeyKey, clientKeyRecord, type Loss } from '../../../model/client-keys.ts'
import type { PublishPacket } from '../../../mqtt/packet.ts'
import type { Message } from '../../../schemas/message.ts'
import { decodeMessage, encodeMessage } from '../../../schemas/message-record.ts'
import { magic, sealedWith } from '../../../schemas/sealed-message.ts'
import { loggedMessage } from '../../support/logged-message.ts'

const topic = 'loggerhead.default.keys'
let log: MemoryLog
let appender: Appender
let keys: ClientKeys
let sealing: Sealing
let lost: Loss[]
let unreadable: string[]
let destroyed: number

const sealingWith = (of: ClientKeys, by: Appender, keysMax = 100, messagesPerKey?: number): Sealing =>
  new Sealing({
    attribute: 'personal',
    keys: of,
    appender: by,
    topic,
    logger: pino({ level: 'silent' }),
    now: () => 1,
    keysMax,
    ...(messagesPerKey !== undefined && { messagesPerKey }),
    onLost: (loss) => lost.push(loss),
  })
const startKeys = (): Promise<ClientKeys> =>
  ClientKeys.start({
    log,
    topic,
    onUnreadable: (offset, { message }) => unreadable.push(`${offset}: ${message}`),
    onFailed: (error) => {
      throw error
    },
  })

beforeEach(async () => {
  lost = []
  unreadable = []
  destroyed = 0
  log = new MemoryLog()
  await log.createTopics([{ name: topic, partitions: 1, replication: 1, settings: {} }])
  appender = await log.appender()
  keys = await startKeys()
  keys.onDestroyed(() => destroyed++)
  sealing = sealingWith(keys, appender)
})
afterEach(async () => {
  await keys.close()
  await log.close()
})

const ada: Principal = { clientName: 'ada', authenticationName: 'Ada', attributes: { personal: 1 }, kind: 'registered' }
const packet: PublishPacket = {
  type: 'publish',
  topic: 'a/b',
  payload: Buffer.from('36.9'),
  qos: 1,
  retain: false,
  dup: false,
  packetId: 1,
  properties: { userProperties: [['patient', 'Ada']], contentType: 'text/plain' },
} as PublishPacket
const messageOf = ({ payload, properties }: PublishPacket): Message =>
  loggedMessage({
    clientId: 'c',
    receivedAt: 1,
    topic: 'a/b',
    authenticationName: 'Ada',
    gateway: 'gateway',
    contentType: properties?.contentType ?? null,
    userProperties: (properties?.userProperties ?? []).map(([name, value]) => ({ name, value })),
    payload,
  })

const opened = (by: Sealing, message: Message): Message | null => {
  const value = by.opened(Buffer.from(encodeMessage(message)))
  return value && decodeMessage(value)
}

async function ready(of: Sealing, principal: Principal): Promise<void> {
  for (const end = Date.now() + 60_000; of.readiness(principal) !== 'ready'; ) {
    if (Date.now() > end) throw new Error('its key did not come')
    await new Promise((resolve) => setImmediate(resolve))
  }
}

async function erase(name: string): Promise<void> {
  for (const id of keys.idsOf(name)) {
    const offset = await appender.write({ topic, partition: 0, key: Buffer.from(`${name}/${id}`), value: null, timestamp: 1 })
    await keys.reached(offset + 1)
  }
}

test('a client with the attribute waits until its key is in the log; all others never wait and are not sealed', async () => {
  const other: Principal = { ...ada, authenticationName: 'Bob', attributes: {} }
  expect(sealing.readiness(other)).toBe('ready')
  expect(sealing.sealed('Bob', 'a/b', packet)).toBe(packet)
  expect(sealing.readiness(ada)).toBe('wait')
  await ready(sealing, ada)
  expect((await log.endOffsets(topic)).get(0)).toBe(1)
})

test('what is personal of a message is sealed, and comes out as it went in at a gateway that has just read the keys', async () => {
  await ready(sealing, ada)
  const sealed = sealing.sealed('Ada', 'a/b', packet)
  expect(sealed.properties).toEqual({ contentType: 'text/plain' })
  expect(sealedWith(sealed.payload)).toBeDefined()
  const others = await startKeys()
  expect(opened(sealingWith(others, appender), messageOf(sealed))).toEqual(messageOf(packet))
  await others.close()
})

test('an empty payload clears what is retained and stays empty', async () => {
  await ready(sealing, ada)
  const clearing = { ...packet, payload: Buffer.alloc(0) }
  expect(sealing.sealed('Ada', 'a/b', clearing)).toBe(clearing)
})

test('a will is sealed like a message', async () => {
  await ready(sealing, ada)
  const will = {
    topic: 'a/b',
    payload: Buffer.from('gone'),
    qos: 1,
    retain: false,
    delaySeconds: 0,
    messageExpiryInterval: null,
    payloadFormatIndicator: null,
    contentType: null,
    responseTopic: null,
    correlationData: Buffer.from('c'),
    userProperties: [{ name: 'patient', value: 'Ada' }],
  }
  const sealed = sealing.sealedWill('Ada', will)
  expect(sealed).toMatchObject({ topic: 'a/b', userProperties: [], correlationData: null })
  const { delaySeconds: _, ...published } = sealed
  expect(opened(sealing, { ...messageOf(packet), ...published })).toMatchObject({
    payload: will.payload,
    userProperties: will.userProperties,
    correlationData: will.correlationData,
  })
  expect(sealing.sealedWill('Bob', will)).toBe(will)
})

test('once its key is destroyed a message is opened nowhere, decisions are made anew, and the client waits for another key', async () => {
  await ready(sealing, ada)
  const before = messageOf(sealing.sealed('Ada', 'a/b', packet))
  const held = keys.ofName('Ada')?.key as Buffer
  await erase('Ada')
  expect(destroyed).toBe(1)
  expect(held.equals(Buffer.alloc(32))).toBe(true)
  expect(opened(sealing, before)).toBeNull()
  expect(lost).toEqual(['erased'])
  expect(sealing.readiness(ada)).toBe('wait')
  await ready(sealing, ada)
  expect(opened(sealing, messageOf(sealing.sealed('Ada', 'a/b', packet)))).toEqual(messageOf(packet))
  expect(opened(sealing, before)).toBeNull()
})

test('a message that comes before its key is not taken for erased: it is unknown until the log was asked', async () => {
  const slow = await startKeys()
  const there = sealingWith(slow, appender)
  await slow.close()
  await ready(sealing, ada)
  const value = Buffer.from(encodeMessage(messageOf(sealing.sealed('Ada', 'a/b', packet))))
  expect(there.isUnknown(value)).toBe(true)
  expect(sealing.isUnknown(value)).toBe(false)
  expect(sealing.isUnknown(Buffer.from(encodeMessage(messageOf(packet))))).toBe(false)
  await erase('Ada')
  expect(sealing.isUnknown(value)).toBe(true)
  await sealing.confirm()
  expect(sealing.opened(value)).toBeNull()
  // Found to be destroyed: nobody waits for it again.
  expect(sealing.isUnknown(value)).toBe(false)
})

test('a key that the log did not take is asked for again, once a second however often the client tries', async () => {
  jest.useFakeTimers({ doNotFake: ['setImmediate', 'nextTick', 'queueMicrotask'] })
  let writes = 0
  const flaky = {
    ...appender,
    write: (record: Parameters<Appender['write']>[0]) => (++writes <= 2 ? Promise.reject(new AppendError('away', 'refused')) : appender.write(record)),
  } as Appender
  const there = sealingWith(keys, flaky)
  const tries = async (): Promise<number> => {
    for (let turn = 0; turn < 5; turn++) {
      expect(there.readiness(ada)).toBe('wait')
      await new Promise((resolve) => setImmediate(resolve))
    }
    return writes
  }
  try {
    expect(await tries()).toBe(1)
    await jest.advanceTimersByTimeAsync(999)
    expect(await tries()).toBe(1)
    await jest.advanceTimersByTimeAsync(1)
    expect(await tries()).toBe(2)
    await jest.advanceTimersByTimeAsync(1000)
  } finally {
    jest.useRealTimers()
  }
  await ready(there, ada)
  expect([writes, keys.idsOf('Ada').length]).toEqual([3, 1])
})

test('a payload alone is opened on its topic, from a key that is not known here yet too, and is nothing once that is destroyed', async () => {
  const others = await startKeys()
  const there = sealingWith(others, appender)
  await ready(sealing, ada)
  const { payload } = sealing.sealed('Ada', 'a/b', packet)
  expect(await there.openedPayload(payload, 'a/b')).toEqual(packet.payload)
  expect(await there.openedPayload(payload, 'a/c')).toBeNull()
  expect(await there.openedPayload(packet.payload, 'a/b')).toBe(packet.payload)
  await others.close()
  await erase('Ada')
  expect(await sealing.openedPayload(payload, 'a/b')).toBeNull()
})

test('only a payload can be sealed: the same bytes elsewhere in a message ask for no key', async () => {
  const others = { ...messageOf(packet), correlationData: Buffer.concat([magic, Buffer.alloc(100, 7)]) }
  expect(sealing.isUnknown(Buffer.from(encodeMessage(others)))).toBe(false)
  expect(opened(sealing, others)).toEqual(others)
  expect(sealing.isUnknown(Buffer.from(encodeMessage({ ...others, payload: others.correlationData })))).toBe(true)
  expect(sealing.isUnknown(others.correlationData)).toBe(false)
})

test('SEALING_KEYS_MAX: with as many keys, those on their way included, a client without one gets none; who has one goes on, and an erasure makes room', async () => {
  const named = (authenticationName: string): Principal => ({ ...ada, authenticationName })
  const there = sealingWith(keys, appender, 2)
  expect(['Ada', 'Bob', 'Cleo'].map((name) => there.readiness(named(name)))).toEqual(['wait', 'wait', 'full'])
  await ready(there, named('Bob'))
  await ready(there, ada)
  expect(['Ada', 'Bob', 'Cleo'].map((name) => there.readiness(named(name)))).toEqual(['ready', 'ready', 'full'])
  expect(there.keys).toBe(2)
  await erase('Bob')
  await ready(there, named('Cleo'))
  expect(there.readiness(named('Bob'))).toBe('full')
})

test('a record that is no key is named, counted and passed over: what was sealed with its key cannot be read, the client gets another, and an erasure takes it away', async () => {
  await ready(sealing, ada)
  const before = messageOf(sealing.sealed('Ada', 'a/b', packet))
  const [id] = keys.idsOf('Ada') as [string]
  const put = async (key: Buffer, value: Buffer): Promise<void> => keys.reached((await appender.write({ topic, partition: 0, key, value, timestamp: 1 })) + 1)
  const own = clientKeyKey('Ada', Buffer.from(id, 'hex'))
  await put(own, Buffer.from('no record'))
  await put(Buffer.from('no key'), clientKeyRecord('Ada', { id: Buffer.alloc(16), key: Buffer.alloc(32) }, 1))
  await put(clientKeyKey('Bob', Buffer.alloc(16, 1)), clientKeyRecord('Bob', { id: Buffer.alloc(16, 1), key: Buffer.alloc(31) }, 1))
  await put(clientKeyKey('Bob', Buffer.alloc(16, 2)), clientKeyRecord('Bob', { id: Buffer.alloc(16, 3), key: Buffer.alloc(32) }, 1))
  // Who reads the topic anew has the same, and goes on.
  const others = await startKeys()
  for (const each of [sealing, sealingWith(others, appender)]) {
    expect(each.unreadable).toEqual([topic, 4])
    expect(opened(each, before)).toBeNull()
  }
  await others.close()
  expect(lost).toEqual(['unreadable', 'unreadable'])
  expect(unreadable.slice(0, 4).map((line) => line.replace(/:.*/, ''))).toEqual(['1', '2', '3', '4'])
  expect(unreadable.join('\n')).not.toMatch(/no record/)
  await ready(sealing, ada)
  expect(opened(sealing, messageOf(sealing.sealed('Ada', 'a/b', packet)))).toEqual(messageOf(packet))
  await erase('Ada')
  expect(opened(sealing, before)).toBeNull()
  expect(lost.at(-1)).toBe('erased')
})

test('a sealed message that was damaged cannot be read, which is no erasure', async () => {
  await ready(sealing, ada)
  const sealed = messageOf(sealing.sealed('Ada', 'a/b', packet))
  const payload = Buffer.from(sealed.payload)
  payload.writeUInt8(payload.readUInt8(payload.length - 1) ^ 1, payload.length - 1)
  expect(opened(sealing, { ...sealed, payload })).toBeNull()
  expect(lost).toEqual(['unreadable'])
})

test('a key that has sealed as many messages as it may is followed by another, for which nobody waits; what it sealed can be read still', async () => {
  const there = sealingWith(keys, appender, 2, 3)
  await ready(there, ada)
  const seal = (): Message => messageOf(there.sealed('Ada', 'a/b', packet))
  const keyOf = ({ payload }: Message): string | undefined => sealedWith(payload)?.toString('hex')
  const sealed = [seal(), seal(), seal(), seal()]
  expect(there.readiness(ada)).toBe('ready')
  for (const end = Date.now() + 60_000; keys.idsOf('Ada').length < 2; ) {
    if (Date.now() > end) throw new Error('the next key did not come')
    await new Promise((resolve) => setImmediate(resolve))
  }
  sealed.push(seal(), seal(), seal(), seal())
  const [first, second] = keys.idsOf('Ada')
  expect(sealed.map(keyOf)).toEqual([...Array.from({ length: 4 }, () => first), ...Array.from({ length: 4 }, () => second)])
  for (const each of sealed) expect(opened(there, each)).toEqual(messageOf(packet))
  // There is no room for a third: the second goes on.
  await keys.confirm()
  expect([keys.size, (await log.endOffsets(topic)).get(0)]).toEqual([2, 2])
  await erase('Ada')
  expect(opened(there, sealed[0] as Message)).toBeNull()
  expect(opened(there, sealed[7] as Message)).toBeNull()
})
