import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { decodeRecord } from '../../../schemas/codec.ts'
import type { LifecycleEvent } from '../../../schemas/event-records.ts'
import { ApiHarness } from './harness.ts'

let api: ApiHarness
beforeEach(async () => {
  api = await ApiHarness.open({ KAFKA_PARTITIONS: '2' })
})
afterEach(() => api.close())

const kafkaTopic = 'loggerhead.default.topic.doors'
const queue = (more: object = {}) => ({ deliveryConfiguration: { deliveryMode: 'Queue', queue: more } })
const webhook = (more: object = {}, policy: object = {}) => ({
  deliveryConfiguration: {
    deliveryMode: 'Push',
    push: { ...policy, destination: { endpointType: 'WebHook', properties: { endpointUrl: 'https://hooks.example.com/doors', ...more } } },
  },
})
const put = (rest: string, body: object = {}) => api.send('PUT', rest, { body })
const alarms = 'topics/doors/eventSubscriptions/alarms'
const fieldsOf = async (body: object): Promise<readonly string[]> =>
  ((await put(alarms, body)).json.violations ?? []).map(({ field }: { field: string }) => field.replace('properties.deliveryConfiguration.', ''))

test('NT-01 a topic has the documented properties, and a Kafka topic that keeps its events as long as it says', async () => {
  expect(await put('topics/doors')).toMatchObject({
    status: 201,
    json: {
      id: '/namespaces/default/topics/doors',
      type: 'Microsoft.EventGrid/namespaces/topics',
      properties: { eventRetentionInDays: 7, inputSchema: 'CloudEventSchemaV1_0', publisherType: 'Custom', partitions: 2 },
    },
  })
  expect(await api.log.partitions(kafkaTopic)).toBe(2)
  expect(await api.log.topicSettings(kafkaTopic)).toMatchObject({ 'retention.ms': String(7 * 86_400_000), 'cleanup.policy': 'delete' })
  expect(await put('topics/doors', { eventRetentionInDays: 1 })).toMatchObject({ status: 200, json: { properties: { eventRetentionInDays: 1 } } })
  expect(await api.log.topicSettings(kafkaTopic)).toMatchObject({ 'retention.ms': String(86_400_000), 'cleanup.policy': 'delete' })
})

test('NT-01 retention is 1 to 7 days, and partitions are fixed', async () => {
  for (const eventRetentionInDays of [0, 8, 1.5]) expect((await put('topics/doors', { eventRetentionInDays })).status).toBe(400)
  expect((await put('topics/doors', { partitions: 3 })).json.properties).toMatchObject({ partitions: 3 })
  expect((await put('topics/doors', { partitions: 4 })).json).toMatchObject({ status: 400, field: 'properties.partitions' })
  expect((await put('topics/doors', { partitions: 3, inputSchema: 'CloudEventSchemaV1_0', publisherType: 'Custom' })).status).toBe(200)
  expect((await put('topics/a.b')).json).toMatchObject({ status: 400, field: 'name' })
})

test('NT-01 a dry run of a topic makes no Kafka topic', async () => {
  expect((await put('topics/doors?dryRun=true')).json).toMatchObject({ change: 'create', properties: { partitions: 2 } })
  expect(await api.log.topicExists(kafkaTopic)).toBe(false)
})

test('NT-01 at TOPICS_MAX one topic more is refused', async () => {
  await api.close()
  api = await ApiHarness.open({ TOPICS_MAX: '1' })
  expect((await put('topics/doors')).status).toBe(201)
  expect((await put('topics/windows')).status).toBe(400)
  expect(api.limits).toEqual(['TOPICS_MAX'])
  expect(await api.log.topicExists('loggerhead.default.topic.windows')).toBe(false)
})

