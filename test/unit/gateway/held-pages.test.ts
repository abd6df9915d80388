import { expect, test } from '@jest/globals'
import { Delivering } from '../../../gateway/delivering.ts'
import { type HeldMessage, HeldPages } from '../../../gateway/held-pages.ts'
import { Output } from '../../../gateway/output.ts'
import { ClientRates, NamespaceRates } from '../../../gateway/rates.ts'
import { clientOf, config, metricsOf, taken } from './client-parts.ts'
import { outgoing } from './outgoing-message.ts'

const held = (topic: string): HeldMessage => ({
  message: outgoing({ topic, retain: true, payload: Buffer.from('x') }),
  receiver: { connection: 1, qos: 0, dup: false, retain: true, number: -1, subscriptionIdentifiers: [] },
})

function given(...pages: readonly (readonly string[])[]): { pages: HeldPages; done: number[] } {
  const done: number[] = []
  const all = new HeldPages()
  for (const [i, topics] of pages.entries()) all.add(topics.map(held), 0, () => done.push(i))
  return { pages: all, done }
}

test('a page is done when its last message is handed on, in the order they came', () => {
  const { pages, done } = given(['a', 'b'], ['c'])
  const order: (string | undefined)[] = []
  while (!pages.isEmpty) {
    order.push(pages.first?.message.topic)
    pages.shift()
    order.push(done.join())
  }
  expect(order).toEqual(['a', '', 'b', '0', 'c', '0,1'])
})

test('a page without messages is done at once', () => {
  expect(given([], ['a']).done).toEqual([0])
})

test('what a live message follows is taken out from wherever it waits, and counts as handed on', () => {
  const { pages, done } = given(['a', 'b'], ['b'])
  expect(pages.take('b').map(({ message }) => message.topic)).toEqual(['b', 'b'])
  expect(done).toEqual([1])
  expect(pages.take('none')).toEqual([])
  pages.shift()
  expect(done).toEqual([1, 0])
})

test('when the connection is over every page is done', () => {
  const { pages, done } = given(['a', 'b'], ['c'])
  pages.clear()
  expect([done, pages.isEmpty]).toEqual([[0, 1], true])
})

function delivering() {
  const output = new Output()
  const owner = { awaitsSuback: true, recordsGiven: 3, recordsAnswered: 2, waitingBytes: 0, onOutput() {}, onDone() {}, onOverflow() {}, onThrottled() {} }
  const metrics = metricsOf()
  const rates = new ClientRates(new NamespaceRates({ config, metrics, now: () => 0 }))
  return { output, owner, delivering: new Delivering(config, metrics, owner, clientOf(4), output, rates, true) }
}

test('what is retained goes out after the SUBACK of a SUBSCRIBE that is on its way [3.8.4]', () => {
  const { output, owner, delivering: half } = delivering()
  let done = 0
  half.deliverRetained(0, 1, true, [held('a')], 0, () => done++)
  expect([taken(output), done]).toEqual([[], 0])
  owner.awaitsSuback = false
  half.onRoom(0)
  expect([taken(output), done]).toEqual([['310400016178'], 1])
})

test('a client that always has a SUBSCRIBE on its way holds what is retained no longer than until those before it are answered', () => {
  const { output, owner, delivering: half } = delivering()
  let done = 0
  half.deliverRetained(0, 1, false, [held('a')], 0, () => done++)
  owner.recordsGiven = 4
  half.onRoom(0)
  expect([taken(output), done]).toEqual([[], 0])
  owner.recordsAnswered = 3
  half.deliverRetained(0, 1, true, [held('b')], 0, () => done++)
  expect([taken(output), done]).toEqual([['310400016178'], 1])
  owner.recordsAnswered = 4
  half.onRoom(0)
  expect([taken(output), done]).toEqual([['310400016278'], 2])
})
