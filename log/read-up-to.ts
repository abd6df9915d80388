/** Reads of all that stands in a partition from one offset up to another, by who cannot go on without it. */
import type { Log } from './log.ts'

/**
 * Calls back for each record of [from, to) that has a value, beginning where the log begins when that is later. Rejects when the log ends before `to`,
 * and with OffsetOutOfRange when retention overtakes the reading.
 */
export async function readUpTo(
  log: Pick<Log, 'read' | 'startOffsets'>,
  topic: string,
  partition: number,
  from: number,
  to: number,
  onRecord: (offset: number, value: Buffer) => void,
): Promise<void> {
  let offset = Math.max(from, (await log.startOffsets(topic)).get(partition) ?? 0)
  while (offset < to) {
    const stretch = await log.read(topic, partition, offset)
    for (const record of stretch.records) if (record.value && record.offset < to) onRecord(record.offset, record.value)
    if (stretch.nextOffset === offset) throw new Error(`${topic}[${partition}] has nothing at ${offset}, although it reaches to ${to}`)
    offset = stretch.nextOffset
  }
}
