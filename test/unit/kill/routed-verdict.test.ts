import { expect, test } from '@jest/globals'
import { type Arrival, judgePushed, judgeRouted } from '../../kill/routed-verdict.ts'
import type { FoundRecord } from '../../wire/kafka-records.ts'

const record = (offset: number, of = offset): FoundRecord => ({
  partition: 0,
  offset,
  key: 't',
  value: Buffer.from(`${of}`),
  headers: { loggerhead_source: `messages/0/${of}`, ce_id: `id-${of}`, ce_subject: 't' },
})
const inLog = [0, 1, 2].map((offset) => ({ topic: 't', source: `messages/0/${offset}` }))
const arrival = (of: number, more: Partial<Arrival> = {}): Arrival => ({ id: `id-${of}`, subject: 't', data: Buffer.from(`${of}`).toString('base64'), ...more })
const all = [record(0), record(1), record(2)]

test('what is routed once and in order has no problems', () => {
  expect(judgeRouted(inLog, all)).toEqual([])
})

test.each([
  ['missing', [record(0), record(2)], ['messages/0/1 was not routed']],
  ['routed twice', [record(0), record(1), record(2), record(3, 2)], ['messages/0/2 was routed 2 times']],
  ['out of order', [record(0), record(1, 2), record(2, 1)], ['t: 1 stands behind 2']],
  ['nobody’s', [...all, record(3)], ['messages/0/3 is none of the load']],
])('a message that is %s in the target is found', (_, records, problems) => {
  expect(judgeRouted(inLog, records)).toEqual(problems)
})

test('what is pushed again with the same id, from further back, has no problems', () => {
  expect(judgePushed(all, [arrival(0), arrival(1), arrival(0), arrival(1), arrival(2)], true)).toEqual([])
})

test.each([
  ['missing', [arrival(0), arrival(2)], ['id-1 of t did not arrive']],
  ['repeated under another id', [arrival(0), arrival(1), arrival(2), arrival(1, { id: 'new' })], ["new of t is none of the topic's events"]],
  ['another under the same id', [arrival(0), arrival(1), arrival(2, { data: '' })], ['id-2 arrived as another event']],
  ['overtaken', [arrival(1), arrival(0), arrival(2)], ['t: id-1 arrived before id-0']],
])('an event that is %s at the webhook is found', (_, arrivals, problems) => {
  expect(judgePushed(all, arrivals, true)).toEqual(problems)
})

test('overtaking is no problem where no order is promised', () => {
  expect(judgePushed(all, [arrival(1), arrival(0), arrival(2)], false)).toEqual([])
})
