import { expect, test } from '@jest/globals'
import { reportText } from '../../../cli/audit-verify.ts'

const topic = 'loggerhead.default.messages'
const report = {
  ok: true,
  checkpoints: 3,
  proven: [{ topic, partition: 0, from: 0, to: 40, records: 30, waiting: 0, cut: 2 }],
  findings: [],
  more: 0,
  removed: [],
}

test('a log that is what it was is told in one sentence', () => {
  expect(reportText(report).split('\n').at(-1)).toBe('3 checkpoints; nothing was changed, removed or inserted')
})

test('what retention took while the log was read stands apart from what is wrong', () => {
  const removed = [{ topic, partition: 0, from: 8, to: 20 }]
  expect(
    reportText({ ...report, removed })
      .split('\n')
      .slice(-2),
  ).toEqual([
    '– removed by retention while this was read: loggerhead.default.messages[0] 8 to 20',
    '3 checkpoints; nothing was changed or inserted, and nothing removed but by retention',
  ])
  const findings = [{ kind: 'changed', topic, partition: 0, from: 32, to: 40, detail: 'of 8 records at least one is not what it was' }] as const
  expect(
    reportText({ ...report, ok: false, removed, findings })
      .split('\n')
      .slice(-3),
  ).toEqual([
    expect.stringMatching(/^– removed/),
    '✗ changed: loggerhead.default.messages[0] 32 to 40: of 8 records at least one is not what it was',
    '3 checkpoints; the log is not what it was',
  ])
})
