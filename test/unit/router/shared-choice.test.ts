import { expect, test } from '@jest/globals'
import type { Session } from '../../../model/session.ts'
import { SharedChoice } from '../../../router/shared-choice.ts'
import type { Member, SharedGroup } from '../../../router/shared-group.ts'

/** A group whose turn goes round, so that a stream that stays is told from one that is given anew. */
function groupOf(...names: string[]): SharedGroup {
  const members = names.map((clientId) => ({ session: { clientId, shard: 0, attached: {} } as unknown as Session }) as unknown as Member)
  let turn = 0
  return {
    filter: '$share/g/#',
    next: () => members[turn++ % members.length],
    member: (session: Session) => members.find((each) => each.session === session),
  } as unknown as SharedGroup
}

const busy = { owed: () => 1, hasIndexed: () => true }
const nameOf = (member: Member | undefined) => member?.session.clientId

test('a publisher’s messages on one topic stay with a member that is owed some', () => {
  const choice = new SharedChoice(busy, 10)
  const group = groupOf('a', 'b')
  expect([1, 2, 3].map((offset) => nameOf(choice.choose(group, 'p', 't', 0, offset)))).toEqual(['a', 'a', 'a'])
})

test('SHARED_STREAMS_MAX: above it the stream not used for longest is forgotten and goes to whose turn it is', () => {
  const choice = new SharedChoice(busy, 2)
  const group = groupOf('a', 'b', 'c', 'd')
  const choose = (topic: string) => nameOf(choice.choose(group, 'p', topic, 0, 1))
  expect([choose('t1'), choose('t2'), choose('t1'), choose('t3')]).toEqual(['a', 'b', 'a', 'c'])
  expect([choose('t1'), choose('t2')]).toEqual(['a', 'd'])
})
