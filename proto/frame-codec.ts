/**
 * Frames as bytes. A batch is a protobuf `Batch` (proto/delivery.proto) whose one field holds the frames; each frame is
 * u32 length (of what follows), u8 kind, body. Integers in bodies are unsigned LEB128 (positions stay below 2^53),
 * texts and bytes carry their length in front, -1 is written as 0 and n as n+1 where a field allows "none". What stands in a body
 * behind the fields that are known is not read: a frame may get another field at its end, a link ends at a kind that is not known.
 */
import type { Ack, AckOutcome, DeliveredMessage, Frame, LiveSession, Receiver, Release } from './frames.ts'

const kinds = [
  'hello',
  'own',
  'disown',
  'attachAnswer',
  'close',
  'direct',
  'owed',
  'ping',
  'welcome',
  'shardState',
  'received',
  'acks',
  'pong',
  'retained',
  'retainedTaken',
  'release',
] as const
type Kind = (typeof kinds)[number]
const codeOf = new Map<Kind, number>(kinds.map((kind, index) => [kind, index + 1]))

/** Protobuf tag of `bytes frames = 1` and a length varint padded to five bytes, so that it can be filled in last. */
const batchHeaderSize = 6

/** The peer sent bytes that are no frames of this version. Ends the link. */
export class FrameError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'FrameError'
  }
}

/** Room that a writer begins with, bytes. */
const bufferSize = 16 * 1024
/** Buffers that have become larger are not kept. */
const bufferKeptMax = 512 * 1024
/** Buffers that one writer keeps for its next batches. */
const buffersKeptMax = 4

/** Collects frames into one batch. */
export class FrameWriter {
  #buffer: Buffer = Buffer.allocUnsafeSlow(bufferSize)
  readonly #free: Buffer[] = []
  #length = batchHeaderSize
  #frames = 0

  /** Bytes collected, header included. */
  get size(): number {
    return this.#length
  }

  get isEmpty(): boolean {
    return this.#frames === 0
  }

  /** The batch as a protobuf message; the writer starts over with another buffer. `giveBack` it once nobody reads it any more. */
  take(): Buffer {
    const batch = this.#buffer.subarray(0, this.#length)
    batch[0] = 0x0a
    let length = this.#length - batchHeaderSize
    for (let i = 1; i < batchHeaderSize - 1; i++) {
      batch[i] = (length & 0x7f) | 0x80
      length >>>= 7
    }
    batch[batchHeaderSize - 1] = length
    this.#buffer = this.#free.pop() ?? Buffer.allocUnsafeSlow(bufferSize)
    this.#length = batchHeaderSize
    this.#frames = 0
    return batch
  }

  /** Its memory serves another batch: new memory for each would make the garbage collector mark the whole heap several times a second. */
  giveBack(batch: Buffer): void {
    const { buffer } = batch
    if (buffer.byteLength <= bufferKeptMax && this.#free.length < buffersKeptMax) this.#free.push(Buffer.from(buffer))
  }

  write(frame: Frame): void {
    const start = this.#length
    this.#reserve(5)
    this.#length += 4
    this.#buffer[this.#length++] = codeOf.get(frame.kind) as number
    this.#body(frame)
    this.#buffer.writeUInt32BE(this.#length - start - 4, start)
    this.#frames++
  }

  #body(frame: Frame): void {
    switch (frame.kind) {
      case 'hello':
        this.#text(frame.router)
        this.#number(frame.incarnation)
        return
      case 'own':
      case 'disown':
        this.#number(frame.shard)
        this.#number(frame.term)
        return
      case 'attachAnswer':
        this.#number(frame.shard)
        this.#number(frame.term)
        this.#number(frame.connection)
        this.#bytes(frame.connectionId)
        this.#number(frame.reasonCode)
        this.#number(frame.session)
        this.#number(frame.epoch)
        this.#number(frame.sessionPresent ? 1 : 0)
        this.#bytes(frame.uses)
        this.#filters(frame.filters)
        return
      case 'close':
        this.#number(frame.shard)
        this.#number(frame.term)
        this.#number(frame.connection)
        this.#number(frame.reasonCode)
        this.#text(frame.reason)
        return
      case 'direct':
        this.#number(frame.shard)
        this.#number(frame.term)
        this.#number(frame.from)
        this.#number(frame.to)
        this.#messages(frame.messages)
        return
      case 'owed':
        this.#number(frame.shard)
        this.#number(frame.term)
        this.#messages(frame.messages)
        return
      case 'retained':
        this.#number(frame.shard)
        this.#number(frame.term)
        this.#number(frame.sequence)
        this.#number(frame.connection)
        this.#number(frame.request)
        this.#number(frame.last ? 1 : 0)
        this.#messages(frame.messages)
        return
      case 'retainedTaken':
        this.#number(frame.shard)
        this.#number(frame.term)
        this.#number(frame.sequence)
        return
      case 'release':
        this.#number(frame.shard)
        this.#number(frame.term)
        this.#number(frame.releases.length)
        for (const { connection, number } of frame.releases) {
          this.#number(connection)
          this.#number(number)
        }
        return
      case 'ping':
        this.#number(frame.nonce)
        if (frame.reconciled) this.#numbers(frame.reconciled)
        return
      case 'pong':
        this.#number(frame.nonce)
        return
      case 'welcome':
        this.#text(frame.gateway)
        this.#number(frame.incarnation)
        return
      case 'shardState':
        this.#number(frame.shard)
        this.#number(frame.term)
        this.#number(frame.receivedTo + 1)
        this.#number(frame.sessions.length)
        for (const session of frame.sessions) {
          this.#number(session.connection)
          this.#number(session.session)
          this.#number(session.sent + 1)
          this.#numbers(session.unacknowledged)
          this.#numbers(session.received)
        }
        return
      case 'received':
        this.#number(frame.shard)
        this.#number(frame.term)
        this.#number(frame.to)
        return
      case 'acks':
        this.#number(frame.shard)
        this.#number(frame.acks.length)
        for (const ack of frame.acks) {
          this.#number(ack.connection)
          this.#number(ack.number)
          this.#number(ack.outcome)
        }
        return
    }
  }

