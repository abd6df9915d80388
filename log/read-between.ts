/** Reads of what stands in a partition from one offset up to another, which retention may overtake. */
import { type Log, type LogRecord, OffsetOutOfRange } from './log.ts'

export interface ReadBetweenOptions {
  /** Bytes of one fetch. */
  readonly maxBytes?: number
  /** Goes on behind what retention has removed; without it that rejects with OffsetOutOfRange. */
  readonly passesGone?: boolean
  /** Told of a stretch that retention has removed before it was read. */
  onGone?(gone: { readonly from: number; readonly to: number }): void
}

/** The records of [from, to) in their order, a fetch at a time. Ends early where nothing can be said of what comes next. */
export async function* readBetween(
  log: Log,
  topic: string,
  partition: number,
  { from, to }: { readonly from: number; readonly to: number },
  { maxBytes, passesGone = false, onGone }: ReadBetweenOptions = {},
): AsyncGenerator<readonly LogRecord[]> {
  for (let next = from; next < to; ) {
    const reading = log.read(topic, partition, next, maxBytes)
    const stretch = await (passesGone ? unlessGone(reading) : reading)
    const after = stretch?.nextOffset ?? (await log.startOffsets(topic)).get(partition) ?? 0
    const at = next
    if (stretch) yield stretch.records.filter(({ offset }) => offset >= at && offset < to)
    if (!stretch) onGone?.({ from: at, to: Math.min(Math.max(at, after), to) })
    if (after <= next) return
    next = after
  }
}

/** Undefined where the log does not hold it any more. */
export async function unlessGone<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading
  } catch (error) {
    if (error instanceof OffsetOutOfRange) return undefined
    throw error
  }
}