test('NT-07 a subscription stands below its topic, with the documented defaults', async () => {
  await put('topics/doors', { eventRetentionInDays: 3 })
  const answer = await put(alarms, queue())
  expect(answer).toMatchObject({
    status: 201,
    json: { id: `/namespaces/default/${alarms}`, name: 'alarms', type: 'Microsoft.EventGrid/namespaces/topics/eventSubscriptions' },
  })
  expect(answer.json.properties).toEqual({
    deliveryConfiguration: { deliveryMode: 'Queue', queue: { receiveLockDurationInSeconds: 60, maxDeliveryCount: 10, eventTimeToLive: 'P3D' } },
    eventDeliverySchema: 'CloudEventSchemaV1_0',
    filtersConfiguration: {},
  })
  expect((await api.send('GET', alarms)).json.properties).toEqual(answer.json.properties)
  // What was answered can be sent back.
  expect((await put(alarms, answer.json)).status).toBe(200)
  expect((await put('topics/windows/eventSubscriptions/alarms', queue())).status).toBe(404)
})

test('NT-07 names are 3 to 50 letters, digits and hyphens, and a list holds the subscriptions of one topic, page by page', async () => {
  await put('topics/doors')
  await put('topics/doors2')
  for (const name of ['aaa', 'bbb', 'ccc']) await put(`topics/doors/eventSubscriptions/${name}`, queue())
  await put('topics/doors2/eventSubscriptions/other', queue())
  expect((await put('topics/doors/eventSubscriptions/ab', queue())).json).toMatchObject({ status: 400, field: 'name' })
  const first = await api.send('GET', 'topics/doors/eventSubscriptions?$top=2')
  expect(first.json.value.map(({ name }: { name: string }) => name)).toEqual(['aaa', 'bbb'])
  const second = await api.send('GET', first.json.nextLink)
  expect(second.json.value.map(({ name }: { name: string }) => name)).toEqual(['ccc'])
  expect(second.json.nextLink).toBeUndefined()
  expect((await api.send('GET', 'topics/none/eventSubscriptions')).status).toBe(404)
})

test('NT-07 at SUBSCRIPTIONS_PER_TOPIC_MAX one subscription more is refused, and one that is there can be changed', async () => {
  await api.close()
  api = await ApiHarness.open({ SUBSCRIPTIONS_PER_TOPIC_MAX: '1' })
  await put('topics/doors')
  expect((await put(alarms, queue())).status).toBe(201)
  expect((await put('topics/doors/eventSubscriptions/more', queue())).status).toBe(400)
  expect(api.limits).toEqual(['SUBSCRIPTIONS_PER_TOPIC_MAX'])
  expect((await put(alarms, queue({ maxDeliveryCount: 3 }))).status).toBe(200)
})

test('NT-07 a subscription begins with what is published after it was made, and a change does not begin it anew', async () => {
  await put('topics/doors')
  const appender = await api.log.appender()
  await appender.write({ topic: kafkaTopic, partition: 1, key: null, value: Buffer.from('x'), timestamp: 0 })
  await put(alarms, queue())
  const start = () => api.registry.view.eventSubscriptions.get('doors/alarms')?.properties.start
  const first = start()
  expect(first?.offsets).toEqual([0, 1])
  await appender.write({ topic: kafkaTopic, partition: 1, key: null, value: Buffer.from('x'), timestamp: 0 })
  await put(alarms, queue({ maxDeliveryCount: 2 }))
  expect(start()).toEqual(first)
  await api.send('DELETE', alarms)
  await put(alarms, queue())
  expect(start()?.offsets).toEqual([0, 2])
  expect(start()?.id).not.toBe(first?.id)
})

test('NT-08 lock, count and time to live have the documented bounds', async () => {
  await put('topics/doors', { eventRetentionInDays: 2 })
  for (const right of [{ receiveLockDurationInSeconds: 300 }, { maxDeliveryCount: 1 }, { eventTimeToLive: 'PT1M' }, { eventTimeToLive: 'P2D' }]) {
    expect(await fieldsOf(queue(right))).toEqual([])
  }
  for (const [field, value] of [
    ['receiveLockDurationInSeconds', 59],
    ['receiveLockDurationInSeconds', 301],
    ['maxDeliveryCount', 0],
    ['maxDeliveryCount', 11],
    ['eventTimeToLive', 'PT59S'],
    ['eventTimeToLive', 'P3D'],
    ['eventTimeToLive', '2d'],
    ['eventTimeToLive', 'P1Y'],
  ] as const) {
    expect(await fieldsOf(queue({ [field]: value }))).toEqual([`queue.${field}`])
  }
})

