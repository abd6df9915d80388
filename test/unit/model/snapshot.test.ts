import { expect, test } from '@jest/globals'
import { InboxFold } from '../../../model/inbox-fold.ts'
import { SessionFold } from '../../../model/session-fold.ts'
import { joined, noContents, readChunk, restoreInbox, restoreQueues, restoreSessions, sessionState, snapshotChunks } from '../../../model/snapshot.ts'
import type { AnyRecord } from '../../../schemas/records.ts'
import type { SnapshotClosed } from '../../../schemas/snapshot-records.ts'
import fc from '../../support/fast-check.ts'
import {
  acknowledged,
  attached,
  detached,
  dropped,
  entry,
  indexed,
  receiver,
  sessionEnded,
  subscribed,
  termAnnounced,
  unsubscribed,
} from './session-records.ts'

/** The state as a router sees it. */
const stateOf = (sessions: SessionFold, inbox: InboxFold) => ({
  sessions: [...sessions.sessions.values()].map(sessionState).sort((a, b) => (a.clientId < b.clientId ? -1 : 1)),
  positions: [sessions.position, sessions.term, inbox.position],
  marks: [inbox.highWaters, inbox.terms, inbox.retainedHighWaters],
})

function closedOf(sessions: SessionFold, inbox: InboxFold): SnapshotClosed {
  return {
    shard: 0,
    term: sessions.term,
    generation: 1,
    chunks: 0,
    at: 0,
    sessionsOffset: sessions.position,
    inboxOffset: inbox.position,
    position: 0,
    lifecyclePosition: 0,
    highWaters: [...inbox.highWaters],
    terms: [...inbox.terms],
    retainedOffsets: [],
    retainedHighWaters: [...inbox.retainedHighWaters],
    choicesFrom: null,
  }
}

/** Written to bytes and read back. */
function restored(sessions: SessionFold, inbox: InboxFold, chunkSize: number): { sessions: SessionFold; inbox: InboxFold; chunks: number } {
  const chunks = [...snapshotChunks(sessions.sessions.values(), chunkSize)]
  const states = joined(statesOf(chunks))
  const closed = closedOf(sessions, inbox)
  const again = new SessionFold(0)
  restoreSessions(again, states, closed)
  const inboxAgain = new InboxFold(0, 2, again)
  restoreQueues(again, inboxAgain, states)
  restoreInbox(inboxAgain, closed)
  return { sessions: again, inbox: inboxAgain, chunks: chunks.length }
}

type Step = { readonly topic: 'sessions' | 'inbox'; readonly record: AnyRecord }

/** Some journal: what each step says is derived from what stands, so that most of it means something. */
const choices = fc.array(fc.tuple(fc.nat(11), fc.nat(3), fc.nat(30)), { minLength: 1, maxLength: 80 })

function stepOf(sessions: SessionFold, inbox: InboxFold, [what, who, n]: readonly [number, number, number], at: number): Step {
  const clientId = `c${who}`
  const session = sessions.sessions.get(clientId)
  const id = session?.id ?? 0
  const epoch = session?.epoch ?? 0
  const step = (topic: Step['topic'], record: AnyRecord): Step => ({ topic, record })
  const term = Math.max(0, inbox.terms[0] ?? 0)
  const high = inbox.highWaters[0] ?? 0
  switch (what) {
    case 0:
      return step('sessions', attached(clientId, { at, cleanStart: n % 5 === 0, sessionExpiryInterval: n % 4 === 0 ? 0 : n }))
    case 1:
      return step('sessions', detached(clientId, epoch, { at }))
    case 2:
      return step('sessions', subscribed(clientId, epoch, `f/${n}`))
    case 3:
      return step('sessions', unsubscribed(clientId, epoch, `f/${n % 5}`))
    case 4:
      return step('sessions', sessionEnded(clientId, id, epoch, { at, term: n, reason: n % 2 ? 'SessionExpiry' : 'SessionOverflow' }))
    case 5:
      return n > 25 ? step('sessions', termAnnounced(0, n)) : step('inbox', termAnnounced(0, n))
    case 6:
      return step('inbox', acknowledged(clientId, id, (session?.queue.cursor ?? 0) + (n % 3), [(session?.queue.cursor ?? 0) + n], n, term))
    case 7:
      return step('inbox', dropped(clientId, id, [(session?.queue.cursor ?? 0) + (n % 4)], term))
    default:
      return step(
        'inbox',
        indexed(high, high + n + 1, [entry(high + n, receiver(clientId, id, { subscriptionIdentifiers: n % 2 ? [n] : [] }))], { term: what === 11 ? 0 : term }),
      )
  }
}

