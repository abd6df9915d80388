/** Namespaces of a deployment over the API: how they begin, what is whose, and how they end. */
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { type Answer, ApiHarness, client } from './harness.ts'

let api: ApiHarness

async function open(environment: Readonly<Record<string, string>> = {}): Promise<void> {
  api = await ApiHarness.open({ KAFKA_PARTITIONS: '2', NAMESPACE_REMOVAL_DELAY: '0', ...environment })
}
beforeEach(() => open())
afterEach(() => api.close())

const put = (name: string, body: object = {}, key?: string): Promise<Answer> => api.send('PUT', `/namespaces/${name}`, { body, ...(key && { key }) })
const get = (path: string, key?: string): Promise<Answer> => api.send('GET', path, key ? { key } : {})
const domains = (...names: readonly string[]) => ({
  topicSpacesConfiguration: { customDomains: names.map((fullyQualifiedDomainName) => ({ fullyQualifiedDomainName })) },
})
/** A key of a namespace. */
async function keyOf(namespace: string, role = 'owner'): Promise<string> {
  return (await api.send('PUT', `/namespaces/${namespace}/apiKeys/own-key`, { body: { role } })).json.properties.key
}
async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 60_000; !(await isSo()); ) {
    if (Date.now() > deadline) throw new Error('the condition did not come true in time')
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

test('NS-01 a namespace is made by putting it, is listed, and holds what is put into it and nothing of others', async () => {
  const made = await put('factory', { partitions: 3, ...domains('MQTT.Factory.example.'), ...{ limits: { preset: 'eventgrid' } } })
  expect(made.status).toBe(201)
  expect(made.json).toMatchObject({
    id: '/namespaces/factory',
    name: 'factory',
    type: 'Microsoft.EventGrid/namespaces',
    properties: {
      partitions: 3,
      limits: { preset: 'eventgrid' },
      topicSpacesConfiguration: { hostname: 'mqtt.factory.example', customDomains: [{ fullyQualifiedDomainName: 'mqtt.factory.example' }] },
    },
  })
  expect(await api.log.partitions('loggerhead.factory.messages')).toBe(3)
  expect((await api.send('PUT', '/namespaces/factory/clients/truck', { body: client() })).status).toBe(201)
  expect((await get('/namespaces/default/clients/truck')).status).toBe(404)
  expect((await api.send('PUT', 'clients/truck', { body: client({ attributes: { at: 'home' } }) })).status).toBe(201)
  expect((await get('/namespaces/factory/clients/truck')).json).toMatchObject({ id: '/namespaces/factory/clients/truck', properties: { attributes: {} } })
  const listed = await get('/namespaces')
  expect(listed.json.value.map((each: { name: string }) => each.name)).toEqual(['default', 'factory'])
  expect((await get('/namespaces?$top=1')).json.nextLink).toBeDefined()
  const explained = await api.send('POST', '/namespaces/factory:explain', { body: { action: 'publish', client: 'truck', topic: 'a' } })
  expect([explained.status, explained.json.allowed]).toEqual([200, false])
})

test('a namespace that is put again keeps its host names and partitions unless they are given; partitions never change', async () => {
  await put('factory', domains('a.example'))
  expect((await put('factory', { limits: { preset: 'open' } })).json.properties).toMatchObject({ partitions: 2, ...domains('a.example') })
  expect((await put('factory', { partitions: 2, ...domains('b.example') })).status).toBe(200)
  expect((await get('/namespaces/factory')).json.properties).toMatchObject(domains('b.example'))
  expect((await put('factory', { partitions: 4 })).json).toMatchObject({ status: 409, field: 'properties.partitions' })
  expect((await put('default', { partitions: 4 })).json).toMatchObject({ status: 409, field: 'properties.partitions' })
  expect((await put('factory', domains())).json.properties.topicSpacesConfiguration.customDomains).toEqual([])
})

test.each([
  ['ab', {}, 400, 'name'],
  ['fac_tory', {}, 400, 'name'],
  ['x'.repeat(51), {}, 400, 'name'],
  ['DEFAULT', {}, 409, 'name'],
  ['factory', { partitions: 0 }, 400, 'properties.partitions'],
  ['factory', domains('10.0.0.1'), 400, 'properties.topicSpacesConfiguration.customDomains[0].fullyQualifiedDomainName'],
  ['factory', domains('home.example'), 409, 'properties.topicSpacesConfiguration.customDomains[0].fullyQualifiedDomainName'],
  ['factory', { limits: { preset: 'none' } }, 400, 'properties.limits.preset'],
] as const)('NS-01, NS-09: %s with %j is refused, and nothing is made', async (name, body, status, field) => {
  await put('default', domains('home.example'))
  expect((await put(name, body)).json).toMatchObject({ status, field })
  expect((await get('/namespaces')).json.value).toHaveLength(1)
  expect(await api.log.topicExists(`loggerhead.${name}.registry`)).toBe(false)
})

test('?dryRun=true makes nothing', async () => {
  expect((await api.send('PUT', '/namespaces/factory?dryRun=true', { body: domains('a.example') })).json).toEqual({ dryRun: true, change: 'create' })
  expect((await get('/namespaces/factory')).status).toBe(404)
  await put('factory')
  const changed = await api.send('PUT', '/namespaces/factory?dryRun=true', { body: domains('a.example') })
  expect(changed.json).toMatchObject({ dryRun: true, change: 'update', properties: domains('a.example') })
  expect((await get('/namespaces/factory')).json.properties.topicSpacesConfiguration.customDomains).toEqual([])
  expect((await api.send('DELETE', '/namespaces/factory?dryRun=true')).json).toEqual({ dryRun: true, change: 'delete' })
  expect((await get('/namespaces/factory')).status).toBe(200)
})

test('NT-01 the Kafka topics of a namespace’s topics go with it', async () => {
  await put('factory')
  expect((await api.send('PUT', '/namespaces/factory/topics/doors', { body: {} })).status).toBe(201)
  expect(await api.log.topicExists('loggerhead.factory.topic.doors')).toBe(true)
  await api.send('DELETE', '/namespaces/factory')
  await until(async () => !(await api.log.topicExists('loggerhead.factory.topic.doors')) && !(await api.log.topicExists('loggerhead.factory.registry')))
})

test('topics of another deployment with the same prefix are not taken over', async () => {
  await api.log.createTopics([{ name: 'loggerhead.factory.registry', partitions: 1, replication: 1, settings: {} }])
  expect((await put('factory')).json).toMatchObject({ status: 409, detail: expect.stringMatching(/another deployment/) })
})

test('a namespace whose topics cannot be made says why, and can be deleted or put again', async () => {
  await api.log.createTopics([{ name: 'loggerhead.factory.messages', partitions: 7, replication: 1, settings: {} }])
  expect((await put('factory')).json).toMatchObject({ status: 409, detail: expect.stringMatching(/loggerhead\.factory\.messages has 7 partitions/) })
  expect((await get('/namespaces')).json.value).toHaveLength(1)
  await api.log.deleteTopics(['loggerhead.factory.messages'])
  expect((await put('factory')).status).toBe(201)
})

test('NAMESPACES_MAX and NAMESPACE_SHARDS_MAX: what goes beyond is refused when it is made', async () => {
  await api.close()
  await open({ NAMESPACES_MAX: '3', NAMESPACE_SHARDS_MAX: '6' })
  expect((await put('first', { partitions: 5 })).json).toMatchObject({
    status: 400,
    field: 'properties.partitions',
    rule: expect.stringMatching(/NAMESPACE_SHARDS_MAX/),
  })
  expect([(await put('first', { partitions: 3 })).status, (await put('second', { partitions: 1 })).status]).toEqual([201, 201])
  expect((await put('third', { partitions: 1 })).json).toMatchObject({ status: 400, field: 'name', rule: expect.stringMatching(/NAMESPACES_MAX/) })
  expect(api.limits).toEqual(['NAMESPACE_SHARDS_MAX', 'NAMESPACES_MAX'])
})

test('a key of one namespace opens that one; whether others are there it cannot find out', async () => {
  await put('factory', domains('a.example'))
  const key = await keyOf('factory')
  expect((await get('/namespaces/factory/clients', key)).status).toBe(200)
  const [existing, missing] = [await get('/namespaces/default/clients', key), await get('/namespaces/nothing/clients', key)]
  expect([existing.status, existing.text]).toEqual([401, missing.text])
  expect([(await put('nothing', {}, key)).status, (await put('default', {}, key)).status]).toEqual([401, 401])
  expect((await get('/namespaces', key)).json.value.map((each: { name: string }) => each.name)).toEqual(['factory'])
  expect((await get('/namespaces', 'lh_wrong')).status).toBe(401)
  expect((await get('/namespaces/nothing/clients')).status).toBe(404)
})

test('NS-09 host names and deletion are the deployment owner’s: a namespace’s own key may send back what it has read, and no more', async () => {
  await put('factory', domains('a.example'))
  const key = await keyOf('factory')
  const { properties } = (await get('/namespaces/factory', key)).json
  expect((await put('factory', { properties: { ...properties, limits: { preset: 'eventgrid' } } }, key)).status).toBe(200)
  for (const body of [domains('b.example'), domains(), { partitions: 3 }]) expect((await put('factory', body, key)).status).toBe(403)
  expect((await api.send('DELETE', '/namespaces/factory', { key })).status).toBe(403)
  expect((await get('/namespaces/factory')).json.properties.topicSpacesConfiguration.customDomains).toEqual([{ fullyQualifiedDomainName: 'a.example' }])
})

test('NS-01 deleting a namespace deletes everything inside; one that is made anew under its name has topics of its own', async () => {
  await put('factory', domains('a.example'))
  await api.send('PUT', '/namespaces/factory/clients/truck', { body: client() })
  expect((await api.send('DELETE', '/namespaces/factory')).status).toBe(204)
  expect([(await get('/namespaces/factory')).status, (await get('/namespaces/factory/clients/truck')).status]).toEqual([404, 404])
  expect((await api.send('DELETE', '/namespaces/factory')).status).toBe(404)
  await until(async () => !(await api.log.topicExists('loggerhead.factory.messages')))
  await until(async () => (await put('factory', domains('a.example'))).status === 201)
  expect((await get('/namespaces/factory/clients')).json.value).toEqual([])
  expect([await api.log.topicExists('loggerhead.factory.2.messages'), await api.log.topicExists('loggerhead.factory.messages')]).toEqual([true, false])
})

test('while its topics are not gone the name of a deleted namespace is not free; the home namespace cannot be deleted', async () => {
  await api.close()
  await open({ NAMESPACE_REMOVAL_DELAY: '60000' })
  await put('factory')
  await api.send('DELETE', '/namespaces/factory')
  expect((await put('factory')).json).toMatchObject({ status: 409, detail: expect.stringMatching(/being deleted/) })
  expect((await api.send('DELETE', '/namespaces/default')).json).toMatchObject({ status: 409, detail: expect.stringMatching(/home namespace/) })
})

test('namespaces that are put at one time are made in their turn; more than 16 are refused with 503 and when to try again', async () => {
  await api.close()
  await open({ NAMESPACES_MAX: '64', NAMESPACE_SHARDS_MAX: '1000' })
  const answers = await Promise.all(Array.from({ length: 18 }, (_, i) => put(`plant-${i}`, { partitions: 1 })))
  const made = answers.filter(({ status }) => status === 201)
  const refused = answers.filter(({ status }) => status === 503)
  expect([made.length, refused.length]).toEqual([16, 2])
  expect(refused[0]?.json.detail).toBe('16 namespaces are being made, changed or deleted now')
  expect((await put('plant-17', { partitions: 1 })).status).toBe(201)
})
