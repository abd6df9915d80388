/** From what the log says of one message and one client to an answer: what became of it, why, and which records prove it. Pure. */
import type { Explanation } from '../access/explain.ts'
import { isShared } from '../mqtt/topic.ts'
import type { Message } from '../schemas/message.ts'
import { type ClientLife, isOnTopic, type SessionThen } from './client-life.ts'
import { type MatchVerdict, nearest } from './match-verdict.ts'
import type { MatchWindow } from './match-window.ts'
import type { Owed, QueueTrace } from './queue-trace.ts'
import type { ReceiptTold } from './receipts.ts'
import type { Place } from './records.ts'

const deliveryOutcomes = {
  acknowledged: 'the client has acknowledged it',
  sent: 'it was written to the client’s connection, at QoS 0',
  inFlight: 'it is on its way to the client, or was when its connection ended, and is not acknowledged',
  waiting: 'it waits in the queue of the client’s session',
  dropped: 'it was dropped, for the reason given',
  sessionEnded: 'it was owed, and the session ended before it was acknowledged',
  notKept: 'it was for a connection, and there was none: nobody keeps it',
  handedToGateway: 'it went to the gateway of the client’s connection; what became of it there is in no journal, receipts would tell',
  anotherMember: 'another member of the shared subscription got it',
  oneMember: 'one member of the shared subscription got it at QoS 0; which is in no journal, receipts would tell',
  noLocal: 'it is the client’s own, and its subscriptions are No Local',
  noSubscription: 'no subscription of the client matched it',
  noSession: 'the client had no session when it was matched',
  replayPending: 'only a replay would bring it, and has not',
  repeat: 'it is another publish again, which counts for both',
  notMatched: 'no router has noted yet that it has matched it',
  unclear: 'subscriptions or sessions changed while it was on its way: the log does not tell which was first',
} as const
export type DeliveryOutcome = keyof typeof deliveryOutcomes

export interface Evidence {
  readonly what: string
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly at: string
}

export interface ShownSubscription {
  readonly filter: string
  readonly qos: number
  readonly noLocal?: true
  readonly since?: Evidence
  readonly until?: Evidence
}

export interface DeliveryAnswer {
  readonly client: string
  readonly message: {
    readonly position: string
    readonly id: string
    readonly topic: string
    readonly qos: number
    readonly retain: boolean
    readonly publisher: string
    readonly authenticationName: string
    readonly publishedAt: string
  }
  readonly outcome: DeliveryOutcome
  /** What the outcome means, in a sentence. */
  readonly meaning: string
  /** More of why, a sentence each. */
  readonly reasons: readonly string[]
  /** Why it was dropped, or how the session ended. */
  readonly reason?: string
  /** Subscriptions that matched its topic, before, then or since. */
  readonly subscriptions: readonly ShownSubscription[]
  /** That were there then and nearly match. */
  readonly nearest: readonly ShownSubscription[]
  /** Whether the client may subscribe to the topic, where no subscription was there. */
  readonly permission?: Permission
  readonly evidence: readonly Evidence[]
}

/** By the registry as of the message; as it is now, where that is not known any more. */
export interface Permission extends Pick<Explanation, 'allowed' | 'reason'> {
  readonly asOf: 'then' | 'now'
}

/** Whether it is a subscription that was missing. */
export const isMissing = (outcome: DeliveryOutcome): boolean => outcome === 'noSubscription' || outcome === 'noSession'

/** A SUBSCRIBE of the client that was refused before, for a filter that matches. */
export interface RefusedFilter {
  readonly filter: string
  readonly place: Place
}

