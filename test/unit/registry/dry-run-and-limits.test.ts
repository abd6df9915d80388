/* biome-ignore-all lint/suspicious/noTemplateCurlyInString: the syntax of templates */
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { namespaceLimits } from '../../../model/namespace-limits.ts'
import { ApiHarness, client } from './harness.ts'

let api: ApiHarness
beforeEach(async () => {
  api = await ApiHarness.open()
})
afterEach(() => api.close())

const group = { query: 'attributes.a = 1' }

test('a dry run checks a write, says what it would do, and writes nothing', async () => {
  const { position } = api.registry.view
  expect(await api.send('PUT', 'clientGroups/abc?dryRun=true', { body: group })).toMatchObject({
    status: 200,
    json: { dryRun: true, change: 'create', name: 'abc', properties: group },
  })
  expect((await api.send('PUT', 'clientGroups/abc?dryRun=true', { body: { query: 'nonsense' } })).json).toMatchObject({
    status: 400,
    field: 'properties.query',
  })
  expect((await api.send('DELETE', 'clientGroups/abc?dryRun=true')).status).toBe(404)
  expect(api.registry.view.position).toBe(position)
  await api.send('PUT', 'clientGroups/abc', { body: group })
  expect((await api.send('PUT', 'clientGroups/abc?dryRun=true', { body: group })).json).toMatchObject({ change: 'update' })
  expect((await api.send('DELETE', 'clientGroups/abc?dryRun=true')).json).toMatchObject({ dryRun: true, change: 'delete', name: 'abc' })
  expect((await api.send('GET', 'clientGroups/abc')).status).toBe(200)
  expect((await api.send('PUT', 'clientGroups/abc?dryRun=maybe', { body: group })).json).toMatchObject({ status: 400, field: 'dryRun' })
})

test('a dry run of a key makes none', async () => {
  const { json } = await api.send('PUT', 'apiKeys/abc?dryRun=true', { body: { role: 'reader' } })
  expect([json.change, json.properties.key, api.registry.view.apiKeys.size]).toEqual(['create', undefined, 0])
})

type Bounded = 'clientGroups' | 'topicSpaces' | 'topicTemplatesPerTopicSpace' | 'permissionBindings' | 'clientAttributesBytes'
const bodies: Readonly<Record<Bounded, readonly [count: number, rest: (i: number) => string, body: () => object]>> = {
  clientGroups: [10, (i) => `clientGroups/group-${i}`, () => group],
  topicSpaces: [10, (i) => `topicSpaces/space-${i}`, () => ({ topicTemplates: ['a'] })],
  topicTemplatesPerTopicSpace: [0, () => 'topicSpaces/many', () => ({ topicTemplates: Array.from({ length: 11 }, (_, i) => `a/${i}`) })],
  permissionBindings: [100, (i) => `permissionBindings/bind-${i}`, () => ({ clientGroupName: '$all', topicSpaceName: 'space', permission: 'Publisher' })],
  clientAttributesBytes: [0, () => 'clients/fat', () => client({ attributes: { a: 'x'.repeat(4096 - '{"a":""}'.length) } })],
}

test.each(['clientGroups', 'topicSpaces', 'topicTemplatesPerTopicSpace', 'permissionBindings', 'clientAttributesBytes'] as const)(
  'CG-01, TS-01, PB-01: the preset eventgrid refuses one %s more than Event Grid does, and open takes it',
  async (name) => {
    const [count, rest, body] = bodies[name]
    await api.send('PUT', 'topicSpaces/space', { body: { topicTemplates: ['a'] } })
    await api.send('PUT', '', { body: { limits: { preset: 'eventgrid' } } })
    const taken = name === 'topicSpaces' ? count - 1 : count // one is there
    for (let i = 0; i < taken; i++) expect((await api.send('PUT', rest(i), { body: body() })).status).toBe(201)
    expect((await api.send('PUT', rest(count), { body: body() })).json).toMatchObject({
      status: 400,
      rule: expect.stringContaining(`at most ${namespaceLimits[name].eventgrid}`),
    })
    await api.send('PUT', '', { body: { limits: { preset: 'open' } } })
    expect((await api.send('PUT', rest(count), { body: body() })).status).toBe(201)
  },
)

test('CL-06: a namespace holds as many clients as its preset or its own number says', async () => {
  expect(namespaceLimits.clients.eventgrid).toBe(10_000)
  await api.send('PUT', '', { body: { limits: { preset: 'eventgrid', clients: 1 } } })
  expect((await api.send('PUT', 'clients/one', { body: client() })).status).toBe(201)
  expect((await api.send('PUT', 'clients/two', { body: client() })).json).toMatchObject({ status: 400, rule: expect.stringContaining('at most 1 clients') })
  expect((await api.send('PUT', 'clients/one', { body: client() })).status).toBe(200)
})

test('a single value stands over its preset; the deployment’s own limit stands over both, with a warning', async () => {
  const put = await api.send('PUT', '', { body: { limits: { preset: 'eventgrid', clientGroups: 1, topicSpaces: 5000 } } })
  expect(put.json.warnings).toEqual(['properties.limits.topicSpaces: 5000 is above this deployment’s TOPIC_SPACES_MAX and counts as 1000'.replace('’', "'")])
  expect((await api.send('GET', '')).json.properties.limits).toEqual({ preset: 'eventgrid', clientGroups: 1, topicSpaces: 5000 })
  expect((await api.send('PUT', 'clientGroups/one', { body: group })).status).toBe(201)
  expect((await api.send('PUT', 'clientGroups/two', { body: group })).json).toMatchObject({ status: 400, rule: expect.stringContaining('at most 1 ') })
  expect((await api.send('PUT', '', { body: { limits: { preset: 'azure' } } })).json).toMatchObject({ status: 400, field: 'properties.limits.preset' })
  // What is there already may be changed and deleted.
  expect((await api.send('PUT', 'clientGroups/one', { body: group })).status).toBe(200)
})

test('TS-09: a topic template that starts with $ is refused where the namespace refuses such topics, and one of the broker’s own always', async () => {
  const put = (template: string) => api.send('PUT', 'topicSpaces/dollar', { body: { topicTemplates: ['a', template] } })
  expect((await put('$SYS/#')).status).toBe(201)
  expect((await put('$share/g/#')).json).toMatchObject({ status: 400, field: 'properties.topicTemplates[1]' })
  await api.send('PUT', '', { body: { limits: { preset: 'eventgrid' } } })
  expect((await put('$SYS/#')).json).toMatchObject({ status: 400, field: 'properties.topicTemplates[1]', rule: expect.stringContaining('TS-09') })
  expect((await put('${client.authenticationName}/#')).status).toBe(200)
  await api.send('PUT', '', { body: { limits: { preset: 'eventgrid', dollarTopicsRefused: false } } })
  expect((await put('$own/#')).status).toBe(200)
})

test('what was asked for in a list is kept in the link to the next page', async () => {
  for (const name of ['one', 'two', 'six']) await api.send('PUT', `clientGroups/${name}`, { body: group })
  const first = (await api.send('GET', 'clientGroups?$top=2&api-version=1')).json
  expect(first.value.map(({ name }: { name: string }) => name)).toEqual(['$all', 'one'])
  const second = (await api.send('GET', first.nextLink)).json
  expect(second.value.map(({ name }: { name: string }) => name)).toEqual(['six', 'two'])
  expect([first.nextLink.includes('api-version=1'), second.nextLink]).toEqual([true, undefined])
})
