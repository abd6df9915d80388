/** What a V8 CPU profile says of it: the shape of a .cpuprofile file. */
export interface Profile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number }
  }[]
  readonly samples: readonly number[]
  /** Microseconds since the sample before. */
  readonly timeDeltas: readonly number[]
}

export interface OwnTimes {
  /** Milliseconds in which the main thread did something. */
  readonly busyMs: number
  /** Most first: time in the function itself, without what it called. */
  readonly functions: readonly { readonly what: string; readonly ms: number }[]
}

/** The time of a process by function, without the waiting. */
export function ownTimes({ nodes, samples, timeDeltas }: Profile): OwnTimes {
  const byId = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]))
  const times = new Map<string, number>()
  let busyMs = 0
  for (const [i, id] of samples.entries()) {
    const frame = byId.get(id)
    if (!frame || frame.functionName === '(idle)') continue
    const ms = (timeDeltas[i] ?? 0) / 1_000
    const place = frame.url === '' ? '' : ` ${frame.url.split('/').slice(-2).join('/')}:${frame.lineNumber + 1}`
    const what = `${frame.functionName || '(anonymous)'}${place}`
    busyMs += ms
    times.set(what, (times.get(what) ?? 0) + ms)
  }
  return { busyMs, functions: [...times].map(([what, ms]) => ({ what, ms })).toSorted((a, b) => b.ms - a.ms) }
}
