import { createCipheriv, randomBytes } from 'node:crypto'
import { expect, test } from '@jest/globals'
import { encodeMessage } from '../../../schemas/message-record.ts'
import { keyIdIn, open, openedMessage, type Personal, seal, sealedWith } from '../../../schemas/sealed-message.ts'
import { loggedMessage } from '../../support/logged-message.ts'

const key = { id: randomBytes(16), key: randomBytes(32) }
const personal: Personal = {
  payload: Buffer.from('36.9'),
  userProperties: [
    ['patient', 'Ada'],
    ['', '“'],
  ],
  correlationData: Buffer.from([0, 255]),
}

test.each<[string, Personal]>([
  ['everything', personal],
  ['a payload alone', { payload: randomBytes(10_000), userProperties: [], correlationData: null }],
  ['no payload', { payload: Buffer.alloc(0), userProperties: [['a', 'b']], correlationData: null }],
  ['empty correlation data', { payload: Buffer.from('x'), userProperties: [], correlationData: Buffer.alloc(0) }],
])('%s comes out as it went in, and nothing of it stands in what is sealed', (_, each) => {
  const sealed = seal(each, key, 'a/b')
  expect(sealedWith(sealed)).toEqual(key.id)
  expect(open(sealed, key.key, 'a/b')).toEqual(each)
  if (each.payload.length > 1) expect(sealed.includes(each.payload)).toBe(false)
  expect(sealed.includes('patient')).toBe(false)
  expect(sealed.length - each.payload.length).toBeLessThan(512)
})

test('the same message sealed twice is two different ones', () => {
  expect(seal(personal, key, 'a/b').equals(seal(personal, key, 'a/b'))).toBe(false)
})

test('another key, another topic and any changed byte open nothing', () => {
  const sealed = seal(personal, key, 'a/b')
  expect(open(sealed, randomBytes(32), 'a/b')).toBeUndefined()
  expect(open(sealed, key.key, 'a/c')).toBeUndefined()
  for (let at = 24; at < sealed.length; at++) {
    const changed = Buffer.from(sealed)
    changed[at] = (changed[at] as number) ^ 1
    expect(open(changed, key.key, 'a/b')).toBeUndefined()
  }
})

test('what is not sealed is not taken for it, however it begins', () => {
  const sealed = seal(personal, key, 'a/b')
  for (const payload of [Buffer.alloc(0), Buffer.from([0xc5]), Buffer.from('plain'), sealed.subarray(0, 40), Buffer.concat([Buffer.from('x'), sealed])]) {
    expect(sealedWith(payload)).toBeUndefined()
  }
})

test('of a record the key is found without decoding it, wherever else the same bytes stand, and in no other record', () => {
  const other = seal(personal, { ...key, id: randomBytes(16) }, 'a/b')
  const message = loggedMessage({
    clientId: 'c',
    receivedAt: 1,
    topic: 'a/b',
    authenticationName: 'Ada',
    gateway: 'gateway',
    correlationData: other,
    payload: Buffer.from('plain'),
  })
  const recordOf = (payload: Buffer): Buffer => Buffer.from(encodeMessage({ ...message, payload }))
  expect(keyIdIn(recordOf(message.payload))).toBeUndefined()
  for (const size of [0, 1, 100, 8_000, 1_200_000]) {
    const record = recordOf(seal({ ...personal, payload: Buffer.alloc(size, other) }, key, 'a/b'))
    expect(keyIdIn(record)).toEqual(key.id)
    expect(keyIdIn(record.subarray(0, -1))).toBeUndefined()
  }
  for (const record of [Buffer.alloc(0), other, Buffer.concat([Buffer.from('x'), other])]) expect(keyIdIn(record)).toBeUndefined()
})

test('a message is opened with all that was sealed of it, and the rest as it stands', () => {
  const message = loggedMessage({
    clientId: 'c',
    receivedAt: 1,
    topic: 'a/b',
    authenticationName: 'Ada',
    gateway: 'gateway',
    payloadFormatIndicator: 1,
    contentType: 'text/plain',
    payload: seal(personal, key, 'a/b'),
  })
  expect(openedMessage(message, key.key)).toEqual({
    ...message,
    payload: personal.payload,
    correlationData: personal.correlationData,
    userProperties: [
      { name: 'patient', value: 'Ada' },
      { name: '', value: '“' },
    ],
  })
  expect(openedMessage({ ...message, topic: 'a/c' }, key.key)).toBeUndefined()
})

test.each<[string, number[]]>([
  ['nothing', []],
  ['more user properties than there are', [0xff, 0xff, 0xff, 0xff]],
  ['a name longer than the rest', [0, 0, 0, 1, 0, 0, 0, 9, 65]],
  ['correlation data longer than the rest', [0, 0, 0, 0, 0, 0, 0, 9, 65]],
])('%s under a right key opens nothing, and ends no process', (_, body) => {
  const nonce = randomBytes(12)
  const cipher = createCipheriv('aes-256-gcm', key.key, nonce).setAAD(Buffer.from('a/b'))
  const sealed = Buffer.concat([Buffer.from('c54c485345414c01', 'hex'), key.id, nonce, cipher.update(Buffer.from(body)), cipher.final(), cipher.getAuthTag()])
  expect(sealedWith(sealed)).toEqual(key.id)
  expect(open(sealed, key.key, 'a/b')).toBeUndefined()
})
