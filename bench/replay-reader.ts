/**
 * One replay, as fast as it comes, in a process of its own: subscribes over a raw socket, acknowledges, and prints as JSON what came until the end marker.
 *
 *   node bench/replay-reader.ts --port 1883 --filter '$replay/-PT1H..-PT1S/a/#'
 */
import { parseArgs } from 'node:util'
import * as mqtt from '../test/wire/bytes.ts'
import { AckWriter, LoadConnection } from './load-connection.ts'
import { loadDefaults } from './load-options.ts'

export interface ReplayRead {
  readonly messages: number
  /** From SUBSCRIBE to the end marker, milliseconds. */
  readonly ms: number
}

const marker = Buffer.from('$replay/end')

class ReplayReader extends LoadConnection {
  readonly #filter: string
  readonly #acks = new AckWriter()
  #began = 0
  #messages = 0

  constructor(port: number, filter: string) {
    super({ ...loadDefaults, port, version: 4 }, `bench-replay-${process.pid}`, () => {
      process.stderr.write('the connection is gone\n')
      process.exit(1)
    })
    this.#filter = filter
  }

  protected override get isPersistent(): boolean {
    return false
  }

  protected override onConnected(): void {
    this.#began = performance.now()
    this.socket.write(mqtt.subscribe(4, 1, [[this.#filter, 1]]))
  }

  protected override onPublish(first: number, bytes: Buffer, start: number): void {
    const end = start + 2 + bytes.readUInt16BE(start)
    if (first & 6) this.#acks.add(0x40, bytes.readUInt16BE(end))
    if (end - start - 2 === marker.length && bytes.subarray(start + 2, end).equals(marker)) {
      const read: ReplayRead = { messages: this.#messages, ms: performance.now() - this.#began }
      process.stdout.write(`${JSON.stringify(read)}\n`, () => process.exit(0))
    } else this.#messages++
  }

  protected override afterRead(): void {
    const acks = this.#acks.take()
    if (acks) this.socket.write(acks)
  }
}

const { values } = parseArgs({ options: { port: { type: 'string', default: '1883' }, filter: { type: 'string', default: '' } } })
await new ReplayReader(Number(values.port), values.filter).connect()