test('NT-07 what goes with one delivery mode does not go with the other', async () => {
  await put('topics/doors')
  const { push } = webhook().deliveryConfiguration
  expect(await fieldsOf({ deliveryConfiguration: { deliveryMode: 'Queue', push } })).toEqual(['push'])
  expect(await fieldsOf({ deliveryConfiguration: { deliveryMode: 'Push', push, queue: {} } })).toEqual(['queue'])
  expect(await fieldsOf({ deliveryConfiguration: { deliveryMode: 'Push' } })).toEqual(['push.destination'])
  expect((await put(alarms, { deliveryConfiguration: { deliveryMode: 'Mail' } })).status).toBe(400)
})

test('NT-07 a subscription may expire, in the future', async () => {
  await put('topics/doors')
  expect((await put(alarms, { ...queue(), expirationTimeUtc: '2999-01-01T00:00:00Z' })).status).toBe(201)
  for (const expirationTimeUtc of ['2001-01-01T00:00:00Z', 'soon']) {
    expect((await put(alarms, { ...queue(), expirationTimeUtc })).json).toMatchObject({ status: 400, field: 'properties.expirationTimeUtc' })
  }
})

test('NT-10 filters are checked, and the wrong field is named', async () => {
  await put('topics/doors')
  const filtered = (filters: readonly object[]) => put(alarms, { ...queue(), filtersConfiguration: { includedEventTypes: ['a'], filters } })
  expect((await filtered([{ operatorType: 'NumberIn', key: 'data.x', values: [1] }])).status).toBe(201)
  expect((await filtered([{ operatorType: 'NumberIn', key: 'data.x', values: ['1'] }])).json).toMatchObject({
    status: 400,
    field: 'properties.filtersConfiguration.filters[0].values[0]',
  })
  expect((await filtered([{ operatorType: 'NumberIs', key: 'data.x', value: 1 }])).json).toMatchObject({
    status: 400,
    field: 'properties.filtersConfiguration.filters[0].operatorType',
  })
})

test('NT-09, PU-01 a webhook is an https URL, bounded in its batches and headers', async () => {
  await put('topics/doors')
  const headers = (...deliveryAttributeMappings: readonly object[]) => webhook({ deliveryAttributeMappings })
  const fixed = (name: string, value: string) => ({ name, type: 'Static', properties: { value } })
  expect(await fieldsOf(webhook({ maxEventsPerBatch: 5000, preferredBatchSizeInKilobytes: 1024, minimumTlsVersionAllowed: '1.2' }))).toEqual([])
  const at = 'push.destination.properties'
  expect(await fieldsOf(webhook({ endpointUrl: 'http://hooks.example.com' }))).toEqual([`${at}.endpointUrl`])
  expect(await fieldsOf(webhook({ maxEventsPerBatch: 5001 }))).toEqual([`${at}.maxEventsPerBatch`])
  expect(await fieldsOf(webhook({ preferredBatchSizeInKilobytes: 0 }))).toEqual([`${at}.preferredBatchSizeInKilobytes`])
  expect(await fieldsOf(headers(...Array.from({ length: 11 }, (_, i) => fixed(`x-${i}`, 'v'))))).toEqual([`${at}.deliveryAttributeMappings`])
  expect(await fieldsOf(headers(fixed('x', 'v'.repeat(4096))))).toEqual([])
  expect(await fieldsOf(headers(fixed('x', 'v'.repeat(4097))))).toEqual([`${at}.deliveryAttributeMappings[0].properties.value`])
  expect(await fieldsOf(headers(fixed('x', 'a\r\nb: c')))).toEqual([`${at}.deliveryAttributeMappings[0].properties.value`])
  expect(await fieldsOf(headers(fixed('x y', 'v'), fixed('Host', 'v'), fixed('ce-id', 'v')))).toEqual(
    [0, 1, 2].map((i) => `${at}.deliveryAttributeMappings[${i}].name`),
  )
  expect(await fieldsOf(headers(fixed('x', 'v'), fixed('X', 'w')))).toEqual([`${at}.deliveryAttributeMappings[1].name`])
  expect(await fieldsOf(headers({ name: 'x', type: 'Dynamic', properties: {} }))).toEqual([`${at}.deliveryAttributeMappings[0].properties.sourceField`])
  expect(await fieldsOf(headers({ name: 'x', type: 'Dynamic', properties: { sourceField: 'data.door' } }))).toEqual([])
})

