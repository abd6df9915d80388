/** What an HTTP request says, read strictly: publishes (HP-02), and retained messages (RE-06, RE-07). */
import { expect, test } from '@jest/globals'
import { HttpProblem } from '../../../gateway/http/http-problem.ts'
import { type Headers, readPublishRequest, sizeOf } from '../../../gateway/http/publish-request.ts'
import { readQuery } from '../../../gateway/http/query.ts'
import { listBody, messageHeaders, readGetRequest, readListRequest, tokenOf } from '../../../gateway/http/retained-request.ts'

const base64 = (text: string): string => Buffer.from(text).toString('base64')
const read = (query: string, headers: Readonly<Record<string, string | readonly string[]>> = {}) =>
  readPublishRequest(
    readQuery(`/mqtt/messages?${query}`),
    Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, typeof value === 'string' ? [value] : value])) as Headers,
  )

/** The field of the problem, and its status. */
function problem(ask: () => unknown): { readonly status: number; readonly field: string | undefined } {
  try {
    ask()
  } catch (error) {
    if (error instanceof HttpProblem) return { status: error.status, field: error.field }
    throw error
  }
  throw new Error('it was taken')
}

test('HP-02 a request without any header is a publish at QoS 1 that is not retained and has no properties', () => {
  expect(read('topic=sample%2Ftopic1')).toEqual({
    type: 'publish',
    topic: 'sample/topic1',
    qos: 1,
    retain: false,
    payload: Buffer.alloc(0),
    dup: false,
    packetId: 0,
  })
})

test('HP-02 every header is the property of MQTT 5 that it names', () => {
  const { properties, qos, retain } = read('topic=t', {
    'mqtt-qos': '0',
    'mqtt-retain': '1',
    'mqtt-response-topic': 'answers%2Fd%C3%BCse%207',
    'mqtt-correlation-data': base64('\u0001\u0002'),
    'mqtt-user-properties': base64('[{"unit":"°C"},{"unit":"K"},{"":""}]'),
    'content-type': 'application/json',
    'mqtt-message-expiry': '4294967295',
    'mqtt-payload-format-indicator': '1',
  })
  expect({ qos, retain, properties }).toEqual({
    qos: 0,
    retain: true,
    properties: {
      responseTopic: 'answers/düse 7',
      correlationData: Buffer.from([1, 2]),
      userProperties: [
        ['unit', '°C'],
        ['unit', 'K'],
        ['', ''],
      ],
      contentType: 'application/json',
      messageExpiryInterval: 4294967295,
      payloadFormatIndicator: 1,
    },
  })
})

test('HP-02 what the query says counts, and the header that says otherwise is not looked at', () => {
  expect(read('topic=t&qos=0&retain=0', { 'mqtt-qos': '7', 'mqtt-retain': '1' })).toMatchObject({ qos: 0, retain: false })
})

test.each([
  ['no topic', 'qos=1', 'topic'],
  ['an empty topic', 'topic=', 'topic'],
  ['a wildcard +', 'topic=a/+', 'topic'],
  ['a wildcard #, percent-encoded', 'topic=a%2F%23', 'topic'],
  ['U+0000', 'topic=a%00b', 'topic'],
  ['bytes that are no UTF-8', 'topic=%FF', 'topic'],
  ['an overlong encoding of /', 'topic=a%C0%AFb', 'topic'],
  ['a surrogate in UTF-8', 'topic=%ED%A0%80', 'topic'],
  ['half an encoding', 'topic=a%2', 'topic'],
  ['a topic given twice', 'topic=a&topic=b', 'topic'],
  ['a topic given twice, once percent-encoded', 'topic=a&%74opic=b', 'topic'],
  ['a topic above 65,535 bytes', `topic=${'a'.repeat(65_536)}`, 'topic'],
  ['QoS 3', 'topic=t&qos=3', 'qos'],
  ['an empty QoS', 'topic=t&qos=', 'qos'],
  ['retain in words', 'topic=t&retain=true', 'retain'],
])('HP-02 %s is refused, and named', (_title, query, field) => {
  expect(problem(() => read(query))).toEqual({ status: 400, field })
})

