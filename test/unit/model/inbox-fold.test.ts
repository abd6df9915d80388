import { expect, test } from '@jest/globals'
import { InboxFold } from '../../../model/inbox-fold.ts'
import { SessionFold } from '../../../model/session-fold.ts'
import type { AnyRecord } from '../../../schemas/records.ts'
import { acknowledged, attached, detached, dropped, entry, indexed, receiver, sessionEnded, shardOwned, termAnnounced } from './session-records.ts'

/** Two sessions, a (0) and b (1), and an inbox that has applied the records. */
function given(...records: AnyRecord[]) {
  const sessions = new SessionFold(0)
  sessions.apply(0, attached('a'))
  sessions.apply(1, attached('b'))
  const inbox = new InboxFold(0, 3, sessions)
  const touched = records.map((record, offset) => inbox.apply(offset, record).map(({ clientId }) => clientId))
  return { sessions, inbox, touched, owed: (clientId: string) => [...(sessions.sessions.get(clientId)?.queue.entries() ?? [])].map(({ offset }) => offset) }
}

test('entries are numbered per session in the order of the journal', () => {
  const { sessions, touched, owed } = given(
    indexed(0, 3, [entry(0, receiver('a', 0)), entry(2, receiver('a', 0), receiver('b', 1, { qos: 2, retain: true, subscriptionIdentifiers: [4] }))]),
    indexed(5, 6, [entry(5, receiver('b', 1))], { shard: 2 }),
  )
  expect(touched).toEqual([['a', 'b'], ['b']])
  expect(owed('a')).toEqual([0, 2])
  expect([...(sessions.sessions.get('b')?.queue.entries() ?? [])]).toEqual([
    { number: 0, source: 0, offset: 2, size: 100, expiresAt: 0, qos: 2, retain: true, subscriptionIdentifiers: [4], group: null, at: 0 },
    { number: 1, source: 2, offset: 5, size: 100, expiresAt: 0, qos: 1, retain: false, subscriptionIdentifiers: [], group: null, at: 0 },
  ])
})

test('what a successor indexes again is taken once, and what is new in it as well', () => {
  const { inbox, owed } = given(
    indexed(0, 3, [entry(0, receiver('a', 0)), entry(2, receiver('a', 0))]),
    termAnnounced(0, 9),
    indexed(0, 5, [entry(0, receiver('a', 0), receiver('b', 1)), entry(2, receiver('a', 0)), entry(4, receiver('a', 0))], { term: 9 }),
  )
  expect([owed('a'), owed('b'), inbox.highWaters]).toEqual([[0, 2, 4], [], [5, 0, 0]])
})

test('high-waters of different sources do not touch one another', () => {
  const { owed, inbox } = given(indexed(0, 9, [entry(8, receiver('a', 0))], { shard: 1 }), indexed(0, 2, [entry(1, receiver('a', 0))]))
  expect([owed('a'), inbox.highWaters]).toEqual([
    [8, 1],
    [2, 9, 0],
  ])
})

test('a stretch in parts counts with its last part only', () => {
  const parts = [
    indexed(0, 9, [entry(1, receiver('a', 0))], { part: 0, parts: 3 }),
    indexed(0, 9, [entry(1, receiver('b', 1))], { part: 1, parts: 3 }),
    indexed(0, 9, [entry(8, receiver('a', 0))], { part: 2, parts: 3 }),
  ]
  const half = given(...parts.slice(0, 2))
  expect([half.owed('a'), half.inbox.highWaters[0], half.inbox.isBetweenParts]).toEqual([[], 0, true])
  const whole = given(...parts)
  expect([whole.owed('a'), whole.owed('b'), whole.inbox.highWaters[0], whole.inbox.isBetweenParts]).toEqual([[1, 8], [1], 9, false])
})

