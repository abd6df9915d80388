/** The topics of one namespace: their names, how they are made, and what an existing one must look like before it is used. */
import { SettingError, type Settings, type Values } from '../settings/setting.ts'
import { parseDuration } from './duration.ts'
import { type Log, TopicMismatch, type TopicSpec } from './log.ts'

export const topicKinds = [
  'messages',
  'index',
  'sessions',
  'inbox',
  'snapshots',
  'checkpoints',
  'retained',
  'deliveries',
  'receipts',
  'lifecycle',
  'audit',
  'keys',
  'registry',
  'registry-snapshots',
  'gateways',
] as const
export type TopicKind = (typeof topicKinds)[number]
/** Those that have one partition, whatever number of shards there is. */
export const unshardedKinds: readonly TopicKind[] = ['registry', 'registry-snapshots', 'keys', 'gateways']
export type TopicNames = Readonly<Record<TopicKind, string>>

/** `<prefix>.<namespace>.<topic>`. */
export function topicNames(prefix: string, namespace: string): TopicNames {
  return Object.fromEntries(topicKinds.map((kind) => [kind, `${prefix}.${namespace}.${kind}`])) as Record<TopicKind, string>
}

export const profiles = ['development', 'production'] as const
export type Profile = (typeof profiles)[number]

/** What every service has to know about the topics. */
export const topicSettings = {
  KAFKA_PARTITIONS: {
    kind: 'number',
    default: 4,
    min: 1,
    max: 1024,
    about: 'Shards of a namespace: partitions of each sharded topic. Fixed once the topics exist: `loggerhead partitions` raises it',
  },
  KAFKA_REPLICATION: {
    kind: 'number',
    default: 0,
    min: 0,
    max: 32,
    about: 'Replicas of each topic when it is made; 0 takes 1 in the development profile and 3 in production. From 3 on min.insync.replicas is 2.',
  },
  LOGGERHEAD_PREFIX: { kind: 'text', default: 'loggerhead', about: 'First part of all topic names.' },
  HISTORY_WINDOW: {
    kind: 'text',
    default: '7d',
    about:
      'How long messages and journals are kept, and state of the past can be asked for: 7d, 12h, 90m, milliseconds, ISO 8601 such as P7D, or unlimited. At least one hour.',
  },
  HISTORY_BYTES: {
    kind: 'number',
    default: 0,
    min: 0,
    max: Number.MAX_SAFE_INTEGER,
    unit: 'bytes',
    about: 'Messages that each shard keeps, within HISTORY_WINDOW; 0: as many as come. At least 16777216, and not below what clients may be owed',
    outcome: 'the oldest messages go before the window is over; one that is still owed is dropped as gone',
    metric: 'loggerhead_deliveries_dropped_total{reason="gone"}',
  },
  NAMESPACE_HISTORY: {
    kind: 'text',
    default: '',
    about:
      'Windows of single namespaces, separated by commas, each as namespace=30d or, with its own HISTORY_BYTES behind a slash, namespace=30d/1073741824; the others have HISTORY_WINDOW.',
  },
  AUDIT_WINDOW: {
    kind: 'text',
    default: '',
    about: 'How long checkpoints of the audit chains are kept, as HISTORY_WINDOW and not below it; empty: two days longer than HISTORY_WINDOW.',
  },
} as const satisfies Settings

const hourMs = 3_600_000
const dayMs = 24 * hourMs

/** HISTORY_WINDOW in milliseconds; Infinity when nothing is ever deleted. Throws SettingError. */
export function historyWindowMs(text: string, variable = 'HISTORY_WINDOW'): number {
  if (text === 'unlimited') return Number.POSITIVE_INFINITY
  const ms = parseDuration(text)
  if (ms === null) throw new SettingError(variable, `“${text}” is not a length of time such as 7d, 12h, 604800000 (ms) or P7D, and not unlimited`)
  if (ms < hourMs || ms > 3650 * dayMs) throw new SettingError(variable, `“${text}” is not between 1h and 3650d`)
  return ms
}

/** What a namespace keeps. */
export interface Retention {
  /** Infinity: nothing is deleted. */
  readonly windowMs: number
  /** Of messages in each shard; 0 for any number. */
  readonly bytes: number
}

