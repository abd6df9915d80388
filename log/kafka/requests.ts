/** The hot requests, one wire unit each: what is asked, what is answered. */
import type { LogRecord, Stretch } from '../log.ts'
import { Reader, requestHeader } from './bytes.ts'
import { readBatches } from './record-batch.ts'

export interface PartitionBatch {
  readonly topic: string
  readonly partition: number
  readonly bytes: Buffer
}

export const produceApi = { apiKey: 0, apiName: 'Produce', apiVersion: 7 } as const

/**
 * Produce v7: transactional_id NULLABLE_STRING · acks INT16 · timeout INT32 · [topic STRING · [partition INT32 · records BYTES]]
 *
 * The batches themselves are not copied: they stand between the parts. They must be sorted by topic.
 */
export function produceFrame(correlationId: number, clientId: string, batches: readonly PartitionBatch[], timeoutMs: number): Buffer[] {
  const writer = requestHeader(produceApi.apiKey, produceApi.apiVersion, correlationId, clientId)
  // Always null: the records carry the producer's id and epoch, and there is no transaction.
  writer.string(null).int16(-1).int32(timeoutMs)
  const topics = new Set<string>()
  for (const { topic } of batches) topics.add(topic)
  writer.int32(topics.size)
  const cuts: number[] = []
  let bytes = 0
  let last: string | null = null
  for (const [i, batch] of batches.entries()) {
    if (batch.topic !== last) {
      last = batch.topic
      let count = 0
      for (let j = i; j < batches.length && batches[j]?.topic === last; j++) count++
      writer.string(last).int32(count)
    }
    writer.int32(batch.partition).int32(batch.bytes.length)
    cuts.push(writer.length)
    bytes += batch.bytes.length
  }
  writer.patchInt32(writer.length + bytes - 4, 0)
  const whole = writer.slice()
  const parts: Buffer[] = []
  let from = 0
  for (const [i, batch] of batches.entries()) {
    const cut = cuts[i] as number
    parts.push(whole.subarray(from, cut), batch.bytes)
    from = cut
  }
  return parts
}

export interface ProducedPartition {
  readonly topic: string
  readonly partition: number
  readonly errorCode: number
  /** -1 when unknown. */
  readonly baseOffset: number
}

/** Produce response v7: [topic · [partition INT32 · error INT16 · base_offset INT64 · log_append_time INT64 · log_start_offset INT64]] · throttle INT32 */
export function readProduceResponse(payload: Buffer): { readonly partitions: ProducedPartition[]; readonly throttleMs: number } {
  const reader = new Reader(payload)
  const partitions: ProducedPartition[] = []
  for (let topics = reader.int32(); topics > 0; topics--) {
    const topic = reader.string()
    for (let count = reader.int32(); count > 0; count--) {
      partitions.push({ topic, partition: reader.int32(), errorCode: reader.int16(), baseOffset: reader.int64() })
      reader.skip(16)
    }
  }
  return { partitions, throttleMs: reader.int32() }
}

export interface FetchPosition {
  readonly partition: number
  readonly offset: number
}

export const fetchApi = { apiKey: 1, apiName: 'Fetch', apiVersion: 11 } as const

/**
 * Fetch v11: replica INT32 · max_wait INT32 · min_bytes INT32 · max_bytes INT32 · isolation INT8 · session INT32 · epoch INT32
 * · [topic · [partition INT32 · leader_epoch INT32 · offset INT64 · log_start INT64 · max_bytes INT32]] · [forgotten] · rack STRING
 *
 * Reads uncommitted: the end of a stretch is the high watermark.
 */
