import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type Stack, startStack, until } from '../support/stack.ts'
import { readRecords } from '../wire/kafka-log.ts'
import { JsClient } from './mqttjs.ts'
import { clientBody, put, remove } from './registered.ts'

let stack: Stack
const topic = (name: string) => `${stack.prefix}.default.${name}`

beforeAll(async () => {
  stack = await startStack()
}, 180_000)

afterAll(async () => {
  await stack?.stop()
}, 60_000)

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
  await until(`${count} life cycle events`, 30_000, async () => {
    last = await eventsOf(matches)
    return last.length >= count
  }).catch((error: Error) => {
    throw new Error(`${error.message}: ${JSON.stringify(last)}`)
  })
  return last
}

describe('life cycle events', () => {
  test('a connection and its end share a sequence number, which grows with each connection; the reason is said', async () => {
    const id = `life-${randomBytes(4).toString('hex')}`
    const orderly = await connect(id, { username: 'liv' })
    await orderly.client.endAsync()
    const lost = await connect(id, { username: 'liv' })
    lost.client.stream.destroy()
    await lost.closed()
    const taken = await connect(id, { username: 'liv' })
    const last = await connect(id, { username: 'liv' })
    await taken.closed()
    expect(taken.closeCode).toBe(0x8e)
    const events = await awaitEvents((subject) => subject === `clients/liv/sessions/${id}`, 7)
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
