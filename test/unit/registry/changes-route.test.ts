import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { ApiHarness, client, ownersKey } from './harness.ts'

let api: ApiHarness

beforeEach(async () => {
  api = await ApiHarness.open()
})
afterEach(() => api.close())

interface Line {
  readonly resource?: string
  readonly change?: string
  readonly end?: true
}

async function lines(query: Record<string, string> = {}): Promise<readonly Line[]> {
  const answer = await api.app.inject({
    method: 'GET',
    url: `/namespaces/default/changes?${new URLSearchParams(query)}`,
    headers: { authorization: `Bearer ${ownersKey}` },
  })
  expect([answer.statusCode, answer.headers['content-type']]).toEqual([200, 'application/x-ndjson'])
  return answer.body
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)
}

const put = (rest: string, body: object, key?: string) => api.send('PUT', rest, { body, ...(key === undefined ? {} : { key }) })

test('every change of a resource is told with who made it, from which address, what stood there before and what after', async () => {
  await put('clients/pump', client({ attributes: { site: 'north' } }))
  await put('clients/pump', client({ attributes: { site: 'south' } }))
  await api.send('DELETE', 'clients/pump')
  const [first, second, third, last] = await lines()
  expect(first).toMatchObject({
    change: 'created',
    resource: 'clients/pump',
    by: 'api-key',
    address: '127.0.0.1',
    before: null,
    after: { attributes: { site: 'north' } },
  })
  expect(second).toMatchObject({ change: 'updated', before: { attributes: { site: 'north' } }, after: { attributes: { site: 'south' } } })
  expect(third).toMatchObject({ change: 'deleted', before: { attributes: { site: 'south' } }, after: null })
  expect(last).toEqual({ end: true })
})

test('the address is the one that the front door saw', async () => {
  await api.app.inject({
    method: 'PUT',
    url: '/namespaces/default/clients/pump',
    headers: { authorization: `Bearer ${ownersKey}`, 'x-forwarded-for': '198.51.100.9, 203.0.113.7', 'x-forwarded-proto': 'https' },
    payload: client(),
  })
  expect(await lines()).toMatchObject([{ address: '203.0.113.7' }, { end: true }])
})

test('changes are chosen by resource, by kind, by who made them and by time', async () => {
  const { json } = await put('apiKeys/deploy', { role: 'operator' })
  await put('clients/pump', client(), json.properties.key)
  await put('clients/pump-2', client())
  await put('clientGroups/pumps', { query: 'attributes.site = "north"' })
  const chosen = async (query: Record<string, string>) => (await lines(query)).flatMap(({ resource }) => resource ?? [])
  expect(await chosen({ resource: 'clients/pump' })).toEqual(['clients/pump'])
  expect((await chosen({ resource: 'clients' })).sort()).toEqual(['clients/pump', 'clients/pump-2'])
  expect(await chosen({ by: 'apiKeys/deploy' })).toEqual(['clients/pump'])
  expect(await chosen({ from: '2099-01-01T00:00:00Z' })).toEqual([])
  expect(await chosen({ from: '2000-01-01T00:00:00Z', to: '2001-01-01T00:00:00Z' })).toEqual([])
})

test('where retention has removed changes that were asked for, the last line says from when on none is missing', async () => {
  await put('clients/pump', client())
  await put('clients/pump', client({ attributes: { site: 'south' } }))
  const from = '2026-01-31T11:00:00Z'
  const [, second, end] = await lines({ from, resource: 'clients/pump' })
  expect(end).toEqual({ end: true })
  const { partition, offset, time } = second as Line & { partition: number; offset: number; time: string }
  api.store.truncate(api.topics.lifecycle, partition, offset)
  expect(await lines({ from, resource: 'clients/pump' })).toEqual([second, { end: true, since: time }])
  expect((await lines({ from: time })).at(-1)).toEqual({ end: true })
})

test('a secret is never told; that it changed is', async () => {
  const { json } = await put('apiKeys/deploy', { role: 'operator' })
  const withPassword = (password: string) => client({ passwordAuthentication: { password } })
  expect((await put('clients/pump', withPassword('correct-horse-1'))).status).toBe(201)
  expect((await put('clients/pump', withPassword('correct-horse-2'))).status).toBe(200)
  const told = await lines()
  expect(JSON.stringify(told)).not.toMatch(new RegExp(`correct-horse|scrypt|${json.properties.key}`))
  expect(told.filter(({ change }) => change === 'updated')).toMatchObject([{ resource: 'clients/pump', concealed: ['passwordHash'] }])
})

test.each([
  ['a field that there is not', { since: '-PT1H' }, 'since'],
  ['a place that there is not', { from: 'yesterday' }, 'from'],
  ['an end that there is not', { to: 'now' }, 'to'],
  ['a kind that there is not', { resource: 'client/pump' }, 'resource'],
  ['an end before the beginning', { from: '-PT1H', to: '-PT2H' }, 'to'],
])('%s is refused by name', async (_, query, field) => {
  const answer = await api.send('GET', `changes?${new URLSearchParams(query)}`)
  expect([answer.status, answer.json.field]).toEqual([400, field])
})

test('only an owner is told: keys are among what changed', async () => {
  const { json } = await put('apiKeys/deploy', { role: 'operator' })
  expect((await api.send('GET', 'changes', { key: json.properties.key })).status).toBe(403)
})
