/**
 * Matching, pure: what a stretch of messages means for whom. Messages of QoS 0 and those for sessions that end with their
 * connection go straight to the gateways; what persistent sessions are owed goes into the inbox of their shards.
 */

import { type DeliveryTerms, deliveryTerms, type Published } from '../model/delivery-terms.ts'
import type { Session, Subscription } from '../model/session.ts'
import type { DeliveredMessage, Receiver } from '../proto/frames.ts'
import type { GatewayIncarnation } from '../schemas/gateway-up.ts'
import type { Choice, IndexEntry, IndexReceiver } from '../schemas/inbox-records.ts'
import type { MessageView } from '../schemas/message-record.ts'
import type { Attachment } from '../schemas/snapshot-records.ts'
import type { Member } from './shared-group.ts'
import type { Match, ReplayMatch } from './subscription-trie.ts'

/** What is read of a record before it is matched. */
export interface PublishedRecord extends Published {
  /** Milliseconds since the epoch; 0 never. */
  readonly expiresAt: number
  readonly receivedAt: number
  /** An owner before this one may have sent it. */
  readonly isBacklog: boolean
}

export function publishedOf({ qos, retain, receivedAt, messageExpiryInterval }: MessageView, clientId: string, isBacklog: boolean): PublishedRecord {
  const expiresAt = messageExpiryInterval === null ? 0 : receivedAt + messageExpiryInterval * 1000
  return { clientId, qos: qos as 0 | 1 | 2, retain, expiresAt, receivedAt, isBacklog }
}

/** One gateway's part of a stretch. */
export interface DirectPart {
  readonly gateway: GatewayIncarnation
  readonly messages: DeliveredMessage[]
}

export interface StretchPlan {
  /** By gateway incarnation. */
  readonly direct: Map<number, DirectPart>
  /** By the receiving sessions' shard. */
  readonly indexed: Map<number, IndexEntry[]>
  /** Members of shared subscriptions that QoS ≥ 1 messages are given to, by ascending offset. */
  readonly choices: Choice[]
  /** QoS 0 messages for sessions without a connection, or with a new one: nobody keeps those. */
  unkept: number
}

export const emptyPlan = (): StretchPlan => ({ direct: new Map(), indexed: new Map(), choices: [], unkept: 0 })

interface MutableMessage extends DeliveredMessage {
  readonly receivers: Receiver[]
}

interface MutableEntry extends IndexEntry {
  readonly receivers: IndexReceiver[]
}

/** The member of a group that gets a message. */
export interface SharedMatch extends Member {
  readonly group: string
}

/** What shared subscriptions make of a message. */
export interface SharedMatches {
  readonly members: readonly SharedMatch[]
  /** Chosen by an owner before this one, with the shard of each. */
  readonly recorded: readonly (readonly [shard: number, receiver: IndexReceiver])[]
}

const noReplays: readonly ReplayMatch[] = []

const noShared: SharedMatches = { members: [], recorded: [] }

/** Adds one record and its matches to the plan. */
export function planRecord(
  plan: StretchPlan,
  record: MatchedRecord,
  message: PublishedRecord,
  matches: readonly Match[],
  shared: SharedMatches = noShared,
  replays: readonly ReplayMatch[] = noReplays,
): void {
  for (const { session, subscriptions } of matches) give(plan, record, message, session, subscriptions, null)
  // Behind what the replay brings, whatever the QoS: the inbox of the session's shard is where both meet (model/replay.ts).
  for (const { session, subscription } of replays) {
    const { replay, replayAt } = subscription
    if (!replay || (replay.client !== null && replay.client !== message.clientId)) continue
    const terms = deliveryTerms(session, [subscription], message)
    if (terms) owe(plan, record, message, session.shard, receiverOf(session, terms, null, replayAt ?? null))
  }
  for (const { session, subscription, group } of shared.members) give(plan, record, message, session, [subscription], group)
  for (const [shard, receiver] of shared.recorded) {
    plan.choices.push({ offset: record.offset, receiver })
    owe(plan, record, message, shard, receiver)
  }
}

interface MatchedRecord {
  readonly source: number
  readonly offset: number
  readonly value: Buffer
}

function give(
  plan: StretchPlan,
  record: MatchedRecord,
  message: PublishedRecord,
  session: Session,
  subscriptions: readonly Subscription[],
  group: string | null,
): void {
  const terms = deliveryTerms(session, subscriptions, message)
  if (!terms) return
  if (terms.qos > 0 && group !== null) {
    // Journaled for every session: what a member does not acknowledge is another's [MQTT-4.8.2-4].
    const receiver = receiverOf(session, terms, group, null)
    plan.choices.push({ offset: record.offset, receiver })
    owe(plan, record, message, session.shard, receiver)
  } else if (terms.qos > 0 && session.isPersistent) {
    owe(plan, record, message, session.shard, receiverOf(session, terms, group, null))
  } else if (session.attached && !mayHaveBeenSentBefore(message, terms.qos, session.attached)) {
    const { gateway, connection } = session.attached
    const { messages } = partOf(plan, gateway)
    const delivered = messages.at(-1) as MutableMessage | undefined
    const { qos, retain, subscriptionIdentifiers } = terms
    const receiver = { connection, qos, dup: false, retain, number: -1, subscriptionIdentifiers }
    // A gateway gets the payload once, whatever number of receivers it has. Made with the first, which most have alone: a list that grows has room for seventeen.
    if (delivered?.offset === record.offset) delivered.receivers.push(receiver)
    else messages.push({ source: record.source, offset: record.offset, value: record.value, receivers: [receiver] } satisfies MutableMessage)
  } else {
    plan.unkept++
  }
}

