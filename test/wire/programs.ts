import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

/** Where a program is, if it is installed; Debian keeps daemons in /usr/sbin, which is not on everybody's path. */
export function onPath(program: string): string | undefined {
  for (const folder of [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin']) {
    const path = join(folder, program)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {}
  }
  return undefined
}

export interface Ended {
  readonly code: number | null
  readonly output: string
  readonly errors: string
}

/** A foreign program that runs: what it prints, line by line, and how it ends. Killed at its deadline. */
export class Program {
  readonly #child: ChildProcessWithoutNullStreams
  readonly #name: string
  readonly #timer: NodeJS.Timeout
  readonly ended: Promise<Ended>
  #output = ''
  #errors = ''
  #over = false
  #wake: (() => void)[] = []

  constructor(
    command: string,
    args: readonly string[],
    options: { readonly deadlineMs?: number; readonly input?: string; readonly env?: NodeJS.ProcessEnv } = {},
  ) {
    this.#name = [command, ...args].join(' ')
    this.#child = spawn(command, args, { env: options.env ?? process.env })
    this.#timer = setTimeout(() => this.#child.kill('SIGKILL'), options.deadlineMs ?? 120_000)
    const notify = () => {
      const wake = this.#wake
      this.#wake = []
      for (const each of wake) each()
    }
    this.#child.stdout.on('data', (chunk: Buffer) => {
      this.#output += chunk.toString()
      notify()
    })
    this.#child.stderr.on('data', (chunk: Buffer) => {
      this.#errors += chunk.toString()
      notify()
    })
    this.#child.stdin.on('error', () => {})
    this.#child.stdin.end(options.input ?? '')
    this.ended = once(this.#child, 'close').then(([code]) => {
      clearTimeout(this.#timer)
      this.#over = true
      notify()
      return { code: code as number | null, output: this.#output, errors: this.#errors }
    })
  }

  get output(): string {
    return this.#output
  }

  /** Waits until it has printed this, on either stream. */
  async printed(text: string | RegExp, deadlineMs = 60_000): Promise<string> {
    const deadline = performance.now() + deadlineMs
    const found = () => (typeof text === 'string' ? this.#all.includes(text) : text.test(this.#all))
    while (!found()) {
      const left = deadline - performance.now()
      if (left <= 0 || this.#over) throw new Error(`${this.#name} did not print ${text}${this.#over ? ' before it ended' : ''}:\n${this.#all}`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.#wake.push(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
    return this.#all
  }

  get #all(): string {
    return `${this.#output}\n${this.#errors}`
  }

  kill(signal: NodeJS.Signals = 'SIGTERM'): void {
    this.#child.kill(signal)
  }
}

/** Runs a program to its end. */
export function run(command: string, args: readonly string[], options: { readonly deadlineMs?: number; readonly input?: string } = {}): Promise<Ended> {
  return new Program(command, args, options).ended
}
