/**
 * Matching, pure: what a stretch of messages means for whom. Messages of QoS 0 and those for sessions that end with their
 * connection go straight to the gateways; what persistent sessions are owed goes into the inbox of their shards.
 */
import type { DeliveredMessage, Receiver } from '../proto/frames.ts'
import type { GatewayIncarnation, IndexEntry, IndexReceiver } from '../schemas/records.ts'
import { deliveryTerms, type Published } from './delivery-terms.ts'
import type { Match } from './subscription-trie.ts'

/** What is read of a record before it is matched. */
export interface PublishedRecord extends Published {
  /** Milliseconds since the epoch; 0 never. */
  readonly expiresAt: number
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
  /** QoS 0 messages for sessions without a connection: nobody keeps those. */
  unkept: number
}

export const emptyPlan = (): StretchPlan => ({ direct: new Map(), indexed: new Map(), unkept: 0 })

interface MutableMessage extends DeliveredMessage {
  readonly receivers: Receiver[]
}

interface MutableEntry extends IndexEntry {
  readonly receivers: IndexReceiver[]
}

/** Adds one record and its matches to the plan. */
export function planRecord(
  plan: StretchPlan,
  record: { readonly source: number; readonly offset: number; readonly value: Buffer },
  message: PublishedRecord,
  matches: readonly Match[],
): void {
  // By gateway and by shard within this record, so that each gets the payload or the position once.
  const messages = new Map<number, MutableMessage>()
  const entries = new Map<number, MutableEntry>()
  for (const { session, subscriptions } of matches) {
    const terms = deliveryTerms(session, subscriptions, message)
    if (!terms) continue
    if (terms.qos > 0 && session.isPersistent) {
      let entry = entries.get(session.shard)
      if (!entry) {
        entry = { offset: record.offset, size: record.value.length, expiresAt: message.expiresAt || null, receivers: [] }
        entries.set(session.shard, entry)
        listOf(plan.indexed, session.shard).push(entry)
      }
      entry.receivers.push({ clientId: session.clientId, session: session.id, ...terms })
    } else if (session.attached) {
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
}

/** Splits what a shard is owed into records whose receivers number at most `receiversMax` each. */
export function* indexParts(entries: readonly IndexEntry[], receiversMax: number): Generator<IndexEntry[]> {
  let part: IndexEntry[] = []
  let receivers = 0
  for (const entry of entries) {
    for (let from = 0; from < entry.receivers.length; from += receiversMax) {
      const piece = entry.receivers.length <= receiversMax ? entry : { ...entry, receivers: entry.receivers.slice(from, from + receiversMax) }
      if (receivers + piece.receivers.length > receiversMax && part.length > 0) {
        yield part
        part = []
        receivers = 0
      }
      part.push(piece)
      receivers += piece.receivers.length
    }
  }
  if (part.length > 0) yield part
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
