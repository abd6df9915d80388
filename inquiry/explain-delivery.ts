/**
 * Why a client got a message, or did not: the message's place in the log is gone back to, and what is known there is put together. All of it is read; nothing is
 * asked of gateways or routers, which may have been others then.
 */
import { type Explanation, explain } from '../access/explain.ts'
import { BeforeHistory } from '../history/before-history.ts'
import { registryAt } from '../history/past-registry.ts'
import type { Log } from '../log/log.ts'
import { partitionOf } from '../log/partitioner.ts'
import type { TopicNames } from '../log/topics.ts'
import type { Published } from '../model/delivery-terms.ts'
import { keptOf } from '../model/history-kept.ts'
import { formerPartitions, partitionChangeOf } from '../model/partition-change.ts'
import type { RegistryView } from '../model/registry-view.ts'
import { matches } from '../mqtt/topic.ts'
import type { Message } from '../schemas/message.ts'
import { ClientLife, innerFilter, type SessionThen } from './client-life.ts'
import { type DeliveryAnswer, deliveryAnswer, isMissing, type Known, type Permission, type RefusedFilter } from './delivery-answer.ts'
import { type MatchVerdict, matchVerdict } from './match-verdict.ts'
import { MatchWindow } from './match-window.ts'
import { type PastBase, pastBase } from './past-base.ts'
import { QueueTrace } from './queue-trace.ts'
import type { ReceiptTold } from './receipts.ts'
import { type Place, readMessage, recordsOf, valuesOf } from './records.ts'
import { toldRefusal } from './told-refusal.ts'

export interface ExplainDeliveryOptions {
  readonly log: Log
  readonly topics: Pick<TopicNames, 'messages' | 'sessions' | 'inbox' | 'checkpoints' | 'lifecycle' | 'receipts' | 'registry'>
  readonly partitions: number
  /** As it is now: asked where the log does not hold what it was then. */
  readonly registry: RegistryView
  readonly clientId: string
  /** partition:offset in `messages`, or a message id in hexadecimal digits. */
  readonly message: MessageName
  now(): number
  /** Called with the bytes of each fetch; what it throws ends the work. */
  onRead(bytes: number): void
}

export type MessageName =
  | { readonly kind: 'position'; readonly partition: number; readonly offset: number }
  /** Looked for in all of `messages`. */
  | { readonly kind: 'id'; readonly id: Buffer }

/** The message that a text names; undefined when it names none. */
export function messageNamed(text: string): MessageName | undefined {
  const position = /^(\d{1,4}):(\d{1,16})$/.exec(text)
  if (position) return { kind: 'position', partition: Number(position[1]), offset: Number(position[2]) }
  return /^[0-9a-f]{32}$/i.test(text) ? { kind: 'id', id: Buffer.from(text, 'hex') } : undefined
}

/** There is no such message, or none any more. */
export class NoSuchMessage extends Error {
  constructor(why: string) {
    super(why)
    this.name = 'NoSuchMessage'
  }
}

/** Gateways' and routers' clocks may differ by this much, ms. */
const clocksApartMs = 60_000
const refusalsMax = 100
const receiptsMax = 1_000

/** Rejects with NoSuchMessage. */
export async function explainDelivery(options: ExplainDeliveryOptions): Promise<DeliveryAnswer> {
  const { log, topics, partitions, clientId, onRead } = options
  const { place, message } = await findMessage(options)
  const shard = partitionOf(Buffer.from(clientId), partitions)
  const since = place.at - clocksApartMs
  const [sessionsAt, sessionsSince, sessionsEnds, inboxSince, inboxEnds] = await Promise.all([
    log.offsetsAt(topics.sessions, place.at),
    log.offsetsAt(topics.sessions, since),
    log.endOffsets(topics.sessions),
    log.offsetsAt(topics.inbox, since),
    log.endOffsets(topics.inbox),
  ])
  const endOf = (ends: ReadonlyMap<number, number>, partition: number): number => ends.get(partition) ?? 0

  const window = new MatchWindow(place.partition, place.offset, message.messageId)
  for await (const each of recordsOf(
    log,
    topics.inbox,
    place.partition,
    { from: endOf(inboxSince, place.partition), to: endOf(inboxEnds, place.partition) },
    onRead,
  )) {
    window.apply(each)
    if (window.done && !window.isWithheld) break
  }

  const reach = { at: since, sessions: endOf(sessionsSince, shard), inbox: endOf(inboxSince, shard) }
  const base = await pastBase(log, topics, shard, clientId, reach, partitionChangeOf(options.registry) !== undefined)
  const life = new ClientLife(clientId, shard, base)
  const trace = await traceOf(options, place, shard, base, life, { sessions: endOf(sessionsEnds, shard), inbox: endOf(inboxEnds, shard) })
  const earliest = Math.min(endOf(sessionsAt, shard), trace.matchedWith?.sessionsOffset ?? Number.POSITIVE_INFINITY)
  const latest = Math.max(window.done?.sessionsOffsets[shard] ?? endOf(sessionsEnds, shard), trace.matchedWith?.sessionsOffset ?? 0)
  const range = { earliest, latest, counted: trace.matchedWith?.sessionsOffset ?? latest }
  const published: Published = { clientId: message.clientId, qos: message.qos as 0 | 1 | 2, retain: message.retain, receivedAt: message.receivedAt }
  const matched = await matchedThen(options, shard, base, range, (session) => matchVerdict(session, message.topic, published))
  const told = await receiptsOf(options, shard, place, message)
  const authenticationName = matched.sessionThen?.session.authenticationName ?? clientId
  const known: Known = {
    clientId,
    place,
    message,
    life,
    ...matched,
    window,
    trace,
    ...told,
    refused: await refusedFilters(options, authenticationName, place, message.topic),
    isWhole: base.isWhole,
  }
  const answer = deliveryAnswer(known)
  return isMissing(answer.outcome) ? { ...answer, permission: await permissionThen(options, authenticationName, place, message.topic) } : answer
}

