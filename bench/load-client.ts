import net from 'node:net'
import * as mqtt from '../test/wire/bytes.ts'
import type { Histogram } from './histogram.ts'
import type { LoadOptions } from './load-options.ts'
import type { Tracker } from './tracker.ts'

/** Payload: run u32, publisher u32, sequence u32, four bytes unused, time f64 (ms). */
const head = 24

/** What all clients of a run write into. */
export interface Run {
  readonly options: LoadOptions
  readonly tag: number
  /** performance.now() from which messages are measured. */
  measureFrom: number
  readonly puback: Histogram
  readonly delivery: Histogram
  sent: number
  acknowledged: number
  refused: number
  delivered: number
  measuredSent: number
  measuredAcknowledged: number
  measuredDelivered: number
  lastAcknowledgedAt: number
  lastDeliveredAt: number
  stopping: boolean
  readonly losses: string[]
}

/** A connection that splits what it reads without an object per packet: the generator must not be the limit. */
export abstract class LoadClient {
  protected readonly run: Run
  readonly id: string
  protected socket!: net.Socket
  #left: Buffer | null = null
  #ready: (() => void) | null = null
  #failed: ((error: Error) => void) | null = null
  #finished = false

  constructor(run: Run, id: string) {
    this.run = run
    this.id = id
  }

  /** Resolves when the client can do its work. */
  connect(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#ready = resolve
      this.#failed = reject
      const { port, version } = this.run.options
      this.socket = net.connect({ host: '127.0.0.1', port })
      this.socket.setNoDelay(true)
      this.socket.on('connect', () => this.socket.write(mqtt.connect({ version, clientId: this.id, keepAlive: 600 })))
      this.socket.on('data', (chunk: Buffer) => this.#onData(chunk))
      this.socket.on('error', () => {})
      this.socket.on('close', () => {
        if (this.#finished) return
        this.run.losses.push(this.id)
        this.#failed?.(new Error(`${this.id} was closed`))
      })
    })
  }

  end(): void {
    this.#finished = true
    this.socket.end(mqtt.disconnect(this.run.options.version))
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
    switch (first >> 4) {
      case 2:
        if (bytes.readUInt8(start + 1) !== 0) throw new Error(`${this.id}: CONNACK ${bytes.readUInt8(start + 1)}`)
        this.onConnected()
        return
      case 3:
        this.onPublish(first, bytes, start, end)
        return
      case 4:
        this.onPuback(bytes.readUInt16BE(start), end - start > 2 ? bytes.readUInt8(start + 2) : 0)
        return
      case 9:
        if (bytes.readUInt8(end - 1) >= 0x80) throw new Error(`${this.id}: SUBACK ${bytes.readUInt8(end - 1)}`)
        this.isReady()
        return
      default:
    }
  }

  protected abstract onConnected(): void
  protected onPublish(_first: number, _bytes: Buffer, _start: number, _end: number): void {}
  protected onPuback(_id: number, _code: number): void {}
  protected afterRead(): void {}
}

export class LoadSubscriber extends LoadClient {
  readonly #filter: string
  /** By publisher. */
  readonly #trackers: ReadonlyMap<number, Tracker>
  #acknowledgements: number[] = []

  constructor(run: Run, id: string, filter: string, trackers: ReadonlyMap<number, Tracker>) {
    super(run, id)
    this.#filter = filter
    this.#trackers = trackers
  }

