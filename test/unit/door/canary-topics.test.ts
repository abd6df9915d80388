import { expect, test } from '@jest/globals'
import { canaryTopics } from '../../../door/canary-topics.ts'

test('there is one topic for every partition, in order of the partitions', () => {
  const byLastDigits = (key: Buffer, partitions: number): number => (Number(key.toString().split('/').at(-1)) * 7 + 3) % partitions
  const topics = canaryTopics('gateway-2', 5, byLastDigits)
  expect(topics.map((topic) => byLastDigits(Buffer.from(topic), 5))).toEqual([0, 1, 2, 3, 4])
  expect(topics.every((topic) => /^\$loggerhead\/canary\/gateway-2\/\d+$/.test(topic))).toBe(true)
})
