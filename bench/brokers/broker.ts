import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { listening } from '../../test/wire/mosquitto.ts'

/** What a PUBACK at QoS 1 is worth on one machine. */
export type Durability = 'memory' | 'page cache' | 'disk'

/** A broker under load, seen from outside. */
export interface Broker {
  readonly name: string
  readonly version: string
  /** As it is set up here. */
  readonly durability: Durability
  readonly port: number
  /** Options of the load that it needs to be in its class of durability. */
  readonly load?: Readonly<Record<string, string>>
  /** TLS with client certificates, where it is set up. */
  readonly tls?: { readonly port: number; readonly ca: string; readonly cert: string; readonly key: string; readonly username: string }
  /** The processes that are the broker, by name. */
  pids(): Promise<Readonly<Record<string, number>>>
  stop(): Promise<void>
}

/** How a broker is brought up for a run. */
export interface BrokerKind {
  readonly name: string
  /** Why it cannot be had on this machine; null when it can. */
  missing(): string | null
  start(): Promise<Broker>
}

export function scratch(name: string): { readonly folder: string; remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), `loggerhead-bench-${name}-`))
  return { folder, remove: () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }) }
}

/** The process and all that descend from it. */
export function family(root: number): readonly number[] {
  const children = new Map<number, number[]>()
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'utf8')
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1])
      children.set(parent, [...(children.get(parent) ?? []), Number(entry)])
    } catch {} // it has ended meanwhile
  }
  const all = [root]
  for (let at = 0; at < all.length; at++) all.push(...(children.get(all[at] as number) ?? []))
  return all
}

/** A broker that is one program: started, waited for, ended by its id. */
export async function startProgram(options: {
  readonly command: string
  readonly args: readonly string[]
  readonly spawn?: SpawnOptions
  readonly port: number
  readonly deadlineMs: number
}): Promise<{ readonly child: ChildProcess; stop(): Promise<void> }> {
  const child = spawn(options.command, options.args, { stdio: ['ignore', 'ignore', 'pipe'], ...options.spawn })
  let errors = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => {
    errors = (errors + text).slice(-4_000)
  })
  const ended = once(child, 'exit')
  const stop = async (): Promise<void> => {
    const members = child.pid === undefined ? [] : family(child.pid)
    child.kill('SIGTERM')
    const timer = setTimeout(() => {
      for (const pid of members) {
        try {
          process.kill(pid, 'SIGKILL')
        } catch {} // it has ended
      }
    }, 15_000)
    await ended
    clearTimeout(timer)
  }
  try {
    await Promise.race([
      listening({ host: '127.0.0.1', port: options.port }, options.deadlineMs),
      ended.then(([code]) => {
        throw new Error(`${options.command} ended with ${code}: ${errors}`)
      }),
    ])
  } catch (error) {
    await stop()
    throw error
  }
  return { child, stop }
}
