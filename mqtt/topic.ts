/** Topic names and topic filters: section 4.7 of MQTT 5 (the same rules hold in 3.1.1), and shared subscriptions, section 4.8.2. */

/** Longest topic name or filter, in bytes of UTF-8 [MQTT-4.7.3-3]. */
export const topicBytesMax = 65_535

const loneSurrogate = /\p{Surrogate}/u
const sharePrefix = '$share/'

/** What no UTF-8 encoded string may hold, nor a topic: why, or null. */
function textProblem(text: string): string | null {
  if (text.length === 0) return 'is empty' // [MQTT-4.7.3-1]
  if (text.includes('\u0000')) return 'contains U+0000' // [MQTT-4.7.3-2]
  if (loneSurrogate.test(text)) return 'contains a lone surrogate' // [MQTT-1.5.4-1]
  // A UTF-16 unit takes at most three bytes, so most strings need no counting.
  if (text.length * 3 > topicBytesMax && Buffer.byteLength(text) > topicBytesMax) return `is longer than ${topicBytesMax} bytes` // [MQTT-4.7.3-3]
  return null
}

/** Why a string is not a topic name, as the end of a sentence; null when it is one. */
export function topicNameProblem(topic: string): string | null {
  const problem = textProblem(topic)
  if (problem !== null) return problem
  return hasWildcard(topic) ? 'contains a wildcard' : null // [MQTT-4.7.1-1]
}

/** Why a string is not a topic filter (a shared one included), as the end of a sentence; null when it is one. */
export function topicFilterProblem(filter: string): string | null {
  const problem = textProblem(filter)
  if (problem !== null) return problem
  if (!filter.startsWith(sharePrefix)) return wildcardProblem(filter)
  const end = filter.indexOf('/', sharePrefix.length)
  if (end === -1 || end === filter.length - 1) return 'names a share without a topic filter' // [MQTT-4.8.2-2]
  if (end === sharePrefix.length) return 'has an empty share name' // [MQTT-4.8.2-1]
  if (hasWildcard(filter.slice(sharePrefix.length, end))) return 'has a wildcard in its share name' // [MQTT-4.8.2-2]
  return wildcardProblem(filter.slice(end + 1))
}

function wildcardProblem(filter: string): string | null {
  for (let at = 0; at < filter.length; at++) {
    const unit = filter.charCodeAt(at)
    if (unit !== 0x23 && unit !== 0x2b) continue
    if (at > 0 && filter.charCodeAt(at - 1) !== 0x2f) return 'has a wildcard that does not fill its level' // [MQTT-4.7.1-1], [MQTT-4.7.1-2]
    if (unit === 0x23 && at !== filter.length - 1) return 'has # before its end' // [MQTT-4.7.1-1]
    if (unit === 0x2b && at !== filter.length - 1 && filter.charCodeAt(at + 1) !== 0x2f) return 'has a wildcard that does not fill its level'
  }
  return null
}

/** True when + or # occurs anywhere. */
export function hasWildcard(text: string): boolean {
  return text.includes('+') || text.includes('#')
}

/** Number of levels of a topic name or filter: `a/b` has two, `/` has two. */
export function levelCount(topic: string): number {
  let levels = 1
  for (let at = topic.indexOf('/'); at !== -1; at = topic.indexOf('/', at + 1)) levels++
  return levels
}

export interface SharedFilter {
  readonly group: string
  readonly filter: string
}

/** Whether a filter asks for a shared subscription, in good form or not. */
export function isShared(filter: string): boolean {
  return filter.startsWith(sharePrefix) || filter === '$share'
}

/** The parts of `$share/{group}/{filter}`; null for any other filter. Expects a valid filter. */
export function parseShared(filter: string): SharedFilter | null {
  if (!filter.startsWith(sharePrefix)) return null
  const end = filter.indexOf('/', sharePrefix.length)
  if (end === -1) return null
  return { group: filter.slice(sharePrefix.length, end), filter: filter.slice(end + 1) }
}

/** Whether a valid filter (not a shared one: parse it first) matches a valid topic name. Allocates nothing. */
export function matches(filter: string, topic: string): boolean {
  // [MQTT-4.7.2-1]: a leading wildcard does not match topics that begin with $.
  if (topic.charCodeAt(0) === 0x24 && (filter.charCodeAt(0) === 0x23 || filter.charCodeAt(0) === 0x2b)) return false
  let f = 0
  let t = 0
  for (;;) {
    const unit = filter.charCodeAt(f)
    if (unit === 0x23) return true
    if (unit === 0x2b) {
      f++
      while (t < topic.length && topic.charCodeAt(t) !== 0x2f) t++
    } else {
      while (f < filter.length && filter.charCodeAt(f) !== 0x2f) {
        if (t >= topic.length || filter.charCodeAt(f) !== topic.charCodeAt(t)) return false
        f++
        t++
      }
    }
    // Both stand at the end of a level now, or the levels differ.
    if (t >= topic.length) return f >= filter.length || (filter.length - f === 2 && filter.charCodeAt(f + 1) === 0x23) // a/# matches a
    if (f >= filter.length || topic.charCodeAt(t) !== 0x2f) return false
    f++
    t++
  }
}
