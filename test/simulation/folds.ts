/** Folds of the journals outside of any router, for comparison. */
import { InboxFold } from '../../model/inbox-fold.ts'
import { SessionFold } from '../../model/session-fold.ts'
import { restoreInbox, restoreQueues, restoreSessions, sessionState } from '../../model/snapshot.ts'
import { readSnapshot } from '../../router/snapshots.ts'
import { ProcessLog } from './process-log.ts'
import type { Random } from './random.ts'
import type { World } from './world.ts'

export interface ShardState {
  readonly sessions: object[]
  readonly highWaters: readonly number[]
  readonly terms: readonly number[]
}

function stateOf(sessions: SessionFold, inbox: InboxFold): ShardState {
  const states = [...sessions.sessions.values()].map((session) => {
    const { attached, ...state } = sessionState(session)
    return { ...state, attached: attached && { ...attached, connectionId: attached.connectionId.toString('hex') } }
  })
  states.sort((a, b) => (a.clientId < b.clientId ? -1 : 1))
  return { sessions: states, highWaters: inbox.highWaters, terms: inbox.terms }
}

/** Both journals of the shard from their beginning, mixed as chance has it, `sessions` never behind what `inbox` needs. */
export function foldAll(world: World, shard: number, random: Random): ShardState {
  const sessions = new SessionFold(shard)
  const inbox = new InboxFold(shard, world.partitions, sessions)
  const waiting = world.records('sessions', shard)
  let next = 0
  const applyUpTo = (count: number): void => {
    for (; next < count && next < waiting.length; next++) {
      const { offset, record } = waiting[next] as (typeof waiting)[number]
      sessions.apply(offset, record)
    }
  }
  for (const { offset, record } of world.records('inbox', shard)) {
    applyUpTo(next + random.below(3))
    if (record.name === 'Indexed' || record.name === 'Reassigned')
      while (next < waiting.length && (waiting[next] as { offset: number }).offset < record.value.sessionsOffset) applyUpTo(next + 1)
    inbox.apply(offset, record)
  }
  applyUpTo(waiting.length)
  return stateOf(sessions, inbox)
}

/** The last snapshot and what came after it; undefined when there is none. */
export async function foldFromSnapshot(world: World, shard: number): Promise<ShardState | undefined> {
  const snapshot = await readSnapshot(new ProcessLog(world.store), world.topics.snapshots, shard)
  if (!snapshot) return undefined
  const sessions = new SessionFold(shard)
  restoreSessions(sessions, snapshot.states, snapshot.closed)
  for (const { offset, record } of world.records('sessions', shard)) sessions.apply(offset, record)
  const inbox = new InboxFold(shard, world.partitions, sessions)
  restoreInbox(inbox, snapshot.closed)
  restoreQueues(sessions, inbox, snapshot.states)
  for (const { offset, record } of world.records('inbox', shard)) inbox.apply(offset, record)
  return stateOf(sessions, inbox)
}