test.each([
  ['mqtt-qos', '1, 1'],
  ['mqtt-qos', ['1', '0']],
  ['mqtt-retain', '2'],
  ['mqtt-response-topic', 'a/%23'],
  ['mqtt-response-topic', 'a, b'],
  ['mqtt-response-topic', 'a%'],
  ['mqtt-response-topic', ''],
  ['mqtt-correlation-data', 'AQI'],
  ['mqtt-correlation-data', 'AQ==, AQ=='],
  ['mqtt-correlation-data', '-_-_'],
  ['mqtt-user-properties', 'eyJh'],
  ['mqtt-user-properties', base64('{"a":"b"}')],
  ['mqtt-user-properties', base64('[["a","b"]]')],
  ['mqtt-user-properties', base64('[{"a":"b","c":"d"}]')],
  ['mqtt-user-properties', base64('[{}]')],
  ['mqtt-user-properties', base64('[{"a":1}]')],
  ['mqtt-user-properties', base64('[null]')],
  ['mqtt-user-properties', base64('[{"a":"\\ud800"}]')],
  ['mqtt-user-properties', base64('[{"a\\u0000":"b"}]')],
  ['mqtt-user-properties', Buffer.from([0x5b, 0xff, 0x5d]).toString('base64')],
  ['mqtt-message-expiry', '-1'],
  ['mqtt-message-expiry', '4294967296'],
  ['mqtt-message-expiry', '1e3'],
  ['mqtt-payload-format-indicator', '2'],
  ['content-type', 'text/d\u00fcse'],
])('HP-02 the header %s: %s is refused, and named', (field, value) => {
  expect(problem(() => read('topic=t', { [field]: value }))).toEqual({ status: 400, field })
})

test('HP-02 names that a JavaScript object treats as its own are names like any other', () => {
  const { properties } = read('topic=t', { 'mqtt-user-properties': base64('[{"__proto__":"x"},{"constructor":"y"}]') })
  expect(properties?.userProperties).toEqual([
    ['__proto__', 'x'],
    ['constructor', 'y'],
  ])
  expect(problem(() => read('__proto__=1'))).toEqual({ status: 400, field: 'topic' })
})

test('the size of a message is that of its payload and its properties', () => {
  const packet = read('topic=t', {
    'mqtt-response-topic': 'ab',
    'mqtt-correlation-data': 'AQID',
    'content-type': 'abcd',
    'mqtt-user-properties': base64('[{"n":"°"}]'),
  })
  expect(sizeOf({ ...packet, payload: Buffer.alloc(10) })).toBe(10 + 2 + 3 + 4 + (5 + 1 + 2))
})

const list = (query: string) => readListRequest(readQuery(`/mqtt/retainedMessages?${query}`))

test('RE-07 a list is asked for by filter, up to 100 at a time, or by what nextLink gave, and not by both', () => {
  expect(list('topicFilter=sample/+/%23')).toEqual({ filter: 'sample/+/#', after: '', top: 100 })
  const asked = list('topicFilter=a%2F%2B&maxResults=7')
  expect(list(`continuationToken=${tokenOf(asked, 'a/ü')}`)).toEqual({ filter: 'a/+', after: 'a/ü', top: 7 })
})

test.each([
  ['nothing', '', 'topicFilter'],
  ['both', `topicFilter=a&continuationToken=${tokenOf({ filter: 'a', after: '', top: 1 }, 'a')}`, 'topicFilter'],
  ['a token and a size', `maxResults=1&continuationToken=${tokenOf({ filter: 'a', after: '', top: 1 }, 'a')}`, 'maxResults'],
  ['no results', 'topicFilter=a&maxResults=0', 'maxResults'],
  ['101 results', 'topicFilter=a&maxResults=101', 'maxResults'],
  ['half a result', 'topicFilter=a&maxResults=0.5', 'maxResults'],
  ['a wildcard that does not fill its level', 'topicFilter=a%23', 'topicFilter'],
  ['a shared subscription', 'topicFilter=%24share/g/a', 'topicFilter'],
  ['a token of nobody', 'continuationToken=abc', 'continuationToken'],
  ['a token of other JSON', `continuationToken=${base64('{"filter":"#"}')}`, 'continuationToken'],
  ['a token with a shared filter', `continuationToken=${tokenOf({ filter: '$share/g/a', after: '', top: 1 }, 'a')}`, 'continuationToken'],
  ['a token for too many', `continuationToken=${tokenOf({ filter: 'a', after: '', top: 1e9 }, 'a')}`, 'maxResults'],
])('RE-08 %s is refused, and named', (_title, query, field) => {
  expect(problem(() => list(query))).toEqual({ status: 400, field })
})

