/** Reads a stretch of the log for `what-if`: what was published, who was sent it, and what was refused. The registry asks; no gateway or router is. */

import { internalClientIdPrefix, internalName, type SessionIdentity, trusts, vouchers } from '../access/principal.ts'
import { type Found, HistoryReader } from '../history/history-reader.ts'
import { resolvePlaces } from '../history/places.ts'
import type { fixed } from '../history/replay-range.ts'
import { type Log, OffsetOutOfRange } from '../log/log.ts'
import { anonymousGroup } from '../model/registry-resources.ts'
import type { RegistryView } from '../model/registry-view.ts'
import { decodeRecord } from '../schemas/codec.ts'
import { decodeMessage } from '../schemas/message-record.ts'
import { RecordError } from '../schemas/record-error.ts'
import type { LifecycleEvent } from '../schemas/records.ts'
import { type ToldRefusal, WhatIf, type WhatIfReport } from './what-if.ts'

type FixedBound = ReturnType<typeof fixed>

/** Who was there and had subscribed to what, as the log tells it, moving on with the messages. */
export interface SessionsThen {
  /** Applies what was in the log by then, milliseconds since the epoch. */
  advance(untilMs: number): Promise<void>
  /** Of the session that the client id had; undefined when there was none, or another. */
  identityOf(clientId: string, session: number): SessionIdentity | undefined
  /** Who is sent the message, and by which filters. */
  receiversOf(message: {
    readonly topic: string
    readonly clientId: string
  }): Iterable<{ readonly identity: SessionIdentity; readonly filters: readonly string[] }>
}

export interface WhatIfRunOptions {
  readonly log: Log
  readonly topics: { readonly messages: string; readonly lifecycle: string }
  readonly partitions: number
  readonly before: RegistryView
  readonly after: RegistryView
  readonly from: FixedBound
  readonly to: FixedBound
  readonly topicFilter: string
  /** Pairs of client and topic shown of each count. */
  readonly top: number
  readonly sessions: SessionsThen | null
  /** Nobody reads the answer any more. */
  isOver(): boolean
}

export interface Progress {
  readonly messages: number
  /** The time that it has come to. */
  readonly at: string
}

export interface WhatIfAnswer extends WhatIfReport {
  /** When the first and the last of what was judged was published; missing when nothing was. */
  readonly from?: string
  readonly to?: string
  /** Messages that retention has removed while this was read. */
  readonly gone?: number
}

/** Pairs of client and topic that each count tells apart. */
const pairsMax = 10_000
const readBytes = 512 * 1024
const messagesPerRead = 5_000
/** Progress is told this often, ms. */
const progressMs = 1_000

export async function* runWhatIf(options: WhatIfRunOptions): AsyncGenerator<{ readonly progress: Progress } | WhatIfAnswer> {
  const { log, topics, partitions, before, after, from, to, topicFilter, top, sessions, isOver } = options
  const whatIf = new WhatIf(before, after, pairsMax)
  const places = await resolvePlaces({ log, topic: topics.messages, filter: topicFilter, partitions, from, to })
  let gone = 0
  const onGone = (_: number, below: number, start: number): void => {
    gone += start - below
  }
  const reader = new HistoryReader({ log, topic: topics.messages, query: { filter: topicFilter, client: null }, places, onGone })
  let [first, last] = [Number.POSITIVE_INFINITY, 0]
  let messages = 0
  let toldAt = Date.now()
  while (!reader.isThere) {
    if (isOver()) return
    const found = await reader.read(readBytes, messagesPerRead)
    for (const each of found) {
      const at = each.record.timestamp
      await sessions?.advance(at)
      judge(whatIf, each, options)
      first = Math.min(first, at)
      last = Math.max(last, at)
    }
    messages += found.length
    if (Date.now() - toldAt < progressMs) continue
    toldAt = Date.now()
    yield { progress: { messages, at: new Date(last).toISOString() } }
  }
  const since = from.kind === 'time' ? from.at : first
  const until = to.kind === 'time' ? to.at : last + 1
  if (since < until) {
    for await (const refusal of refusalsOf(log, topics.lifecycle, since, until)) {
      if (nameAlone(before, refusal.authenticationName)) whatIf.refused(refusal)
      else whatIf.refusedUnknown(1 + refusal.more)
    }
  }
  yield {
    ...(messages === 0 ? {} : { from: new Date(first).toISOString(), to: new Date(last).toISOString() }),
    ...whatIf.report(top),
    ...(gone === 0 ? {} : { gone }),
  }
}

