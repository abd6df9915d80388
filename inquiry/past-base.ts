/** From where on the journals of a client's shard are read: the newest state that an owner of the shard wrote down before the message, or the journals' beginning. */
import { type Checkpoint, checkpointFor, contentsOfCheckpoint, type Reach } from '../history/checkpoint.ts'
import type { Log } from '../log/log.ts'
import type { TopicNames } from '../log/topics.ts'
import { joined } from '../model/snapshot.ts'
import type { Base } from './client-life.ts'

export interface PastBase extends Base {
  /** False: what happened before the journals' beginning is not known, and is not nothing. */
  readonly isWhole: boolean
  /** First offsets to be read. */
  readonly sessionsFrom: number
  readonly inboxFrom: number
}

export async function pastBase(
  log: Log,
  topics: Pick<TopicNames, 'sessions' | 'inbox' | 'checkpoints'>,
  shard: number,
  clientId: string,
  reach: Reach,
  /** The number of shards was changed once: journals may begin in the middle of a client's life. */
  hasMoved: boolean,
): Promise<PastBase> {
  const [sessionStarts, inboxStarts] = await Promise.all([log.startOffsets(topics.sessions), log.startOffsets(topics.inbox)])
  const sessionsFrom = sessionStarts.get(shard) ?? 0
  const inboxFrom = inboxStarts.get(shard) ?? 0
  const checkpoint: Checkpoint | undefined = await checkpointFor(log, topics.checkpoints, shard, reach)
  const isThere = checkpoint && checkpoint.closed.sessionsOffset >= sessionsFrom && checkpoint.closed.inboxOffset >= inboxFrom
  const contents = isThere ? await contentsOfCheckpoint(log, topics.checkpoints, shard, checkpoint) : undefined
  if (!checkpoint || !contents)
    return { closed: null, states: [], marks: [], isWhole: sessionsFrom === 0 && inboxFrom === 0 && !hasMoved, sessionsFrom, inboxFrom }
  const { closed } = checkpoint
  const states = joined(contents.states).filter((state) => state.clientId === clientId)
  return { closed, states, marks: contents.marks, isWhole: true, sessionsFrom: closed.sessionsOffset, inboxFrom: closed.inboxOffset }
}
