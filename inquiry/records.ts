/** The records of one partition, decoded, from one offset up to another. What cannot be read is passed over, as by every fold. */
import type { Log, LogRecord } from '../log/log.ts'
import { readBetween } from '../log/read-between.ts'
import { decodeRecord } from '../schemas/codec.ts'
import type { Message } from '../schemas/message.ts'
import { decodeMessage } from '../schemas/message-record.ts'
import { RecordError } from '../schemas/record-error.ts'
import type { AnyRecord } from '../schemas/records.ts'

/** Where something stands that proves what is said. */
export interface Place {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  /** Milliseconds since the epoch, as the writer gave it. */
  readonly at: number
}

export interface PlacedRecord {
  readonly place: Place
  readonly record: AnyRecord
}

type Valued = LogRecord & { readonly value: Buffer }

/** Of what retention has removed nothing is told. `onRead` is called with the bytes of each fetch. */
export async function* recordsOf(
  log: Log,
  topic: string,
  partition: number,
  range: { readonly from: number; readonly to: number },
  onRead?: (bytes: number) => void,
): AsyncGenerator<PlacedRecord> {
  for await (const values of valuesOf(log, topic, partition, range, onRead)) {
    for (const { offset, value, timestamp } of values) {
      const record = readable(value)
      if (record) yield { place: { topic, partition, offset, at: timestamp }, record }
    }
  }
}

/** The same before it is decoded, a fetch at a time. */
export async function* valuesOf(
  log: Log,
  topic: string,
  partition: number,
  range: { readonly from: number; readonly to: number },
  onRead: (bytes: number) => void = () => {},
): AsyncGenerator<readonly Valued[]> {
  for await (const records of readBetween(log, topic, partition, range, { passesGone: true })) {
    onRead(records.reduce((bytes, { value }) => bytes + (value?.length ?? 0), 0))
    yield records.filter((record): record is Valued => record.value !== null)
  }
}

const readable = (value: Buffer): AnyRecord | undefined => unlessUnreadable(() => decodeRecord(value))

/** Undefined for what is no message: whoever writes to the topic can put it there, and it is in nobody's way. */
export const readMessage = (value: Buffer): Message | undefined => unlessUnreadable(() => decodeMessage(value))

function unlessUnreadable<T>(read: () => T): T | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof RecordError) return undefined
    throw error
  }
}
