import * as mqtt from '../test/wire/bytes.ts'
import { AckWriter, LoadConnection } from './load-connection.ts'
import { headBytes, type Run } from './load-run.ts'
import type { Intake } from './tracker.ts'

export class LoadSubscriber extends LoadConnection {
  readonly #run: Run
  readonly #filter: string
  /** By stream. */
  readonly #intakes: ReadonlyMap<number, Intake>
  readonly #acks = new AckWriter()
  #isSubscribed = false

  constructor(run: Run, id: string, filter: string, intakes: ReadonlyMap<number, Intake>) {
    super(run.options, id, (lost) => run.losses.push(lost))
    this.#run = run
    this.#filter = filter
    this.#intakes = intakes
  }

  protected override get isPersistent(): boolean {
    return this.options.persistent
  }

  protected override onConnected(): void {
    // A session that was resumed has its subscription.
    if (this.#isSubscribed) this.isReady()
    else this.socket.write(mqtt.subscribe(this.options.version, 1, [[this.#filter, this.options.qos]]))
  }

  protected override onSubscribed(): void {
    this.#isSubscribed = true
    super.onSubscribed()
  }

  protected override onPublish(first: number, bytes: Buffer, start: number, end: number): void {
    const run = this.#run
    let at = start + 2 + bytes.readUInt16BE(start)
    const qos = (first >> 1) & 3
    if (qos > 0) {
      this.#acks.add(qos === 1 ? 0x40 : 0x50, bytes.readUInt16BE(at))
      at += 2
    }
    if (this.options.version === 5) {
      let length = 0
      for (let scale = 1; ; scale *= 128) {
        const byte = bytes.readUInt8(at++)
        length += (byte & 127) * scale
        if (byte < 128) break
      }
      at += length
    }
    if (end - at < headBytes || bytes.readUInt32BE(at) !== run.tag) return
    if (!this.#intakes.get(bytes.readUInt32BE(at + 4))?.take(bytes.readUInt32BE(at + 8))) return
    const now = performance.now()
    run.delivered++
    run.lastDeliveredAt = now
    const sentAt = bytes.readDoubleBE(at + 16)
    if (sentAt < run.measureFrom) return
    run.measuredDelivered++
    run.delivery.record((now - sentAt) * 1_000)
  }

  protected override onAck(type: number, id: number): void {
    if (type === 6) this.#acks.add(0x70, id) // PUBREL
  }

  protected override afterRead(): void {
    const acks = this.#acks.take()
    if (acks) this.socket.write(acks)
  }
}
