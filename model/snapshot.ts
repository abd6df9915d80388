/** A shard's folded state as records of `snapshots`, and back. */
import { decodeRecord, encodeRecord } from '../schemas/codec.ts'
import type { BehindGroup, HeldMessage, RetainedNote, SharedIndexed } from '../schemas/inbox-records.ts'
import type { QueueEntry, SessionState, SessionSubscription, SharedOrphans, SnapshotClosed } from '../schemas/snapshot-records.ts'
import type { InboxFold, Over } from './inbox-fold.ts'
import { PacketUses } from './packet-uses.ts'
import { replayState, restoredReplay } from './replay.ts'
import { Session, type Subscription } from './session.ts'
import type { SessionFold } from './session-fold.ts'
import { SessionQueue } from './session-queue.ts'

/** Where the fold stood, without what only the log shell knows (term, generation, chunk count, time). */
export type SnapshotPositions = Pick<
  SnapshotClosed,
  'sessionsOffset' | 'inboxOffset' | 'position' | 'lifecyclePosition' | 'highWaters' | 'terms' | 'retainedOffsets' | 'retainedHighWaters'
>

/** Keys of `snapshots`: of a part, and of the record that makes a snapshot count. */
export const chunkKey = (generation: number, chunk: number): string => `chunk/${generation}/${chunk}`
export const closedKey = Buffer.from('closed')

const noUses = Buffer.alloc(0)

export function sessionState(session: Session): SessionState {
  const { queue } = session
  return {
    clientId: session.clientId,
    authenticationName: session.authenticationName,
    session: session.id,
    epoch: session.epoch,
    sequence: session.sequence,
    sessionExpiryInterval: session.expiryInterval,
    attached: session.attached,
    detachedAt: session.detachedAt,
    endedAt: session.endedAt,
    subscriptions: [...session.subscriptions.values()].map(subscriptionState),
    will: session.will,
    attributes: session.attributes,
    next: queue.next,
    cursor: queue.cursor,
    above: queue.doneAbove,
    sent: queue.sent,
    queue: [...queue.entries()].map((entry) => ({ ...entry, expiresAt: entry.expiresAt || null })),
    wills: session.wills,
    received: queue.received,
    uses: session.uses?.encode() ?? noUses,
    vouchedBy: session.vouchedBy,
    ownerKind: session.ownerKind,
    replays: [...(queue.replays?.values() ?? [])].map(replayState),
  }
}

const subscriptionState = (subscription: Subscription): SessionSubscription => ({
  ...subscription,
  retainedAt: subscription.retainedAt ?? null,
  retainedSince: subscription.retainedSince ?? null,
  epoch: subscription.epoch ?? -1,
  replayAt: subscription.replayAt ?? null,
})

/** The session without its queue. */
function sessionOf(state: SessionState, shard: number): Session {
  const session = new Session({
    clientId: state.clientId,
    shard,
    authenticationName: state.authenticationName,
    id: state.session,
    sequence: state.sequence,
    expiryInterval: state.sessionExpiryInterval,
    attached: state.attached,
    will: state.will,
    attributes: state.attributes,
    vouchedBy: state.vouchedBy,
    ownerKind: state.ownerKind,
  })
  session.epoch = state.epoch
  session.detachedAt = state.detachedAt
  session.endedAt = state.endedAt
  if (state.wills.length > 0) session.wills = state.wills
  if (state.uses.length > 0) session.uses = PacketUses.decode(state.uses)
  for (const subscription of state.subscriptions) session.subscriptions.set(subscription.filter, subscription)
  return session
}

function restoreQueue(queue: SessionQueue, state: SessionState): void {
  queue.next = state.cursor
  queue.cursor = state.cursor
  for (const entry of state.queue) queue.restore({ ...entry, expiresAt: entry.expiresAt ?? 0, qos: entry.qos as 0 | 1 | 2 })
  queue.advance(state.cursor, state.above, state.sent, state.received)
  if (queue.next < state.next) queue.skipTo(state.next)
  for (const replay of state.replays) queue.replays = (queue.replays ?? new Map()).set(replay.replay, restoredReplay(replay))
}

/** Queue entries in one SessionState at most: a long queue takes several in a row, so that no record outgrows the topic's limit. */
const entriesPerState = 4_000

/** The state as one, or as several that differ in the piece of the queue they hold; `joined` makes one of them again. */
function* pieces(state: SessionState): Generator<SessionState> {
  const { queue } = state
  yield queue.length <= entriesPerState ? state : { ...state, queue: queue.slice(0, entriesPerState) }
  for (let from = entriesPerState; from < queue.length; from += entriesPerState) {
    yield {
      ...state,
      subscriptions: [],
      will: null,
      wills: [],
      above: [],
      received: [],
      uses: noUses,
      replays: [],
      queue: queue.slice(from, from + entriesPerState),
    }
  }
}

