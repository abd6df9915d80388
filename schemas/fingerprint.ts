/** Identity of an Avro schema: its parsing canonical form and CRC-64-AVRO, as the Avro specification defines both. */

/** A schema as JSON gives it. */
export type Schema = string | readonly Schema[] | { readonly type: Schema; readonly [attribute: string]: unknown }

const primitives: readonly string[] = ['null', 'boolean', 'int', 'long', 'float', 'double', 'bytes', 'string']

/** The parsing canonical form: full names, only what bears on the bytes, fixed order, no white space. */
export function canonicalForm(schema: Schema, namespace = ''): string {
  if (typeof schema === 'string') return JSON.stringify(fullName(schema, namespace))
  if (isUnion(schema)) return `[${schema.map((branch) => canonicalForm(branch, namespace)).join(',')}]`
  const { type } = schema
  if (typeof type !== 'string') return canonicalForm(type, namespace)
  switch (type) {
    case 'array':
      return `{"type":"array","items":${canonicalForm(schema.items as Schema, namespace)}}`
    case 'map':
      return `{"type":"map","values":${canonicalForm(schema.values as Schema, namespace)}}`
    case 'fixed':
      return `{"name":${JSON.stringify(nameOf(schema, namespace))},"type":"fixed","size":${schema.size}}`
    case 'enum':
      return `{"name":${JSON.stringify(nameOf(schema, namespace))},"type":"enum","symbols":${JSON.stringify(schema.symbols)}}`
    case 'record': {
      const name = nameOf(schema, namespace)
      const inner = name.includes('.') ? name.slice(0, name.lastIndexOf('.')) : ''
      const fields = (schema.fields as readonly { readonly name: string; readonly type: Schema }[]).map(
        (field) => `{"name":${JSON.stringify(field.name)},"type":${canonicalForm(field.type, inner)}}`,
      )
      return `{"name":${JSON.stringify(name)},"type":"record","fields":[${fields.join(',')}]}`
    }
    default:
      return canonicalForm(type, namespace)
  }
}

/** Narrows to a union, which JSON writes as an array (Array.isArray does not narrow readonly ones). */
export function isUnion(schema: Schema): schema is readonly Schema[] {
  return Array.isArray(schema)
}

/** The full name of a definition. */
export function nameOf(schema: { readonly [attribute: string]: unknown }, namespace: string): string {
  return fullName(schema.name as string, (schema.namespace as string | undefined) ?? namespace)
}

/** The full name of a reference. */
export function fullName(name: string, namespace: string): string {
  return name.includes('.') || namespace === '' || primitives.includes(name) ? name : `${namespace}.${name}`
}

const empty = 0xc15d213aa4d7a795n

const table = BigUint64Array.from({ length: 256 }, (_, byte) => {
  let fingerprint = BigInt(byte)
  for (let bit = 0; bit < 8; bit++) fingerprint = (fingerprint >> 1n) ^ (empty & -(fingerprint & 1n))
  return BigInt.asUintN(64, fingerprint)
})

/** CRC-64-AVRO of bytes. */
export function crc64Avro(bytes: Uint8Array): bigint {
  let fingerprint = empty
  for (const byte of bytes) fingerprint = (fingerprint >> 8n) ^ table[Number((fingerprint ^ BigInt(byte)) & 0xffn)]!
  return fingerprint
}

/** The ten bytes before a body in single-object encoding: C3 01 and the fingerprint, little-endian. */
export function headerOf(schema: Schema): Buffer {
  const header = Buffer.alloc(10)
  header[0] = 0xc3
  header[1] = 0x01
  header.writeBigUInt64LE(crc64Avro(Buffer.from(canonicalForm(schema))), 2)
  return header
}
