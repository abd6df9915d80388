import { expect, test } from '@jest/globals'
import {
  asksForReplay,
  boundText,
  fixed,
  orderProblem,
  parseBound,
  parseRange,
  parseReplayFilter,
  positionsMax,
  withoutReplay,
} from '../../../history/replay-range.ts'

const at = (text: string) => ({ kind: 'time', at: Date.parse(text) })
const ago = (ms: number) => ({ kind: 'ago', ms })
const positions = (...offsets: [number, number][]) => ({ kind: 'positions', offsets: new Map(offsets) })

test.each([
  ['2026-01-31T12:00:00Z', at('2026-01-31T12:00:00Z')],
  ['2026-01-31T12:00Z', at('2026-01-31T12:00:00Z')],
  ['2026-01-31T12:00:00.25Z', at('2026-01-31T12:00:00.250Z')],
  ['2026-01-31T12:00:00.123456789Z', at('2026-01-31T12:00:00.123Z')],
  ['-PT1H', ago(3_600_000)],
  ['-P1DT1M', ago(86_460_000)],
  ['-P2W', ago(1_209_600_000)],
  ['-PT0.5S', ago(500)],
  ['3:1200', positions([3, 1200])],
  ['0:10,1:0,7:9007199254740991', positions([0, 10], [1, 0], [7, 9_007_199_254_740_991])],
])('a bound is a time in UTC, a duration back from now, or positions: %s', (text, expected) => {
  expect(parseBound(text)).toEqual(expected)
})

test.each([
  '',
  'now',
  '2026-01-31',
  '2026-01-31T12:00:00',
  '2026-01-31T12:00:00+01:00',
  '2026-02-31T12:00:00Z',
  '2026-13-01T12:00:00Z',
  '2026-01-31T24:00:00Z',
  '2026-01-31T12:60:00Z',
  '-P',
  '-PT',
  'PT1H',
  '-P1Y',
  '-PT1X',
  '3',
  '3:',
  ':3',
  '-1:3',
  '0:1,0:2',
  '0:1,',
  '0:1;1:2',
  '12345:1',
  '0:9999999999999999',
])('what is no bound is refused with what is allowed: %s', (text) => {
  expect(typeof parseBound(text)).toBe('string')
})

test('a bound names a thousand partitions and no more', () => {
  const named = (count: number): string => Array.from({ length: count }, (_, partition) => `${partition}:0`).join(',')
  expect(parseBound(named(positionsMax))).toMatchObject({ kind: 'positions' })
  expect(parseBound(named(positionsMax + 1))).toBe(`names more than ${positionsMax} partitions`)
})

test('a text that is no bound is told back short, whatever its length', () => {
  expect((parseBound('x'.repeat(60_000)) as string).length).toBeLessThan(300)
})

test('a range is from one bound up to another, or onwards', () => {
  expect(parseRange('-PT1H')).toEqual({ from: ago(3_600_000), to: null })
  expect(parseRange('-PT1H..-PT30M')).toEqual({ from: ago(3_600_000), to: ago(1_800_000) })
  expect(parseRange('0:5..2026-01-31T12:00:00Z')).toEqual({ from: positions([0, 5]), to: at('2026-01-31T12:00:00Z') })
  for (const text of ['..', '-PT1H..', '..-PT1H', '-PT1H..x', '-PT1H..-PT1M..-PT1S']) expect(typeof parseRange(text)).toBe('string')
})

test('a replay filter is a range and the topic filter behind it', () => {
  expect(parseReplayFilter('$replay/-PT1H/a/+/#')).toEqual({ from: ago(3_600_000), to: null, filter: 'a/+/#' })
  expect(parseReplayFilter('$replay/0:1..0:9//')).toEqual({ from: positions([0, 1]), to: positions([0, 9]), filter: '/' })
  for (const filter of [
    '$replay',
    '$replay/',
    '$replay/-PT1H',
    '$replay/-PT1H/',
    '$replay//a',
    '$replay/a/b',
    '$replayed/-PT1H/a',
    'a/$replay/-PT1H/a',
    '$replay/-PT1H/$share/g/a',
    '$replay/-PT1H/$replay/-PT1H/a',
  ]) {
    expect(typeof parseReplayFilter(filter)).toBe('string')
  }
  expect(['$replay', '$replay/x', '$replays/-PT1H/a', 'a', '$share/g/$replay/-PT1H/a'].map(asksForReplay)).toEqual([true, true, false, false, false])
  expect(withoutReplay('$replay/-PT1H/a/b')).toBe('a/b')
  expect(withoutReplay('a/b')).toBe('a/b')
})

test('a duration is fixed when it is asked for, and its text is read again as the same place', () => {
  const now = Date.parse('2026-01-31T12:00:00Z')
  expect(boundText(fixed(parseBound('-PT1H') as never, now))).toBe('2026-01-31T11:00:00.000Z')
  expect(boundText(fixed(parseBound('1:2,0:9') as never, now))).toBe('0:9,1:2')
  expect(parseBound('1969-12-31T23:59:59.999Z')).toEqual({ kind: 'time', at: 0 })
  expect(fixed({ kind: 'ago', ms: now + 1 }, now)).toEqual({ kind: 'time', at: 0 })
})

test.each([
  ['2026-01-31T12:00:00Z', '2026-01-31T11:59:59.999Z', '2026-01-31T11:59:59.999Z is before 2026-01-31T12:00:00.000Z'],
  ['-PT1H', '-PT2H', '2026-01-31T10:00:00.000Z is before 2026-01-31T11:00:00.000Z'],
  ['0:5', '0:4', '0:4 is before 0:5'],
  ['0:5,1:7,3:0', '1:6,0:5,2:9', '1:6 is before 1:7'],
  // Nothing is between them, which is no mistake: who goes on from cursor to cursor asks for that at last.
  ['-PT1H', '-PT1H', null],
  ['0:5', '0:5', null],
  // In another partition there is something.
  ['0:5,1:7', '0:9,1:6', null],
  ['0:5', '1:1', null],
  // Only the log could tell.
  ['-PT1H', '0:0', null],
  ['0:9', '2000-01-01T00:00:00Z', null],
])('an end before its beginning is told: from %s to %s', (from, to, problem) => {
  const now = Date.parse('2026-01-31T12:00:00Z')
  expect(orderProblem(fixed(parseBound(from) as never, now), fixed(parseBound(to) as never, now))).toBe(problem)
})
