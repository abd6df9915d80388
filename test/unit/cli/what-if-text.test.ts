import { expect, test } from '@jest/globals'
import { whatIfText } from '../../../cli/what-if-command.ts'

const none = { count: 0, top: [], others: 0 }

test('a report says what would be refused, by whom and where, how much more there is, and what is not known', () => {
  const report = {
    from: '2026-01-31T12:00:00.000Z',
    to: '2026-01-31T12:01:00.000Z',
    publishes: {
      judged: 10,
      refused: { count: 3, top: [{ authenticationName: 'pump', topic: 'plant/2', count: 2, first: '0:1', last: '0:9', why: 'no permission' }], others: 1 },
      refusedAlready: 1,
      undecided: 2,
      allowed: none,
    },
    deliveries: { judged: 7, refused: none, lostWithPublish: 4, refusedAlready: 1 },
    subscriptions: { allowed: { count: 1, top: [{ authenticationName: 'screen', topic: 'plant/#', count: 1 }], others: 0 } },
    refusalsOfUnknownTopic: 5,
    since: '2026-01-31T11:59:00.000Z',
  }
  expect(whatIfText(report).split('\n')).toEqual([
    'published from 2026-01-31T12:00:00.000Z to 2026-01-31T12:01:00.000Z',
    'history begins at 2026-01-31T11:59:00.000Z: of what was published before, something is gone',
    '',
    '10 publishes, 7 deliveries',
    'publishes that would have been refused: 3',
    '  COUNT  CLIENT  TOPIC    LAST  WHY',
    '  2      pump    plant/2  0:9   no permission',
    '  and 1 more',
    'deliveries that would not have been: none',
    'deliveries lost with their publish: 4',
    'refused publishes that would have been allowed: none',
    'refused subscriptions that would have been allowed: 1',
    '  COUNT  CLIENT  FILTER   LAST  WHY',
    '  1      screen  plant/#',
    '',
    '2 are not allowed by the registry as it is either: it has changed since',
    '2 publishes came with rights of a credential that the log does not hold',
    '5 refusals were only counted, without their topic',
  ])
})

test('a time without traffic is said to be one', () => {
  const empty = { judged: 0, refused: none, allowed: none }
  expect(whatIfText({ publishes: empty, deliveries: empty, subscriptions: { allowed: none } })).toMatch(/^nothing was published in that time\n/)
})
