/**
 * How far a replay is, as the inbox of its session's shard tells: what it has brought, and where its live messages begin.
 * One partition orders both, so that the join is the same in every fold: nothing is missing there and nothing comes twice.
 */
import type { Replayed, ReplayPosition } from '../schemas/inbox-records.ts'
import type { ReplayState } from '../schemas/snapshot-records.ts'
import type { QueueEntry } from './session-queue.ts'

/**
 * reading: live messages are left out, the replay will bring them. joining: they are held. live: those behind its positions
 * follow. over: it had an end.
 */
export type ReplayPhase = 'reading' | 'joining' | 'live' | 'over'

type Owed = Omit<QueueEntry, 'number'>

export interface Replay {
  readonly replay: number
  phase: ReplayPhase
  positions: readonly ReplayPosition[]
  /** By source shard: live messages below were left out, those from it on are held. Empty unless it joins. */
  joinAt: readonly number[]
  /** Live messages of a replay that joins, in their order. */
  held: Owed[]
  /** Put into the queue so far. */
  messages: number
  /** From when on nothing that was asked for is missing, milliseconds since the epoch; null when nothing is. */
  since: number | null
}

/** Live messages held for one replay that joins: with more it is slower than what is published, and goes back to reading. The same for every fold. */
const heldMax = 10_000

const phaseNamed = (phase: string): ReplayPhase => (phase === 'joining' || phase === 'live' || phase === 'over' ? phase : 'reading')

/** The replay has come as far as the record says. `highWaters`: of the inbox now, by source. Returns the live messages that follow what it brings. */
export function advanced(replay: Replay, record: Replayed, highWaters: readonly number[]): readonly Owed[] {
  replay.positions = record.positions
  replay.messages = record.messages
  replay.since = record.since
  const phase = phaseNamed(record.phase)
  if (phase === 'joining') {
    if (replay.phase !== 'reading') return []
    replay.phase = 'joining'
    replay.joinAt = [...highWaters]
    return []
  }
  // It was sent back to reading while the record was on its way: what was held is gone.
  if (phase === 'live' && replay.phase !== 'joining') return []
  const { held } = replay
  if (phase === 'live' || phase === 'over') {
    replay.phase = phase
    replay.joinAt = []
    replay.held = []
  }
  return phase === 'live' ? held.filter((entry) => !isBrought(replay, entry)) : []
}

/** Whether a live message goes into the queue now; one that is held is kept here. */
export function takesLive(replay: Replay | undefined, entry: Owed): boolean {
  if (!replay) return false
  if (replay.phase === 'live') return !isBrought(replay, entry)
  if (replay.phase !== 'joining') return false
  if (replay.held.length < heldMax) replay.held.push(entry)
  else {
    replay.phase = 'reading'
    replay.joinAt = []
    replay.held = []
  }
  return false
}

/** The replay itself has brought what stands there, or passed over it. */
function isBrought({ positions }: Replay, { source, offset }: Owed): boolean {
  for (const position of positions) if (position.source === source) return offset < position.next
  return false
}

export function newReplay(replay: number): Replay {
  return { replay, phase: 'reading', positions: [], joinAt: [], held: [], messages: 0, since: null }
}

export function replayState({ replay, phase, positions, messages, since }: Replay): ReplayState {
  return { replay, phase, positions, messages, since }
}

/** Of a snapshot, which is not taken while one joins. */
export function restoredReplay({ replay, phase, positions, messages, since }: ReplayState): Replay {
  return { ...newReplay(replay), phase: phaseNamed(phase), positions, messages, since }
}
