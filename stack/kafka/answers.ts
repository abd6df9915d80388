import { connect, type Socket } from 'node:net'

/** ApiVersions v0: the one request that every Kafka answers without authentication, on a listener in plain text. */
const apiVersions = Buffer.from([0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff])

/** Undefined when something that speaks Kafka's protocol answers at the address, else why it does not. */
export function askKafka(host: string, port: number, timeoutMs: number): Promise<string | undefined> {
  return ask(host, port, timeoutMs, (socket, end) => {
    let answer = Buffer.alloc(0)
    socket.write(apiVersions)
    socket.on('data', (chunk) => {
      answer = Buffer.concat([answer, chunk])
      if (answer.length >= 10) end(answer.readInt32BE(4) === 1 && answer.readInt16BE(8) === 0 ? undefined : 'it does not speak the Kafka protocol')
    })
    socket.on('close', () => end('closed the connection'))
  })
}

/** Only whether something listens: all that can be asked of a listener with TLS or SASL without its credentials. */
export function askPort(host: string, port: number, timeoutMs: number): Promise<string | undefined> {
  return ask(host, port, timeoutMs, (_socket, end) => end())
}

function ask(host: string, port: number, timeoutMs: number, onConnect: (socket: Socket, end: (reason?: string) => void) => void): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port })
    const end = (reason?: string) => {
      clearTimeout(timer)
      socket.destroy()
      resolve(reason)
    }
    const timer = setTimeout(() => end('no answer'), timeoutMs)
    socket.on('connect', () => onConnect(socket, end))
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message))
  })
}