test('RE-06 a topic is asked for like one that is published on; below $share there is none', () => {
  expect(readGetRequest(readQuery('/mqtt/retainedMessages/message?topic=a%2Fb'))).toBe('a/b')
  expect(problem(() => readGetRequest(readQuery('/?topic=%24share%2Fg%2Fa')))).toEqual({ status: 400, field: 'topic' })
  expect(problem(() => readGetRequest(readQuery('/')))).toEqual({ status: 400, field: 'topic' })
})

const message = { topic: 'a/b', qos: 1, size: 3, lastModifiedTime: '2026-01-01T00:00:00.000Z', payload: 'YWJj' }

test('RE-06 what a device says of its payload goes into a header only where it is a media type, and a browser runs nothing of it', () => {
  expect(messageHeaders({ ...message, expiry: '2026-01-02T00:00:00.000Z', contentType: 'application/json; charset=utf-8' })).toEqual({
    'content-type': 'application/json; charset=utf-8',
    'content-length': '3',
    'x-ms-mqtt-topic': 'a/b',
    'x-ms-mqtt-qos': '1',
    'x-ms-mqtt-size': '3',
    'x-ms-mqtt-expiry': '2026-01-02T00:00:00.000Z',
    'x-ms-mqtt-last-modified': '2026-01-01T00:00:00.000Z',
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'content-security-policy': 'sandbox',
  })
  for (const contentType of ['text/html\r\nset-cookie: a=b', 'nothing', 'a/b; c="d\u0001"', 'ü/ü']) {
    expect(messageHeaders({ ...message, contentType })).toMatchObject({ 'content-type': 'application/octet-stream' })
  }
  const topic = 'ü/100 %\r\nx: y'
  const shown = messageHeaders({ ...message, topic })['x-ms-mqtt-topic'] as string
  expect(shown).toMatch(/^[\x21-\x7e]+$/)
  expect(decodeURIComponent(shown)).toBe(topic)
})

test('RE-07 the list tells topic, QoS, size, expiry and time; the link to the next page is null at the end', () => {
  expect(JSON.parse(listBody([{ ...message, contentType: 'x/y' }], null))).toEqual({
    nextLink: null,
    retainedMessages: [{ topic: 'a/b', qos: 1, size: 3, expiry: null, lastModifiedTime: '2026-01-01T00:00:00.000Z' }],
  })
})

test('a request’s traceparent and tracestate go on as user properties, unless the publisher gives a traceparent among them', () => {
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const propertiesOf = (headers: Parameters<typeof read>[1]) => read('topic=t', headers).properties?.userProperties
  expect(propertiesOf({ traceparent })).toEqual([['traceparent', traceparent]])
  expect(propertiesOf({ traceparent, tracestate: ['a=1', 'b=2'], 'mqtt-user-properties': base64('[{"unit":"K"}]') })).toEqual([
    ['unit', 'K'],
    ['traceparent', traceparent],
    ['tracestate', 'a=1,b=2'],
  ])
  expect(propertiesOf({ traceparent, 'mqtt-user-properties': base64('[{"traceparent":"mine"}]') })).toEqual([['traceparent', 'mine']])
})

test('a traceparent that is none, is there twice, or a tracestate alone, is as if it were not there', () => {
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  for (const headers of [{ traceparent: 'nonsense' }, { traceparent: [traceparent, traceparent] }, { tracestate: 'a=1' }])
    expect(read('topic=t', headers).properties).toBeUndefined()
})
