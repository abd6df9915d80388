import { expect, test } from '@jest/globals'
import { compileHeaders, headerText, parseSourceField, whyNoHeaderName, whyNoHeaderValue } from '../../../events/delivery-headers.ts'

const event = { id: '1', subject: 'rooms/é', data: { door: { open: true, 'x y': 'z' }, readings: [1.5, { at: 'noon' }], none: null, big: 'a'.repeat(4097) } }
const dynamic = (sourceField: string) => compileHeaders([{ name: 'X-Value', type: 'Dynamic', properties: { sourceField } }]).of(event)

test.each([
  ['id', '1'],
  ['$.id', '1'],
  ['data.door.open', 'true'],
  ["data.door['x y']", 'z'],
  ['data["door"].open', 'true'],
  ["$['data'].readings[0]", '1.5'],
  ['data.readings[1].at', 'noon'],
  ['subject', 'rooms/%C3%A9'],
])('PU-09: a header out of the event, %s, is %s', (path, value) => {
  expect(dynamic(path)).toEqual({ 'x-value': value })
})

test.each([
  'missing',
  'data',
  'data.none',
  'data.door.open.more',
  'data.readings',
  'data.readings.length',
  'data.readings[9]',
  'data.door[0]',
  'data.toString',
  'data.big',
])('PU-09: a header that the event has nothing for, %s, is left out', (path) => {
  expect(dynamic(path)).toEqual({})
})

test.each([
  '',
  '$',
  '.id',
  'data..door',
  '$id',
  'data.',
  'data[',
  'data[01]',
  'data[-1]',
  "data['a]",
  'data[*]',
  '$..id',
  'data[?@.a]',
  'a b',
  'x'.repeat(1025),
])('PU-09: %j is no source of a header', (path) => {
  expect(parseSourceField(path)).toBeNull()
})

test('a quote in a name is escaped', () => {
  expect(parseSourceField("data['it\\'s'][\"a\\\\b\"]")).toEqual(['data', "it's", 'a\\b'])
})

test('CloudEvents HTTP binding 3.1.3.2: what is no printable ASCII cannot break out of a header', () => {
  expect(headerText('a\r\nx: y')).toBe('a%0D%0Ax:%20y')
  expect(headerText('50% "€😀\ud800')).toBe('50%25%20%22%E2%82%AC%F0%9F%98%80%EF%BF%BD')
})

test('PU-09, PU-14: secrets go out and are not shown', () => {
  const headers = compileHeaders([
    { name: 'Authorization', type: 'Static', properties: { value: 'Bearer s3cret', isSecret: true } },
    { name: 'X-Site', type: 'Static', properties: { value: 'north' } },
  ])
  expect(headers.of(event)).toEqual({ authorization: 'Bearer s3cret', 'x-site': 'north' })
  expect(headers.shownOf(event)).toEqual({ 'x-site': 'north' })
  expect(headers.isDynamic).toBe(false)
})

test.each(['X-Site', 'Authorization', 'api_key', 'a'])('PU-09: %s may be a header', (name) => {
  expect(whyNoHeaderName(name)).toBeUndefined()
})

test.each([
  '',
  'a b',
  'é',
  'a:',
  'Host',
  'content-TYPE',
  'Content-Length',
  'Transfer-Encoding',
  'Connection',
  'ce-id',
  'WebHook-Request-Origin',
  'Origin',
  'x'.repeat(257),
])('PU-09: %j may not', (name) => {
  expect(whyNoHeaderName(name)).toBeDefined()
})

test('PU-09: a value has at most 4,096 bytes and no line ends', () => {
  expect(whyNoHeaderValue('x'.repeat(4096))).toBeUndefined()
  expect(whyNoHeaderValue('x'.repeat(4097))).toBe('must be at most 4096 bytes')
  expect(whyNoHeaderValue('a\r\nb')).toBe('must be printable ASCII')
})
