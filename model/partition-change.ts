/**
 * How many shards a namespace has, once that was ever changed: a marker in its registry. Whoever serves the namespace holds it against what it was
 * started with, and ends when they differ: two processes that count shards differently would put one client into two of them.
 */
import { RegistryFollower, type RegistryFollowerOptions } from './registry-follower.ts'
import type { RegistryView } from './registry-view.ts'

/** moving: state is being written where it belongs, and the former still counts. committing: the new one counts. done: it may be served again. */
const partitionChangeStates = ['moving', 'committing', 'done'] as const

export interface PartitionChange {
  readonly state: (typeof partitionChangeStates)[number]
  readonly from: number
  readonly to: number
  /** What it was before `from`, oldest first. */
  readonly formerly: readonly number[]
  /** False while it is not known yet that nobody came to serve in the meantime: nothing is changed before. */
  readonly isAtRest: boolean
  /** By partition: what the journals held when it began. What stands behind was written by the change. */
  readonly sessions: readonly number[]
  readonly inbox: readonly number[]
}

/** Name of the marker. */
export const partitionsMarker = 'partitions'

/** Undefined when the number was never changed. Throws for what cannot be read: nobody may guess then. */
export function partitionChangeOf(view: RegistryView): PartitionChange | undefined {
  const text = view.markerProperties(partitionsMarker)
  if (text === undefined) return undefined
  const { state, from, to, formerly = [], isAtRest = true, sessions, inbox } = JSON.parse(text) as PartitionChange
  const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
  if (!partitionChangeStates.includes(state) || !isCount(from) || !isCount(to) || !Array.isArray(formerly) || !Array.isArray(sessions) || !Array.isArray(inbox))
    throw new Error('the registry’s marker “partitions” cannot be read: a later version has written it')
  return { state, from, to, formerly, isAtRest, sessions, inbox }
}

/** The numbers that the namespace had before, oldest first: a topic's messages stay in the partition that it had then. */
export function formerPartitions(change: PartitionChange | undefined): readonly number[] {
  return change ? [...new Set([...change.formerly, change.from])].filter((count) => count !== change.to) : []
}

/** The namespace cannot be served by this process now; the message is a sentence. */
export class PartitionsChanged extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'PartitionsChanged'
  }
}

/** Undefined when a process that counts so many partitions may serve the namespace. */
export function whyNotServed(change: PartitionChange | undefined, partitions: number): string | undefined {
  if (change === undefined) return undefined
  const { state, from, to } = change
  if (state !== 'done')
    return `the partitions of the namespace are being changed from ${from} to ${to}: “loggerhead partitions ${to}” brings it to its end, and nothing serves the namespace before`
  if (to === partitions) return undefined
  return `the namespace has ${to} partitions since they were changed, and not ${partitions}: KAFKA_PARTITIONS (of another namespace: its partitions) must say ${to}`
}

/** Follows the registry of a namespace that is going to be served with so many partitions. Rejects with PartitionsChanged when it cannot be. */
export async function followServed(options: RegistryFollowerOptions & { onFailed(error: unknown): void }, partitions: number): Promise<RegistryFollower> {
  const follower = await RegistryFollower.start(options)
  try {
    holdPartitions(follower, partitions, options.onFailed)
    return follower
  } catch (error) {
    await follower.close()
    throw error
  }
}

/** Looks now and at each change of the registry. Throws PartitionsChanged when the namespace cannot be served, and calls back when it no longer can. */
export function holdPartitions(registry: RegistryFollower, partitions: number, onFailed: (error: Error) => void): void {
  let isOver = false
  const look = (view: RegistryView): string | undefined => whyNotServed(partitionChangeOf(view), partitions)
  const why = look(registry.view)
  if (why !== undefined) throw new PartitionsChanged(why)
  registry.onChange((view) => {
    const since = isOver ? undefined : look(view)
    if (since === undefined) return
    isOver = true
    onFailed(new PartitionsChanged(since))
  })
}
