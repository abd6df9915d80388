/** What was promised against what happened: pure, so that the judge itself can be tested. */

export interface Seen {
  readonly topic: string
  readonly sequence: number
  readonly dup: boolean
}

export interface Receiver {
  readonly name: string
  /** What it was subscribed to all the time, as a persistent session at QoS 1. */
  readonly topics: readonly string[]
  readonly deliveries: readonly Seen[]
}

/** Whose sessions end with their connections: what comes between two of them is nobody's, what comes within one is owed. */
export interface TransientReceiver {
  readonly name: string
  readonly topics: readonly string[]
  readonly sessions: readonly (readonly Seen[])[]
}

export interface Evidence {
  /** Per topic the sequence numbers whose PUBACK came. Publishers count from 0 in each topic. */
  readonly acknowledged: ReadonlyMap<string, readonly number[]>
  /** How often a publisher sent a message, resends included. */
  readonly timesSent: (topic: string, sequence: number) => number
  readonly receivers: readonly Receiver[]
  readonly transient?: readonly TransientReceiver[]
  /** Per topic the sequence numbers in the order of the log; null when the broker has none. */
  readonly log: ReadonlyMap<string, readonly number[]> | null
  /** The message ids of the same; null when the broker has none. */
  readonly ids: ReadonlyMap<string, readonly string[]> | null
  /** Everything is QoS 2: a receiver that gets a message twice is a problem, and so are two ids of one message. */
  readonly isExactlyOnce: boolean
  /** What clients themselves found wrong: a session that was gone, a refusal. */
  readonly complaints: readonly string[]
}

export interface Verdict {
  readonly problems: readonly string[]
  readonly acknowledged: number
  readonly delivered: number
  /** Messages that stand in the log more than once, because a publisher sent them again. */
  readonly repeatsInLog: number
  /** Second deliveries that carry DUP. */
  readonly repeatsWithDup: number
  /** Second deliveries of a message that is in the log more than once. */
  readonly repeatsFromResends: number
}

const shown = 10

function brief(what: string, list: readonly string[]): string[] {
  if (list.length === 0) return []
  return [`${what}: ${list.slice(0, shown).join(', ')}${list.length > shown ? ` … ${list.length} in all` : ''}`]
}

/** Sequence numbers whose first occurrence stands behind a higher one. */
export function outOfOrder(sequences: readonly number[]): number[] {
  const seen = new Set<number>()
  const late: number[] = []
  let highest = -1
  for (const each of sequences) {
    if (seen.has(each)) continue
    seen.add(each)
    if (each < highest) late.push(each)
    else highest = each
  }
  return late
}

function countsOf(sequences: readonly number[]): Map<number, number> {
  const counts = new Map<number, number>()
  for (const each of sequences) counts.set(each, (counts.get(each) ?? 0) + 1)
  return counts
}

/** One message, one id, and the other way round: folded by id the log has each message once. */
function idProblems({ log, ids }: Evidence): string[] {
  const idOf = new Map<string, string>()
  const messageOf = new Map<string, string>()
  const problems: string[] = []
  for (const [topic, sequences] of log ?? []) {
    for (const [i, sequence] of sequences.entries()) {
      const message = `${topic} ${sequence}`
      const id = ids?.get(topic)?.[i]
      if (id === undefined) continue
      if ((idOf.get(message) ?? id) !== id) problems.push(`${message} has two ids`)
      if ((messageOf.get(id) ?? message) !== message) problems.push(`${message} and ${messageOf.get(id)} share an id`)
      idOf.set(message, id)
      messageOf.set(id, message)
    }
  }
  return brief('ids', problems)
}

function transientProblems({ name, topics, sessions }: TransientReceiver, evidence: Evidence, copiesOf: (topic: string, sequence: number) => number): string[] {
  const problems: string[] = []
  for (const [number, session] of sessions.entries()) {
    const who = `${name}, session ${number + 1},`
    problems.push(
      ...brief(
        `${who} got what it is not subscribed to`,
        [...new Set(session.map(({ topic }) => topic))].filter((each) => !topics.includes(each)),
      ),
    )
    for (const topic of topics) {
      const sequences = session.flatMap((each) => (each.topic === topic ? [each.sequence] : []))
      const counts = countsOf(sequences)
      const [first, last] = [Math.min(...sequences), Math.max(...sequences)]
      const missing = (evidence.acknowledged.get(topic) ?? []).filter((each) => each > first && each < last && !counts.has(each))
      const most = (sequence: number) => (evidence.isExactlyOnce ? 1 : copiesOf(topic, sequence))
      const repeated = [...counts].filter(([sequence, times]) => times > most(sequence))
      problems.push(
        ...brief(`${who} has holes in ${topic}`, missing.map(String)),
        ...brief(`${who} got out of order in ${topic}`, outOfOrder(sequences).map(String)),
        ...brief(
          `${who} got more often than published in ${topic}`,
          repeated.map(([sequence, times]) => `${sequence} (${times} times)`),
        ),
      )
    }
  }
  return problems
}

