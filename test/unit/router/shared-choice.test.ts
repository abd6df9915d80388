import { expect, test } from '@jest/globals'
import type { Session } from '../../../model/session.ts'
import { full, SharedChoice, type SharedMessage } from '../../../router/shared-choice.ts'
import type { Member, SharedGroup } from '../../../router/shared-group.ts'

/** A group whose turn goes round, so that a stream that stays is told from one that is given anew. */
function groupOf(...names: string[]): SharedGroup {
  const members = names.map(
    (clientId) => ({ session: { clientId, shard: 0, attached: {} } as unknown as Session, subscription: { qos: 1 } }) as unknown as Member,
  )
  let turn = 0
  return {
    filter: '$share/g/#',
    hasAttached: true,
    next: () => members[turn++ % members.length],
    nextAttached: (_: unknown, hasRoom: (session: Session) => boolean) => {
      for (let tries = 0; tries < members.length; tries++) {
        const member = members[turn++ % members.length] as Member
        if (hasRoom(member.session)) return member
      }
      return undefined
    },
    member: (session: Session) => members.find((each) => each.session === session),
  } as unknown as SharedGroup
}

/** Members that are owed something; those named have had enough, or too much. */
function choiceOf({ enough = [], tooMuch = [], streamsMax = 10 }: { enough?: string[]; tooMuch?: string[]; streamsMax?: number } = {}) {
  const hasRoom = ({ clientId }: Session) => ![...enough, ...tooMuch].includes(clientId)
  const mayKeep = ({ clientId }: Session) => !tooMuch.includes(clientId)
  return new SharedChoice({ owed: () => 1, hasIndexed: () => true, room: { debt: () => 1, hasRoom, mayKeep } }, streamsMax)
}

const message = (topic: string, offset = 1): SharedMessage => ({ publisher: 'p', topic, source: 0, offset })
const nameOf = (member: Member | undefined | typeof full) => (member === full ? 'full' : member?.session.clientId)

test('a publisher’s messages on one topic stay with a member that is owed some', () => {
  const choice = choiceOf()
  const group = groupOf('a', 'b')
  expect([1, 2, 3].map((offset) => nameOf(choice.choose(group, message('t', offset))))).toEqual(['a', 'a', 'a'])
})

test('they stay with a member that has enough, and leave one that has too much when another has room', () => {
  const group = groupOf('a', 'b')
  const enough = ['a']
  const tooMuch: string[] = []
  const choice = choiceOf({ enough, tooMuch })
  expect(nameOf(choice.choose(group, message('t')))).toBe('a')
  expect(nameOf(choice.chooseWithRoom(group, message('t')))).toBe('a')
  tooMuch.push('a')
  expect(nameOf(choice.chooseWithRoom(group, message('t')))).toBe('b')
  enough.push('b')
  expect(nameOf(choice.chooseWithRoom(group, message('t')))).toBe('b')
  expect(nameOf(choice.chooseWithRoom(group, message('other')))).toBe('full')
  tooMuch.push('b')
  expect(nameOf(choice.chooseWithRoom(group, message('t')))).toBe('full')
})

test('they stay with a member whose queue is empty while some of them is on its way to it', () => {
  let onTheWay = 1
  const room = { debt: () => onTheWay, hasRoom: () => true, mayKeep: () => true }
  const choice = new SharedChoice({ owed: () => 0, hasIndexed: () => true, room }, 10)
  const group = groupOf('a', 'b')
  expect([1, 2].map((offset) => nameOf(choice.chooseWithRoom(group, message('t', offset))))).toEqual(['a', 'a'])
  onTheWay = 0
  expect(nameOf(choice.chooseWithRoom(group, message('t', 3)))).toBe('b')
})

test('SHARED_STREAMS_MAX: above it the stream not used for longest is forgotten and goes to whose turn it is', () => {
  const choice = choiceOf({ streamsMax: 2 })
  const group = groupOf('a', 'b', 'c', 'd')
  const choose = (topic: string) => nameOf(choice.choose(group, message(topic)))
  expect([choose('t1'), choose('t2'), choose('t1'), choose('t3')]).toEqual(['a', 'b', 'a', 'c'])
  expect([choose('t1'), choose('t2')]).toEqual(['a', 'd'])
})
