import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { partitionOf } from '../../../log/partitioner.ts'
import { encodeMessage } from '../../../schemas/message-record.ts'
import { loggedMessage } from '../../support/logged-message.ts'
import { ApiHarness } from './harness.ts'

const partitions = 4
let api: ApiHarness
beforeEach(async () => {
  api = await ApiHarness.open({ KAFKA_PARTITIONS: String(partitions), HISTORY_STREAMS_MAX: '1' })
})
afterEach(() => api.close())

async function publish(topic: string): Promise<string> {
  const appender = await api.log.appender()
  const key = Buffer.from(topic)
  const partition = partitionOf(key, partitions)
  const value = encodeMessage(
    loggedMessage({
      messageId: Buffer.alloc(16, 3),
      clientId: 'pump',
      receivedAt: Date.now(),
      topic,
      authenticationName: 'pump',
      gateway: 'gateway-1',
      payload: Buffer.from('x'),
    }),
  )
  const offset = await appender.write({ topic: api.topics.messages, partition, key, value: Buffer.from(value), timestamp: Date.now() })
  await appender.close()
  return `${partition}:${offset}`
}

const ask = async (body: object, key?: string) => {
  const { status, json, text } = await api.send('POST', 'history:explainDelivery', { body, ...(key === undefined ? {} : { key }) })
  return { status, json, last: status === 200 ? JSON.parse(text.trim().split('\n').at(-1) as string) : undefined }
}

test('the answer is the last line: the message by its place or its id, and what the log tells', async () => {
  const position = await publish('plant/1')
  const { last } = await ask({ client: 'screen', message: position })
  expect(last).toMatchObject({ client: 'screen', message: { position, topic: 'plant/1', id: '03'.repeat(16) }, outcome: 'notMatched' })
  expect((await ask({ client: 'screen', message: '03'.repeat(16) })).last).toEqual(last)
})

test('what cannot be read as a message is in the way of no other, and is said to be none', async () => {
  const appender = await api.log.appender()
  for (let partition = 0; partition < partitions; partition++)
    await appender.write({ topic: api.topics.messages, partition, key: Buffer.from('plant/1'), value: Buffer.from('no message'), timestamp: Date.now() })
  await appender.close()
  const position = await publish('plant/1')
  expect((await ask({ client: 'screen', message: '03'.repeat(16) })).last).toMatchObject({ message: { position } })
  expect((await ask({ client: 'screen', message: '0:0' })).last).toEqual({ error: 'what stands at 0:0 cannot be read as a message', noSuchMessage: true })
})

test('a message that is not there is said to be not, and the turn is given back', async () => {
  for (let i = 0; i < 2; i++) {
    expect((await ask({ client: 'screen', message: '0:77' })).last).toEqual({
      error: expect.stringContaining('the log ends before 0:77: the next message will be 0:'),
      noSuchMessage: true,
    })
  }
})

test.each<[string, object, string]>([
  ['no client', { message: '0:1' }, 'client'],
  ['no message', { client: 'a' }, 'message'],
  ['a message that is named by neither', { client: 'a', message: 'the last one' }, 'message'],
])('%s is refused and named', async (_, body, field) => {
  const { status, json } = await ask(body)
  expect([status, json.violations.map((each: { field: string }) => each.field)]).toEqual([400, [field]])
})

test('it takes an operator', async () => {
  const { key } = (await api.send('PUT', 'apiKeys/reader', { body: { role: 'reader' } })).json.properties
  expect((await ask({ client: 'a', message: '0:1' }, key)).status).toBe(403)
})
