import { describe, expect, test } from '@jest/globals'
import { type Evidence, judge, outOfOrder, type Seen } from '../../kill/verdict.ts'

const plain = (sequence: number) => ({ topic: 't', sequence, dup: false })
const again = (sequence: number) => ({ topic: 't', sequence, dup: true })

function evidence(more: Partial<Evidence> & { readonly deliveries?: ReturnType<typeof plain>[] }): Evidence {
  return {
    acknowledged: new Map([['t', [0, 1, 2]]]),
    timesSent: () => 1,
    log: new Map([['t', [0, 1, 2]]]),
    ids: null,
    isExactlyOnce: false,
    complaints: [],
    receivers: [{ name: 'r', topics: ['t'], deliveries: more.deliveries ?? [plain(0), plain(1), plain(2)] }],
    ...more,
  }
}

test('a run without loss, disorder or repeats has no problems', () => {
  expect(judge(evidence({}))).toEqual({ problems: [], acknowledged: 3, delivered: 3, repeatsInLog: 0, repeatsWithDup: 0, repeatsFromResends: 0 })
})

test('an acknowledged message that a receiver never got is missing', () => {
  expect(judge(evidence({ deliveries: [plain(0), plain(2)] })).problems).toEqual(['r misses in t: 1'])
})

test('an acknowledged message that is not in the log is missing, whoever got it', () => {
  expect(judge(evidence({ log: new Map([['t', [0, 2]]]) })).problems).toContain('acknowledged, not in the log, t: 1')
})

test('a message that was not acknowledged may be missing', () => {
  expect(judge(evidence({ acknowledged: new Map([['t', [0, 2]]]), log: new Map([['t', [0, 2]]]), deliveries: [plain(0), plain(2)] })).problems).toEqual([])
})

test('only first occurrences must be in order', () => {
  expect(outOfOrder([0, 1, 0, 1, 2, 1, 3])).toEqual([])
  expect(outOfOrder([0, 2, 1, 3])).toEqual([1])
})

test('disorder is found at the receiver and in the log', () => {
  expect(judge(evidence({ deliveries: [plain(0), plain(2), plain(1)] })).problems).toEqual(['r got out of order in t: 1'])
  expect(judge(evidence({ log: new Map([['t', [1, 0, 2]]]) })).problems).toEqual(['the log has out of order in t: 0'])
})

test('a repeat with DUP is counted and allowed', () => {
  expect(judge(evidence({ deliveries: [plain(0), plain(1), again(1), plain(2)] }))).toMatchObject({ problems: [], repeatsWithDup: 1 })
})

test('a repeat without DUP is allowed as often as the log holds the message', () => {
  const twice = evidence({ deliveries: [plain(0), plain(1), plain(1), plain(2)], log: new Map([['t', [0, 1, 1, 2]]]) })
  expect(judge(twice)).toMatchObject({ problems: [], repeatsInLog: 1, repeatsFromResends: 1 })
  expect(judge({ ...twice, log: new Map([['t', [0, 1, 2]]]) }).problems).toEqual(['r got again without DUP in t: 1 (2 times, 1 published)'])
})

test('where everything is QoS 2, a second delivery is a problem, with DUP or without', () => {
  const isExactlyOnce = true
  expect(judge(evidence({ isExactlyOnce })).problems).toEqual([])
  expect(judge(evidence({ isExactlyOnce, deliveries: [plain(0), plain(1), again(1), plain(2)] })).problems).toEqual(['r got more than once in t: 1 (2 times)'])
})

test('where everything is QoS 2, a message in the log twice has one id, and no other has it', () => {
  const log = new Map([['t', [0, 1, 1, 2]]])
  const withIds = (...ids: string[]) => judge(evidence({ isExactlyOnce: true, log, ids: new Map([['t', ids]]) })).problems
  expect(withIds('a', 'b', 'b', 'c')).toEqual([])
  expect(withIds('a', 'b', 'x', 'c')).toEqual(['ids: t 1 has two ids'])
  expect(withIds('a', 'b', 'b', 'a')).toEqual(['ids: t 2 and t 0 share an id'])
})

test('a topic that nobody asked for and a message that nobody published are problems', () => {
  expect(judge(evidence({ deliveries: [plain(0), plain(1), plain(2), { topic: 'u', sequence: 0, dup: false }] })).problems).toEqual([
    'r got what it is not subscribed to: u',
  ])
  expect(judge(evidence({ deliveries: [plain(0), plain(1), plain(2), plain(9)] })).problems).toEqual(['r got what nobody published in t: 9'])
})

test('what clients complain of is a problem', () => {
  expect(judge(evidence({ complaints: ['a session was gone'] })).problems).toEqual(['a session was gone'])
})

describe('a session that ends with its connection', () => {
  const judged = (...sessions: Seen[][]) => judge(evidence({ transient: [{ name: 's', topics: ['t'], sessions }] })).problems

  test('is owed nothing before its first message, after its last, and nothing at all', () => {
    expect(judged([plain(0), plain(1)], [], [plain(2)], [plain(1), plain(2)])).toEqual([])
  })

  test('must get what comes between, in order, and as often as it was published', () => {
    expect(judged([plain(0), plain(2)])).toEqual(['s, session 1, has holes in t: 1'])
    expect(judged([], [plain(1), plain(0), plain(2)])).toEqual(['s, session 2, got out of order in t: 0'])
    expect(judged([plain(0), plain(1), plain(1)])).toEqual(['s, session 1, got more often than published in t: 1 (2 times)'])
    expect(judged([plain(9)])).toEqual(['s, session 1, got more often than published in t: 9 (1 times)'])
    expect(judged([{ topic: 'u', sequence: 0, dup: false }])).toEqual(['s, session 1, got what it is not subscribed to: u'])
  })
})
