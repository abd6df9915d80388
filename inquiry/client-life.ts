/** One client id's sessions and subscriptions as its `sessions` journal tells them, by the fold that routers use. */

import { withoutReplay } from '../history/replay-range.ts'
import type { Session, Subscription } from '../model/session.ts'
import { SessionFold } from '../model/session-fold.ts'
import { restoreSessions } from '../model/snapshot.ts'
import { matches, parseShared } from '../mqtt/topic.ts'
import type { SharedIndexed } from '../schemas/inbox-records.ts'
import type { AnyRecord } from '../schemas/records.ts'
import type { Attachment, SessionState, SnapshotClosed } from '../schemas/snapshot-records.ts'
import type { Place, PlacedRecord } from './records.ts'

/** Where a fold begins: nothing, or what an owner of the shard wrote down of the client. */
export interface Base {
  readonly closed: SnapshotClosed | null
  readonly states: readonly SessionState[]
  /** What groups that were behind had brought. */
  readonly marks: readonly SharedIndexed[]
}

/** A subscription for as long as it was there. */
export interface Span {
  readonly session: number
  readonly subscription: Subscription
  /** Null: from before what was read. */
  readonly since: Place | null
  until: Place | null
}

/** A session for as long as it was there. */
export interface Life {
  readonly id: number
  /** Null: from before what was read. */
  readonly since: Place | null
  until: Place | null
  /** Why it ended. */
  reason: string | null
}

/** The client's session at a moment. */
export interface SessionThen {
  readonly session: Session
  readonly subscriptions: ReadonlyMap<string, Subscription>
  readonly attached: Attachment | null
  readonly isPersistent: boolean
}

/** Subscriptions that are remembered, those that are there and those that were. */
const spansMax = 1_000
/** Sessions likewise: the newest. */
const livesMax = 200

export class ClientLife {
  readonly clientId: string
  readonly lives: Life[] = []
  readonly spans: Span[] = []
  readonly #fold: SessionFold

  constructor(clientId: string, shard: number, { closed, states }: Base) {
    this.clientId = clientId
    this.#fold = new SessionFold(shard)
    if (!closed) return
    restoreSessions(this.#fold, states, closed)
    const session = this.#fold.sessions.get(clientId)
    if (!session || session.isOver) return
    this.lives.push({ id: session.id, since: null, until: null, reason: null })
    for (const subscription of session.subscriptions.values()) this.spans.push({ session: session.id, subscription, since: null, until: null })
  }

  apply({ place, record }: PlacedRecord): void {
    if (!isOf(record, this.clientId)) return
    for (const change of this.#fold.apply(place.offset, record)) {
      switch (change.kind) {
        case 'attached':
          if (!change.isPresent) this.#add(this.lives, livesMax, { id: change.session.id, since: place, until: null, reason: null })
          break
        case 'subscribed':
          for (const subscription of change.added) {
            this.#end(change.session.id, subscription.filter, place)
            this.#add(this.spans, spansMax, { session: change.session.id, subscription, since: place, until: null })
          }
          break
        case 'unsubscribed':
          for (const { filter } of change.removed) this.#end(change.session.id, filter, place)
          break
        case 'ended': {
          for (const { filter } of change.removed) this.#end(change.session.id, filter, place)
          const life = this.lives.findLast(({ id }) => id === change.session.id)
          if (life) {
            life.until = place
            life.reason = change.reason
          }
          break
        }
        default:
      }
    }
  }

  /** The session as it stands now; null when there is none. */
  now(): SessionThen | null {
    const session = this.#fold.sessions.get(this.clientId)
    if (!session || session.isOver) return null
    return { session, subscriptions: new Map(session.subscriptions), attached: session.attached, isPersistent: session.isPersistent }
  }

  #add<T>(list: T[], max: number, item: T): void {
    list.push(item)
    if (list.length > max) list.shift()
  }

  #end(session: number, filter: string, place: Place): void {
    const span = this.spans.findLast((each) => each.session === session && each.subscription.filter === filter && each.until === null)
    if (span) span.until = place
  }
}

/** Records of other clients change nothing of this one. */
function isOf({ name, value }: AnyRecord, clientId: string): boolean {
  return name === 'TermAnnounced' || ('clientId' in value && value.clientId === clientId)
}

/** The filter that is really subscribed to: without whose turn it is, and without what is replayed. */
export const innerFilter = (filter: string): string => parseShared(filter)?.filter ?? withoutReplay(filter)

export const isOnTopic = ({ filter }: Pick<Subscription, 'filter'>, topic: string): boolean => matches(innerFilter(filter), topic)
