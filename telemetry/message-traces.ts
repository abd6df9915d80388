/**
 * Which messages are traced, and under which ids: computed by every process from what stands in the message's record and
 * a key that clients do not know, so that the log carries no decision and no client can make one. Pure.
 */
import { createHmac } from 'node:crypto'
import { contextAmong, type TraceContext } from './trace-context.ts'

/** What a decision is made of. */
export interface TracedRecord {
  /** 16 bytes. */
  readonly messageId: Buffer
  /** Milliseconds since the epoch. */
  readonly receivedAt: number
}

export interface MessageTrace {
  readonly traceId: string
  /** What the publisher said; null when the trace begins with its PUBLISH. */
  readonly parent: TraceContext | null
  readonly publishSpanId: string
  readonly matchSpanId: string
}

/** User properties, in their order. */
export type Properties = Iterable<readonly [name: string, value: string]>

const million = 1_000_000

/** A round of MurmurHash3 on 32 bits. */
function mix(hash: number, word: number): number {
  const scrambled = Math.imul(word, 0xcc9e2d51)
  const turned = hash ^ Math.imul((scrambled << 15) | (scrambled >>> 17), 0x1b873593)
  return (Math.imul((turned << 13) | (turned >>> 19), 5) + 0xe6546b64) | 0
}

export class MessageTraces {
  readonly #key: Buffer
  readonly #seed: number
  /** Of 2^32. */
  readonly #threshold: number

  /** `perMillion`: of a million messages so many are traced. Processes agree when they have the same key and rate. */
  constructor(key: Buffer, perMillion: number) {
    this.#key = createHmac('sha256', key).update('traces').digest()
    this.#seed = this.#key.readInt32LE(0)
    this.#threshold = Math.floor((perMillion / million) * 0x1_0000_0000)
  }

  /** Cheap: asked for every message. */
  isChosen({ messageId, receivedAt }: TracedRecord): boolean {
    let hash = this.#seed
    for (let at = 0; at < 16; at += 4) hash = mix(hash, messageId.readInt32LE(at))
    hash = mix(mix(hash, receivedAt | 0), Math.floor(receivedAt / 0x1_0000_0000))
    hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
    hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
    return (hash ^ (hash >>> 16)) >>> 0 < this.#threshold
  }

  /** Of a message that is chosen; null when its publisher says that the trace is not recorded. A context that is malformed is none. */
  traceOf({ messageId, receivedAt }: TracedRecord, properties: Properties): MessageTrace | null {
    const context = contextAmong(properties)
    const parent = typeof context === 'string' ? null : context
    if (parent && !parent.isSampled) return null
    const ids = createHmac('sha256', this.#key).update(messageId).update(String(receivedAt)).digest('hex')
    return { traceId: parent?.traceId ?? ids.slice(0, 32), parent, publishSpanId: ids.slice(32, 48), matchSpanId: ids.slice(48, 64) }
  }

  /** A span id that tells whoever has the key that it was made with it: 4 bytes of `fresh` and 4 that depend on them. */
  signedSpanId(traceId: string, fresh: Buffer): string {
    const own = fresh.toString('hex', 0, 4)
    return own + this.#signature(traceId, own)
  }

  isSigned({ traceId, spanId }: Pick<TraceContext, 'traceId' | 'spanId'>): boolean {
    return spanId.slice(8) === this.#signature(traceId, spanId.slice(0, 8))
  }

  #signature(traceId: string, own: string): string {
    return createHmac('sha256', this.#key).update(`${traceId} ${own}`).digest('hex').slice(0, 8)
  }
}
