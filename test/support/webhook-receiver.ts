/** Starts and asks the receiver of webhooks, a process of its own. */
import { type ChildProcess, fork } from 'node:child_process'
import type { IncomingHttpHeaders } from 'node:http'
import { join } from 'node:path'

export interface ReceivedRequest {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  /** As the SDK of CloudEvents read them. */
  readonly events: readonly Readonly<Record<string, unknown>>[]
  /** What the SDK found wrong. */
  readonly problem?: string
  /** When it came, ms since the epoch. */
  readonly at: number
  /** Requests for the path that had no answer at that moment, this one included. */
  readonly open: number
}

export class WebhookReceiver {
  readonly url: string
  readonly #child: ChildProcess

  static async start(): Promise<WebhookReceiver> {
    const child = fork(join(import.meta.dirname, 'webhook-receiver-process.ts'), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    const port = await new Promise<number>((resolve, reject) => {
      child.once('message', (message) => resolve((message as { readonly port: number }).port))
      child.once('exit', (code) => reject(new Error(`the receiver ended with ${code}`)))
    })
    return new WebhookReceiver(child, port)
  }

  private constructor(child: ChildProcess, port: number) {
    this.#child = child
    this.url = `http://127.0.0.1:${port}`
  }

  /** What came so far, from the request of that number on. */
  async received(from = 0): Promise<readonly ReceivedRequest[]> {
    const response = await fetch(`${this.url}/received?from=${from}`)
    return (await response.json()) as readonly ReceivedRequest[]
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) return
    const ended = new Promise((resolve) => this.#child.once('exit', resolve))
    this.#child.kill('SIGKILL')
    await ended
  }
}
