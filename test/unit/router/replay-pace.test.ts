import { describe, expect, test } from '@jest/globals'
import { ReplayPace } from '../../../router/replay-pace.ts'

const paceUpTo = (rateMax: number): ReplayPace => new ReplayPace({ rateMin: 500, rateMax })
const one = { messages: 1, bytes: 0 }

/** Half a minute of live messages every `everyMs`, each so late, and a replay that takes what it may. Answers the rate at the end and the messages it took. */
function run(
  pace: ReplayPace,
  delay: (now: number) => number,
  { from = 0, ms = 30_000, everyMs = 5, published = one } = {},
): { readonly rate: number; readonly taken: number } {
  let taken = 0
  let free = from
  for (let now = from; now < from + ms; now++) {
    if (now % everyMs === 0) pace.live(delay(now), published, now)
    if (now < free) continue
    const { messages } = pace.portion(now)
    taken += messages
    free = now + Math.max(1, pace.take(messages, 0, now))
  }
  return { rate: pace.rate(from + ms - 1), taken }
}

describe('beside what is published', () => {
  test('a replay begins carefully, and grows to the most it may while live messages are on time', () => {
    const pace = paceUpTo(10_000)
    pace.live(3, one, 0)
    expect(pace.rate(0)).toBe(2_000)
    expect(run(pace, () => 3, { ms: 1_000 }).rate).toBeLessThanOrEqual(4_000)
    expect(run(pace, () => 3, { from: 1_000 }).rate).toBe(10_000)
  })

  test('it gives way within two seconds when they are late, down to a least that always goes on', () => {
    const pace = paceUpTo(20_000)
    run(pace, () => 3)
    const { rate, taken } = run(pace, () => 30, { from: 30_000, ms: 2_000 })
    expect(rate).toBe(500)
    // Of 40,000 that it would have taken.
    expect(taken).toBeLessThan(8_000)
    expect(run(pace, () => 30, { from: 32_000, ms: 10_000 }).taken).toBeGreaterThan(4_500)
    expect(run(pace, () => 3, { from: 42_000 }).rate).toBe(20_000)
  })

  test('ROUTER_REPLAY_RATE_MIN: how little it may become is a setting, and begins no lower', () => {
    const pace = new ReplayPace({ rateMin: 3_000, rateMax: 20_000 })
    pace.live(3, one, 0)
    expect(pace.rate(0)).toBe(3_000)
    run(pace, () => 3)
    expect(run(pace, () => 30, { from: 30_000 }).rate).toBe(3_000)
  })

  test('it stays at twice what is published, however late that is: or it would never come to it', () => {
    const pace = paceUpTo(20_000)
    const { rate, taken } = run(pace, () => 3, { published: { messages: 20, bytes: 0 } })
    expect(rate).toBe(20_000)
    const late = run(pace, () => 100, { from: 30_000, published: { messages: 20, bytes: 0 } })
    expect(late.rate).toBeCloseTo(8_000, -2)
    expect(late.taken).toBeGreaterThan(30 * 8_000 * 0.9)
    expect(late.taken).toBeLessThan(taken)
  })

  test('large messages count by what it takes to read them', () => {
    const large = { messages: 1, bytes: 80 * 1024 }
    // 200 a second, each as much work as eleven.
    expect(run(paceUpTo(20_000), (now) => (now < 100 ? 3 : 100), { published: large }).rate).toBeCloseTo(2 * 200 * 11, -2)
  })

  test('clocks that do not agree are nothing to it: late is later than usual', () => {
    for (const skew of [-60_000, 60_000]) expect(run(paceUpTo(10_000), () => skew + 3).rate).toBe(10_000)
  })

  test('nor are gateways whose clocks do not agree with one another, as long as each publishes its part', () => {
    expect(run(paceUpTo(10_000), (now) => (now % 10 === 0 ? 3 : 63)).rate).toBe(10_000)
  })

  test('it comes to rest where live messages are hardly late, when it is itself what makes them so', () => {
    const pace = paceUpTo(40_000)
    // Above 8,000 a second they queue.
    const { taken } = run(pace, (now) => 3 + Math.max(0, (pace.rate(now) - 8_000) / 500))
    expect(taken / 30).toBeGreaterThan(4_000)
    expect(taken / 30).toBeLessThan(11_000)
  })

  test('what is late for minutes is not taken for usual', () => {
    const pace = paceUpTo(10_000)
    run(pace, () => 3, { ms: 1_000 })
    expect(run(pace, () => 30, { from: 1_000, ms: 240_000 }).rate).toBe(500)
  })

  test('a turn takes what 20 ms bring, some at least; what is read counts like what is sent', () => {
    const pace = paceUpTo(20_000)
    run(pace, () => 3)
    expect(pace.portion(30_000)).toEqual({ messages: 400, bytes: 1024 * 1024 })
    run(pace, () => 100, { from: 30_000, ms: 5_000 })
    expect(pace.portion(34_999)).toEqual({ messages: 20, bytes: 80 * 1024 })
    const other = paceUpTo(20_000)
    other.live(3, one, 0)
    // At 2,000 a second, less the turn that it may catch up.
    expect(other.take(500, 1_500 * 8 * 1024, 0)).toBe(980)
  })

  test('after a rest the next replay begins carefully again', () => {
    const pace = paceUpTo(10_000)
    run(pace, () => 3)
    for (let now = 30_000; now < 33_000; now += 10) pace.live(3, one, now)
    expect(pace.rate(33_000)).toBe(2_000)
  })
})

test('where nothing is published nothing holds a replay back', () => {
  const pace = paceUpTo(10_000)
  expect([pace.rate(0), pace.portion(0), pace.take(1_000_000, 0, 0)]).toEqual([Number.POSITIVE_INFINITY, { messages: 1_000, bytes: 1024 * 1024 }, 0])
  pace.live(3, one, 10)
  expect(pace.take(1_000, 0, 10)).toBe(480)
  expect([pace.rate(1_010), pace.rate(1_011), pace.take(1_000, 0, 1_011)]).toEqual([2_000, Number.POSITIVE_INFINITY, 0])
})
