import { readdirSync, readFileSync } from 'node:fs'
import avro from 'avsc'
import { headerOf, type Schema } from './fingerprint.ts'
import { RecordError, UnknownSchema, UnknownSchemaId } from './record-error.ts'
import type { AnyRecord, RecordName, Records } from './records.ts'
import { type ShapeCheck, shapeCheckOf } from './shape-check.ts'

/** Bytes before the body in Avro's single-object encoding: the marker C3 01 and the schema's fingerprint. */
const headerSize = 10
/** Bytes before the body in the wire format of schema registries: 0 and the id of the schema, big-endian. */
const idHeaderSize = 5

/** What the records of a name begin with. */
export interface Framing {
  readonly name: RecordName
  /** In single-object encoding. Not to be written to. */
  readonly header: Buffer
  /** What this process writes. Not to be written to. */
  written: Buffer
  /** Under which ids schema registries know the schema. */
  readonly ids: Set<number>
}

interface Codec {
  readonly name: RecordName
  readonly schema: Schema
  readonly header: Buffer
  readonly framing: Framing
  readonly type: avro.Type
  readonly checkShape: ShapeCheck
  /** From the schema the bytes were written with to the one of today, where they differ. */
  readonly resolver?: ReturnType<avro.Type['createResolver']>
}

const byName = new Map<string, Codec>()
/** By the fingerprint's low half, which a number holds; the whole is compared after. */
const byLowHalf = new Map<number, Codec>()
/** By the id that the schema registry knows the schema by. */
const byId = new Map<number, Codec>()
/** Ids that are remembered: of a registry, a hundred versions of each of the schemas that go there. */
export const schemaIdsMax = 1_000

type SchemaFile = { readonly name: RecordName; readonly type: Schema }

function* schemasIn(folder: URL): Generator<SchemaFile> {
  for (const file of readdirSync(folder)) if (file.endsWith('.avsc')) yield JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as SchemaFile
}

// Unions unwrapped and records without methods: values are what the interfaces of records.ts say, no more.
const typeOf = (schema: SchemaFile): avro.Type =>
  avro.Type.forSchema(schema as avro.Schema, { wrapUnions: 'never', omitRecordMethods: true } as Parameters<typeof avro.Type.forSchema>[1])

function codecFor(schema: SchemaFile): Codec {
  const header = headerOf(schema)
  const framing = { name: schema.name, header, written: header, ids: new Set<number>() }
  return { name: schema.name, schema, header, framing, type: typeOf(schema), checkShape: shapeCheckOf(schema) }
}

for (const schema of schemasIn(new URL('./', import.meta.url))) {
  const codec = codecFor(schema)
  byName.set(codec.name, codec)
  know(codec)
}

// What a log may still hold from before a schema got another field: read with the defaults of the new one, never written.
for (const schema of schemasIn(new URL('./earlier/', import.meta.url))) {
  const { type } = codecOf(schema.name)
  const earlier = codecFor(schema)
  know({ ...earlier, type, resolver: type.createResolver(earlier.type) })
}

function know(codec: Codec): void {
  if (byLowHalf.has(codec.header.readUInt32LE(2))) throw new TypeError(`the fingerprint of ${codec.name} is not told apart by its low half`)
  byLowHalf.set(codec.header.readUInt32LE(2), codec)
}

/** The schema of a record as its .avsc file has it. */
export function schemaOf(name: RecordName): Schema {
  return codecOf(name).schema
}

/** The names of all records, in the order of their files. */
export const recordNames: readonly RecordName[] = [...byName.values()].map((codec) => codec.name)

/** The ten bytes that every record of the name begins with in single-object encoding. Not to be written to. */
export function recordHeader(name: RecordName): Buffer {
  return codecOf(name).header
}

/** How records of the name are framed, kept current. */
export function framingOf(name: RecordName): Framing {
  return codecOf(name).framing
}

/**
 * Takes note of the id under which a schema registry has a schema, so that records with it can be read. Returns which of ours it is; undefined when it
 * is none, today's or a former one. Throws RangeError for what is no id (1 to 2^31 - 1), for one that stands for another of ours already, and for too many.
 */
export function learnSchemaId(id: number, schema: Schema): { readonly name: RecordName; readonly isCurrent: boolean } | undefined {
  if (!isId(id)) throw new RangeError(`${id} is not the id of a schema`)
  const codec = codecWith(headerOf(schema))
  if (codec === undefined) return undefined
  const known = byId.get(id)
  if (known !== undefined && known !== codec) throw new RangeError(`the id ${id} stands for ${known.name} and for ${codec.name}`)
  if (known === undefined && byId.size >= schemaIdsMax) throw new RangeError(`more than ${schemaIdsMax} ids of schemas`)
  byId.set(id, codec)
  codec.framing.ids.add(id)
  return { name: codec.name, isCurrent: byName.get(codec.name) === codec }
}

/** From now on records of the name are written in the wire format of schema registries, under the id. */
export function writeUnderId(name: RecordName, id: number): void {
  const { framing } = codecOf(name)
  if (!framing.ids.has(id)) throw new RangeError(`the id ${id} does not stand for ${name}`)
  const written = Buffer.alloc(idHeaderSize)
  written.writeUInt32BE(id, 1)
  framing.written = written
}

/**
 * The record in single-object encoding, itself when it is: for what is kept inside other records, which must be readable without any registry. Throws like decodePublished.
 */