test('PU-09 secret headers and the query of the URL stand in no answer and no life cycle event, and are kept when a body is sent back', async () => {
  await put('topics/doors')
  const secret = { name: 'Authorization', type: 'Static', properties: { value: 'Bearer s3cret', isSecret: true } }
  const body = webhook({ endpointUrl: 'https://hooks.example.com/doors?code=s3cret', deliveryAttributeMappings: [secret] })
  const made = await put(alarms, body)
  expect(made.status).toBe(201)
  const stored = () => JSON.stringify(api.registry.view.eventSubscriptions.get('doors/alarms')?.properties)
  const before = stored()
  expect(before).toContain('Bearer s3cret')
  for (const answer of [made, await api.send('GET', alarms), await api.send('GET', 'topics/doors/eventSubscriptions')]) {
    expect(answer.text).toContain('https://hooks.example.com/doors')
    expect(answer.text).not.toContain('s3cret')
  }
  expect((await put(alarms, made.json)).status).toBe(200)
  expect(stored()).toBe(before)
  await api.send('DELETE', alarms)
  const events: LifecycleEvent[] = []
  for (const partition of [0, 1]) {
    const { records } = await api.log.read(api.topics.lifecycle, partition, 0)
    for (const { value } of records) events.push((decodeRecord(value as Buffer) as { readonly value: LifecycleEvent }).value)
  }
  expect(events.filter(({ subject }) => subject === 'eventSubscriptions/doors/alarms')).toHaveLength(3)
  expect(JSON.stringify(events)).not.toContain('s3cret')
})

test('PU-09 a secret header goes to no other URL than the one that it was given for', async () => {
  await put('topics/doors')
  const url = 'https://hooks.example.com/doors'
  const header = (value?: string) => ({ name: 'Authorization', type: 'Static', properties: { isSecret: true, ...(value === undefined ? {} : { value }) } })
  const to = (endpointUrl: string, value?: string) => put(alarms, webhook({ endpointUrl, deliveryAttributeMappings: [header(value)] }))
  const stored = () => JSON.stringify(api.registry.view.eventSubscriptions.get('doors/alarms')?.properties)
  await to(url, 'Bearer s3cret')
  const before = stored()
  for (const other of ['https://attacker.example.net/doors', 'https://hooks.example.com/other', 'https://hooks.example.com:8443/doors']) {
    expect((await to(other)).json).toMatchObject({
      status: 400,
      field: expect.stringMatching(/deliveryAttributeMappings\[0\]\.properties\.value$/),
      detail: expect.stringContaining('is required: the URL is another'),
    })
    expect(stored()).toBe(before)
  }
  expect((await to(`${url}?code=new`)).status).toBe(200)
  expect(stored()).toContain('Bearer s3cret')
  expect((await to('https://hooks.example.com/other', 'Bearer 0ther')).status).toBe(200)
  expect(stored()).not.toContain('s3cret')
})

test('PU-03 bodies of Azure’s management API are taken: identities and Entra fields are left out with a warning', async () => {
  await put('topics/doors')
  const destination = { endpointType: 'WebHook', properties: { endpointUrl: 'https://hooks.example.com/', azureActiveDirectoryTenantId: 'x' } }
  const push = { maxDeliveryCount: 5, eventTimeToLive: 'P1D', deliveryWithResourceIdentity: { destination, identity: { type: 'SystemAssigned' } } }
  const { json, status } = await put(alarms, {
    id: '/subscriptions/…',
    name: 'alarms',
    properties: { provisioningState: 'Succeeded', deliveryConfiguration: { deliveryMode: 'Push', push }, eventDeliverySchema: 'CloudEventSchemaV1_0' },
  })
  expect(status).toBe(201)
  expect(json.properties.deliveryConfiguration.push.destination.properties.endpointUrl).toBe('https://hooks.example.com/')
  expect(json.warnings).toHaveLength(3)
})