/** Whether the name may subscribe to the topic, by the registry as of the message; by that of now, where the log does not hold what it was. */
async function permissionThen({ log, topics, registry, now }: ExplainDeliveryOptions, name: string, place: Place, topic: string): Promise<Permission> {
  const of = (view: RegistryView): Pick<Explanation, 'allowed' | 'reason'> => {
    const { allowed, reason } = explain(view, name, 'subscribe', topic)
    return { allowed, reason }
  }
  try {
    const position = (await log.offsetsAt(topics.registry, place.at)).get(0) ?? 0
    // Nothing has changed since: no second registry has to be read.
    if (position >= registry.position) return { asOf: 'then', ...of(registry) }
    const { view } = await registryAt(log, topics, { at: place.at, registry: position }, { now: now(), kept: keptOf(registry) })
    return { asOf: 'then', ...of(view) }
  } catch (error) {
    if (!(error instanceof BeforeHistory)) throw error
    return { asOf: 'now', ...of(registry) }
  }
}

/** The whole life of the client, and what its queues say of the message. */
async function traceOf(
  { log, topics, partitions, clientId, onRead }: ExplainDeliveryOptions,
  place: Place,
  shard: number,
  base: PastBase,
  life: ClientLife,
  ends: { readonly sessions: number; readonly inbox: number },
): Promise<QueueTrace> {
  for await (const each of recordsOf(log, topics.sessions, shard, { from: base.sessionsFrom, to: ends.sessions }, onRead)) life.apply(each)
  // Those that were over before it was published are owed nothing of it.
  const candidates = life.lives.filter(({ until }) => until === null || until.at >= place.at - clocksApartMs)
  const trace = new QueueTrace(
    clientId,
    shard,
    partitions,
    candidates.map(({ id }) => id),
    { source: place.partition, offset: place.offset },
    base,
  )
  for await (const each of recordsOf(log, topics.inbox, shard, { from: base.inboxFrom, to: ends.inbox }, onRead)) trace.apply(each)
  return trace
}

/** What matching makes of the session at each moment at which the message can have been matched; `counted`: the one by which it stands in queues. */
async function matchedThen(
  { log, topics, clientId, onRead }: ExplainDeliveryOptions,
  shard: number,
  base: PastBase,
  { earliest, latest, counted }: { readonly earliest: number; readonly latest: number; readonly counted: number },
  judge: (then: SessionThen | null) => MatchVerdict,
): Promise<Pick<Known, 'sessionThen' | 'verdicts' | 'verdict'>> {
  const life = new ClientLife(clientId, shard, base)
  const verdicts: MatchVerdict[] = []
  let counting: { readonly now: SessionThen | null } | undefined
  const note = (): void => {
    const verdict = judge(life.now())
    if (verdicts.at(-1)?.kind !== verdict.kind) verdicts.push(verdict)
  }
  for await (const each of recordsOf(log, topics.sessions, shard, { from: base.sessionsFrom, to: latest }, onRead)) {
    if (each.place.offset >= counted) counting ??= { now: life.now() }
    if (each.place.offset >= earliest) note()
    life.apply(each)
  }
  note()
  const { now } = counting ?? { now: life.now() }
  return { sessionThen: now, verdict: judge(now), verdicts }
}

