import { expect, test } from '@jest/globals'
import { FilterSet, withoutShare } from '../../../access/cover.ts'
import fc from '../../support/fast-check.ts'

const setOf = (...filters: string[]) => {
  const set = new FilterSet<string>()
  for (const filter of filters) set.add(filter.split('/'), filter)
  return set
}

/** Plain matching by the definition (MQTT 4.7), level by level. */
function matchesPlainly(filter: readonly string[], topic: readonly string[]): boolean {
  if (topic[0]!.startsWith('$') && filter[0] !== topic[0]) return false
  for (const [i, level] of filter.entries()) {
    if (level === '#') return true
    if (i >= topic.length || (level !== '+' && level !== topic[i])) return false
  }
  return filter.length === topic.length
}

test.each<[readonly string[], string, boolean]>([
  [['a/#'], 'a', true],
  [['a/#'], 'a/#', true],
  [['a/#'], 'a/+/c', true],
  [['a/#'], '#', false],
  [['a/#'], '+/b', false],
  [['a/+'], 'a/b', true],
  [['a/+'], 'a/#', false],
  [['a/+'], 'a/+', true],
  [['a/b'], 'a/+', false],
  [['+/+'], '+/b', true],
  [['#'], '#', true],
  [['#'], '+/a/#', true],
  [['a/+/c'], 'a/b/#', false],
  [['a', 'a/+/#'], 'a/#', true],
  [['a', 'a/+', 'a/+/+/#'], 'a/#', true],
  [['a', 'a/+/+/#'], 'a/#', false],
  [['+', '+/+/#'], '#', true],
  [['+/#'], '#', true],
  [['a/b/#', 'a/+'], 'a/b/#', true],
  [['a/b/+', 'a/b'], 'a/b/#', false],
  [[], 'a', false],
])('TS-11 %j covers %s: %j', (templates, filter, expected) => {
  expect(setOf(...templates).covers(filter) !== undefined).toBe(expected)
})

test('TS-09 wildcards at the start match no topic that starts with $', () => {
  expect(setOf('#', '+/x').match('$SYS/x')).toBeUndefined()
  expect(setOf('#', '+/x').covers('$SYS/x')).toBeUndefined()
  expect(setOf('#').covers('$SYS/#')).toBeUndefined()
})

test('TS-11 covering is exact against brute force for unions of filters over a small alphabet', () => {
  // “z” is in no filter and stands for all the texts that no filter names; topics are two levels longer than any filter.
  const level = fc.constantFrom('a', 'b', '+')
  const filter = fc.tuple(fc.array(level, { minLength: 1, maxLength: 3 }), fc.boolean()).map(([levels, open]) => (open ? [...levels, '#'] : levels))
  const anyFilter = fc.oneof({ weight: 9, arbitrary: filter }, { weight: 1, arbitrary: fc.constant(['#']) })
  const topics: string[][] = []
  const grow = (topic: string[]) => {
    if (topic.length > 0) topics.push(topic)
    if (topic.length < 5) for (const next of ['a', 'b', 'z']) grow([...topic, next])
  }
  grow([])
  fc.assert(
    fc.property(fc.array(anyFilter, { maxLength: 7 }), anyFilter, (templates, asked) => {
      const set = setOf(...templates.map((levels) => levels.join('/')))
      const isCovered = topics.filter((topic) => matchesPlainly(asked, topic)).every((topic) => templates.some((template) => matchesPlainly(template, topic)))
      expect(set.covers(asked.join('/')) !== undefined).toBe(isCovered)
    }),
    { numRuns: 3000 },
  )
})

test('TS-02 matching agrees with the definition', () => {
  const level = fc.constantFrom('a', 'b', '', '+', '$c')
  const filter = fc.tuple(fc.array(level, { minLength: 1, maxLength: 4 }), fc.boolean()).map(([levels, open]) => (open ? [...levels, '#'] : levels))
  const topic = fc.array(fc.constantFrom('a', 'b', '', 'z', '$c'), { minLength: 1, maxLength: 5 })
  fc.assert(
    fc.property(fc.array(filter, { maxLength: 6 }), topic, (filters, levels) => {
      const set = setOf(...filters.map((each) => each.join('/')))
      expect(set.match(levels.join('/')) !== undefined).toBe(filters.some((each) => matchesPlainly(each, levels)))
    }),
    { numRuns: 3000 },
  )
})

test('TS-09 a shared subscription is judged without its $share/group/', () => {
  expect(withoutShare('$share/g/a/#')).toBe('a/#')
  expect(withoutShare('a/#')).toBe('a/#')
  expect(withoutShare('$share/g')).toBeUndefined()
  expect(withoutShare('$share/g/')).toBeUndefined()
})
