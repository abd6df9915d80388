/** The newest checkpoint of a shard, found from the end of its partition of `audit`. */
import type { Log } from '../log/log.ts'
import { readBetween } from '../log/read-between.ts'
import { decodeRecord } from '../schemas/codec.ts'
import { RecordError } from '../schemas/record-error.ts'
import { isSigned, type ReadCheckpoint, readStatement, type SignedStatement, StatementError } from './checkpoint.ts'
import { Signers } from './signers.ts'

const readBytes = 512 * 1024

/** A checkpoint, and the record that it stands in. */
export interface FoundCheckpoint {
  readonly checkpoint: ReadCheckpoint
  readonly signed: SignedStatement
  /** One of the keys that were given signed it, or one that they lead to. */
  readonly isBelieved: boolean
}

/**
 * The last checkpoint of a shard; undefined when there is none. With keys it is the last that one of them signed, or another that they name:
 * whoever can write to the topic cannot lead a chain astray. Where there is none of theirs, it is the last of all.
 */
export async function readLastCheckpoint(log: Log, topic: string, shard: number, keys?: readonly Buffer[]): Promise<FoundCheckpoint | undefined> {
  const start = (await log.startOffsets(topic)).get(shard) ?? 0
  const end = (await log.endOffsets(topic)).get(shard) ?? 0
  // Control records may stand behind it.
  for (let back = 8; ; back *= 4) {
    const from = Math.max(start, end - back)
    let last: FoundCheckpoint | undefined
    let own: FoundCheckpoint | undefined
    // Whether a key has named its successor may stand further back where another signs all at once.
    let isClear = true
    const signers = new Signers(keys ?? [])
    for await (const records of readBetween(log, topic, shard, { from, to: end }, { maxBytes: readBytes, passesGone: true })) {
      for (const { value } of records) {
        const found = value && checkpointIn(value)
        if (!found) continue
        const isExpected = !last || found.checkpoint.key.equals(last.checkpoint.nextKey ?? last.checkpoint.key)
        last = found
        // A copy of an earlier one may be appended by anybody.
        if (signers.standing(found.checkpoint) !== 'believed' || (own && found.checkpoint.sequence <= own.checkpoint.sequence)) continue
        if (!isExpected) isClear = false
        own = { ...found, isBelieved: true }
        signers.passed(found.checkpoint)
      }
    }
    if ((own && isClear) || from === start || (last && !keys)) return own ?? last
  }
}

function checkpointIn(value: Buffer): FoundCheckpoint | undefined {
  try {
    const record = decodeRecord(value)
    if (record.name !== 'AuditCheckpoint') return undefined
    const checkpoint = readStatement(record.value.statement)
    return isSigned(record.value, checkpoint.key) ? { checkpoint, signed: record.value, isBelieved: false } : undefined
  } catch (error) {
    if (error instanceof RecordError || error instanceof StatementError) return undefined
    throw error
  }
}
