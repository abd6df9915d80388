import { expect, test } from '@jest/globals'
import type { Session } from '../../../model/session.ts'
import { matches, topicFilterProblem, topicNameProblem } from '../../../mqtt/topic.ts'
import { SubscriptionTrie } from '../../../router/subscription-trie.ts'
import fc from '../../support/fast-check.ts'
import { subscription } from '../model/session-records.ts'
import { sessionOf } from './sessions.ts'

const level = fc.constantFrom('a', 'b', '', '$a', 'c')
const topics = fc
  .array(level, { minLength: 1, maxLength: 4 })
  .map((levels) => levels.join('/'))
  .filter((topic) => topicNameProblem(topic) === null)
const filters = fc
  .array(fc.oneof({ weight: 3, arbitrary: level }, { weight: 2, arbitrary: fc.constantFrom('+', '#') }), { minLength: 1, maxLength: 4 })
  .map((levels) => levels.join('/'))
  .filter((filter) => topicFilterProblem(filter) === null)

const sessions = [0, 1, 2].map((i) => sessionOf(`c${i}`))
const found = (trie: SubscriptionTrie, topic: string): string[] =>
  trie
    .match(topic)
    .flatMap(({ session, subscriptions }) => subscriptions.map(({ filter }) => `${session.clientId} ${filter}`))
    .sort()

test('finds what mqtt/topic.ts says matches, through any adding and removing', () => {
  const step = fc.record({ adds: fc.boolean(), filter: filters, who: fc.nat(2) })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), fc.array(topics, { minLength: 1, maxLength: 10 }), (steps, asked) => {
      const trie = new SubscriptionTrie()
      const held = new Set<string>()
      for (const { adds, filter, who } of steps) {
        const session = sessions[who] as Session
        if (adds) trie.add(session, subscription(filter))
        else trie.remove(session, filter)
        if (adds) held.add(`c${who} ${filter}`)
        else held.delete(`c${who} ${filter}`)
      }
      expect(trie.size).toBe(held.size)
      for (const topic of asked) expect(found(trie, topic)).toEqual([...held].filter((each) => matches(each.slice(3), topic)).sort())
      // Each session once, with all of its subscriptions.
      for (const topic of asked) expect(new Set(trie.match(topic).map(({ session }) => session)).size).toBe(trie.match(topic).length)
    }),
    { numRuns: 500 },
  )
})

test('removing all that was added leaves nothing behind', () => {
  fc.assert(
    fc.property(fc.uniqueArray(filters, { maxLength: 20 }), fc.array(topics), (all, asked) => {
      const trie = new SubscriptionTrie()
      for (const filter of all) for (const session of sessions) trie.add(session, subscription(filter))
      for (const filter of all) for (const session of sessions) trie.remove(session, filter)
      expect(trie.size).toBe(0)
      expect(trie.nodes).toBe(0)
      for (const topic of asked) expect(trie.match(topic)).toEqual([])
    }),
  )
})

const isFound = (filter: string, topic: string): boolean => {
  const trie = new SubscriptionTrie()
  trie.add(sessions[0] as Session, subscription(filter))
  return trie.match(topic).length === 1
}

test.each([
  ['#', '$SYS/x', false],
  ['+/x', '$SYS/x', false],
  ['$SYS/#', '$SYS/x', true],
  ['$SYS/+', '$SYS/x', true],
])('%s, topic %s: %s [MQTT-4.7.2-1]', (filter, topic, isMatch) => expect(isFound(filter, topic)).toBe(isMatch))

test.each([
  ['a/#', 'a', true],
  ['a/+/#', 'a/b', true],
  ['a/+', 'a', false],
  ['+', '/', false],
  ['/+', '/', true],
])('%s, topic %s: %s', (filter, topic, isMatch) => expect(isFound(filter, topic)).toBe(isMatch))

test('a filter subscribed again replaces the subscription', () => {
  const trie = new SubscriptionTrie()
  trie.add(sessions[0] as Session, subscription('a', { qos: 0 }))
  trie.add(sessions[0] as Session, subscription('a', { qos: 1 }))
  expect([trie.size, trie.match('a')[0]?.subscriptions]).toEqual([1, [subscription('a', { qos: 1 })]])
})

test('a topic is matched by more groups of one filter than a call takes arguments', () => {
  const trie = new SubscriptionTrie()
  const count = 150_000
  for (let i = 0; i < count; i++) trie.add(sessions[0] as Session, subscription(`$share/g${i}/a/#`))
  expect(trie.matchGroups('a/b')).toHaveLength(count)
})