function statesOf(chunks: readonly Buffer[][]) {
  const contents = noContents()
  for (const chunk of chunks) readChunk(contents, chunk)
  return contents.states
}

test('snapshot and tail make the same state as the whole journal, and two folds of one journal are the same', () => {
  fc.assert(
    fc.property(choices, fc.nat(100), fc.integer({ min: 1, max: 4_000 }), (all, cut, chunkSize) => {
      const whole = { sessions: new SessionFold(0), inbox: new InboxFold(0, 2, new SessionFold(0)) }
      whole.inbox = new InboxFold(0, 2, whole.sessions)
      const twin = { sessions: new SessionFold(0), inbox: new InboxFold(0, 2, new SessionFold(0)) }
      twin.inbox = new InboxFold(0, 2, twin.sessions)
      let late: ReturnType<typeof restored> | undefined
      all.forEach((choice, i) => {
        if (i === cut % all.length) late = restored(whole.sessions, whole.inbox, chunkSize)
        const { topic, record } = stepOf(whole.sessions, whole.inbox, choice, 1_000 * i)
        for (const fold of late ? [whole, twin, late] : [whole, twin]) {
          if (topic === 'sessions') fold.sessions.apply(fold.sessions.position, record)
          else fold.inbox.apply(fold.inbox.position, record)
        }
      })
      expect(stateOf(twin.sessions, twin.inbox)).toEqual(stateOf(whole.sessions, whole.inbox))
      if (late) expect(stateOf(late.sessions, late.inbox)).toEqual(stateOf(whole.sessions, whole.inbox))
    }),
    { numRuns: 300 },
  )
})

test('a queue too long for one record is written in several and is one again', () => {
  const sessions = new SessionFold(0)
  sessions.apply(0, attached('long'))
  sessions.apply(1, attached('short'))
  const inbox = new InboxFold(0, 2, sessions)
  for (let from = 0; from < 50_000; from += 1_000) {
    const entries = Array.from({ length: 1_000 }, (_, i) => entry(from + i, receiver('long', 0, { subscriptionIdentifiers: [1, 2] })))
    inbox.apply(inbox.position, indexed(from, from + 1_000, [...entries, entry(from + 1_000, receiver('short', 1))]))
  }
  inbox.apply(inbox.position, acknowledged('long', 0, 3, [5, 9], 10))
  inbox.apply(inbox.position, dropped('long', 0, [49_999]))
  const chunks = [...snapshotChunks(sessions.sessions.values(), 512 * 1024)]
  expect(Math.max(...chunks.map((chunk) => chunk.reduce((sum, { length }) => sum + length, 0)))).toBeLessThan(900 * 1024)
  const again = restored(sessions, inbox, 512 * 1024)
  expect(stateOf(again.sessions, again.inbox)).toEqual(stateOf(sessions, inbox))
})

test('a restored fold goes on ignoring what a router without the shard decided', () => {
  const sessions = new SessionFold(0)
  sessions.apply(0, attached('c'))
  sessions.apply(1, detached('c', 0))
  sessions.apply(2, termAnnounced(0, 5))
  const again = restored(sessions, new InboxFold(0, 2, sessions), 1_000).sessions
  expect(again.apply(3, sessionEnded('c', 0, 0, { term: 4 }))).toEqual([])
})

test('sessions that began or ended since the snapshot get no queue from it', () => {
  const sessions = new SessionFold(0)
  sessions.apply(0, attached('c'))
  const inbox = new InboxFold(0, 2, sessions)
  inbox.apply(0, indexed(0, 1, [entry(0, receiver('c', 0))]))
  const states = joined(statesOf([...snapshotChunks(sessions.sessions.values(), 1_000)]))
  sessions.apply(1, attached('c', { cleanStart: true }))
  restoreQueues(sessions, inbox, states)
  expect(sessions.sessions.get('c')?.queue.next).toBe(0)
})
