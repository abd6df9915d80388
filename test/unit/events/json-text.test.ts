import { expect, test } from '@jest/globals'
import { cloudEventOf, jsonEvent } from '../../../events/cloud-event.ts'
import { isNestedTooDeep, jsonDepthMax, parseJsonText } from '../../../events/json-text.ts'
import { readPublish } from '../../../events/publish-request.ts'
import { kafkaEvent } from '../../../events/received-event.ts'
import fc from '../../support/fast-check.ts'
import { message } from './messages.ts'

const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth)
const tooDeep = nested(50_000)
const event = (data: string): Buffer => Buffer.from(`{"specversion":"1.0","id":"1","source":"s","type":"t","data":${data}}`)

test('JSON is taken up to the greatest nesting, and not beyond', () => {
  expect(parseJsonText(nested(jsonDepthMax))).toBeDefined()
  expect(parseJsonText(nested(jsonDepthMax + 1))).toBeUndefined()
  expect(parseJsonText(`${'{"a":'.repeat(jsonDepthMax + 1)}1${'}'.repeat(jsonDepthMax + 1)}`)).toBeUndefined()
  expect(parseJsonText('{')).toBeUndefined()
  expect(parseJsonText('null')).toEqual({ value: null, exact: null })
})

test('brackets within strings, and values side by side, are no nesting', () => {
  const text = JSON.stringify({ ['['.repeat(1_000)]: `\\"${'{['.repeat(1_000)}`, list: Array.from({ length: 1_000 }, () => [{}]) })
  expect(isNestedTooDeep(text)).toBe(false)
  expect(parseJsonText(text)?.value).toEqual(JSON.parse(text))
  expect(isNestedTooDeep(`["\\\\",${tooDeep}]`)).toBe(true)
})

test('RT-06 a message that is nested too deep for JSON goes on as the bytes it is', () => {
  const asEvent = message({ contentType: 'application/cloudevents+json', payload: event(tooDeep) })
  const asText = message({ contentType: 'application/json', payloadFormatIndicator: 1, payload: Buffer.from(tooDeep) })
  const asBinary = message({
    contentType: 'application/json',
    payload: Buffer.from(tooDeep),
    userProperties: Object.entries({ specversion: '1.0', id: '1', source: 's', type: 't' }).map(([name, value]) => ({ name, value })),
  })
  for (const each of [asEvent, { ...asEvent, payloadFormatIndicator: 1 }, asText, asBinary]) {
    const routed = cloudEventOf(each, 'ns')
    expect(routed.data).toEqual({ kind: 'binary', bytes: each.payload })
    expect(JSON.parse(jsonEvent(routed).toString())).toMatchObject({ specversion: '1.0', data_base64: each.payload.toString('base64') })
  }
})

test('NT-06 an event that is nested too deep is refused over HTTP, and is none in a topic, whatever wrote it there', () => {
  expect(() => readPublish({ 'content-type': 'application/cloudevents+json' }, event(tooDeep))).toThrow('nested')
  const headers = [{ name: 'content-type', value: Buffer.from('application/cloudevents+json') }]
  expect(kafkaEvent(headers, event(tooDeep))).toMatchObject({ problem: { field: 'value' } })
})

const numbers =
  '{"big":12345678901234567890,"list":[1e400,-0,0.1000000000000000055511151231257827],"plain":[1,2.5,"1e400"],"9007199254740993":9007199254740993}'

test('numbers that JavaScript would round, or take for none, are written as they came', () => {
  expect(JSON.stringify(parseJsonText(numbers)?.exact)).toBe(numbers)
  expect(parseJsonText(numbers)?.value).toMatchObject({ big: Number('12345678901234567890'), plain: [1, 2.5, '1e400'] })
})

test('the data of events keeps its numbers on every way in, whoever sent it as JSON', () => {
  const cloudEvents = { 'content-type': 'application/cloudevents+json' }
  const batches = { 'content-type': 'application/cloudevents-batch+json' }
  const structured = [{ name: 'content-type', value: Buffer.from('application/cloudevents+json') }]
  const received = kafkaEvent(structured, event(numbers))
  const ways = [
    readPublish(cloudEvents, event(numbers))[0],
    readPublish(batches, Buffer.concat([Buffer.from('['), event('1'), Buffer.from(','), event(numbers), Buffer.from(']')]))[1],
    'event' in received ? received.event : undefined,
    cloudEventOf(message({ protocolVersion: 5, contentType: 'application/cloudevents+json', payload: event(numbers) }), 'factory'),
  ]
  for (const each of ways) expect(jsonEvent(each!).toString()).toContain(`"data":${numbers}`)
})

test('whatever JSON there is, what is written again has the same value', () => {
  fc.assert(
    fc.property(fc.json(), (text) => {
      const { value, exact } = parseJsonText(text)!
      expect(JSON.parse(JSON.stringify(exact))).toEqual(JSON.parse(JSON.stringify(value)))
    }),
  )
})