/** One state per session from the states of a whole snapshot, in their order. */
export function joined(states: Iterable<SessionState>): SessionState[] {
  const whole: SessionState[] = []
  let queue: QueueEntry[] = []
  for (const state of states) {
    const last = whole.at(-1)
    if (last?.clientId === state.clientId) for (const entry of state.queue) queue.push(entry)
    else {
      queue = [...state.queue]
      whole.push({ ...state, queue })
    }
  }
  return whole
}

/** Sessions as chunks, each below `sizeMax` bytes (a single larger state goes alone). */
export function snapshotChunks(sessions: Iterable<Session>, sizeMax: number): Generator<Buffer[]> {
  return stateChunks(statesOf(sessions), sizeMax)
}

function* statesOf(sessions: Iterable<Session>): Generator<SessionState> {
  for (const session of sessions) yield sessionState(session)
}

/** The same of their states. */
export function* stateChunks(states: Iterable<SessionState>, sizeMax: number): Generator<Buffer[]> {
  const records = function* (): Generator<Buffer> {
    for (const whole of states) for (const state of pieces(whole)) yield encodeRecord('SessionState', state)
  }
  yield* filled(records(), sizeMax)
}

/** Where the folds stand: what a snapshot's closing record says of them. */
export function snapshotPositions(
  sessions: SessionFold,
  inbox: InboxFold,
  positions: Pick<SnapshotPositions, 'position' | 'lifecyclePosition' | 'retainedOffsets'>,
): SnapshotPositions & Pick<SnapshotClosed, 'choicesFrom'> {
  return {
    sessionsOffset: sessions.position,
    inboxOffset: inbox.position,
    highWaters: [...inbox.highWaters],
    terms: [...inbox.terms],
    retainedHighWaters: [...inbox.retainedHighWaters],
    choicesFrom: inbox.choicesFrom(positions.position),
    ...positions,
  }
}

/** Held messages in one record at most: it stays below half a MiB. */
export const heldPerRecord = 15_000

/** Messages that may come again as chunks. */
export function* heldChunks(shard: number, term: number, messages: readonly HeldMessage[]): Generator<Buffer[]> {
  for (let from = 0; from < messages.length; from += heldPerRecord) {
    yield [encodeRecord('MessagesHeld', { shard, term, messages: messages.slice(from, from + heldPerRecord) })]
  }
}

/** What shared subscriptions are still to give, and have given, beside the queues of sessions. */
export interface SharedState {
  /** What waits for other members. */
  readonly orphans: SharedOrphans[]
  /** Groups that are behind. */
  readonly behind: BehindGroup[]
  /** What such groups have brought here, without its entries. */
  readonly marks: SharedIndexed[]
}

export function sharedState(inbox: InboxFold): SharedState {
  const marks = [...inbox.sharedMarks].map(({ source, group, to }) => {
    const term = inbox.terms[source] ?? -1
    return { shard: source, term, group, from: to, to, sessionsOffset: 0, entries: [], at: 0 }
  })
  return { orphans: [...inbox.orphans()].flatMap(orphanPieces), behind: [...inbox.behind], marks }
}

function orphanPieces({ clientId, id: session, queue }: Over): SharedOrphans[] {
  const all = [...queue.shared()].map((entry) => ({ ...entry, expiresAt: entry.expiresAt || null }))
  if (all.length === 0) return [{ clientId, session, next: queue.next, entries: [] }]
  const found: SharedOrphans[] = []
  for (let from = 0; from < all.length; from += entriesPerState) {
    const next = all[from + entriesPerState]?.number ?? queue.next
    found.push({ clientId, session, next, entries: all.slice(from, from + entriesPerState) })
  }
  return found
}

/** The same as chunks of some `sizeMax` bytes. */
export function* sharedChunks(shard: number, term: number, { orphans, behind, marks }: SharedState, sizeMax: number): Generator<Buffer[]> {
  const records = function* (): Generator<Buffer> {
    for (const each of orphans) yield encodeRecord('SharedOrphans', each)
    if (behind.length > 0) yield encodeRecord('SharedBehind', { shard, term, groups: behind })
    for (const each of marks) yield encodeRecord('SharedIndexed', each)
  }
  yield* filled(records(), sizeMax)
}

