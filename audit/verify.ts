/**
 * Reads a log beside its checkpoints and says where it is not what it was: what an auditor runs, with nothing but a Kafka client's
 * permission to read and the public key. docs/audit.md says what each finding means.
 */
import { readBetween } from '../log/read-between.ts'
import type { Finding, Proven, Removed } from './finding.ts'
import { ShardVerifier, type ShardVerifierOptions } from './shard-verifier.ts'

export interface VerifyReport {
  readonly ok: boolean
  readonly checkpoints: number
  readonly proven: readonly Proven[]
  /** At most `findingsMax`. */
  readonly findings: readonly Finding[]
  /** Findings beyond those told. */
  readonly more: number
  /** What retention took while this was read: no finding, and not proven. */
  readonly removed: readonly Removed[]
}

export interface VerifyOptions extends ShardVerifierOptions {
  /** Told now and then. */
  onProgress?(progress: { readonly partition: number; readonly partitions: number; readonly checkpoints: number; readonly records: number }): void
}

/** Findings that are told one by one. */
const findingsMax = 1_000
const readBytes = 512 * 1024
const progressEvery = 200

export async function verifyLog(options: VerifyOptions): Promise<VerifyReport> {
  const { log, topic } = options
  const [starts, ends] = await Promise.all([log.startOffsets(topic), log.endOffsets(topic)])
  const told: Finding[] = []
  let more = 0
  const removed: Removed[] = []
  const telling = {
    finding: (finding: Finding): void => {
      if (told.length < findingsMax) told.push(finding)
      else more++
    },
    removed: (stretch: Removed): void => void removed.push(stretch),
  }
  const proven: Proven[] = []
  let checkpoints = 0
  let records = 0
  for (const [partition, end] of [...ends].sort(([a], [b]) => a - b)) {
    const progress = (): void => options.onProgress?.({ partition, partitions: ends.size, checkpoints, records: records + shard.records })
    const shard = new ShardVerifier(partition, options, telling)
    const range = { from: starts.get(partition) ?? 0, to: end }
    const onGone = (gone: { readonly from: number; readonly to: number }): void => shard.overtaken(gone)
    for await (const found of readBetween(log, topic, partition, range, { maxBytes: readBytes, passesGone: true, onGone })) {
      for (const record of found) {
        await shard.checkpoint(record)
        if (++checkpoints % progressEvery === 0) progress()
      }
    }
    proven.push(...(await shard.end()))
    records += shard.records
    progress()
  }
  return { ok: told.length === 0, checkpoints, proven, findings: told, more, removed }
}
