import { afterEach, beforeEach, expect, jest, test } from '@jest/globals'
import { ConnectionReceipts, Receipts, type ReceiptsOptions } from '../../../gateway/receipts.ts'
import { AppendError, type Appended } from '../../../log/log.ts'
import { decodeRecord } from '../../../schemas/codec.ts'
import type { DeliveryReceipts } from '../../../schemas/evidence-records.ts'

beforeEach(() => {
  jest.useFakeTimers({ now: 1_000 })
})
afterEach(() => {
  jest.useRealTimers()
})

function rig(but: Partial<ReceiptsOptions> = {}) {
  const written: DeliveryReceipts[] = []
  const answers: Appended[] = []
  const counts = { written: 0, lost: 0, limit: 0 }
  const receipts = new Receipts({
    topic: 'receipts',
    gateway: 'gateway-1',
    now: Date.now,
    waitingMax: () => 100,
    isLogFull: () => false,
    append: ({ value, partition }, done) => {
      const record = decodeRecord(value as Buffer)
      if (record.name !== 'DeliveryReceipts' || record.value.shard !== partition) throw new Error('no receipts of the shard')
      written.push(record.value)
      answers.push(done)
    },
    metrics: {
      reached: () => {
        counts.limit++
      },
      receipts: (outcome, count) => {
        counts[outcome] += count
      },
    },
    ...but,
  })
  return { receipts, written, answers, counts }
}

const id = (n: number): Buffer => Buffer.alloc(16, n)
const message = (n: number) => ({ messageId: id(n), partition: 2, offset: 40 + n })

test('what is sent, acknowledged and dropped is gathered and written together, a record for each shard', () => {
  const { receipts, written, answers, counts } = rig()
  const connection = new ConnectionReceipts(receipts, 3, 'pump')
  connection.sent(message(1), { qos: 1 }, 7)
  connection.sent(message(2), { qos: 0 }, 0)
  connection.acknowledged(7, 0)
  connection.dropped({ messageId: id(3), partition: -1, offset: 9 }, { qos: 0 }, 'slow')
  new ConnectionReceipts(receipts, 1, 'valve').sent(message(1), { qos: 0 }, 0)
  expect(written).toEqual([])
  jest.advanceTimersByTime(100)
  const of = (clientId: string, n: number, qos: number, outcome: string, reason = '') => ({
    clientId,
    messageId: id(n),
    source: 2,
    offset: 40 + n,
    qos,
    outcome,
    reason,
    at: 1_000,
  })
  expect(written).toEqual([
    {
      shard: 3,
      gateway: 'gateway-1',
      lost: 0,
      receipts: [
        of('pump', 1, 1, 'sent'),
        of('pump', 2, 0, 'sent'),
        of('pump', 1, 1, 'acknowledged'),
        { ...of('pump', 3, 0, 'dropped', 'slow'), source: -1, offset: -1 },
      ],
    },
    { shard: 1, gateway: 'gateway-1', lost: 0, receipts: [of('valve', 1, 0, 'sent')] },
  ])
  expect(counts).toEqual({ written: 0, lost: 0, limit: 0 })
  answers[0]?.(null, 0)
  answers[1]?.(new AppendError('the log did not take it', 'refused'), -1)
  expect(counts).toEqual({ written: 4, lost: 1, limit: 0 })
})

test('an acknowledgement of what was sent before receipts were asked for has none, and each is told once', () => {
  const { receipts, written } = rig()
  const connection = new ConnectionReceipts(receipts, 0, 'pump')
  connection.acknowledged(1, 0)
  connection.sent(message(1), { qos: 2 }, 1)
  connection.acknowledged(1, 0)
  connection.acknowledged(1, 0)
  receipts.flush()
  expect(written.map((each) => each.receipts.map(({ outcome }) => outcome))).toEqual([['sent', 'acknowledged']])
})

test('RECEIPTS_WAITING_MAX: with the log behind, further receipts are lost and counted, also in the next record; when it answers there is room again', () => {
  const { receipts, written, answers, counts } = rig({ waitingMax: () => 2 })
  const connection = new ConnectionReceipts(receipts, 0, 'pump')
  for (let n = 0; n < 5; n++) connection.sent(message(n), { qos: 0 }, 0)
  jest.advanceTimersByTime(100)
  expect(written.map((each) => [each.receipts.length, each.lost])).toEqual([[2, 3]])
  expect(counts).toEqual({ written: 0, lost: 3, limit: 3 })
  connection.sent(message(6), { qos: 0 }, 0)
  answers[0]?.(null, 0)
  connection.sent(message(7), { qos: 0 }, 0)
  jest.advanceTimersByTime(100)
  expect(written.map((each) => [each.receipts.length, each.lost])).toEqual([
    [2, 3],
    [1, 1],
  ])
})

test('while the log is full nothing is taken or written, and how many were lost is told once it is not', () => {
  let isFull = true
  const { receipts, written, counts } = rig({ isLogFull: () => isFull })
  const connection = new ConnectionReceipts(receipts, 0, 'pump')
  connection.sent(message(1), { qos: 0 }, 0)
  jest.advanceTimersByTime(10_000)
  expect([written.length, counts.lost, counts.limit]).toEqual([0, 1, 0])
  isFull = false
  connection.sent(message(2), { qos: 0 }, 0)
  jest.advanceTimersByTime(100)
  expect(written.map((each) => [each.receipts.length, each.lost])).toEqual([[1, 1]])
})

test('a crowd is written as it comes, however long its client ids are: no record outgrows the log', () => {
  const { receipts, written } = rig({ waitingMax: () => 10_000 })
  const connection = new ConnectionReceipts(receipts, 0, 'x'.repeat(65_535))
  for (let n = 0; n < 10; n++) connection.sent(message(n), { qos: 0 }, 0)
  expect(written.length).toBe(10)
  const short = new ConnectionReceipts(receipts, 0, 'x')
  for (let n = 0; n < 1_000; n++) short.sent(message(1), { qos: 0 }, 0)
  expect(written.slice(10).map((each) => each.receipts.length)).toEqual([500, 500])
})