export interface Known {
  readonly clientId: string
  readonly place: Place
  readonly message: Message
  readonly life: ClientLife
  /** As the session stood when the message was matched; where no record tells when that was, at the latest moment that it can have been. */
  readonly sessionThen: SessionThen | null
  /** Of each moment at which it can have been matched, the earliest first and the latest last. */
  readonly verdicts: readonly MatchVerdict[]
  /** Of `sessionThen`. */
  readonly verdict: MatchVerdict
  readonly window: MatchWindow
  readonly trace: QueueTrace
  readonly receipts: readonly ReceiptTold[]
  /** Receipts of the client were written around then: what has none was not sent, unless receipts of its shard were lost. */
  readonly hasReceipts: boolean
  readonly receiptsLost: number
  readonly refused: readonly RefusedFilter[]
  /** False: the journals begin after the client may have been there, and nothing tells how it was. */
  readonly isWhole: boolean
}

interface Conclusion {
  readonly outcome: DeliveryOutcome
  readonly reason?: string
  readonly reasons?: readonly string[]
}

const shownMax = 10

export function deliveryAnswer(known: Known): DeliveryAnswer {
  const { clientId, place, message, life, sessionThen, trace, window, receipts, refused } = known
  const conclusion = conclude(known)
  const { outcome } = conclusion
  const matching = life.spans.filter(({ subscription }) => isOnTopic(subscription, message.topic)).slice(-shownMax)
  const nearly = outcome === 'noSubscription' && sessionThen ? nearest(sessionThen.subscriptions.values(), message.topic, shownMax) : []
  return {
    client: clientId,
    message: {
      position: `${place.partition}:${place.offset}`,
      id: message.messageId.toString('hex'),
      topic: message.topic,
      qos: message.qos,
      retain: message.retain,
      publisher: message.clientId,
      authenticationName: message.authenticationName,
      publishedAt: new Date(place.at).toISOString(),
    },
    outcome,
    meaning: deliveryOutcomes[outcome],
    reasons: [...(conclusion.reasons ?? []), ...(isMissing(outcome) ? whyMissing(known) : [])],
    ...(conclusion.reason === undefined ? {} : { reason: conclusion.reason }),
    subscriptions: matching.map(({ subscription: { filter, qos, noLocal }, since, until }) => ({
      filter,
      qos,
      ...(noLocal ? { noLocal } : {}),
      ...(since ? { since: evidence('subscribed', since) } : {}),
      ...(until ? { until: evidence('no longer', until) } : {}),
    })),
    nearest: nearly.map(({ filter, qos }) => ({ filter, qos })),
    evidence: [
      evidence('published', place),
      ...refused.slice(-shownMax).map((each) => evidence(`a SUBSCRIBE to ${each.filter} was refused`, each.place)),
      ...(window.repeatOf ? [evidence(`the publish counts at offset ${window.repeatOf.offset}`, window.repeatOf.place)] : []),
      ...window.choices.map(({ receiver, place: at }) => evidence(`given to ${receiver.clientId}, a member of ${receiver.group}`, at)),
      ...trace.owed.slice(-shownMax).flatMap(owedEvidence),
      ...receipts.slice(-shownMax).map((each) => evidence(`receipt: ${each.outcome}${each.reason === '' ? '' : `, ${each.reason}`}`, each.place)),
      ...(trace.owed.length === 0 && window.done ? [evidence('its shard is done with it', window.done.place)] : []),
      ...endOf(known),
    ],
  }
}

const ways: Readonly<Record<Owed['way'], string>> = {
  subscription: 'put into the session’s queue',
  shared: 'put into the session’s queue as a member of a shared subscription',
  handedOn: 'handed on by another member of a shared subscription',
  retained: 'put into the session’s queue as a retained message',
  replay: 'put into the session’s queue by a replay',
  liveReplay: 'put into the session’s queue behind a replay',
}

function owedEvidence({ way, number, fate, place }: Owed): readonly Evidence[] {
  const into = evidence(`${ways[way]}, as its number ${number}`, place)
  if (fate.kind === 'acknowledged') return [into, evidence('acknowledged', fate.place)]
  return fate.kind === 'dropped' ? [into, evidence(`dropped: ${fate.reason}`, fate.place)] : [into]
}

