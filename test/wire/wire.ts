import net from 'node:net'
import type { Received, Version } from './bytes.ts'
import { Conduct } from './conduct.ts'
import { Framer, parse } from './reading.ts'

/** The server ended the connection while something was expected of it. */
export class PeerClosed extends Error {
  constructor(wanted: string) {
    super(`the server closed the connection instead of sending ${wanted}`)
    this.name = 'PeerClosed'
  }
}

/** How long a packet is waited for when nothing else is said: a bound for what never comes, and none on how slow a busy machine may be. */
const patienceMs = 60_000

export interface Endpoint {
  readonly host: string
  readonly port: number
}

/** The packets whose `type` may be T. */
type Of<T, R = Received> = R extends { readonly type: infer U } ? (T extends U ? R : never) : never

/**
 * A raw MQTT connection: sends any bytes, hands out what came packet by packet. Nothing is acknowledged by itself.
 * What a server may not send is an error of whatever is waited for next.
 */
export class Wire {
  readonly version: Version
  readonly #socket: net.Socket
  readonly #framer = new Framer()
  readonly #conduct: Conduct
  readonly #received: Received[] = []
  #ended = false
  #fault: Error | undefined
  #wake: (() => void)[] = []

  private constructor(socket: net.Socket, version: Version) {
    this.#socket = socket
    this.version = version
    this.#conduct = new Conduct(version)
    socket.setNoDelay(true)
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const [first, body, size] of this.#framer.push(chunk)) {
          const packet = parse(version, first, body)
          this.#conduct.received(packet, size)
          this.#received.push(packet)
        }
      } catch (error) {
        this.#fault ??= error as Error
        socket.destroy()
      }
      this.#notify()
    })
    socket.on('error', () => {}) // a reset is a close to these tests
    socket.on('close', () => {
      this.#ended = true
      this.#notify()
    })
  }

  /** Opens the connection and sends nothing. */
  static open(endpoint: Endpoint, version: Version, localAddress?: string): Promise<Wire> {
    return new Promise((resolve, reject) => {
      const socket = net.connect({ ...endpoint, ...(localAddress === undefined ? {} : { localAddress }) })
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.off('error', reject)
        resolve(new Wire(socket, version))
      })
    })
  }

  #notify(): void {
    const wake = this.#wake
    this.#wake = []
    for (const each of wake) each()
  }

  async #until(what: string, deadlineMs: number, condition: () => boolean): Promise<void> {
    const deadline = performance.now() + deadlineMs
    while (!condition()) {
      if (this.#fault) throw this.#fault
      const left = deadline - performance.now()
      if (left <= 0) throw new Error(`no ${what} within ${deadlineMs} ms`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.#wake.push(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
    if (this.#fault) throw this.#fault
  }

  send(...packets: readonly Buffer[]): void {
    if (this.#socket.destroyed) return
    const bytes = packets.length === 1 ? (packets[0] as Buffer) : Buffer.concat(packets)
    this.#conduct.sent(bytes)
    this.#socket.write(bytes)
  }

  /** Packets that came and were not taken yet. */
  get pending(): readonly Received[] {
    return this.#received
  }

  get isClosed(): boolean {
    return this.#ended
  }

  /** Bytes that were sent and the kernel has not taken: it takes no more while the server does not read. */
  get unsent(): number {
    return this.#socket.writableLength
  }

  /** The next packet, whatever it is. */
  async next(wanted = 'a packet', deadlineMs = patienceMs): Promise<Received> {
    await this.#until(wanted, deadlineMs, () => this.#received.length > 0 || this.#ended)
    const packet = this.#received.shift()
    if (!packet) throw new PeerClosed(wanted)
    return packet
  }

  /** The next packet, which must be of this type. */
  async expect<T extends Received['type']>(type: T, deadlineMs = patienceMs): Promise<Of<T>> {
    const packet = await this.next(type, deadlineMs)
    if (packet.type !== type) throw new Error(`expected ${type}, got ${JSON.stringify(packet)}`)
    return packet as Of<T>
  }

  /** The next packet of this type; what comes before it stays pending in its order. */
  async find<T extends Received['type']>(type: T, deadlineMs = patienceMs): Promise<Of<T>> {
    const at = () => this.#received.findIndex((each) => each.type === type)
    await this.#until(type, deadlineMs, () => at() >= 0 || this.#ended)
    const [packet] = at() >= 0 ? this.#received.splice(at(), 1) : []
    if (!packet) throw new PeerClosed(type)
    return packet as Of<T>
  }

  /** Waits until so many packets are pending. */
  async count(packets: number, deadlineMs = patienceMs): Promise<void> {
    await this.#until(`${packets} packets`, deadlineMs, () => this.#received.length >= packets || this.#ended)
    if (this.#received.length < packets) throw new PeerClosed(`${packets} packets`)
  }

  /** Waits for the server's end; gives the packets that came before it. */
  async closed(deadlineMs = patienceMs): Promise<readonly Received[]> {
    await this.#until('close by the server', deadlineMs, () => this.#ended)
    return this.#received.splice(0)
  }

  /** Abrupt: no DISCONNECT. */
  destroy(): void {
    this.#socket.destroy()
  }

  /** Stops and resumes reading, so that the kernel's window fills. */
  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }
}
