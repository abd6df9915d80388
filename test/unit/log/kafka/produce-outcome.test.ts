import { expect, test } from '@jest/globals'
import { judgeProduced, sequenceAfter } from '../../../../log/kafka/produce-outcome.ts'

const certain = { uncertain: false, records: 3, baseOffset: -1, fencing: false, isPast: false }
const uncertain = { ...certain, uncertain: true }
const single = { ...certain, records: 1 }
const fencing = { ...certain, fencing: true }
const past = { ...certain, isPast: true }
const pastUncertain = { ...past, uncertain: true }

test.each([
  // what Kafka answers, what was known, what follows
  ['no error', 0, uncertain, 'stored'],
  ['DUPLICATE_SEQUENCE_NUMBER with the offset of the duplicate', 46, { ...uncertain, baseOffset: 12 }, 'stored'],
  ['DUPLICATE_SEQUENCE_NUMBER without an offset', 46, uncertain, 'abandon'],
  ['OUT_OF_ORDER_SEQUENCE_NUMBER to the only attempt', 45, certain, 'renew'],
  ['OUT_OF_ORDER_SEQUENCE_NUMBER after an unanswered attempt', 45, uncertain, 'abandon'],
  ['UNKNOWN_PRODUCER_ID to the only attempt', 59, certain, 'renew'],
  ['UNKNOWN_PRODUCER_ID after an unanswered attempt', 59, uncertain, 'abandon'],
  ['INVALID_PRODUCER_EPOCH with a transactional id', 47, fencing, 'fenced'],
  ['PRODUCER_FENCED with a transactional id', 90, { ...fencing, uncertain: true }, 'fenced'],
  ['INVALID_PRODUCER_EPOCH without one', 47, certain, 'renew'],
  ['MESSAGE_TOO_LARGE to several records', 10, certain, 'split'],
  ['MESSAGE_TOO_LARGE to one', 10, single, 'refused'],
  ['MESSAGE_TOO_LARGE after an unanswered attempt', 10, uncertain, 'abandon'],
  ['INVALID_RECORD to several records', 87, certain, 'split'],
  ['TOPIC_AUTHORIZATION_FAILED', 29, certain, 'refused'],
  ['TOPIC_AUTHORIZATION_FAILED after an unanswered attempt', 29, uncertain, 'abandon'],
  ['NOT_LEADER_OR_FOLLOWER', 6, certain, 'retry'],
  ['NOT_ENOUGH_REPLICAS', 19, certain, 'retry'],
  ['NOT_ENOUGH_REPLICAS_AFTER_APPEND', 20, certain, 'retryUncertain'],
  ['REQUEST_TIMED_OUT', 7, certain, 'retryUncertain'],
  ['KAFKA_STORAGE_ERROR', 56, certain, 'retryUncertain'],
  ['UNKNOWN_SERVER_ERROR', -1, certain, 'retryUncertain'],
  ['an error of a later Kafka', 9999, certain, 'retryUncertain'],
  ['no error, after a pause', 0, pastUncertain, 'stored'],
  ['NOT_LEADER_OR_FOLLOWER, after a pause', 6, past, 'refused'],
  ['NOT_LEADER_OR_FOLLOWER after an unanswered attempt and a pause', 6, pastUncertain, 'abandon'],
  ['REQUEST_TIMED_OUT, after a pause', 7, past, 'abandon'],
  ['OUT_OF_ORDER_SEQUENCE_NUMBER, after a pause', 45, past, 'abandon'],
  ['MESSAGE_TOO_LARGE to several records, after a pause', 10, past, 'refused'],
] as const)('%s', (_, errorCode, attempted, verdict) => {
  expect(judgeProduced(errorCode, attempted)).toBe(verdict)
})

test('no answer ever lets a batch that may be stored be sent under another sequence', () => {
  for (let errorCode = -1; errorCode < 130; errorCode++) {
    for (const isFencing of [true, false]) {
      for (const records of [1, 3]) {
        for (const isPast of [true, false]) {
          const verdict = judgeProduced(errorCode, { uncertain: true, records, baseOffset: -1, fencing: isFencing, isPast })
          expect(['renew', 'split', 'refused']).not.toContain(verdict)
        }
      }
    }
  }
})

test('no answer lets a batch be sent again after a pause', () => {
  for (let errorCode = -1; errorCode < 130; errorCode++) {
    for (const uncertain of [true, false]) {
      for (const records of [1, 3]) {
        const verdict = judgeProduced(errorCode, { uncertain, records, baseOffset: -1, fencing: false, isPast: true })
        expect(['retry', 'retryUncertain', 'renew', 'split']).not.toContain(verdict)
      }
    }
  }
})

test('sequences wrap from 2³¹-1 to 0, as Kafka counts them', () => {
  expect(sequenceAfter(0, 5)).toBe(5)
  expect(sequenceAfter(2 ** 31 - 3, 2)).toBe(2 ** 31 - 1)
  expect(sequenceAfter(2 ** 31 - 3, 3)).toBe(0)
  expect(sequenceAfter(2 ** 31 - 1, 10)).toBe(9)
})
