import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { partitionOf } from '../../../log/partitioner.ts'
import { clientKeyKey, clientKeyRecord } from '../../../model/client-keys.ts'
import { decodeRecord } from '../../../schemas/codec.ts'
import { encodeMessage } from '../../../schemas/message-record.ts'
import { seal } from '../../../schemas/sealed-message.ts'
import { loggedMessage } from '../../support/logged-message.ts'
import { ApiHarness, ownersKey } from './harness.ts'

let api: ApiHarness
beforeEach(async () => {
  api = await ApiHarness.open()
})
afterEach(() => api.close())

/** A key of the client, and a message that is sealed with it. */
async function publishSealed(authenticationName: string, payload: string): Promise<void> {
  const key = { id: randomBytes(16), key: randomBytes(32) }
  const appender = await api.log.appender()
  const timestamp = Date.now()
  const value = clientKeyRecord(authenticationName, key, timestamp)
  await appender.write({ topic: api.topics.keys, partition: 0, key: clientKeyKey(authenticationName, key.id), value, timestamp })
  const message = encodeMessage(
    loggedMessage({
      messageId: randomBytes(16),
      clientId: 'c',
      receivedAt: timestamp,
      topic: 'a/b',
      authenticationName,
      gateway: 'gateway',
      payload: seal({ payload: Buffer.from(payload), userProperties: [['patient', payload]], correlationData: null }, key, 'a/b'),
    }),
  )
  await appender.write({ topic: api.topics.messages, partition: partitionOf('a/b', 4), key: Buffer.from('a/b'), value: Buffer.from(message), timestamp })
  await appender.close()
}

async function history(): Promise<readonly Record<string, unknown>[]> {
  const answer = await api.app.inject({ method: 'GET', url: '/namespaces/default/history', headers: { authorization: `Bearer ${ownersKey}` } })
  const lines = answer.body
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  return lines.filter(({ end }) => end === undefined)
}

test('what a client has published can be read until it is erased; what others have published, and what it publishes later, still', async () => {
  await publishSealed('Ada', 'secret of Ada')
  await publishSealed('Ada', 'another one')
  await publishSealed('Bob', 'of Bob')
  expect((await history()).map(({ payload }) => payload)).toEqual(['secret of Ada', 'another one', 'of Bob'])
  expect((await history())[0]).toMatchObject({ userProperties: [{ name: 'patient', value: 'secret of Ada' }] })
  expect(await api.send('POST', 'clients/Ada:erase')).toMatchObject({ status: 200, json: { erasedKeys: 2 } })
  await publishSealed('Ada', 'afterwards')
  const after = await history()
  expect(after.map(({ payload, erased = false }) => [payload, erased])).toEqual([
    ['', true],
    ['', true],
    ['of Bob', false],
    ['afterwards', false],
  ])
  expect(after[0]).not.toHaveProperty('userProperties')
})

test('the log is asked once what became of a key, however often what it sealed is read', async () => {
  await publishSealed('Ada', 'secret of Ada')
  await publishSealed('Bob', 'of Bob')
  await api.send('POST', 'clients/Ada:erase')
  let asked = 0
  const endOffsets = api.log.endOffsets.bind(api.log)
  api.log.endOffsets = (topic) => {
    if (topic === api.topics.keys) asked++
    return endOffsets(topic)
  }
  for (let i = 0; i < 3; i++) expect((await history()).map(({ payload, erased = false }) => [payload, erased])).toContainEqual(['', true])
  expect(asked).toBe(1)
})

test('what was sealed with a key whose record is damaged is told as unreadable, and by an erasure the record goes', async () => {
  await publishSealed('Ada', 'secret of Ada')
  const { records } = await api.log.read(api.topics.keys, 0, 0)
  const appender = await api.log.appender()
  await appender.write({ topic: api.topics.keys, partition: 0, key: records[0]?.key ?? null, value: Buffer.from('damaged'), timestamp: Date.now() })
  await appender.close()
  await publishSealed('Bob', 'of Bob')
  const told = async () => (await history()).map(({ payload, erased = false, unreadable = false }) => [payload, erased, unreadable])
  expect(await told()).toEqual([
    ['', true, true],
    ['of Bob', false, false],
  ])
  expect(await api.send('POST', 'clients/Ada:erase')).toMatchObject({ status: 200, json: { erasedKeys: 1 } })
  expect((await told())[0]).toEqual(['', true, false])
})

test('who erased whom, and from where, stands among the life cycle events', async () => {
  await publishSealed('Ada', 'x')
  await api.send('POST', 'clients/Ada:erase')
  const { records } = await api.log.read(api.topics.lifecycle, partitionOf('Ada', 4), 0)
  const events = records.map(({ value }) => decodeRecord(value as Buffer).value as { readonly type: string; readonly data: string })
  expect(events.map(({ type, data }) => [type, JSON.parse(data)])).toEqual([
    ['Loggerhead.ClientErased', { namespaceName: 'default', clientAuthenticationName: 'Ada', by: 'api-key', address: '127.0.0.1', keys: 1 }],
  ])
})

test('a client without a key is erased already, an operator may not, and there is no other action', async () => {
  expect(await api.send('POST', 'clients/Nobody:erase')).toMatchObject({ status: 200, json: { erasedKeys: 0 } })
  const { json } = await api.send('PUT', 'apiKeys/deploy', { body: { role: 'operator' } })
  expect((await api.send('POST', 'clients/Ada:erase', { key: json.properties.key })).status).toBe(403)
  for (const name of ['Ada:forget', 'Ada', ':erase']) expect((await api.send('POST', `clients/${name}`)).status).toBe(404)
})
