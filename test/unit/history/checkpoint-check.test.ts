import { expect, test } from '@jest/globals'
import { newestCheckpoint } from '../../../history/checkpoint.ts'
import { checkCheckpoint } from '../../../history/checkpoint-check.ts'
import { MemoryLog } from '../../../log/memory-log.ts'
import { planTopics, topicSettings, topicSpecs } from '../../../log/topics.ts'
import { historyKeptText } from '../../../model/history-kept.ts'
import { InboxFold } from '../../../model/inbox-fold.ts'
import { SessionFold } from '../../../model/session-fold.ts'
import { takeCheckpoint } from '../../../router/checkpoint-writer.ts'
import { StateCheck } from '../../../router/state-check.ts'
import { encodeRecord } from '../../../schemas/codec.ts'
import type { RetainedNote } from '../../../schemas/inbox-records.ts'
import type { AnyRecord, Records } from '../../../schemas/records.ts'
import { readSettings } from '../../../settings/setting.ts'
import { attached, subscribed, subscription } from '../model/session-records.ts'

const { names, ...others } = planTopics(readSettings(topicSettings, { KAFKA_PARTITIONS: '1' }), 'default', 'development')
const note: RetainedNote = { topic: 'a', offset: 3, isCleared: false, receivedAt: 1, expiresAt: null, qos: 1, size: 10 }

/** A shard whose owner folds what stands in the log, and writes checkpoints of it. */
async function world() {
  const log = new MemoryLog()
  await log.createTopics(topicSpecs({ names, ...others }))
  const appender = await log.appender()
  const sessions = new SessionFold(0)
  const inbox = new InboxFold(0, 1, sessions)
  let now = 1_000
  const append = async (topic: 'sessions' | 'inbox', { name, value }: AnyRecord): Promise<void> => {
    const offset = await appender.write({
      topic: names[topic],
      partition: 0,
      key: null,
      value: encodeRecord(name, value as Records[typeof name]),
      timestamp: now++,
    })
    if (topic === 'sessions') sessions.apply(offset, { name, value } as AnyRecord)
    else inbox.apply(offset, { name, value } as AnyRecord)
  }
  const checkpoint = async (retained: readonly RetainedNote[], registry = { position: 0, digest: '' }, journaled = async () => {}): Promise<void> => {
    const positions = { position: 0, lifecyclePosition: 0, retainedOffsets: [0] }
    const write = takeCheckpoint({ sessions, inbox, term: 0, retained, positions, now: now++ })
    await write({ appender, log, topics: names, registry: async () => registry, journaled, now: () => now })
  }
  const check = async () => {
    const newest = await newestCheckpoint(log, names.checkpoints, 0)
    return newest && checkCheckpoint({ log, topics: names, shard: 0, shards: 1, now: 10_000 }, newest)
  }
  return { log, sessions, append, checkpoint, check }
}

test('what the owner holds is what the log makes; the first checkpoint has nothing to be held against', async () => {
  const { append, checkpoint, check } = await world()
  await checkpoint([])
  expect(await check()).toBeUndefined()
  await append('sessions', attached('c'))
  await append('sessions', subscribed('c', 0, 'b', 'a'))
  await append('inbox', { name: 'RetainedChanged', value: { shard: 0, term: 0, entries: [note] } })
  await checkpoint([note])
  expect(await check()).toEqual([])
})

test('what the owner knows before the journal says it is no difference, also behind a record that needs a session of after the checkpoint', async () => {
  const { sessions, append, checkpoint, check } = await world()
  await append('sessions', attached('c'))
  const receiver = (clientId: string, session: number) =>
    ({ clientId, session, qos: 1, retain: false, subscriptionIdentifiers: [], group: '$share/g/a', replay: null }) as const
  const given = { source: 0, size: 1, expiresAt: null, fromClientId: 'gone', fromSession: 9 }
  const reassigned = (offset: number, sessionsOffset: number, to: ReturnType<typeof receiver>): AnyRecord => ({
    name: 'Reassigned',
    value: { shard: 0, term: 0, sessionsOffset, at: 1_000, entries: [{ ...given, offset, receiver: to }] },
  })
  await append('inbox', reassigned(1, 1, receiver('c', 0)))
  await checkpoint([])
  // Acknowledged, which the owner notes in its journal a moment later: when another record stands there already.
  const session = sessions.sessions.get('c')!
  session.queue.advance(1, [], 1)
  const acknowledged: AnyRecord = {
    name: 'Acknowledged',
    value: { shard: 0, term: 0, sessions: [{ clientId: 'c', session: 0, cursor: 1, above: [], sent: 1, received: [] }] },
  }
  await checkpoint([], undefined, async () => {
    await append('sessions', attached('d'))
    await append('inbox', reassigned(2, 2, receiver('d', 1)))
    await append('inbox', acknowledged)
  })
  expect(await check()).toEqual([])
})

