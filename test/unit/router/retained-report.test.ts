import { expect, test } from '@jest/globals'
import { RetainedIndex } from '../../../model/retained-index.ts'
import { pageOfRetained, retainedOf } from '../../../router/retained-report.ts'
import type { RetainedMessage } from '../../../router/retained-store.ts'
import { encodeMessage } from '../../../schemas/message-record.ts'
import { loggedMessage } from '../../support/logged-message.ts'

const value = (topic: string, payload: string): Buffer => {
  const message = { clientId: 'publisher', topic, retain: true, authenticationName: 'publisher', contentType: 'text/plain', payload: Buffer.from(payload) }
  const encoded = encodeMessage(loggedMessage(message))
  // The encoder writes many records into one buffer, which it takes again.
  return Buffer.from(encoded)
}

/** Two shards; topic t/i stands in shard i mod 2. */
function given(count: number, expiresAt = (_i: number) => 0) {
  const shards = [0, 1].map((shard) => ({ shard, index: new RetainedIndex<RetainedMessage>() }))
  for (let i = 0; i < count; i++) {
    const topic = `t/${String(i).padStart(6, '0')}`
    shards[i % 2]!.index.set(topic, { topic, offset: i, value: value(topic, `payload ${i}`), qos: 1, expiresAt: expiresAt(i), retainedOffset: null })
  }
  return shards
}
const topics = (page: readonly object[]) => page.map((message) => (message as { topic: string }).topic)

test('pages are in the order of topics over all shards, each topic once, also beyond one turn of a walk', async () => {
  const shards = given(12_000)
  const all: string[] = []
  for (let after = ''; ; after = all.at(-1)!) {
    const page = topics(await pageOfRetained(shards, { filter: 't/+', after, top: 5_000, now: 0 }))
    if (page.length === 0) break
    all.push(...page)
  }
  expect(all).toEqual(Array.from({ length: 12_000 }, (_, i) => `t/${String(i).padStart(6, '0')}`))
})

test('a filter takes what it matches, and what has expired is not there any more', async () => {
  const shards = given(10, (i) => (i === 3 ? 500 : 0))
  expect(topics(await pageOfRetained(shards, { filter: 't/000003', after: '', top: 10, now: 499 }))).toEqual(['t/000003'])
  expect(await pageOfRetained(shards, { filter: 't/000003', after: '', top: 10, now: 500 })).toEqual([])
  expect(topics(await pageOfRetained(shards, { filter: '#', after: 't/000001', top: 2, now: 500 }))).toEqual(['t/000002', 't/000004'])
  expect(await pageOfRetained(shards, { filter: 'other/#', after: '', top: 10, now: 0 })).toEqual([])
})

test('one message is told with its payload, and nothing where nothing is', () => {
  const shards = given(4, (i) => (i === 1 ? 500 : 0))
  expect(retainedOf(shards, 't/000002', 0)).toEqual({
    topic: 't/000002',
    qos: 1,
    size: 9,
    contentType: 'text/plain',
    lastModifiedTime: '1970-01-01T00:00:01.000Z',
    publisher: 'publisher',
    partition: 0,
    offset: 2,
    payload: Buffer.from('payload 2').toString('base64'),
  })
  expect([retainedOf(shards, 't/000001', 500), retainedOf(shards, 't', 0)]).toEqual([undefined, undefined])
})
