/**
 * The client's end of a connection in a process of its own, which can be stopped: whatever a wire writes to its port goes
 * to the gateway, and back. What comes while it is stopped it sends late, as a client does that goes on where it stood.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Endpoint } from '../wire/wire.ts'
import { isStopped, until } from './stack.ts'

const relay = `
const { connect, createServer } = require('node:net')
const [host, port] = process.argv.slice(1)
const server = createServer((near) => {
  const far = connect({ host, port: Number(port) })
  for (const [from, to] of [[near, far], [far, near]]) from.on('error', () => {}).on('close', () => to.destroy()).pipe(to)
})
server.listen(0, '127.0.0.1', () => process.send(server.address().port))
process.on('disconnect', () => process.exit(0))
`

export class ClientProcess {
  readonly endpoint: Endpoint
  readonly #child: ChildProcess

  private constructor(child: ChildProcess, port: number) {
    this.#child = child
    this.endpoint = { host: '127.0.0.1', port }
  }

  static async start(gateway: Endpoint): Promise<ClientProcess> {
    const child = spawn(process.execPath, ['-e', relay, gateway.host, `${gateway.port}`], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    const [port] = (await once(child, 'message')) as [number]
    return new ClientProcess(child, port)
  }

  /** SIGSTOP: its socket stays open. Resolves when every thread stands still. */
  async stop(): Promise<void> {
    const pid = this.#child.pid as number
    this.#child.kill('SIGSTOP')
    await until('the client stands still', 60_000, () => isStopped(pid))
  }

  goOn(): void {
    this.#child.kill('SIGCONT')
  }

  end(): void {
    this.#child.kill('SIGKILL')
  }
}
