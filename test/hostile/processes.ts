import { readFileSync } from 'node:fs'

/** Resident memory of a process, MiB; 0 where /proc does not say. */
export function residentMiB(pid: number): number {
  try {
    return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1024
  } catch {
    return 0
  }
}

/** Watches memory until stopped; gives the highest of each process, MiB. */
export class MemoryWatch {
  readonly #highest = new Map<string, number>()
  readonly #timer: NodeJS.Timeout

  constructor(pids: Readonly<Record<string, number>>) {
    const look = () => {
      for (const [name, pid] of Object.entries(pids)) this.#highest.set(name, Math.max(this.#highest.get(name) ?? 0, residentMiB(pid)))
    }
    look()
    this.#timer = setInterval(look, 200)
  }

  stop(): ReadonlyMap<string, number> {
    clearInterval(this.#timer)
    return this.#highest
  }
}

export function quantile(values: readonly number[], q: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))] ?? Number.NaN
}
