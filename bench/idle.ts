/**
 * Idle connections: opens them, says how long that took, and holds them until its standard input ends.
 *
 *   node bench/idle.ts --port 1883 --connections 10000
 *
 * With `--handshake-only true` nothing is spoken over the TLS connection, and each is closed once it stands: what a bare
 * TLS server is measured with.
 */
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { LoadConnection, open } from './load-connection.ts'
import { type LoadOptions, loadDefaults } from './load-options.ts'

export interface IdleReport {
  readonly connections: number
  readonly seconds: number
  readonly perSecond: number
}

const connectionsMax = 20_000
/** New connections at a time. */
const opening = 50

class IdleConnection extends LoadConnection {
  protected override get isPersistent(): boolean {
    return false
  }
  protected override onConnected(): void {
    this.isReady()
  }
}

async function handshake(options: LoadOptions): Promise<void> {
  const socket = open(options)
  await once(socket, 'secureConnect')
  socket.destroy()
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      port: { type: 'string', default: '1883' },
      connections: { type: 'string', default: '1000' },
      transport: { type: 'string', default: 'tcp' },
      ca: { type: 'string', default: '' },
      cert: { type: 'string', default: '' },
      key: { type: 'string', default: '' },
      username: { type: 'string', default: '' },
      'handshake-only': { type: 'string', default: 'false' },
    },
  })
  const count = Number(values.connections)
  if (!(count >= 1 && count <= connectionsMax)) throw new Error(`--connections: “${values.connections}” is not from 1 to ${connectionsMax}`)
  const { ca, cert, key, username } = values
  // MQTT 3.1.1: the version that all brokers speak.
  const options: LoadOptions = {
    ...loadDefaults,
    version: 4,
    port: Number(values.port),
    transport: values.transport === 'tls' ? 'tls' : 'tcp',
    ca,
    cert,
    key,
    username,
  }
  const tag = `idle-${process.pid}`
  const since = performance.now()
  let next = 0
  const worker = async (): Promise<void> => {
    for (let i = next++; i < count; i = next++) {
      if (values['handshake-only'] === 'true') await handshake(options)
      else await new IdleConnection(options, `${tag}-${i}`, () => {}).connect()
    }
  }
  await Promise.all(Array.from({ length: opening }, worker))
  const seconds = (performance.now() - since) / 1_000
  const report: IdleReport = { connections: count, seconds: Math.round(seconds * 1_000) / 1_000, perSecond: Math.round(count / seconds) }
  process.stdout.write(`${JSON.stringify(report)}\n`)
  process.stdin.resume()
  await once(process.stdin, 'end')
  process.exit(0)
}

try {
  await main()
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exit(1)
}
