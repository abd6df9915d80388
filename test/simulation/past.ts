/** Moments of a course that are asked for again, and what must be answered. */
import { expect } from '@jest/globals'
import { BeforeHistory } from '../../history/before-history.ts'
import { checkpointsFrom } from '../../history/checkpoint.ts'
import { checkCheckpoint } from '../../history/checkpoint-check.ts'
import { shardAt } from '../../history/past-shard.ts'
import { OffsetOutOfRange } from '../../log/log.ts'
import { decodeRecord } from '../../schemas/codec.ts'
import type { Simulation } from './course.ts'
import { foldAll, foldRetained, pastState, retainedOf, type ShardState } from './folds.ts'
import { ProcessLog } from './process-log.ts'
import type { World } from './world.ts'

/** What the compacted topic holds: the retained messages that are served, topics with their positions. */
export function retainedNow(world: World, shard: number): Readonly<Record<string, number>> {
  const newest = new Map<string, number>()
  for (const { key, value } of world.store.partition(world.topics.retained, shard)?.records ?? []) {
    const record = value && decodeRecord(value)
    if (!key || key[0] === 0) continue
    if (record?.name === 'Retained') newest.set(key.toString(), record.value.offset)
    else newest.delete(key.toString())
  }
  return Object.fromEntries([...newest].sort())
}

/** An owner knows what it has sent before the journal does, and tells it later: it only decides about DUP. */
const withoutSent = ({ sessions, ...others }: ShardState): object => ({ ...others, sessions: sessions.map((session) => ({ ...session, sent: 0 })) })

/** Checks every checkpoint that stands against the one before, as another router would. Returns how many could be. */
export async function checkCheckpoints(world: World): Promise<number> {
  const log = new ProcessLog(world.store)
  let checked = 0
  for (let shard = 0; shard < world.partitions; shard++) {
    for await (const checkpoint of checkpointsFrom(log, world.topics.checkpoints, shard, 0)) {
      const options = { log, topics: world.topics, shard, shards: world.partitions, now: world.now() }
      const differing = await checkCheckpoint(options, checkpoint).catch((error: unknown) => {
        if (error instanceof OffsetOutOfRange) return undefined
        throw error
      })
      if (!differing) continue
      checked++
      expect([shard, checkpoint.closing.at, differing]).toEqual([shard, checkpoint.closing.at, []])
    }
  }
  return checked
}

/** Asks for every moment that was noted and compares it with the whole journals up to there; those whose journals are gone have no answer. Returns how many had. */
export async function lookBack({ world, moments, random }: Simulation): Promise<number> {
  const log = new ProcessLog(world.store)
  let answered = 0
  for (const { shard, at, sessions, inbox } of moments) {
    const moment = { at, sessions: new Map([[shard, sessions]]), inbox: new Map([[shard, inbox]]) }
    const past = await shardAt({ log, topics: world.topics, shard, shards: world.partitions, moment }).catch((error: unknown) => {
      if (error instanceof BeforeHistory) return undefined
      throw error
    })
    if (!past) continue
    answered++
    expect(withoutSent(pastState(past))).toEqual(withoutSent(foldAll(world, shard, random, { sessions, inbox })))
    expect(retainedOf(past.retained)).toEqual(foldRetained(world, shard, { sessions, inbox }))
  }
  return answered
}
