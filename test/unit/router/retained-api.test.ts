import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from '@jest/globals'
import { partitionOf } from '../../../log/partitioner.ts'
import { RetainedIndex } from '../../../model/retained-index.ts'
import { clearingMessage, RetainedApi } from '../../../router/retained-api.ts'
import type { RetainedMessage } from '../../../router/retained-store.ts'
import { isRepeatable } from '../../../schemas/message-id.ts'
import { decodeMessage, encodeMessage } from '../../../schemas/message-record.ts'

const shards = 4
let server: Server | undefined
afterEach(() => {
  server?.close()
})

/** A router that owns all shards but `missing`, with something retained on `topic` of the owned ones; its log fails with `failure`. */
async function given(topic: string, { missing = -1, failure }: { readonly missing?: number; readonly failure?: Error } = {}) {
  const owned = Array.from({ length: shards }, (_, shard) => ({ shard, index: new RetainedIndex<RetainedMessage>() })).filter(({ shard }) => shard !== missing)
  const value = Buffer.from(encodeMessage({ ...clearingMessage(topic, 'device', 'gateway', 5), payload: Buffer.from('kept') }))
  const index = owned.find(({ shard }) => shard === partitionOf(topic, shards))?.index
  index?.set(topic, { topic, offset: 7, value, qos: 1, expiresAt: 0, retainedOffset: 0 })
  const appended: { readonly shard: number; readonly topic: string; readonly value: Buffer }[] = []
  const cleared: string[] = []
  const api = new RetainedApi({
    shards,
    owned: () => owned,
    append: async (shard, name, written) => {
      if (failure) throw failure
      appended.push({ shard, topic: name, value: Buffer.from(written) })
      setImmediate(() => index?.delete(name)) // as the owner of the shard folds it
    },
    router: 'router-1',
    onCleared: (by, name) => cleared.push(`${by} ${name}`),
    now: () => Date.now(),
    key: 'internal',
  })
  server = createServer((request, response) => {
    if (!api.handle(request, response)) response.writeHead(418).end()
  })
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const clear = async (name: string, key = 'internal') =>
    fetch(`http://127.0.0.1:${port}/retained/message?${new URLSearchParams({ topic: name })}`, {
      method: 'DELETE',
      headers: { authorization: `Bearer ${key}`, 'x-loggerhead-by': 'apiKeys/ops' },
    })
  return { clear, appended, cleared, index }
}

test('RE-02 [MQTT-3.3.1-6] clearing appends an empty retained publish in the name of who asked, and is answered once it is folded', async () => {
  const { clear, appended, cleared, index } = await given('a/b')
  expect((await clear('a/b')).status).toBe(204)
  expect(appended).toMatchObject([{ shard: partitionOf('a/b', shards), topic: 'a/b' }])
  const message = decodeMessage(appended[0]!.value)
  expect(message).toMatchObject({ topic: 'a/b', retain: true, qos: 1, authenticationName: 'apiKeys/ops', clientId: '$loggerhead/api', gateway: 'router-1' })
  expect([message.payload.length, isRepeatable(message.messageId)]).toEqual([0, false])
  expect([index?.get('a/b'), cleared]).toEqual([undefined, ['apiKeys/ops a/b']])
  expect((await clear('a/b')).status).toBe(404)
})

test('who does not own the topic’s shard, or has no key, clears nothing', async () => {
  const { clear, appended } = await given('a/b', { missing: partitionOf('a/b', shards) })
  expect((await clear('a/b')).status).toBe(421)
  expect((await clear('a/b', 'other')).status).toBe(401)
  expect(appended).toEqual([])
})

test('invariant 1: a clearing that the log does not take is no 204', async () => {
  const { clear, cleared } = await given('a/b', { failure: new Error('away') })
  const answer = await clear('a/b')
  expect([answer.status, ((await answer.json()) as { detail: string }).detail, cleared]).toEqual([503, 'the log did not answer: away', []])
})
