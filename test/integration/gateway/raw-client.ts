/** A client that sends what it is told, right or wrong, and remembers every packet it gets. */
import { connect, type Socket } from 'node:net'
import type { ConnectPacket, Packet, ProtocolVersion } from '../../../mqtt/packet.ts'
import { Parser } from '../../../mqtt/parser.ts'
import { writePacket } from '../../../mqtt/writer.ts'

export function connectPacket(clientId: string, rest: Partial<ConnectPacket> = {}): ConnectPacket {
  return { type: 'connect', protocolVersion: 5, bridge: false, clientId, cleanStart: true, keepAlive: 0, properties: {}, ...rest }
}

export class RawClient {
  readonly socket: Socket
  readonly version: ProtocolVersion
  readonly packets: Packet[] = []
  readonly #parser: Parser
  readonly #watchers = new Set<() => void>()
  isClosed = false

  constructor(socket: Socket, version: ProtocolVersion) {
    this.socket = socket
    this.version = version
    this.#parser = new Parser({ sender: 'server', version, maximumPacketSize: 268_435_455 })
    socket.on('data', (chunk: Buffer) => {
      this.#parser.parse(chunk, (packet) => {
        this.packets.push(packet.type === 'publish' ? { ...packet, payload: Buffer.from(packet.payload) } : packet)
      })
      this.#notify()
    })
    socket.on('error', () => {})
    socket.on('close', () => {
      this.isClosed = true
      this.#notify()
    })
  }

  static async open(port: number, version: ProtocolVersion = 5, host = '127.0.0.1'): Promise<RawClient> {
    const socket = connect({ port, host })
    const client = new RawClient(socket, version)
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    return client
  }

  /** Opens, sends CONNECT and awaits a CONNACK that accepts. */
  static async attached(port: number, packet: ConnectPacket): Promise<RawClient> {
    const client = await RawClient.open(port, packet.protocolVersion)
    client.send(packet)
    const connack = await client.next('connack')
    if (connack.reasonCode !== 0) throw new Error(`refused with 0x${connack.reasonCode.toString(16)}`)
    return client
  }

  send(...packets: readonly Packet[]): void {
    this.socket.write(Buffer.concat(packets.map((packet) => writePacket(packet, this.version))))
  }

  raw(bytes: Uint8Array): void {
    this.socket.write(bytes)
  }

  of<T extends Packet['type']>(type: T): Extract<Packet, { readonly type: T }>[] {
    return this.packets.filter((packet): packet is Extract<Packet, { readonly type: T }> => packet.type === type)
  }

  /** The `count`th packet of the type, 1 the first. */
  async next<T extends Packet['type']>(type: T, count = 1): Promise<Extract<Packet, { readonly type: T }>> {
    await this.until(() => this.of(type).length >= count || this.isClosed)
    const packet = this.of(type)[count - 1]
    if (!packet) throw new Error(`closed before ${type} ${count}; got ${this.packets.map((other) => other.type).join(', ') || 'nothing'}`)
    return packet
  }

  async closed(deadlineMs?: number): Promise<void> {
    await this.until(() => this.isClosed, deadlineMs)
  }

  async until(condition: () => boolean, deadlineMs = 60_000): Promise<void> {
    if (condition()) return
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#watchers.delete(look)
        reject(new Error(`the condition did not come true in ${deadlineMs} ms; got ${this.packets.map((packet) => packet.type).join(', ') || 'nothing'}`))
      }, deadlineMs)
      const look = (): void => {
        if (!condition()) return
        clearTimeout(timer)
        this.#watchers.delete(look)
        resolve()
      }
      this.#watchers.add(look)
    })
  }

  destroy(): void {
    this.socket.destroy()
  }

  #notify(): void {
    for (const watcher of [...this.#watchers]) watcher()
  }
}
