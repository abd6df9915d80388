/**
 * Same log, same state: a checkpoint holds what its writer had folded over all its life. Folded anew from the checkpoint before, the journals
 * must give the same; what differs was folded wrongly, by the writer or by who checks.
 */
import type { Log } from '../log/log.ts'
import type { TopicNames } from '../log/topics.ts'
import { registryDigest, retainedDigest, sessionDigests } from '../model/state-digest.ts'
import { BeforeHistory } from './before-history.ts'
import { type Checkpoint, checkpointBelow } from './checkpoint.ts'
import { registryAt } from './past-registry.ts'
import { foldFrom } from './past-shard.ts'

const checkedStates = ['sessions', 'queues', 'retained', 'registry'] as const
export type CheckedState = (typeof checkedStates)[number]

export interface CheckOptions {
  readonly log: Log
  readonly topics: Pick<TopicNames, 'sessions' | 'inbox' | 'checkpoints' | 'registry'>
  readonly shard: number
  readonly shards: number
  /** Milliseconds since the epoch. */
  readonly now: number
}

/** What differs; undefined when there is nothing to compare with: it is the first, or its journals are gone. */
export async function checkCheckpoint(options: CheckOptions, checkpoint: Checkpoint): Promise<readonly CheckedState[] | undefined> {
  const { log, topics, shard } = options
  const { closing, closed } = checkpoint
  const before = await checkpointBelow(log, topics.checkpoints, shard, checkpoint.offset)
  if (!before || before.closing.inboxFrom > closing.inboxFrom) return undefined
  // The writer may have known what the inbox says behind a record that needs more of `sessions` than it had: to there both are folded.
  const reach = { sessions: Math.max(closed.sessionsOffset, before.closed.sessionsOffset), inbox: closing.inboxFrom, followsInbox: true } as const
  const anew = await digestsFrom(options, before, reach, closing.at)
  const written = anew && (await digestsFrom(options, checkpoint, reach, closing.at))
  if (!written) return undefined
  const differing: CheckedState[] = (['sessions', 'queues', 'retained'] as const).filter((state) => anew[state] !== written[state])
  if (closing.registryDigest !== '' && !(await isRegistryOf(options, closing))) differing.push('registry')
  return differing
}

/** Of one fold nothing is left when the next begins: a shard may be large. */
async function digestsFrom(
  options: CheckOptions,
  from: Checkpoint,
  reach: Parameters<typeof foldFrom>[2],
  at: number,
): Promise<Readonly<Record<Exclude<CheckedState, 'registry'>, string>> | undefined> {
  const fold = await foldFrom(options, from, reach)
  return fold && { ...sessionDigests(fold.sessions), retained: retainedDigest(fold.retained.at(at)) }
}

async function isRegistryOf(
  { log, topics, now }: CheckOptions,
  { at, registryPosition, registryDigest: written }: Pick<Checkpoint['closing'], 'at' | 'registryPosition' | 'registryDigest'>,
): Promise<boolean> {
  try {
    // Of every record: a snapshot is somebody's fold already.
    const { view } = await registryAt(log, { registry: topics.registry }, { at, registry: registryPosition }, { now })
    return (await registryDigest(view))?.digest === written
  } catch (error) {
    // After a long stop compaction may have taken what the checkpoint saw: that is no difference.
    if (error instanceof BeforeHistory) return true
    throw error
  }
}
