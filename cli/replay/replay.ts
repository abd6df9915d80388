/** A replay from the log to an output: reads, keeps the pace, writes, and notes where it is, so that whoever runs it again goes on there. */
import { setTimeout as pause } from 'node:timers/promises'
import type { CursorFile, Progress, Purpose } from './cursor-file.ts'
import type { ReplayOutput, Standing } from './output.ts'
import type { Pace } from './pace.ts'
import { type HistoryApi, past } from './past.ts'
import type { ReplayProgress } from './progress-bar.ts'

export interface ReplayOptions {
  readonly api: HistoryApi
  readonly purpose: Purpose
  readonly pace: Pace
  readonly cursorFile: CursorFile | undefined
  readonly progress: ReplayProgress
  /** Ends it in good order. */
  readonly signal: AbortSignal
  /** Work of so many milliseconds at most is done again, or cut off, when it is gone on with after a kill. */
  readonly noteEveryMs: number
  open(standing: Standing): Promise<ReplayOutput>
}

export interface ReplayOutcome {
  /** Of all runs together. */
  readonly messages: number
  readonly cursor: string | null
  readonly isDone: boolean
  /** An earlier run had come to the end: this one has replayed nothing. */
  readonly wasDone: boolean
}

const pauseMaxMs = 60_000

/** Throws Failure; what was settled before stays noted. */
export async function replay({ api, purpose, pace, cursorFile, progress, signal, noteEveryMs, open }: ReplayOptions): Promise<ReplayOutcome> {
  const before = await cursorFile?.read(purpose)
  if (before?.isDone) return { ...before, wasDone: true }
  let now: Progress = before ?? { purpose, cursor: null, to: null, messages: 0, standing: {}, isDone: false }
  // Before there is an output: one without a cursor file is somebody else's.
  if (!before) await cursorFile?.write(now)
  const output = await open(now.standing)
  let notedAt = performance.now()
  const note = async (isDone: boolean): Promise<void> => {
    const standing = await output.settle(isDone || signal.aborted)
    if (standing === undefined) return
    now = { ...now, standing, isDone }
    await cursorFile?.write(now)
    notedAt = performance.now()
  }
  const wait = (ms: number): Promise<void> => pause(Math.min(ms, pauseMaxMs), undefined, { signal }).catch(() => {})
  try {
    for await (const stretch of past(api, purpose, now, { signal, wait })) {
      now = { ...now, to: now.to ?? stretch.to ?? null }
      if (stretch.note !== undefined) progress.note(stretch.note)
      const { lines } = stretch
      for (let at = 0; at < lines.length && !signal.aborted; ) {
        let due = at
        let waitMs = 0
        for (; due < lines.length; due++) {
          waitMs = pace.dueInMs(Date.parse((lines[due] as (typeof lines)[number]).receivedAt), Date.now())
          if (waitMs > 0) break
        }
        if (due > at) {
          const taken = lines.slice(at, due)
          await output.write(taken)
          now = { ...now, cursor: (taken.at(-1) as (typeof lines)[number]).cursor, messages: now.messages + taken.length }
          at = due
        }
        if (now.cursor !== null && now.to !== null) progress.at(now.cursor, now.to, now.messages)
        if (performance.now() - notedAt >= noteEveryMs || waitMs >= noteEveryMs) await note(false)
        if (waitMs > 0) await wait(waitMs)
      }
      if (signal.aborted) break
      now = { ...now, cursor: stretch.cursor }
      if (now.to !== null) progress.at(stretch.cursor, now.to, now.messages)
      if (performance.now() - notedAt >= noteEveryMs) await note(false)
    }
    await note(!signal.aborted)
    return { ...now, wasDone: false }
  } finally {
    progress.end()
    await output.close()
  }
}
