/** Lines that may be long in coming: whoever carries them takes a service that says nothing for one that hangs. */

/** Longer than this nobody hears nothing, ms; far below `DOOR_UPSTREAM_TIMEOUT` and what proxies wait by default. */
export const silenceMsMax = 15_000

/** The same lines, and an empty one whenever none has come for `silenceMs`. */
export async function* keptAlive(lines: AsyncGenerator<string>, silenceMs = silenceMsMax): AsyncGenerator<string> {
  try {
    for (let next = lines.next(); ; ) {
      const line = await within(next, silenceMs)
      if (line === undefined) {
        yield '\n'
        continue
      }
      if (line.done) return
      yield line.value
      next = lines.next()
    }
  } finally {
    await lines.return(undefined)
  }
}

/** Undefined when it takes longer. */
async function within<T>(coming: Promise<T>, ms: number): Promise<T | undefined> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, ms, undefined)
  })
  try {
    return await Promise.race([coming, late])
  } finally {
    clearTimeout(timer)
  }
}
