/** Retained messages as the routers tell of them: each of the shards it owns, all of them together the whole. */
import type { RouterAnswer, Routers } from './routers.ts'

/** A retained message without its payload. */
export interface ToldMessage {
  readonly topic: string
  readonly qos: number
  /** Of the payload, bytes. */
  readonly size: number
  readonly contentType?: string
  /** ISO 8601; missing when it never expires. */
  readonly expiry?: string
  /** ISO 8601. */
  readonly lastModifiedTime: string
}
/** The payload in base64. */
export type WholeMessage = ToldMessage & { readonly payload: string }

interface Told {
  readonly shards: number
  readonly owned: readonly number[]
}

/** Not every shard was told of: a list with holes would pass for all there is. */
export class ShardsMissing extends Error {}

/** What the routers say, when together they own every shard. Throws ShardsMissing. */
function whole<T>(answers: readonly RouterAnswer[]): readonly (Told & T)[] {
  const told = answers.filter(({ status }) => status === 200).map(({ body }) => body as Told & T)
  const owned = new Set(told.flatMap(({ owned }) => owned))
  const shards = told[0]?.shards ?? 0
  if (shards > 0 && owned.size >= shards) return told
  const silent = answers.filter(({ status }) => status !== 200).map(({ router, status }) => `${router}: ${status === 0 ? 'no answer' : status}`)
  throw new ShardsMissing(
    shards === 0
      ? `no router can tell of retained messages now (${silent.join(', ') || 'none is configured in ROUTER_URLS'})`
      : `${shards - owned.size} of ${shards} shards have no owner now; ask again`,
  )
}

/** The first `top` messages behind a topic, in the order of topics, that a filter matches; `hasMore`: there are others. Throws ShardsMissing. */
export async function listRetained(
  routers: Routers,
  { filter, after, top }: { readonly filter: string; readonly after: string; readonly top: number },
  by: string,
): Promise<{ readonly messages: readonly ToldMessage[]; readonly hasMore: boolean }> {
  const query = new URLSearchParams({ filter, after, top: String(top + 1) })
  const answers = whole<{ readonly messages: readonly ToldMessage[] }>(await routers.ask('GET', `/retained?${query}`, by))
  const messages = answers.flatMap((answer) => answer.messages).sort((a, b) => (a.topic < b.topic ? -1 : 1))
  return { messages: messages.slice(0, top), hasMore: messages.length > top }
}

/** What is retained on a topic; undefined for nothing. Throws ShardsMissing. */
export async function getRetained(routers: Routers, topic: string, by: string): Promise<WholeMessage | undefined> {
  const query = new URLSearchParams({ topic })
  const answers = whole<{ readonly message: WholeMessage | null }>(await routers.ask('GET', `/retained/message?${query}`, by))
  return answers.map((answer) => answer.message).find((message) => message !== null) ?? undefined
}
