/**
 * Where sessions belong once there are more shards, and what they are called there. Pure. A session that stays keeps its names. One that comes to
 * another shard gets new ones, for offsets of its former shard's journal would be mistaken for those of the new one's.
 */
import { partitionOf } from '../../log/partitioner.ts'
import type { Session } from '../../model/session.ts'
import { retainedShard, retainedSource } from '../../model/session-queue.ts'
import { sessionState } from '../../model/snapshot.ts'
import type { HeldMessage } from '../../schemas/inbox-records.ts'
import { isRepeatable, type RepeatableId, RepeatableKind, readRepeatableId, repeatableId } from '../../schemas/message-id.ts'
import type { SessionMoved } from '../../schemas/session-records.ts'
import type { QueueEntry, ReplayState, SessionState } from '../../schemas/snapshot-records.ts'
import type { ShardAtRest } from './shards-at-rest.ts'

export interface MovingSession {
  readonly session: Session
  readonly from: number
  readonly to: number
  /** A record of `sessions` for each name it needs, in the order of `named`; none for one that stays, or is over. */
  readonly names: readonly SessionMoved[]
}

/** Every session with the shard that it goes to; those that are over in the order they ended. */
export function planSessions(shards: readonly ShardAtRest[], count: number, at: number): readonly MovingSession[] {
  const plan: MovingSession[] = []
  for (const { shard, sessions } of shards) {
    for (const session of sessions.sessions.values()) {
      const to = partitionOf(session.clientId, count)
      plan.push({ session, from: shard, to, names: to === shard || session.isOver ? [] : namesOf(session, shard, at) })
    }
  }
  return plan.toSorted((a, b) => (a.session.endedAt ?? Number.POSITIVE_INFINITY) - (b.session.endedAt ?? Number.POSITIVE_INFINITY) || 0)
}

function namesOf(session: Session, fromShard: number, at: number): readonly SessionMoved[] {
  const { clientId } = session
  const name = (what: string, formerly: number): SessionMoved => ({ clientId, fromShard, formerly, what, at })
  return [name('session', session.id), ...session.wills.map(({ epoch }) => name('will', epoch)), ...replaysOf(session).map((replay) => name('replay', replay))]
}

function replaysOf(session: Session): readonly number[] {
  const asked = [...session.subscriptions.values()].flatMap(({ replayAt }) => replayAt ?? [])
  return [...new Set([...asked, ...(session.queue.replays?.keys() ?? [])])]
}

/** Where retained messages went that queues point to, by shard and offset in `retained`. */
export type MovedRetained = ReadonlyMap<string, { readonly shard: number; readonly offset: number }>

export const retainedPlace = (shard: number, offset: number): string => `${shard}/${offset}`

/** The session's state for the snapshot of the shard it goes to. `named`: the offsets that its names got; `ends`: of each partition of `messages`. */
export function stateAfter({ session, names }: MovingSession, named: readonly number[], retained: MovedRetained, ends: readonly number[]): SessionState {
  const state = sessionState(session)
  const queue = state.queue.map((entry) => entryAfter(entry, retained))
  const replays = state.replays.map((replay) => replayAfter(replay, ends))
  if (names.length === 0) return { ...state, replays, queue }
  const called = new Map(names.map(({ what, formerly }, index) => [`${what} ${formerly}`, named[index] as number]))
  const id = called.get(`session ${session.id}`) as number
  const replayNamed = (formerly: number): number => called.get(`replay ${formerly}`) as number
  return {
    ...state,
    session: id,
    epoch: id,
    // What they were owed of retained messages they have.
    subscriptions: state.subscriptions.map((subscription) => ({
      ...subscription,
      retainedAt: null,
      epoch: id,
      replayAt: subscription.replayAt === null ? null : replayNamed(subscription.replayAt),
    })),
    wills: state.wills.map((will) => ({ ...will, epoch: called.get(`will ${will.epoch}`) as number, session: id })),
    replays: replays.map((replay) => ({ ...replay, replay: replayNamed(replay.replay) })),
    queue,
  }
}

/** One that goes on with what is published reads it in every partition: what it waits for may come in another one now. */
function replayAfter(replay: ReplayState, ends: readonly number[]): ReplayState {
  const { positions } = replay
  if (replay.phase !== 'reading' || positions.every(({ end }) => end !== null)) return replay
  const others = ends.flatMap((next, source) => (positions.some((position) => position.source === source) ? [] : [{ source, next, end: null }]))
  return { ...replay, positions: [...positions, ...others] }
}

/** Messages stay where they are, and so does what points to them. */
function entryAfter(entry: QueueEntry, retained: MovedRetained): QueueEntry {
  const shard = retainedShard(entry.source)
  const place = shard === undefined ? undefined : retained.get(retainedPlace(shard, entry.offset))
  return place === undefined ? entry : { ...entry, source: retainedSource(place.shard), offset: place.offset }
}

/** What a message that may come again is called by the shard and session that its publisher has now. */
export interface Renamed {
  readonly shard: number
  readonly session: number
}

/** A held message of a session that lives, and that its publisher may send again: what its id is then. Undefined for others. */
export function heldAfter(
  { id }: HeldMessage,
  live: (shard: number, session: number) => Session | undefined,
  renamed: ReadonlyMap<Session, Renamed>,
): Buffer | undefined {
  if (!isRepeatable(id)) return undefined
  const read: RepeatableId = readRepeatableId(id)
  const session = read.kind === RepeatableKind.Publish ? live(read.shard, read.session) : undefined
  // Released since: its packet id stands for another message now.
  if (!session || (session.uses?.of(read.detail) ?? 0) !== read.use) return undefined
  return repeatableId({ ...read, ...renamed.get(session) })
}
