/** A log that is changed where it lies: in the segment files of a stopped Kafka, checksums mended. */
import { execFile } from 'node:child_process'
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { crc32c } from '@node-rs/crc32'
import kafkajs from 'kafkajs'
import { kafkaConnection, kafkaSettings } from '../../../log/kafka/connection-settings.ts'
import { KafkaLog } from '../../../log/kafka/kafka-log.ts'
import type { TopicSpec } from '../../../log/log.ts'
import { planTopics, topicNames, topicSettings, topicSpecs } from '../../../log/topics.ts'
import { clientKeyKey, clientKeyRecord } from '../../../model/client-keys.ts'
import { Erasure } from '../../../registry/erasure.ts'
import { ShardAudit } from '../../../router/shard-audit.ts'
import type { SealingKey } from '../../../schemas/sealed-message.ts'
import { readSettings } from '../../../settings/setting.ts'
import { findJava, OwnKafka, until } from '../log/own-kafka.ts'

const java = await findJava()
const run = typeof java === 'string' ? test.skip : test
const why = typeof java === 'string' ? ` [skipped: ${java}]` : ''
const silent = { debug() {}, info() {}, warn() {}, error() {} }
const project = join(import.meta.dirname, '../../..')
const topics = topicNames('loggerhead', 'default')
const { privateKey, publicKey } = generateKeyPairSync('ed25519')

let kafka: OwnKafka
let folder: string
beforeAll(async () => {
  if (typeof java === 'string') return
  folder = await mkdtemp(join(tmpdir(), 'loggerhead-tampering-'))
  await writeFile(join(folder, 'public.pem'), publicKey.export({ format: 'pem', type: 'spki' }))
  const soon = { 'log.cleaner.backoff.ms': '200', 'log.initial.task.delay.ms': '0', 'log.retention.check.interval.ms': '500' }
  kafka = await OwnKafka.start({ more: () => soon })
}, 300_000)
afterAll(async () => {
  await kafka?.stop()
  if (folder) await rm(folder, { recursive: true })
})

const openLog = (): KafkaLog =>
  new KafkaLog({ ...kafkaConnection(readSettings(kafkaSettings, { KAFKA_BROKERS: kafka.brokers })), clientId: 'test', logger: silent })

/** The command as an auditor runs it, about the home namespace. */
const audit = (...args: string[]) => auditOf('default', ...args)

function auditOf(namespace: string, ...args: string[]): Promise<{ readonly code: number; readonly stdout: string; readonly stderr: string }> {
  const environment = { ...process.env, KAFKA_BROKERS: kafka.brokers, LOGGERHEAD_PREFIX: 'loggerhead', LOGGERHEAD_NAMESPACE: namespace }
  return new Promise((resolve) => {
    execFile(process.execPath, [join(project, 'cli/main.ts'), 'audit', ...args], { env: environment }, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr }),
    )
  })
}

/** Two owners, one after the other, with checkpoints of 600 records in all. */
async function writeLog(log: KafkaLog): Promise<void> {
  const plain = { 'cleanup.policy': 'delete' }
  await log.createTopics([
    { name: topics.messages, partitions: 1, replication: 1, settings: plain },
    // What the broker makes of a batch is none of the chain's business.
    { name: topics.lifecycle, partitions: 1, replication: 1, settings: { ...plain, 'compression.type': 'gzip' } },
    { name: topics.audit, partitions: 1, replication: 1, settings: plain },
  ])
  const appender = await log.appender()
  let ahead = 0
  const now = (): number => Date.now() + ahead
  let checkpoints = 0
  const troubles: string[] = []
  for (const term of [1, 2]) {
    const fenced = await log.appender({ transactionalId: 'shard-0' })
    const owner = new ShardAudit({
      shard: 0,
      term,
      log,
      topic: topics.audit,
      covered: [topics.messages, topics.lifecycle],
      keys: [privateKey],
      appender: fenced,
      counters: { hashed: () => {}, checkpoint: () => checkpoints++, gone: () => {} },
      now,
      rest: async () => {},
      onTrouble: (error) => troubles.push(error.message),
    })
    for (let round = 0; round < 3; round++) {
      for (const topic of [topics.messages, topics.lifecycle]) {
        const writes = Array.from({ length: 50 }, (_, index) =>
          appender.write({
            topic,
            partition: 0,
            key: Buffer.from(`device-${index}`),
            value: Buffer.from(`value ${term}-${round}-${index} of ${topic}`),
            timestamp: now(),
            headers: [{ name: 'n', value: Buffer.from([index]) }],
          }),
        )
        await Promise.all(writes)
      }
      const before = checkpoints
      await until(`the records are hashed: ${troubles}`, () => {
        owner.tick()
        // The very first checkpoint waits for nothing.
        return owner.pending === 100 || checkpoints > before
      })
      ahead += 10_000
      await until('there is a checkpoint', () => {
        owner.tick()
        return checkpoints > before
      })
    }
    owner.close()
    await fenced.close()
  }
  await appender.close()
}

