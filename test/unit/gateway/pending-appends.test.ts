import { expect, test } from '@jest/globals'
import { type AppendTerms, onlyYes, PendingAppends } from '../../../gateway/pending-appends.ts'
import { AppendError } from '../../../log/log.ts'

const refused = new AppendError('refused', 'refused')
const unknown = new AppendError('lost', 'unknown')

function given(isDoubtful = false) {
  const told: string[] = []
  let isOpen = true
  const appends = new PendingAppends({
    get isOpen() {
      return isOpen
    },
    isDoubtful,
    onNotInLog: () => {},
    onAppendFailed: () => {
      told.push('the connection ends')
      isOpen = false
    },
    onAppendAnswered: () => {},
  })
  /** Appends under a name; returns what answers for the log. */
  const add = (name: string, terms: AppendTerms): ((error: AppendError | null) => void) => {
    let answer: (error: AppendError | null) => void = () => {}
    appends.add(
      (appended) => {
        answer = appended
      },
      (isInLog) => told.push(`${name}: ${isInLog ? 'yes' : 'no'}`),
      terms,
    )
    return answer
  }
  const undoing = (name: string, until: number): AppendTerms => ({ until, canRefuse: true, onUncertain: () => told.push(`${name} is taken back`) })
  return { appends, add, undoing, told }
}

test.each([
  ['in the log', null, ['a: yes']],
  ['refused', refused, ['a: no']],
  ['of unknown outcome', unknown, ['a: no', 'a is taken back']],
] as const)('a record that is %s in time is answered so', (_what, error, expected) => {
  const { appends, add, undoing, told } = given()
  const answer = add('a', undoing('a', 1_000))
  expect(appends.giveUp(999)).toBe(0)
  answer(error)
  expect([told, appends.until, appends.count]).toEqual([expected, Number.POSITIVE_INFINITY, 0])
})

test.each([null, refused, unknown])('who has waited long enough is told no, and nothing more when the log answers %p', (late) => {
  const { appends, add, undoing, told } = given()
  const [first, second] = [add('a', undoing('a', 1_000)), add('b', undoing('b', 1_001))]
  expect([appends.until, appends.giveUp(1_000)]).toEqual([1_000, 1])
  expect(told).toEqual(['a: no', 'a is taken back'])
  first(late)
  expect([told.length, appends.until, appends.count]).toEqual([2, 1_001, 1])
  second(null)
  expect([told.slice(2), appends.count]).toEqual([['b: yes'], 0])
})

test.each([
  ['refused, and no cannot be said', refused, onlyYes],
  ['of unknown outcome, and no cannot be said', unknown, onlyYes],
  ['of unknown outcome, and cannot be taken back', unknown, { until: 1_000, canRefuse: true, onUncertain: null }],
] as const)('a record that is %s ends the connection', (_what, error, terms) => {
  const { add, told } = given()
  add('a', terms)(error)
  expect(told).toEqual(['the connection ends'])
})

test.each([
  { canRefuse: true, onUncertain: null },
  { canRefuse: false, onUncertain: () => {} },
])('where no cannot be said the connection ends when the log does not answer in time, and nobody is told anything after (%o)', (cannot) => {
  const { appends, add, undoing, told } = given()
  add('a', { until: 1_000, ...cannot })
  const second = add('b', undoing('b', 1_000))
  expect(appends.giveUp(2_000)).toBe(1)
  second(null)
  expect(told).toEqual(['the connection ends'])
})

test.each([
  ['of unknown outcome', unknown, ['the connection ends']],
  ['refused', refused, ['a: no']],
  ['in the log', null, ['a: yes']],
] as const)('after a pause of the process a record that is %s is never taken back', (_what, error, expected) => {
  const { add, undoing, told } = given(true)
  add('a', undoing('a', 1_000))(error)
  expect(told).toEqual(expected)
})

test('who has waited through a pause of the process is closed, and nothing is taken back', () => {
  const { appends, add, undoing, told } = given(true)
  add('a', undoing('a', 1_000))
  expect([appends.giveUp(1_000), told]).toEqual([1, ['the connection ends']])
})

test('what has no bound waits as long as it takes', () => {
  const { appends, add, told } = given()
  const answer = add('a', onlyYes)
  expect([appends.giveUp(Number.MAX_SAFE_INTEGER), appends.until]).toEqual([0, Number.POSITIVE_INFINITY])
  answer(null)
  expect(told).toEqual(['a: yes'])
})