const historyBytesMin = 16 * 1024 * 1024

function historyBytes(bytes: number, variable: string): number {
  if (bytes !== 0 && !(bytes >= historyBytesMin && bytes <= Number.MAX_SAFE_INTEGER))
    throw new SettingError(variable, `${bytes} is neither 0 nor at least ${historyBytesMin}`)
  return bytes
}

/** NAMESPACE_HISTORY by namespace. Throws SettingError. */
function namespaceHistory(text: string, bytes: number): ReadonlyMap<string, Retention> {
  const variable = 'NAMESPACE_HISTORY'
  const retentions = new Map<string, Retention>()
  for (const each of text.split(',').map((part) => part.trim())) {
    if (each === '') continue
    const [, name, window, own] = /^([A-Za-z0-9-]{3,50})=([^/]+)(?:\/(\d{1,16}))?$/.exec(each) ?? []
    if (name === undefined || window === undefined)
      throw new SettingError(variable, `“${each}” is not namespace=window or namespace=window/bytes, such as factory=30d`)
    if (retentions.has(name)) throw new SettingError(variable, `it names “${name}” twice`)
    retentions.set(name, { windowMs: historyWindowMs(window, variable), bytes: own === undefined ? bytes : historyBytes(Number(own), variable) })
  }
  return retentions
}

/** AUDIT_WINDOW in milliseconds. Throws SettingError. */
export function auditWindowMs(text: string, historyMs: number): number {
  // What retention leaves of a log is older than its window by the age of a segment: it is to be provable from its first record on.
  if (text === '') return historyMs + 2 * dayMs
  if (text === 'unlimited') return Number.POSITIVE_INFINITY
  const ms = parseDuration(text)
  if (ms === null) throw new SettingError('AUDIT_WINDOW', `“${text}” is not a length of time such as 30d, 12h, 604800000 (ms) or P30D, and not unlimited`)
  if (ms < historyMs || ms > 3660 * dayMs) throw new SettingError('AUDIT_WINDOW', `“${text}” is not between HISTORY_WINDOW and 3660d`)
  return ms
}

export interface TopicPlan {
  readonly prefix: string
  readonly names: TopicNames
  readonly partitions: number
  readonly replication: number
  readonly historyWindowMs: number
  /** Bytes of messages in each shard; 0 or none for any number. */
  readonly historyBytes?: number
  /** Of namespaces without a retention of their own. */
  readonly others?: Retention
  /** Of namespaces that keep theirs for another time. */
  readonly retentions?: ReadonlyMap<string, Retention>
  readonly auditWindowMs: number
}

/** The plan a process's settings describe. */
export function planTopics(values: Values<typeof topicSettings>, namespace: string, profile: Profile): TopicPlan {
  const prefix = values.LOGGERHEAD_PREFIX
  if (!/^[A-Za-z0-9._-]{1,100}$/.test(prefix)) {
    throw new SettingError('LOGGERHEAD_PREFIX', `“${prefix}” is not 1 to 100 letters, digits, dots, underscores or hyphens`)
  }
  const replication = values.KAFKA_REPLICATION === 0 ? (profile === 'production' ? 3 : 1) : values.KAFKA_REPLICATION
  if (profile === 'production' && replication < 3) {
    throw new SettingError('KAFKA_REPLICATION', `${replication} is below 3, the least the production profile allows`)
  }
  const windowMs = historyWindowMs(values.HISTORY_WINDOW)
  const bytes = historyBytes(values.HISTORY_BYTES, 'HISTORY_BYTES')
  const plan: TopicPlan = {
    prefix,
    names: topicNames(prefix, namespace),
    partitions: values.KAFKA_PARTITIONS,
    replication,
    historyWindowMs: windowMs,
    historyBytes: bytes,
    others: { windowMs, bytes },
    retentions: namespaceHistory(values.NAMESPACE_HISTORY, bytes),
    auditWindowMs: auditWindowMs(values.AUDIT_WINDOW, windowMs),
  }
  return kept(plan, namespace, { windowMs, bytes })
}