async function setRetention(topic: string, ms: number): Promise<void> {
  const admin = new kafkajs.Kafka({ clientId: 'test', brokers: [kafka.brokers], logLevel: kafkajs.logLevel.NOTHING }).admin()
  await admin.connect()
  try {
    const configEntries = [
      { name: 'retention.ms', value: String(ms) },
      { name: 'segment.ms', value: '60000' },
    ]
    await admin.alterConfigs({ validateOnly: false, resources: [{ type: kafkajs.ConfigResourceTypes.TOPIC, name: topic, configEntries }] })
  } finally {
    await admin.disconnect()
  }
}

/** Every file below the folder of the broker that holds the bytes. */
async function filesWith(bytes: Buffer): Promise<readonly string[]> {
  const entries = await readdir(kafka.folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name))
  // Kafka may have removed one meanwhile.
  const held = await Promise.all(files.map(async (file) => (await readFile(file).catch(() => Buffer.alloc(0))).includes(bytes)))
  return files.filter((_, index) => held[index])
}

async function segmentOf(topic: string): Promise<string> {
  const files = await readdir(kafka.folder, { recursive: true })
  const found = files.find((file) => file.endsWith(join(`${topic}-0`, '00000000000000000000.log')))
  if (found === undefined) throw new Error(`${topic} has no segment`)
  return join(kafka.folder, found)
}

interface Batch {
  readonly at: number
  readonly end: number
}

/** The batches of a segment, in the order of offsets. */
function batchesOf(segment: Buffer): readonly Batch[] {
  const batches: Batch[] = []
  for (let at = 0; at + 12 <= segment.length; ) {
    const length = segment.readInt32BE(at + 8)
    if (length <= 0) break
    batches.push({ at, end: at + 12 + length })
    at += 12 + length
  }
  return batches
}

/** Other bytes of the same length, and the checksum of the batch to go with them. */
function changed(segment: Buffer, from: string, to: string): Buffer {
  const tampered = Buffer.from(segment)
  const place = tampered.indexOf(from)
  const batch = batchesOf(tampered).find(({ at, end }) => place > at && place < end)
  if (!batch || to.length !== from.length) throw new Error(`“${from}” is not to be changed`)
  tampered.write(to, place)
  tampered.writeUInt32BE(crc32c(tampered.subarray(batch.at + 21, batch.end)), batch.at + 17)
  return tampered
}

interface Report {
  readonly ok: boolean
  readonly findings: readonly { readonly kind: string; readonly topic: string; readonly from: number; readonly to: number }[]
}

