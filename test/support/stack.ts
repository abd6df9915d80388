import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { RunningProcess } from '../../stack/data-folder.ts'
import { findFreePorts } from '../../stack/ports.ts'
import { endOf, endOfLogs, fallsSilent, speaks } from './last-words.ts'

/** Ports of the stack's first gateway and of its front door. Gateway k listens 10·(k−1) above. */
export interface StackPorts {
  readonly mqtt: number
  readonly mqtts: number
  readonly ws: number
  readonly wss: number
  readonly http: number
  /** Only when the stack runs a Kafka of its own. */
  readonly kafka: number
}

export interface StackOptions {
  /** Settings of `npm start`, over the ones chosen here. A value of undefined removes the variable. */
  readonly environment?: Readonly<Record<string, string | undefined>>
  /**
   * 'shared' (the default): the Kafka of KAFKA_BROKERS with a topic prefix of the stack's own, when the test run gives one.
   * 'own': the stack starts its own, which may be killed.
   */
  readonly kafka?: 'shared' | 'own'
  /** `npm start -- --kafka-only`: its Kafka, of its own, and no service. */
  readonly kafkaOnly?: boolean
  /** Keep using a data folder, with the ports of the stack that had it: a restart of everything. Not removed by stop(). */
  readonly previous?: Stack
  /** Resolve when the supervisor has said what to do next, all being healthy (default), or as soon as the process runs. */
  readonly wait?: 'healthy' | 'started'
  /** Give up and throw after this, with the end of what the stack wrote. Default 120 s. */
  readonly timeoutMs?: number
}

/** A running `npm start`, seen from outside. */
export interface Stack {
  readonly folder: string
  readonly ports: StackPorts
  /** Topics are called `<prefix>.default.<topic>`. */
  readonly prefix: string
  /** host:port of its Kafka. */
  readonly brokers: string
  /** http://127.0.0.1:<HTTP_PORT> */
  readonly url: string
  /** The owner's key of the HTTP API. */
  readonly apiKey: string
  /** PEM files of the development profile: ca, server, client (common name `sample_client`). */
  readonly certificates: { readonly ca: string; readonly caKey: string; readonly clientCertificate: string; readonly clientKey: string }
  /** The supervisor. */
  readonly pid: number
  /** Everything it has written so far. */
  output(): string
  /** processes.json as it is now. */
  processes(): Promise<Readonly<Record<string, RunningProcess>>>
  /** The process with this name; waits until it is there. */
  process(name: string): Promise<RunningProcess>
  /** kill -9 by default; returns the id that was killed. */
  kill(name: string, signal?: NodeJS.Signals): Promise<number>
  /** Waits until the name has a process other than this one, and that one is ready. */
  restarted(name: string, pid: number, timeoutMs?: number): Promise<RunningProcess>
  /** GET /healthz. */
  health(): Promise<{ readonly status: number; readonly body: string }>
  /** Waits for 200. */
  untilHealthy(timeoutMs?: number): Promise<void>
  /** Waits until every gateway and router knows what the registry knows now of the home namespace: an answer of the API is ahead of them by a moment. */
  settled(): Promise<void>
  /** A request to the HTTP API with the owner's key. */
  api(method: string, path: string, body?: unknown): Promise<{ readonly status: number; readonly body: unknown }>
  /** The lines of an answer, without the last one, which says that it is whole. */
  lines(path: string): Promise<readonly Readonly<Record<string, unknown>>[]>
  /** The exit code once it has ended by itself or by a signal of the test's. */
  ended(): Promise<number | null>
  /** SIGTERM, and waits; the exit code. The folder goes too unless `keep`. */
  stop(options?: { readonly keep?: boolean }): Promise<number | null>
}

/** Where each service tells at /status how far it has read the registry. */
interface RegistryPositions {
  readonly position?: number
  readonly registry?: { readonly position: number }
  readonly registryPosition?: number
}

const project = dirname(dirname(import.meta.dirname))
/** A connection of its own: one that is kept may be closed by its server in the very moment in which it is used again. */
export const unkept = { connection: 'close' } as const
const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

/** Waits for a condition. Throws with `what`, as it is then, when the time is over. */
export async function until<T>(
  what: string | (() => string),
  timeoutMs: number,
  condition: () => Promise<T | undefined | false> | T | undefined | false,
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const value = await condition()
    if (value !== undefined && value !== false) return value
    if (performance.now() > deadline) throw new Error(`not within ${timeoutMs / 1000} s: ${typeof what === 'string' ? what : what()}`)
    await pause(50)
  }
}

