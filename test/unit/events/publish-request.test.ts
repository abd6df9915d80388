import { expect, test } from '@jest/globals'
import { jsonEvent } from '../../../events/cloud-event.ts'
import { eventRecord } from '../../../events/kafka-binding.ts'
import { PublishProblem, partitionKeyOf, readPublish } from '../../../events/publish-request.ts'
import { kafkaEvent } from '../../../events/received-event.ts'
import fc from '../../support/fast-check.ts'

const event = { specversion: '1.0', id: '1', source: '/doors', type: 'door.opened' }
const json = (body: unknown) => Buffer.from(JSON.stringify(body))
const single = (body: unknown) => readPublish({ 'content-type': 'application/cloudevents+json; charset=utf-8' }, json(body))
const batch = (body: unknown) => readPublish({ 'content-type': 'application/cloudevents-batch+json; charset=utf-8' }, json(body))
const binary = (headers: Record<string, string>, body = '') =>
  readPublish({ 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/doors', 'ce-type': 'door.opened', ...headers }, Buffer.from(body))
const shown = (events: ReturnType<typeof readPublish>) => events.map((each) => JSON.parse(jsonEvent(each).toString()))

/** The field that is refused, with the status. */
function refused(read: () => unknown): readonly unknown[] {
  try {
    read()
  } catch (error) {
    if (error instanceof PublishProblem) return [error.status, error.field]
    throw error
  }
  throw new Error('it was not refused')
}

test('NT-02 one event, a batch and an event in binary mode are read', () => {
  expect(shown(single({ ...event, data: { open: true }, room: 'a', floor: 3 }))).toEqual([
    { ...event, data: { open: true }, room: 'a', floor: 3, datacontenttype: 'application/json' },
  ])
  expect(shown(batch([event, { ...event, id: '2', data_base64: 'AAE=' }]))).toEqual([event, { ...event, id: '2', data_base64: 'AAE=' }])
  expect(shown(binary({ 'content-type': 'application/json', 'ce-subject': 'Z%C3%A4hler%201', 'ce-room': '100%' }, '{"open":true}'))).toEqual([
    { ...event, subject: 'Zähler 1', room: '100%', datacontenttype: 'application/json', data: { open: true } },
  ])
})

test('NT-02 data stays what it is through the Kafka binding and back', () => {
  for (const data of [
    { data: { a: [1, null] } },
    { data: { b: 1 }, datacontenttype: 'application/cloudevents+json; charset=utf-8' },
    { data: 'text', datacontenttype: 'text/plain' },
    { data_base64: 'AAE=', datacontenttype: 'image/png' },
    {},
  ]) {
    const [read] = single({ ...event, ...data })
    const { headers, value } = eventRecord(read!)
    const again = kafkaEvent(headers, value)
    if ('problem' in again) throw new Error(again.problem.rule)
    expect(JSON.parse(jsonEvent(again.event).toString())).toEqual(JSON.parse(jsonEvent(read!).toString()))
  }
})

test('NT-02 an event in structured mode in Kafka is one too, and what is none is said to be none', () => {
  const type = { name: 'content-type', value: Buffer.from('application/cloudevents+json') }
  expect(kafkaEvent([type], json(event))).toMatchObject({ event: { attributes: event } })
  expect(kafkaEvent([type], Buffer.from('nonsense'))).toMatchObject({ problem: { field: 'value' } })
  expect(kafkaEvent([], json(event))).toMatchObject({ problem: { field: 'id' } })
  expect(kafkaEvent([], null)).toMatchObject({ problem: { field: 'id' } })
})

test.each(['id', 'source', 'specversion', 'type'] as const)('NT-06 %s is required', (name) => {
  const { [name]: _, ...rest } = event
  expect(refused(() => single(rest))).toEqual([400, name])
  expect(refused(() => single({ ...event, [name]: '' }))).toEqual([400, name])
  expect(refused(() => batch([event, rest]))).toEqual([400, `[1].${name}`])
})

test('NT-05 names of attributes are up to 20 lower-case letters and digits', () => {
  expect(shown(single({ ...event, ['a'.repeat(20)]: 'x' }))).toHaveLength(1)
  for (const name of ['a'.repeat(21), 'Room', 'room-1', '']) expect(refused(() => single({ ...event, [name]: 'x' }))[0]).toBe(400)
  expect(refused(() => binary({ 'ce-room_1': 'x' }))).toEqual([400, 'ce-room_1'])
})

test('NT-05 an attribute has at most 4,096 characters', () => {
  const most = 'x'.repeat(4096)
  expect(shown(single({ ...event, room: most }))).toEqual([{ ...event, room: most }])
  expect(refused(() => single({ ...event, room: `${most}x` }))).toEqual([400, 'room'])
  expect(refused(() => batch([event, { ...event, room: `${most}x` }]))).toEqual([400, '[1].room'])
  expect(refused(() => binary({ 'ce-room': `${most}x` }))).toEqual([400, 'ce-room'])
})

test('NT-05 a request holds up to 1,000 events', () => {
  const events = (count: number) => Array.from({ length: count }, (_, id) => ({ ...event, id: String(id) }))
  expect(batch(events(1000))).toHaveLength(1000)
  expect(refused(() => batch(events(1001)))[0]).toBe(403)
})

test('NT-04 what is no CloudEvent is a bad request', () => {
  expect(refused(() => readPublish({ 'content-type': 'application/json' }, json(event)))).toEqual([400, 'content-type'])
  expect(refused(() => readPublish({ 'content-type': 'application/cloudevents+json' }, Buffer.from('{')))[0]).toBe(400)
  expect(refused(() => batch([]))[0]).toBe(400)
  expect(refused(() => batch(event))[0]).toBe(400)
  expect(refused(() => single([event]))[0]).toBe(400)
  expect(refused(() => single({ ...event, specversion: '0.3' }))).toEqual([400, 'specversion'])
  expect(refused(() => single({ ...event, room: { a: 1 } }))).toEqual([400, 'room'])
  expect(refused(() => single({ ...event, time: 'yesterday' }))).toEqual([400, 'time'])
  expect(refused(() => single({ ...event, data: 1, data_base64: 'AA==' }))).toEqual([400, 'data_base64'])
  expect(refused(() => single({ ...event, data_base64: 'ä' }))).toEqual([400, 'data_base64'])
  expect(refused(() => binary({ 'ce-datacontenttype': 'application/json' }))).toEqual([400, 'ce-datacontenttype'])
  expect(refused(() => binary({ 'ce-subject': '%FF' }))).toEqual([400, 'ce-subject'])
  expect(refused(() => single({ ...event, ...Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`a${i}`, i])) }))[0]).toBe(400)
})

