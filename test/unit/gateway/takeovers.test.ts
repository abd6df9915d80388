import { expect, test } from '@jest/globals'
import { Takeovers } from '../../../gateway/takeovers.ts'

const given = (burst = 3, interval = 10_000) => new Takeovers(() => ({ TAKEOVER_BURST: burst, TAKEOVER_INTERVAL: interval }))

function after(takeovers: Takeovers, ...times: number[]): Takeovers {
  for (const at of times) takeovers.taken('c', at)
  return takeovers
}

test('TAKEOVER_BURST: a single takeover holds up nobody, nor do as many as may come in quick succession', () => {
  expect(given().waitMs('c', 0)).toBe(0)
  expect(after(given(), 0).waitMs('c', 1)).toBe(0)
  expect(after(given(), 0, 1, 2).waitMs('c', 3)).toBe(0)
})

test('TAKEOVER_INTERVAL: the next one waits until it is one more per interval, and for an interval at most', () => {
  expect(after(given(), 0, 0, 0, 0).waitMs('c', 0)).toBe(10_000)
  expect(after(given(), 0, 0, 0, 0).waitMs('c', 4_000)).toBe(6_000)
  expect(after(given(), ...new Array<number>(1_000).fill(0)).waitMs('c', 0)).toBe(10_000)
})

test('a client that is taken over now and then, however long, never waits', () => {
  const takeovers = given()
  for (let at = 0; at < 3_600_000; at += 10_000) {
    expect(takeovers.waitMs('c', at)).toBe(0)
    takeovers.taken('c', at)
  }
})

test('two that chase each other take the session no oftener than once per interval in the long run', () => {
  const takeovers = given()
  let now = 0
  let count = 0
  for (; now < 3_600_000; count++) {
    now += takeovers.waitMs('c', now) + 5
    takeovers.taken('c', now)
  }
  expect(count).toBeLessThanOrEqual(360 + 4)
})

test('what is over is forgiven, another client id is not concerned, and an interval of 0 turns it off', () => {
  const takeovers = after(given(), 0, 0, 0, 0, 0)
  expect([takeovers.waitMs('other', 0), takeovers.waitMs('c', 60_000)]).toEqual([0, 0])
  expect(after(given(3, 0), 0, 0, 0, 0, 0).waitMs('c', 0)).toBe(0)
})

test('as many client ids are remembered as have a place; the ones longest ago are forgiven', () => {
  const takeovers = after(given(), 0, 0, 0, 0)
  for (let i = 0; i < 65_536; i++) takeovers.taken(`d${i}`, 0)
  expect(takeovers.waitMs('c', 0)).toBe(0)
})