/** Lists of some `sizeMax` bytes each; a larger record goes alone. */
function* filled(records: Iterable<Buffer>, sizeMax: number): Generator<Buffer[]> {
  let chunk: Buffer[] = []
  let size = 0
  for (const bytes of records) {
    if (size + bytes.length > sizeMax && chunk.length > 0) {
      yield chunk
      chunk = []
      size = 0
    }
    chunk.push(bytes)
    size += bytes.length
  }
  if (chunk.length > 0) yield chunk
}

/** Puts it back into an inbox whose queues are restored. */
export function restoreShared(inbox: InboxFold, { orphans, behind, marks }: SharedState): void {
  restoreOrphans(inbox, orphans)
  inbox.behind = behind
  for (const { shard: source, group, to } of marks) inbox.restoreMark({ source, group, to })
}

function restoreOrphans(inbox: InboxFold, orphans: Iterable<SharedOrphans>): void {
  let last: { readonly clientId: string; readonly session: number; readonly queue: SessionQueue } | undefined
  for (const { clientId, session, next, entries } of orphans) {
    if (last?.clientId !== clientId || last.session !== session) {
      const queue = new SessionQueue()
      queue.next = entries[0]?.number ?? next
      queue.cursor = queue.next
      last = { clientId, session, queue }
      inbox.adopt(clientId, session, queue)
    }
    for (const entry of entries) last.queue.restore({ ...entry, expiresAt: entry.expiresAt ?? 0, qos: entry.qos as 0 | 1 | 2 })
    last.queue.skipTo(next)
  }
}

/** What the chunks of a whole state hold. */
export interface ChunkContents extends SharedState {
  readonly states: SessionState[]
  readonly held: HeldMessage[]
  /** In checkpoints. */
  readonly retained: RetainedNote[]
}

export const noContents = (): ChunkContents => ({ states: [], held: [], retained: [], orphans: [], behind: [], marks: [] })

/** Adds what the chunk holds. */
export function readChunk(contents: ChunkContents, chunk: readonly Buffer[]): void {
  for (const bytes of chunk) {
    const record = decodeRecord(bytes)
    if (record.name === 'SessionState') contents.states.push(record.value)
    else if (record.name === 'MessagesHeld') contents.held.push(...record.value.messages)
    else if (record.name === 'RetainedChanged') contents.retained.push(...record.value.entries)
    else if (record.name === 'SharedOrphans') contents.orphans.push(record.value)
    else if (record.name === 'SharedBehind') contents.behind.push(...record.value.groups)
    else if (record.name === 'SharedIndexed') contents.marks.push(record.value)
    else throw new Error(`a snapshot chunk holds a ${record.name}, which is no part of a shard’s state`)
  }
}

/** Puts a snapshot's sessions into an empty fold, without their queues: only an owner needs those. */
export function restoreSessions(fold: SessionFold, states: Iterable<SessionState>, closed: Pick<SnapshotClosed, 'sessionsOffset' | 'term'>): void {
  for (const state of states) fold.restore(sessionOf(state, fold.shard))
  fold.position = closed.sessionsOffset
  // Its writer had announced itself here before it wrote.
  fold.term = closed.term
}

/**
 * Gives the fold's sessions the queues of the snapshot, empty ones to those that it does not know: `inbox` is read on from
 * there. Those of sessions that ended since belong to the inbox: what they had of shared subscriptions goes to others.
 */
export function restoreQueues(fold: SessionFold, inbox: InboxFold, states: Iterable<SessionState>): void {
  for (const session of fold.sessions.values()) session.resetQueue()
  for (const state of states) {
    const session = fold.sessions.get(state.clientId)
    if (session && !session.isOver && session.id === state.session) restoreQueue(session.queue, state)
    else if (state.endedAt === null) {
      const queue = new SessionQueue()
      restoreQueue(queue, state)
      inbox.adopt(state.clientId, state.session, queue)
    }
  }
}

/** Puts a snapshot's marks into the fold of the inbox. */
export function restoreInbox(fold: InboxFold, closed: SnapshotClosed): void {
  fold.position = closed.inboxOffset
  closed.highWaters.forEach((mark, source) => {
    fold.highWaters[source] = mark
  })
  closed.retainedHighWaters.forEach((mark, source) => {
    fold.retainedHighWaters[source] = mark
  })
  closed.terms.forEach((term, source) => {
    fold.terms[source] = term
  })
  fold.progress = {
    shard: closed.shard,
    term: closed.term,
    position: closed.position,
    sessionsOffsets: [],
    registryOffset: 0,
    lifecyclePosition: closed.lifecyclePosition,
    retainedOffsets: closed.retainedOffsets,
  }
}
