import net from 'node:net'
import * as mqtt from '../wire/bytes.ts'
import { Framer, parse } from '../wire/reading.ts'
import type { Endpoint } from '../wire/wire.ts'

export interface ClientOptions {
  readonly clientId: string
  readonly version: mqtt.Version
  /** Tried in turn; a client begins with its own. */
  readonly endpoints: readonly Endpoint[]
  readonly first: number
  /** The session ends with its connection; each begins a new one. */
  readonly isTransient?: boolean
  /** Told whenever anything happened, so that waiting conditions are looked at again. */
  readonly changed: () => void
  readonly credentials?: { readonly username: string; readonly password: string } | undefined
  readonly complain: (what: string) => void
}

const reconnectMs = 100
const connackMs = 20_000
const pingMs = 15_000

/** A client that comes back after every loss, to its session unless that is transient. Subclasses publish or subscribe. */
export abstract class ReturningClient {
  readonly clientId: string
  protected readonly version: mqtt.Version
  readonly #options: ClientOptions
  #socket: net.Socket | null = null
  #endpoint: number
  #timer: NodeJS.Timeout | undefined
  #wanted = false
  #began = false
  /** Connections given up before their CONNACK: each may still take the session, later than its successor, which then ends with 0x8E. */
  protected abandoned = 0
  ready = false
  connections = 0
  losses = 0

  constructor(options: ClientOptions) {
    this.#options = options
    this.clientId = options.clientId
    this.version = options.version
    this.#endpoint = options.first
  }

  /** Begins or goes on; returns at once. */
  start(): void {
    this.#wanted = true
    this.#dial()
  }

  /** Orderly: DISCONNECT, and stay away. The session is kept. */
  leave(): void {
    this.#wanted = false
    clearTimeout(this.#timer)
    if (this.#socket && this.ready) this.#socket.end(mqtt.disconnect(this.version))
    else this.#socket?.destroy()
  }

  /** Abrupt, and come back by itself. */
  cut(): void {
    this.#socket?.destroy()
  }

  /** Ends the session too, so that the broker is left as it was. */
  async forget(): Promise<void> {
    this.#wanted = false
    clearTimeout(this.#timer)
    this.#socket?.destroy()
    const endpoint = this.#options.endpoints[this.#endpoint % this.#options.endpoints.length] as Endpoint
    await new Promise<void>((resolve) => {
      const socket = net.connect({ ...endpoint }, () =>
        socket.write(mqtt.connect({ version: this.version, clientId: this.clientId, clean: true, ...this.#options.credentials })),
      )
      socket.setTimeout(5_000, () => socket.destroy())
      socket.on('data', () => socket.end(mqtt.disconnect(this.version)))
      socket.on('error', () => {})
      socket.on('close', () => resolve())
    })
  }

  protected write(bytes: Buffer): void {
    if (this.#socket && !this.#socket.destroyed) this.#socket.write(bytes)
  }

  protected complain(what: string): void {
    this.#options.complain(`${this.clientId}: ${what}`)
  }

  #dial(): void {
    if (!this.#wanted) return
    const endpoint = this.#options.endpoints[this.#endpoint % this.#options.endpoints.length] as Endpoint
    const socket = net.connect({ ...endpoint })
    const framer = new Framer()
    this.#socket = socket
    socket.setNoDelay(true)
    const patience = setTimeout(() => socket.destroy(), connackMs)
    let ping: NodeJS.Timeout | undefined
    let isAsked = false
    let isAnswered = false
    socket.on('connect', () => {
      isAsked = true
      const isTransient = this.#options.isTransient ?? false
      const list: mqtt.Properties = this.version === 5 && !isTransient ? [[mqtt.Property.sessionExpiryInterval, 3_600]] : []
      const clean = isTransient || (this.version === 5 && !this.#began) // a 3.1.1 session that is kept can only begin without clean session
      socket.write(mqtt.connect({ version: this.version, clientId: this.clientId, clean, keepAlive: 60, properties: list, ...this.#options.credentials }))
    })
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const [first, body] of framer.push(chunk)) {
          const packet = parse(this.version, first, body)
          if (packet.type !== 'connack') {
            this.onPacket(packet)
            continue
          }
          clearTimeout(patience)
          isAnswered = true
          if (packet.code !== 0) {
            socket.destroy() // 0x88 while Kafka is away, for instance: come back later
            return
          }
          ping = setInterval(() => socket.write(mqtt.pingreq), pingMs)
          const present = packet.sessionPresent
          if (this.#began && present === (this.#options.isTransient ?? false)) this.complain(`the session was ${present ? 'still there' : 'gone'}`)
          this.ready = true
          this.connections++
          const isFirst = !this.#began
          this.#began = true
          this.onConnected(isFirst || !present, present)
        }
        this.onRead()
      } catch (error) {
        this.complain(`what the broker sent is wrong: ${(error as Error).message}`)
        socket.destroy()
      }
      this.#options.changed()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      clearTimeout(patience)
      clearInterval(ping)
      if (this.#socket !== socket) return
      if (isAsked && !isAnswered) this.abandoned++
      if (this.ready && this.#wanted) this.losses++
      this.ready = false
      this.#endpoint++
      this.#options.changed()
      if (this.#wanted) this.#timer = setTimeout(() => this.#dial(), reconnectMs)
    })
  }

  /** `begin`: the session has no subscriptions yet. `present`: it knows what was in flight. */
  protected abstract onConnected(begin: boolean, present: boolean): void
  protected abstract onPacket(packet: mqtt.Received): void
  /** After everything that one read brought. */
  protected onRead(): void {}
}
