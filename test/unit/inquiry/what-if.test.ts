import { expect, test } from '@jest/globals'
import { Tally } from '../../../inquiry/tally.ts'
import { WhatIf } from '../../../inquiry/what-if.ts'
import { type Registry, viewOf } from '../access/registry.ts'

const client = (authenticationName: string, type: string, state = 'Enabled') => ({
  authenticationName,
  state,
  clientCertificateAuthentication: {},
  attributes: { type },
})
const registry = (but: Partial<Registry> = {}): Registry => ({
  clients: { pump: client('pump', 'pump'), screen: client('screen', 'screen') },
  clientGroups: { pumps: { query: 'attributes.type = "pump"' }, screens: { query: 'attributes.type = "screen"' } },
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a topic template
  topicSpaces: { plant: { topicTemplates: ['plant/#'] }, own: { topicTemplates: ['own/${client.authenticationName}/#'] } },
  permissionBindings: {
    'pumps-publish': { clientGroupName: 'pumps', topicSpaceName: 'plant', permission: 'Publisher' },
    'screens-read': { clientGroupName: 'screens', topicSpaceName: 'plant', permission: 'Subscriber' },
  },
  ...but,
})
const pump = { authenticationName: 'pump' }
const screen = { authenticationName: 'screen' }
const whatIf = (after: Partial<Registry>, before: Partial<Registry> = {}, pairsMax = 100) =>
  new WhatIf(viewOf(registry(before)), viewOf(registry(after)), pairsMax)

test('a publish that a narrower topic space no longer covers would be refused, with the reason and where it first and last was', () => {
  const asked = whatIf({ topicSpaces: { plant: { topicTemplates: ['plant/1/#'] } } })
  expect(asked.published(pump, 'plant/1/flow', '0:1')).toBe(true)
  expect(asked.published(pump, 'plant/2/flow', '1:7')).toBe(false)
  expect(asked.published(pump, 'plant/2/flow', '1:9')).toBe(false)
  const { publishes } = asked.report(10)
  expect(publishes).toMatchObject({ judged: 3, refusedAlready: 0, undecided: 0, allowed: { count: 0 } })
  expect(publishes.refused).toEqual({
    count: 2,
    others: 0,
    top: [{ authenticationName: 'pump', topic: 'plant/2/flow', count: 2, first: '1:7', last: '1:9', why: expect.stringContaining('Publisher') }],
  })
})

test('a client that would be disabled, or would leave its group, is refused everything', () => {
  for (const pumpThen of [client('pump', 'pump', 'Disabled'), client('pump', 'valve')]) {
    const asked = whatIf({ clients: { pump: pumpThen } })
    expect(asked.published(pump, 'plant/1/flow', '0:1')).toBe(false)
  }
})

test('a delivery stays while one of the subscriptions that bring it may, and is told apart when its publish would not have been', () => {
  const asked = whatIf({ topicSpaces: { plant: { topicTemplates: ['plant/+'] } } })
  const by = (...filters: string[]) => ({ by: filters.map((filter) => ({ identity: screen, filter })), group: null })
  asked.delivered(by('plant/#', 'plant/+'), 'plant/1', '0:1', true)
  asked.delivered(by('plant/#'), 'plant/1', '0:1', true)
  asked.delivered(by('plant/#'), 'plant/2', '0:2', false)
  const { deliveries } = asked.report(10)
  expect(deliveries).toMatchObject({ judged: 3, lostWithPublish: 1, refusedAlready: 0, refused: { count: 1 } })
})

test('what the registry that is there refuses as well is not held against the proposal', () => {
  const asked = whatIf({}, { permissionBindings: {} })
  const still = whatIf({ permissionBindings: {} }, { permissionBindings: {} })
  expect([asked.published(pump, 'plant/1', '0:1'), still.published(pump, 'plant/1', '0:1')]).toEqual([true, true])
  expect(still.report(1).publishes).toMatchObject({ refusedAlready: 1, refused: { count: 0 } })
  expect(asked.report(1).publishes).toMatchObject({ refusedAlready: 0, refused: { count: 0 } })
})

test('refusals that were written down and would be allowed are told; those that stand for others only as a number', () => {
  const asked = whatIf({ permissionBindings: { own: { clientGroupName: '$all', topicSpaceName: 'own', permission: 'Publisher' } } })
  asked.refused({ kind: 'publish', authenticationName: 'screen', topic: 'own/screen/x', more: 4 })
  asked.refused({ kind: 'publish', authenticationName: 'screen', topic: 'own/pump/x', more: 0 })
  asked.refused({ kind: 'subscribe', authenticationName: 'screen', topic: 'own/screen/#', more: 0 })
  asked.refusedUnknown(3)
  const report = asked.report(10)
  expect(report.publishes.allowed).toEqual({ count: 1, others: 0, top: [{ authenticationName: 'screen', topic: 'own/screen/x', count: 1 }] })
  expect([report.subscriptions.allowed.count, report.refusalsOfUnknownTopic]).toEqual([0, 7])
})

test('who came with a credential that is not in the log is counted, and decided neither way', () => {
  const asked = whatIf({ permissionBindings: {} })
  expect(asked.published(undefined, 'plant/1', '0:1')).toBe(true)
  expect(asked.report(1).publishes).toMatchObject({ judged: 1, undecided: 1, refused: { count: 0 } })
})

test('counts are exact however many pairs there are; beyond the pairs that are told apart there are others', () => {
  const tally = new Tally(2)
  for (const topic of ['a', 'b', 'b', 'c', 'c', 'c']) tally.add('x', topic)
  expect(tally.told(1)).toEqual({ count: 6, others: 4, top: [{ authenticationName: 'x', topic: 'b', count: 2 }] })
  const long = new Tally(100, 20)
  for (const topic of ['a'.repeat(10), 'b'.repeat(10), 'c']) long.add('x', topic)
  expect(long.told(9)).toMatchObject({ count: 3, others: 1 })
})
