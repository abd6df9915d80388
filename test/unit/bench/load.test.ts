import { describe, expect, test } from '@jest/globals'
import { Histogram } from '../../../bench/histogram.ts'
import { parseLoadOptions } from '../../../bench/load-options.ts'
import { median } from '../../../bench/median.ts'
import { Intake, Tracker } from '../../../bench/tracker.ts'

// What the benchmark claims rests on these: that it sees what is lost, what comes twice, and what comes out of order.

describe('a tracker', () => {
  test('counts what came, what came twice, and what is missing of what was owed', () => {
    const tracker = new Tracker(16)
    expect([0, 1, 3, 1].map((sequence) => tracker.take(sequence))).toEqual([true, true, true, false])
    expect({ unique: tracker.unique, duplicates: tracker.duplicates }).toEqual({ unique: 3, duplicates: 1 })
    expect(tracker.missing(Uint8Array.from([0b1111, 0]))).toBe(1)
    expect(tracker.missing(Uint8Array.from([0b1111, 0b1]))).toBe(2)
  })

  test('of a shared subscription knows copies across its members, and order within each', () => {
    const tracker = new Tracker(16)
    const [one, other] = [new Intake(tracker), new Intake(tracker)]
    for (const sequence of [0, 2, 1]) one.take(sequence)
    expect(other.take(2)).toBe(false)
    for (const sequence of [3, 4]) other.take(sequence)
    expect({ one: one.outOfOrder, other: other.outOfOrder, duplicates: tracker.duplicates }).toEqual({ one: 1, other: 0, duplicates: 1 })
  })
})

test('a quantile is not below the value it stands for, nor more than a step above', () => {
  const histogram = new Histogram()
  for (let microseconds = 1; microseconds <= 10_000; microseconds++) histogram.record(microseconds)
  for (const [q, exact] of [
    [0.5, 5],
    [0.99, 9.9],
    [0.999, 9.99],
  ] as const) {
    const found = histogram.quantile(q) ?? 0
    expect(found).toBeGreaterThanOrEqual(exact)
    expect(found).toBeLessThan(exact * 1.032)
  }
})

test('a median of an even number is between the middle two', () => {
  expect([median([3, 1, 2]), median([4, 1, 3, 2])]).toEqual([2, 2.5])
})

test('options out of bounds are refused by name, with what is allowed', () => {
  expect(() => parseLoadOptions(['--qos', '3'])).toThrow('--qos: “3” is not from 0 to 2')
  expect(() => parseLoadOptions(['--mode', 'some'])).toThrow('--mode: “some” is none of all, pairs, shared, each')
  expect(() => parseLoadOptions(['--offline', '0.5'])).toThrow('--offline needs --persistent true')
  expect(parseLoadOptions(['--persistent', 'true', '--offline', '0.5'])).toMatchObject({ persistent: true, offline: 0.5, qos: 1 })
})
