/** A TLS server that asks for client certificates and does nothing else. Prints its port; ends with its standard input. */
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:tls'

const [ca, cert, key] = process.argv.slice(2).map((file) => readFileSync(file))
const server = createServer({ ca, cert, key, requestCert: true, rejectUnauthorized: false } as object, (socket) => {
  socket.on('error', () => {})
  socket.resume()
}).listen(0, '127.0.0.1')
await once(server, 'listening')
process.stdout.write(`${(server.address() as AddressInfo).port}\n`)
await once(process.stdin.resume(), 'end')
process.exit(0)
