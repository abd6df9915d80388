import { expect, test } from '@jest/globals'
import { TopicAliases } from '../../../gateway/topic-aliases.ts'
import fc from '../../support/fast-check.ts'

test('a topic gets an alias when it comes again, and only the alias from then on', () => {
  const aliases = new TopicAliases(2)
  expect([aliases.use('long/topic'), aliases.use('long/topic'), aliases.use('long/topic')]).toEqual([
    { topicAlias: 0, topicKnown: false },
    { topicAlias: 1, topicKnown: false },
    { topicAlias: 1, topicKnown: true },
  ])
})

test('topics that come once each take no alias from those that come often', () => {
  const aliases = new TopicAliases(1)
  for (let i = 0; i < 2; i++) aliases.use('often')
  for (let i = 0; i < 100; i++) aliases.use(`once/${i}`)
  expect(aliases.use('often')).toEqual({ topicAlias: 1, topicKnown: true })
})

test('the topic not used for longest gives its alias to one that comes again', () => {
  const aliases = new TopicAliases(2)
  for (const topic of ['aaaa', 'aaaa', 'bbbb', 'bbbb', 'aaaa', 'cccc', 'cccc']) aliases.use(topic)
  expect(aliases.use('cccc')).toEqual({ topicAlias: 2, topicKnown: true })
  expect(aliases.use('aaaa')).toEqual({ topicAlias: 1, topicKnown: true })
  expect(aliases.use('bbbb')).toEqual({ topicAlias: 0, topicKnown: false })
})

test('a topic shorter than the alias property gets none', () => {
  const aliases = new TopicAliases(2)
  for (let i = 0; i < 3; i++) expect(aliases.use('a/b').topicAlias).toBe(0)
})

test('a client that follows the aliases always knows the topic, and none is above its maximum', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 5 }), fc.array(fc.constantFrom('aaaa', 'bbbb', 'cccc', 'dddd', 'eeee', 'ffff', 'gggg')), (max, topics) => {
      const aliases = new TopicAliases(max)
      const client = new Map<number, string>()
      for (const topic of topics) {
        const { topicAlias, topicKnown } = aliases.use(topic)
        expect(topicAlias).toBeLessThanOrEqual(max)
        if (topicKnown) expect(client.get(topicAlias)).toBe(topic)
        else if (topicAlias > 0) client.set(topicAlias, topic)
      }
    }),
  )
})
