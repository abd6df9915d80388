/**
 * All subscriptions of the namespace, found by topic: sessions on one side, groups of shared subscriptions beside them
 * under their inner filter. Every router holds all of them.
 */

import { withoutReplay } from '../history/replay-range.ts'
import { FilterTree } from '../model/filter-tree.ts'
import type { Session, Subscription } from '../model/session.ts'
import { parseShared } from '../mqtt/topic.ts'
import { SharedGroup } from './shared-group.ts'

/** A session and those of its subscriptions that match. */
export interface Match {
  readonly session: Session
  readonly subscriptions: Subscription[]
}

/** A replay that goes on with what is published. */
export interface ReplayMatch {
  readonly session: Session
  readonly subscription: Subscription
}

export class SubscriptionTrie {
  readonly #sessions = new FilterTree<Session, Subscription>()
  readonly #shared = new FilterTree<SharedGroup, null>()
  /** By `$share/{group}/{filter}`: the same group name with another filter is another shared subscription (section 4.8.2). */
  readonly #groups = new Map<string, SharedGroup>()
  /** The groups that a session is a member of; none without. */
  readonly #groupsOf = new Map<Session, Set<SharedGroup>>()
  #members = 0
  /** Each for itself: one session may have several under one filter. */
  readonly #replays = new FilterTree<ReplayMatch, null>()
  /** By session and whole filter; those that have an end, too, which match nothing here. */
  readonly #replaysOf = new Map<Session, Map<string, ReplayMatch>>()
  #replayCount = 0

  /** Subscriptions held. */
  get size(): number {
    return this.#sessions.size + this.#members + this.#replayCount
  }

  /** Filters and nodes held: none without subscriptions. */
  get nodes(): number {
    return this.#sessions.nodes + this.#shared.nodes + this.#replays.nodes
  }

  /** Adds or replaces the session's subscription to this filter. */
  add(session: Session, subscription: Subscription): void {
    const shared = parseShared(subscription.filter)
    if (subscription.replay || this.#replaysOf.get(session)?.has(subscription.filter)) this.#forget(session, subscription.filter)
    if (subscription.replay) {
      this.#addReplay({ session, subscription })
      return
    }
    if (!shared) {
      this.#sessions.set(subscription.filter, session, subscription)
      return
    }
    let group = this.#groups.get(subscription.filter)
    if (!group) {
      group = new SharedGroup(subscription.filter)
      this.#groups.set(subscription.filter, group)
      this.#shared.set(shared.filter, group, null)
    }
    if (!group.add(session, subscription)) return
    this.#members++
    const groups = this.#groupsOf.get(session) ?? new Set()
    this.#groupsOf.set(session, groups.add(group))
  }

  remove(session: Session, filter: string): void {
    const shared = parseShared(filter)
    if (!shared) {
      this.#forget(session, filter)
      return
    }
    const group = this.#groups.get(filter)
    if (!group?.remove(session)) return
    this.#members--
    const groups = this.#groupsOf.get(session)
    groups?.delete(group)
    if (groups?.size === 0) this.#groupsOf.delete(session)
    if (group.size > 0) return
    this.#groups.delete(filter)
    this.#shared.delete(shared.filter, group)
  }

  #addReplay(match: ReplayMatch): void {
    const { session, subscription } = match
    const { filter, replay } = subscription
    this.#replaysOf.set(session, (this.#replaysOf.get(session) ?? new Map<string, ReplayMatch>()).set(filter, match))
    this.#replayCount++
    if (replay?.to === null) this.#replays.set(withoutReplay(filter), match, null)
  }

  /** A filter may have been one of a replay and be none now, and the other way round. */
  #forget(session: Session, filter: string): void {
    this.#sessions.delete(filter, session)
    const replays = this.#replaysOf.get(session)
    const match = replays?.get(filter)
    if (!replays || !match) return
    replays.delete(filter)
    if (replays.size === 0) this.#replaysOf.delete(session)
    this.#replayCount--
    this.#replays.delete(withoutReplay(filter), match)
  }

  /** The session has got or lost its connection: its groups, which are returned, prefer members that have one. */
  connectionChanged(session: Session): Iterable<SharedGroup> {
    const groups = this.#groupsOf.get(session) ?? noGroups
    for (const group of groups) group.connectionChanged(session)
    return groups
  }

  /** Every session with a matching subscription that is not shared, once. */
  match(topic: string): Match[] {
    const found = new Map<Session, Match>()
    this.#sessions.match(topic, (subscribers) => {
      for (const [session, subscription] of subscribers) {
        const match = found.get(session)
        if (match) match.subscriptions.push(subscription)
        else found.set(session, { session, subscriptions: [subscription] })
      }
    })
    return [...found.values()]
  }

  /** Every replay that goes on with what is published and matches. */
  matchReplays(topic: string): readonly ReplayMatch[] {
    if (this.#replays.size === 0) return noReplays
    const found: ReplayMatch[] = []
    // One by one: there may be more of one filter than a call takes arguments.
    this.#replays.match(topic, (matches) => {
      for (const replay of matches.keys()) found.push(replay)
    })
    return found
  }

  /** Every shared subscription that matches. */
  matchGroups(topic: string): readonly SharedGroup[] {
    if (this.#groups.size === 0) return noGroups
    const found: SharedGroup[] = []
    this.#shared.match(topic, (groups) => {
      for (const group of groups.keys()) found.push(group)
    })
    return found
  }

  /** The shared subscriptions that the session is a member of. */
  groupsOf(session: Session): Iterable<SharedGroup> {
    return this.#groupsOf.get(session) ?? noGroups
  }

  /** The shared subscription with this whole filter. */
  group(filter: string): SharedGroup | undefined {
    return this.#groups.get(filter)
  }
}

const noGroups: readonly SharedGroup[] = []
const noReplays: readonly ReplayMatch[] = []