/** A shard gets the position once. */
function owe(plan: StretchPlan, record: MatchedRecord, message: PublishedRecord, shard: number, receiver: IndexReceiver): void {
  const entries = listOf(plan.indexed, shard)
  const entry = entries.at(-1) as MutableEntry | undefined
  if (entry?.offset === record.offset) entry.receivers.push(receiver)
  else entries.push({ offset: record.offset, size: record.value.length, expiresAt: message.expiresAt || null, receivers: [receiver] } satisfies MutableEntry)
}

/** How the session gets a message that is owed to it. */
export const receiverOf = (session: Session, terms: DeliveryTerms, group: string | null, replay: number | null): IndexReceiver => ({
  clientId: session.clientId,
  session: session.id,
  qos: terms.qos,
  retain: terms.retain,
  subscriptionIdentifiers: terms.subscriptionIdentifiers,
  group,
  replay,
})

/** Splits choices into records of some `bytesMax` each. */
export function* choiceParts(choices: readonly Choice[], bytesMax: number): Generator<Choice[]> {
  let part: Choice[] = []
  let bytes = 0
  for (const choice of choices) {
    const size = 8 + indexReceiverSize(choice.receiver)
    if (bytes + size > bytesMax && part.length > 0) {
      yield part
      part = []
      bytes = 0
    }
    part.push(choice)
    bytes += size
  }
  if (part.length > 0) yield part
}

/** At most once: what an earlier connection may have got does not go to a later one. Its gateway knows what this one got. */
const mayHaveBeenSentBefore = (message: PublishedRecord, qos: number, attached: Attachment): boolean =>
  qos === 0 && message.isBacklog && attached.at >= message.receivedAt

/** Splits what a shard is owed into records of some `bytesMax` each, whatever number of receivers and identifiers they name. */
export function* indexParts(entries: readonly IndexEntry[], bytesMax: number): Generator<IndexEntry[]> {
  let part: IndexEntry[] = []
  let bytes = 0
  for (const entry of entries) {
    let receivers: IndexReceiver[] = []
    bytes += entrySize
    for (const receiver of entry.receivers) {
      const size = indexReceiverSize(receiver)
      if (bytes + size > bytesMax && (part.length > 0 || receivers.length > 0)) {
        if (receivers.length > 0) part.push({ ...entry, receivers })
        yield part
        part = []
        receivers = []
        bytes = entrySize
      }
      receivers.push(receiver)
      bytes += size
    }
    if (receivers.length > 0) part.push(receivers.length === entry.receivers.length ? entry : { ...entry, receivers })
  }
  if (part.length > 0) yield part
}

/** Most bytes of an entry without its receivers: offset, size, expiry and list ends. */
const entrySize = 32
/** Most bytes of a receiver in a record. */
export const indexReceiverSize = ({ clientId, subscriptionIdentifiers, group }: IndexReceiver): number =>
  clientId.length * 3 + 28 + subscriptionIdentifiers.length * 5 + (group?.length ?? 0) * 3

/** Most bytes of a receiver in a frame. */
export const receiverSize = ({ subscriptionIdentifiers }: Receiver): number => 16 + subscriptionIdentifiers.length * 4

export interface DirectFrame {
  /** Every message of the stretch below this is in this frame or one before. */
  readonly to: number
  readonly messages: readonly DeliveredMessage[]
}

/**
 * A gateway's part of a stretch as frames of some `bytesMax` each: a stretch of small messages for many receivers would
 * outgrow what gRPC carries in one piece. Cut between messages only, because the gateway counts by their positions.
 */
export function* directFrames(messages: readonly DeliveredMessage[], to: number, bytesMax: number): Generator<DirectFrame> {
  let frame: DeliveredMessage[] = []
  let bytes = 0
  for (const message of messages) {
    const size = directSize(message)
    const last = frame.at(-1)
    if (last && bytes + size > bytesMax) {
      yield { to: last.offset + 1, messages: frame }
      frame = []
      bytes = 0
    }
    frame.push(message)
    bytes += size
  }
  if (frame.length > 0) yield { to, messages: frame }
}

/** Bytes of a message in a frame. */
export function directSize({ value, receivers }: DeliveredMessage): number {
  let bytes = value.length
  for (const receiver of receivers) bytes += receiverSize(receiver)
  return bytes
}

function listOf<K, V>(map: Map<K, V[]>, key: K): V[] {
  let list = map.get(key)
  if (!list) {
    list = []
    map.set(key, list)
  }
  return list
}

function partOf(plan: StretchPlan, gateway: GatewayIncarnation): DirectPart {
  let part = plan.direct.get(gateway.incarnation)
  if (!part) {
    part = { gateway, messages: [] }
    plan.direct.set(gateway.incarnation, part)
  }
  return part
}
