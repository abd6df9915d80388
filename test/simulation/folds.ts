/** Folds of the journals outside of any router, for comparison. */
import type { PastShard } from '../../history/past-shard.ts'
import { InboxFold } from '../../model/inbox-fold.ts'
import { RetainedFold } from '../../model/retained-fold.ts'
import { SessionFold } from '../../model/session-fold.ts'
import { restoreInbox, restoreQueues, restoreSessions, restoreShared, sessionState } from '../../model/snapshot.ts'
import { readSnapshot } from '../../router/snapshots.ts'
import { ProcessLog } from './process-log.ts'
import type { Random } from './random.ts'
import type { World } from './world.ts'

export interface ShardState {
  readonly sessions: object[]
  readonly highWaters: readonly number[]
  readonly terms: readonly number[]
}

/** What of the past is state, as `foldAll` has it. */
export const pastState = ({ sessions, inbox }: PastShard): ShardState => stateOf(sessions, inbox)

/** What was retained, by the shard's whole journal; topics with the positions of their messages. */
export function foldRetained(world: World, shard: number, reach = everything): Readonly<Record<string, number>> {
  const fold = new RetainedFold(shard)
  for (const { offset, record } of world.records('inbox', shard)) if (offset < reach.inbox) fold.apply(offset, record)
  return retainedOf(fold)
}

export const retainedOf = (fold: RetainedFold): Readonly<Record<string, number>> =>
  Object.fromEntries([...fold.at(Number.NEGATIVE_INFINITY)].map(({ topic, offset }) => [topic, offset] as const).sort())

function stateOf(sessions: SessionFold, inbox: InboxFold): ShardState {
  const states = [...sessions.sessions.values()].map((session) => {
    const { attached, ...state } = sessionState(session)
    return { ...state, attached: attached && { ...attached, connectionId: attached.connectionId.toString('hex') } }
  })
  states.sort((a, b) => (a.clientId < b.clientId ? -1 : 1))
  return { sessions: states, highWaters: inbox.highWaters, terms: inbox.terms }
}

/** Offsets at which somebody looked. */
export interface Reach {
  readonly sessions: number
  readonly inbox: number
}

const everything: Reach = { sessions: Number.POSITIVE_INFINITY, inbox: Number.POSITIVE_INFINITY }

/** Both journals of the shard from their beginning, mixed as chance has it, `sessions` never behind what `inbox` needs. */
export function foldAll(world: World, shard: number, random: Random, reach = everything): ShardState {
  const sessions = new SessionFold(shard)
  const inbox = new InboxFold(shard, world.partitions, sessions)
  const waiting = world.records('sessions', shard).filter(({ offset }) => offset < reach.sessions)
  let next = 0
  const applyUpTo = (count: number): void => {
    for (; next < count && next < waiting.length; next++) {
      const { offset, record } = waiting[next] as (typeof waiting)[number]
      sessions.apply(offset, record)
    }
  }
  for (const { offset, record } of world.records('inbox', shard)) {
    if (offset >= reach.inbox) break
    applyUpTo(next + random.below(3))
    if (record.name === 'Indexed' || record.name === 'SharedIndexed' || record.name === 'Reassigned')
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
  restoreShared(inbox, snapshot)
  for (const { offset, record } of world.records('inbox', shard)) inbox.apply(offset, record)
  return stateOf(sessions, inbox)
}
