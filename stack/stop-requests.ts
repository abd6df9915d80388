/**
 * The signs that everything is to stop: SIGINT, SIGTERM or SIGHUP, and the end of the npm (or the test run) that started
 * this process: killed with -9 it sends no signal. Ctrl-C comes twice, from the terminal and from npm: the later ones
 * change nothing.
 */
export function stopRequests(environment: NodeJS.ProcessEnv = process.env): AbortSignal {
  const controller = new AbortController()
  const stop = () => controller.abort()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop)
  if (environment.npm_lifecycle_event !== undefined || environment.LOGGERHEAD_STOP_WITH_PARENT) {
    const parent = process.ppid
    setInterval(() => {
      if (process.ppid !== parent) stop()
    }, 1_000).unref()
  }
  return controller.signal
}
