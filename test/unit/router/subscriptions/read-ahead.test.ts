import { expect, test } from '@jest/globals'
import type { Stretch } from '../../../../log/log.ts'
import { Ledger } from '../../../../router/subscriptions/ledger.ts'
import { ReadAhead } from '../../../../router/subscriptions/read-ahead.ts'
import { until } from './world.ts'

test('what others have compressed so that it cannot be read is counted, and what stands behind it is read', async () => {
  const event = { attributes: { specversion: '1.0', id: '1', source: 's', type: 't' }, data: { kind: 'none' } } as const
  const record = { partition: 0, offset: 5, timestamp: 0, key: null, value: null, headers: [] }
  const stretch: Stretch = { topic: 'topic', partition: 0, records: [record], nextOffset: 6, endOffset: 6, passedOver: 5 }
  const lost: unknown[] = []
  const reader = {
    ends: new Map([[0, 6]]),
    onNews: () => () => {},
    read: async () => stretch,
    readAgain: async () => undefined,
    eventOf: () => ({ event }),
    startOffsets: async () => new Map([[0, 0]]),
    close: async () => {},
  }
  const ahead = new ReadAhead({
    ledger: new Ledger([0]),
    reader,
    bytesMax: 1_000_000,
    lost: (reason, count) => lost.push([reason, count]),
    wants: () => true,
    isUnmatched: () => false,
    onRead: () => {},
    isExpired: () => false,
    goOnAt: async () => {},
    onFound: () => {},
    onTrouble: (error) => {
      throw error
    },
  })
  ahead.fill()
  await until(
    () => ahead.length,
    (length) => length === 1,
  )
  expect(lost).toEqual([['unreadable', 5]])
  expect(ahead.first).toMatchObject({ partition: 0, offset: 5, event })
  ahead.close()
})
