import { beforeEach, describe, expect, test } from '@jest/globals'
import type { Append, Appended, Appender } from '../../../log/log.ts'
import type { Session } from '../../../model/session.ts'
import { SessionQueue } from '../../../model/session-queue.ts'
import { ProgressJournal } from '../../../router/progress-journal.ts'
import { decodeRecord } from '../../../schemas/codec.ts'

/** Where the log stands when the next record is appended. */
let next: number
let records: Buffer[]
let unconfirmed: (() => void)[]
let told: string[]

beforeEach(() => {
  next = 7
  records = []
  unconfirmed = []
  told = []
})

const appender = {
  append: ({ value }: Append, done: Appended) => {
    records.push(value as Buffer)
    const offset = next++
    unconfirmed.push(() => done(null, offset))
  },
} as unknown as Appender

const turn = () => new Promise((resolve) => setImmediate(resolve))

/** A session that is owed messages at QoS 2, numbered from 0. */
function owed(clientId: string, count: number) {
  const queue = new SessionQueue()
  for (let i = 0; i < count; i++)
    queue.push({ offset: i, expiresAt: 0, size: 1, source: 0, qos: 2, retain: false, at: 0, subscriptionIdentifiers: [], group: null })
  return { clientId, id: 1, isOver: false, queue } as unknown as Session
}

/** A session whose client has received number 0 at QoS 2, and the journal that was told so. */
async function received() {
  const session = owed('c', 1)
  const { queue } = session
  queue.receive(0)
  const journal = new ProgressJournal<string>({
    shard: 0,
    term: 5,
    appender,
    topic: 'inbox',
    now: () => 0,
    unreadMax: 100,
    onUnreadMax: () => told.push('limit'),
    takeUnreleased: () => 'PUBREL 0',
    onReleasable: (releases) => told.push(...releases),
    onReceivedStand: () => told.push(`stands: ${queue.isReleasable(0)}`),
    onRefused: (error) => told.push(error.message),
  })
  journal.note(session)
  await turn()
  return journal
}

test('PUBREL goes out once the record of PUBREC has been read back, with no other term before it [MQTT-4.3.3-4]', async () => {
  const journal = await received()
  journal.read(7)
  unconfirmed.shift()?.()
  expect(told).toEqual([])
  journal.read(7)
  expect(told).toEqual([])
  journal.read(8)
  expect(told).toEqual(['stands: true', 'PUBREL 0'])
  journal.read(9)
  expect(told).toHaveLength(2)
})

test('a record may be read back before its append is confirmed', async () => {
  const journal = await received()
  journal.read(8)
  expect(told).toEqual([])
  unconfirmed.shift()?.()
  expect(told).toEqual(['stands: true', 'PUBREL 0'])
})

test('an owner that has let go of the shard sends nothing by what it wrote', async () => {
  const journal = await received()
  unconfirmed.shift()?.()
  journal.close()
  journal.read(8)
  expect(told).toEqual([])
})

describe('an inbox that can be written and not read', () => {
  /** The numbers that each record says are received, by client. */
  const receipts = () =>
    records.map((value) => {
      const record = decodeRecord(value)
      if (record.name !== 'Acknowledged') throw new Error(record.name)
      return Object.fromEntries(record.value.sessions.map(({ clientId, received }) => [clientId, received]))
    })

  function journalOf(unreadMax: number) {
    return new ProgressJournal<string>({
      shard: 0,
      term: 5,
      appender,
      topic: 'inbox',
      now: () => 0,
      unreadMax,
      onUnreadMax: () => told.push('limit'),
      takeUnreleased: ({ clientId }) => `PUBREL to ${clientId}`,
      onReleasable: (releases) => told.push(...releases),
      onReceivedStand: () => {},
      onRefused: (error) => told.push(error.message),
    })
  }

  /** The client receives the number, and the log confirms what is written of it. */
  async function receive(journal: ProgressJournal<string>, session: Session, number: number) {
    session.queue.receive(number)
    journal.note(session)
    await turn()
    unconfirmed.shift()?.()
    await turn()
  }

  test('takes RECEIPTS_UNREAD_MAX records; what comes then waits until one was read, shares a record, and is released by it', async () => {
    const journal = journalOf(2)
    const [a, b] = [owed('a', 4), owed('b', 4)]
    for (const number of [0, 1]) await receive(journal, a, number)
    for (const number of [2, 3]) await receive(journal, a, number)
    for (const number of [0, 1, 2, 3]) await receive(journal, b, number)
    expect(receipts()).toEqual([{ a: [0] }, { a: [0, 1] }])
    expect(told).toEqual(['limit'])
    journal.read(8)
    await turn()
    expect(told).toEqual(['limit', 'PUBREL to a'])
    expect(receipts().slice(2)).toEqual([{ a: [0, 1, 2, 3], b: [0, 1, 2, 3] }])
    unconfirmed.shift()?.()
    journal.read(10)
    expect(told).toEqual(['limit', 'PUBREL to a', 'PUBREL to a', 'PUBREL to a', 'PUBREL to b'])
  })

  test('holds a snapshot up, which goes on once all that was noted stands in the log, and fails when the shard is let go of', async () => {
    const journal = journalOf(1)
    const [a, b] = [owed('a', 1), owed('b', 1)]
    await receive(journal, a, 0)
    b.queue.receive(0)
    journal.note(b)
    let isWritten = false
    void journal.written().then(() => {
      isWritten = true
    })
    await turn()
    expect([records.length, isWritten]).toEqual([1, false])
    journal.read(8)
    await turn()
    // The record of b, and an empty one behind it, which tells that b's is there.
    while (unconfirmed.length > 0) {
      expect(isWritten).toBe(false)
      unconfirmed.shift()?.()
      await turn()
    }
    expect(receipts().slice(1)).toEqual([{ b: [0] }, {}])
    expect(isWritten).toBe(true)
    b.queue.receive(0)
    journal.note(b)
    const letGo = journal.written()
    journal.close()
    await expect(letGo).rejects.toThrow('shard 0 was let go of before its progress was written')
  })
})