test('parts of a stretch that its owner gave up count for nothing', () => {
  const { owed, inbox } = given(
    indexed(0, 9, [entry(1, receiver('a', 0))], { part: 0, parts: 2 }),
    termAnnounced(0, 5),
    // From the old owner, behind the announcement; then the new one's own, cut otherwise.
    indexed(0, 9, [entry(7, receiver('a', 0))], { part: 1, parts: 2 }),
    indexed(0, 4, [entry(1, receiver('a', 0))], { term: 5 }),
    indexed(4, 9, [entry(7, receiver('b', 1))], { term: 5, part: 1, parts: 2 }),
  )
  expect([owed('a'), owed('b'), inbox.highWaters[0]]).toEqual([[1], [], 4])
})

test('records of a lower term than announced are ignored, of every kind', () => {
  const { owed, inbox, touched } = given(
    indexed(0, 3, [entry(0, receiver('a', 0)), entry(1, receiver('a', 0))]),
    shardOwned(0),
    indexed(3, 5, [entry(4, receiver('a', 0))]),
    acknowledged('a', 0, 1),
    dropped('a', 0, [1]),
    { name: 'Progress', value: { shard: 0, term: 0, position: 5, sessionsOffsets: [], registryOffset: 0, lifecyclePosition: 0, retainedOffsets: [] } },
  )
  expect([touched.slice(2), owed('a'), inbox.highWaters[0], inbox.progress, inbox.terms]).toEqual([[[], [], [], []], [0, 1], 3, null, [1, -1, -1]])
})

test('an announced term is never taken back', () => {
  const { inbox } = given(termAnnounced(2, 9), termAnnounced(2, 4))
  expect(inbox.terms).toEqual([-1, -1, 9])
})

test('entries for a session that is over, unknown or of another begin are for nobody', () => {
  const sessions = new SessionFold(0)
  sessions.apply(0, attached('over'))
  sessions.apply(1, detached('over', 0))
  sessions.apply(2, sessionEnded('over', 0, 0))
  sessions.apply(3, attached('anew'))
  sessions.apply(4, attached('anew', { cleanStart: true }))
  const inbox = new InboxFold(0, 1, sessions)
  const touched = inbox.apply(0, indexed(0, 1, [entry(0, receiver('over', 0), receiver('nobody', 1), receiver('anew', 3), receiver('anew', 4))]))
  expect(touched.map(({ clientId, id }) => [clientId, id])).toEqual([['anew', 4]])
  expect([sessions.sessions.get('over')?.queue.next, sessions.sessions.get('anew')?.queue.next]).toEqual([0, 1])
})

test('acknowledged and dropped numbers leave the queue', () => {
  const owing = indexed(
    0,
    9,
    [0, 1, 2, 3, 4].map((offset) => entry(offset, receiver('a', 0))),
  )
  const { sessions, owed } = given(owing, acknowledged('a', 0, 1, [2], 4), dropped('a', 0, [3]))
  expect(owed('a')).toEqual([1, 4])
  expect(sessions.sessions.get('a')?.queue).toMatchObject({ cursor: 1, sent: 4 })
})

test('progress of another begin of the session is ignored', () => {
  const { owed } = given(indexed(0, 9, [entry(0, receiver('b', 1))]), acknowledged('b', 0, 1), dropped('b', 0, [0]))
  expect(owed('b')).toEqual([0])
})

test('records before the position change nothing', () => {
  const { inbox, owed } = given(indexed(0, 1, [entry(0, receiver('a', 0))]))
  inbox.apply(0, indexed(1, 2, [entry(1, receiver('a', 0))]))
  expect(owed('a')).toEqual([0])
})

const group = '$share/g/#'
const terms = { shard: 0, term: 0, group, sessionsOffset: 0, at: 0 }
const ofGroup = (clientId: string, session: number) => receiver(clientId, session, { group })
const behind = (position: number, to: number | null = null): AnyRecord => ({
  name: 'SharedBehind',
  value: { shard: 0, term: 0, groups: [{ group, from: 2, to, position }] },
})
const chosen = (from: number, to: number, ...choices: (readonly [offset: number, clientId: string, session: number])[]): AnyRecord => ({
  name: 'SharedChosen',
  value: { shard: 0, term: 0, group, from, to, choices: choices.map(([offset, clientId, session]) => ({ offset, receiver: ofGroup(clientId, session) })) },
})
const shared = (from: number, to: number, entries: ReturnType<typeof entry>[], more: Partial<typeof terms> = {}): AnyRecord => ({
  name: 'SharedIndexed',
  value: { ...terms, from, to, entries, ...more },
})

