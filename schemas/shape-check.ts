import { fullName, isUnion, nameOf, type Schema } from './fingerprint.ts'
import { RecordError } from './record-error.ts'

/**
 * Walks a record's bytes by its schema before avsc decodes them: avsc believes any length and any count of items, so that a
 * damaged record could make it loop or allocate without end.
 */
export type ShapeCheck = (buffer: Buffer, position: number) => number

const integerBytesMax = 10

/** A check for one schema: returns the position after the value, or throws RecordError. */
export function shapeCheckOf(schema: Schema): ShapeCheck {
  return compile(schema, '', new Map())
}

function compile(schema: Schema, namespace: string, named: Map<string, ShapeCheck>): ShapeCheck {
  if (typeof schema === 'string') return primitive(schema) ?? reference(fullName(schema, namespace), named)
  if (isUnion(schema)) return union(schema.map((branch) => compile(branch, namespace, named)))
  const { type } = schema
  if (typeof type !== 'string') return compile(type, namespace, named)
  switch (type) {
    case 'array':
      return blocks(compile(schema.items as Schema, namespace, named))
    case 'map': {
      const value = compile(schema.values as Schema, namespace, named)
      return blocks((buffer, position) => value(buffer, skipBytes(buffer, position)))
    }
    case 'fixed': {
      const size = schema.size as number
      return define(nameOf(schema, namespace), named, (buffer, position) => advance(buffer, position, size))
    }
    case 'record': {
      const name = nameOf(schema, namespace)
      const inner = name.includes('.') ? name.slice(0, name.lastIndexOf('.')) : ''
      const fields: ShapeCheck[] = []
      const check = define(name, named, (buffer, position) => {
        let at = position
        for (const field of fields) at = field(buffer, at)
        return at
      })
      for (const field of schema.fields as readonly { readonly type: Schema }[]) fields.push(compile(field.type, inner, named))
      return check
    }
    default:
      return compile(type, namespace, named)
  }
}

function define(name: string, named: Map<string, ShapeCheck>, check: ShapeCheck): ShapeCheck {
  named.set(name, check)
  return check
}

function reference(name: string, named: Map<string, ShapeCheck>): ShapeCheck {
  const check = named.get(name)
  if (check === undefined) throw new TypeError(`schema ${name} is not defined before its use, or its kind is not supported`)
  return check
}

function primitive(name: string): ShapeCheck | undefined {
  switch (name) {
    case 'null':
      return (_, position) => position
    case 'boolean':
      return (buffer, position) => advance(buffer, position, 1)
    case 'int':
    case 'long':
      return skipInteger
    case 'float':
      return (buffer, position) => advance(buffer, position, 4)
    case 'double':
      return (buffer, position) => advance(buffer, position, 8)
    case 'bytes':
    case 'string':
      return skipBytes
    default:
      return undefined
  }
}

function union(branches: readonly ShapeCheck[]): ShapeCheck {
  return (buffer, position) => {
    const branch = branches[(buffer[position] ?? 1) >> 1]
    // Fewer than 64 branches: the index is one byte, and even, because it is not negative.
    if (branch === undefined || (buffer[position]! & 1) === 1) throw new RecordError(`a union at byte ${position} has no such branch`)
    return branch(buffer, position + 1)
  }
}

function blocks(item: ShapeCheck): ShapeCheck {
  return (buffer, position) => {
    let at = position
    for (;;) {
      let count = integerAt(buffer, at)
      at = skipInteger(buffer, at)
      if (count === 0) return at
      if (count < 0) {
        // A negative count is followed by the block's size in bytes.
        count = -count
        at = skipInteger(buffer, at)
      }
      for (let left = count; left > 0; left--) {
        const next = item(buffer, at)
        if (next === at) throw new RecordError(`items of no size at byte ${at}`) // their count would have no bound
        at = next
      }
    }
  }
}

function advance(buffer: Buffer, position: number, size: number): number {
  const next = position + size
  if (!(size >= 0 && next <= buffer.length)) throw new RecordError(`the record ends inside a field at byte ${position}`)
  return next
}

function skipInteger(buffer: Buffer, position: number): number {
  let at = position
  while (at < buffer.length && buffer[at]! >= 0x80) at++
  if (at - position >= integerBytesMax) throw new RecordError(`an integer at byte ${position} is longer than ${integerBytesMax} bytes`)
  return advance(buffer, at, 1)
}

function skipBytes(buffer: Buffer, position: number): number {
  return advance(buffer, skipInteger(buffer, position), integerAt(buffer, position))
}

/** Zigzag integer; beyond 2^53 only its magnitude counts, which no bound lets pass. */
function integerAt(buffer: Buffer, position: number): number {
  let value = 0
  let scale = 1
  for (let at = position; at < buffer.length && at < position + integerBytesMax; at++) {
    const byte = buffer[at]!
    value += (byte & 0x7f) * scale
    if (byte < 0x80) break
    scale *= 128
  }
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2
}