test('NT-04 whatever comes is read or refused, and never thrown at', () => {
  fc.assert(
    fc.property(fc.json(), (body) => {
      for (const type of ['application/cloudevents+json', 'application/cloudevents-batch+json']) {
        try {
          readPublish({ 'content-type': type }, Buffer.from(body))
        } catch (error) {
          expect(error).toBeInstanceOf(PublishProblem)
        }
      }
    }),
  )
})

test('events of one partition key, else of one subject, stay in order', () => {
  expect(partitionKeyOf(single({ ...event, subject: 's', partitionkey: 'k' })[0]!)).toBe('k')
  expect(partitionKeyOf(single({ ...event, subject: 's' })[0]!)).toBe('s')
  expect(partitionKeyOf(single(event)[0]!)).toBeUndefined()
})

test('NT-04 JSON that is nested too deep is refused in structured mode, and stays bytes in binary mode', () => {
  const deep = `${'['.repeat(5_000)}${']'.repeat(5_000)}`
  const structured = Buffer.from(JSON.stringify({ ...event, data: 0 }).replace('"data":0', `"data":${deep}`))
  expect(refused(() => readPublish({ 'content-type': 'application/cloudevents+json' }, structured))).toEqual([400, undefined])
  expect(refused(() => readPublish({ 'content-type': 'application/cloudevents-batch+json' }, Buffer.from(`[${structured}]`)))).toEqual([400, undefined])
  const [read] = binary({ 'content-type': 'application/json' }, deep)
  expect(JSON.parse(jsonEvent(read!).toString()).data_base64).toBe(Buffer.from(deep).toString('base64'))
})

test('NT-06 an attribute cannot be named as the data is', () => {
  expect(refused(() => binary({ 'content-type': 'application/json', 'ce-data': 'smuggled' }, '{"a":1}'))).toEqual([400, 'ce-data'])
  expect(refused(() => binary({ 'content-type': 'application/json', 'ce-data_base64': 'AA==' }, '{"a":1}'))).toEqual([400, 'ce-data_base64'])
})
