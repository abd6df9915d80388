import { expect, test } from '@jest/globals'
import fc from 'fast-check'
import type { LogRecord } from '../../../log/log.ts'
import { runOf, runOfCopies } from '../../../router/payload-run.ts'

const recordsOf = (values: readonly (Buffer | null)[], offsets: readonly number[]): LogRecord[] =>
  values.map((value, i) => ({ partition: 0, offset: offsets[i] as number, timestamp: 0, key: Buffer.from('k'), value, headers: [] }))

const values = fc.array(fc.option(fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes))), { minLength: 1, maxLength: 20 })
const gaps = fc.array(fc.integer({ min: 1, max: 3 }), { minLength: 20, maxLength: 20 })

/** As a fetch brings them: views of one piece of memory, among other bytes. */
function inOnePiece(all: readonly (Buffer | null)[]): (Buffer | null)[] {
  const memory = Buffer.concat([Buffer.alloc(7), ...all.flatMap((value) => (value ? [value, Buffer.from('-')] : []))])
  let at = 7
  return all.map((value) => {
    if (!value) return null
    const view = memory.subarray(at, at + value.length)
    at += value.length + 1
    return view
  })
}

test('every value is found under its offset, in one piece of memory or in many, and nothing beside them', () => {
  fc.assert(
    fc.property(values, gaps, (all, steps) => {
      let offset = 100
      const offsets = all.map((_, i) => (offset += steps[i] as number))
      for (const run of [runOf(recordsOf(all, offsets)), runOf(recordsOf(inOnePiece(all), offsets)), runOfCopies(recordsOf(all, offsets))]) {
        expect([run?.first, run?.last]).toEqual([offsets[0], offsets.at(-1)])
        for (let at = 99; at <= offset + 1; at++) expect(run?.valueAt(at)).toEqual(all[offsets.indexOf(at)] ?? undefined)
      }
    }),
  )
})

test('a run counts the bytes of its values, and some for itself', () => {
  const run = runOf(recordsOf([Buffer.alloc(1_000), null, Buffer.alloc(500)], [1, 2, 3]))
  expect(run?.bytes).toBeGreaterThanOrEqual(1_500)
  expect(run?.bytes).toBeLessThan(2_500)
  expect([runOf([]), runOfCopies([])]).toEqual([undefined, undefined])
})

test('copies do not change with the memory that they were made from', () => {
  const memory = Buffer.from('abcdef')
  const run = runOfCopies(recordsOf([memory.subarray(0, 3), memory.subarray(3)], [4, 5]))
  memory.fill(0)
  expect([run?.valueAt(4)?.toString(), run?.valueAt(5)?.toString()]).toEqual(['abc', 'def'])
})
