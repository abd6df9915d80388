import { afterEach, expect, test } from '@jest/globals'
import type { RouterAnswer } from '../../../proto/routers.ts'
import { ApiHarness } from './harness.ts'

let api: ApiHarness
afterEach(() => api.close())

type Ask = (method: string, path: string) => readonly (readonly [status: number, body?: unknown])[]
const asked: string[] = []

async function open(ask: Ask): Promise<void> {
  asked.length = 0
  api = await ApiHarness.open(
    {},
    {
      ask: async (method, path, by) => {
        asked.push(`${method} ${path} ${by}`)
        return ask(method, path).map(([status, body], index): RouterAnswer => ({ router: `router-${index}`, status, body }))
      },
    },
  )
}
const told = (clientId: string, isOwner: boolean, more: object = {}) => ({ clientId, isOwner, connected: true, ...more })

test('a list is made of what all routers say: the owner of a shard knows most, one that is away takes nothing from it', async () => {
  await open(() => [
    [200, { sessions: [told('b', false), told('a', true, { queue: { messages: 3 } })] }],
    [0],
    [200, { sessions: [told('a', false), told('b', true, { queue: { messages: 5 } }), told('c', false)] }],
  ])
  const { json } = await api.send('GET', 'sessions?$top=2&connected=true')
  expect(json.value).toMatchObject([
    { id: '/namespaces/default/sessions/a', name: 'a', properties: { connected: true, queue: { messages: 3 } } },
    { name: 'b', properties: { queue: { messages: 5 } } },
  ])
  expect(json.value[0].properties.isOwner).toBeUndefined()
  expect(json.nextLink).toBe('/namespaces/default/sessions?$top=2&$skiptoken=b&connected=true')
  expect(asked).toEqual(['GET /sessions?top=3&after=&connected=true&authenticationName= api-key'])
})

test('without any router it is 503, not an empty list', async () => {
  await open(() => [[0], [0]])
  expect(await api.send('GET', 'sessions')).toMatchObject({ status: 503, json: { detail: expect.stringContaining('router-1: no answer') } })
  expect((await api.send('GET', 'sessions/a')).status).toBe(503)
})

test('one session: the owner’s answer counts; any router’s will do; 404 when one says there is none', async () => {
  await open((_, path) =>
    path === '/sessions/a%2Fb'
      ? [
          [200, told('a/b', false)],
          [200, told('a/b', true, { queue: {} })],
        ]
      : path === '/sessions/c'
        ? [[0], [200, told('c', false)]]
        : [[404], [0]],
  )
  expect((await api.send('GET', 'sessions/a%2Fb')).json).toMatchObject({ name: 'a/b', properties: { queue: {} } })
  expect((await api.send('GET', 'sessions/c')).json).toMatchObject({ name: 'c' })
  expect((await api.send('GET', 'sessions/d')).status).toBe(404)
})

test.each<[string, readonly (readonly [number, unknown?])[], number]>([
  ['the owner has done it', [[421], [204]], 204],
  ['the owner knows no such session', [[404], [421]], 404],
  ['the session moved on', [[409, { detail: 'moved on' }], [421]], 409],
  ['nobody owns the shard', [[421], [421]], 503],
  ['the owner is away', [[421], [0]], 503],
  ['the log did not take it', [[503, { detail: 'no' }], [421]], 503],
])('ending and disconnecting: %s', async (_title, answers, expected) => {
  await open(() => answers)
  expect((await api.send('DELETE', 'sessions/a:b')).status).toBe(expected)
  expect((await api.send('POST', 'sessions/a:b:disconnect')).status).toBe(expected)
  expect(asked).toEqual(['DELETE /sessions/a%3Ab api-key', 'POST /sessions/a%3Ab/disconnect api-key'])
})

test('another action than disconnect is nothing', async () => {
  await open(() => [[204]])
  expect((await api.send('POST', 'sessions/a:pause')).status).toBe(404)
  expect(asked).toEqual([])
})
