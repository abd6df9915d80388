/**
 * Who of a group gets a message. A publisher's messages on one topic stay with a member while it has anything to
 * acknowledge, so that the members do not overtake one another; a member that is done, or has more than enough while another has
 * room, lets the stream go to whoever is owed least.
 */
import { LRUCache } from 'lru-cache'
import type { Session } from '../model/session.ts'
import type { Member, SharedGroup } from './shared-group.ts'
import type { SharedRoom } from './shared-room.ts'

/** What this router knows of what a member is owed. */
export interface Debts {
  /** Messages that the session has not acknowledged; undefined when its shard is another router's. */
  owed(session: Session): number | undefined
  /** Whether the debts of the source's messages up to this offset are in the queues of the shard; only for own shards. */
  hasIndexed(shard: number, source: number, offset: number): boolean
  readonly room: Pick<SharedRoom, 'debt' | 'hasRoom' | 'mayKeep'>
}

/** A message that somebody of a group is to get. */
export interface SharedMessage {
  readonly publisher: string
  readonly topic: string
  readonly source: number
  readonly offset: number
}

/** Who has a connection has enough. */
export const full = Symbol('full')

interface Stream {
  readonly session: Session
  readonly source: number
  readonly offset: number
}

export class SharedChoice {
  readonly #debts: Debts
  readonly #streams: LRUCache<string, Stream>

  /** `streamsMax` bounds what is remembered: a stream that is forgotten goes to whoever is owed least. */
  constructor(debts: Debts, streamsMax: number) {
    this.#debts = debts
    this.#streams = new LRUCache({ max: streamsMax })
  }

  /** The member that gets it, however much that is owed; undefined when there is nobody. */
  choose(group: SharedGroup, message: SharedMessage): Member | undefined {
    const key = keyOf(group, message)
    return this.#keep(key, message, this.#staying(key, group) ?? group.next(this.#debts.room.debt))
  }

  /** The same as far as members with a connection have room; `isQueued`: it goes into their queues whatever QoS they were granted. */
  chooseWithRoom(group: SharedGroup, message: SharedMessage, isQueued = false): Member | undefined | typeof full {
    const key = keyOf(group, message)
    const { debt, hasRoom, mayKeep } = this.#debts.room
    const staying = this.#staying(key, group)
    if (staying && ((staying.subscription.qos === 0 && !isQueued) || mayKeep(staying.session))) return this.#keep(key, message, staying)
    const member = group.nextAttached(debt, hasRoom, isQueued)
    if (!member && group.hasAttached) return full
    return this.#keep(key, message, member ?? group.next(debt))
  }

  #keep(key: string, { source, offset }: SharedMessage, member: Member | undefined): Member | undefined {
    if (member) this.#streams.set(key, { session: member.session, source, offset })
    return member
  }

  /** The member of the messages before, when it is still one, here, and not known to be done with them. */
  #staying(key: string, group: SharedGroup): Member | undefined {
    const stream = this.#streams.get(key)
    if (!stream?.session.attached) return undefined
    const { session, source, offset } = stream
    // What a group that is behind is given has marks of its own: some of it may be on its way although the shard has come further.
    const { owed, hasIndexed, room } = this.#debts
    if (owed(session) === 0 && room.debt(session) === 0 && hasIndexed(session.shard, source, offset)) return undefined
    return group.member(session)
  }
}

const keyOf = ({ filter }: SharedGroup, { publisher, topic }: SharedMessage): string => `${filter}\0${publisher}\0${topic}`