/** Judges a run. An empty list of problems means: nothing missing, nothing out of order, no repeat without a reason. */
export function judge(evidence: Evidence): Verdict {
  const problems: string[] = [...evidence.complaints]
  let repeatsInLog = 0
  const copies = new Map<string, Map<number, number>>()

  if (evidence.log) {
    for (const [topic, sequences] of evidence.log) {
      const counts = countsOf(sequences)
      copies.set(topic, counts)
      repeatsInLog += sequences.length - counts.size
      problems.push(...brief(`the log has out of order in ${topic}`, outOfOrder(sequences).map(String)))
    }
    for (const [topic, sequences] of evidence.acknowledged) {
      const counts = copies.get(topic)
      problems.push(...brief(`acknowledged, not in the log, ${topic}`, sequences.filter((each) => !counts?.has(each)).map(String)))
    }
  }

  if (evidence.isExactlyOnce) problems.push(...idProblems(evidence))

  const copiesOf = (topic: string, sequence: number) => (evidence.log ? (copies.get(topic)?.get(sequence) ?? 0) : evidence.timesSent(topic, sequence))
  let delivered = 0
  let repeatsWithDup = 0
  let repeatsFromResends = 0

  for (const receiver of evidence.receivers) {
    const byTopic = new Map<string, Seen[]>()
    for (const each of receiver.deliveries) {
      const list = byTopic.get(each.topic)
      if (list) list.push(each)
      else byTopic.set(each.topic, [each])
    }
    problems.push(
      ...brief(
        `${receiver.name} got what it is not subscribed to`,
        [...byTopic.keys()].filter((topic) => !receiver.topics.includes(topic)),
      ),
    )
    for (const topic of receiver.topics) {
      const list = byTopic.get(topic) ?? []
      const seen = new Set<number>()
      const plain = new Map<number, number>()
      for (const { sequence, dup } of list) {
        if (!dup) plain.set(sequence, (plain.get(sequence) ?? 0) + 1)
        if (!seen.has(sequence)) seen.add(sequence)
        else if (dup) repeatsWithDup++
        else repeatsFromResends++
      }
      delivered += seen.size
      if (evidence.isExactlyOnce) {
        const twice = [...countsOf(list.map((each) => each.sequence))].filter(([, times]) => times > 1)
        problems.push(
          ...brief(
            `${receiver.name} got more than once in ${topic}`,
            twice.map(([sequence, times]) => `${sequence} (${times} times)`),
          ),
        )
      }
      const missing = (evidence.acknowledged.get(topic) ?? []).filter((each) => !seen.has(each))
      const unexplained = [...plain].filter(([sequence, times]) => times > Math.max(1, copiesOf(topic, sequence)))
      const fromNowhere = [...seen].filter((each) => copiesOf(topic, each) === 0)
      problems.push(
        ...brief(`${receiver.name} misses in ${topic}`, missing.map(String)),
        ...brief(`${receiver.name} got out of order in ${topic}`, outOfOrder(list.map((each) => each.sequence)).map(String)),
        ...brief(
          `${receiver.name} got again without DUP in ${topic}`,
          unexplained.map(([sequence, times]) => `${sequence} (${times} times, ${copiesOf(topic, sequence)} published)`),
        ),
        ...brief(`${receiver.name} got what nobody published in ${topic}`, fromNowhere.map(String)),
      )
    }
  }
  for (const receiver of evidence.transient ?? []) problems.push(...transientProblems(receiver, evidence, copiesOf))
  const acknowledged = [...evidence.acknowledged.values()].reduce((sum, each) => sum + each.length, 0)
  return { problems, acknowledged, delivered, repeatsInLog, repeatsWithDup, repeatsFromResends }
}
