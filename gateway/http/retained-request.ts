/** Requests for retained messages and their answers, as Event Grid spells them (RE-06 … RE-08). Pure. */
import { isShared, topicFilterProblem } from '../../mqtt/topic.ts'
import type { ToldMessage, WholeMessage } from '../../proto/retained-answers.ts'
import { HttpProblem } from './http-problem.ts'
import { topicOf } from './publish-request.ts'

export interface ListRequest {
  readonly filter: string
  /** Topics behind this one, in the order of topics; empty for the first page. */
  readonly after: string
  readonly top: number
}

const resultsMax = 100

/** The topic that is asked for. Throws HttpProblem. */
export function readGetRequest(query: ReadonlyMap<string, string>): string {
  const topic = topicOf(query)
  if (isShared(topic)) throw new HttpProblem(400, 'nothing is retained below $share', { field: 'topic', value: topic })
  return topic
}

/** The page that is asked for. Throws HttpProblem. */
export function readListRequest(query: ReadonlyMap<string, string>): ListRequest {
  const token = query.get('continuationToken')
  if (token === undefined) {
    const filter = query.get('topicFilter')
    if (filter === undefined)
      throw new HttpProblem(400, 'one of the query parameters topicFilter and continuationToken must be given', { field: 'topicFilter' })
    return { filter: checkedFilter('topicFilter', filter), after: '', top: topOf(query.get('maxResults') ?? String(resultsMax)) }
  }
  const other = ['topicFilter', 'maxResults'].find((name) => query.has(name))
  if (other !== undefined) throw new HttpProblem(400, `${other} must not be given with continuationToken, which holds it`, { field: other })
  return readToken(token)
}

/** What the next page is asked for with: nothing in it has to be believed, for it is checked like any request. */
export const tokenOf = ({ filter, top }: ListRequest, last: string): string => Buffer.from(JSON.stringify([filter, top, last])).toString('base64url')

function readToken(token: string): ListRequest {
  const wrong = new HttpProblem(400, 'continuationToken must be one that nextLink gave', { field: 'continuationToken', value: token })
  let parts: unknown
  try {
    parts = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(token, 'base64url')))
  } catch {
    throw wrong
  }
  const [filter, top, after] = Array.isArray(parts) ? (parts as readonly unknown[]) : []
  if (typeof filter !== 'string' || typeof after !== 'string') throw wrong
  return { filter: checkedFilter('continuationToken', filter), after, top: topOf(String(top)) }
}

function checkedFilter(field: string, filter: string): string {
  const problem = isShared(filter) ? 'must not be that of a shared subscription' : topicFilterProblem(filter)
  if (problem) throw new HttpProblem(400, `the topic filter ${problem}`, { field, value: filter })
  return filter
}

function topOf(text: string): number {
  const top = Number(text)
  if (!/^\d+$/.test(text) || top < 1 || top > resultsMax) {
    throw new HttpProblem(400, `maxResults must be a whole number from 1 to ${resultsMax}`, { field: 'maxResults', value: text })
  }
  return top
}

/** RE-07. A message that never expires has expiry null. */
export function listBody(messages: readonly ToldMessage[], nextLink: string | null): string {
  const retainedMessages = messages.map(({ topic, qos, size, expiry = null, lastModifiedTime }) => ({ topic, qos, size, expiry, lastModifiedTime }))
  return JSON.stringify({ nextLink, retainedMessages })
}

/** A media type as a header may carry it; what a device says of its payload is not believed beyond that. */
const mediaType = /^[\w!#$&^.+-]+\/[\w!#$&^.+-]+(?: *; *[\w!#$&^.+-]+=(?:[\w!#$&^.+-]+|"[\w !#$&^.+/:=,-]*"))*$/

/** RE-06. The topic is percent-encoded where a header could not carry it. A browser that is shown the payload runs nothing of it. */
export function messageHeaders({ topic, qos, size, expiry, lastModifiedTime, contentType }: WholeMessage): Readonly<Record<string, string>> {
  return {
    'content-type': contentType !== undefined && mediaType.test(contentType) ? contentType : 'application/octet-stream',
    'content-length': String(size),
    'x-ms-mqtt-topic': encodeURI(topic),
    'x-ms-mqtt-qos': String(qos),
    'x-ms-mqtt-size': String(size),
    ...(expiry !== undefined && { 'x-ms-mqtt-expiry': expiry }),
    'x-ms-mqtt-last-modified': lastModifiedTime,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'content-security-policy': 'sandbox',
  }
}