function endOf({ life, trace, sessionThen }: Known): readonly Evidence[] {
  const id = trace.owed.at(-1)?.session ?? sessionThen?.session.id
  const own = life.lives.find((each) => each.id === id)
  return own?.until ? [evidence(`the session ended: ${own.reason}`, own.until)] : []
}

const evidence = (what: string, { topic, partition, offset, at }: Place): Evidence => ({ what, topic, partition, offset, at: new Date(at).toISOString() })

function conclude(known: Known): Conclusion {
  const { window, trace, receipts } = known
  if (window.repeatOf && trace.owed.length === 0) return { outcome: 'repeat' }
  const journaled = ofQueues(known)
  // A receipt tells of the connection itself; of a queue the journal is the last word, once it has it.
  const received = ofReceipts(receipts)
  if (journaled && (journaled.outcome === 'acknowledged' || !received)) return journaled
  if (received) return received
  return ofMatching(known)
}

/** What the queues say: of several copies the one that came furthest. */
function ofQueues({ trace, life }: Known): Conclusion | undefined {
  const { owed } = trace
  if (owed.some(({ fate }) => fate.kind === 'acknowledged')) return { outcome: 'acknowledged' }
  const open = owed.findLast(({ fate, session }) => fate.kind === 'owed' && !life.lives.some(({ id, until }) => id === session && until !== null))
  if (open?.fate.kind === 'owed') {
    if (open.fate.received) return { outcome: 'inFlight', reasons: ['the client has received it (PUBREC), and has not completed it'] }
    return open.fate.maySent ? { outcome: 'inFlight' } : { outcome: 'waiting' }
  }
  const dropped = owed.findLast(({ fate }) => fate.kind === 'dropped')
  const ended = owed.findLast(({ fate }) => fate.kind === 'owed')
  if (ended?.fate.kind === 'owed' && (!dropped || (dropped.fate.kind === 'dropped' && dropped.fate.reason === 'reassigned'))) {
    const reason = life.lives.find(({ id }) => id === ended.session)?.reason
    const reasons = ended.fate.maySent ? ['it may have been sent before: what is acknowledged as a session ends is not always noted'] : []
    return { outcome: 'sessionEnded', reasons, ...(reason ? { reason } : {}) }
  }
  if (dropped?.fate.kind !== 'dropped') return undefined
  const { reason } = dropped.fate
  return reason === 'reassigned' ? { outcome: 'anotherMember', reason } : { outcome: 'dropped', reason }
}

function ofReceipts(receipts: readonly ReceiptTold[]): Conclusion | undefined {
  const last = (outcome: ReceiptTold['outcome']): ReceiptTold | undefined => receipts.findLast((each) => each.outcome === outcome)
  const acknowledged = last('acknowledged')
  if (acknowledged) return { outcome: 'acknowledged', ...(acknowledged.reason !== '' && { reason: acknowledged.reason }) }
  const sent = last('sent')
  if (sent) return sent.qos === 0 ? { outcome: 'sent' } : { outcome: 'inFlight' }
  const dropped = last('dropped')
  return dropped && { outcome: 'dropped', reason: dropped.reason }
}