  protected override onConnected(): void {
    this.socket.write(mqtt.subscribe(this.run.options.version, 1, [[this.#filter, this.run.options.qos]]))
  }

  protected override onPublish(first: number, bytes: Buffer, start: number, end: number): void {
    const { run } = this
    let at = start + 2 + bytes.readUInt16BE(start)
    if (((first >> 1) & 3) > 0) {
      this.#acknowledgements.push(bytes.readUInt16BE(at))
      at += 2
    }
    if (run.options.version === 5) {
      let length = 0
      for (let scale = 1; ; scale *= 128) {
        const byte = bytes.readUInt8(at++)
        length += (byte & 127) * scale
        if (byte < 128) break
      }
      at += length
    }
    if (end - at < head || bytes.readUInt32BE(at) !== run.tag) return
    const tracker = this.#trackers.get(bytes.readUInt32BE(at + 4))
    if (!tracker?.take(bytes.readUInt32BE(at + 8))) return
    const now = performance.now()
    run.delivered++
    run.lastDeliveredAt = now
    const sentAt = bytes.readDoubleBE(at + 16)
    if (sentAt < run.measureFrom) return
    run.measuredDelivered++
    run.delivery.record((now - sentAt) * 1_000)
  }

  /** One write acknowledges everything that one read brought. */
  protected override afterRead(): void {
    const ids = this.#acknowledgements
    if (ids.length === 0) return
    const out = Buffer.allocUnsafe(ids.length * 4)
    for (const [i, id] of ids.entries()) {
      out[i * 4] = 0x40
      out[i * 4 + 1] = 2
      out.writeUInt16BE(id, i * 4 + 2)
    }
    ids.length = 0
    this.socket.write(out)
  }
}

interface Slot {
  readonly bytes: Buffer
  isBusy: boolean
  sentAt: number
  sequence: number
}

export class LoadPublisher extends LoadClient {
  readonly #index: number
  readonly #topic: string
  #slots: Slot[] = []
  #free: Slot[] = []
  #offsets = { sequence: 0, time: 0 }
  #next = 0
  #begunAt = 0
  #waitsForDrain = false
  /** A bit for each message that subscribers must get: acknowledged at QoS 1, written at QoS 0. */
  readonly owed: Uint8Array

  constructor(run: Run, id: string, index: number, topic: string) {
    super(run, id)
    this.#index = index
    this.#topic = topic
    this.owed = new Uint8Array((run.options.messages >> 3) + 1)
  }

  protected override onConnected(): void {
    this.#slots = Array.from({ length: this.run.options.qos === 0 ? 1 : this.run.options.window }, (_, i) => this.#makeSlot(i + 1))
    this.#free = [...this.#slots].reverse()
    this.isReady()
  }

  /** Packets are encoded before the run; only sequence and time change. */
  #makeSlot(id: number): Slot {
    const { version, qos, size } = this.run.options
    const payload = Buffer.alloc(size, 0x2e)
    payload.writeUInt32BE(this.run.tag, 0)
    payload.writeUInt32BE(this.#index, 4)
    const bytes = mqtt.publish({ version, topic: this.#topic, payload, qos, id })
    this.#offsets = { sequence: bytes.length - size + 8, time: bytes.length - size + 16 }
    return { bytes, isBusy: false, sentAt: 0, sequence: 0 }
  }

  begin(now: number): void {
    this.#begunAt = now
    this.pump()
  }

  pump(): void {
    const { run } = this
    const { messages, rate, qos } = run.options
    if (this.#begunAt === 0 || run.stopping || this.#waitsForDrain || this.socket.destroyed) return
    const due = rate > 0 ? Math.min(messages, Math.floor(((performance.now() - this.#begunAt) / 1_000) * rate) + 1) : messages
    this.socket.cork()
    // At QoS 0 nothing but the socket's own buffer says stop.
    for (let burst = 0; this.#next < due && this.#free.length > 0 && burst < 256; burst++) {
      const slot = this.#free[this.#free.length - 1] as Slot
      const now = performance.now()
      slot.sequence = this.#next++
      slot.sentAt = now
      slot.bytes.writeUInt32BE(slot.sequence, this.#offsets.sequence)
      slot.bytes.writeDoubleBE(now, this.#offsets.time)
      run.sent++
      if (now >= run.measureFrom) run.measuredSent++
      if (qos === 1) {
        this.#free.pop()
        slot.isBusy = true
        this.socket.write(slot.bytes)
        continue
      }
      this.#owe(slot.sequence)
      if (!this.socket.write(Buffer.from(slot.bytes))) {
        this.#waitsForDrain = true
        this.socket.once('drain', () => {
          this.#waitsForDrain = false
          this.pump()
        })
        break
      }
    }
    this.socket.uncork()
    if (qos === 0 && !this.#waitsForDrain && rate === 0 && this.#next < due) setImmediate(() => this.pump())
  }

  #owe(sequence: number): void {
    const at = sequence >> 3
    this.owed[at] = (this.owed[at] ?? 0) | (1 << (sequence & 7))
  }

  protected override onPuback(id: number, code: number): void {
    const slot = this.#slots[id - 1]
    if (!slot?.isBusy) return
    const { run } = this
    const now = performance.now()
    slot.isBusy = false
    this.#free.push(slot)
    if (code >= 0x80) {
      run.refused++
      return
    }
    this.#owe(slot.sequence)
    run.acknowledged++
    run.lastAcknowledgedAt = now
    if (slot.sentAt < run.measureFrom) return
    run.measuredAcknowledged++
    run.puback.record((now - slot.sentAt) * 1_000)
  }

  protected override afterRead(): void {
    this.pump()
  }

  get isDone(): boolean {
    return (this.#next >= this.run.options.messages || this.run.stopping) && !this.#slots.some((slot) => slot.isBusy)
  }
}