export function inSingleObject(buffer: Buffer): Buffer {
  if (buffer[0] !== 0) return buffer
  return Buffer.concat([codecAt(buffer).header, buffer.subarray(idHeaderSize)])
}

function codecOf(name: RecordName): Codec {
  const codec = byName.get(name)
  if (codec === undefined) throw new TypeError(`there is no record ${name}`)
  return codec
}

let scratch = Buffer.allocUnsafeSlow(16_384)
const scratchKeptMax = 1 << 20

/** A record's bytes, in a buffer of its own. A value that its schema does not allow is a programmer's error and throws; longs reach from -2^52 to 2^52. */
export function encodeRecord<N extends RecordName>(name: N, value: Records[N]): Buffer {
  const { type, framing } = codecOf(name)
  const { written } = framing
  let end = type.encode(value, scratch, written.length)
  if (end < 0) {
    // avsc says how many bytes were missing.
    scratch = Buffer.allocUnsafeSlow(scratch.length - end)
    end = type.encode(value, scratch, written.length)
  }
  written.copy(scratch)
  const bytes = Buffer.from(scratch.subarray(0, end))
  if (scratch.length > scratchKeptMax) scratch = Buffer.allocUnsafeSlow(scratchKeptMax)
  return bytes
}

/**
 * Any record of ours, told apart by its fingerprint or by the id that a schema registry knows its schema by. Throws UnknownSchema for another's, RecordError
 * for damaged bytes. No journal holds ids: one that nobody has told this process is damage there.
 */
export function decodeRecord(buffer: Buffer): AnyRecord {
  try {
    return decodePublished(buffer)
  } catch (error) {
    throw error instanceof UnknownSchemaId ? new RecordError(error.message, { cause: error }) : error
  }
}

/** The same for whoever goes on behind damaged bytes: undefined for them. */
export function readableRecord(buffer: Buffer): AnyRecord | undefined {
  try {
    return decodeRecord(buffer)
  } catch (error) {
    if (error instanceof RecordError) return undefined
    throw error
  }
}

/** The same as `decodeRecord` for topics whose records may have ids. Throws UnknownSchemaId for one that nobody has told this process: passed over, the record would be lost. */
export function decodePublished(buffer: Buffer): AnyRecord {
  const codec = codecAt(buffer)
  const start = bodyStart(buffer)
  const end = codec.checkShape(buffer, start)
  if (end !== buffer.length) throw new RecordError(`${buffer.length - end} bytes follow a ${codec.name} record`)
  try {
    // The interfaces and the schemas agree: a test holds them together.
    return { name: codec.name, value: codec.type.fromBuffer(buffer.subarray(start), codec.resolver) } as AnyRecord
  } catch (cause) {
    throw new RecordError(`a ${codec.name} record cannot be decoded`, { cause })
  }
}

/** Bytes before the body of a record whose first bytes have been looked at. */
function bodyStart(buffer: Buffer): number {
  return buffer[0] === 0 ? idHeaderSize : headerSize
}

function codecAt(buffer: Buffer): Codec {
  if (buffer[0] === 0) return codecOfId(buffer)
  checkMarker(buffer)
  const codec = codecWith(buffer)
  if (codec === undefined) throw new UnknownSchema(fingerprintAt(buffer))
  return codec
}

/** By a header in single-object encoding. */
function codecWith(buffer: Buffer): Codec | undefined {
  const codec = byLowHalf.get(buffer.readUInt32LE(2))
  return codec?.header.readUInt32LE(6) === buffer.readUInt32LE(6) ? codec : undefined
}

function codecOfId(buffer: Buffer): Codec {
  if (buffer.length < idHeaderSize) throw new RecordError('the value ends inside the id of its schema')
  const id = buffer.readUInt32BE(1)
  const codec = byId.get(id)
  if (codec !== undefined) return codec
  if (!isId(id)) throw new RecordError(`the value begins like one with the id of its schema, and ${id} is none`)
  throw new UnknownSchemaId(id)
}

function isId(id: number): boolean {
  return Number.isInteger(id) && id >= 1 && id <= 0x7fff_ffff
}

/** Where the body of a record of the name as it is today begins, whichever way it is framed. Throws UnknownSchemaId, RecordError for anything else. */
export function startOfBody(buffer: Buffer, { name, header }: Framing): number {
  if (buffer[0] === 0) {
    if (codecOfId(buffer) === byName.get(name)) return idHeaderSize
  } else if (buffer.length >= headerSize && header.compare(buffer, 0, headerSize) === 0) return headerSize
  throw new RecordError(`the value does not begin like a ${name} but with ${buffer.toString('hex', 0, headerSize)}`)
}

/** The fingerprint of a record as 16 hex digits. Throws RecordError when the bytes are not in single-object encoding. */
export function fingerprintOf(buffer: Buffer): string {
  checkMarker(buffer)
  return fingerprintAt(buffer)
}

function checkMarker(buffer: Buffer): void {
  if (buffer.length < headerSize || buffer[0] !== 0xc3 || buffer[1] !== 0x01)
    throw new RecordError('the value does not begin like a record (C3 01 and a fingerprint)')
}

function fingerprintAt(buffer: Buffer): string {
  return buffer.readBigUInt64LE(2).toString(16).padStart(16, '0')
}