/** Six ports, and those of a second and a third gateway. */
async function choosePorts(): Promise<StackPorts> {
  const [mqtt = 0, mqtts = 0, ws = 0, wss = 0, http = 0, kafka = 0] = await findFreePorts(6, [], [10, 20])
  return { mqtt, mqtts, ws, wss, http, kafka }
}

class RunningStack implements Stack {
  readonly folder: string
  readonly ports: StackPorts
  readonly prefix: string
  readonly brokers: string
  readonly certificates: Stack['certificates']
  readonly #child: ChildProcess
  readonly #exit: Promise<number | null>
  apiKey = ''
  #output = ''
  #ended = false

  constructor(folder: string, ports: StackPorts, environment: NodeJS.ProcessEnv, args: readonly string[]) {
    this.folder = folder
    this.ports = ports
    this.prefix = environment.LOGGERHEAD_PREFIX ?? 'loggerhead'
    this.brokers = environment.KAFKA_BROKERS ?? `127.0.0.1:${ports.kafka}`
    const file = (name: string) => join(folder, 'certificates', name)
    this.certificates = { ca: file('ca.pem'), caKey: file('ca.key'), clientCertificate: file('client.pem'), clientKey: file('client.key') }
    this.#child = spawn(process.execPath, [join(project, 'stack/main.ts'), ...args], { cwd: project, env: environment, stdio: ['ignore', 'pipe', 'pipe'] })
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => {
        this.#output = (this.#output + text).slice(-1_000_000)
      })
    }
    this.#exit = new Promise((resolve) => {
      this.#child.on('exit', () => {
        this.#ended = true
      })
      // With all that it wrote.
      this.#child.on('close', resolve)
    })
    speaks(this, () => `--- the stack\n${endOf(this.#output, 25)}\n${endOfLogs(join(folder, 'logs'))}`)
  }

  get url(): string {
    return `http://127.0.0.1:${this.ports.http}`
  }

  get pid(): number {
    return this.#child.pid ?? -1
  }

  output(): string {
    return this.#output
  }

  async processes(): Promise<Readonly<Record<string, RunningProcess>>> {
    return JSON.parse(await readFile(join(this.folder, 'processes.json'), 'utf8'))
  }

  async process(name: string): Promise<RunningProcess> {
    return until(`a process ${name} in processes.json`, 60_000, async () => (await this.processes())[name])
  }

  async kill(name: string, signal: NodeJS.Signals = 'SIGKILL'): Promise<number> {
    const { pid } = await this.process(name)
    process.kill(pid, signal)
    // The signal reaches one thread, which stops the others: until then they go on.
    if (signal === 'SIGSTOP') await until(`${name} stands still`, 60_000, () => isStopped(pid))
    return pid
  }

  async restarted(name: string, pid: number, timeoutMs = 60_000): Promise<RunningProcess> {
    return until(`${name} restarted`, timeoutMs, async () => {
      const now = (await this.processes())[name]
      return now !== undefined && now.pid !== pid && now.ready && now
    })
  }

  async health(): Promise<{ readonly status: number; readonly body: string }> {
    const response = await fetch(`${this.url}/healthz`, { headers: unkept, signal: AbortSignal.timeout(60_000) })
    return { status: response.status, body: await response.text() }
  }

  async untilHealthy(timeoutMs = 60_000): Promise<void> {
    let last = ''
    await until('healthy', timeoutMs, async () => {
      if (this.#ended) throw new Error(`the stack ended:\n${this.#output.slice(-8_000)}`)
      const health = await this.health().catch((error: Error) => ({ status: 0, body: error.message }))
      last = health.body
      return health.status === 200
    }).catch((error: Error) => {
      throw new Error(`${error.message}; ${last}\n${this.#output.slice(-8_000)}`)
    })
  }

  /** Waits for a line that ends a start: every service is ready by then, the front door, which is up first, included. */
  async untilStarted(timeoutMs: number, line: string): Promise<void> {
    await until('started', timeoutMs, () => {
      if (this.#ended) throw new Error('the stack ended')
      return this.#output.includes(line)
    }).catch((error: Error) => {
      throw new Error(`${error.message}:\n${this.#output.slice(-8_000)}`)
    })
  }

  async settled(): Promise<void> {
    const processes = Object.entries(await this.processes())
    const positionAt = async (name: string): Promise<number> => {
      const { ports } = await this.process(name)
      const answer = await fetch(`http://127.0.0.1:${ports.internal}/status`, { headers: unkept, signal: AbortSignal.timeout(60_000) })
      const { position, registry, registryPosition } = (await answer.json()) as RegistryPositions
      return registry?.position ?? registryPosition ?? position ?? -1
    }
    const known = await until('the registry tells its position', 60_000, () => positionAt('registry').catch(() => undefined))
    for (const [name] of processes.filter(([each]) => /^(gateway|router)/.test(each)))
      await until(`${name} knows the registry up to ${known}`, 60_000, () =>
        positionAt(name)
          .then((position) => position >= known)
          .catch(() => false),
      )
  }

  async api(method: string, path: string, body?: unknown): Promise<{ readonly status: number; readonly body: unknown }> {
    const response = await fetch(`${this.url}${path}`, {
      method,
      headers: { ...unkept, authorization: `Bearer ${this.apiKey}`, ...(body !== undefined && { 'content-type': 'application/json' }) },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    })
    const text = await response.text()
    return { status: response.status, body: text === '' ? undefined : JSON.parse(text) }
  }

  async lines(path: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const response = await fetch(`${this.url}${path}`, { headers: { ...unkept, authorization: `Bearer ${this.apiKey}` } })
    const text = await response.text()
    const all = text.split('\n').filter((line) => line !== '')
    if (response.status !== 200 || !all.at(-1)?.includes('"end":true')) throw new Error(`${path}: ${response.status} ${text.slice(0, 500)}`)
    return all.slice(0, -1).map((line) => JSON.parse(line))
  }

  async stop({ keep = false }: { readonly keep?: boolean } = {}): Promise<number | null> {
    if (!this.#ended) this.#child.kill('SIGTERM')
    const code = await this.#exit
    fallsSilent(this)
    if (!keep) await rm(this.folder, { recursive: true, force: true, maxRetries: 5 })
    return code
  }

  ended(): Promise<number | null> {
    return this.#exit
  }
}

/** Whether every thread of a process is stopped. */
export async function isStopped(pid: number): Promise<boolean> {
  const tasks = await readdir(`/proc/${pid}/task`)
  // The state follows the name, which stands in parentheses and may hold anything.
  const stateOf = (task: string): Promise<string | undefined> =>
    readFile(`/proc/${pid}/task/${task}/stat`, 'utf8').then(
      (text) => text.split(') ').at(-1)?.[0],
      () => undefined,
    )
  const states = await Promise.all(tasks.map(stateOf))
  return states.every((state) => state === 'T')
}

/** Variables of the one who runs the tests that would change the stack. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(LOGGERHEAD_|KAFKA_|MQTTS?_PORT|WSS?_PORT|HTTP_PORT|TLS_|GATEWAYS$|ROUTERS$|npm_)/.test(name)),
  )
}

/** Starts a stack in a temporary folder on free ports, by default on the test run's Kafka under a topic prefix of its own. */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const { previous, kafkaOnly = false, kafka = kafkaOnly ? 'own' : 'shared', wait = 'healthy', timeoutMs = 120_000 } = options
  const folder = previous?.folder ?? options.environment?.LOGGERHEAD_DATA ?? (await mkdtemp(join(tmpdir(), 'loggerhead-stack-')))
  const ports = previous?.ports ?? (await choosePorts())
  const shared = kafka === 'shared' ? process.env.KAFKA_BROKERS : undefined
  const environment: NodeJS.ProcessEnv = {
    ...cleanEnvironment(),
    LOGGERHEAD_STOP_WITH_PARENT: '1',
    LOGGERHEAD_DATA: folder,
    MQTT_PORT: String(ports.mqtt),
    MQTTS_PORT: String(ports.mqtts),
    WS_PORT: String(ports.ws),
    WSS_PORT: String(ports.wss),
    HTTP_PORT: String(ports.http),
    KAFKA_PORT: String(ports.kafka),
    ...(shared && { KAFKA_BROKERS: shared, LOGGERHEAD_PREFIX: previous?.prefix ?? `test-${Math.random().toString(36).slice(2, 10)}` }),
    ...options.environment,
  }
  for (const name of Object.keys(environment)) if (environment[name] === undefined) delete environment[name]
  const stack = new RunningStack(folder, ports, environment, kafkaOnly ? ['--kafka-only'] : [])
  try {
    if (wait === 'healthy') {
      await stack.untilStarted(timeoutMs, kafkaOnly ? 'Kafka alone runs' : 'Ctrl-C stops everything')
      stack.apiKey = (await readFile(join(folder, 'api-key'), 'utf8')).trim()
    }
  } catch (error) {
    await stack.stop(previous ? { keep: true } : {})
    throw error
  }
  return stack
}
