/** Takes a socket's first bytes until they say which host is asked for, and puts them back for whoever reads on. */
import type { Socket } from 'node:net'
import { type ClientHello, clientHelloMax, readClientHello } from './client-hello.ts'

/** Calls back once; not at all when the socket closes before. What was read is in the socket again, which is paused. */
export function awaitClientHello(socket: Socket, onHello: (hello: Exclude<ClientHello, { is: 'partial' }>) => void): void {
  let bytes: Buffer = Buffer.alloc(0)
  const onData = (chunk: Buffer): void => {
    bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk])
    const hello = readClientHello(bytes)
    if (hello.is === 'partial' && bytes.length <= 2 * clientHelloMax) return
    socket.off('data', onData)
    socket.off('error', onError)
    socket.pause()
    socket.unshift(bytes)
    onHello(hello.is === 'partial' ? { is: 'malformed' } : hello)
  }
  const onError = (): void => {
    socket.destroy()
  }
  socket.on('data', onData)
  socket.resume()
  socket.on('error', onError)
}
