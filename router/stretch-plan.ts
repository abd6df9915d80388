/**
 * Matching, pure: what a stretch of messages means for whom. Messages of QoS 0 and those for sessions that end with their
 * connection go straight to the gateways; what persistent sessions are owed goes into the inbox of their shards.
 */

import { deliveryTerms, type Published } from '../model/delivery-terms.ts'
import type { Session, Subscription } from '../model/session.ts'
import type { DeliveredMessage, Receiver } from '../proto/frames.ts'
import type { Attachment, Choice, GatewayIncarnation, IndexEntry, IndexReceiver } from '../schemas/records.ts'
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
  record: { readonly source: number; readonly offset: number; readonly value: Buffer },
  message: PublishedRecord,
  matches: readonly Match[],
  shared: SharedMatches = noShared,
  replays: readonly ReplayMatch[] = noReplays,
): void {
  // By gateway and by shard within this record, so that each gets the payload or the position once.
  const messages = new Map<number, MutableMessage>()
  const entries = new Map<number, MutableEntry>()
  const owe = (shard: number, receiver: IndexReceiver): void => {
    let entry = entries.get(shard)
    if (!entry) {
      entry = { offset: record.offset, size: record.value.length, expiresAt: message.expiresAt || null, receivers: [] }
      entries.set(shard, entry)
      listOf(plan.indexed, shard).push(entry)
    }
    entry.receivers.push(receiver)
  }
  const give = (session: Session, subscriptions: readonly Subscription[], group: string | null): void => {
    const terms = deliveryTerms(session, subscriptions, message)
    if (!terms) return
    if (terms.qos > 0 && group !== null) {
      // Journaled for every session: what a member does not acknowledge is another's [MQTT-4.8.2-4].
      const receiver = { clientId: session.clientId, session: session.id, ...terms, group, replay: null }
      plan.choices.push({ offset: record.offset, receiver })
      owe(session.shard, receiver)
    } else if (terms.qos > 0 && session.isPersistent) {
      owe(session.shard, { clientId: session.clientId, session: session.id, ...terms, group, replay: null })
    } else if (session.attached && !mayHaveBeenSentBefore(message, terms.qos, session.attached)) {
      const { gateway } = session.attached
      let delivered = messages.get(gateway.incarnation)
      if (!delivered) {
        delivered = { source: record.source, offset: record.offset, value: record.value, receivers: [] }
        messages.set(gateway.incarnation, delivered)
        partOf(plan, gateway).messages.push(delivered)
      }
      delivered.receivers.push({ connection: session.attached.connection, dup: false, number: -1, ...terms })
    } else {
      plan.unkept++
    }
  }
  for (const { session, subscriptions } of matches) give(session, subscriptions, null)
  // Behind what the replay brings, whatever the QoS: the inbox of the session's shard is where both meet (model/replay.ts).
  for (const { session, subscription } of replays) {
    const { replay, replayAt } = subscription
    if (!replay || (replay.client !== null && replay.client !== message.clientId)) continue
    const terms = deliveryTerms(session, [subscription], message)
    if (terms) owe(session.shard, { clientId: session.clientId, session: session.id, ...terms, group: null, replay: replayAt ?? null })
  }
  for (const { session, subscription, group } of shared.members) give(session, [subscription], group)
  for (const [shard, receiver] of shared.recorded) {
    plan.choices.push({ offset: record.offset, receiver })
    owe(shard, receiver)
  }
}

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
const indexReceiverSize = ({ clientId, subscriptionIdentifiers, group }: IndexReceiver): number =>
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
