import { readdirSync, readFileSync } from 'node:fs'
import { expect, test } from '@jest/globals'
import avro from 'avsc'
import { decodeRecord, encodeRecord, fingerprintOf, recordHeader, recordNames, schemaOf } from '../../../schemas/codec.ts'
import { canonicalForm, crc64Avro, headerOf, isUnion, type Schema } from '../../../schemas/fingerprint.ts'
import { RecordError, UnknownSchema } from '../../../schemas/record-error.ts'
import type { AnyRecord, RecordName, Records } from '../../../schemas/records.ts'
import { importedPaths } from '../../../stack/imports.ts'
import fc from '../../support/fast-check.ts'

const folder = new URL('../../../schemas/', import.meta.url)

type Definition = { readonly name: string; readonly type: Schema; readonly fields: readonly { readonly name: string; readonly type: Schema }[] }
const attribute = (schema: Schema, name: string) => (schema as { readonly [name: string]: unknown })[name]

/** Any value that a schema allows, with its unions unwrapped. */
function valuesOf(schema: Schema, named = new Map<string, Schema>()): fc.Arbitrary<unknown> {
  if (isUnion(schema)) return fc.oneof(...schema.map((branch) => valuesOf(branch, named)))
  if (typeof schema !== 'string') {
    const { type } = schema
    if (typeof type !== 'string') return valuesOf(type, named)
    switch (type) {
      case 'array':
        return fc.array(valuesOf(attribute(schema, 'items') as Schema, named), { maxLength: 4 })
      case 'map':
        // avsc makes the prototype of the map of a key “__proto__”.
        return fc.dictionary(
          fc.string({ minLength: 1 }).filter((key) => key !== '__proto__'),
          valuesOf(attribute(schema, 'values') as Schema, named),
          { maxKeys: 4, noNullPrototype: true },
        )
      case 'fixed': {
        const size = attribute(schema, 'size') as number
        return fc.uint8Array({ minLength: size, maxLength: size }).map((bytes) => Buffer.from(bytes))
      }
      case 'record':
        named.set(attribute(schema, 'name') as string, schema)
        return fc.record(Object.fromEntries((attribute(schema, 'fields') as Definition['fields']).map((field) => [field.name, valuesOf(field.type, named)])))
      default:
        return valuesOf(type, named)
    }
  }
  switch (schema) {
    case 'null':
      return fc.constant(null)
    case 'boolean':
      return fc.boolean()
    case 'int':
      return fc.integer()
    case 'long':
      return fc.integer({ min: -(2 ** 52), max: 2 ** 52 })
    case 'double':
      return fc.double({ noNaN: true })
    case 'bytes':
      return fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes))
    case 'string':
      return fc.string({ unit: 'binary' })
    default: {
      const reference = named.get(schema.slice(schema.lastIndexOf('.') + 1))
      if (reference === undefined) throw new Error(`no values for ${schema}`)
      return valuesOf(reference, named)
    }
  }
}

const anyRecord: fc.Arbitrary<AnyRecord> = fc.oneof(...recordNames.map((name) => valuesOf(schemaOf(name)).map((value) => ({ name, value }) as AnyRecord)))
const encode = ({ name, value }: AnyRecord) => encodeRecord(name, value as Records[RecordName])

test('every record comes back as it was written, told apart by its fingerprint', () => {
  fc.assert(
    fc.property(anyRecord, (record) => expect(decodeRecord(encode(record))).toEqual(record)),
    { numRuns: 1000 },
  )
})

test('there is one codec for each schema file', () => {
  const files = readdirSync(folder).filter((file) => file.endsWith('.avsc'))
  expect([...recordNames]).toHaveLength(files.length)
  expect(new Set(recordNames.map((name) => fingerprintOf(recordHeader(name)))).size).toBe(files.length)
})

test('a record begins with C3 01 and the fingerprint, little-endian, and its body is what avsc reads', () => {
  const bytes = encodeRecord('TermAnnounced', { shard: 3, term: 300 })
  expect(bytes.subarray(0, 2)).toEqual(Buffer.from([0xc3, 0x01]))
  expect(bytes.readBigUInt64LE(2)).toBe(crc64Avro(Buffer.from(canonicalForm(schemaOf('TermAnnounced')))))
  expect(avro.Type.forSchema(schemaOf('TermAnnounced') as avro.Schema).fromBuffer(bytes.subarray(10))).toEqual({ shard: 3, term: 300 })
})

