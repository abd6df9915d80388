/** Moments of a course that are asked for again, and what must be answered. */
import { expect } from '@jest/globals'
import { BeforeHistory } from '../../history/before-history.ts'
import { shardAt } from '../../history/past-shard.ts'
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
