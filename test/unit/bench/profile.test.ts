import { expect, test } from '@jest/globals'
import { ownTimes } from '../../../bench/own-times.ts'
import { measureUnitCosts } from '../../../bench/unit-costs.ts'

test('the own time of a function is what was sampled in it, waiting left out', () => {
  const frame = (functionName: string, url = '', lineNumber = 0) => ({ functionName, url, lineNumber })
  const nodes = [
    { id: 1, callFrame: frame('(idle)') },
    { id: 2, callFrame: frame('take', 'file:///x/router/source-shard.ts', 158) },
    { id: 3, callFrame: frame('(garbage collector)') },
    { id: 4, callFrame: frame('take', 'file:///x/router/source-shard.ts', 158) },
  ]
  expect(ownTimes({ nodes, samples: [1, 2, 3, 4], timeDeltas: [9_000, 1_000, 1_500, 1_000] })).toEqual({
    busyMs: 3.5,
    functions: [
      { what: 'take router/source-shard.ts:159', ms: 2 },
      { what: '(garbage collector)', ms: 1.5 },
    ],
  })
})

test('each step of a message’s way can be measured by itself, with every message coming through', () => {
  const costs = measureUnitCosts(1, 1)
  expect(costs).toHaveLength(5)
  for (const { each } of costs) expect(each).toBeGreaterThanOrEqual(0)
})
