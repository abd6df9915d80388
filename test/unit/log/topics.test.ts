import { expect, test } from '@jest/globals'
import { parseDuration } from '../../../log/duration.ts'
import { TopicMismatch, type TopicSpec } from '../../../log/log.ts'
import { MemoryLog } from '../../../log/memory-log.ts'
import {
  ensureTopics,
  historyWindowMs,
  planFor,
  planTopics,
  topicNames,
  topicProblems,
  topicSettings,
  topicSpecs,
  unshardedKinds,
} from '../../../log/topics.ts'
import { readSettings, SettingError } from '../../../settings/setting.ts'

const plan = (environment: Record<string, string> = {}, profile: 'development' | 'production' = 'development') =>
  planTopics(readSettings(topicSettings, environment), 'default', profile)

const specOf = (kind: string, environment: Record<string, string> = {}, profile: 'development' | 'production' = 'development'): TopicSpec => {
  const found = topicSpecs(plan(environment, profile)).find(({ name }) => name === `loggerhead.default.${kind}`)
  if (!found) throw new Error(`no ${kind}`)
  return found
}

/** A topic as Kafka would report it right after it was made. */
const made = ({ settings, replication }: TopicSpec): Record<string, string> => ({
  'retention.bytes': '-1',
  ...settings,
  'replication.factor': String(replication),
})

test('names are prefix, namespace and topic', () => {
  expect(topicNames('acme', 'plant-1')).toEqual({
    messages: 'acme.plant-1.messages',
    sessions: 'acme.plant-1.sessions',
    inbox: 'acme.plant-1.inbox',
    snapshots: 'acme.plant-1.snapshots',
    checkpoints: 'acme.plant-1.checkpoints',
    retained: 'acme.plant-1.retained',
    deliveries: 'acme.plant-1.deliveries',
    receipts: 'acme.plant-1.receipts',
    index: 'acme.plant-1.index',
    lifecycle: 'acme.plant-1.lifecycle',
    audit: 'acme.plant-1.audit',
    keys: 'acme.plant-1.keys',
    registry: 'acme.plant-1.registry',
    'registry-snapshots': 'acme.plant-1.registry-snapshots',
    gateways: 'acme.plant-1.gateways',
  })
})

test('shards have the same number of partitions in every sharded topic; registry and gateways have one', () => {
  const partitions = Object.fromEntries(topicSpecs(plan({ KAFKA_PARTITIONS: '6' })).map(({ name, partitions }) => [name.split('.')[2], partitions]))
  expect(partitions).toEqual({
    messages: 6,
    index: 6,
    sessions: 6,
    inbox: 6,
    snapshots: 6,
    checkpoints: 6,
    retained: 6,
    deliveries: 6,
    receipts: 6,
    lifecycle: 6,
    audit: 6,
    keys: 1,
    registry: 1,
    'registry-snapshots': 1,
    gateways: 1,
  })
})

test('journals are kept for the history window, state is compacted', () => {
  expect(specOf('messages', { HISTORY_WINDOW: '2d' }).settings).toMatchObject({ 'cleanup.policy': 'delete', 'retention.ms': '172800000' })
  expect(specOf('registry').settings).toMatchObject({ 'cleanup.policy': 'compact' })
  expect(specOf('audit', { HISTORY_WINDOW: '2d' }).settings).toMatchObject({ 'cleanup.policy': 'delete', 'retention.ms': String(4 * 86_400_000) })
  expect(specOf('audit', { AUDIT_WINDOW: '30d' }).settings).toMatchObject({ 'retention.ms': String(30 * 86_400_000) })
  expect(specOf('registry').settings).not.toHaveProperty('retention.ms')
})

test('a key that was destroyed leaves the disk soon; that it was destroyed is to be read for as long as anything else that was deleted', () => {
  const { settings } = specOf('keys')
  expect(settings).toMatchObject({ 'cleanup.policy': 'compact', 'segment.ms': '600000', 'max.compaction.lag.ms': '600000' })
  expect(settings['delete.retention.ms']).toBe(specOf('registry').settings['delete.retention.ms'])
})