test('a subscription and a queued message too many, a retained message too few and another registry are found', async () => {
  const { sessions, append, checkpoint, check } = await world()
  await checkpoint([])
  await append('sessions', attached('c'))
  await append('inbox', { name: 'RetainedChanged', value: { shard: 0, term: 0, entries: [note] } })
  const session = sessions.sessions.get('c')!
  session.subscriptions.set('x', subscription('x'))
  const entry = { source: 0, offset: 9, size: 1, expiresAt: 0, qos: 1, retain: false, subscriptionIdentifiers: [], group: null, at: 1_000 } as const
  session.queue.push(entry)
  await checkpoint([], { position: 0, digest: 'ff' })
  expect(await check()).toEqual(['sessions', 'queues', 'retained', 'registry'])
  // The one after it says the same: the mistake is told once.
  await checkpoint([])
  expect(await check()).toEqual([])
})

test('how far a client is with QoS 2, and a replay with what it brings, is compared too; what may have been sent is not', async () => {
  const { sessions, append, checkpoint, check } = await world()
  await append('sessions', attached('c'))
  const session = sessions.sessions.get('c')!
  const replayed = (phase: string, next: number, messages: number) =>
    append('inbox', {
      name: 'Replayed',
      value: {
        shard: 0,
        term: 0,
        clientId: 'c',
        session: session.id,
        replay: 1,
        phase,
        positions: [{ source: 0, next, end: null }],
        entries: [{ source: 0, offset: next - 1, size: 1, qos: 2, retain: false }],
        messages,
        subscriptionIdentifiers: [],
        qos: 2,
        filter: 'a',
        at: 1_000,
        since: null,
      },
    })
  const acknowledged = (received: readonly number[]) =>
    append('inbox', {
      name: 'Acknowledged',
      value: { shard: 0, term: 0, sessions: [{ clientId: 'c', session: session.id, cursor: 0, above: [], sent: 1, received: [...received] }] },
    })
  await checkpoint([])
  await replayed('reading', 4, 1)
  await acknowledged([0])
  // An owner knows it before the journal does.
  session.queue.sent = 2
  await checkpoint([])
  expect(await check()).toEqual([])
  await replayed('over', 9, 2)
  await checkpoint([])
  expect(await check()).toEqual([])
  session.queue.receive(1)
  await checkpoint([])
  expect(await check()).toEqual(['queues'])
  await acknowledged([0, 1])
  session.queue.replays?.clear()
  await checkpoint([])
  expect(await check()).toEqual(['queues'])
})

test('a registry that may have been compacted since is not held against the checkpoint', async () => {
  const { log, checkpoint, append } = await world()
  const appender = await log.appender()
  const mark = (name: string, properties: string, at: number): Promise<number> => {
    const value = encodeRecord('RegistryEntry', { kind: 'marker', name, properties, etag: '', createdAt: at, updatedAt: at, by: 'registry' })
    return appender.write({ topic: names.registry, partition: 0, key: Buffer.from(`marker/${name}`), value, timestamp: at })
  }
  await checkpoint([])
  await mark('history', historyKeptText({ since: 0, windowMs: 60_000 }), 900)
  await append('sessions', attached('c'))
  await checkpoint([], { position: 1, digest: 'of what was there then' })
  await mark('other', '{}', 2_000)
  const newest = (await newestCheckpoint(log, names.checkpoints, 0))!
  const at = (now: number) => checkCheckpoint({ log, topics: names, shard: 0, shards: 1, now }, newest)
  expect(await at(10_000)).toEqual(['registry'])
  expect(await at(100_000)).toEqual([])
})

test('a router checks the shards of others once for each checkpoint, and its own only when there is no other', async () => {
  const { log, append, checkpoint, sessions } = await world()
  await checkpoint([])
  await append('sessions', attached('c'))
  await checkpoint([])
  const told: string[] = []
  const checkOf = (isOwned: boolean) =>
    new StateCheck({
      log,
      topics: names,
      shards: 1,
      now: () => 10_000,
      isOwned: () => isOwned,
      onChecked: (shard) => told.push(`same ${shard}`),
      onDiffering: (shard, _, differing) => told.push(`differs ${shard} ${differing}`),
      onFailed: (_, error) => told.push(error.message),
    })
  const alone = checkOf(true)
  await alone.round()
  await alone.round()
  expect(told).toEqual(['same 0'])
  await append('sessions', attached('c'))
  sessions.sessions.get('c')!.authenticationName = 'somebody'
  await checkpoint([])
  const other = checkOf(false)
  const read = log.read.bind(log)
  log.read = (topic, ...where) => (topic === names.sessions ? Promise.reject(new Error('Kafka is away')) : read(topic, ...where))
  await other.round()
  log.read = read
  await other.round()
  await other.round()
  expect(told).toEqual(['same 0', 'Kafka is away', 'differs 0 sessions'])
})
