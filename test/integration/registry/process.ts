/** The registry as npm start runs it: a process of its own with an IPC channel, on the real Kafka. */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { endOf, fallsSilent, speaks } from '../../support/last-words.ts'

const project = join(import.meta.dirname, '../../..')
export const key = 'integration-test-key'

export interface RunningRegistry {
  readonly child: ChildProcess
  readonly port: number
  /** Exit code, or the signal. */
  readonly ended: Promise<number | string>
  /** What it wrote to its log. */
  log(): string
}

export class RegistryDeployment {
  readonly environment: Record<string, string>
  readonly folder: string
  readonly #running = new Set<ChildProcess>()
  /** What each said last. */
  readonly #said: (() => string)[] = []

  static async create(environment: Record<string, string> = {}): Promise<RegistryDeployment> {
    const brokers = process.env.KAFKA_BROKERS
    if (brokers === undefined) throw new Error('KAFKA_BROKERS is not set: run the tests with npm test')
    const folder = await mkdtemp(join(tmpdir(), 'loggerhead-registry-'))
    await writeFile(join(folder, 'api-key'), `${key}\n`)
    return new RegistryDeployment(folder, {
      KAFKA_BROKERS: brokers,
      LOGGERHEAD_PREFIX: `registry-test-${Math.random().toString(36).slice(2, 10)}`,
      LOGGERHEAD_DATA: folder,
      API_KEY_FILE: join(folder, 'api-key'),
      ...environment,
    })
  }

  private constructor(folder: string, environment: Record<string, string>) {
    this.folder = folder
    this.environment = environment
    speaks(this, () => this.#said.map((say) => say()).join('\n'))
  }

  async start(environment: Record<string, string> = {}): Promise<RunningRegistry> {
    const child = fork(join(project, 'registry/main.ts'), { env: { ...process.env, ...this.environment, ...environment }, silent: true })
    this.#running.add(child)
    let log = ''
    child.stdout?.on('data', (data: Buffer) => (log += data.toString()))
    child.stderr?.on('data', (data: Buffer) => (log += data.toString()))
    this.#said.push(() => `--- a registry\n${endOf(log, 25)}`)
    const exit = new Promise<number | string>((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal ?? -1)))
    // With all that it wrote. The child's own `close` does not come when this side has disconnected.
    const written = [child.stdout, child.stderr].map((stream) => stream && once(stream, 'close'))
    const ended = Promise.all(written).then(() => exit)
    void ended.then(() => this.#running.delete(child))
    const ready = new Promise<{ readonly ports: { readonly internal: number } }>((resolve) => child.once('message', (message) => resolve(message as never)))
    const first = await Promise.race([ready, ended])
    if (typeof first !== 'object') throw new Error(`the registry ended with ${first}: ${log}`)
    return { child, port: first.ports.internal, ended, log: () => log }
  }

  async close(): Promise<void> {
    for (const child of this.#running) child.kill('SIGKILL')
    fallsSilent(this)
    await rm(this.folder, { recursive: true })
  }
}

export async function send(port: number, method: 'GET' | 'PUT' | 'DELETE', rest: string, body?: object) {
  const answer = await fetch(`http://127.0.0.1:${port}/namespaces/default/${rest}`, {
    method,
    headers: { authorization: `Bearer ${key}`, ...(body ? { 'content-type': 'application/json' } : {}) },
    ...(body ? { body: JSON.stringify(body) } : {}),
  })
  const text = await answer.text()
  return { status: answer.status, json: text === '' ? undefined : (JSON.parse(text) as Record<string, unknown>) }
}
