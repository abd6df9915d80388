/** Retained messages as the HTTP API tells of them, and the pages of a list of them: read from the shards' indexes, changing nothing. */
import type { RetainedIndex } from '../model/retained-index.ts'
import { decodeMessage, peekMessage } from '../schemas/message-record.ts'
import type { RetainedMessage } from './retained-store.ts'

/** Nodes of an index looked at before others have their turn. */
const stepsPerTurn = 5_000

export interface RetainedShard {
  readonly shard: number
  readonly index: RetainedIndex<RetainedMessage>
}

export interface RetainedPage {
  /** A valid topic filter, not a shared one. */
  readonly filter: string
  /** Topics behind this one, in the order of topics. */
  readonly after: string
  readonly top: number
  readonly now: number
}

/** True when its expiry interval has passed. */
export const isOver = ({ expiresAt }: RetainedMessage, now: number): boolean => expiresAt !== 0 && expiresAt <= now

/** What is known of a message without its payload; RE-07's names where it has one. */
function reportRetained(shard: number, message: RetainedMessage): { readonly topic: string } & Readonly<Record<string, unknown>> {
  const { topic, offset, value, qos, expiresAt } = message
  const { clientId, payload, contentType } = decodeMessage(value)
  return {
    topic,
    qos,
    size: payload.length,
    ...(contentType === null ? {} : { contentType }),
    ...(expiresAt === 0 ? {} : { expiry: new Date(expiresAt).toISOString() }),
    lastModifiedTime: new Date(peekMessage(value).receivedAt).toISOString(),
    publisher: clientId,
    partition: shard,
    offset,
  }
}

/** The retained messages of a page. Walks all that match in small turns: a long list must not hold up deliveries. */
export async function pageOfRetained(shards: readonly RetainedShard[], { filter, after, top, now }: RetainedPage): Promise<readonly object[]> {
  const found: { readonly shard: number; readonly message: RetainedMessage }[] = []
  for (const { shard, index } of shards) {
    const walk = index.walk(filter)
    while (!walk.isDone) {
      const budget = { steps: stepsPerTurn }
      for (let message = walk.next(budget); message !== undefined; message = walk.next(budget)) {
        const { topic } = message
        if (isOver(message, now) || topic <= after || (found.length === top && topic >= (found.at(-1)?.message.topic ?? ''))) continue
        found.splice(placeOf(found, topic), 0, { shard, message })
        if (found.length > top) found.pop()
      }
      await new Promise(setImmediate)
    }
  }
  return found.map(({ shard, message }) => reportRetained(shard, message))
}

/** One topic's message with its payload; undefined when nothing is retained. */
export function retainedOf(shards: readonly RetainedShard[], topic: string, now: number): object | undefined {
  for (const { shard, index } of shards) {
    const message = index.get(topic)
    if (message && !isOver(message, now)) return { ...reportRetained(shard, message), payload: decodeMessage(message.value).payload.toString('base64') }
  }
  return undefined
}

function placeOf(sorted: readonly { readonly message: RetainedMessage }[], topic: string): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if ((sorted[middle]?.message.topic ?? '') < topic) low = middle + 1
    else high = middle
  }
  return low
}