/** What matching says, where no record names the client. */
function ofMatching(known: Known): Conclusion {
  const { verdicts, verdict: late, window, trace, clientId } = known
  const isDone = window.done !== undefined || trace.matchedWith !== undefined
  if (!isDone) return { outcome: 'notMatched' }
  // What is put into queues is matched by what the record of that says. What goes to a connection may have gone there before, from an owner that died.
  const isCertain = trace.matchedWith !== undefined && !verdicts.some(isUnnoted)
  if (!isCertain && verdicts.some(({ kind }) => kind !== late.kind)) {
    return { outcome: 'unclear', reasons: [`at different moments it is: ${[...new Set(verdicts.map(outcomeOf))].join('; ')}`] }
  }
  if (!known.isWhole && isMissing(verdictOutcomes[late.kind])) {
    return { outcome: 'unclear', reasons: ['the journals that are kept begin after the message’s time or shortly before: what was there then is not known'] }
  }
  const chosen = window.choices.filter(({ receiver }) => receiver.clientId !== clientId)
  switch (late.kind) {
    case 'noSession':
      return { outcome: 'noSession' }
    case 'noMatch':
      return { outcome: 'noSubscription' }
    case 'noLocal':
      return { outcome: 'noLocal' }
    case 'absent':
      return { outcome: 'notKept' }
    case 'direct':
      return { outcome: 'handedToGateway', reasons: [`its connection was on the gateway ${late.attached.gateway.id}`, ...withoutReceipt(known)] }
    case 'shared':
      if (chosen.length > 0) return { outcome: 'anotherMember', reasons: chosen.map(({ receiver }) => `${receiver.group}: ${receiver.clientId}`) }
      return { outcome: late.isNoted ? 'unclear' : 'oneMember', ...(late.isNoted ? { reasons: ['no choice of a member is in the log'] } : {}) }
    case 'replay':
      return { outcome: 'replayPending' }
    case 'owed':
      return {
        outcome: 'unclear',
        reasons: ['it should stand in the queue, and does not: it was matched again by a later owner of its shard, with what it knew'],
      }
  }
}

const isUnnoted = (verdict: MatchVerdict): boolean => verdict.kind === 'direct' || (verdict.kind === 'shared' && !verdict.isNoted)

function withoutReceipt({ hasReceipts, receiptsLost }: Known): readonly string[] {
  if (receiptsLost > 0) return [`${receiptsLost} receipts of its shard were lost around then, its own perhaps`]
  return hasReceipts
    ? ['receipts of the client were written then, and none tells of it: it never came to the connection, or its receipt was lost with the gateway']
    : []
}

const verdictOutcomes = {
  noSession: 'noSession',
  noMatch: 'noSubscription',
  noLocal: 'noLocal',
  absent: 'notKept',
  direct: 'handedToGateway',
  shared: 'oneMember',
  replay: 'replayPending',
  owed: 'waiting',
} as const satisfies Record<MatchVerdict['kind'], DeliveryOutcome>
const outcomeOf = ({ kind }: MatchVerdict): string => deliveryOutcomes[verdictOutcomes[kind]]

/** What was nearly there: a subscription before or after, a session before or after, a refusal. */
function whyMissing({ life, message, sessionThen, refused, place }: Known): readonly string[] {
  const reasons: string[] = []
  const iso = ({ at }: Place): string => new Date(at).toISOString()
  if (!sessionThen) {
    const before = life.lives.findLast(({ until }) => until !== null && until.at <= place.at)
    const after = life.lives.find(({ since }) => since !== null && since.at >= place.at)
    if (before?.until) reasons.push(`its last session had ended at ${iso(before.until)}: ${before.reason}`)
    if (after?.since) reasons.push(`its next session began at ${iso(after.since)}`)
    if (life.lives.length === 0) reasons.push('the log tells of no session of this client id')
  }
  for (const { subscription, since, until } of life.spans.slice(-shownMax)) {
    if (!isOnTopic(subscription, message.topic)) continue
    const shared = isShared(subscription.filter) ? 'shared ' : ''
    if (until && until.at <= place.at) reasons.push(`its ${shared}subscription ${subscription.filter} had ended at ${iso(until)}`)
    else if (since && since.at >= place.at) reasons.push(`its ${shared}subscription ${subscription.filter} began at ${iso(since)}`)
  }
  if (message.retain && life.spans.some(({ subscription, since }) => isOnTopic(subscription, message.topic) && since !== null && since.at >= place.at)) {
    reasons.push('it was retained: a later subscription may have brought it, which at QoS 0, or to a session that ends with its connection, only receipts tell')
  }
  for (const { filter, place: at } of refused.slice(-shownMax)) reasons.push(`it was refused a subscription to ${filter} at ${iso(at)}`)
  return reasons
}