test('PU-12 dead letters go to a Kafka topic that is there and none of those that the broker lives on', async () => {
  await put('topics/doors')
  await put('topics/dead')
  await api.log.createTopics([{ name: 'letters', partitions: 1, replication: 1, settings: {} }])
  const to = (topicName: string) =>
    put(alarms, queue({ deadLetterDestinationWithResourceIdentity: { deadLetterDestination: { endpointType: 'KafkaTopic', properties: { topicName } } } }))
  for (const right of ['letters', 'loggerhead.default.topic.dead']) expect((await to(right)).status).toBeLessThan(300)
  for (const wrong of ['nowhere', kafkaTopic, 'loggerhead.default.registry', 'loggerhead.other.topic.dead']) {
    expect((await to(wrong)).json).toMatchObject({ status: 400, field: 'deadLetterDestination.properties.topicName' })
  }
})

test('PU-12 dead letters go to no Kafka topic outside ROUTE_KAFKA_TOPICS but their namespace’s, and to none of Kafka’s own', async () => {
  for (const [allowed, right, wrong] of [
    ['letters.*', ['letters.doors', 'loggerhead.default.topic.dead'], ['payroll', '__consumer_offsets']],
    ['*', ['payroll'], ['__consumer_offsets']],
    [',', ['loggerhead.default.topic.dead'], ['payroll', 'letters.doors', '__consumer_offsets']],
  ] as const) {
    await api.close()
    api = await ApiHarness.open({ ROUTE_KAFKA_TOPICS: allowed })
    await put('topics/doors')
    await put('topics/dead')
    await api.log.createTopics(['payroll', 'letters.doors', '__consumer_offsets'].map((name) => ({ name, partitions: 1, replication: 1, settings: {} })))
    const statusOf = async (topicName: string) => {
      const deadLetterDestination = { endpointType: 'KafkaTopic', properties: { topicName } }
      return (await put(alarms, queue({ deadLetterDestinationWithResourceIdentity: { deadLetterDestination } }))).status
    }
    for (const name of right) expect([allowed, name, await statusOf(name)]).not.toContain(400)
    for (const name of wrong) expect([allowed, name, await statusOf(name)]).toContain(400)
  }
})

test('NT-01 a topic that is deleted takes its subscriptions along, and its events when that is asked for', async () => {
  await put('topics/doors')
  await put('topics/windows')
  await put(alarms, queue())
  await put('topics/windows/eventSubscriptions/alarms', queue())
  expect((await api.send('DELETE', 'topics/doors?dryRun=true')).json).toMatchObject({ change: 'delete' })
  expect((await api.send('DELETE', 'topics/doors')).status).toBe(204)
  expect([...api.registry.view.eventSubscriptions.keys()]).toEqual(['windows/alarms'])
  expect(await api.log.topicExists(kafkaTopic)).toBe(true)
  expect((await api.send('DELETE', 'topics/doors')).status).toBe(404)
  // Made again, it is the Kafka topic that was there.
  expect((await put('topics/doors', { partitions: 4 })).json).toMatchObject({ status: 400, field: 'properties.partitions' })
  expect((await put('topics/doors')).status).toBe(201)
  expect((await api.send('DELETE', 'topics/doors?deleteData=true')).status).toBe(204)
  expect(await api.log.topicExists(kafkaTopic)).toBe(false)
  expect((await api.send('DELETE', 'topics/windows?deleteData=perhaps')).json).toMatchObject({ status: 400, field: 'deleteData' })
})

test('NT-07 a condition on the ETag is looked at before anything goes', async () => {
  await put('topics/doors')
  await put(alarms, queue())
  const answer = await api.app.inject({
    method: 'DELETE',
    url: '/namespaces/default/topics/doors',
    headers: { authorization: 'Bearer correct-horse-battery', 'if-match': '"other"' },
  })
  expect(answer.statusCode).toBe(412)
  expect(api.registry.view.eventSubscriptions.size).toBe(1)
})
