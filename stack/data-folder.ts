import { existsSync, linkSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { identify, isRunning, type ProcessIdentity } from './process-identity.ts'

/** What the holder of a data folder writes into it, so that the next one knows whom it meets. */
interface Holder extends ProcessIdentity {
  readonly since: string
  /** The processes it started: what is left of them when it was killed. */
  readonly children: readonly ({ readonly name: string } & ProcessIdentity)[]
}

/** The data folder belongs to a running stack. */
export class FolderInUse extends Error {
  readonly holder: number
  constructor(folder: string, holder: { readonly pid: number; readonly since: string }) {
    super(
      `The data folder ${folder} is in use by process ${holder.pid}, which runs since ${holder.since}. Stop it first (kill ${holder.pid}), or set LOGGERHEAD_DATA to another folder.`,
    )
    this.name = 'FolderInUse'
    this.holder = holder.pid
  }
}

function writeAtomically(path: string, text: string): void {
  const fresh = `${path}.${process.pid}.new`
  writeFileSync(fresh, text)
  renameSync(fresh, path)
}

function readHolder(path: string): Holder | undefined {
  try {
    const holder = JSON.parse(readFileSync(path, 'utf8')) as Holder
    return typeof holder.pid === 'number' && typeof holder.started === 'string' ? holder : undefined
  } catch {
    return undefined
  }
}

/** One entry of processes.json. */
export interface RunningProcess {
  readonly pid: number
  /** It has said so, or answered: what is sent to it before may be refused. */
  readonly ready: boolean
  readonly ports: Readonly<Record<string, number>>
}

/** A stack's folder, held by this process until `release`. */
export class DataFolder {
  readonly path: string
  readonly #since = new Date().toISOString()
  readonly #self: ProcessIdentity
  /** Processes that the last holder left behind (it was killed, and they are not gone yet). */
  readonly leftovers: readonly ({ readonly name: string } & ProcessIdentity)[]

  /** Takes the folder, making it when needed. Throws FolderInUse. */
  constructor(path: string) {
    this.path = path
    mkdirSync(path, { recursive: true })
    this.#self = identify(process.pid) ?? { pid: process.pid, started: '' }
    this.leftovers = this.#take()
  }

  #take(): DataFolder['leftovers'] {
    const lock = join(this.path, 'supervisor.json')
    const mine = `${lock}.${process.pid}.new`
    writeFileSync(mine, this.#text([]))
    try {
      for (;;) {
        try {
          linkSync(mine, lock) // fails when it exists: only one of several gets it
          return []
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
        }
        const holder = readHolder(lock)
        if (holder && isRunning(holder)) throw new FolderInUse(this.path, holder)
        // Left by a holder that is gone. Moving it away shows whether it is still the one that was read.
        const aside = `${lock}.${process.pid}.old`
        try {
          renameSync(lock, aside)
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code === 'ENOENT') continue
          throw error
        }
        const moved = readHolder(aside)
        if (moved && isRunning(moved)) {
          renameSync(aside, lock)
          throw new FolderInUse(this.path, moved)
        }
        rmSync(aside, { force: true })
        linkSync(mine, lock)
        return (moved?.children ?? []).filter((child) => isRunning(child))
      }
    } finally {
      rmSync(mine, { force: true })
    }
  }

  #text(children: Holder['children']): string {
    return `${JSON.stringify({ ...this.#self, since: this.#since, children } satisfies Holder, null, 2)}\n`
  }

  /** A path inside the folder. */
  file(...names: string[]): string {
    return join(this.path, ...names)
  }

  /** A subfolder, made when needed. */
  folder(...names: string[]): string {
    const path = this.file(...names)
    mkdirSync(path, { recursive: true })
    return path
  }

  /** processes.json, and for a later holder who the processes are. Throws when the disk is full. */
  writeProcesses(processes: Readonly<Record<string, RunningProcess>>): void {
    writeAtomically(this.file('processes.json'), `${JSON.stringify(processes, null, 2)}\n`)
    const children = Object.entries(processes).flatMap(([name, { pid }]) => {
      const identity = identify(pid)
      return identity ? [{ name, ...identity }] : []
    })
    writeAtomically(this.file('supervisor.json'), this.#text(children))
  }

  release(): void {
    rmSync(this.file('supervisor.json'), { force: true })
  }
}

/** Removes everything in a data folder that nobody holds. Throws FolderInUse. Returns false when there was nothing. */
export function clear(path: string): boolean {
  if (!existsSync(path)) return false
  const folder = new DataFolder(path)
  if (folder.leftovers.length > 0) {
    folder.release()
    throw new Error(
      `Processes of the last run are still ending: ${folder.leftovers.map(({ name, pid }) => `${name} (${pid})`).join(', ')}. Try again in a few seconds.`,
    )
  }
  for (const name of readdirSync(path)) if (name !== 'supervisor.json') rmSync(join(path, name), { recursive: true, force: true })
  folder.release()
  rmSync(path, { recursive: true, force: true })
  return true
}
