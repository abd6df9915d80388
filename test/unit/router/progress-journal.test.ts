import { beforeEach, expect, test } from '@jest/globals'
import type { Append, Appended, Appender } from '../../../log/log.ts'
import { SessionQueue } from '../../../model/session-queue.ts'
import { ProgressJournal } from '../../../router/progress-journal.ts'

/** Where the log stands when the next record is appended. */
let next: number
let unconfirmed: (() => void)[]
let told: string[]

beforeEach(() => {
  next = 7
  unconfirmed = []
  told = []
})

const appender = {
  append: (_record: Append, done: Appended) => {
    const offset = next++
    unconfirmed.push(() => done(null, offset))
  },
} as unknown as Appender

/** A session whose client has received number 0 at QoS 2, and the journal that was told so. */
async function received() {
  const queue = new SessionQueue()
  queue.push({ offset: 1, expiresAt: 0, size: 1, source: 0, qos: 2, retain: false, at: 0, subscriptionIdentifiers: [], group: null })
  queue.receive(0)
  const session = { clientId: 'c', id: 1, isOver: false, queue } as never
  const journal = new ProgressJournal<string>({
    shard: 0,
    term: 5,
    appender,
    topic: 'inbox',
    now: () => 0,
    takeUnreleased: () => 'PUBREL 0',
    onReleasable: (releases) => told.push(...releases),
    onReceivedStand: () => told.push(`stands: ${queue.isReleasable(0)}`),
    onRefused: (error) => told.push(error.message),
  })
  journal.note(session)
  await new Promise((resolve) => setImmediate(resolve))
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