run(
  `the key of a client that was erased is in no file of the broker once its segment is closed and cleaned${why}`,
  async () => {
    const log = openLog()
    try {
      const plan = planTopics(readSettings(topicSettings, {}), 'default', 'development')
      const spec = topicSpecs({ ...plan, replication: 1 }).find(({ name }) => name === topics.keys) as TopicSpec
      // The same in less time.
      const soon = { 'segment.ms': '100', 'max.compaction.lag.ms': '100', 'delete.retention.ms': '100', 'file.delete.delay.ms': '0' }
      await log.createTopics([
        { ...spec, settings: { ...spec.settings, ...soon } },
        { name: 'loggerhead.other.lifecycle', partitions: 1, replication: 1, settings: { 'cleanup.policy': 'delete' } },
      ])
      const [ada, bob] = [0, 1].map(() => ({ id: randomBytes(16), key: randomBytes(32) })) as [SealingKey, SealingKey]
      const appender = await log.appender()
      const timestamp = Date.now()
      for (const [name, key] of [['ada', ada] as const, ['bob', bob] as const]) {
        await appender.write({ topic: topics.keys, partition: 0, key: clientKeyKey(name, key.id), value: clientKeyRecord(name, key, timestamp), timestamp })
      }
      // More than one while Kafka cleans the segment.
      expect((await filesWith(ada.key)).length).toBeGreaterThan(0)
      const erasure = new Erasure({
        log,
        topics: { keys: topics.keys, lifecycle: 'loggerhead.other.lifecycle' },
        partitions: 1,
        namespace: 'default',
        clock: { now: Date.now },
        logger: { error() {} },
      })
      expect(await erasure.erase('ada', { by: 'test' })).toBe(1)
      let left = await filesWith(ada.key)
      const end = Date.now() + 120_000
      while (left.length > 0) {
        if (Date.now() > end) throw new Error(`the key is still in ${left.join(', ')}`)
        // What comes next closes the segment.
        await erasure.roll()
        left = await filesWith(ada.key)
      }
      expect((await filesWith(bob.key)).length).toBeGreaterThan(0)
      await erasure.close()
    } finally {
      await log.close()
    }
  },
  180_000,
)

run(
  `a record changed on the disk of a broker, its checksum mended, is found with the offsets around it, and so is an end that was cut off${why}`,
  async () => {
    const log = openLog()
    await writeLog(log).finally(() => log.close())
    const key = ['--key', join(folder, 'public.pem')]
    const whole = await audit('verify', ...key)
    expect(whole).toMatchObject({ code: 0, stdout: expect.stringContaining('6 checkpoints; nothing was changed, removed or inserted') })
    const head = await audit('head', ...key)
    expect(head).toMatchObject({ code: 0 })
    await writeFile(join(folder, 'other.pem'), generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'pem' }))
    const refused = await audit('head', '--key', join(folder, 'other.pem'))
    expect(refused).toMatchObject({ code: 1, stdout: '', stderr: expect.stringContaining('shard 0 has no checkpoint that a key of --key') })
    await writeFile(join(folder, 'head.json'), head.stdout)
    await kafka.kill()
    const [messages, checkpoints] = [await segmentOf(topics.messages), await segmentOf(topics.audit)]
    const [before, beforeCheckpoints] = [await readFile(messages), await readFile(checkpoints)]
    // What came behind the last checkpoint but one is cut off, and that checkpoint too: what was kept elsewhere knows better.
    const cutAt = batchesOf(before).find(({ at, end }) => before.subarray(at, end).includes('value 2-2-0 of'))?.at
    await writeFile(messages, changed(before, 'value 1-1-20 of', 'value 1-1-99 of').subarray(0, cutAt))
    await writeFile(checkpoints, beforeCheckpoints.subarray(0, batchesOf(beforeCheckpoints).at(-1)?.at))
    await kafka.up()

    const found = async (...args: string[]): Promise<readonly [code: number, findings: Report['findings']]> => {
      const { code, stdout } = await audit('verify', '--json', '--topic', 'messages', ...key, ...args)
      return [code, (JSON.parse(stdout) as Report).findings]
    }
    // The 71st record is among the first 32 of its checkpoint's 50.
    const change = { kind: 'changed', topic: topics.messages, partition: 0, from: 50, to: 82, detail: expect.any(String) }
    expect(await found()).toEqual([2, [change]])
    expect(await found('--expect', join(folder, 'head.json'))).toEqual([2, [change, expect.objectContaining({ kind: 'expectedMissing' })]])
  },
  240_000,
)

