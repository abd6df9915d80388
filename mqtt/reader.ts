import { isUtf8 } from 'node:buffer'
import { MalformedPacket } from './malformed-packet.ts'

/** Reads the data types of section 1.5 from one packet's bytes; never past `end`. */
export class Reader {
  buffer: Buffer = Buffer.alloc(0)
  position = 0
  end = 0

  reset(buffer: Buffer, position: number, end: number): void {
    this.buffer = buffer
    this.position = position
    this.end = end
  }

  byte(): number {
    if (this.position >= this.end) throw truncated()
    return this.buffer[this.position++]!
  }

  uint16(): number {
    const at = this.position
    if (at + 2 > this.end) throw truncated()
    this.position = at + 2
    return (this.buffer[at]! << 8) | this.buffer[at + 1]!
  }

  uint32(): number {
    const at = this.position
    if (at + 4 > this.end) throw truncated()
    this.position = at + 4
    return this.buffer.readUInt32BE(at)
  }

  /** Variable byte integer, at most four bytes and no longer than needed [MQTT-1.5.5-1]. */
  variableByteInteger(): number {
    let value = 0
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.byte()
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) {
        if (byte === 0 && shift > 0) throw new MalformedPacket('a variable byte integer is longer than its value needs')
        return value
      }
    }
    throw new MalformedPacket('a variable byte integer is longer than four bytes')
  }

  /** Binary data: a view, not a copy. */
  binary(): Buffer {
    const length = this.uint16()
    const start = this.position
    if (start + length > this.end) throw truncated()
    this.position = start + length
    return this.buffer.subarray(start, start + length)
  }

  text(): string {
    const length = this.uint16()
    const start = this.position
    if (start + length > this.end) throw truncated()
    this.position = start + length
    return textOf(this.buffer, start, start + length)
  }

  /** Where the text that comes next ends; it is still to be read. */
  endOfText(): number {
    const start = this.position
    const length = this.uint16()
    this.position = start
    if (start + 2 + length > this.end) throw truncated()
    return start + 2 + length
  }

  /** Everything that is left, as a view. */
  rest(): Buffer {
    const start = this.position
    this.position = this.end
    return this.buffer.subarray(start, this.end)
  }

  /** Fails when bytes are left over. */
  finish(): void {
    if (this.position !== this.end) throw new MalformedPacket(`${this.end - this.position} bytes follow the end of the packet's content`)
  }
}

export function truncated(): MalformedPacket {
  return new MalformedPacket('the packet ends inside a field')
}

/** Decodes a UTF-8 encoded string: ill-formed bytes [MQTT-1.5.4-1] and U+0000 [MQTT-1.5.4-2] are malformed; a BOM is kept [MQTT-1.5.4-3]. */
function textOf(buffer: Buffer, start: number, end: number): string {
  // Most strings are short and ASCII; the loop is cheaper than a call that leaves JavaScript.
  for (let at = start; at < end; at++) {
    const byte = buffer[at]!
    if (byte === 0) throw new MalformedPacket('a string contains U+0000')
    if (byte >= 0x80) return foreignTextOf(buffer, start, end)
  }
  return buffer.toString('latin1', start, end)
}

function foreignTextOf(buffer: Buffer, start: number, end: number): string {
  const bytes = buffer.subarray(start, end)
  if (!isUtf8(bytes)) throw new MalformedPacket('a string is not UTF-8')
  if (bytes.includes(0)) throw new MalformedPacket('a string contains U+0000')
  return buffer.toString('utf8', start, end)
}