async function findMessage({
  log,
  topics,
  partitions,
  message,
  onRead,
}: ExplainDeliveryOptions): Promise<{ readonly place: Place; readonly message: Message }> {
  const [starts, ends] = await Promise.all([log.startOffsets(topics.messages), log.endOffsets(topics.messages)])
  const sources = message.kind === 'position' ? [message.partition] : Array.from({ length: partitions }, (_, source) => source)
  for (const partition of sources) {
    const start = starts.get(partition)
    const end = ends.get(partition)
    if (start === undefined || end === undefined) throw new NoSuchMessage(`there is no partition ${partition}; there are ${partitions}`)
    if (message.kind === 'position' && message.offset < start) throw new NoSuchMessage(`the log begins at ${partition}:${start}: what stood before is gone`)
    if (message.kind === 'position' && message.offset >= end)
      throw new NoSuchMessage(`the log ends before ${partition}:${message.offset}: the next message will be ${partition}:${end}`)
    const range = message.kind === 'position' ? { from: message.offset, to: message.offset + 1 } : { from: start, to: end }
    for await (const values of valuesOf(log, topics.messages, partition, range, onRead)) {
      for (const { offset, value, timestamp } of values) {
        const found = readMessage(value)
        if (!found && message.kind === 'position') throw new NoSuchMessage(`what stands at ${partition}:${offset} cannot be read as a message`)
        if (!found || (message.kind === 'id' && !found.messageId.equals(message.id))) continue
        const { messageId, payload, correlationData, ...rest } = found
        // Copies: the fetched batch is far larger.
        const kept = { ...rest, messageId: Buffer.from(messageId), payload: Buffer.alloc(0), correlationData: null }
        return { place: { topic: topics.messages, partition, offset, at: timestamp }, message: kept }
      }
    }
  }
  throw new NoSuchMessage(message.kind === 'id' ? 'no message in the log has this id' : 'no message stands at this position')
}

async function receiptsOf(
  { log, topics, clientId, onRead }: ExplainDeliveryOptions,
  shard: number,
  place: Place,
  { messageId }: Message,
): Promise<Pick<Known, 'receipts' | 'hasReceipts' | 'receiptsLost'>> {
  const [from, ends] = await Promise.all([log.offsetsAt(topics.receipts, place.at - clocksApartMs), log.endOffsets(topics.receipts)])
  const receipts: ReceiptTold[] = []
  let hasReceipts = false
  let receiptsLost = 0
  for await (const { place: at, record } of recordsOf(log, topics.receipts, shard, { from: from.get(shard) ?? 0, to: ends.get(shard) ?? 0 }, onRead)) {
    if (record.name !== 'DeliveryReceipts') continue
    if (Math.abs(at.at - place.at) <= clocksApartMs) receiptsLost += record.value.lost
    for (const receipt of record.value.receipts) {
      if (receipt.clientId !== clientId) continue
      if (Math.abs(receipt.at - place.at) <= clocksApartMs) hasReceipts = true
      if (!receipt.messageId.equals(messageId)) continue
      const { outcome, reason, qos } = receipt
      receipts.push({ outcome, reason, qos, place: { ...at, at: receipt.at } })
      if (receipts.length > receiptsMax) receipts.shift()
    }
  }
  return { receipts, hasReceipts, receiptsLost }
}

/** SUBSCRIBEs of the name that were refused before the message, for filters on its topic; also in partitions that the name had while there were fewer. */
async function refusedFilters(
  { log, topics, registry, onRead }: ExplainDeliveryOptions,
  authenticationName: string,
  place: Place,
  topic: string,
): Promise<readonly RefusedFilter[]> {
  const [starts, before] = await Promise.all([log.startOffsets(topics.lifecycle), log.offsetsAt(topics.lifecycle, place.at + 1)])
  const counts = [...formerPartitions(partitionChangeOf(registry)), before.size]
  const refused: RefusedFilter[] = []
  for (const partition of new Set(counts.map((count) => partitionOf(Buffer.from(authenticationName), count)))) {
    const range = { from: starts.get(partition) ?? 0, to: before.get(partition) ?? 0 }
    for await (const { place: at, record } of recordsOf(log, topics.lifecycle, partition, range, onRead)) {
      if (record.name !== 'LifecycleEvent') continue
      const told = toldRefusal(record.value)
      if (told?.kind !== 'subscribe' || told.authenticationName !== authenticationName || !matches(innerFilter(told.topic), topic)) continue
      refused.push({ filter: told.topic, place: at })
      if (refused.length > refusalsMax) refused.shift()
    }
  }
  return refused
}
