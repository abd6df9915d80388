/** A shard's folded state as records of `snapshots`, and back. */
import { decodeRecord, encodeRecord } from '../schemas/codec.ts'
import type { SessionState, SnapshotClosed } from '../schemas/records.ts'
import type { InboxFold } from './inbox-fold.ts'
import { Session } from './session.ts'
import type { SessionFold } from './session-fold.ts'

/** Where the fold stood, without what only the log shell knows (term, generation, chunk count, time). */
export type SnapshotPositions = Pick<SnapshotClosed, 'sessionsOffset' | 'inboxOffset' | 'position' | 'lifecyclePosition' | 'highWaters' | 'terms'>

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
    subscriptions: [...session.subscriptions.values()],
    will: session.will,
    attributes: session.attributes,
    next: queue.next,
    cursor: queue.cursor,
    above: queue.doneAbove,
    sent: queue.sent,
    queue: [...queue.entries()].map((entry) => ({ ...entry, expiresAt: entry.expiresAt || null })),
  }
}

export function sessionOf(state: SessionState, shard: number): Session {
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
  })
  session.epoch = state.epoch
  session.detachedAt = state.detachedAt
  session.endedAt = state.endedAt
  for (const subscription of state.subscriptions) session.subscriptions.set(subscription.filter, subscription)
  restoreQueue(session, state)
  return session
}

/** Gives the session the queue of the snapshot. */
export function restoreQueue(session: Session, state: SessionState): void {
  const { queue } = session
  queue.next = state.cursor
  queue.cursor = state.cursor
  for (const entry of state.queue) queue.restore({ ...entry, expiresAt: entry.expiresAt ?? 0, qos: entry.qos as 0 | 1 | 2 })
  queue.advance(state.cursor, state.above, state.sent)
  if (queue.next < state.next) queue.skipTo(state.next)
}

/** Sessions as chunks, each below `sizeMax` bytes (a single larger session goes alone). */
export function* snapshotChunks(sessions: Iterable<Session>, sizeMax: number): Generator<Buffer[]> {
  let chunk: Buffer[] = []
  let size = 0
  for (const session of sessions) {
    const bytes = encodeRecord('SessionState', sessionState(session))
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

/** The states of one chunk. */
export function statesOf(chunk: readonly Buffer[]): SessionState[] {
  return chunk.map((bytes) => {
    const record = decodeRecord(bytes)
    if (record.name !== 'SessionState') throw new Error(`a snapshot chunk holds a ${record.name} instead of a SessionState`)
    return record.value
  })
}

/** Puts a snapshot's sessions into the fold. */
export function restoreSessions(fold: SessionFold, states: Iterable<SessionState>, sessionsOffset: number): void {
  for (const state of states) fold.sessions.set(state.clientId, sessionOf(state, fold.shard))
  fold.position = sessionsOffset
}

/** Puts a snapshot's marks into the fold of the inbox. */
export function restoreInbox(fold: InboxFold, closed: SnapshotClosed): void {
  fold.position = closed.inboxOffset
  closed.highWaters.forEach((mark, source) => {
    fold.highWaters[source] = mark
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
  }
}
