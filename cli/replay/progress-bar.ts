/** How far a replay is: a bar with rate and time left, at a terminal only. */
import { Presets, SingleBar } from 'cli-progress'
import { parseBound } from '../../history/replay-range.ts'

/** Positions from each partition's cursor to its end, all together: messages that are still to be looked at. */
export function positionsLeft(cursor: string, to: string): number {
  const [from, end] = [parseBound(cursor), parseBound(to)]
  if (typeof from === 'string' || typeof end === 'string' || from.kind !== 'positions' || end.kind !== 'positions') return 0
  let left = 0
  for (const [partition, offset] of end.offsets) left += Math.max(0, offset - (from.offsets.get(partition) ?? offset))
  return left
}

export interface ReplayProgress {
  at(cursor: string, to: string, messages: number): void
  /** Says something beside the bar. */
  note(text: string): void
  end(): void
}

export function replayProgress(note: (text: string) => void, isShown: boolean): ReplayProgress {
  if (!isShown) return { at() {}, note, end() {} }
  const bar = new SingleBar(
    { format: '{bar} {percentage} % | {messages} messages, {rate}/s | {eta_formatted} left', stream: process.stderr, hideCursor: false },
    Presets.shades_classic,
  )
  let total: number | undefined
  let began = { at: performance.now(), messages: 0 }
  return {
    at(cursor, to, messages) {
      const left = positionsLeft(cursor, to)
      if (total === undefined) {
        total = Math.max(1, left)
        began = { at: performance.now(), messages }
        bar.start(total, 0, { messages, rate: 0 })
      }
      // Of nothing no time that is left can be told.
      if (left === total) return
      const seconds = (performance.now() - began.at) / 1000
      bar.update(total - left, { messages, rate: seconds > 0 ? Math.round((messages - began.messages) / seconds) : 0 })
    },
    note(text) {
      process.stderr.write(`\r\u001b[K${text}\n`)
      if (total !== undefined) bar.render()
    },
    end: () => bar.stop(),
  }
}
