/** What a group that is behind is given of the log, by itself: its choices, those that an owner before it made, and what the log has lost. */
import { expect, test } from '@jest/globals'
import { OffsetOutOfRange, type Stretch } from '../../../log/log.ts'
import { full } from '../../../router/shared-choice.ts'
import type { Member } from '../../../router/shared-group.ts'
import { type LaneOptions, SharedLane } from '../../../router/shared-lane.ts'
import { SubscriptionTrie } from '../../../router/subscription-trie.ts'
import type { BehindGroup, Choice, IndexReceiver } from '../../../schemas/inbox-records.ts'
import { encodeMessage } from '../../../schemas/message-record.ts'
import { loggedMessage } from '../../support/logged-message.ts'
import { subscription } from '../model/session-records.ts'
import { attachment, sessionOf } from './sessions.ts'

const group = '$share/g/#'
const open: BehindGroup = { group, from: 0, to: null, position: 0 }
const receiver = (clientId: string): IndexReceiver => ({
  clientId,
  session: 0,
  qos: 1,
  retain: false,
  subscriptionIdentifiers: [],
  group,
  replay: null,
})

/** A log of messages at the offsets up to `end`, of which those below `start` were removed, and one member. */
class LaneWorld {
  start = 0
  end = 10
  /** The member has room. */
  hasRoom = true
  readonly member = sessionOf('m', { attached: null })
  readonly dropped: [reason: string, count: number][] = []
  readonly given: [offset: number, clientId: string][] = []
  readonly lane: SharedLane
  #retry: (() => void) | undefined

  constructor({ told = [open], recorded = [] }: { told?: readonly BehindGroup[]; recorded?: readonly number[] } = {}) {
    const trie = new SubscriptionTrie()
    trie.add(this.member, subscription(group))
    const options: LaneOptions = {
      group,
      source: 0,
      told,
      recorded: new Map(recorded.map((offset) => [offset, [receiver('before')]])),
      taken: () => this.end,
      members: () => trie.group(group),
      choose: (members) => (this.hasRoom ? (members.member(this.member) as Member) : full),
      mayTake: () => this.hasRoom,
      given: () => {},
      shardOf: () => 0,
      isRepeat: () => false,
      read: async (offset) => this.#read(offset),
      start: async () => this.start,
      now: () => 0,
      wantTurn: (step) => void step(),
      used: () => {},
      closed: () => {},
      wait: (retry) => {
        this.#retry = retry
      },
      leave: () => {},
      record: (_from, to, choices) => {
        this.#note(choices)
        queueMicrotask(() => this.lane.chosen(to))
      },
      index: (_shard, _from, _to, _entries, done) => done(),
      remember: () => {},
      onDropped: (reason, count) => void this.dropped.push([reason, count]),
      onGiven: () => {},
      onFailure: (error) => {
        throw error
      },
      onMoved: () => {},
    }
    this.lane = new SharedLane(options)
    this.lane.schedule()
  }

  /** The member has a connection and room from now on. */
  come(): void {
    this.member.attached = attachment()
    this.#retry?.()
  }

  /** Until it is as far as that. */
  async until(done: number): Promise<void> {
    while (this.lane.done < done) await new Promise((resolve) => setImmediate(resolve))
  }

  /** Until it waits for somebody. */
  async untilFull(): Promise<void> {
    while (!this.#retry) await new Promise((resolve) => setImmediate(resolve))
  }

  #note(choices: readonly Choice[]): void {
    for (const { offset, receiver } of choices) this.given.push([offset, receiver.clientId])
  }

  #read(from: number): Stretch {
    if (from < this.start) throw new OffsetOutOfRange('messages', 0, from)
    const records = Array.from({ length: this.end - from }, (_, i) => ({
      partition: 0,
      offset: from + i,
      timestamp: 0,
      key: Buffer.from('t'),
      value: Buffer.from(encodeMessage(loggedMessage())),
      headers: [],
    }))
    return { topic: 'messages', partition: 0, records, nextOffset: this.end, endOffset: this.end }
  }
}

test('what an owner before it had chosen is given to whom that one chose, and what that one had passed over to nobody', async () => {
  const world = new LaneWorld({ recorded: [0, 2] })
  // Nobody is there for the second, and the choice behind it is made again all the same: a shard whose choices stand in an earlier owner's records has no snapshot.
  await world.untilFull()
  expect([world.given, world.lane.hasRecorded, world.lane.done]).toEqual([
    [
      [0, 'before'],
      [2, 'before'],
    ],
    false,
    3,
  ])
  world.come()
  await world.until(world.end)
  expect(world.given.slice(2)).toEqual([3, 4, 5, 6, 7, 8, 9].map((offset) => [offset, 'm']))
  expect(world.dropped).toEqual([])
  world.lane.close()
})

test('choices of an owner before it whose messages the log has removed are owed to nobody', async () => {
  const world = new LaneWorld({ recorded: [0, 2, 4] })
  world.start = 3
  await world.untilFull()
  expect([world.given, world.lane.hasRecorded, world.dropped]).toEqual([[[4, 'before']], false, [['gone', 3]]])
  world.lane.close()
})

test('what the log has removed before it was given is counted, and the lane goes on where the log begins', async () => {
  const world = new LaneWorld()
  world.come()
  world.start = 6
  await world.until(world.end)
  expect([world.dropped, world.given.map(([offset]) => offset)]).toEqual([[['gone', 6]], [6, 7, 8, 9]])
  world.lane.close()
})

test('of what the log has removed only what the group was behind with counts as gone', async () => {
  const told = [
    { group, from: 0, to: 2, position: 0 },
    { group, from: 4, to: null, position: 4 },
  ]
  const world = new LaneWorld({ told })
  world.come()
  world.start = 6
  await world.until(world.end)
  expect(world.dropped).toEqual([
    ['gone', 2],
    ['gone', 2],
  ])
  expect(world.given.map(([offset]) => offset)).toEqual([6, 7, 8, 9])
  world.lane.close()
})
