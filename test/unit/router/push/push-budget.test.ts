import { expect, test } from '@jest/globals'
import { PushBudget } from '../../../../router/push/push-budget.ts'

test('PUSH_REQUESTS_MAX: when all requests are taken, a subscription without any may send one all the same', () => {
  const budget = new PushBudget(2)
  expect([budget.takeRequest(0), budget.takeRequest(1), budget.takeRequest(2)]).toEqual([true, true, false])
  expect(budget.takeRequest(0)).toBe(true)
  expect(budget.requests).toBe(3)
})

test('PUSH_REQUESTS_MAX: those that wait are called once when there is room again', () => {
  const budget = new PushBudget(1)
  let called = 0
  budget.takeRequest(0)
  budget.takeRequest(0)
  budget.whenFree(() => called++)
  budget.requestEnded()
  expect(called).toBe(0)
  budget.requestEnded()
  budget.requestEnded()
  expect(called).toBe(1)
})
