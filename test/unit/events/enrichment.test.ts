// biome-ignore-all lint/suspicious/noTemplateCurlyInString: enrichments look like template strings and are none
import { expect, test } from '@jest/globals'
import { type ClientAttributes, compileEnrichments, enrichmentViolations } from '../../../events/enrichment.ts'
import type { Message } from '../../../schemas/message.ts'
import { message } from './messages.ts'

const of = (value: string, more: Partial<Message> = {}, attributes: ClientAttributes = {}): unknown =>
  compileEnrichments({ dynamic: [{ key: 'key', value: `\${${value}}` }] })(message(more), () => attributes).key
const pairs = [
  { name: 'unit', value: 'C' },
  { name: "it's \\ here", value: 'x' },
  { name: 'unit', value: 'K' },
]

test('static enrichments have their value, and nobody is asked for attributes', () => {
  const enrich = compileEnrichments({ static: [{ key: 'site', value: 'north', valueType: 'String' }] })
  expect(
    enrich(message(), () => {
      throw new Error('asked')
    }),
  ).toEqual({ site: 'north' })
  expect(compileEnrichments()(message(), () => ({}))).toEqual({})
})

test.each([
  ['client.authenticationName', {}, 'sensor-1.example.com'],
  ['mqtt.message.topicName', {}, 'plant/line1/temperature'],
  ['mqtt.message.responseTopic', { responseTopic: 'answers' }, 'answers'],
  ['mqtt.message.correlationData', { correlationData: Buffer.from([0, 255]) }, 'AP8='],
  ['mqtt.message.pfi', { payloadFormatIndicator: 1 }, 1],
  ['mqtt.message.pfi', { payloadFormatIndicator: 0 }, 0],
  ['mqtt.message.userProperties.unit', { userProperties: pairs }, 'C,K'],
  ["mqtt.message.userProperties['unit']", { userProperties: pairs }, 'C,K'],
  ["mqtt.message.userProperties['it\\'s \\\\ here']", { userProperties: pairs }, 'x'],
] as const)('%s is what the message says', (value, more, expected) => {
  expect(of(value, more)).toBe(expected)
})

test('attributes of the client are its own: text, numbers, and lists joined with commas', () => {
  const attributes = { type: 'door', floor: 3, serial: 9_007_199_254_740_991, tags: ['a', 'b'] }
  expect(Object.keys(attributes).map((name) => of(`client.attributes.${name}`, {}, attributes))).toEqual(['door', 3, '9007199254740991', 'a,b'])
})

test('what is missing is there and empty', () => {
  for (const value of [
    'mqtt.message.responseTopic',
    'mqtt.message.correlationData',
    'mqtt.message.pfi',
    'mqtt.message.userProperties.unit',
    'client.attributes.constructor',
  ])
    expect(of(value)).toBe('')
})

const fieldsOf = (enrichments: Parameters<typeof enrichmentViolations>[0]) => enrichmentViolations(enrichments, 'e').map(({ field }) => field)
const fixed = (key: string, value = 'v') => ({ static: [{ key, value }] })

test('keys are 1 to 20 lower-case letters and digits, no attribute of every event, none of azsp…, each once', () => {
  for (const key of ['a', 'site2', 'a'.repeat(20)]) expect(fieldsOf(fixed(key))).toEqual([])
  for (const key of ['', 'Site', 'a-b', 'a'.repeat(21), 'id', 'subject', 'data', 'dataschema', 'azspfoo'])
    expect(fieldsOf(fixed(key))).toEqual(['e.static[0].key'])
  expect(fieldsOf({ ...fixed('site'), dynamic: [{ key: 'site', value: '${mqtt.message.pfi}' }] })).toEqual(['e.dynamic[0].key'])
})

test('values have at most 128 characters, and there are at most 20 enrichments', () => {
  expect(fieldsOf(fixed('a', 'x'.repeat(128)))).toEqual([])
  expect(fieldsOf(fixed('a', 'x'.repeat(129)))).toEqual(['e.static[0].value'])
  const many = (count: number) => ({ static: Array.from({ length: count }, (_, i) => ({ key: `k${i}`, value: 'v' })) })
  expect([fieldsOf(many(20)), fieldsOf(many(21))]).toEqual([[], ['e']])
})

test.each([
  'plain',
  '${mqtt.message.topicName} and more',
  '${mqtt.message.qos}',
  '${mqtt.message.constructor}',
  '${client.name}',
  '${client.attributes.}',
  "${mqtt.message.userProperties['a'b']}",
  "${mqtt.message.userProperties['a\\n']}",
  '${mqtt.message.userProperties}',
  '${}',
])('%s is no dynamic enrichment, and what is one is said', (value) => {
  const [violation] = enrichmentViolations({ dynamic: [{ key: 'a', value }] }, 'e')
  expect(violation).toMatchObject({ field: 'e.dynamic[0].value', value })
  expect(violation?.rule).toContain('${client.authenticationName}')
})
