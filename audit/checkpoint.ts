/** Checkpoints of the chains of a shard: what they say, how that is signed and read. The text that is signed is what docs/audit.md describes. */
import { createHash, createPublicKey, type KeyObject, sign, verify } from 'node:crypto'
import type { Head, Mark } from './chain.ts'

/** One chain between the checkpoint before and this one. */
export interface Link {
  readonly topic: string
  /** Where the chain stood at the checkpoint before; the partition is the checkpoint's shard. */
  readonly from: Head
  /** The chain begins here: no earlier value leads to it. */
  readonly begins: boolean
  /** The last one is where the chain stands now; none when there were no records. */
  readonly marks: readonly Mark[]
  /** Newest timestamp of the records, milliseconds since the epoch; 0 when there were none. */
  readonly newest: number
}

export interface Checkpoint {
  readonly shard: number
  /** Counts the shard's checkpoints from 0. */
  readonly sequence: number
  /** SHA-256 of the statement before; null for the first. */
  readonly previous: Buffer | null
  /** Of the owner that made it: never lower than the one before. */
  readonly term: number
  /** Milliseconds since the epoch. */
  readonly at: number
  readonly links: readonly Link[]
  /** The key that signs from the next checkpoint on, when another one does (SubjectPublicKeyInfo, DER). */
  readonly nextKey?: Buffer | undefined
}

/** As it stands in the topic `audit`. */
export interface SignedStatement {
  /** UTF-8 of JSON: exactly these bytes are signed. */
  readonly statement: Buffer
  readonly signature: Buffer
}

/** A checkpoint that was read, with the key that it names as its signer. */
export interface ReadCheckpoint extends Checkpoint {
  readonly key: Buffer
  /** SHA-256 of the statement: what the next one calls the previous. */
  readonly hash: Buffer
}

export const hashOf = (bytes: Buffer): Buffer => createHash('sha256').update(bytes).digest()

/** Where the chain stands behind a link. */
export function headOf({ from, marks }: Link): Head {
  const last = marks.at(-1)
  return last ? { offset: last.to, value: last.value } : from
}

/** SubjectPublicKeyInfo, DER: what a statement names a key by. */
export function publicBytes(key: KeyObject): Buffer {
  return (key.type === 'private' ? createPublicKey(key) : key).export({ type: 'spki', format: 'der' })
}

/** Signs what a checkpoint says. The key is an Ed25519 private key. */
export function signCheckpoint({ shard, sequence, previous, term, at, links, nextKey }: Checkpoint, key: KeyObject): SignedStatement {
  const statement = Buffer.from(
    JSON.stringify({
      audit: 1,
      shard,
      sequence,
      previous: previous?.toString('hex') ?? null,
      term,
      at,
      key: publicBytes(key).toString('base64'),
      ...(nextKey ? { nextKey: nextKey.toString('base64') } : {}),
      chains: links.map(({ topic, from, begins, marks, newest }) => ({
        topic,
        from: [from.offset, from.value.toString('hex')],
        ...(begins ? { begins } : {}),
        marks: marks.map(({ to, records, value }) => [to, records, value.toString('hex')]),
        newest,
      })),
    }),
  )
  return { statement, signature: sign(null, statement, key) }
}

/** A statement that is none. */
export class StatementError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'StatementError'
  }
}

/** What a statement says; whether its signature is good is another question. Throws StatementError. */
export function readStatement(statement: Buffer): ReadCheckpoint {
  let json: unknown
  try {
    json = JSON.parse(statement.toString('utf8'))
  } catch {
    throw new StatementError('the statement is not JSON')
  }
  const { audit, shard, sequence, previous, term, at, key, nextKey, chains } = object(json)
  if (audit !== 1) throw new StatementError(`this is a statement of the form ${JSON.stringify(audit)}; known is 1`)
  return {
    shard: whole(shard),
    sequence: whole(sequence),
    previous: previous === null ? null : hash(previous),
    term: whole(term),
    at: whole(at),
    key: base64(key),
    ...(nextKey === undefined ? {} : { nextKey: base64(nextKey) }),
    links: list(chains).map(readLink),
    hash: hashOf(statement),
  }
}

/** Whether the signature is that of the key which the statement names. */
export function isSigned({ statement, signature }: SignedStatement, key: Buffer): boolean {
  try {
    const known = createPublicKey({ key, format: 'der', type: 'spki' })
    return known.asymmetricKeyType === 'ed25519' && verify(null, statement, known, signature)
  } catch {
    return false
  }
}

function readLink(json: unknown): Link {
  const { topic, from, begins, marks, newest } = object(json)
  if (typeof topic !== 'string') throw new StatementError('a chain has no topic')
  const [offset, value] = list(from)
  return {
    topic,
    from: { offset: whole(offset), value: hash(value) },
    begins: begins === true,
    marks: list(marks).map((mark) => {
      const [to, records, after] = list(mark)
      return { to: whole(to), records: whole(records), value: hash(after) }
    }),
    newest: whole(newest),
  }
}

function object(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new StatementError('a part of the statement is no object')
  return value as Readonly<Record<string, unknown>>
}

function list(value: unknown): readonly unknown[] {
  if (!Array.isArray(value)) throw new StatementError('a part of the statement is no list')
  return value
}

function whole(value: unknown): number {
  if (!Number.isSafeInteger(value)) throw new StatementError(`${JSON.stringify(value)} is no whole number`)
  return value as number
}

function hash(value: unknown): Buffer {
  if (typeof value !== 'string' || !/^[0-9a-f]{64}$/.test(value)) throw new StatementError(`${JSON.stringify(value)} is no SHA-256 in hex`)
  return Buffer.from(value, 'hex')
}

function base64(value: unknown): Buffer {
  if (typeof value !== 'string' || value.length > 1024) throw new StatementError('a key is no text in base64')
  return Buffer.from(value, 'base64')
}
