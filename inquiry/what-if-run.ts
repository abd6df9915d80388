/** Reads a stretch of the log for `what-if`: what was published, who was sent it, and what was refused. The registry asks; no gateway or router is. */

import { internalClientIdPrefix, internalName, type SessionIdentity, trusts, vouchers } from '../access/principal.ts'
import { BeforeHistory } from '../history/before-history.ts'
import { type Found, HistoryReader } from '../history/history-reader.ts'
import { LogBeginning } from '../history/log-beginning.ts'
import { type Moment, momentOf } from '../history/moment.ts'
import { registryAt } from '../history/past-registry.ts'
import { resolvePlaces } from '../history/places.ts'
import type { fixed } from '../history/replay-range.ts'
import type { Log } from '../log/log.ts'
import type { TopicNames } from '../log/topics.ts'
import { keptOf } from '../model/history-kept.ts'
import { ProposedRegistry, type ProposedResource } from '../model/proposed-registry.ts'
import { anonymousGroup } from '../model/registry-resources.ts'
import type { RegistryView } from '../model/registry-view.ts'
import { readMessage, recordsOf } from './records.ts'
import { SessionsThen } from './sessions-then.ts'
import { type ToldRefusal, toldRefusal } from './told-refusal.ts'
import { WhatIf, type WhatIfReport } from './what-if.ts'

type FixedBound = ReturnType<typeof fixed>

export interface WhatIfRunOptions {
  readonly log: Log
  readonly topics: TopicNames
  readonly partitions: number
  /** How many there were before. */
  readonly formerly?: readonly number[]
  /** As it is now. */
  readonly registry: RegistryView
  /** The proposal is held against the registry as it is now, or as it was where the stretch begins. */
  readonly asOf: 'now' | 'then'
  readonly proposed: readonly ProposedResource[]
  readonly from: FixedBound
  readonly to: FixedBound
  readonly topicFilter: string
  /** Pairs of client and topic shown of each count. */
  readonly top: number
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
  /** Why nothing is said of deliveries. */
  readonly deliveriesUnknown?: string
  /** From when on nothing is missing of what was to be judged; missing when retention has removed nothing of it. */
  readonly since?: string
  /** Messages that retention has removed while this was read. */
  readonly gone?: number
}

/** Pairs of client and topic that each count tells apart. */
const pairsMax = 10_000
const readBytes = 512 * 1024
const messagesPerRead = 5_000
/** Then others have their turn of the event loop. */
const judgementsPerTurn = 2_000
/** Progress is told this often, ms. */
const progressMs = 1_000

export async function* runWhatIf(options: WhatIfRunOptions): AsyncGenerator<{ readonly progress: Progress } | WhatIfAnswer> {
  const { log, topics, partitions, formerly, registry, asOf, proposed, from, to, topicFilter, top } = options
  const moment = await momentOf(log, topics, from)
  const before = asOf === 'now' ? registry : (await registryAt(log, topics, moment, { now: Date.now(), kept: keptOf(registry) })).view
  const after = new ProposedRegistry(before)
  for (const each of proposed) after.propose(each)
  const whatIf = new WhatIf(before, after, pairsMax)
  const sessions = await sessionsAt(log, topics, partitions, moment, (formerly ?? []).length > 0)
  const places = await resolvePlaces({ log, topic: topics.messages, filter: topicFilter, partitions, formerly, from, to })
  const beginning = new LogBeginning(log, topics.messages)
  await beginning.look()
  const keptSince = beginning.since(
    from,
    Date.now(),
    places.map(({ source }) => source),
  )
  let gone = 0
  const onGone = (_: number, below: number, start: number): void => {
    gone += start - below
  }
  const reader = new HistoryReader({ log, topic: topics.messages, query: { filter: topicFilter, client: null }, places, onGone })
  let [first, last] = [Number.POSITIVE_INFINITY, 0]
  let messages = 0
  let judgements = 0
  let toldAt = Date.now()
  while (!reader.isThere) {
    const found = await reader.read(readBytes, messagesPerRead)
    for (const each of found) {
      const at = each.record.timestamp
      if (sessions instanceof SessionsThen) {
        const advancing = sessions.advance(at)
        if (advancing) await advancing
      }
      judgements += judge(whatIf, each, before, sessions instanceof SessionsThen ? sessions : null)
      if (judgements >= judgementsPerTurn) {
        judgements = 0
        await new Promise((resolve) => setImmediate(resolve))
      }
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
    ...(sessions instanceof SessionsThen ? {} : { deliveriesUnknown: sessions.message }),
    ...(keptSince === undefined ? {} : { since: new Date(keptSince).toISOString() }),
    ...(gone === 0 ? {} : { gone }),
  }
}

/** Why not, where the log does not hold that any more. */
async function sessionsAt(log: Log, topics: TopicNames, partitions: number, moment: Moment, hasMoved: boolean): Promise<SessionsThen | BeforeHistory> {
  try {
    return await SessionsThen.at(log, topics, partitions, moment, hasMoved)
  } catch (error) {
    if (error instanceof BeforeHistory) return error
    throw error
  }
}

/** How many judgements it took. */
function judge(whatIf: WhatIf, { source, record, topic }: Found, before: RegistryView, sessions: SessionsThen | null): number {
  const message = readMessage(record.value)
  if (!message) return 1
  const { authenticationName, clientId, session, qos, retain, receivedAt } = message
  // The broker's own probes, and what operators send over HTTP: rules are not about them.
  if (authenticationName === internalName || clientId.startsWith(internalClientIdPrefix)) return 1
  const place = `${source}:${record.offset}`
  const identity = sessions?.identityOf(clientId, session) ?? nameAlone(before, authenticationName)
  const isPublished = whatIf.published(identity, topic, place)
  const published = { clientId, qos: qos as 0 | 1 | 2, retain, receivedAt }
  const deliveries = sessions?.deliveriesOf(topic, published) ?? []
  for (const delivery of deliveries) whatIf.delivered(delivery, topic, place, isPublished)
  return 1 + deliveries.length
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
    for await (const { place, record } of recordsOf(log, topic, partition, { from: starts.get(partition) ?? end, to: end })) {
      if (record.name !== 'LifecycleEvent' || place.at < from || place.at >= to) continue
      const refusal = toldRefusal(record.value)
      if (refusal) yield refusal
    }
  }
}
