import { describe, expect, test } from '@jest/globals'
import { levelCount, matches, parseShared, topicFilterProblem, topicNameProblem } from '../../../mqtt/topic.ts'
import fc from '../../support/fast-check.ts'

describe('matching', () => {
  test.each([
    // The specification's own examples, sections 4.7.1 to 4.7.3.
    ['sport/tennis/player1/#', 'sport/tennis/player1', true],
    ['sport/tennis/player1/#', 'sport/tennis/player1/ranking', true],
    ['sport/tennis/player1/#', 'sport/tennis/player1/score/wimbledon', true],
    ['sport/#', 'sport', true],
    ['#', 'sport/tennis', true],
    ['sport/tennis/+', 'sport/tennis/player1', true],
    ['sport/tennis/+', 'sport/tennis/player1/ranking', false],
    ['sport/+', 'sport', false],
    ['sport/+', 'sport/', true],
    ['+/+', '/finance', true],
    ['/+', '/finance', true],
    ['+', '/finance', false],
    ['#', '$SYS/monitor', false],
    ['+/monitor/Clients', '$SYS/monitor/Clients', false],
    ['$SYS/#', '$SYS/monitor', true],
    ['$SYS/monitor/+', '$SYS/monitor/Clients', true],
    ['ACCOUNTS', 'Accounts', false],
    // Edges.
    ['a', 'a', true],
    ['a', 'ab', false],
    ['ab', 'a', false],
    ['a/b', 'a', false],
    ['a', 'a/b', false],
    ['a/', 'a', false],
    ['a', 'a/', false],
    ['a/', 'a/', true],
    ['/', '/', true],
    ['+/+', '/', true],
    ['+', '', true],
    ['a/+/c', 'a//c', true],
    ['a/+/c', 'a/b/d', false],
    ['a/+/#', 'a/b', true],
    ['a/+/#', 'a', false],
    ['+/#', 'a', true],
    ['a/#', 'ab', false],
    ['a//#', 'a', false],
    ['é/+', 'é/😀', true],
    ['a/$b', 'a/$b', true],
    ['a/+', 'a/$b', true],
  ])('%s and %s: %s', (filter, topic, expected) => {
    expect(matches(filter, topic)).toBe(expected)
  })

  test('agrees with the definition by levels', () => {
    const level = fc.constantFrom('', 'a', 'b', 'ab', '$a')
    const topics = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join('/'))
    const filters = fc
      .tuple(fc.array(fc.oneof(level, fc.constant('+')), { maxLength: 4 }), fc.boolean())
      .map(([levels, isOpen]) => [...levels, ...(isOpen || levels.length === 0 ? ['#'] : [])].join('/'))
    fc.assert(
      fc.property(filters, topics, (filter, topic) => expect(matches(filter, topic)).toBe(matchesByLevels(filter, topic))),
      { numRuns: 5000 },
    )
  })
})

function matchesByLevels(filter: string, topic: string): boolean {
  const wanted = filter.split('/')
  const levels = topic.split('/')
  if (topic.startsWith('$') && (wanted[0] === '+' || wanted[0] === '#')) return false
  const isOpen = wanted.at(-1) === '#'
  const fixed = isOpen ? wanted.slice(0, -1) : wanted
  if (isOpen ? levels.length < fixed.length : levels.length !== fixed.length) return false
  return fixed.every((one, index) => one === '+' || one === levels[index])
}

describe('topic names', () => {
  test.each(['a', '/', 'a/b', ' ', '$SYS/x', '😀', '\ufeff', 'x'.repeat(65_535)])('%.20s is one', (topic) => expect(topicNameProblem(topic)).toBeNull())
  test.each([
    ['', 'is empty'],
    ['a\u0000', 'contains U+0000'],
    ['a\ud800', 'contains a lone surrogate'],
    ['\udc00a', 'contains a lone surrogate'],
    ['a/+', 'contains a wildcard'],
    ['a#', 'contains a wildcard'],
    ['x'.repeat(65_536), 'is longer than 65535 bytes'],
    ['é'.repeat(32_768), 'is longer than 65535 bytes'],
  ])('%.20s %s', (topic, problem) => expect(topicNameProblem(topic)).toBe(problem))
})

describe('topic filters', () => {
  test.each(['#', '+', '/', 'a/#', '+/+', '/+/#', 'a/+/b', '$SYS/#', '$share/g/a', '$share/g/#', '$share/g//', '$share', '$shared/+/x'])(
    '%s is one',
    (filter) => expect(topicFilterProblem(filter)).toBeNull(),
  )
  test.each([
    ['', 'is empty'],
    ['a#', 'has a wildcard that does not fill its level'],
    ['a/#/b', 'has # before its end'],
    ['##', 'has # before its end'],
    ['#/', 'has # before its end'],
    ['a+', 'has a wildcard that does not fill its level'],
    ['+a', 'has a wildcard that does not fill its level'],
    ['a/+b/c', 'has a wildcard that does not fill its level'],
    ['+#', 'has a wildcard that does not fill its level'],
    ['$share/', 'names a share without a topic filter'],
    ['$share/g', 'names a share without a topic filter'],
    ['$share/g/', 'names a share without a topic filter'],
    ['$share//a', 'has an empty share name'],
    ['$share/+/a', 'has a wildcard in its share name'],
    ['$share/g#/a', 'has a wildcard in its share name'],
    ['$share/g/a#', 'has a wildcard that does not fill its level'],
    ['a\ud800', 'contains a lone surrogate'],
    ['x'.repeat(65_536), 'is longer than 65535 bytes'],
  ])('%.20s %s', (filter, problem) => expect(topicFilterProblem(filter)).toBe(problem))
})

test('a shared filter has a group and a filter', () => {
  expect(parseShared('$share/g/a/+')).toEqual({ group: 'g', filter: 'a/+' })
  expect(parseShared('$share/g//')).toEqual({ group: 'g', filter: '/' })
  expect(parseShared('a/$share/g')).toBeNull()
  expect(parseShared('$share')).toBeNull()
})

test('levels are what slashes part', () => {
  expect(['a', '/', 'a/b', '/a/', '///'].map(levelCount)).toEqual([1, 2, 2, 3, 4])
})