/** The plan with what the namespace keeps; its audit chains reach as far at least. */
function kept(plan: TopicPlan, namespace: string, others: Retention): TopicPlan {
  const { windowMs, bytes } = plan.retentions?.get(namespace) ?? others
  return { ...plan, historyWindowMs: windowMs, historyBytes: bytes, auditWindowMs: Math.max(plan.auditWindowMs, windowMs) }
}

/** The same for another namespace of the deployment, by the name of its life; `plan` is that of the home namespace. */
export function planFor(plan: TopicPlan, life: string, partitions: number): TopicPlan {
  const [namespace = life] = life.split('.')
  const others = plan.others ?? { windowMs: plan.historyWindowMs, bytes: plan.historyBytes ?? 0 }
  return kept({ ...plan, names: topicNames(plan.prefix, life), partitions }, namespace, others)
}

/** Kafka's own default, said aloud: Maximum Packet Size is derived from it. */
export const messageBytesMax = 1_048_588

/** What a snapshot of the registry adds to a record as large as can be, bytes. */
const snapshotRoom = 65_536

/** Longest time between two checkpoints, however long the window, ms. */
export const checkpointMsMax = 6 * hourMs

/** How often the owner of a shard writes down its state for who asks about the past at least, ms. */
export const checkpointEveryMs = ({ historyWindowMs }: Pick<TopicPlan, 'historyWindowMs'>): number => Math.min(checkpointMsMax, historyWindowMs / 8)

function keptFor(ms: number): Readonly<Record<string, string>> {
  return {
    'cleanup.policy': 'delete',
    'retention.ms': ms === Number.POSITIVE_INFINITY ? '-1' : String(ms),
    'retention.bytes': '-1',
    // Retention drops whole segments: rolled often enough that a window is not far exceeded.
    'segment.ms': String(Math.min(dayMs, ms)),
    'segment.bytes': String(256 * 1024 * 1024),
  }
}

const journal = (plan: TopicPlan) => keptFor(plan.historyWindowMs)

/** Messages, and what tells of them, may be kept by size as well. */
function messagesKept(plan: TopicPlan): Readonly<Record<string, string>> {
  const { historyBytes: bytes = 0 } = plan
  if (bytes === 0) return journal(plan)
  // A segment is dropped when those behind it are as large as what is kept.
  return { ...journal(plan), 'retention.bytes': String(bytes), 'segment.bytes': String(Math.min(256 * 1024 * 1024, Math.floor(bytes / 4))) }
}

/**
 * What state is folded from. Any moment of the window has a checkpoint before it whose journals are still there: one is written
 * at least this often, but for the time that a shard is without an owner.
 */
const stateJournal = (plan: TopicPlan) => keptFor(plan.historyWindowMs + 2 * checkpointEveryMs(plan))

/** How long a segment of `keys` may grow before what comes next begins another, ms. */
export const keysRolledMs = 10 * 60_000

const compacted: Readonly<Record<string, string>> = {
  'cleanup.policy': 'compact',
  // The cleaner leaves the newest segment alone: a small one keeps start-up reads short.
  'segment.bytes': String(16 * 1024 * 1024),
  'segment.ms': String(6 * hourMs),
  'min.cleanable.dirty.ratio': '0.1',
  'max.compaction.lag.ms': String(dayMs),
  // A reader that was away for less than a day still sees what was deleted.
  'delete.retention.ms': String(dayMs),
}

/** What is destroyed here is to be gone from the disk, not only from view: segments are small in time, and cleaned as soon as they are closed. */
const forgotten: Readonly<Record<string, string>> = {
  'cleanup.policy': 'compact',
  'segment.bytes': String(16 * 1024 * 1024),
  'segment.ms': String(keysRolledMs),
  'min.cleanable.dirty.ratio': '0.001',
  'max.compaction.lag.ms': String(keysRolledMs),
  // A tombstone holds no key. A gateway that was cut off and misses it would go on to seal what nobody else can open.
  'delete.retention.ms': String(dayMs),
}

/** Kafka's longest. */
const everMs = '9223372036854775807'

