/**
 * The host name that a TLS client asks for, read out of its first bytes before any key is chosen (RFC 8446, 4.1.2 and 5.1; RFC 6066, 3).
 * Only the shape is looked at: the TLS server that takes the same bytes afterwards judges the rest.
 */

/** Largest ClientHello, bytes: those with post-quantum key shares have about 2,000. */
export const clientHelloMax = 16_384

export type ClientHello =
  /** More bytes are needed. */
  | { readonly is: 'partial' }
  /** `host` as sent, in lower case; null when none is named. */
  | { readonly is: 'hello'; readonly host: string | null }
  | { readonly is: 'malformed' }

const partial: ClientHello = { is: 'partial' }
const malformed: ClientHello = { is: 'malformed' }
const unnamed: ClientHello = { is: 'hello', host: null }

const handshakeRecord = 22
const clientHello = 1
const serverName = 0
const hostName = 0
const recordHeader = 5
const handshakeHeader = 4
/** legacy_version and random. */
const fixedFields = 34
/** Records that one ClientHello may be split over: each chunk that comes is read from the first record on. */
const recordsMax = 16

/** Reads the bytes that a client has sent so far. */
export function readClientHello(bytes: Buffer): ClientHello {
  const message = handshakeBytes(bytes)
  if (message === null) return malformed
  if (message.length < handshakeHeader) return partial
  if (message[0] !== clientHello) return malformed
  const length = message.readUIntBE(1, 3)
  if (length > clientHelloMax) return malformed
  if (message.length < handshakeHeader + length) return partial
  return hostOf(message.subarray(handshakeHeader, handshakeHeader + length))
}

/** What the records that are there carry, as one; a message may be split over several. Null when they are none of a handshake. */
function handshakeBytes(bytes: Buffer): Buffer | null {
  const parts: Buffer[] = []
  let needed = handshakeHeader
  let size = 0
  // Whatever follows the message is not ours to read.
  for (let at = 0; at < bytes.length && size < needed; ) {
    if (bytes[at] !== handshakeRecord || (bytes[at + 1] ?? 3) !== 3 || parts.length === recordsMax) return null
    if (bytes.length < at + recordHeader) break
    const length = bytes.readUInt16BE(at + 3)
    if (length === 0 || length > clientHelloMax || (parts.length === 0 && length < handshakeHeader)) return null
    const part = bytes.subarray(at + recordHeader, at + recordHeader + length)
    if (parts.length === 0 && part.length >= handshakeHeader) needed += part.readUIntBE(1, 3)
    parts.push(part)
    size += part.length
    at += recordHeader + length
  }
  return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)
}

/** A field ends behind what it is part of. */
class Misfit extends Error {}

/** One field after the other, vectors within vectors; throws Misfit. */
class Fields {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#bytes.length
  }

  number(size: 1 | 2): number {
    this.skip(size)
    return this.#bytes.readUIntBE(this.#at - size, size)
  }

  skip(length: number): void {
    if (this.#at + length > this.#bytes.length) throw new Misfit()
    this.#at += length
  }

  vector(lengthSize: 1 | 2): Buffer {
    const length = this.number(lengthSize)
    const from = this.#at
    this.skip(length)
    return this.#bytes.subarray(from, from + length)
  }
}

function hostOf(hello: Buffer): ClientHello {
  try {
    const fields = new Fields(hello)
    fields.skip(fixedFields)
    fields.vector(1) // session id
    fields.vector(2) // cipher suites
    fields.vector(1) // compression methods
    if (fields.isAtEnd) return unnamed
    const extensions = new Fields(fields.vector(2))
    while (!extensions.isAtEnd) {
      const type = extensions.number(2)
      const extension = extensions.vector(2)
      if (type !== serverName) continue
      const names = new Fields(new Fields(extension).vector(2))
      while (!names.isAtEnd) {
        const kind = names.number(1)
        const name = names.vector(2)
        if (kind === hostName) return { is: 'hello', host: name.toString('latin1').toLowerCase() }
      }
      return unnamed
    }
    return unnamed
  } catch (error) {
    if (error instanceof Misfit) return malformed
    throw error
  }
}

/** The fatal alert that refuses a ClientHello, as a record: unrecognized_name, or missing_extension when no host was named (RFC 8446, 9.2). */
export function refusalAlert(host: string | null): Buffer {
  return Buffer.from([21, 3, 3, 0, 2, 2, host === null ? 109 : 112])
}
