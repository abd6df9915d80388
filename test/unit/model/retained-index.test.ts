import { describe, expect, test } from '@jest/globals'
import { RetainedIndex } from '../../../model/retained-index.ts'
import { matches } from '../../../mqtt/topic.ts'
import fc from '../../support/fast-check.ts'

const level = fc.constantFrom('a', 'b', 'c', '', '$x')
const topic = fc
  .array(level, { minLength: 1, maxLength: 4 })
  .map((levels) => levels.join('/'))
  .filter((each) => each !== '')
const filter = fc
  .tuple(fc.array(fc.oneof(level, fc.constant('+')), { minLength: 1, maxLength: 4 }), fc.boolean())
  .map(([levels, rest]) => [...levels, ...(rest ? ['#'] : [])].join('/'))
  .filter((each) => each !== '')

function indexOf(topics: Iterable<string>): RetainedIndex<string> {
  const index = new RetainedIndex<string>()
  for (const each of topics) index.set(each, each)
  return index
}

function all(index: RetainedIndex<string>, each: string, steps = Number.POSITIVE_INFINITY): string[] {
  const walk = index.walk(each)
  const found: string[] = []
  while (!walk.isDone) {
    const next = walk.next({ steps })
    if (next !== undefined) found.push(next)
  }
  return found
}

test('a walk finds what the filter matches, each topic once, however small its steps', () => {
  fc.assert(
    fc.property(fc.uniqueArray(topic), fc.array(topic), filter, fc.integer({ min: 1, max: 5 }), (topics, removed, wanted, steps) => {
      const index = indexOf(topics)
      for (const each of removed) index.delete(each)
      const kept = topics.filter((each) => !removed.includes(each))
      expect(index.size).toBe(kept.length)
      expect(all(index, wanted, steps).sort()).toEqual(kept.filter((each) => matches(wanted, each)).sort())
    }),
    { numRuns: 2_000 },
  )
})

test('at any moment of a walk what it has found is past, and what it will find is not', () => {
  fc.assert(
    fc.property(fc.uniqueArray(topic), filter, fc.nat(20), (topics, wanted, stop) => {
      const index = indexOf(topics)
      const walk = index.walk(wanted)
      const found = new Set<string>()
      for (let i = 0; i < stop && !walk.isDone; i++) {
        const next = walk.next({ steps: 1 })
        if (next !== undefined) found.add(next)
      }
      const matching = topics.filter((each) => matches(wanted, each))
      expect(matching.filter((each) => walk.isPast(each)).sort()).toEqual([...found].sort())
    }),
    { numRuns: 2_000 },
  )
})

test('what is taken away and put back during a walk is found once or twice, what stays is found once', () => {
  const index = indexOf(['a/1', 'a/2', 'a/3'])
  const walk = index.walk('a/+')
  const found = [walk.next({ steps: 10 })]
  index.delete('a/1')
  index.set('a/1', 'a/1')
  index.delete('a/2')
  while (!walk.isDone) {
    const next = walk.next({ steps: 10 })
    if (next !== undefined) found.push(next)
  }
  expect(found).toEqual(['a/1', 'a/3', 'a/1'])
})

describe('with 100,000 topics', () => {
  const index = new RetainedIndex<string>()
  for (let i = 0; i < 100_000; i++) index.set(`site/${i % 100}/device/${i}/state`, `${i}`)

  test.each([
    ['site/7/device/107/state', 1],
    ['site/7/#', 1_000],
    ['site/+/device/+/state', 100_000],
    ['#', 100_000],
    ['nobody/#', 0],
  ])('%s is walked in steps, and the time is told', (each, count) => {
    const began = performance.now()
    expect(all(index, each, 5_000)).toHaveLength(count)
    process.stderr.write(`${each}: ${count} of 100,000 retained topics in ${(performance.now() - began).toFixed(1)} ms\n`)
  })
})
