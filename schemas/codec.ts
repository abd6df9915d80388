import { readdirSync, readFileSync } from 'node:fs'
import avro from 'avsc'
import { headerOf, type Schema } from './fingerprint.ts'
import { RecordError, UnknownSchema } from './record-error.ts'
import type { AnyRecord, RecordName, Records } from './records.ts'
import { type ShapeCheck, shapeCheckOf } from './shape-check.ts'

/** Bytes before the body: the marker C3 01 and the schema's fingerprint (Avro single-object encoding). */
export const headerSize = 10

interface Codec {
  readonly name: RecordName
  readonly schema: Schema
  readonly header: Buffer
  readonly type: avro.Type
  readonly checkShape: ShapeCheck
  /** From the schema the bytes were written with to the one of today, where they differ. */
  readonly resolver?: ReturnType<avro.Type['createResolver']>
}

const byName = new Map<string, Codec>()
/** By the fingerprint's low half, which a number holds; the whole is compared after. */
const byLowHalf = new Map<number, Codec>()

type SchemaFile = { readonly name: RecordName; readonly type: Schema }

function* schemasIn(folder: URL): Generator<SchemaFile> {
  for (const file of readdirSync(folder)) if (file.endsWith('.avsc')) yield JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as SchemaFile
}

// Unions unwrapped and records without methods: values are what records.ts says, no more.
const typeOf = (schema: SchemaFile): avro.Type =>
  avro.Type.forSchema(schema as avro.Schema, { wrapUnions: 'never', omitRecordMethods: true } as Parameters<typeof avro.Type.forSchema>[1])

for (const schema of schemasIn(new URL('./', import.meta.url))) {
  const codec: Codec = {
    name: schema.name,
    schema,
    header: headerOf(schema),
    type: typeOf(schema),
    checkShape: shapeCheckOf(schema),
  }
  byName.set(codec.name, codec)
  know(codec)
}

// What a log may still hold from before a schema got another field: read with the defaults of the new one, never written.
for (const schema of schemasIn(new URL('./earlier/', import.meta.url))) {
  const { type } = codecOf(schema.name)
  know({ name: schema.name, schema, header: headerOf(schema), type, checkShape: shapeCheckOf(schema), resolver: type.createResolver(typeOf(schema)) })
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

/** The ten bytes that every record of the name begins with. Not to be written to. */
export function recordHeader(name: RecordName): Buffer {
  return codecOf(name).header
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
  const codec = codecOf(name)
  let end = codec.type.encode(value, scratch, headerSize)
  if (end < 0) {
    // avsc says how many bytes were missing.
    scratch = Buffer.allocUnsafeSlow(scratch.length - end)
    end = codec.type.encode(value, scratch, headerSize)
  }
  codec.header.copy(scratch)
  const bytes = Buffer.from(scratch.subarray(0, end))
  if (scratch.length > scratchKeptMax) scratch = Buffer.allocUnsafeSlow(scratchKeptMax)
  return bytes
}

/** Any record of ours, told apart by its fingerprint. Throws UnknownSchema for another's, RecordError for damaged bytes. */
export function decodeRecord(buffer: Buffer): AnyRecord {
  checkMarker(buffer)
  const codec = byLowHalf.get(buffer.readUInt32LE(2))
  if (codec === undefined || codec.header.readUInt32LE(6) !== buffer.readUInt32LE(6)) throw new UnknownSchema(fingerprintAt(buffer))
  const end = codec.checkShape(buffer, headerSize)
  if (end !== buffer.length) throw new RecordError(`${buffer.length - end} bytes follow a ${codec.name} record`)
  try {
    // records.ts and the schemas agree: a test holds them together.
    return { name: codec.name, value: codec.type.fromBuffer(buffer.subarray(headerSize), codec.resolver) } as AnyRecord
  } catch (cause) {
    throw new RecordError(`a ${codec.name} record cannot be decoded`, { cause })
  }
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