  #messages(messages: readonly DeliveredMessage[]): void {
    this.#number(messages.length)
    for (const message of messages) {
      this.#number(message.source)
      this.#number(message.offset)
      this.#bytes(message.value)
      this.#number(message.receivers.length)
      for (const receiver of message.receivers) this.#receiver(receiver)
    }
  }

  #receiver(receiver: Receiver): void {
    const identifiers = receiver.subscriptionIdentifiers
    const flags = receiver.qos | (receiver.dup ? 4 : 0) | (receiver.retain ? 8 : 0) | (identifiers.length > 0 ? 16 : 0) | (receiver.number >= 0 ? 32 : 0)
    this.#number(receiver.connection)
    this.#number(flags)
    if (receiver.number >= 0) this.#number(receiver.number)
    if (identifiers.length > 0) this.#numbers(identifiers)
  }

  /** 1 and the filters; or 0, no filters and how many there are. */
  #filters(filters: readonly string[] | number): void {
    const named = typeof filters === 'number' ? [] : filters
    this.#number(typeof filters === 'number' ? 0 : 1)
    this.#number(named.length)
    for (const filter of named) this.#text(filter)
    if (typeof filters === 'number') this.#number(filters)
  }

  #numbers(values: readonly number[]): void {
    this.#number(values.length)
    for (const value of values) this.#number(value)
  }

  #number(value: number): void {
    this.#reserve(8)
    const buffer = this.#buffer
    let rest = value
    while (rest >= 0x80) {
      buffer[this.#length++] = (rest % 0x80) | 0x80
      rest = rest < 0x8000_0000 ? rest >>> 7 : Math.floor(rest / 0x80)
    }
    buffer[this.#length++] = rest
  }

  #text(value: string): void {
    this.#bytes(Buffer.from(value))
  }

  #bytes(value: Buffer): void {
    this.#number(value.length)
    this.#reserve(value.length)
    value.copy(this.#buffer, this.#length)
    this.#length += value.length
  }

  #reserve(size: number): void {
    if (this.#length + size <= this.#buffer.length) return
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#buffer.length * 2, this.#length + size))
    this.#buffer.copy(larger, 0, 0, this.#length)
    this.#buffer = larger
  }
}

class FrameReader {
  readonly #buffer: Buffer
  #position: number
  #end: number

  constructor(buffer: Buffer, position: number, end: number) {
    this.#buffer = buffer
    this.#position = position
    this.#end = end
  }

  /** As where a frame comes from a peer of before its last field. */
  get isAtEnd(): boolean {
    return this.#position >= this.#end
  }

