import { createServer, type IncomingMessage, type RequestListener, request, type Server } from 'node:http'
import { type AddressInfo, connect, type Socket, type Server as TcpServer } from 'node:net'
import { pino } from 'pino'
import { readConfig } from '../../../door/config.ts'
import { type DoorProcess, startDoor } from '../../../door/process.ts'
import type { TimeLimit } from '../../../door/time-limit.ts'
import { findFreePorts } from '../../../stack/ports.ts'

const undo: (() => unknown)[] = []

/** Closes what the tests of a file opened; for afterEach. */
export async function closeAll(): Promise<void> {
  for (const close of undo.splice(0).reverse()) await close()
}

export function closing(close: () => unknown): void {
  undo.push(close)
}

/** A port of loopback on which nobody listens. */
export async function freePort(): Promise<number> {
  const [port = 0] = await findFreePorts(1)
  return port
}

/** A server of loopback that ends with the test. */
export async function listening<S extends Server | TcpServer>(server: S, port = 0): Promise<string> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve))
  closing(() => {
    for (const socket of sockets) socket.destroy()
    return new Promise((resolve) => server.close(resolve))
  })
  return `127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** A service behind the door. */
export async function upstream(listener: RequestListener, port = 0): Promise<string> {
  return `http://${await listening(createServer(listener), port)}`
}

/** A service that answers with what reached it. */
export function echo(name: string): RequestListener {
  return (incoming, response) => {
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify({ name, method: incoming.method, url: incoming.url, headers: incoming.headers, body: Buffer.concat(chunks).toString() }))
    })
  }
}

export interface OpenDoor extends DoorProcess {
  readonly url: string
  readonly internal: string
}

/** The door with these settings, on free ports of loopback; by the machine's clock unless given another. */
export async function openDoor(environment: Record<string, string>, timeLimit?: TimeLimit): Promise<OpenDoor> {
  const config = readConfig({ HTTP_PORT: '0', LOGGERHEAD_BIND: '127.0.0.1', ...environment })
  const partitionOf = (key: Buffer, partitions: number): number => key.reduce((sum, byte) => sum + byte, 0) % partitions
  const door = await startDoor({ config, logger: pino({ level: 'silent' }), partitionOf, ...(timeLimit && { timeLimit }) })
  closing(() => door.close())
  return { ...door, url: `http://127.0.0.1:${door.ports.http}`, internal: `http://127.0.0.1:${door.ports.internal}` }
}

/** The value of a metric, 0 when it has none yet. */
export async function metric(door: OpenDoor, name: string): Promise<number> {
  const text = await (await fetch(`${door.internal}/metrics`)).text()
  const line = text.split('\n').find((one) => one.startsWith(`${name} `))
  return line === undefined ? 0 : Number(line.slice(name.length + 1))
}

/** Sends bytes and gives back all that is answered until the connection ends. */
export function raw(url: string, bytes: string | Buffer): Promise<string> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve) => {
    const socket = connect(Number(port), hostname, () => socket.write(bytes))
    let text = ''
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1')
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(text))
  })
}

/** A request whose body is written piece by piece by the caller. */
export function slowRequest(
  url: string,
  headers: Record<string, string>,
): { write(text: string): void; end(): void; answer: Promise<{ status: number; body: string }> } {
  const outgoing = request(url, { method: 'POST', headers })
  const answer = new Promise<{ status: number; body: string }>((resolve, reject) => {
    outgoing.on('error', reject)
    outgoing.on('response', (response: IncomingMessage) => {
      let body = ''
      response.on('data', (chunk) => {
        body += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
    })
  })
  answer.catch(() => {})
  return { write: (text) => void outgoing.write(text), end: () => void outgoing.end(), answer }
}

/** Asks again until it holds. */
export async function until(holds: () => boolean | Promise<boolean>, deadlineMs = 60_000): Promise<void> {
  const end = Date.now() + deadlineMs
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`did not come to hold in ${deadlineMs} ms: ${holds}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
