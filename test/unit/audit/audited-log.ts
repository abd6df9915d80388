/** A log in memory whose shard 0 has chains, made by the one that makes them in a router. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { publicBytes } from '../../../audit/checkpoint.ts'
import { type VerifyOptions, type VerifyReport, verifyLog } from '../../../audit/verify.ts'
import type { LogRecord, RecordHeader } from '../../../log/log.ts'
import { MemoryLog, MemoryStore } from '../../../log/memory-log.ts'
import { topicNames } from '../../../log/topics.ts'
import { ShardAudit, type ShardAuditOptions } from '../../../router/shard-audit.ts'

export const topics = topicNames('loggerhead', 'default')
export const newKey = (): KeyObject => generateKeyPairSync('ed25519').privateKey

export interface Written {
  readonly key?: string | null
  readonly value?: string | null
  readonly timestamp?: number
  readonly headers?: readonly RecordHeader[]
}

export class AuditedLog {
  readonly store = new MemoryStore()
  readonly log = new MemoryLog(this.store)
  readonly key = newKey()
  readonly troubles: Error[] = []
  readonly gone: number[] = []
  checkpoints = 0
  /** Bytes after each of which more may be read. */
  readonly rests: number[] = []
  rest: () => Promise<void> = () => Promise.resolve()
  now = 1_800_000_000_000

  static async open(kinds: readonly ('messages' | 'lifecycle')[] = ['messages']): Promise<AuditedLog> {
    const audited = new AuditedLog()
    const settings = { 'cleanup.policy': 'delete', 'retention.ms': '3600000' }
    await audited.log.createTopics([...kinds, 'audit' as const].map((kind) => ({ name: topics[kind], partitions: 1, replication: 1, settings })))
    return audited
  }

  async append(records: readonly Written[], topic: string = topics.messages): Promise<void> {
    const appender = await this.log.appender()
    for (const { key = 'a/b', value = 'payload', timestamp = this.now, headers = [] } of records) {
      await appender.write({
        topic,
        partition: 0,
        key: key === null ? null : Buffer.from(key),
        value: value === null ? null : Buffer.from(value),
        timestamp,
        headers,
      })
    }
    await appender.close()
  }

  /** Somebody owns the shard from now on. */
  async own(term: number, keys: ShardAuditOptions['keys'] = [this.key], covered: readonly string[] = [topics.messages]): Promise<ShardAudit> {
    return new ShardAudit({
      shard: 0,
      term,
      log: this.log,
      topic: topics.audit,
      covered,
      keys,
      appender: await this.log.appender({ transactionalId: 'shard-0' }),
      counters: { hashed: () => {}, checkpoint: () => this.checkpoints++, gone: (_, records) => this.gone.push(records) },
      now: () => this.now,
      rest: (bytes) => {
        this.rests.push(bytes)
        return this.rest()
      },
      onTrouble: (error) => this.troubles.push(error),
    })
  }

  /** Until there is one more checkpoint, with all that is there in it. */
  async checkpoint(audit: ShardAudit): Promise<void> {
    const before = this.checkpoints
    audit.tick()
    await this.until(() => audit.pending > 0 || this.checkpoints > before)
    this.now += 10_000
    await this.until(() => {
      audit.tick()
      return this.checkpoints > before && audit.pending === 0
    })
  }

  /** As the verifier sees it a minute later. */
  verify(more: Partial<VerifyOptions> = {}): Promise<VerifyReport> {
    const now = more.now ?? this.now + 60_000
    return verifyLog({ log: this.log, topic: topics.audit, trusted: [publicBytes(this.key)], clock: () => now, ...more, now })
  }

  /** The records of a topic, to be tampered with. */
  records(topic: string = topics.messages): LogRecord[] {
    const partition = this.store.topics.get(topic)?.partitions[0]
    if (!partition) throw new Error(`there is no ${topic}`)
    return partition.records
  }

  /** Puts other records in their place. */
  replace(records: readonly LogRecord[], topic: string = topics.messages): void {
    this.records(topic).splice(0, Number.POSITIVE_INFINITY, ...records)
  }

  async until(condition: () => boolean): Promise<void> {
    for (const end = Date.now() + 60_000; !condition(); ) {
      if (Date.now() > end) throw new Error(`it did not come to pass: ${this.troubles.map(({ message }) => message).join('; ')}`)
      await new Promise((resolve) => setImmediate(resolve))
    }
  }
}