  number(): number {
    let value = 0
    let scale = 1
    for (let i = 0; i < 8; i++) {
      if (this.#position >= this.#end) throw new FrameError('a frame ends inside a number')
      const byte = this.#buffer[this.#position++] as number
      value += (byte & 0x7f) * scale
      if (byte < 0x80) return value
      scale *= 0x80
    }
    throw new FrameError('a number is longer than 8 bytes')
  }

  /** A view into the batch. */
  bytes(): Buffer {
    const length = this.number()
    if (this.#position + length > this.#end) throw new FrameError('a frame ends inside a byte string')
    const bytes = this.#buffer.subarray(this.#position, this.#position + length)
    this.#position += length
    return bytes
  }

  text(): string {
    return this.bytes().toString()
  }

  numbers(): number[] {
    return this.list(readNumber)
  }

  list<T>(item: (reader: FrameReader) => T): T[] {
    const length = this.number()
    if (length > this.#end - this.#position) throw new FrameError(`a list claims ${length} items, more than its frame has bytes`)
    // Receivers of most messages: an array that begins empty gets room for seventeen.
    if (length === 1) return [item(this)]
    const items: T[] = []
    for (let i = 0; i < length; i++) items.push(item(this))
    return items
  }
}

const readNumber = (reader: FrameReader): number => reader.number()
const readText = (reader: FrameReader): string => reader.text()

const noIdentifiers: readonly number[] = []

function readReceiver(reader: FrameReader): Receiver {
  const connection = reader.number()
  const flags = reader.number()
  return {
    connection,
    qos: (flags & 3) as 0 | 1 | 2,
    dup: (flags & 4) !== 0,
    retain: (flags & 8) !== 0,
    number: flags & 32 ? reader.number() : -1,
    subscriptionIdentifiers: flags & 16 ? reader.numbers() : noIdentifiers,
  }
}

function readFilters(reader: FrameReader): string[] | number {
  const areNamed = reader.number() === 1
  const filters = reader.list(readText)
  return areNamed ? filters : reader.number()
}

const readMessage = (reader: FrameReader): DeliveredMessage => ({
  source: reader.number(),
  offset: reader.number(),
  value: reader.bytes(),
  receivers: reader.list(readReceiver),
})

const readLiveSession = (reader: FrameReader): LiveSession => ({
  connection: reader.number(),
  session: reader.number(),
  sent: reader.number() - 1,
  unacknowledged: reader.numbers(),
  received: reader.numbers(),
})

const readRelease = (reader: FrameReader): Release => ({ connection: reader.number(), number: reader.number() })

const readAck = (reader: FrameReader): Ack => ({ connection: reader.number(), number: reader.number(), outcome: reader.number() as AckOutcome })

function readBody(kind: Kind, reader: FrameReader): Frame {
  switch (kind) {
    case 'hello':
      return { kind, router: reader.text(), incarnation: reader.number() }
    case 'own':
    case 'disown':
      return { kind, shard: reader.number(), term: reader.number() }
    case 'attachAnswer':
      return {
        kind,
        shard: reader.number(),
        term: reader.number(),
        connection: reader.number(),
        connectionId: reader.bytes(),
        reasonCode: reader.number(),
        session: reader.number(),
        epoch: reader.number(),
        sessionPresent: reader.number() === 1,
        uses: reader.bytes(),
        filters: readFilters(reader),
      }
    case 'close':
      return { kind, shard: reader.number(), term: reader.number(), connection: reader.number(), reasonCode: reader.number(), reason: reader.text() }
    case 'direct':
      return {
        kind,
        shard: reader.number(),
        term: reader.number(),
        from: reader.number(),
        to: reader.number(),
        messages: reader.list(readMessage),
      }
    case 'owed':
      return { kind, shard: reader.number(), term: reader.number(), messages: reader.list(readMessage) }
    case 'retained':
      return {
        kind,
        shard: reader.number(),
        term: reader.number(),
        sequence: reader.number(),
        connection: reader.number(),
        request: reader.number(),
        last: reader.number() === 1,
        messages: reader.list(readMessage),
      }
    case 'retainedTaken':
      return { kind, shard: reader.number(), term: reader.number(), sequence: reader.number() }
    case 'release':
      return { kind, shard: reader.number(), term: reader.number(), releases: reader.list(readRelease) }
    case 'ping': {
      const nonce = reader.number()
      return reader.isAtEnd ? { kind, nonce } : { kind, nonce, reconciled: reader.numbers() }
    }
    case 'pong':
      return { kind, nonce: reader.number() }
    case 'welcome':
      return { kind, gateway: reader.text(), incarnation: reader.number() }
    case 'shardState':
      return {
        kind,
        shard: reader.number(),
        term: reader.number(),
        receivedTo: reader.number() - 1,
        sessions: reader.list(readLiveSession),
      }
    case 'received':
      return { kind, shard: reader.number(), term: reader.number(), to: reader.number() }
    case 'acks':
      return { kind, shard: reader.number(), acks: reader.list(readAck) }
  }
}

/** The frames of one batch, in order. Byte strings are views into it. Throws FrameError. */
export function* readFrames(batch: Buffer): Generator<Frame> {
  if (batch.length === 0) return
  if (batch[0] !== 0x0a) throw new FrameError('not a Batch')
  let position = 1
  while ((batch[position] as number) >= 0x80) position++
  position++
  while (position < batch.length) {
    if (position + 5 > batch.length) throw new FrameError('a batch ends inside a frame header')
    const end = position + 4 + batch.readUInt32BE(position)
    if (end > batch.length) throw new FrameError('a frame is longer than its batch')
    const kind = kinds[(batch[position + 4] as number) - 1]
    if (kind === undefined) throw new FrameError(`unknown frame kind ${batch[position + 4]}`)
    yield readBody(kind, new FrameReader(batch, position + 5, end))
    position = end
  }
}
