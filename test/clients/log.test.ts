import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type CloudEvent, Kafka, type KafkaMessage } from 'cloudevents'
import { kafkaPython } from '../support/kafka-python.ts'
import { type Stack, startStack, until } from '../support/stack.ts'
import { readRecords } from '../wire/kafka-log.ts'
import { collectRecords, type FoundRecord, makeKafkaTopic } from '../wire/kafka-records.ts'
import { JsClient } from './mqttjs.ts'
import { clientBody, put, remove } from './registered.ts'

let stack: Stack
const topic = (name: string) => `${stack.prefix}.default.${name}`

/** The same Kafka under another name. */
const clusters = join(tmpdir(), `loggerhead-clusters-${randomBytes(4).toString('hex')}.json`)

beforeAll(async () => {
  writeFileSync(clusters, JSON.stringify({ lake: { KAFKA_BROKERS: process.env.KAFKA_BROKERS } }))
  stack = await startStack({ environment: { ROUTE_CLUSTERS_FILE: clusters } })
}, 180_000)

afterAll(async () => {
  await stack?.stop()
  rmSync(clusters, { force: true })
})

const connect = (clientId: string, options: object = {}) =>
  JsClient.connect(`mqtt://127.0.0.1:${stack.ports.mqtt}`, { clientId, protocolVersion: 5, ...options })

describe('the log, read by an ordinary Kafka client', () => {
  test('holds every accepted publish once, QoS 0 too, keyed by its topic, with user properties in order', async () => {
    const root = `log/${randomBytes(4).toString('hex')}`
    const client = await connect(`${root}-client`.replace('/', '-'), { username: 'analyst' })
    const properties = {
      contentType: 'application/json',
      userProperties: { unit: ['°C', 'K'], site: 'Nord' },
      messageExpiryInterval: 600,
      correlationData: Buffer.from([1, 2]),
    }
    await client.client.publishAsync(`${root}/b`, 'at most once', { qos: 0 })
    await client.client.publishAsync(`${root}/a`, '{"temperature":21.5}', { qos: 1, properties })
    await client.client.publishAsync(`${root}/a`, '', { qos: 1 })
    await client.end()
    const records = (await readRecords(stack.brokers, topic('messages'), 'Message')).filter((each) => each.value.topic.startsWith(root))
    expect(records.map((each) => each.key?.toString())).toEqual(records.map((each) => each.value.topic))
    const [first, second, ...more] = records.filter((each) => each.value.topic === `${root}/a`)
    expect(more).toEqual([])
    expect(first?.value).toMatchObject({
      topic: `${root}/a`,
      payload: Buffer.from('{"temperature":21.5}'),
      qos: 1,
      retain: false,
      protocolVersion: 5,
      clientId: client.client.options.clientId,
      authenticationName: 'analyst',
      gateway: 'gateway',
      contentType: 'application/json',
      correlationData: Buffer.from([1, 2]),
      messageExpiryInterval: 600,
      userProperties: [
        { name: 'unit', value: '°C' },
        { name: 'unit', value: 'K' },
        { name: 'site', value: 'Nord' },
      ],
    })
    expect(second?.value).toMatchObject({ payload: Buffer.alloc(0), userProperties: [], contentType: null })
    expect(first?.partition).toBe(second?.partition)
    expect(Math.abs(Number(first?.value.receivedAt) - Date.now())).toBeLessThan(60_000)
    expect(records.filter((each) => each.value.topic === `${root}/b`)).toMatchObject([{ value: { qos: 0, payload: Buffer.from('at most once') } }])
    expect(new Set(records.map((each) => each.value.messageId.toString('hex'))).size).toBe(records.length)
  })
})

interface Event {
  readonly type: string
  readonly subject: string
  readonly data: Readonly<Record<string, unknown>>
}

async function eventsOf(matches: (subject: string) => boolean): Promise<Event[]> {
  const records = await readRecords(stack.brokers, topic('lifecycle'), 'LifecycleEvent')
  return records
    .filter(({ value }) => value.type.startsWith('Microsoft.EventGrid.') && matches(value.subject))
    .map(({ value }) => ({ type: value.type, subject: value.subject, data: JSON.parse(value.data) }))
}

