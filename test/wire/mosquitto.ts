import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findFreePorts } from '../../stack/ports.ts'
import { onPath } from './programs.ts'
import type { Endpoint } from './wire.ts'

/** A port that nobody has, nor is given by the system meanwhile. */
export async function freePort(): Promise<number> {
  const [port = 0] = await findFreePorts(1)
  return port
}

/** Waits until something listens there. */
export async function listening(endpoint: Endpoint, deadlineMs: number): Promise<void> {
  const deadline = performance.now() + deadlineMs
  for (;;) {
    const isUp = await new Promise<boolean>((resolve) => {
      const socket = net.connect({ ...endpoint })
      socket.on('connect', () => resolve(true))
      socket.on('error', () => resolve(false))
      socket.on('connect', () => socket.destroy())
    })
    if (isUp) return
    if (performance.now() > deadline) throw new Error(`nothing listens at ${endpoint.host}:${endpoint.port} after ${deadlineMs} ms`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** A mosquitto of our own that remembers nothing when it is killed: what the harness is tried on, and what the benchmark compares with. */
export class Mosquitto {
  readonly endpoint: Endpoint
  readonly #folder: string
  #process: ChildProcess

  private constructor(endpoint: Endpoint, folder: string) {
    this.endpoint = endpoint
    this.#folder = folder
    this.#process = this.#spawn()
  }

  static get isInstalled(): boolean {
    return onPath('mosquitto') !== undefined
  }

  static async start(): Promise<Mosquitto> {
    const endpoint = { host: '127.0.0.1', port: await freePort() }
    const folder = mkdtempSync(join(tmpdir(), 'loggerhead-mosquitto-'))
    writeFileSync(
      join(folder, 'conf'),
      `listener ${endpoint.port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_queued_messages 0\nset_tcp_nodelay true\n`,
    )
    const mosquitto = new Mosquitto(endpoint, folder)
    await listening(endpoint, 60_000)
    return mosquitto
  }

  get pid(): number {
    return this.#process.pid ?? 0
  }

  #spawn(): ChildProcess {
    return spawn(onPath('mosquitto') ?? 'mosquitto', ['-c', join(this.#folder, 'conf')], { stdio: 'ignore' })
  }

  async killAndRestart(): Promise<void> {
    this.#process.kill('SIGKILL')
    await once(this.#process, 'exit')
    this.#process = this.#spawn()
    await listening(this.endpoint, 60_000)
  }

  async stop(): Promise<void> {
    const gone = once(this.#process, 'exit')
    this.#process.kill('SIGTERM')
    await gone
    rmSync(this.#folder, { recursive: true, force: true })
  }
}
