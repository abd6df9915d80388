/** Where replayed messages go. */
import type { HistoryLine } from '../../history/history-line.ts'

/** What an output has to know to go on where it was. */
export interface Standing {
  /** Of its file. */
  readonly bytes?: number
  /** Files that are complete. */
  readonly parts?: number
}

export interface ReplayOutput {
  /** Takes messages in their order; resolves when there is room for more. Throws Failure. */
  write(lines: readonly HistoryLine[]): Promise<void>
  /** Resolves when everything taken stands where it belongs, with what it takes to go on behind it; undefined where that has to wait for more, and nothing `isLast`. Throws Failure. */
  settle(isLast: boolean): Promise<Standing | undefined>
  close(): Promise<void>
}