export function fetchFrame(
  correlationId: number,
  clientId: string,
  fetch: { topic: string; positions: readonly FetchPosition[]; maxWaitMs: number; maxBytes: number; partitionMaxBytes: number },
): Buffer[] {
  const writer = requestHeader(fetchApi.apiKey, fetchApi.apiVersion, correlationId, clientId)
  writer.int32(-1).int32(fetch.maxWaitMs).int32(1).int32(fetch.maxBytes).int8(0).int32(0).int32(-1)
  writer.int32(1).string(fetch.topic).int32(fetch.positions.length)
  for (const { partition, offset } of fetch.positions) writer.int32(partition).int32(-1).int64(offset).int64(-1).int32(fetch.partitionMaxBytes)
  writer.int32(0).string('')
  writer.patchInt32(writer.length - 4, 0)
  return [writer.slice()]
}

export interface FetchedPartition {
  readonly partition: number
  readonly errorCode: number
  readonly highWatermark: number
  readonly records: Buffer
}

/** Fetch response v11: throttle INT32 · error INT16 · session INT32 · [topic · [partition · error · high_watermark · last_stable · log_start · [aborted] · preferred_replica · records BYTES]] */
export function readFetchResponse(payload: Buffer): { readonly errorCode: number; readonly partitions: FetchedPartition[]; readonly throttleMs: number } {
  const reader = new Reader(payload)
  const throttleMs = reader.int32()
  const errorCode = reader.int16()
  reader.skip(4)
  const partitions: FetchedPartition[] = []
  for (let topics = reader.int32(); topics > 0; topics--) {
    reader.string()
    for (let count = reader.int32(); count > 0; count--) {
      const partition = reader.int32()
      const partitionError = reader.int16()
      const highWatermark = reader.int64()
      reader.skip(16)
      const aborted = reader.int32()
      if (aborted > 0) reader.skip(aborted * 16)
      reader.skip(4)
      const length = Math.max(0, reader.int32())
      partitions.push({ partition, errorCode: partitionError, highWatermark, records: payload.subarray(reader.at, reader.at + length) })
      reader.skip(length)
    }
  }
  return { errorCode, partitions, throttleMs }
}

/** The answer for one partition as a stretch from the position that was asked. Throws BatchError. */
export function toStretch(topic: string, fetched: FetchedPartition, from: number, passOverUnreadable = false): Stretch {
  const records: LogRecord[] = []
  const { nextOffset, passedOver } = readBatches(fetched.records, topic, fetched.partition, from, records, passOverUnreadable)
  return { topic, partition: fetched.partition, records, nextOffset, endOffset: fetched.highWatermark, ...(passedOver > 0 && { passedOver }) }
}

export const listOffsetsApi = { apiKey: 2, apiName: 'ListOffsets', apiVersion: 3 } as const

/** ListOffsets v3: replica INT32 · isolation INT8 · [topic · [partition INT32 · timestamp INT64]]; timestamp -1 asks the end, -2 the start. */
export function listOffsetsFrame(correlationId: number, clientId: string, topic: string, partitions: readonly number[], timestamp: number): Buffer[] {
  const writer = requestHeader(listOffsetsApi.apiKey, listOffsetsApi.apiVersion, correlationId, clientId)
  writer.int32(-1).int8(0).int32(1).string(topic).int32(partitions.length)
  for (const partition of partitions) writer.int32(partition).int64(timestamp)
  writer.patchInt32(writer.length - 4, 0)
  return [writer.slice()]
}

export interface ListedOffset {
  readonly partition: number
  readonly errorCode: number
  /** -1: no record at or after the time. */
  readonly offset: number
}

/** ListOffsets response v3: throttle INT32 · [topic · [partition INT32 · error INT16 · timestamp INT64 · offset INT64]] */
export function readListOffsetsResponse(payload: Buffer): ListedOffset[] {
  const reader = new Reader(payload)
  reader.skip(4)
  const listed: ListedOffset[] = []
  for (let topics = reader.int32(); topics > 0; topics--) {
    reader.string()
    for (let count = reader.int32(); count > 0; count--) {
      const partition = reader.int32()
      const errorCode = reader.int16()
      reader.skip(8)
      listed.push({ partition, errorCode, offset: reader.int64() })
    }
  }
  return listed
}