function judge(whatIf: WhatIf, { source, record, topic }: Found, { before, sessions }: WhatIfRunOptions): void {
  const { authenticationName, clientId, session } = decodeMessage(record.value)
  // The broker's own probes, and what operators send over HTTP: rules are not about them.
  if (authenticationName === internalName || clientId.startsWith(internalClientIdPrefix)) return
  const place = `${source}:${record.offset}`
  const identity = sessions?.identityOf(clientId, session) ?? nameAlone(before, authenticationName)
  const isPublished = whatIf.published(identity, topic, place)
  for (const receiver of sessions?.receiversOf({ topic, clientId }) ?? []) whatIf.delivered(receiver.identity, receiver.filters, topic, place, isPublished)
}

/** Who a name alone can be: nobody can tell when it may have come with a token, or from a webhook. */
function nameAlone(view: RegistryView, authenticationName: string): SessionIdentity | undefined {
  if (view.clientNamed(authenticationName)) return { authenticationName }
  return vouchers.some((voucher) => trusts(view, voucher)) || !view.clientGroups.has(anonymousGroup) ? undefined : { authenticationName }
}

/** What gateways have written down of refusals, from one time to another, milliseconds since the epoch. */
async function* refusalsOf(log: Log, topic: string, from: number, to: number): AsyncGenerator<ToldRefusal> {
  const [starts, ends] = await Promise.all([log.offsetsAt(topic, from), log.endOffsets(topic)])
  for (const [partition, end] of ends) {
    for (let next = starts.get(partition) ?? end; next < end; ) {
      let stretch: Awaited<ReturnType<Log['read']>>
      try {
        stretch = await log.read(topic, partition, next, readBytes)
      } catch (error) {
        if (!(error instanceof OffsetOutOfRange)) throw error
        next = Math.max(next + 1, (await log.startOffsets(topic)).get(partition) ?? end)
        continue
      }
      if (stretch.nextOffset <= next) break
      next = stretch.nextOffset
      for (const { value, timestamp } of stretch.records) {
        if (!value || timestamp < from || timestamp >= to) continue
        const refusal = readRefusal(value)
        if (refusal) yield refusal
      }
    }
  }
}

const kinds = { 'Loggerhead.PublishRefused': 'publish', 'Loggerhead.SubscribeRefused': 'subscribe' } as const
const notAuthorized = 0x87

/** Of a permission that was missing; undefined for all else that stands there. */
function readRefusal(value: Buffer): ToldRefusal | undefined {
  try {
    const record = decodeRecord(value)
    return record.name === 'LifecycleEvent' ? refusalIn(record.value) : undefined
  } catch (error) {
    // A record that cannot be read tells of nothing, here as everywhere.
    if (error instanceof RecordError || error instanceof SyntaxError) return undefined
    throw error
  }
}

function refusalIn({ type, data }: LifecycleEvent): ToldRefusal | undefined {
  const kind = kinds[type as keyof typeof kinds]
  if (kind === undefined) return undefined
  const { clientAuthenticationName: authenticationName, topic, reasonCode, more } = JSON.parse(data) as Readonly<Record<string, unknown>>
  if (typeof authenticationName !== 'string' || typeof topic !== 'string' || typeof more !== 'number' || reasonCode !== notAuthorized) return undefined
  return { kind, authenticationName, topic, more }
}