test('production makes three replicas of which two must answer, and refuses fewer', () => {
  expect(specOf('inbox', {}, 'production')).toMatchObject({
    replication: 3,
    settings: { 'min.insync.replicas': '2', 'unclean.leader.election.enable': 'false' },
  })
  expect(specOf('inbox')).toMatchObject({ replication: 1, settings: { 'min.insync.replicas': '1' } })
  expect(() => plan({ KAFKA_REPLICATION: '2' }, 'production')).toThrow(
    new SettingError('KAFKA_REPLICATION', '2 is below 3, the least the production profile allows'),
  )
})

test('topics made as specified have no problem in their profile', () => {
  for (const profile of ['development', 'production'] as const) {
    for (const spec of topicSpecs(plan({}, profile))) expect(topicProblems(spec, made(spec), profile)).toEqual([])
  }
})

const messages = 'loggerhead.default.messages'
test.each([
  ['cleanup.policy', 'compact', `${messages}: cleanup.policy is compact; it must be delete`],
  ['retention.ms', '3600000', `${messages}: retention.ms is 3600000; HISTORY_WINDOW needs at least 604800000, or -1`],
  ['retention.bytes', '1000', `${messages}: retention.bytes is 1000; it must be -1: journals are kept by time`],
  ['max.message.bytes', '1000', `${messages}: max.message.bytes is 1000; it must be at least 1048588`],
  ['replication.factor', '2', `${messages}: replication.factor is 2; the production profile needs at least 3`],
  ['min.insync.replicas', '1', `${messages}: min.insync.replicas is 1; the production profile needs at least 2`],
  ['unclean.leader.election.enable', 'true', `${messages}: unclean.leader.election.enable is true; the production profile needs false`],
])('an existing topic with another %s is refused by name', (setting, value, problem) => {
  const spec = specOf('messages', {}, 'production')
  expect(topicProblems(spec, { ...made(spec), [setting]: value }, 'production')).toEqual([problem])
})

test('a longer retention, or none, is fine', () => {
  const spec = specOf('messages')
  for (const retention of ['-1', '604800001']) expect(topicProblems(spec, { ...made(spec), 'retention.ms': retention }, 'development')).toEqual([])
})

test('what state is folded from is kept for longer than messages, and nothing of the registry is compacted within the window', () => {
  for (const kind of ['sessions', 'inbox', 'checkpoints'])
    expect(specOf(kind, { HISTORY_WINDOW: '2d' }).settings['retention.ms']).toBe(String((48 + 12) * 3_600_000))
  expect(specOf('registry', { HISTORY_WINDOW: '2d' }).settings).toMatchObject({ 'min.compaction.lag.ms': '172800000', 'max.compaction.lag.ms': '259200000' })
})

test('an unlimited history deletes and compacts nothing of it', () => {
  for (const kind of ['messages', 'sessions', 'inbox', 'checkpoints', 'lifecycle']) {
    expect(specOf(kind, { HISTORY_WINDOW: 'unlimited' }).settings).toMatchObject({ 'retention.ms': '-1', 'segment.ms': '86400000' })
  }
  expect(specOf('registry', { HISTORY_WINDOW: 'unlimited' }).settings['min.compaction.lag.ms']).toBe('9223372036854775807')
})

test('topics are ensured again and again; a longer window has them kept for longer, a shorter one changes nothing', async () => {
  const log = new MemoryLog()
  await ensureTopics(log, topicSpecs(plan()), 'development')
  await ensureTopics(log, topicSpecs(plan({ HISTORY_WINDOW: '14d' })), 'development')
  const settings = async (kind: string) => log.topicSettings(`loggerhead.default.${kind}`)
  expect(await settings('messages')).toMatchObject({ 'retention.ms': '1209600000' })
  expect(await settings('registry')).toMatchObject({ 'min.compaction.lag.ms': '1209600000' })
  await ensureTopics(log, topicSpecs(plan({ HISTORY_WINDOW: '1d' })), 'development')
  expect(await settings('messages')).toMatchObject({ 'retention.ms': '1209600000' })
})

test('a topic that may not be changed is refused with every problem at once', async () => {
  const log = new MemoryLog()
  await ensureTopics(log, topicSpecs(plan()), 'development')
  log.changeTopicSettings = () => Promise.reject(new Error('not authorized'))
  const refused = ensureTopics(log, topicSpecs(plan({ HISTORY_WINDOW: '14d' })), 'development')
  await expect(refused).rejects.toThrow(TopicMismatch)
  await expect(refused).rejects.toThrow(
    /messages: it cannot be changed by itself \(not authorized\).*sessions: retention\.ms.*inbox: retention\.ms.*lifecycle: retention\.ms/s,
  )
})

