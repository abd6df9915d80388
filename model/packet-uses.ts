/**
 * How often each packet id of a session's QoS 2 publishes was released: with it the n-th use of a packet id has a message
 * id of its own. Counts are kept in pages, a byte each until they need more; clients that go round all packet ids cost
 * 64 KiB, those that use the lowest free one a page.
 */
import { usesModulus } from '../schemas/message-id.ts'

const pageSize = 256
type Page = Uint8Array | Uint16Array | Uint32Array

/** Damaged bytes where uses were expected. */
export class UsesError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'UsesError'
  }
}

export class PacketUses {
  readonly #pages: (Page | undefined)[] = []

  /** 0 for one that was never released. */
  of(packetId: number): number {
    return this.#pages[packetId >>> 8]?.[packetId & 0xff] ?? 0
  }

  /** The packet id is released: its next use is another. */
  release(packetId: number): void {
    this.#set(packetId, (this.of(packetId) + 1) % usesModulus)
  }

  get isEmpty(): boolean {
    return this.#pages.length === 0
  }

  /** Runs of neighbours with the same count: (gap before, length, count), each as LEB128. */
  encode(): Buffer {
    const bytes: number[] = []
    let end = 0
    let start = 0
    let count = 0
    const close = (at: number): void => {
      if (count > 0) {
        putNumber(bytes, start - end)
        putNumber(bytes, at - start)
        putNumber(bytes, count)
        end = at
      }
    }
    const last = this.#pages.length * pageSize
    for (let packetId = 0; packetId < last; packetId++) {
      const here = this.of(packetId)
      if (here === count) continue
      close(packetId)
      start = packetId
      count = here
    }
    close(last)
    return Buffer.from(bytes)
  }

  /** Throws UsesError. */
  static decode(bytes: Buffer): PacketUses {
    const uses = new PacketUses()
    let at = 0
    let packetId = 0
    const number = (): number => {
      let value = 0
      for (let shift = 0; shift < 28; shift += 7) {
        const byte = bytes[at++]
        if (byte === undefined) break
        value |= (byte & 0x7f) << shift
        if (byte < 0x80) return value
      }
      throw new UsesError('uses of packet ids end inside a number')
    }
    while (at < bytes.length) {
      packetId += number()
      const end = packetId + number()
      const count = number()
      if (end > 0x1_0000) throw new UsesError(`there is no packet id ${end - 1}`)
      for (; packetId < end; packetId++) uses.#set(packetId, count)
    }
    return uses
  }

  #set(packetId: number, count: number): void {
    const at = packetId >>> 8
    let page = this.#pages[at]
    if (!page || count > 2 ** (8 * page.BYTES_PER_ELEMENT) - 1) {
      const wider = count > 0xffff ? new Uint32Array(pageSize) : count > 0xff ? new Uint16Array(pageSize) : new Uint8Array(pageSize)
      if (page) wider.set(page)
      page = wider
      this.#pages[at] = page
    }
    page[packetId & 0xff] = count
  }
}

function putNumber(bytes: number[], value: number): void {
  let rest = value
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80)
  bytes.push(rest)
}
