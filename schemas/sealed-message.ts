/**
 * What a client publishes, sealed with a key that can be destroyed: AES-256-GCM over what is personal of a message – payload, user properties,
 * correlation data – in the place of its payload. docs/audit.md has the form for consumers that may open it.
 *
 *   magic 8 · key id 16 · nonce 12 · ciphertext · tag 16, all numbers big-endian. The ciphertext is of
 *   number of user properties UINT32 · (size UINT32 · name · size UINT32 · value)* · correlation data: size UINT32, all ones for none, and bytes · payload
 */
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import type { Message } from './message.ts'

/** `C5 LH SEAL 01`: as UTF-8 it is no text, so that nobody publishes it by accident. */
export const magic = Buffer.from([0xc5, 0x4c, 0x48, 0x53, 0x45, 0x41, 0x4c, 0x01])
export const keyIdSize = 16
export const keySize = 32
const nonceSize = 12
const tagSize = 16
/** As a size: there is nothing. */
const none = 0xffff_ffff
const keyIdAt = magic.length
const nonceAt = keyIdAt + keyIdSize
const bodyAt = nonceAt + nonceSize

export interface SealingKey {
  readonly id: Buffer
  readonly key: Buffer
}

/** What is personal of a message besides its topic and who publishes it. */
export interface Personal {
  readonly payload: Buffer
  readonly userProperties: readonly (readonly [name: string, value: string])[]
  readonly correlationData: Buffer | null
}

/** The sealed bytes. `about` is bound to them: the message's topic, so that nobody moves them to another. */
export function seal(personal: Personal, { id, key }: SealingKey, about: string): Buffer {
  const nonce = randomBytes(nonceSize)
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(Buffer.from(about))
  const parts = [magic, id, nonce, ...partsOf(personal).map((part) => cipher.update(part)), cipher.final()]
  return Buffer.concat([...parts, cipher.getAuthTag()])
}

const long = (value: number): Buffer => {
  const bytes = Buffer.allocUnsafe(4)
  bytes.writeUInt32BE(value)
  return bytes
}

const sized = (bytes: Buffer): readonly Buffer[] => [long(bytes.length), bytes]

function partsOf({ payload, userProperties, correlationData }: Personal): readonly Buffer[] {
  const pairs = userProperties.flatMap(([name, value]) => [...sized(Buffer.from(name)), ...sized(Buffer.from(value))])
  return [long(userProperties.length), ...pairs, ...(correlationData ? sized(correlationData) : [long(none)]), payload]
}

/** The id of the key that a payload is sealed with, as a view; undefined when it is not sealed. */
export function sealedWith(payload: Buffer): Buffer | undefined {
  // The first byte is enough for nearly all that are not.
  if (payload[0] !== magic[0] || payload.length < bodyAt + tagSize || !magic.equals(payload.subarray(0, magic.length))) return undefined
  return payload.subarray(keyIdAt, nonceAt)
}

/**
 * The id of the key that the message of a record is sealed with, as a view, found without decoding it: the payload is the last field of a message
 * (schemas/message.avsc), so its size leads from its first byte to the record's end. Undefined when it is not sealed, or the record is no message.
 */
export function keyIdIn(record: Buffer): Buffer | undefined {
  for (let at = record.indexOf(magic); at !== -1; at = record.indexOf(magic, at + 1)) {
    if (hasSizeBefore(record, at)) return sealedWith(record.subarray(at))
  }
  return undefined
}

/** Whether an Avro `bytes` begins there that ends where the record ends. */
function hasSizeBefore(record: Buffer, at: number): boolean {
  const size: number[] = []
  let rest = 2 * (record.length - at)
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) size.push((rest % 0x80) | 0x80)
  size.push(rest)
  return at >= size.length && size.every((byte, index) => record[at - size.length + index] === byte)
}

/** What was sealed; undefined when it was not sealed with this key, for this topic, or what was sealed has not the form above. */
export function open(payload: Buffer, key: Buffer, about: string): Personal | undefined {
  let body: Buffer
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, payload.subarray(nonceAt, bodyAt), { authTagLength: tagSize })
    decipher.setAAD(Buffer.from(about)).setAuthTag(payload.subarray(-tagSize))
    body = Buffer.concat([decipher.update(payload.subarray(bodyAt, -tagSize)), decipher.final()])
  } catch {
    return undefined
  }
  return read(body)
}

/** Undefined where a size leads beyond the end. */
function read(body: Buffer): Personal | undefined {
  let at = 0
  const size = (): number => {
    at += 4
    return at <= body.length ? body.readUInt32BE(at - 4) : 0
  }
  const take = (count: number): Buffer => {
    at += count
    return body.subarray(at - count, at)
  }
  const userProperties: [string, string][] = []
  for (let left = size(); left > 0 && at <= body.length; left--) userProperties.push([take(size()).toString(), take(size()).toString()])
  const correlationSize = size()
  const correlationData = correlationSize === none ? null : take(correlationSize)
  return at <= body.length ? { payload: body.subarray(at), userProperties, correlationData } : undefined
}

/** A message as it was published, before it was sealed. */
export function openedMessage(message: Message, key: Buffer): Message | undefined {
  const personal = open(message.payload, key, message.topic)
  return personal && { ...message, ...personal, userProperties: personal.userProperties.map(([name, value]) => ({ name, value })) }
}
