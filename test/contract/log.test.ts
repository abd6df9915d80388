/** What every adapter of log/log.ts promises. The Kafka part runs when KAFKA_BROKERS names one. */
import { randomBytes } from 'node:crypto'
import { afterEach, describe, expect, jest, test } from '@jest/globals'
import kafkajs from 'kafkajs'
import { KafkaLog } from '../../log/kafka/kafka-log.ts'
import { AppendError, FencedError, type Follower, type Log, LogClosed, type LogRecord, OffsetOutOfRange, type Stretch, TopicMismatch } from '../../log/log.ts'
import { MemoryLog, MemoryStore } from '../../log/memory-log.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {} }
const brokers = process.env.KAFKA_BROKERS?.split(',')

interface Adapter {
  readonly name: string
  /** A function that opens logs on one and the same cluster. */
  readonly cluster: () => () => Log
  /** What was committed for a group in partition 0, as somebody else sees it. */
  readonly committed: (log: Log, group: string, topic: string) => Promise<number | undefined>
}

async function committedInKafka(group: string, topic: string): Promise<number | undefined> {
  const admin = new kafkajs.Kafka({ clientId: 'contract', brokers: brokers ?? [], logLevel: kafkajs.logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    const [found] = await admin.fetchOffsets({ groupId: group, topics: [topic] })
    return Number(found?.partitions.find(({ partition }) => partition === 0)?.offset)
  } finally {
    await admin.disconnect()
  }
}

const adapters: Adapter[] = [
  {
    name: 'memory',
    cluster: () => {
      const store = new MemoryStore()
      return () => new MemoryLog(store)
    },
    committed: async (log, group, topic) => (log as MemoryLog).store.committed.get(group)?.get(`${topic}/0`),
  },
]
if (brokers)
  adapters.push({
    name: 'kafka',
    cluster: () => () => new KafkaLog({ brokers, clientId: 'contract', logger: silent }),
    committed: (_log, group, topic) => committedInKafka(group, topic),
  })
else test.skip('the contract on Kafka: KAFKA_BROKERS is not set', () => {})

const text = (buffer: Buffer | null): string | null => buffer?.toString() ?? null
/** Times of records here are long ago: by default Kafka would remove them whenever it looks. */
const kept = { 'retention.ms': '-1' }

const seen = (records: readonly LogRecord[]): unknown[] => records.map(({ offset, timestamp, key, value }) => [offset, timestamp, text(key), text(value)])

async function take(follower: Follower, isEnough: (stretches: readonly Stretch[]) => boolean): Promise<readonly Stretch[]> {
  const taken: Stretch[] = []
  for await (const stretch of follower.stretches()) {
    taken.push(stretch)
    if (isEnough(taken)) break
  }
  return taken
}

const recordsOf = (stretches: readonly Stretch[]): LogRecord[] => stretches.flatMap(({ records }) => records)

async function until(isTrue: () => boolean | Promise<boolean>, deadlineMs = 60_000): Promise<void> {
  const end = Date.now() + deadlineMs
  while (!(await isTrue())) {
    if (Date.now() > end) throw new Error('the condition did not come true in time')
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

describe.each(adapters)('the log on $name', ({ cluster, committed }) => {
  const opened: Log[] = []
  const open = (on: () => Log): Log => {
    const log = on()
    opened.push(log)
    return log
  }
  afterEach(async () => {
    for (const log of opened.splice(0)) await log.close()
  })

  async function withTopic(partitions = 2, settings: Readonly<Record<string, string>> = {}) {
    const on = cluster()
    const log = open(on)
    const topic = `contract-${randomBytes(6).toString('hex')}`
    await log.createTopics([{ name: topic, partitions, replication: 1, settings: { ...kept, ...settings } }])
    const put = (partition: number, key: string | null, value: string | null, timestamp = 1_700_000_000_000) => ({
      topic,
      partition,
      key: key === null ? null : Buffer.from(key),
      value: value === null ? null : Buffer.from(value),
      timestamp,
    })
    return { on, log, topic, put }
  }

  test('a record is read back as it was appended, tombstones and records without a key too', async () => {
    const { log, topic, put } = await withTopic()
    const appender = await log.appender()
    const offsets = [
      await appender.write(put(0, 'a', 'one', 1_700_000_000_005)),
      await appender.write(put(0, 'b', null, 1_700_000_000_001)),
      await appender.write(put(0, null, '', 1_699_999_999_999)),
    ]
    expect(offsets).toEqual([0, 1, 2])
    const stretch = await log.read(topic, 0, 0)
    expect(seen(stretch.records)).toEqual([
      [0, 1_700_000_000_005, 'a', 'one'],
      [1, 1_700_000_000_001, 'b', null],
      [2, 1_699_999_999_999, null, ''],
    ])
    expect([stretch.nextOffset, stretch.endOffset]).toEqual([3, 3])
  })

  test('a topic gets more partitions, never fewer, and what stands in it stays where it is', async () => {
    const { log, topic, put } = await withTopic(2)
    const appender = await log.appender()
    await appender.write(put(1, 'a', 'one'))
    for (const count of [5, 5, 3]) await log.addPartitions(topic, count)
    expect(await log.partitions(topic)).toBe(5)
    expect(await appender.write(put(4, 'b', 'two'))).toBe(0)
    expect([...(await log.endOffsets(topic))].sort(([a], [b]) => a - b)).toEqual([
      [0, 0],
      [1, 1],
      [2, 0],
      [3, 0],
      [4, 1],
    ])
    expect(seen((await log.read(topic, 1, 0)).records)).toMatchObject([[0, expect.anything(), 'a', 'one']])
  })

  test('nothing is made beside a topic that has another number of partitions', async () => {
    const { log, topic } = await withTopic(2)
    const made = (partitions: number) => [`${topic}-new`, topic].map((name) => ({ name, partitions, replication: 1, settings: {} }))
    await expect(log.createTopics(made(3))).rejects.toThrow(TopicMismatch)
    expect(await log.topicExists(`${topic}-new`)).toBe(false)
    await log.createTopics(made(2))
    expect(await log.topicExists(`${topic}-new`)).toBe(true)
  })

  test('the members of a group are counted, none in one that was never there', async () => {
    const { log, topic } = await withTopic(2)
    const group = `${topic}-group`
    expect(await log.groupMembers(group)).toBe(0)
    const membership = await log.join({ group, topic, instance: 'one', onAssigned: () => {}, onRevoked: () => {} })
    await until(async () => (await log.groupMembers(group)) === 1)
    await membership.close()
    await until(async () => (await log.groupMembers(group)) === 0)
  })

  test('each record is answered once, in append order per partition, with its offset', async () => {
    const { log, topic, put } = await withTopic()
    const appender = await log.appender()
    const answers: [number, number, number][] = []
    for (let i = 0; i < 2000; i++) {
      appender.append(put(i % 2, `k${i}`, `v${i}`), (error, offset) => {
        if (error) throw error
        answers.push([i % 2, i, offset])
      })
    }
    expect(appender.pendingBytes).toBeGreaterThan(0)
    await appender.flush()
    expect(appender.pendingBytes).toBe(0)
    expect(appender.stalledMs).toBe(0)
    for (const partition of [0, 1]) {
      const own = answers.filter(([of]) => of === partition)
      expect(own.map(([, i, offset]) => [i, offset])).toEqual(Array.from({ length: 1000 }, (_, n) => [n * 2 + partition, n]))
    }
    const { records } = await log.read(topic, 1, 0)
    expect(text(records[999]?.value ?? null)).toBe('v1999')
  })

  test('headers are read back in order, repeated names and empty values too, and count against the size of a record', async () => {
    const { log, topic, put } = await withTopic(1, { 'max.message.bytes': '20000' })
    const appender = await log.appender()
    const headers = [
      { name: 'ce_id', value: Buffer.from('1') },
      { name: 'ce_ünïcode', value: Buffer.from([0, 255]) },
      { name: 'twice', value: null },
      { name: 'twice', value: Buffer.alloc(0) },
    ]
    const large = [{ name: 'large', value: Buffer.alloc(30_000) }]
    const answers: unknown[] = []
    for (const record of [{ ...put(0, 'a', 'one'), headers }, { ...put(0, 'b', 'two'), headers: large }, put(0, 'c', 'three')]) {
      appender.append(record, (error, offset) => answers.push(error instanceof AppendError ? error.outcome : offset))
    }
    await appender.flush()
    expect(answers).toEqual([0, 'refused', 1])
    const { records } = await log.read(topic, 0, 0)
    expect(records.map(({ headers, value }) => [text(value), headers])).toEqual([
      ['one', headers],
      ['three', []],
    ])
  })

  test('key, value and headers are copied before append returns', async () => {
    const { log, topic } = await withTopic()
    const appender = await log.appender()
    const key = Buffer.from('key')
    const value = Buffer.from('value')
    const header = { name: 'name', value: Buffer.from('header') }
    const written = appender.write({ topic, partition: 0, key, value, timestamp: 1, headers: [header] })
    key.fill(0)
    value.fill(0)
    header.value.fill(0)
    await written
    const { records } = await log.read(topic, 0, 0)
    expect(seen(records)).toEqual([[0, 1, 'key', 'value']])
    expect(text(records[0]?.headers[0]?.value ?? null)).toBe('header')
  })

  test('a read begins at its offset, is empty at the end, and fails beyond it', async () => {
    const { log, topic, put } = await withTopic()
    const appender = await log.appender()
    for (let i = 0; i < 10; i++) appender.append(put(0, null, `v${i}`), () => {})
    await appender.flush()
    const middle = await log.read(topic, 0, 7)
    expect(middle.records.map(({ offset, value }) => [offset, text(value)])).toEqual([
      [7, 'v7'],
      [8, 'v8'],
      [9, 'v9'],
    ])
    const end = await log.read(topic, 0, 10)
    expect([end.records.length, end.nextOffset, end.endOffset]).toEqual([0, 10, 10])
    await expect(log.read(topic, 0, 11)).rejects.toThrow(OffsetOutOfRange)
  })

  test('reading many partitions tells each one’s end, and goes on where a byte limit cut it off', async () => {
    const { log, topic, put } = await withTopic(3)
    const appender = await log.appender()
    for (let i = 0; i < 9; i++) await appender.write(put(i % 2, null, 'x'.repeat(1000)))
    const from = new Map([
      [0, 0],
      [1, 0],
      [2, 0],
    ])
    const read = new Map<number, number>()
    let rounds = 0
    let isBehind = true
    while (isBehind) {
      isBehind = false
      rounds++
      const stretches = await log.readMany(topic, from, 2500)
      expect(stretches.map(({ partition }) => partition).sort()).toEqual([0, 1, 2])
      for (const { partition, records, nextOffset, endOffset } of stretches) {
        expect(endOffset).toBe([5, 4, 0][partition])
        read.set(partition, (read.get(partition) ?? 0) + records.length)
        from.set(partition, nextOffset)
        if (nextOffset < endOffset) isBehind = true
      }
    }
    expect([...read]).toEqual([
      [0, 5],
      [1, 4],
      [2, 0],
    ])
    expect(rounds).toBeGreaterThan(1)
  })

  test('a follower sees what was there, what comes, and that nothing came', async () => {
    const { log, topic, put } = await withTopic()
    const appender = await log.appender()
    await appender.write(put(0, null, 'before'))
    const follower = await log.follow({
      topic,
      from: new Map([
        [0, 0],
        [1, 0],
      ]),
      maxWaitMs: 100,
    })
    const before = await take(follower, (stretches) => recordsOf(stretches).length === 1)
    expect(recordsOf(before).map(({ value }) => text(value))).toEqual(['before'])
    const idle = take(follower, (stretches) => new Set(stretches.filter(({ records }) => records.length === 0).map(({ partition }) => partition)).size === 2)
    for (const stretch of await idle) expect(stretch.nextOffset).toBe(stretch.endOffset)
    const coming = take(follower, (stretches) => recordsOf(stretches).length === 3)
    for (const [partition, value] of [
      [1, 'a'],
      [1, 'b'],
      [0, 'c'],
    ] as const) {
      await appender.write(put(partition, null, value))
    }
    const records = recordsOf(await coming)
    expect(records.filter(({ partition }) => partition === 1).map(({ offset, value }) => [offset, text(value)])).toEqual([
      [0, 'a'],
      [1, 'b'],
    ])
    expect(records.filter(({ partition }) => partition === 0).map(({ offset, value }) => [offset, text(value)])).toEqual([[1, 'c']])
  })

  test('a follower reads a long partition in order and without gaps while it grows', async () => {
    const { log, topic, put } = await withTopic(1)
    const appender = await log.appender()
    const total = 5000
    for (let i = 0; i < total / 2; i++) appender.append(put(0, null, `${i}`.padEnd(300, '.')), () => {})
    const follower = await log.follow({ topic, from: new Map([[0, 0]]), maxBytes: 64 * 1024 })
    const all = take(follower, (stretches) => stretches.reduce((sum, { records }) => sum + records.length, 0) >= total)
    for (let i = total / 2; i < total; i++) appender.append(put(0, null, `${i}`.padEnd(300, '.')), () => {})
    await appender.flush()
    const records = recordsOf(await all)
    expect(records.map(({ offset }) => offset)).toEqual(Array.from({ length: total }, (_, i) => i))
    expect(records.every(({ value }, i) => text(value)?.startsWith(`${i}.`))).toBe(true)
  })

  test('what one fetch brought of several partitions is handed over together, without what was sent elsewhere meanwhile', async () => {
    const { log, topic, put } = await withTopic(3)
    const appender = await log.appender()
    for (let i = 0; i < 6; i++) await appender.write(put(i % 3, null, `v${i}`))
    const follower = await log.follow({ topic, from: new Map([0, 1, 2].map((partition) => [partition, 0])), maxWaitMs: 50 })
    const values = (stretches: readonly Stretch[]) => stretches.map(({ partition, records }) => [partition, ...records.map(({ value }) => text(value))]).sort()
    const fetches = follower.together()[Symbol.asyncIterator]()
    const next = async (): Promise<readonly Stretch[]> => (await fetches.next()).value
    expect(values(await next())).toEqual([
      [0, 'v0', 'v3'],
      [1, 'v1', 'v4'],
      [2, 'v2', 'v5'],
    ])
    follower.remove(0)
    follower.seek(1, 1)
    let seen: readonly Stretch[] = []
    while (recordsOf(seen).length === 0) seen = await next()
    expect(values(seen.filter(({ records }) => records.length > 0))).toEqual([[1, 'v4']])
  })

  test('a follower moves where it is sent and leaves what is removed', async () => {
    const { log, topic, put } = await withTopic()
    const appender = await log.appender()
    for (let i = 0; i < 6; i++) await appender.write(put(i % 2, null, `v${i}`))
    const follower = await log.follow({ topic, from: new Map([[0, 0]]), maxWaitMs: 50 })
    const first = await take(follower, (stretches) => recordsOf(stretches).length >= 3)
    expect(recordsOf(first).map(({ value }) => text(value))).toEqual(['v0', 'v2', 'v4'])
    follower.remove(0)
    follower.seek(1, 1)
    const second = await take(follower, (stretches) => recordsOf(stretches).length >= 2)
    expect(recordsOf(second).map(({ partition, value }) => [partition, text(value)])).toEqual([
      [1, 'v3'],
      [1, 'v5'],
    ])
    follower.seek(1, 0)
    const third = await take(follower, (stretches) => recordsOf(stretches).length >= 3)
    expect(recordsOf(third).map(({ offset }) => offset)).toEqual([0, 1, 2])
  })

  test('a follower sent to a position the log does not hold says so, and a closed one too', async () => {
    const { log, topic } = await withTopic()
    const lost = await log.follow({ topic, from: new Map([[0, 5]]) })
    await expect(take(lost, () => false)).rejects.toThrow(OffsetOutOfRange)
    const closed = await log.follow({ topic, from: new Map([[0, 0]]), maxWaitMs: 50 })
    const reading = take(closed, () => false)
    await closed.close()
    await expect(reading).rejects.toThrow(LogClosed)
  })

  test('once a newer appender of the same transactional id has written to a partition, the older one is refused there for good', async () => {
    const { on, log, topic, put } = await withTopic()
    const transactionalId = `fence-${topic}`
    const older = await log.appender({ transactionalId })
    await older.write(put(0, 'k', 'older'))
    const newer = await open(on).appender({ transactionalId })
    await newer.write(put(0, 'k', 'newer'))
    await expect(older.write(put(0, 'k', 'late'))).rejects.toThrow(FencedError)
    await expect(older.write(put(1, 'k', 'late'))).rejects.toThrow(FencedError)
    await newer.write(put(0, 'k', 'newest'))
    const { records } = await log.read(topic, 0, 0)
    expect(records.map(({ value }) => text(value))).toEqual(['older', 'newer', 'newest'])
    expect((await log.read(topic, 1, 0)).records).toEqual([])
  })

  test('an appender fences the older ones in chosen partitions without a record, and writes there as if nothing had been', async () => {
    const { on, log, topic, put } = await withTopic()
    const transactionalId = `fence-${topic}`
    const older = await log.appender({ transactionalId })
    await older.write(put(0, 'k', 'older'))
    await older.write(put(1, 'k', 'older'))
    const newer = await open(on).appender({ transactionalId })
    await newer.fence(topic, [0, 1])
    await expect(older.write(put(0, 'k', 'late'))).rejects.toThrow(FencedError)
    await newer.fence(topic, [0])
    await newer.write(put(0, 'k', 'newer'))
    await newer.write(put(0, 'k', 'newest'))
    await newer.fence(topic, [0, 1])
    await newer.write(put(0, 'k', 'last'))
    await newer.write(put(1, 'k', 'last'))
    const values = async (partition: number): Promise<unknown[]> => {
      const found: LogRecord[] = []
      let at = 0
      for (;;) {
        const { records, nextOffset, endOffset } = await log.read(topic, partition, at)
        found.push(...records)
        if (nextOffset >= endOffset) return found.map(({ value }) => text(value))
        at = nextOffset
      }
    }
    expect(await values(0)).toEqual(['older', 'newer', 'newest', 'last'])
    expect(await values(1)).toEqual(['older', 'last'])
  })

  test('an appender that is not the newest can fence nobody, and a partition that is not there cannot be fenced', async () => {
    const { on, log, topic, put } = await withTopic()
    const transactionalId = `fence-${topic}`
    const older = await log.appender({ transactionalId })
    const newer = await open(on).appender({ transactionalId })
    await expect(newer.fence(topic, [7])).rejects.toMatchObject({ name: 'AppendError', refusal: 'topicMissing' })
    await expect(older.fence(topic, [0])).rejects.toThrow(FencedError)
    await expect(older.write(put(0, 'k', 'v'))).rejects.toThrow(FencedError)
    expect(await newer.write(put(1, 'k', 'v'))).toBe(0)
  })

  test('until then the older one still writes there: who takes over writes first, then reads up to its own record', async () => {
    const { on, log, topic, put } = await withTopic()
    const transactionalId = `fence-${topic}`
    const older = await log.appender({ transactionalId })
    await older.write(put(0, 'k', 'older'))
    const newer = await open(on).appender({ transactionalId })
    await older.write(put(0, 'k', 'late but in time'))
    const fence = await newer.write(put(0, 'k', 'fence'))
    await expect(older.write(put(0, 'k', 'too late'))).rejects.toThrow(FencedError)
    const { records, endOffset } = await log.read(topic, 0, 0)
    expect(records.map(({ value }) => text(value))).toEqual(['older', 'late but in time', 'fence'])
    expect(endOffset).toBe(fence + 1)
  })

  test('a record that is too large is refused alone', async () => {
    const { log, put } = await withTopic(1, { 'max.message.bytes': '20000' })
    const appender = await log.appender()
    const answers: unknown[] = []
    for (const value of ['a', 'b', 'x'.repeat(30_000), 'c', 'd']) {
      appender.append(put(0, null, value), (error, offset) =>
        answers.push(error instanceof AppendError ? `${error.outcome} ${error.refusal}` : [value, offset]),
      )
    }
    await appender.flush()
    expect(answers).toEqual([['a', 0], ['b', 1], 'refused tooLarge', ['c', 2], ['d', 3]])
    expect(await appender.write(put(0, null, 'e'))).toBe(4)
    expect(appender.pendingBytes).toBe(0)
  })

  test('a record without a key is refused by a compacted topic, and only that one', async () => {
    const { log, put } = await withTopic(1, { 'cleanup.policy': 'compact' })
    const appender = await log.appender()
    const answers: unknown[] = []
    for (const key of ['a', null, 'b']) {
      appender.append(put(0, key, 'v'), (error, offset) => answers.push(error instanceof AppendError ? `${error.outcome} ${error.refusal}` : [key, offset]))
    }
    await appender.flush()
    expect(answers).toEqual([['a', 0], 'refused invalid', ['b', 1]])
  })

  test('a partition that does not exist refuses', async () => {
    const { log, put } = await withTopic(2)
    const appender = await log.appender()
    await expect(appender.write(put(2, null, 'v'))).rejects.toMatchObject({ name: 'AppendError', refusal: 'topicMissing' })
    expect(await appender.write(put(1, null, 'v'))).toBe(0)
  })

  test('a closed appender answers everything and takes nothing more', async () => {
    const { log, put } = await withTopic()
    const appender = await log.appender()
    const answers: unknown[] = []
    for (let i = 0; i < 3; i++) appender.append(put(0, null, 'v'), (error) => answers.push(error instanceof AppendError))
    await appender.close()
    await until(() => answers.length === 3)
    expect(answers).toEqual([true, true, true])
    await expect(appender.write(put(0, null, 'v'))).rejects.toThrow(AppendError)
    expect(appender.pendingBytes).toBe(0)
  })

  test('offsets: start, end, and by time', async () => {
    const { log, topic, put } = await withTopic()
    const appender = await log.appender()
    for (const timestamp of [1_700_000_000_000, 1_700_000_001_000, 1_700_000_002_000]) await appender.write(put(0, null, 'v', timestamp))
    expect([...(await log.startOffsets(topic))]).toEqual([
      [0, 0],
      [1, 0],
    ])
    expect([...(await log.endOffsets(topic))]).toEqual([
      [0, 3],
      [1, 0],
    ])
    expect((await log.offsetsAt(topic, 1_700_000_000_500)).get(0)).toBe(1)
    expect([...(await log.offsetsAt(topic, 1_700_000_009_000))]).toEqual([
      [0, 3],
      [1, 0],
    ])
  })

  test('topics are made once, whoever asks, and another number of partitions is refused', async () => {
    const on = cluster()
    const name = `contract-${randomBytes(6).toString('hex')}`
    const spec = { name, partitions: 3, replication: 1, settings: { 'cleanup.policy': 'compact', 'max.message.bytes': '123456' } }
    const logs = [open(on), open(on), open(on)]
    await Promise.all(logs.map((log) => log.createTopics([spec])))
    const [log] = logs as [Log, Log, Log]
    await log.createTopics([spec])
    expect(await log.partitions(name)).toBe(3)
    expect(await log.topicSettings(name)).toMatchObject({ 'cleanup.policy': 'compact', 'max.message.bytes': '123456', 'replication.factor': '1' })
    await expect(log.createTopics([{ ...spec, partitions: 4 }])).rejects.toThrow(TopicMismatch)
  })

  test('a setting of a topic is changed, and the others stay', async () => {
    const log = open(cluster())
    const name = `contract-${randomBytes(6).toString('hex')}`
    await log.createTopics([{ name, partitions: 1, replication: 1, settings: { 'retention.ms': '86400000', 'max.message.bytes': '123456' } }])
    await log.changeTopicSettings(name, { 'retention.ms': '172800000' })
    await until(async () => (await log.topicSettings(name))['retention.ms'] === '172800000')
    expect(await log.topicSettings(name)).toMatchObject({ 'max.message.bytes': '123456' })
  })

  test('what brokers compress is read back as it was written, in every way that they know', async () => {
    const { log } = await withTopic()
    for (const compression of ['gzip', 'snappy', 'lz4', 'zstd']) {
      const name = `contract-${randomBytes(6).toString('hex')}`
      await log.createTopics([{ name, partitions: 1, replication: 1, settings: { ...kept, 'compression.type': compression } }])
      const appender = await log.appender()
      const written = Array.from({ length: 50 }, (_, i) => ({ timestamp: i, key: Buffer.from(`key ${i}`), value: Buffer.from(`value ${i} `.repeat(i * 40)) }))
      await Promise.all(written.map((record) => appender.write({ topic: name, partition: 0, ...record })))
      const found: LogRecord[] = []
      for (let at = 0; at < written.length; ) {
        const stretch = await log.read(name, 0, at)
        found.push(...stretch.records)
        at = stretch.nextOffset
      }
      expect([compression, seen(found)]).toEqual([compression, written.map(({ timestamp, key, value }, i) => [i, timestamp, text(key), text(value)])])
      await log.deleteTopics([name])
    }
  })

  test('offsets are committed for a group that nobody joins', async () => {
    const { log, topic } = await withTopic()
    for (const offset of [3, 4]) {
      await log.commitOffsets(`${topic}.group`, topic, new Map([[0, offset]]))
      expect(await committed(log, `${topic}.group`, topic)).toBe(offset)
    }
  })

  test('whether a topic exists is told right to everybody who asks at once, by a log that has just been opened', async () => {
    const { on, topic } = await withTopic()
    const fresh = open(on)
    const missing = `contract-${randomBytes(6).toString('hex')}`
    const asked = [topic, missing, topic, missing, topic]
    const first = fresh.endOffsets(topic)
    expect(await Promise.all(asked.map((name) => fresh.topicExists(name)))).toEqual([true, false, true, false, true])
    await first
  })

  test('topics are deleted with all they hold, and deleting what is not there does nothing', async () => {
    const { log, topic } = await withTopic()
    const missing = `contract-${randomBytes(6).toString('hex')}`
    expect([await log.topicExists(topic), await log.topicExists(missing)]).toEqual([true, false])
    await log.deleteTopics([missing, topic])
    await until(async () => !(await log.topicExists(topic)))
  })

  test('members of a group share the partitions in contiguous ranges, and one that leaves gives its own back', async () => {
    const { on, log, topic } = await withTopic(5)
    const owned = new Map<string, readonly number[]>()
    const revoked: unknown[] = []
    const join = (from: Log, instance: string) =>
      from.join({
        group: topic,
        topic,
        instance,
        onAssigned: (partitions) => void owned.set(instance, partitions),
        onRevoked: (partitions) => void revoked.push([instance, partitions]),
      })
    await join(log, 'a')
    expect(owned.get('a')).toEqual([0, 1, 2, 3, 4])
    const second = await join(open(on), 'b')
    await until(() => owned.get('a')?.length === 3 && owned.get('b')?.length === 2)
    expect(Object.fromEntries(owned)).toEqual({ a: [0, 1, 2], b: [3, 4] })
    expect(revoked).toEqual([['a', [3, 4]]])
    await second.close()
    expect(revoked).toEqual([
      ['a', [3, 4]],
      ['b', [3, 4]],
    ])
    await until(() => owned.get('a')?.length === 5)
  })

  test('health says that the log answers', async () => {
    const { log } = await withTopic()
    expect(log.health()).toEqual({ reachable: true, unreachableMs: 0 })
  })
})

const onKafka = adapters.find(({ name }) => name === 'kafka')
if (onKafka)
  test('an appender with a pace sends one record at once, and after a request of many gathers what comes until the next', async () => {
    const log = onKafka.cluster()()
    try {
      const topic = `contract-${randomBytes(6).toString('hex')}`
      await log.createTopics([{ name: topic, partitions: 3, replication: 1, settings: kept }])
      const appender = await log.appender({ paceMs: 2_000 })
      const record = (partition: number) => ({ topic, partition, key: null, value: Buffer.from('v'), timestamp: 1 })
      const turns = async (): Promise<void> => {
        for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
      }
      /** Partitions whose records are answered in one go with the first: those of one request. */
      const withFirst = async (): Promise<readonly number[]> => {
        const answered: number[] = []
        let together: readonly number[] = []
        appender.append(record(1), () => {
          answered.push(1)
          queueMicrotask(() => (together = [...answered]))
        })
        await turns()
        appender.append(record(2), () => answered.push(2))
        await appender.flush()
        return together
      }
      // All of them have leaders then.
      for (const partition of [0, 1, 2]) await appender.write(record(partition))
      expect(await withFirst()).toEqual([1])
      // The clock of the pace stands still: it is not over, however long Kafka takes to answer.
      jest.spyOn(performance, 'now').mockReturnValue(performance.now())
      await Promise.all(Array.from({ length: 20 }, () => appender.write(record(0))))
      expect(await withFirst()).toEqual([1, 2])
    } finally {
      jest.restoreAllMocks()
      await log.close()
    }
  })