/** Waits until the events say it; life cycle events follow by themselves. */
async function awaitEvents(matches: (subject: string) => boolean, count: number): Promise<Event[]> {
  let last: Event[] = []
  await until(`${count} life cycle events`, 60_000, async () => {
    last = await eventsOf(matches)
    return last.length >= count
  }).catch((error: Error) => {
    throw new Error(`${error.message}: ${JSON.stringify(last)}`)
  })
  return last
}

const snake = await kafkaPython()
const withPython = 'missing' in snake ? test.skip : test

/** Parses a record as consumers of the `cloudevents` package do, and checks it against the specification. */
function cloudEvent({ headers, value }: FoundRecord): Record<string, unknown> {
  const event = Kafka.toEvent({ headers, value, body: value } as unknown as KafkaMessage) as CloudEvent
  event.validate()
  return event.toJSON() as Record<string, unknown>
}

describe('routes', () => {
  const root = `routed/${randomBytes(4).toString('hex')}`
  const structured = `events-${root.slice(7)}`
  const raw = `raw-${root.slice(7)}`
  const namespaceTopic = () => topic(`topic.${structured}`)

  beforeAll(async () => {
    await makeKafkaTopic(stack.brokers, structured, 3)
    await put(stack, `topics/${structured}`, {})
    const enrichments = {
      static: [{ key: 'site', value: 'north' }],
      dynamic: [
        { key: 'device', value: `\${client.authenticationName}` },
        { key: 'kind', value: `\${client.attributes.type}` },
        { key: 'unit', value: `\${mqtt.message.userProperties['unit']}` },
        { key: 'pfi', value: `\${mqtt.message.pfi}` },
      ],
    }
    const topicFilters = [`${root}/#`]
    await put(stack, 'routes/binary', { topicFilters, target: { topic: structured }, enrichments })
    const conditions = [{ operatorType: 'NumberGreaterThan', key: 'data.celsius', value: 30 }]
    await put(stack, 'routes/hot', { topicFilters, conditions, target: { kafkaTopic: structured }, format: 'cloudEventsStructured' })
    await put(stack, 'routes/lake', { topicFilters, target: { kafkaTopic: structured, cluster: 'lake' }, format: 'raw', conditions })
    await put(stack, 'routes/raw', { topicFilters, target: { kafkaTopic: raw }, format: 'raw', key: 'authenticationName' })
    const client = await connect(`${root}-5`.replace('/', '-'), { username: 'thermometer' })
    const properties = { payloadFormatIndicator: true, userProperties: { unit: ['C', 'K'] } }
    await client.client.publishAsync(`${root}/a`, '{"celsius":21.5}', { qos: 1, properties })
    await client.client.publishAsync(`${root}/a`, '{"celsius":31.5}', { qos: 1, properties })
    const event = { specversion: '1.0', id: 'own-1', source: '/sensors/1', type: 'com.example.hot', celsius: '40' }
    await client.client.publishAsync(`${root}/a`, '{"celsius":40}', { qos: 1, properties: { contentType: 'application/json', userProperties: event } })
    await client.end()
    const old = await connect(`${root}-4`.replace('/', '-'), { username: 'thermometer', protocolVersion: 4 })
    await old.client.publishAsync(`${root}/a`, '{"celsius":50}', { qos: 1 })
    await old.client.publishAsync('elsewhere/a', '{"celsius":60}', { qos: 1 })
    await old.end()
  })

  test('RT-01 RT-06 a namespace topic gets events in binary mode that the cloudevents SDK reads, in order and with their enrichments', async () => {
    const records = await collectRecords(stack.brokers, namespaceTopic(), (found) => found.length === 4)
    const events = records.map(cloudEvent)
    expect(records.map(({ key }) => key)).toEqual(new Array(4).fill(`${root}/a`))
    const common = { source: 'default', type: 'MQTT.EventPublished', subject: `${root}/a`, site: 'north', device: 'thermometer', kind: '' }
    expect(events).toMatchObject([
      { ...common, datacontenttype: 'application/json', data: { celsius: 21.5 }, unit: 'C,K', pfi: '1' },
      { ...common, data: { celsius: 31.5 } },
      { id: 'own-1', source: '/sensors/1', type: 'com.example.hot', celsius: '40', data: { celsius: 40 }, site: 'north', unit: '', pfi: '' },
      { ...common, datacontenttype: 'application/octet-stream', unit: '', pfi: '' },
    ])
    expect(records[3]?.value?.toString()).toBe('{"celsius":50}')
    const inLog = (await readRecords(stack.brokers, topic('messages'), 'Message')).filter(({ value }) => value.topic === `${root}/a`)
    expect(records.map(({ headers }) => headers.loggerhead_source)).toEqual(inLog.map(({ partition, offset }) => `${topic('messages')}/${partition}/${offset}`))
    expect(events[0]?.id).toBe(inLog[0]?.value.messageId.toString('hex'))
  })

  test('a Kafka topic gets the events that the conditions choose, as JSON, and by way of a named cluster as bytes', async () => {
    const isOf = (route: string) => (each: FoundRecord) => each.headers.loggerhead_route?.startsWith(`${route}@`)
    const all = await collectRecords(stack.brokers, structured, (found) => found.length === 4)
    expect(all.filter(isOf('lake')).map(({ value }) => value?.toString())).toEqual(['{"celsius":31.5}', '{"celsius":40}'])
    const records = all.filter(isOf('hot'))
    expect(records.map(({ headers }) => headers['content-type'])).toEqual(new Array(2).fill('application/cloudevents+json; charset=utf-8'))
    expect(records.map(cloudEvent)).toMatchObject([{ data: { celsius: 31.5 } }, { id: 'own-1', data: { celsius: 40 } }])
  })

  withPython(
    `Python reads the same events${'missing' in snake ? ` (skipped: ${snake.missing})` : ''}`,
    async () => {
      const { program } = snake as { readonly program: string }
      // Neither of these has the JSON that its type says: the one is something else, the other nothing.
      for (const body of ['no JSON', '']) {
        const attributes = { 'ce-specversion': '1.0', 'ce-id': 'odd', 'ce-source': '/sensors/1', 'ce-type': 'com.example.odd', 'ce-subject': `${root}/a` }
        const headers = { authorization: `Bearer ${stack.apiKey}`, 'content-type': 'application/json', ...attributes }
        expect((await fetch(`${stack.url}/topics/${structured}:publish`, { method: 'POST', headers, body })).status).toBe(200)
      }
      const environment = { ...process.env, KAFKA_BROKERS: stack.brokers, TOPIC: namespaceTopic(), COUNT: '6' }
      const { stdout } = await promisify(execFile)(program, ['docs/examples/print_events.py'], { env: environment, timeout: 60_000 })
      const events = stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
      expect(events).toMatchObject([
        { data: { celsius: 21.5 }, site: 'north', device: 'thermometer' },
        { data: { celsius: 31.5 } },
        { id: 'own-1', data: { celsius: 40 } },
        { data_base64: Buffer.from('{"celsius":50}').toString('base64') },
        { id: 'odd', data_base64: Buffer.from('no JSON').toString('base64') },
        { id: 'odd', datacontenttype: 'application/json' },
      ])
    },
    180_000,
  )

  test('RT-05 a target that is missing is said by the API, the metrics and /status, and gets everything once it is there', async () => {
    const state = async () =>
      ((await stack.api('GET', '/namespaces/default/routes/raw')).body as { status: { state: string; error?: string; lag: number } }).status
    await until('the route is held', 60_000, async () => (await state()).error === 'TopicNotFoundError')
    expect(await state()).toMatchObject({ state: 'Held', detail: `the topic ${raw} does not exist` })
    const { ports } = await stack.process('router')
    const ask = async (path: string): Promise<string> => (await fetch(`http://127.0.0.1:${ports.internal}/${path}`)).text()
    const measured = (pattern: RegExp) => until(`${pattern} is measured`, 60_000, async () => pattern.test(await ask('metrics')))
    await measured(/loggerhead_route_blocked\{[^}]*route="raw"[^}]*error="TopicNotFoundError"[^}]*\} 1/)
    expect(JSON.parse(await ask('status')).routes.filter(({ route }: { route: string }) => route === 'raw')[0]).toMatchObject({ state: 'Held' })
    await makeKafkaTopic(stack.brokers, raw, 2)
    const records = await collectRecords(stack.brokers, raw, (found) => found.length === 4, 60_000)
    expect(records.map(({ key, value }) => [key, value?.toString()])).toEqual(
      ['{"celsius":21.5}', '{"celsius":31.5}', '{"celsius":40}', '{"celsius":50}'].map((payload) => ['thermometer', payload]),
    )
    expect(records[0]?.headers).toMatchObject({ mqtt_topic: `${root}/a`, mqtt_qos: '1', mqtt_authentication_name: 'thermometer', mqtt_user_property_unit: 'K' })
    await until('the route runs', 60_000, async () => (await state()).state === 'Running')
    await measured(/loggerhead_mqtt_successful_routed_messages_total(\{[^}]*\})? [1-9]/)
  }, 120_000)

  test('RT-01 the namespace’s own route setting is a route to one of its topics', async () => {
    await put(stack, 'topics/everything', {})
    await stack.api('PUT', '/namespaces/default', { topicSpacesConfiguration: { routeTopicResourceId: '/namespaces/default/topics/everything' } })
    await stack.settled()
    const client = await connect(`${root}-ns`.replace('/', '-'))
    await client.client.publishAsync('anything/at/all', 'x', { qos: 1 })
    await client.end()
    const [record] = await collectRecords(stack.brokers, topic('topic.everything'), (found) => found.length === 1)
    expect(cloudEvent(record as FoundRecord)).toMatchObject({ subject: 'anything/at/all', source: 'default' })
    expect(record?.headers.loggerhead_route).toMatch(/^\$namespace@/)
    await stack.api('PUT', '/namespaces/default', { topicSpacesConfiguration: {} })
  })
})

