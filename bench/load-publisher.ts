import * as mqtt from '../test/wire/bytes.ts'
import { AckWriter, LoadConnection } from './load-connection.ts'
import type { Run } from './load-run.ts'

/** Messages on one topic: a bit for each that subscribers must get: acknowledged at QoS 1 and 2, written at QoS 0. */
export class Stream {
  readonly id: number
  readonly topic: string
  readonly owed: Uint8Array
  next = 0

  constructor(id: number, topic: string, messages: number) {
    this.id = id
    this.topic = topic
    this.owed = new Uint8Array((messages >> 3) + 1)
  }

  owe(sequence: number): void {
    const at = sequence >> 3
    this.owed[at] = (this.owed[at] ?? 0) | (1 << (sequence & 7))
  }
}

interface Slot {
  readonly id: number
  isBusy: boolean
  sentAt: number
  stream: Stream
  sequence: number
}

/** Where the changing parts of a stream's encoded packet are. */
interface Template {
  readonly bytes: Buffer
  readonly id: number
  readonly payload: number
}

/** Publishes on its streams in turn. Packets are encoded before the run; only packet id, sequence and time change. */
export class LoadPublisher extends LoadConnection {
  readonly #run: Run
  readonly #streams: readonly Stream[]
  #templates: readonly Template[] = []
  #slots: Slot[] = []
  #free: Slot[] = []
  #sent = 0
  #begunAt = 0
  #waitsForDrain = false
  readonly #releases = new AckWriter()

  constructor(run: Run, id: string, streams: readonly Stream[]) {
    super(run.options, id, (lost) => run.losses.push(lost))
    this.#run = run
    this.#streams = streams
  }

  protected override get isPersistent(): boolean {
    return false
  }

  protected override onConnected(): void {
    this.#templates = this.#streams.map((stream) => this.#encode(stream))
    const [first] = this.#streams as readonly [Stream]
    const slots = this.options.qos === 0 ? 1 : this.options.window
    this.#slots = Array.from({ length: slots }, (_, i) => ({ id: i + 1, isBusy: false, sentAt: 0, stream: first, sequence: 0 }))
    this.#free = [...this.#slots].reverse()
    this.isReady()
  }

  #encode({ id, topic }: Stream): Template {
    const { version, qos, size } = this.options
    const payload = Buffer.alloc(size, 0x2e)
    payload.writeUInt32BE(this.#run.tag, 0)
    payload.writeUInt32BE(id, 4)
    const bytes = mqtt.publish({ version, topic, payload, qos, id: 1 })
    const start = bytes.length - size
    return { bytes, payload: start, id: start - 2 - (version === 5 ? 1 : 0) }
  }

  begin(now: number): void {
    this.#begunAt = now
    this.pump()
  }

  /** Messages that this publisher is to send. */
  get #most(): number {
    return this.options.messages * this.#streams.length
  }

  pump(): void {
    const run = this.#run
    const { rate, qos } = this.options
    if (this.#begunAt === 0 || run.isStopping || this.#waitsForDrain || this.isGone) return
    const due = rate > 0 ? Math.min(this.#most, Math.floor(((performance.now() - this.#begunAt) / 1_000) * rate) + 1) : this.#most
    this.socket.cork()
    // At QoS 0 nothing but the socket's own buffer says stop.
    for (let burst = 0; this.#sent < due && this.#free.length > 0 && burst < 256; burst++) {
      const slot = this.#free[this.#free.length - 1] as Slot
      const at = this.#sent % this.#streams.length
      const stream = this.#streams[at] as Stream
      const template = this.#templates[at] as Template
      const now = performance.now()
      slot.stream = stream
      slot.sequence = stream.next++
      slot.sentAt = now
      this.#sent++
      run.sent++
      if (now >= run.measureFrom) run.measuredSent++
      const bytes = Buffer.from(template.bytes)
      bytes.writeUInt32BE(slot.sequence, template.payload + 8)
      bytes.writeDoubleBE(now, template.payload + 16)
      if (qos > 0) {
        bytes.writeUInt16BE(slot.id, template.id)
        this.#free.pop()
        slot.isBusy = true
        this.socket.write(bytes)
        continue
      }
      stream.owe(slot.sequence)
      if (!this.socket.write(bytes)) {
        this.#waitsForDrain = true
        this.socket.once('drain', () => {
          this.#waitsForDrain = false
          this.pump()
        })
        break
      }
    }
    this.socket.uncork()
    if (qos === 0 && !this.#waitsForDrain && rate === 0 && this.#sent < due) setImmediate(() => this.pump())
  }

  protected override onAck(type: number, id: number, code: number): void {
    const slot = this.#slots[id - 1]
    if (!slot?.isBusy) return
    if (type === 5) this.#acknowledged(slot, code) // PUBREC
    if (type === 5 && code < 0x80) {
      this.#releases.add(0x62, id)
      return
    }
    if (type === 4) this.#acknowledged(slot, code)
    slot.isBusy = false
    this.#free.push(slot)
  }

  /** PUBACK, or PUBREC: the broker answers for the message from here on. */
  #acknowledged(slot: Slot, code: number): void {
    const run = this.#run
    if (code >= 0x80) {
      run.refused++
      return
    }
    const now = performance.now()
    slot.stream.owe(slot.sequence)
    run.acknowledged++
    run.lastAcknowledgedAt = now
    if (slot.sentAt < run.measureFrom) return
    run.measuredAcknowledged++
    run.acknowledgement.record((now - slot.sentAt) * 1_000)
  }

  protected override afterRead(): void {
    const releases = this.#releases.take()
    if (releases) this.socket.write(releases)
    this.pump()
  }

  get isDone(): boolean {
    return (this.#sent >= this.#most || this.#run.isStopping) && !this.#slots.some((slot) => slot.isBusy)
  }
}