/** The past of what is compacted stands in the topic itself: nothing of the window is compacted. */
const compactedLater = (plan: TopicPlan): Readonly<Record<string, string>> => ({
  ...compacted,
  'min.compaction.lag.ms': plan.historyWindowMs === Number.POSITIVE_INFINITY ? everMs : String(plan.historyWindowMs),
  'max.compaction.lag.ms': plan.historyWindowMs === Number.POSITIVE_INFINITY ? everMs : String(plan.historyWindowMs + dayMs),
})

const safety = ({ replication }: TopicPlan) => ({
  'min.insync.replicas': replication >= 3 ? '2' : '1',
  'unclean.leader.election.enable': 'false',
  'message.timestamp.type': 'CreateTime',
})

/** How each topic is made. */
export function topicSpecs(plan: TopicPlan): readonly TopicSpec[] {
  const common = { 'max.message.bytes': String(messageBytesMax), ...safety(plan) }
  const spec = (kind: TopicKind, partitions: number, settings: Readonly<Record<string, string>>): TopicSpec => ({
    name: plan.names[kind],
    partitions,
    replication: plan.replication,
    settings: { ...common, ...settings },
  })
  return [
    spec('messages', plan.partitions, messagesKept(plan)),
    spec('index', plan.partitions, journal(plan)),
    spec('sessions', plan.partitions, stateJournal(plan)),
    spec('inbox', plan.partitions, stateJournal(plan)),
    spec('snapshots', plan.partitions, compacted),
    spec('checkpoints', plan.partitions, stateJournal(plan)),
    // What was replaced a moment ago may be on its way to a subscriber that comes back.
    spec('retained', plan.partitions, { ...compacted, 'min.compaction.lag.ms': String(10 * 60_000) }),
    spec('deliveries', plan.partitions, compacted),
    spec('receipts', plan.partitions, journal(plan)),
    spec('lifecycle', plan.partitions, journal(plan)),
    spec('audit', plan.partitions, keptFor(plan.auditWindowMs)),
    spec('registry', 1, compactedLater(plan)),
    // Those that have gone are not missed: what is older than the window, compaction has made short.
    spec('registry-snapshots', 1, { ...journal(plan), 'max.message.bytes': String(messageBytesMax + snapshotRoom) }),
    spec('keys', 1, forgotten),
    spec('gateways', 1, compacted),
  ]
}

/** What stands against using an existing topic, a sentence each: topic, setting, its value, what is allowed. */
export function topicProblems(spec: TopicSpec, found: Readonly<Record<string, string>>, profile: Profile): readonly string[] {
  const problems: string[] = []
  const problem = (setting: string, allowed: string): void => {
    problems.push(`${spec.name}: ${setting} is ${found[setting] ?? 'unknown'}; ${allowed}`)
  }
  const policy = spec.settings['cleanup.policy']
  if (found['cleanup.policy'] !== policy) problem('cleanup.policy', `it must be ${policy}`)
  const retention = spec.settings['retention.ms']
  if (policy === 'delete' && retention !== undefined) {
    if (isShorter(found, spec, 'retention.ms')) problem('retention.ms', `HISTORY_WINDOW needs ${retention === '-1' ? '-1' : `at least ${retention}, or -1`}`)
    if (found['retention.bytes'] !== undefined && isShorter(found, spec, 'retention.bytes')) {
      const bytes = spec.settings['retention.bytes']
      problem('retention.bytes', bytes === '-1' ? 'it must be -1: journals are kept by time' : `HISTORY_BYTES needs at least ${bytes}, or -1`)
    }
  }
  if (isShorter(found, spec, 'min.compaction.lag.ms')) problem('min.compaction.lag.ms', `it must be at least ${spec.settings['min.compaction.lag.ms']}`)
  const bytes = spec.settings['max.message.bytes']
  if (bytes !== undefined && !(Number(found['max.message.bytes']) >= Number(bytes))) problem('max.message.bytes', `it must be at least ${bytes}`)
  if (profile === 'production') {
    if (!(Number(found['replication.factor']) >= 3)) problem('replication.factor', 'the production profile needs at least 3')
    if (!(Number(found['min.insync.replicas']) >= 2)) problem('min.insync.replicas', 'the production profile needs at least 2')
    if (found['unclean.leader.election.enable'] !== 'false') problem('unclean.leader.election.enable', 'the production profile needs false')
  }
  return problems
}

