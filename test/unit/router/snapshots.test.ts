import { expect, test } from '@jest/globals'
import type { Appender } from '../../../log/log.ts'
import { MemoryLog } from '../../../log/memory-log.ts'
import { InboxFold } from '../../../model/inbox-fold.ts'
import { SessionFold } from '../../../model/session-fold.ts'
import { SessionQueue } from '../../../model/session-queue.ts'
import { noContents, restoreShared } from '../../../model/snapshot.ts'
import { readSnapshot, writeSnapshot } from '../../../router/snapshots.ts'
import { attached } from '../model/session-records.ts'

const topic = 'snapshots'

async function given(...clientIds: string[]) {
  const log = new MemoryLog()
  await log.createTopics([{ name: topic, partitions: 1, replication: 1, settings: { 'cleanup.policy': 'compact' } }])
  const sessions = new SessionFold(0)
  for (const [offset, clientId] of clientIds.entries()) sessions.apply(offset, attached(clientId))
  const inbox = new InboxFold(0, 1, sessions)
  const appender = await log.appender()
  const write = (previous: Parameters<typeof writeSnapshot>[0]['previous'], journaled: () => Promise<void> = async () => {}, by: Appender = appender) =>
    writeSnapshot({
      appender: by,
      topic,
      sessions,
      inbox,
      term: 3,
      held: [],
      positions: { position: 0, lifecyclePosition: 0, retainedOffsets: [0] },
      previous,
      now: 0,
      journaled,
    })
  const names = async () => (await readSnapshot(log, topic, 0))?.states.map(({ clientId }) => clientId)
  return { log, sessions, inbox, appender, write, names }
}

test('what was written last is read, and what it replaced is deleted', async () => {
  const { log, sessions, write, names } = await given('a', 'b')
  const first = await write(undefined)
  sessions.apply(2, attached('c'))
  await write(first)
  expect(await names()).toEqual(['a', 'b', 'c'])
  log.store.compact(topic)
  expect(await names()).toEqual(['a', 'b', 'c'])
})

test('a snapshot does not count before the journals have what it was made of', async () => {
  const { sessions, write, names } = await given('a')
  const first = await write(undefined)
  sessions.apply(1, attached('b'))
  const journaled = Promise.withResolvers<void>()
  const second = write(first, () => journaled.promise)
  await new Promise((resolve) => setTimeout(resolve, 20))
  expect(await names()).toEqual(['a'])
  journaled.resolve()
  await second
  expect(await names()).toEqual(['a', 'b'])
})

test('chunks without their closing record count for nothing, also when they are written over', async () => {
  const { sessions, write, names } = await given('a')
  const first = await write(undefined)
  sessions.apply(1, attached('b'))
  void write(first, () => new Promise(() => {}))
  await new Promise((resolve) => setTimeout(resolve, 20))
  sessions.apply(2, attached('c'))
  expect(await names()).toEqual(['a'])
  await write(first)
  expect(await names()).toEqual(['a', 'b', 'c'])
})

test('a router that lost the shard cannot write one', async () => {
  const { log, write, names } = await given('a')
  const old = await log.appender({ transactionalId: 'shard-0' })
  const young = await log.appender({ transactionalId: 'shard-0' })
  const first = await write(undefined, undefined, young)
  await expect(write(first, undefined, old)).rejects.toThrow('another appender')
  expect(await names()).toEqual(['a'])
})

test('what sessions that are over have left of shared subscriptions comes back under its numbers, however much it is', async () => {
  const { log, inbox, write } = await given('a')
  const queue = new SessionQueue()
  const owed = { source: 2, size: 100, expiresAt: 0, qos: 1, retain: false, subscriptionIdentifiers: [], at: 0 } as const
  for (let offset = 0; offset < 10_000; offset++) queue.push({ ...owed, offset, group: offset % 10 === 9 ? null : '$share/g/#' })
  for (const number of [0, 5, 4_444]) queue.finish(number)
  inbox.adopt('gone', 7, queue)
  inbox.takeOrphans()
  await write(undefined)
  const fold = new InboxFold(0, 1, new SessionFold(0))
  restoreShared(fold, (await readSnapshot(log, topic, 0)) ?? noContents())
  const [left, ...others] = fold.takeOrphans()
  expect([left?.clientId, left?.id, left?.queue.next, others]).toEqual(['gone', 7, 10_000, []])
  expect([...(left?.queue.entries() ?? [])]).toEqual([...queue.shared()])
})
