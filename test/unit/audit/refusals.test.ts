import { expect, test } from '@jest/globals'
import { type Refusal, Refusals, RefusedKind, withoutSecrets } from '../../../audit/refusals.ts'

const refusal = (authenticationName: string, but: Partial<Refusal> = {}): Refusal => ({
  kind: RefusedKind.publish,
  authenticationName,
  clientId: 'c',
  remoteAddress: '192.0.2.1',
  transport: 'tls',
  topic: 't',
  reasonCode: 0x87,
  why: 'no permission',
  ...but,
})

function world(max = 10) {
  let full = 0
  const refusals = new Refusals(
    () => max,
    () => full++,
  )
  return { refusals, full: () => full }
}

test('the first is told at once, those within a minute are counted and told at its end, with the last of them', () => {
  const { refusals } = world()
  expect(refusals.refused(refusal('a'), 0)).toEqual({ refusal: refusal('a'), at: 0, more: 0 })
  for (let i = 1; i <= 5; i++) expect(refusals.refused(refusal('a', { topic: `t${i}` }), i)).toBeNull()
  expect(refusals.due(59_999)).toEqual([])
  expect(refusals.due(60_000)).toEqual([{ refusal: refusal('a', { topic: 't5' }), at: 5, more: 4 }])
  expect(refusals.due(60_000)).toEqual([])
  expect(refusals.refused(refusal('a'), 60_001)).not.toBeNull()
})

test('what happened once is told once', () => {
  const { refusals } = world()
  refusals.refused(refusal('a'), 0)
  expect(refusals.due(Number.POSITIVE_INFINITY)).toEqual([])
})

test('kinds, names and addresses are told apart', () => {
  const { refusals } = world()
  const all = [refusal('a'), refusal('b'), refusal('a', { kind: RefusedKind.subscribe }), refusal('a', { remoteAddress: '192.0.2.2' })]
  expect(all.map((each) => refusals.refused(each, 0)?.refusal)).toEqual(all)
})

test('REFUSALS_TOLD_MAX: with too many of them the others are one, counted, and nothing grows', () => {
  const { refusals, full } = world(3)
  const told = Array.from({ length: 1000 }, (_, i) => refusals.refused(refusal(`name ${i}`), i)).filter((each) => each !== null)
  // Three by name, and the first of the others.
  expect(told).toHaveLength(4)
  expect(full()).toBe(997)
  expect(refusals.due(Number.POSITIVE_INFINITY)).toEqual([{ refusal: refusal('name 999'), at: 999, more: 995 }])
})

test('a token is not repeated, wherever it stands', () => {
  const token = 'eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJpc3MiOiJodHRwczovL2lzc3VlciJ9.c2lnbmF0dXJl-_'
  expect(withoutSecrets(`no client is registered as “${token}”`)).toBe('no client is registered as “(a token)”')
  expect(withoutSecrets(token.slice(0, -20))).toBe('(a token)')
  expect(withoutSecrets('vehicles/vehicle01/position and auto-123e4567-e89b-12d3-a456-426614174000')).toBe(
    'vehicles/vehicle01/position and auto-123e4567-e89b-12d3-a456-426614174000',
  )
})
