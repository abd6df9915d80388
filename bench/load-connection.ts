import { readFileSync } from 'node:fs'
import net from 'node:net'
import type { Duplex } from 'node:stream'
import tls from 'node:tls'
import { createWebSocketStream, WebSocket } from 'ws'
import * as mqtt from '../test/wire/bytes.ts'
import type { LoadOptions } from './load-options.ts'

const file = (path: string): Buffer | undefined => (path === '' ? undefined : readFileSync(path))

/** Opens what MQTT is spoken over; loopback only. */
export function open(options: LoadOptions): Duplex {
  const { port, transport } = options
  if (transport === 'tcp') return net.connect({ host: '127.0.0.1', port, noDelay: true })
  if (transport === 'tls') {
    const socket = tls.connect({ host: '127.0.0.1', port, servername: 'localhost', ca: file(options.ca), cert: file(options.cert), key: file(options.key) })
    socket.setNoDelay(true)
    return socket
  }
  const socket = new WebSocket(`ws://127.0.0.1:${port}/mqtt`, 'mqtt', { perMessageDeflate: false, skipUTF8Validation: true })
  return createWebSocketStream(socket)
}

/** The event that says that bytes may be written. */
const opened = { tcp: 'connect', tls: 'secureConnect', ws: null } as const

/** A connection that splits what it reads without an object per packet: the generator must not be the limit. */
export abstract class LoadConnection {
  protected readonly options: LoadOptions
  readonly id: string
  readonly #onLost: (id: string) => void
  protected socket!: Duplex
  #left: Buffer | null = null
  #ready: (() => void) | null = null
  #failed: ((error: Error) => void) | null = null
  #finished = false

  constructor(options: LoadOptions, id: string, onLost: (id: string) => void) {
    this.options = options
    this.id = id
    this.#onLost = onLost
  }

  protected abstract get isPersistent(): boolean

  /** Resolves when the client can do its work. */
  connect(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#ready = resolve
      this.#failed = reject
      this.#finished = false
      this.#left = null
      const socket = open(this.options)
      this.socket = socket
      const event = opened[this.options.transport]
      if (event === null) socket.write(this.#hello())
      else socket.once(event, () => socket.write(this.#hello()))
      socket.on('data', (chunk: Buffer) => this.#onData(chunk))
      socket.on('error', () => {})
      socket.on('close', () => {
        if (this.#finished || socket !== this.socket) return
        this.#onLost(this.id)
        this.#failed?.(new Error(`${this.id} was closed`))
      })
    })
  }

  #hello(): Buffer {
    const { version, username } = this.options
    return mqtt.connect({
      version,
      clientId: this.id,
      keepAlive: 600,
      clean: !this.isPersistent,
      ...(username !== '' && { username }),
      ...(version === 5 && this.isPersistent && { properties: [[mqtt.Property.sessionExpiryInterval, 3600]] }),
    })
  }

  /** Closes and waits for the end. */
  async leave(): Promise<void> {
    const gone = new Promise<void>((resolve) => this.socket.once('close', () => resolve()))
    this.end()
    await gone
  }

  end(): void {
    this.#finished = true
    this.socket.end(mqtt.disconnect(this.options.version))
  }

  get isGone(): boolean {
    return this.socket.destroyed
  }

  protected isReady(): void {
    this.#ready?.()
    this.#ready = null
    this.#failed = null
  }

  #onData(chunk: Buffer): void {
    const bytes = this.#left ? Buffer.concat([this.#left, chunk]) : chunk
    let at = 0
    while (bytes.length - at >= 2) {
      let length = 0
      let next = at + 1
      let more = true
      for (let scale = 1; more && next < bytes.length && next < at + 5; scale *= 128) {
        const byte = bytes.readUInt8(next++)
        length += (byte & 127) * scale
        more = byte >= 128
      }
      if (more || bytes.length - next < length) break
      this.#onPacket(bytes.readUInt8(at), bytes, next, next + length)
      at = next + length
    }
    this.#left = at < bytes.length ? bytes.subarray(at) : null
    this.afterRead()
  }

  #onPacket(first: number, bytes: Buffer, start: number, end: number): void {
    const type = first >> 4
    switch (type) {
      case 2:
        if (bytes.readUInt8(start + 1) !== 0) throw new Error(`${this.id}: CONNACK ${bytes.readUInt8(start + 1)}`)
        this.onConnected()
        return
      case 3:
        this.onPublish(first, bytes, start, end)
        return
      case 4:
      case 5:
      case 6:
      case 7:
        this.onAck(type, bytes.readUInt16BE(start), end - start > 2 ? bytes.readUInt8(start + 2) : 0)
        return
      case 9:
        if (bytes.readUInt8(end - 1) >= 0x80) throw new Error(`${this.id}: SUBACK ${bytes.readUInt8(end - 1)}`)
        this.onSubscribed()
        return
      default:
    }
  }

  protected abstract onConnected(): void
  protected onSubscribed(): void {
    this.isReady()
  }
  protected onPublish(_first: number, _bytes: Buffer, _start: number, _end: number): void {}
  /** PUBACK 4, PUBREC 5, PUBREL 6, PUBCOMP 7. */
  protected onAck(_type: number, _id: number, _code: number): void {}
  protected afterRead(): void {}
}

/** Acknowledgements of four bytes, gathered: one write for everything that one read brought. */
export class AckWriter {
  #bytes = Buffer.allocUnsafe(4_096)
  #length = 0

  add(first: number, id: number): void {
    if (this.#length + 4 > this.#bytes.length) this.#bytes = Buffer.concat([this.#bytes], this.#bytes.length * 2)
    this.#bytes[this.#length] = first
    this.#bytes[this.#length + 1] = 2
    this.#bytes.writeUInt16BE(id, this.#length + 2)
    this.#length += 4
  }

  /** What was added since the last call, in memory of its own. */
  take(): Buffer | null {
    if (this.#length === 0) return null
    const taken = Buffer.from(this.#bytes.subarray(0, this.#length))
    this.#length = 0
    return taken
  }
}
