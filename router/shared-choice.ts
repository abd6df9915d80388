/**
 * Who of a group gets a message. A publisher's messages on one topic stay with a member while it has anything to
 * acknowledge, so that the members do not overtake one another; a member that is done lets the stream go to whoever is
 * owed least.
 */
import { LRUCache } from 'lru-cache'
import type { Session } from '../model/session.ts'
import type { Member, SharedGroup } from './shared-group.ts'

/** What this router knows of what a member is owed. */
export interface Debts {
  /** Messages that the session has not acknowledged; undefined when its shard is another router's. */
  owed(session: Session): number | undefined
  /** Whether the debts of the source's messages up to this offset are in the queues of the shard; only for own shards. */
  hasIndexed(shard: number, source: number, offset: number): boolean
}

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

  choose(group: SharedGroup, publisher: string, topic: string, source: number, offset: number): Member | undefined {
    const key = `${group.filter}\0${publisher}\0${topic}`
    const stream = this.#streams.get(key)
    const member = (stream && this.#stays(stream, group)) ?? group.next((session) => this.#debts.owed(session) ?? 0)
    if (member) this.#streams.set(key, { session: member.session, source, offset })
    return member
  }

  /** The member of the messages before, when it is still one, here, and not known to be done with them. */
  #stays({ session, source, offset }: Stream, group: SharedGroup): Member | undefined {
    if (!session.attached) return undefined
    const owed = this.#debts.owed(session)
    if (owed === 0 && this.#debts.hasIndexed(session.shard, source, offset)) return undefined
    return group.member(session)
  }
}