test.each([
  // From the Avro project's own schema-tests.txt.
  ['null', 7195948357588979594n],
  ['boolean', -6970731678124411036n],
  ['int', 8247732601305521295n],
  ['long', -3434872931120570953n],
  ['float', 5583340709985441680n],
  ['double', -8181574048448539266n],
  ['bytes', 5746618253357095269n],
  ['string', -8142146995180207161n],
])('the fingerprint of %s is the one Avro publishes', (schema, fingerprint) => {
  expect(BigInt.asIntN(64, crc64Avro(Buffer.from(canonicalForm(schema))))).toBe(fingerprint)
})

test('the canonical form keeps names, types and their order, and nothing else', () => {
  const schema = {
    type: 'record',
    namespace: 'a',
    doc: 'd',
    name: 'R',
    fields: [{ doc: 'x', default: null, type: ['null', { type: 'long', logicalType: 'timestamp-millis' }], name: 'f' }],
  } as unknown as Schema
  expect(canonicalForm(schema)).toBe('{"name":"a.R","type":"record","fields":[{"name":"f","type":["null","long"]}]}')
})

test('the canonical form of every schema is the one avsc gives', () => {
  for (const name of recordNames) {
    const expected = JSON.stringify(avro.Type.forSchema(schemaOf(name) as avro.Schema).schema())
    expect(JSON.parse(canonicalForm(schemaOf(name)))).toEqual(JSON.parse(expected))
  }
})

test('an unknown fingerprint is named', () => {
  const bytes = encodeRecord('TermAnnounced', { shard: 3, term: 300 })
  bytes.writeBigUInt64LE(0x0123456789abcdefn, 2)
  expect(() => decodeRecord(bytes)).toThrow(UnknownSchema)
  expect(() => decodeRecord(bytes)).toThrow('0123456789abcdef')
})

test('bytes that are not in single-object encoding are refused', () => {
  for (const bytes of [Buffer.alloc(0), Buffer.from([0xc3]), Buffer.from('{"json":true}'), Buffer.alloc(20)])
    expect(() => decodeRecord(bytes)).toThrow(RecordError)
})

test('every proper prefix of a record and every trailing byte is refused', () => {
  fc.assert(
    fc.property(anyRecord, fc.nat(), (record, cut) => {
      const bytes = encode(record)
      expect(() => decodeRecord(bytes.subarray(0, cut % bytes.length))).toThrow(RecordError)
      expect(() => decodeRecord(Buffer.concat([bytes, Buffer.from([cut])]))).toThrow(RecordError)
    }),
  )
})

test('damaged bytes give a record or a RecordError, soon', () => {
  fc.assert(
    fc.property(anyRecord, fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { minLength: 1, maxLength: 4 }), (record, changes) => {
      const bytes = encode(record)
      for (const [at, byte] of changes) if (bytes.length > 10) bytes[10 + (at % (bytes.length - 10))] = byte
      try {
        decodeRecord(bytes)
      } catch (error) {
        expect(error).toBeInstanceOf(RecordError)
      }
    }),
    { numRuns: 3000 },
  )
})

test('an array that claims 2^40 items is refused at once', () => {
  const body = [0x02, 0x02, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01] // shard, term, count of sessions
  const bytes = Buffer.concat([recordHeader('Acknowledged'), Buffer.from(body)])
  expect(() => decodeRecord(bytes)).toThrow(RecordError)
})

test('a value that its schema does not allow is not written', () => {
  expect(() => encodeRecord('TermAnnounced', { shard: 1.5, term: 1 })).toThrow()
  expect(() => encodeRecord('TermAnnounced', { shard: 1, term: 2 ** 53 })).toThrow()
})

