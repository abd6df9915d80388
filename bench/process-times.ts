import { readdirSync, readFileSync } from 'node:fs'

/** What a process has used so far. */
export interface ProcessUse {
  /** Seconds of CPU, user and system, all threads. */
  readonly cpu: number
  /** Resident memory now, MiB. */
  readonly memory: number
}

/** Kernel ticks a second: USER_HZ, which Linux fixes for /proc. */
const ticks = 100

/** From /proc; undefined where there is none, or no such process. */
export function useOf(pid: number): ProcessUse | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ') // the name may hold spaces
    const memory = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? 0) / 1_024
    return { cpu: (Number(fields[11]) + Number(fields[12])) / ticks, memory }
  } catch {
    return undefined
  }
}

/** One thread of a process. */
export interface ThreadUse {
  readonly id: string
  readonly name: string
  /** Seconds of CPU so far. */
  readonly cpu: number
}

/** All threads that a process has now, from /proc. */
export function threadsOf(pid: number): readonly ThreadUse[] {
  return readdirSync(`/proc/${pid}/task`).flatMap((id) => {
    try {
      const stat = readFileSync(`/proc/${pid}/task/${id}/stat`, 'utf8')
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      return [{ id, name: stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')')), cpu: (Number(fields[11]) + Number(fields[12])) / ticks }]
    } catch {
      return [] // it has ended meanwhile
    }
  })
}
