import { afterEach, beforeEach, expect, jest, test } from '@jest/globals'
import { decodeRecord } from '../../../schemas/codec.ts'
import { ApiHarness, client } from './harness.ts'

let api: ApiHarness
beforeEach(async () => {
  api = await ApiHarness.open()
})
afterEach(async () => {
  jest.restoreAllMocks()
  await api.close()
})

const make = async (name: string, body: object): Promise<string> => (await api.send('PUT', `apiKeys/${name}`, { body })).json.properties.key

async function everythingWritten(): Promise<string> {
  const all: string[] = []
  for (const [topic, partitions] of [
    [api.topics.registry, 1],
    [api.topics.lifecycle, 4],
  ] as const) {
    const stretches = await api.log.readMany(topic, new Map(Array.from({ length: partitions }, (_, partition) => [partition, 0])))
    for (const { records } of stretches) for (const { value } of records) if (value) all.push(JSON.stringify(decodeRecord(value)))
  }
  return all.join('\n')
}

test('a key is shown once, when it is made; the log holds its hash alone, and life cycle events not even that', async () => {
  const put = await api.send('PUT', 'apiKeys/dashboards', { body: { role: 'reader', description: 'x' } })
  expect(put.status).toBe(201)
  expect(put.json).toMatchObject({
    type: 'Loggerhead/namespaces/apiKeys',
    properties: { role: 'reader', description: 'x', key: expect.stringMatching(/^lh_.{43}$/) },
  })
  const { key } = put.json.properties
  for (const rest of ['apiKeys/dashboards', 'apiKeys']) {
    const { text } = await api.send('GET', rest)
    expect([text.includes(key), text.includes('hash')]).toEqual([false, false])
  }
  expect((await api.send('GET', 'clients', { key })).status).toBe(200)
  const again = await api.send('PUT', 'apiKeys/dashboards', { body: { role: 'operator' } })
  expect([again.status, again.json.properties.key]).toEqual([200, undefined])
  expect((await api.send('PUT', 'clients/a', { key, body: client() })).status).toBe(201) // the same key, with its new role
  const written = await everythingWritten()
  expect(written).not.toContain(key)
  expect(written.split('\n').filter((line) => line.includes('hash') && line.includes('LifecycleEvent'))).toEqual([])
})

test.each<[string, 'GET' | 'PUT' | 'DELETE' | 'POST', string, object | undefined, readonly number[]]>([
  ['reads resources', 'GET', 'clients', undefined, [200, 200, 200]],
  ['asks why', 'POST', ':explain', { client: 'a', action: 'publish', topic: 't' }, [200, 200, 200]],
  ['writes resources', 'PUT', 'topicSpaces/abc', { topicTemplates: ['a'] }, [403, 201, 200]],
  ['deletes resources', 'DELETE', 'topicSpaces/none', undefined, [403, 404, 404]],
  ['imports', 'POST', 'clients:import', undefined, [403, 415, 415]],
  ['looks at sessions', 'GET', 'sessions', undefined, [403, 503, 503]],
  ['ends sessions', 'DELETE', 'sessions/a', undefined, [403, 503, 503]],
  ['writes the namespace’s settings', 'PUT', '', { topicSpacesConfiguration: {} }, [403, 403, 201]],
  ['reads keys', 'GET', 'apiKeys', undefined, [403, 403, 200]],
  ['makes keys', 'PUT', 'apiKeys/other', { role: 'owner' }, [403, 403, 201]],
])('who %s: reader, operator, owner', async (_title, method, rest, body, expected) => {
  const statuses: number[] = []
  for (const role of ['reader', 'operator', 'owner']) {
    const key = await make(`the-${role}`, { role })
    statuses.push((await api.send(method, rest, { key, ...(body ? { body } : {}) })).status)
  }
  expect(statuses).toEqual(expected)
})

test('a deleted key is refused at once, and so is one whose time is over', async () => {
  const key = await make('one', { role: 'owner' })
  expect((await api.send('DELETE', 'apiKeys/one')).status).toBe(204)
  expect((await api.send('GET', 'clients', { key })).status).toBe(401)
  expect((await api.send('PUT', 'apiKeys/two', { body: { role: 'reader', expirationTimeInUtc: '2020-01-01T00:00:00Z' } })).json).toMatchObject({
    status: 400,
    field: 'properties.expirationTimeInUtc',
    rule: 'must be in the future',
  })
  const end = Date.now() + 600_000
  const short = await make('two', { role: 'reader', expirationTimeInUtc: new Date(end).toISOString() })
  for (const [now, status] of [
    [end - 1, 200],
    [end, 401],
  ] as const) {
    jest.spyOn(Date, 'now').mockReturnValue(now)
    expect([now, (await api.send('GET', 'clients', { key: short })).status]).toEqual([now, status])
  }
})

test('a change says which key made it, in the resource and in the log', async () => {
  const key = await make('deploy', { role: 'operator' })
  expect((await api.send('PUT', 'clients/a', { key, body: client() })).json.by).toBe('apiKeys/deploy')
  expect((await api.send('DELETE', 'clients/a', { key })).status).toBe(204)
  const events = (await everythingWritten()).split('\n').filter((line) => line.includes('RegistryResourceChanged') && line.includes('clients/a'))
  expect(events.map((line) => JSON.parse(JSON.parse(line).value.data))).toMatchObject([
    { by: 'apiKeys/deploy', before: null, after: { authenticationName: 'a' } },
    { by: 'apiKeys/deploy', before: { authenticationName: 'a' }, after: null },
  ])
})

test('limit API_KEYS_MAX: one key more is refused and counted', async () => {
  await api.close()
  api = await ApiHarness.open({ API_KEYS_MAX: '1' })
  await make('one', { role: 'reader' })
  expect((await api.send('PUT', 'apiKeys/two', { body: { role: 'reader' } })).json).toMatchObject({
    status: 400,
    rule: expect.stringContaining('API_KEYS_MAX'),
  })
  expect(api.limits).toEqual(['API_KEYS_MAX'])
})