/** Times that are kept: -1 is without end, what Kafka does not report is none. */
function isShorter(
  found: Readonly<Record<string, string>>,
  { settings }: TopicSpec,
  setting: 'retention.ms' | 'retention.bytes' | 'min.compaction.lag.ms',
): boolean {
  const [wanted, actual] = [settings[setting], found[setting]]
  if (wanted === undefined || actual === '-1') return false
  return wanted === '-1' || !(Number(actual ?? 0) >= Number(wanted))
}

/** Settings that make the topic keep what it holds for as long as it should, where it keeps it for less; undefined when it does. */
function longerKept(spec: TopicSpec, found: Readonly<Record<string, string>>): Readonly<Record<string, string>> | undefined {
  if (found['cleanup.policy'] !== spec.settings['cleanup.policy']) return undefined
  const { settings } = spec
  if (isShorter(found, spec, 'retention.ms')) return { 'retention.ms': settings['retention.ms'] as string }
  if (!isShorter(found, spec, 'min.compaction.lag.ms')) return undefined
  const lag = settings['min.compaction.lag.ms'] as string
  // Kafka takes no longest lag below the shortest.
  return { 'min.compaction.lag.ms': lag, 'max.compaction.lag.ms': settings['max.compaction.lag.ms'] ?? lag }
}

/**
 * Makes what is missing (several processes may do so at once), has kept for longer what was kept for less than the history window,
 * and refuses topics that would lose what was acknowledged. Nothing is ever made shorter. Throws TopicMismatch with every problem found.
 */
export async function ensureTopics(log: Log, specs: readonly TopicSpec[], profile: Profile): Promise<void> {
  await log.createTopics(specs)
  const problems: string[] = []
  for (const spec of specs) {
    let found = await log.topicSettings(spec.name)
    const longer = longerKept(spec, found)
    if (longer) {
      try {
        await log.changeTopicSettings(spec.name, longer)
        // Kafka tells of a change a moment later.
        found = { ...found, ...longer }
      } catch (error) {
        problems.push(`${spec.name}: it cannot be changed by itself (${(error as Error).message})`)
      }
    }
    problems.push(...topicProblems(spec, found, profile))
  }
  if (problems.length > 0) throw new TopicMismatch(problems.join('\n'))
}

/** The namespace's life cycle events as a topic: it is always there, and the services alone write it. */
export const lifecycleTopic = '$lifecycle'

/**
 * The Kafka topic of a namespace topic: its records are CloudEvents in the Kafka protocol binding, and any client may write and read
 * it. That of life cycle events has records of its own.
 */
export function namespaceTopicName({ names }: Pick<TopicPlan, 'names'>, topic: string): string {
  return topic === lifecycleTopic ? names.lifecycle : `${names.messages.slice(0, -'messages'.length)}topic.${topic}`
}

/** True for the topics that this deployment lives on: nothing but its services may write there. Namespace topics are none of them. */
export function isOwnedTopic({ prefix, names }: Pick<TopicPlan, 'prefix' | 'names'>, topic: string): boolean {
  return topic.startsWith(`${prefix}.`) && !topic.startsWith(namespaceTopicName({ names }, ''))
}

/** Largest event, bytes (NT-05), and what Kafka's headers and framing may add to it. */
export const eventBytesMax = 1_048_576
const eventRoom = 131_072

/** How the Kafka topic of a namespace topic is made. */
export function namespaceTopicSpec(plan: TopicPlan, topic: string, partitions: number, retentionDays: number): TopicSpec {
  return {
    name: namespaceTopicName(plan, topic),
    partitions,
    replication: plan.replication,
    settings: {
      ...safety(plan),
      'max.message.bytes': String(eventBytesMax + eventRoom),
      'cleanup.policy': 'delete',
      'retention.ms': String(retentionDays * dayMs),
      'segment.ms': String(hourMs * 6),
      'segment.bytes': String(256 * 1024 * 1024),
    },
  }
}
