/** Begins a stretch of time, ms: `signal` is aborted at its end, unless it is cleared before. */
export type TimeLimit = (ms: number) => { readonly signal: AbortSignal; clear(): void }

/** By the machine's clock. */
export const timeLimit: TimeLimit = (ms) => {
  const controller = new AbortController()
  const timer = setTimeout(() => controller.abort(new DOMException(`no answer in ${ms} ms`, 'TimeoutError')), ms)
  return { signal: controller.signal, clear: () => clearTimeout(timer) }
}
