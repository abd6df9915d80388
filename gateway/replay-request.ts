/** What of a SUBSCRIBE asks for a replay: `$replay/…` in a filter, from MQTT 3.1.1 on, or user properties of MQTT 5 for all of its filters. */
import { asksForReplay, boundText, fixed, orderProblem, parseBound, parseReplayFilter, type ReplayRange } from '../history/replay-range.ts'
import type { UserProperties } from '../mqtt/packet.ts'
import { isShared } from '../mqtt/topic.ts'
import type { ReplayRequest } from '../schemas/session-records.ts'

/** What user properties ask for; a text says what is wrong with them, as the end of a sentence. */
export type ReplayProperties = ReplayRequest | string | null

/** Slower than a thousandth and faster than a million times is no pace that anybody means. */
const speedMin = 0.001
const speedMax = 1_000_000

const requestOf = ({ from, to }: ReplayRange, now: number): ReplayRequest => ({
  from: boundText(fixed(from, now)),
  to: to === null ? null : boundText(fixed(to, now)),
  client: null,
  speed: null,
  access: 'now',
})

const names = ['replay-from', 'replay-to', 'replay-speed', 'replay-client', 'replay-access'] as const

/**
 * What the user properties of those names ask for; null without any. The last of a name counts. `accessSince`: from when on it is known who could do what,
 * milliseconds since the epoch; null when it never is.
 */
export function readReplayProperties(properties: UserProperties, now: number, accessSince: number | null = null): ReplayProperties {
  const named = new Map(properties)
  const [fromText, toText, speedText, client = null, access = 'now'] = names.map((name) => named.get(name))
  if (fromText === undefined) return names.some((name) => named.has(name)) ? 'has a user property of a replay but no replay-from' : null
  const from = parseBound(fromText)
  if (typeof from === 'string') return `has a replay-from that ${from}`
  const to = toText === undefined ? null : parseBound(toText)
  if (typeof to === 'string') return `has a replay-to that ${to}`
  const backwards = to && orderProblem(fixed(from, now), fixed(to, now))
  if (backwards) return `has a replay-to before its replay-from: ${backwards}`
  const speed = speedText === undefined ? null : Number(speedText)
  if (speed !== null && !(speedText?.trim() !== '' && speed >= speedMin && speed <= speedMax))
    return `has a replay-speed that is not ${speedMin} to ${speedMax}`
  if (client === '') return 'has a replay-client that is empty'
  if (access !== 'now' && access !== 'then') return 'has a replay-access that is neither now nor then'
  const request = { ...requestOf({ from, to }, now), client, speed, access }
  return (access === 'then' ? accessProblem(fixed(from, now), accessSince) : null) ?? request
}

/** Positions are asked for when they are read: what is too old of them is left out then, and told. */
function accessProblem(from: ReturnType<typeof fixed>, since: number | null): string | null {
  if (since === null) return 'has a replay-access of then, and no history of who could do what is kept yet'
  if (from.kind !== 'time' || from.at >= since) return null
  return `has a replay-access of then, and a replay-from before ${new Date(since).toISOString()}, from when on it is known who could do what`
}

/** Why the filter cannot be replayed as asked at `now`, as the end of a sentence; null when it can, or need not be. */
export function replayProblem(filter: string, asked: ReplayProperties, now: number): string | null {
  if (typeof asked === 'string') return asked
  if (asked && isShared(filter)) return 'is a shared subscription, which has no replay'
  if (isShared(filter) && asksForReplay(filter.slice(filter.indexOf('/', '$share/'.length) + 1))) return 'is a shared subscription to a replay'
  if (!asksForReplay(filter)) return null
  if (asked?.from !== undefined) return 'asks for a replay twice: in itself and in user properties'
  const range = parseReplayFilter(filter)
  if (typeof range === 'string') return range
  const backwards = range.to && orderProblem(fixed(range.from, now), fixed(range.to, now))
  return backwards ? `names a replay that ends before it begins: ${backwards}` : null
}

/** What is to be replayed of a filter that has no problem. */
export function replayOf(filter: string, asked: ReplayProperties, now: number): ReplayRequest | null {
  if (!asksForReplay(filter)) return typeof asked === 'string' ? null : asked
  const range = parseReplayFilter(filter)
  return typeof range === 'string' ? null : requestOf(range, now)
}
