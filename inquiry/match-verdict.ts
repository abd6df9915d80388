/** What matching makes of one message for one client, as its session stood then: the same rules as routers use. Pure. */
import { deliveryTerms, type Published } from '../model/delivery-terms.ts'
import type { Subscription } from '../model/session.ts'
import { isShared } from '../mqtt/topic.ts'
import type { Attachment } from '../schemas/snapshot-records.ts'
import { isOnTopic, type SessionThen } from './client-life.ts'

export type MatchVerdict =
  | { readonly kind: 'noSession' }
  | { readonly kind: 'noMatch' }
  /** Only No Local subscriptions match the client's own message. */
  | { readonly kind: 'noLocal'; readonly by: readonly Subscription[] }
  /** It is noted in the session's queue. */
  | { readonly kind: 'owed'; readonly qos: number; readonly by: readonly Subscription[] }
  /** It goes to the connection that there is, and stands in no journal. */
  | { readonly kind: 'direct'; readonly qos: number; readonly by: readonly Subscription[]; readonly attached: Attachment }
  /** It would go to a connection, and there is none. */
  | { readonly kind: 'absent'; readonly qos: number; readonly by: readonly Subscription[] }
  /** Only shared subscriptions match: one member gets it. `isNoted`: who, is a record. */
  | { readonly kind: 'shared'; readonly isNoted: boolean; readonly by: readonly Subscription[] }
  /** Only a replay matches, which brings it in its turn, or goes on with it. */
  | { readonly kind: 'replay'; readonly by: readonly Subscription[] }

export function matchVerdict(then: SessionThen | null, topic: string, message: Published): MatchVerdict {
  if (!then) return { kind: 'noSession' }
  const matching = [...then.subscriptions.values()].filter((subscription) => isOnTopic(subscription, topic))
  const replays = matching.filter(({ replay }) => replay !== null)
  const shared = matching.filter(({ filter, replay }) => replay === null && isShared(filter))
  const plain = matching.filter(({ filter, replay }) => replay === null && !isShared(filter))
  const terms = deliveryTerms(then.session, plain, message)
  if (terms) {
    if (terms.qos > 0 && then.isPersistent) return { kind: 'owed', qos: terms.qos, by: plain }
    return then.attached ? { kind: 'direct', qos: terms.qos, by: plain, attached: then.attached } : { kind: 'absent', qos: terms.qos, by: plain }
  }
  if (shared.length > 0) return { kind: 'shared', isNoted: message.qos > 0 && shared.some(({ qos }) => qos > 0), by: shared }
  if (replays.length > 0) return { kind: 'replay', by: replays }
  return plain.length > 0 ? { kind: 'noLocal', by: plain } : { kind: 'noMatch' }
}

/** How many levels of the topic a filter matches from the front: of those that do not match, which nearly does. */
function levelsMatched(filter: string, topic: string): number {
  const asked = filter.split('/')
  const levels = topic.split('/')
  let matched = 0
  while (matched < asked.length && matched < levels.length && (asked[matched] === '+' || asked[matched] === levels[matched])) matched++
  return matched
}

/** Subscriptions that do not match the topic, the nearest first. */
export function nearest(subscriptions: Iterable<Subscription>, topic: string, count: number): readonly Subscription[] {
  return [...subscriptions]
    .filter((subscription) => !isOnTopic(subscription, topic))
    .map((subscription) => ({ subscription, levels: levelsMatched(subscription.filter, topic) }))
    .sort((a, b) => b.levels - a.levels)
    .slice(0, count)
    .map(({ subscription }) => subscription)
}
