import { expect, test } from '@jest/globals'
import { FailedConnects } from '../../../gateway/failed-connects.ts'

function world(limits: { FAILED_CONNECT_DELAY_MAX?: number; FAILED_CONNECTS_REMEMBERED_MAX?: number } = {}) {
  let forgotten = 0
  const failed = new FailedConnects({ FAILED_CONNECT_DELAY_MAX: 5000, FAILED_CONNECTS_REMEMBERED_MAX: 100, ...limits }, () => forgotten++)
  return { failed, forgotten: () => forgotten }
}

test('the first failures of a name cost nothing, then each doubles the delay, up to the longest', () => {
  const { failed } = world()
  expect(Array.from({ length: 10 }, (_, i) => failed.failed(`address ${i}`, 'victim', 0))).toEqual([0, 0, 0, 500, 1000, 2000, 4000, 5000, 5000, 5000])
})

test('an address that tries many names is slowed down later, and more gently', () => {
  const { failed } = world()
  const delays = Array.from({ length: 80 }, (_, i) => failed.failed('address', `name ${i}`, 0))
  expect(delays.slice(0, 30).every((delay) => delay === 0)).toBe(true)
  expect(delays[30]).toBeGreaterThan(0)
  expect(delays[39]).toBe(500)
  expect(delays[79]).toBe(5000)
  expect(delays).toEqual(delays.toSorted((a, b) => a - b))
})

test('failures are forgotten: after a quiet while a name begins anew', () => {
  const { failed } = world()
  for (let i = 0; i < 8; i++) failed.failed('address', 'name', 0)
  expect(failed.failed('address', 'name', 10 * 60_000)).toBe(0)
})

test('attempts are free until there were failures, then one at a time for an address and a name, until it is settled', () => {
  const { failed } = world()
  const begin = (address: string, name: string) => failed.begin(address, name, 0)
  expect([begin('address', 'name'), begin('address', 'name')]).toEqual(['free', 'free'])
  for (let i = 0; i < 3; i++) failed.failed('elsewhere', 'name', 0)
  expect([begin('address', 'name'), begin('address', 'name'), begin('another', 'name'), begin('address', 'other')]).toEqual(['held', 'busy', 'held', 'free'])
  failed.settled('address', 'name')
  expect([begin('address', 'name'), begin('another', 'name')]).toEqual(['held', 'busy'])
})

test('the next attempt waits until the refusal was due, even when nobody waits for the refusal any more', () => {
  const { failed } = world()
  for (let i = 0; i < 5; i++) failed.failed('elsewhere', 'name', 0)
  expect(failed.begin('address', 'name', 0)).toBe('held')
  expect(failed.failed('address', 'name', 0)).toBe(2000)
  failed.settled('address', 'name')
  const begin = (address: string, nowMs: number) => failed.begin(address, 'name', nowMs)
  expect([begin('address', 0), begin('address', 1999), begin('another', 1999), begin('address', 2000)]).toEqual(['busy', 'busy', 'held', 'held'])
})

test('a clock that is set back puts nothing off for longer than FAILED_CONNECT_DELAY_MAX', () => {
  const { failed } = world()
  for (let i = 0; i < 8; i++) failed.failed('address', 'name', 60_000)
  expect([failed.begin('address', 'name', 59_999), failed.begin('address', 'name', 60_000)]).toEqual(['held', 'busy'])
})

test.each([
  ['VICTIM', 'victim'],
  ['N'.repeat(70_000), 'n'.repeat(70_000)],
])('CL-02 a name is one whatever its case: it fails and waits as one', (one, same) => {
  const { failed } = world()
  for (let i = 0; i < 3; i++) failed.failed(`address ${i}`, one, 0)
  expect(failed.begin('address', same, 0)).toBe('held')
  expect([failed.begin('address', one, 0), failed.begin('address', `${same}x`, 0)]).toEqual(['busy', 'free'])
  failed.settled('address', one)
  expect(failed.failed('address', same, 0)).toBe(500)
  expect(failed.begin('address', one, 0)).toBe('busy')
})

test('a name that was not given is nobody’s', () => {
  const { failed } = world()
  expect(Array.from({ length: 10 }, (_, i) => failed.failed(`address ${i}`, '', 0)).every((delay) => delay === 0)).toBe(true)
})

test('FAILED_CONNECT_DELAY_MAX 0 puts nothing off', () => {
  const { failed } = world({ FAILED_CONNECT_DELAY_MAX: 0 })
  expect(Array.from({ length: 100 }, () => failed.failed('address', 'name', 0)).every((delay) => delay === 0)).toBe(true)
})

test('FAILED_CONNECTS_REMEMBERED_MAX: memory is bounded, whatever addresses and names come; who failed longest ago is forgotten and counted', () => {
  const { failed, forgotten } = world({ FAILED_CONNECTS_REMEMBERED_MAX: 10 })
  for (let i = 0; i < 8; i++) failed.failed('a', 'victim', 0)
  for (let i = 0; i < 9; i++) failed.failed(`b${i}`, `other ${i}`, 0)
  expect(failed.failed('c', 'victim', 0)).toBe(5000)
  for (let i = 0; i < 10; i++) failed.failed(`d${i}`, `stranger ${i}`, 0)
  expect(failed.failed('e', 'victim', 0)).toBe(0)
  expect(forgotten()).toBeGreaterThan(0)
})
