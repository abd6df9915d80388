import { expect, test } from '@jest/globals'
import { type AppendTerms, onlyYes, PendingAppends } from '../../../gateway/pending-appends.ts'
import { AppendError } from '../../../log/log.ts'

const refused = new AppendError('refused', 'refused')
const unknown = new AppendError('lost', 'unknown')

function given(isDoubtful = false) {
  const told: string[] = []
  /** What the log said. */
  const heard: string[] = []
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
      (outcome) => told.push(`${name}: ${outcome}`),
      terms,
      (isStored) => heard.push(`${name}: ${isStored}`),
    )
    return answer
  }
  const until = (ms: number): AppendTerms => ({ until: ms, canRefuse: true, canDoubt: true })
  return { appends, add, until, told, heard }
}

test.each([
  ['in the log', null, ['a: stored']],
  ['refused', refused, ['a: refused']],
  ['of unknown outcome', unknown, ['a: unknown']],
] as const)('a record that is %s in time is answered so', (_what, error, expected) => {
  const { appends, add, until, told } = given()
  const answer = add('a', until(1_000))
  expect(appends.giveUp(999)).toBe(0)
  answer(error)
  expect([told, appends.until, appends.count]).toEqual([expected, Number.POSITIVE_INFINITY, 0])
})

test.each([null, refused, unknown])('who has waited long enough is told no, and nothing more when the log answers %p', (late) => {
  const { appends, add, until, told, heard } = given()
  const [first, second] = [add('a', until(1_000)), add('b', until(1_001))]
  expect([appends.until, appends.giveUp(1_000)]).toEqual([1_000, 1])
  expect([told, heard]).toEqual([['a: unknown'], []])
  first(late)
  expect([told.length, appends.until, appends.count]).toEqual([1, 1_001, 1])
  // Whoever keeps the books learns it all the same.
  expect(heard).toEqual([`a: ${late === null}`])
  second(null)
  expect([told.slice(1), appends.count]).toEqual([['b: stored'], 0])
})

test.each([
  ['refused, and no cannot be said', refused, onlyYes],
  ['of unknown outcome, and no cannot be said', unknown, onlyYes],
  ['of unknown outcome, and cannot be taken back', unknown, { until: 1_000, canRefuse: true, canDoubt: false }],
] as const)('a record that is %s ends the connection', (_what, error, terms) => {
  const { add, told } = given()
  add('a', terms)(error)
  expect(told).toEqual(['the connection ends'])
})

test.each([
  { canRefuse: true, canDoubt: false },
  { canRefuse: false, canDoubt: true },
])('where no cannot be said the connection ends when the log does not answer in time, and nobody is told anything after (%o)', (cannot) => {
  const { appends, add, until, told } = given()
  add('a', { until: 1_000, ...cannot })
  const second = add('b', until(1_000))
  expect(appends.giveUp(2_000)).toBe(1)
  second(null)
  expect(told).toEqual(['the connection ends'])
})

test.each([
  ['of unknown outcome', unknown, ['the connection ends']],
  ['refused', refused, ['a: refused']],
  ['in the log', null, ['a: stored']],
] as const)('after a pause of the process a record that is %s is never taken back', (_what, error, expected) => {
  const { add, until, told } = given(true)
  add('a', until(1_000))(error)
  expect(told).toEqual(expected)
})

test('who has waited through a pause of the process is closed, and nothing is taken back', () => {
  const { appends, add, until, told } = given(true)
  add('a', until(1_000))
  expect([appends.giveUp(1_000), told]).toEqual([1, ['the connection ends']])
})

test('what has no bound waits as long as it takes', () => {
  const { appends, add, told } = given()
  const answer = add('a', onlyYes)
  expect([appends.giveUp(Number.MAX_SAFE_INTEGER), appends.until]).toEqual([0, Number.POSITIVE_INFINITY])
  answer(null)
  expect(told).toEqual(['a: stored'])
})
