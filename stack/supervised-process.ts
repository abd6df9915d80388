import { type ChildProcess, spawn } from 'node:child_process'
import { afterDeath, type Backoff, initialBackoff } from './backoff.ts'
import type { RunningProcess } from './data-folder.ts'
import type { Guard } from './guard.ts'
import { LogFile } from './log-file.ts'

/** How to run one process of the stack. */
export interface ProcessSpec {
  readonly name: string
  readonly command: string
  readonly args: readonly string[]
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Shown in processes.json until the process says better. */
  readonly ports: Readonly<Record<string, number>>
  /**
   * 'message': the process says so over its channel. Else asked again and again: undefined when it is ready, or why it
   * is not yet.
   */
  readonly ready: 'message' | (() => Promise<string | undefined>)
  /** Time to end by itself after SIGTERM, ms. */
  readonly stopMs: number
  /** For what is no child: a container. Runs before SIGTERM. */
  readonly beforeStop?: () => Promise<void>
  /** Turns what the process wrote into one sentence for people, when it can: a full disk, a wrong setting. */
  readonly explain?: (log: string) => string | undefined
}

/** It ended before it was ever ready, again and again. */
export class StartFailed extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'StartFailed'
  }
}

export interface SupervisedOptions {
  readonly spec: ProcessSpec
  readonly logPath: string
  readonly guard: Guard
  /** A process id or its ports changed. */
  readonly onChange: () => void
  /** A line for people. */
  readonly say: (line: string) => void
}

const attemptsMax = 3
const pollMs = 100

function lastLines(text: string, count: number): string {
  return text
    .split('\n')
    .filter((line) => line.trim() !== '')
    .slice(-count)
    .map((line) => `    ${line.slice(0, 1_000)}`)
    .join('\n')
}

/** One process that is started again whenever it dies, until it is stopped. */
export class SupervisedProcess {
  readonly #options: SupervisedOptions
  readonly #log: LogFile
  readonly #bounding: NodeJS.Timeout
  #child: ChildProcess | undefined
  #ports: Readonly<Record<string, number>>
  #backoff: Backoff = initialBackoff
  #restart: NodeJS.Timeout | undefined
  #stopping = false
  #lastEnd: { readonly sentence: string; readonly at: number } | undefined
  /** The process that runs now. */
  #ready = false
  /** Any process of this name. */
  #wasReady = false
  readonly #first: Promise<void>
  #startedWell: () => void = () => {}
  #startedBadly: (error: Error) => void = () => {}

  constructor(options: SupervisedOptions) {
    this.#options = options
    this.#ports = options.spec.ports
    this.#log = new LogFile(options.logPath)
    this.#bounding = setInterval(() => this.#log.bound(), 2_000).unref()
    this.#first = new Promise((resolve, reject) => {
      this.#startedWell = resolve
      this.#startedBadly = reject
    })
    this.#first.catch(() => {}) // whoever calls start() hears of it
  }

  get name(): string {
    return this.#options.spec.name
  }

  /** While it runs. */
  get process(): RunningProcess | undefined {
    const pid = this.#child?.pid
    return pid === undefined ? undefined : { pid, ready: this.#ready, ports: this.#ports }
  }

  /** Starts it; resolves when it is ready for the first time, rejects with StartFailed when it ends before that every time. */
  start(): Promise<void> {
    this.#spawn()
    return this.#first
  }

  #spawn(): void {
    const { spec, guard, onChange } = this.#options
    const started = performance.now()
    const logPosition = this.#log.size
    const child = spawn(spec.command, spec.args, {
      // A group of its own: Ctrl-C in the terminal reaches the supervisor alone, which stops everything in order.
      detached: true,
      stdio: ['ignore', this.#log.descriptor, this.#log.descriptor, ...(spec.ready === 'message' ? (['ipc'] as const) : [])],
      env: spec.environment as NodeJS.ProcessEnv,
    })
    this.#child = child
    this.#ready = false
    this.#ports = spec.ports
    const { pid } = child
    if (pid !== undefined) guard.add(pid)
    child.on('message', (message: unknown) => this.#hear(message))
    const ended = (how: string) => {
      if (this.#child !== child) return
      if (pid !== undefined) guard.drop(pid)
      this.#child = undefined
      this.#ended(how, performance.now() - started, logPosition)
    }
    child.on('error', (error) => {
      if (pid === undefined) ended(`could not be started: ${error.message}`)
    })
    child.on('exit', (code, signal) => ended(signal ? `was ended by ${signal}` : `ended with exit code ${code}`))
    if (spec.ready !== 'message') void this.#askUntilReady(child, spec.ready)
    onChange()
  }

  #hear(message: unknown): void {
    if (typeof message !== 'object' || message === null || !('ready' in message) || message.ready !== true) return
    if ('ports' in message && typeof message.ports === 'object' && message.ports !== null) {
      this.#ports = { ...this.#ports, ...(message.ports as Record<string, number>) }
    }
    this.#isReady()
  }

  async #askUntilReady(child: ChildProcess, ask: () => Promise<string | undefined>): Promise<void> {
    while (this.#child === child && !this.#stopping) {
      if ((await ask()) === undefined && this.#child === child) return this.#isReady()
      await new Promise((resolve) => setTimeout(resolve, pollMs))
    }
  }

  #isReady(): void {
    const { say, onChange } = this.#options
    if (this.#wasReady) say(`${this.name} is back (process ${this.#child?.pid})`)
    this.#wasReady = true
    this.#ready = true
    this.#startedWell()
    onChange()
  }

  #ended(how: string, ranMs: number, logPosition: number): void {
    const { spec, say, onChange } = this.#options
    onChange()
    if (this.#stopping) return
    const written = this.#log.textSince(logPosition)
    const why = spec.explain?.(written)
    const { backoff, delayMs } = afterDeath(this.#backoff, ranMs)
    this.#backoff = backoff
    if (!this.#wasReady && backoff.deaths >= attemptsMax) {
      this.#stopping = true
      this.#startedBadly(new StartFailed(`${this.name} ${how}${why ? `: ${why}` : ''}. The end of ${this.#log.path}:\n${lastLines(written, 12)}`))
      return
    }
    const sentence = `${this.name} ${how}${why ? ` (${why})` : ''}`
    // The same end again and again is said once a minute.
    if (sentence !== this.#lastEnd?.sentence || performance.now() - this.#lastEnd.at > 60_000) {
      this.#lastEnd = { sentence, at: performance.now() }
      say(`${sentence}; it is started again${delayMs > 0 ? ` in ${delayMs / 1000} s` : ''}`)
    }
    this.#restart = setTimeout(() => this.#spawn(), delayMs)
  }

  /** Ends it: SIGTERM, and SIGKILL when that does not help in time. */
  async stop(): Promise<void> {
    const { spec, say } = this.#options
    this.#stopping = true
    clearTimeout(this.#restart)
    const child = this.#child
    if (child?.pid !== undefined) {
      const exited = new Promise((resolve) => child.once('exit', resolve))
      await spec.beforeStop?.()
      child.kill('SIGTERM')
      const kill = setTimeout(() => {
        say(`${this.name} did not end within ${spec.stopMs / 1000} s and is killed`)
        child.kill('SIGKILL')
      }, spec.stopMs)
      await exited
      clearTimeout(kill)
    }
    clearInterval(this.#bounding)
    this.#log.close()
  }
}