test('a record larger than the scratch buffer is written whole, and the next one too', () => {
  const sessions = [Buffer.alloc(2_000_000, 1), Buffer.alloc(3, 2)]
  const chunk = { shard: 1, term: 2, generation: 3, chunk: 4, sessions }
  const decoded = decodeRecord(encodeRecord('SnapshotChunk', chunk))
  expect(decoded.name === 'SnapshotChunk' && decoded.value.sessions.every((bytes, index) => bytes.equals(sessions[index]!))).toBe(true)
  expect(decodeRecord(encodeRecord('TermAnnounced', { shard: 3, term: 1 }))).toEqual({ name: 'TermAnnounced', value: { shard: 3, term: 1 } })
})

test('there is one interface for every schema, with its fields in order and their types', () => {
  const sources = ['records.ts', ...importedPaths(readFileSync(new URL('records.ts', folder), 'utf8'))]
  const interfaces = interfacesOf(sources.map((source) => readFileSync(new URL(source, folder), 'utf8')).join('\n'))
  const defined = new Set<string>()
  const compare = (schema: Schema): void => {
    if (typeof schema === 'string') return
    if (isUnion(schema)) {
      for (const branch of schema) compare(branch)
      return
    }
    for (const inner of ['items', 'values', 'type']) {
      const value = attribute(schema, inner)
      if (typeof value === 'object' && value !== null) compare(value as Schema)
    }
    if (schema.type !== 'record') return
    const { name, fields } = schema as unknown as Definition
    defined.add(name)
    expect([name, interfaces.get(name)]).toEqual([name, fields.map((field) => [field.name, typeScriptOf(field.type)])])
    for (const field of fields) compare(field.type)
  }
  for (const name of recordNames) compare(schemaOf(name))
  expect(interfaces.get('Records')).toEqual(recordNames.map((name) => [name, name]))
  expect([...interfaces.keys()].filter((name) => name !== 'Records').sort()).toEqual([...defined].sort())
})

function interfacesOf(source: string): Map<string, readonly (readonly string[])[]> {
  const found = new Map<string, readonly (readonly string[])[]>()
  for (const [, name, body] of source.matchAll(/^export interface (\w+) \{\n([\s\S]*?)^\}/gm)) {
    found.set(
      name!,
      [...body!.matchAll(/^ {2}(?:readonly )?(\w+): (.+)$/gm)].map(([, field, type]) => [field!, type!]),
    )
  }
  return found
}

function typeScriptOf(schema: Schema): string {
  if (isUnion(schema)) {
    const types = schema.map(typeScriptOf)
    // null comes last in TypeScript.
    return [...types.filter((type) => type !== 'null'), ...types.filter((type) => type === 'null')].join(' | ')
  }
  if (typeof schema !== 'string') {
    switch (schema.type) {
      case 'array':
        return `readonly ${typeScriptOf(attribute(schema, 'items') as Schema)}[]`
      case 'map':
        return `Readonly<Record<string, ${typeScriptOf(attribute(schema, 'values') as Schema)}>>`
      case 'fixed':
        return 'Buffer'
      case 'record':
        return attribute(schema, 'name') as string
      default:
        return typeScriptOf(schema.type)
    }
  }
  const types: Readonly<Record<string, string>> = { int: 'number', long: 'number', double: 'number', bytes: 'Buffer' }
  return types[schema] ?? schema.replace(/^.*\./, '')
}

test.each(readdirSync(new URL('earlier/', folder)))('a record written with the schema earlier/%s is read with the defaults of today’s', (file) => {
  const earlier = JSON.parse(readFileSync(new URL(`earlier/${file}`, folder), 'utf8')) as Definition
  const header = headerOf(earlier as unknown as Schema)
  const type = avro.Type.forSchema(earlier as unknown as avro.Schema, { wrapUnions: 'never' } as Parameters<typeof avro.Type.forSchema>[1])
  const { fields } = schemaOf(earlier.name as RecordName) as unknown as Definition
  fc.assert(
    fc.property(valuesOf(earlier as unknown as Schema), (value) => {
      const read = decodeRecord(Buffer.concat([header, type.toBuffer(value)]))
      expect([read.name, Object.keys(read.value)]).toEqual([earlier.name, fields.map(({ name }) => name)])
      expect(read.value).toMatchObject(value as object)
    }),
  )
})