test.each([
  ['7d', 604_800_000],
  ['12h', 43_200_000],
  ['90m', 5_400_000],
  ['30s', 30_000],
  ['500ms', 500],
  ['604800000', 604_800_000],
  ['P7D', 604_800_000],
  ['PT12H', 43_200_000],
  ['P1DT30M', 88_200_000],
  ['P2W', 1_209_600_000],
  ['', null],
  ['P', null],
  ['PT', null],
  ['7 days', null],
  ['-1d', null],
  ['1.5h', null],
])('“%s” is %p ms', (text, ms) => {
  expect(parseDuration(text)).toBe(ms)
})

test('a history window that is no length of time, or too short, names the variable', () => {
  expect(historyWindowMs('PT1H')).toBe(3_600_000)
  for (const text of ['soon', '6d', '4000d']) expect(() => plan({ AUDIT_WINDOW: text })).toThrow(/^AUDIT_WINDOW: “/)
  for (const text of ['soon', '59m', '4000d']) expect(() => historyWindowMs(text)).toThrow(/^HISTORY_WINDOW: “/)
})

test('HISTORY_BYTES bounds messages and no journal of state; a smaller one of an existing topic is refused', () => {
  const bytes = { HISTORY_BYTES: '1073741824' }
  expect(specOf('messages', bytes).settings).toMatchObject({ 'retention.bytes': '1073741824', 'retention.ms': '604800000' })
  for (const kind of ['sessions', 'inbox', 'checkpoints', 'lifecycle']) expect(specOf(kind, bytes).settings['retention.bytes']).toBe('-1')
  const spec = specOf('messages', bytes)
  expect(topicProblems(spec, made(spec), 'development')).toEqual([])
  expect(topicProblems(spec, { ...made(spec), 'retention.bytes': '-1' }, 'development')).toEqual([])
  expect(topicProblems(spec, { ...made(spec), 'retention.bytes': '1000' }, 'development')).toEqual([
    `${messages}: retention.bytes is 1000; HISTORY_BYTES needs at least 1073741824, or -1`,
  ])
  expect(() => plan({ HISTORY_BYTES: '1000' })).toThrow(/^HISTORY_BYTES: 1000 is neither 0 nor at least 16777216/)
})

test('NAMESPACE_HISTORY gives single namespaces, of whichever life, a window and a size of their own', () => {
  const home = plan({ HISTORY_WINDOW: '2d', NAMESPACE_HISTORY: 'default=1d, factory=30d, lab=unlimited/1073741824' })
  const keeps = ({ historyWindowMs, historyBytes }: { readonly historyWindowMs: number; readonly historyBytes?: number }) => [
    historyWindowMs / 86_400_000,
    historyBytes,
  ]
  expect(keeps(home)).toEqual([1, 0])
  expect(keeps(planFor(home, 'factory', 4))).toEqual([30, 0])
  expect(keeps(planFor(home, 'factory.2', 4))).toEqual([30, 0])
  expect(keeps(planFor(home, 'lab', 4))).toEqual([Number.POSITIVE_INFINITY, 1_073_741_824])
  expect(keeps(planFor(home, 'other', 4))).toEqual([2, 0])
  for (const [text, problem] of [
    ['factory', /“factory” is not namespace=window/],
    ['factory=soon', /“soon” is not a length of time/],
    ['factory=1d,factory=2d', /names “factory” twice/],
    ['factory=1d/5', /5 is neither 0 nor at least/],
  ] as const) {
    expect(() => plan({ NAMESPACE_HISTORY: text })).toThrow(problem)
  }
})

test('topics that have one partition whatever the number of shards are named as such, for a change of it leaves them alone', () => {
  const seven = plan({ KAFKA_PARTITIONS: '7' })
  const single = topicSpecs(seven).flatMap(({ name, partitions }) => (partitions === 7 ? [] : [name]))
  expect(single.sort()).toEqual(unshardedKinds.map((kind) => seven.names[kind]).sort())
})
