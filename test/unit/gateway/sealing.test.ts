import { afterEach, beforeEach, expect, jest, test } from '@jest/globals'
import { pino } from 'pino'
import type { Principal } from '../../../access/principal.ts'
import { Sealing } from '../../../gateway/sealing.ts'
import { AppendError, type Appender } from '../../../log/log.ts'
import { MemoryLog } from '../../../log/memory-log.ts'
import { ClientKeys } from '../../../model/client-keys.ts'
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
let erased: number
let destroyed: number

const sealingWith = (of: ClientKeys, by: Appender): Sealing =>
  new Sealing({ attribute: 'personal', keys: of, appender: by, topic, logger: pino({ level: 'silent' }), now: () => 1, onErased: () => erased++ })
const startKeys = (): Promise<ClientKeys> =>
  ClientKeys.start({
    log,
    topic,
    onFailed: (error) => {
      throw error
    },
  })

beforeEach(async () => {
  erased = destroyed = 0
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
  for (const end = Date.now() + 60_000; !of.isReady(principal); ) {
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
  expect(sealing.isReady(other)).toBe(true)
  expect(sealing.sealed('Bob', 'a/b', packet)).toBe(packet)
  expect(sealing.isReady(ada)).toBe(false)
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
  expect(erased).toBe(1)
  expect(sealing.isReady(ada)).toBe(false)
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
      expect(there.isReady(ada)).toBe(false)
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
