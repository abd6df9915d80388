/**
 * What a stretch of `messages` may hold, as a few hundred bytes: 24-bit hashes of its topics, of their first levels, and of
 * its publishers. A hash that is there by chance costs a read; one that is missing is sure.
 */
import type { HistoryBlock } from '../schemas/evidence-records.ts'
import type { HistoryQuery } from './history-reader.ts'

/** Bytes of a hash: with fewer, topics of a fleet of tens of thousands would stand for one another. */
const hashSize = 3
/** Levels of a topic that a filter can be found by. */
const levelsMax = 8
/** What a record takes in a fetch beside its key and value, bytes. */
const recordOverhead = 16
/** Topics whose hashes are remembered between records. */
const topicsMax = 4_096

/** FNV-1a with its bits mixed once more, for texts that differ in their last digit only; 24 of them. */
function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b)
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35)
  return (hash ^ (hash >>> 16)) & 0xffffff
}

/** `a/`, `a/b/` …: of the first levels that something stands behind. */
function* prefixesOf(topic: string): Generator<string> {
  for (let at = topic.indexOf('/'), level = 0; at !== -1 && level < levelsMax; at = topic.indexOf('/', at + 1), level++) yield topic.slice(0, at + 1)
}

function sorted(hashes: ReadonlySet<number>): Buffer {
  const all = Uint32Array.from(hashes).sort()
  const bytes = Buffer.allocUnsafe(all.length * hashSize)
  all.forEach((hash, index) => {
    bytes.writeUIntLE(hash, index * hashSize, hashSize)
  })
  return bytes
}

function has(hashes: Buffer, text: string): boolean {
  const hash = hashOf(text)
  let low = 0
  let high = hashes.length / hashSize - 1
  while (low <= high) {
    const middle = (low + high) >> 1
    const each = hashes.readUIntLE(middle * hashSize, hashSize)
    if (each === hash) return true
    if (each < hash) low = middle + 1
    else high = middle - 1
  }
  return false
}

/** Whether a record of the block may match: false is sure. */
export function mayHold({ topics, clients }: HistoryBlock, { filter, client }: HistoryQuery): boolean {
  if (client !== null && !has(clients, client)) return false
  const wildcard = filter.search(/[+#]/)
  if (wildcard === -1) return has(topics, filter)
  let prefix = ''
  for (const each of prefixesOf(filter.slice(0, wildcard))) prefix = each
  if (prefix === '') return true
  // `a/#` is about `a` too.
  return has(topics, prefix) || (filter === `${prefix}#` && has(topics, prefix.slice(0, -1)))
}

/** Makes blocks of the records that it is shown, in their order. */
export class BlockBuilder {
  readonly #recordsMax: number
  readonly #hashesOf = new Map<string, readonly number[]>()
  #topics = new Set<number>()
  #clients = new Set<number>()
  /** Of the record before, in the same block. */
  #lastTopic: string | null = null
  #lastClient: string | null = null
  #records = 0
  #bytes = 0
  #from = 0

  /** Records of a block. */
  constructor(recordsMax: number) {
    this.#recordsMax = recordsMax
  }

  /** The next record of the log; the block that it completes. `size`: of key and value, bytes. */
  add(offset: number, size: number, topic: string, clientId: string): HistoryBlock | undefined {
    if (this.#records === 0) this.#from = offset
    // A publisher's messages lie beside each other.
    if (topic !== this.#lastTopic) for (const hash of this.#hashes(topic)) this.#topics.add(hash)
    if (clientId !== this.#lastClient) this.#clients.add(hashOf(clientId))
    this.#lastTopic = topic
    this.#lastClient = clientId
    this.#records++
    this.#bytes += size + recordOverhead
    if (this.#records < this.#recordsMax) return undefined
    const block = { from: this.#from, to: offset + 1, bytes: this.#bytes, topics: sorted(this.#topics), clients: sorted(this.#clients) }
    this.#topics = new Set()
    this.#clients = new Set()
    this.#lastTopic = null
    this.#lastClient = null
    this.#records = 0
    this.#bytes = 0
    return block
  }

  #hashes(topic: string): readonly number[] {
    const known = this.#hashesOf.get(topic)
    if (known) return known
    if (this.#hashesOf.size >= topicsMax) this.#hashesOf.clear()
    const hashes = [hashOf(topic), ...[...prefixesOf(topic)].map(hashOf)]
    this.#hashesOf.set(topic, hashes)
    return hashes
  }
}