describe('life cycle events', () => {
  test('a connection and its end share a sequence number, which grows with each connection; the reason is said', async () => {
    const id = `life-${randomBytes(4).toString('hex')}`
    const told = (count: number) => awaitEvents((subject) => subject === `clients/liv/sessions/${id}`, count)
    const orderly = await connect(id, { username: 'liv' })
    await orderly.client.endAsync()
    // Else the next connection may be taken before the end of this one is seen.
    await told(2)
    const lost = await connect(id, { username: 'liv' })
    lost.client.stream.destroy()
    await told(4)
    const taken = await connect(id, { username: 'liv' })
    const last = await connect(id, { username: 'liv' })
    await taken.closed()
    expect(taken.closeCode).toBe(0x8e)
    const events = await told(7)
    await last.end()
    const said = events.map(({ type, data }) =>
      `${data.sequenceNumber} ${type.replace('Microsoft.EventGrid.MQTTClientSession', '')} ${data.disconnectionReason ?? ''}`.trim(),
    )
    expect(said.slice(0, 7)).toEqual([
      '1 Connected',
      '1 Disconnected ClientInitiatedDisconnect',
      '2 Connected',
      '2 Disconnected ConnectionLost',
      '3 Connected',
      '3 Disconnected SessionTakenOver',
      '4 Connected',
    ])
    expect(events[0]?.data).toMatchObject({ namespaceName: 'default', clientAuthenticationName: 'liv', clientSessionName: id, sequenceNumber: 1 })
    expect(Object.keys(events[0]?.data ?? {})).not.toContain('disconnectionReason')
  })

  test('a client resource that is created, changed and deleted is told', async () => {
    const name = `res-${randomBytes(4).toString('hex')}`
    await put(stack, `clients/${name}`, clientBody(name, { floor: 3 }))
    const created = await awaitEvents((subject) => subject === `clients/${name}`, 1)
    expect(created[0]).toMatchObject({
      type: 'Microsoft.EventGrid.MQTTClientCreatedOrUpdated',
      data: { namespaceName: 'default', clientName: name, clientAuthenticationName: name, state: 'Enabled', attributes: { floor: 3 } },
    })
    await remove(stack, `clients/${name}`)
    const all = await awaitEvents((subject) => subject === `clients/${name}`, 2)
    expect(all.at(-1)).toMatchObject({ type: 'Microsoft.EventGrid.MQTTClientDeleted', data: { clientName: name, clientAuthenticationName: name } })
  })
})
