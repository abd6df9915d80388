import { expect, test } from '@jest/globals'
import type { Probe } from '../../../door/canary-client.ts'
import { diagnose, readStatus, type ServiceStatus, worst } from '../../../door/diagnosis.ts'

type Failed = Extract<Probe, { arrived: false }>
const failed = (stopped: Failed['stopped'], partitions: number[] = []): Failed => ({
  gateway: 'gateway-2',
  arrived: false,
  stopped,
  reason: 'after 3000 ms',
  partitions,
})
const registry = readStatus('registry', 'registry', { ok: true })
const gateway = readStatus('gateway-2', 'gateway', { ok: true, kafka: { reachable: true }, shardsWithoutRouter: [] })
const router = readStatus('router', 'router', { ok: true, kafka: { reachable: true } })
const down = (id: string, kind: ServiceStatus['kind']): ServiceStatus => ({ id, kind, up: false, reason: 'connect ECONNREFUSED 127.0.0.1:1' })
const fine = [registry, gateway, router]

test.each([
  ['connect', 'gateway-2', /does not accept connections/],
  ['connack', 'gateway-2', /no CONNACK/],
  ['refused', 'gateway-2', /refused the canary/],
  ['suback', 'kafka', /no SUBACK/],
  ['puback', 'kafka', /no PUBACK/],
  ['delivery', 'router', /delivered nothing/],
  ['closed', 'gateway-2', /closed the connection/],
] as const)('with services that say they are fine, a canary that stopped at %s names %s', (stopped, hop, words) => {
  const failure = diagnose(failed(stopped), fine)
  expect(failure.hop).toBe(hop)
  expect(failure.reason).toMatch(words)
  expect(failure.reason).toMatch(/after 3000 ms/)
})

test.each(['connack', 'refused', 'puback', 'delivery', 'closed'] as const)('a service that cannot reach Kafka explains a stop at %s', (stopped) => {
  const away = readStatus('router', 'router', { ok: false, kafka: { reachable: false, unreachableMs: 4000, reason: 'connect ECONNREFUSED' } })
  const failure = diagnose(failed(stopped), [registry, gateway, away])
  expect(failure).toMatchObject({ hop: 'kafka', reason: expect.stringContaining('router cannot reach Kafka (connect ECONNREFUSED)') })
})

test('a service that Kafka has owed an answer for a second explains it too, one that just asked does not', () => {
  const waiting = (unreachableMs: number) => readStatus('gateway', 'gateway', { ok: true, kafka: { reachable: true, unreachableMs } })
  expect(diagnose(failed('connack'), [waiting(1200)])).toMatchObject({ hop: 'kafka', reason: expect.stringContaining('no answer for 1.2 s') })
  expect(diagnose(failed('connack'), [waiting(900)]).hop).toBe('gateway-2')
})

test.each(['connack', 'delivery'] as const)('a router that is down explains a stop at %s', (stopped) => {
  expect(diagnose(failed(stopped), [registry, gateway, down('router', 'router')])).toMatchObject({
    hop: 'router',
    reason: expect.stringContaining('router does not answer'),
  })
})

test('one router of two that is down does not explain anything by itself, shards without a router do', () => {
  const two = [registry, router, down('router-2', 'router')]
  expect(diagnose(failed('connack'), [...two, gateway]).hop).toBe('gateway-2')
  const missing = readStatus('gateway-2', 'gateway', { ok: true, kafka: { reachable: true }, shardsWithoutRouter: [1, 3] })
  expect(diagnose(failed('connack'), [...two, missing])).toMatchObject({ hop: 'router', reason: expect.stringContaining('shards 1, 3') })
})

test('a gateway that lets nobody in while the registry is down names the registry', () => {
  expect(diagnose(failed('refused'), [down('registry', 'registry'), gateway, router]).hop).toBe('registry')
})

test('a gateway that hangs is named, not what it should have passed on to', () => {
  const failure = diagnose(failed('puback', [0]), [registry, down('gateway-2', 'gateway'), readStatus('gateway', 'gateway', { ok: true }), router])
  expect(failure).toEqual({
    hop: 'gateway-2',
    reason: 'gateway gateway-2 gave no PUBACK (partition 0): after 3000 ms; nor does it answer at /status (connect ECONNREFUSED 127.0.0.1:1)',
  })
})

test('a gateway that cannot be reached is named whatever the others say', () => {
  expect(diagnose(failed('connect'), [down('registry', 'registry'), down('gateway-2', 'gateway'), down('router', 'router')]).hop).toBe('gateway-2')
})

test('the partitions that failed are named', () => {
  expect(diagnose(failed('delivery', [1, 3]), fine).reason).toContain('(partitions 1, 3)')
  expect(diagnose(failed('puback', [2]), fine).reason).toContain('(partition 2)')
})

test('of several failures the one that explains the others is named first', () => {
  const failures = ['gateway', 'router', 'gateway-2', 'kafka', 'registry'].map((hop) => ({ hop, reason: '' }))
  expect(worst(failures)?.hop).toBe('kafka')
  expect(worst(failures.slice(0, 1))?.hop).toBe('gateway')
  expect(worst([])).toBeUndefined()
})

test('a status without the fields that are asked for counts as fine', () => {
  expect(readStatus('a', 'gateway', null)).toMatchObject({ ok: true, kafkaAway: null, shardsWithoutRouter: [] })
  expect(readStatus('a', 'gateway', { shardsWithoutRouter: ['x', 2] })).toMatchObject({ shardsWithoutRouter: [2] })
})