test('what a group that is behind is given is held against its own high-water, not against that of the source', () => {
  const { inbox, owed } = given(
    indexed(0, 9, [entry(8, receiver('a', 0))]),
    shared(2, 5, [entry(2, ofGroup('a', 0)), entry(4, ofGroup('a', 0))]),
    // A successor does it again, and goes on.
    shared(2, 7, [entry(2, ofGroup('a', 0)), entry(4, ofGroup('a', 0)), entry(5, ofGroup('b', 1))]),
    shared(2, 3, [entry(2, ofGroup('a', 0))], { group: '$share/other/#' }),
  )
  expect([owed('a'), owed('b'), inbox.highWaters[0]]).toEqual([[8, 2, 4, 2], [5], 9])
  expect([...inbox.sharedMarks]).toEqual([
    { source: 0, group, to: 7 },
    { source: 0, group: '$share/other/#', to: 3 },
  ])
})

test('what is remembered of groups that were behind is bounded in their number and in their names: the oldest give way', () => {
  const kept = (count: number, name: string): number[] => {
    const { inbox } = given()
    for (let to = 0; to < count; to++) inbox.restoreMark({ source: 0, group: `$share/${to}${name}/#`, to })
    return [...inbox.sharedMarks].map(({ to }) => to)
  }
  const short = kept(10_002, '')
  expect([short.length, short[0], short.at(-1)]).toEqual([10_000, 2, 10_001])
  // 4 MiB of some 60,000 each.
  const long = kept(100, 'x'.repeat(60_000))
  expect(long).toEqual(Array.from({ length: 69 }, (_, i) => 31 + i))
})

test('choices for a group that is behind are told from its place on, and read again from the first that it has not passed', () => {
  const records = [behind(2), chosen(2, 4, [2, 'a', 0]), chosen(4, 6, [4, 'a', 0], [5, 'b', 1])]
  const all = given(...records)
  expect(all.inbox.choicesFrom(9)).toBe(1)
  expect([...(all.inbox.takeSharedChoices().get(group)?.keys() ?? [])]).toEqual([2, 4, 5])
  const some = given(...records, behind(5))
  expect(some.inbox.choicesFrom(9)).toBe(2)
  expect([...(some.inbox.takeSharedChoices().get(group)?.keys() ?? [])]).toEqual([5])
  const none = given(...records, behind(6, 6))
  expect([none.inbox.choicesFrom(9), none.inbox.takeSharedChoices().size]).toEqual([null, 0])
})

test('choices from before a snapshot that their group’s place had passed by then are not read again with every later one', () => {
  const { inbox } = given()
  const records = [chosen(2, 4, [2, 'a', 0]), chosen(4, 6, [5, 'b', 1])] as Extract<AnyRecord, { readonly name: 'SharedChosen' }>[]
  inbox.behind = [{ group, from: 2, to: null, position: 4 }]
  for (const [offset, { value }] of records.entries()) inbox.recallShared(offset, value)
  expect([inbox.choicesFrom(9), [...(inbox.takeSharedChoices().get(group)?.keys() ?? [])]]).toEqual([1, [5]])
  const caughtUp = given().inbox
  for (const [offset, { value }] of records.entries()) caughtUp.recallShared(offset, value)
  expect([caughtUp.choicesFrom(9), caughtUp.takeSharedChoices().size]).toEqual([null, 0])
})

test('an owner that has lost the shard tells nothing of groups that are behind', () => {
  const { inbox, owed } = given(termAnnounced(0, 9), behind(2), chosen(2, 4, [2, 'a', 0]), shared(2, 5, [entry(2, ofGroup('a', 0))]))
  expect([inbox.behind, inbox.choicesFrom(0), owed('a')]).toEqual([[], null, []])
})