run(
  `what Kafka’s own retention removes, a segment at a time, is not missing: what is left is proven from its first mark on${why}`,
  async () => {
    const { messages, audit: checkpoints } = topicNames('loggerhead', 'short')
    const log = openLog()
    const [hour, begun] = [3_600_000, Date.now()]
    const kept = { 'cleanup.policy': 'delete', 'retention.ms': '-1', 'segment.ms': '60000' }
    try {
      await log.createTopics([
        { name: messages, partitions: 1, replication: 1, settings: kept },
        { name: checkpoints, partitions: 1, replication: 1, settings: kept },
      ])
      const [appender, fenced] = [await log.appender(), await log.appender({ transactionalId: 'short-0' })]
      let [ahead, made] = [0, 0]
      const troubles: string[] = []
      const owner = new ShardAudit({
        shard: 0,
        term: 1,
        log,
        topic: checkpoints,
        covered: [messages],
        keys: [privateKey],
        appender: fenced,
        counters: { hashed: () => {}, checkpoint: () => made++, gone: () => {} },
        // No checkpoint but those that are asked for, however long it takes.
        now: () => begun + ahead,
        rest: async () => {},
        onTrouble: (error) => troubles.push(error.message),
      })
      // The very first checkpoint waits for nothing, and has nothing.
      await until(`the chain begins: ${troubles}`, () => {
        owner.tick()
        return made === 1
      })
      const write = async (from: number, to: number, timestamp: number): Promise<void> => {
        const value = (index: number): Buffer => Buffer.from(`value ${index}`)
        await Promise.all(
          Array.from({ length: to - from }, (_, index) => appender.write({ topic: messages, partition: 0, key: null, value: value(from + index), timestamp })),
        )
      }
      const checkpoint = async (records: number): Promise<void> => {
        const before = made
        await until(`the records are hashed: ${troubles}`, () => {
          owner.tick()
          return owner.pending === records
        })
        ahead += 10_000
        await until(`there is a checkpoint: ${troubles}`, () => {
          owner.tick()
          return made > before
        })
      }
      // Segments begin at 0, 50 and 120: in the middle of the third checkpoint.
      await write(0, 50, begun - 5 * hour)
      await checkpoint(50)
      await write(50, 100, begun - 4 * hour)
      await checkpoint(50)
      await write(100, 120, begun - 4 * hour)
      await write(120, 150, begun)
      await checkpoint(50)
      await write(150, 200, begun)
      await checkpoint(50)
      owner.close()
      await Promise.all([appender.close(), fenced.close()])

      const verify = async () => {
        const { code, stdout } = await auditOf('short', 'verify', '--json', '--key', join(folder, 'public.pem'))
        return { code, ...JSON.parse(stdout) }
      }
      expect(await verify()).toMatchObject({ code: 0, findings: [], proven: [{ from: 0, to: 200, records: 200, cut: 0 }] })
      await setRetention(messages, 2 * hour)
      const end = Date.now() + 60_000
      let start = await log.startOffsets(messages)
      for (; start.get(0) !== 120; start = await log.startOffsets(messages)) if (Date.now() > end) throw new Error(`the log begins at ${start.get(0)}`)
      // A mark is of 32 records: the first that is left as a whole begins at 132.
      expect(await verify()).toMatchObject({ code: 0, findings: [], removed: [], proven: [{ from: 132, to: 200, records: 68, cut: 12 }] })
      // Retention that was longer would not have removed them.
      await setRetention(messages, 24 * hour)
      expect(await verify()).toMatchObject({ code: 2, findings: [{ kind: 'removedEarly', topic: messages, from: 0, to: 120 }] })
    } finally {
      await log.close()
    }
  },
  180_000,
)
