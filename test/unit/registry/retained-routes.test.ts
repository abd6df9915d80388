import { afterEach, expect, test } from '@jest/globals'
import { ApiHarness } from './harness.ts'

let api: ApiHarness
afterEach(() => api.close())

const asked: string[] = []
async function open(...bodies: readonly (object | undefined)[]): Promise<void> {
  asked.length = 0
  api = await ApiHarness.open(
    {},
    {
      ask: async (method, path) => {
        asked.push(`${method} ${path}`)
        return bodies.map((body, index) => ({ router: `router-${index}`, status: body ? 200 : 0, body }))
      },
    },
  )
}
const message = (topic: string) => ({ topic, qos: 1, size: 3 })

test('a list is that of all shards, in the order of topics, with a link to the next page', async () => {
  await open({ shards: 3, owned: [0, 2], messages: [message('a'), message('d')] }, { shards: 3, owned: [1], messages: [message('b')] })
  const { json } = await api.send('GET', 'retainedMessages?$top=2&topicFilter=%2B')
  expect(json.value).toMatchObject([{ id: '/namespaces/default/retainedMessages/a', name: 'a', properties: { topic: 'a', size: 3 } }, { name: 'b' }])
  expect(json.nextLink).toBe('/namespaces/default/retainedMessages?$top=2&$skiptoken=b&topicFilter=%2B')
  expect(asked).toEqual(['GET /retained?filter=%2B&after=&top=3'])
})

test('a list that would have holes is refused, and so is one without any router', async () => {
  await open({ shards: 3, owned: [0, 2], messages: [message('a')] }, undefined)
  expect(await api.send('GET', 'retainedMessages')).toMatchObject({ status: 503, json: { detail: '1 of 3 shards have no owner now; ask again' } })
  await api.close()
  await open(undefined)
  expect(await api.send('GET', 'retainedMessages/a')).toMatchObject({ status: 503, json: { detail: expect.stringContaining('router-0: no answer') } })
})

test('one message comes from whoever owns its shard; 404 when nothing is retained', async () => {
  await open({ shards: 2, owned: [0], message: null }, { shards: 2, owned: [1], message: { ...message('a/b'), payload: 'aGVs' } })
  expect((await api.send('GET', 'retainedMessages/a%2Fb')).json).toMatchObject({ name: 'a/b', properties: { payload: 'aGVs' } })
  expect(asked).toEqual(['GET /retained/message?topic=a%2Fb'])
  await api.close()
  await open({ shards: 1, owned: [0], message: null })
  expect((await api.send('GET', 'retainedMessages/a%2Fb')).status).toBe(404)
})

test('a wrong filter or topic is named', async () => {
  await open({ shards: 1, owned: [0], messages: [] })
  expect(await api.send('GET', 'retainedMessages?topicFilter=a%23')).toMatchObject({ status: 400, json: { field: 'topicFilter', value: 'a#' } })
  expect((await api.send('GET', 'retainedMessages?topicFilter=%24share%2Fg%2Fa')).status).toBe(400)
  expect(await api.send('GET', 'retainedMessages/a%2F%2B')).toMatchObject({ status: 400, json: { field: 'topic' } })
  expect(asked).toEqual([])
})

test('clearing is asked of all routers, and the owner of the topic’s shard does it', async () => {
  const answers = (statuses: readonly number[]) => ({
    ask: async (method: string, path: string, by: string) => {
      asked.push(`${method} ${path} ${by}`)
      return statuses.map((status, index) => ({ router: `router-${index}`, status, body: undefined }))
    },
  })
  asked.length = 0
  for (const [statuses, expected] of [
    [[421, 204], 204],
    [[421, 404], 404],
    [[421, 0], 503],
    [[], 503],
  ] as const) {
    api = await ApiHarness.open({}, answers(statuses))
    expect((await api.send('DELETE', 'retainedMessages/a%2Fb')).status).toBe(expected)
    await api.close()
  }
  expect(asked[0]).toBe('DELETE /retained/message?topic=a%2Fb api-key')
  api = await ApiHarness.open({}, answers([204]))
  expect(await api.send('DELETE', 'retainedMessages/a%2F%23')).toMatchObject({ status: 400, json: { field: 'topic' } })
})
