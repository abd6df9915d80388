import { expect, test } from '@jest/globals'
import type { Session } from '../../../model/session.ts'
import { SharedGroup } from '../../../router/shared-group.ts'
import { SubscriptionTrie } from '../../../router/subscription-trie.ts'
import fc from '../../support/fast-check.ts'
import { subscription } from '../model/session-records.ts'
import { attachment, sessionOf } from './sessions.ts'

const filter = '$share/g/#'
const owedNothing = (): number => 0

/** A session that counts how often somebody looks whether it has a connection. */
function watched(clientId: string, looks: { count: number }): Session {
  const session = sessionOf(clientId, { attached: null })
  return Object.defineProperty(session, 'attached', {
    get: () => {
      looks.count++
      return null
    },
  })
}

test('a choice looks at no member without a connection to find one that has one', () => {
  const group = new SharedGroup(filter)
  const looks = { count: 0 }
  for (let i = 0; i < 1_000; i++) group.add(watched(`away${i}`, looks), subscription(filter))
  const here = sessionOf('here')
  group.add(here, subscription(filter))
  looks.count = 0
  expect(group.next(owedNothing)?.session).toBe(here)
  group.remove(here)
  expect(group.next(owedNothing)?.session.clientId).toMatch(/^away/)
  expect(looks.count).toBe(0)
})

test('whoever comes, goes or changes its grant, the choice is among those who are there: attached ones, else persistent ones', () => {
  const step = fc.record({ who: fc.nat(5), does: fc.constantFrom('join', 'joinAtQoS0', 'leave', 'attach', 'detach') })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const trie = new SubscriptionTrie()
      const sessions = Array.from({ length: 6 }, (_, i) => sessionOf(`c${i}`, { expiryInterval: i < 4 ? 100 : 0 }))
      const grants = new Map<Session, 0 | 1>()
      for (const { who, does } of steps) {
        const session = sessions[who] as Session
        if (does === 'join' || does === 'joinAtQoS0') {
          const qos = does === 'join' ? 1 : 0
          grants.set(session, qos)
          trie.add(session, subscription(filter, { qos }))
        } else if (does === 'leave') {
          grants.delete(session)
          trie.remove(session, filter)
        } else {
          session.attached = does === 'attach' ? attachment() : null
          trie.connectionChanged(session)
        }
        const group = trie.group(filter)
        const members = [...grants.keys()]
        const attached = members.filter((each) => each.attached)
        const eligible = attached.length > 0 ? attached : members.filter((each) => each.isPersistent)
        // As many choices as there are members: each has had its turn.
        const chosen = new Set(Array.from(attached, () => group?.next(owedNothing)?.session))
        expect(chosen).toEqual(new Set(attached))
        const one = group?.next(owedNothing)?.session
        if (eligible.length > 0) expect(eligible).toContain(one)
        else expect(one).toBeUndefined()
        const other = group?.nextKeeper(owedNothing, (each) => each !== session, true)?.session
        const keepers = attached.filter((each) => each !== session && grants.get(each) === 1)
        if (keepers.length > 0) expect(keepers).toContain(other)
        else expect(other).toBeUndefined()
      }
    }),
  )
})
