/**
 * Lines with the time since the start. Plain lines rather than a spinner: they read the same in a terminal, in a log and
 * through npm.
 */
export function progress(write: (text: string) => void, now: () => number = () => performance.now()): (line: string) => void {
  const started = now()
  return (line) => write(`[${((now() - started) / 1000).toFixed(1).padStart(5)} s] ${line}\n`)
}
