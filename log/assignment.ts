/** How the group's leader shares out the shards. */

export interface Candidate {
  readonly memberId: string
  /** The process, the same across restarts. */
  readonly instance: string
}

/** Contiguous ranges whose sizes differ by one at most, in the order of the instances so that a restart moves nothing. */
export function assignRanges(candidates: readonly Candidate[], partitions: number): ReadonlyMap<string, readonly number[]> {
  const sorted = [...candidates].sort((a, b) => compare(a.instance, b.instance) || compare(a.memberId, b.memberId))
  const assigned = new Map<string, readonly number[]>()
  const share = Math.floor(partitions / sorted.length)
  const larger = partitions % sorted.length
  let next = 0
  for (const [i, { memberId }] of sorted.entries()) {
    const size = share + (i < larger ? 1 : 0)
    assigned.set(
      memberId,
      Array.from({ length: size }, (_, k) => next + k),
    )
    next += size
  }
  return assigned
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}
