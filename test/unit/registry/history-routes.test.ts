import { afterEach, beforeEach, describe, expect, test } from '@jest/globals'
import { partitionOf } from '../../../log/partitioner.ts'
import type { Message } from '../../../schemas/message.ts'
import { encodeMessage } from '../../../schemas/message-record.ts'
import { loggedMessage } from '../../support/logged-message.ts'
import { ApiHarness, ownersKey } from './harness.ts'

const partitions = 4
const start = Date.parse('2026-01-31T12:00:00Z')
let api: ApiHarness

beforeEach(async () => {
  api = await ApiHarness.open({ KAFKA_PARTITIONS: String(partitions), HISTORY_STREAMS_MAX: '2' })
})
afterEach(() => api.close())

const message = (topic: string, payload: string | Buffer, but: Partial<Message> = {}): Message =>
  loggedMessage({
    clientId: 'pump',
    receivedAt: start,
    topic,
    authenticationName: 'Pump',
    gateway: 'gateway-1',
    payload: Buffer.from(payload),
    ...but,
  })

async function publish(...messages: Message[]): Promise<void> {
  const appender = await api.log.appender()
  for (const each of messages) {
    const key = Buffer.from(each.topic)
    await appender.write({
      topic: api.topics.messages,
      partition: partitionOf(key, partitions),
      key,
      value: Buffer.from(encodeMessage(each)),
      timestamp: each.receivedAt,
    })
  }
  await appender.close()
}

interface Line {
  readonly payload?: string
  readonly topic?: string
  readonly cursor: string
  readonly end?: true
}

const ask = (query: Record<string, string>, key = ownersKey) =>
  api.app.inject({ method: 'GET', url: `/namespaces/default/history?${new URLSearchParams(query)}`, headers: { authorization: `Bearer ${key}` } })

async function lines(query: Record<string, string>): Promise<readonly Line[]> {
  const answer = await ask(query)
  expect([answer.statusCode, answer.headers['content-type']]).toEqual([200, 'application/x-ndjson'])
  return answer.body
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)
}
const payloads = (all: readonly Line[]): string[] => all.flatMap(({ payload }) => payload ?? [])
const from = '2026-01-31T00:00:00Z'

test('what was published is told a line each, with where it stands and when, by whom and through which gateway it came', async () => {
  await publish(
    message('a/1', 'one', { contentType: 'text/plain', userProperties: [{ name: 'x', value: 'y' }], messageExpiryInterval: 1 }),
    message('a/1', Buffer.from([0xff, 0]), { receivedAt: start + 1_000 }),
    message('b/1', 'another'),
  )
  const source = partitionOf('a/1', partitions)
  const all = await lines({ topicFilter: 'a/1', from })
  expect(all).toEqual([
    {
      position: `${source}:0`,
      messageId: '0'.repeat(32),
      receivedAt: '2026-01-31T12:00:00.000Z',
      topic: 'a/1',
      qos: 1,
      retain: false,
      clientId: 'pump',
      authenticationName: 'Pump',
      gateway: 'gateway-1',
      protocolVersion: 5,
      messageExpiryInterval: 1,
      contentType: 'text/plain',
      userProperties: [{ name: 'x', value: 'y' }],
      payload: 'one',
      cursor: `${source}:1`,
    },
    expect.objectContaining({ position: `${source}:1`, payloadBase64: '/wA=', cursor: `${source}:2` }),
    { end: true, cursor: expect.stringMatching(new RegExp(`^${source}:\\d$`)) },
  ])
})

test('a CloudEvent stands on each line where that is asked for', async () => {
  await publish(message('a/1', 'one', { contentType: 'text/plain' }))
  const source = partitionOf('a/1', partitions)
  const [event] = await lines({ topicFilter: 'a/#', from, format: 'cloudevents' })
  expect(event).toMatchObject({
    specversion: '1.0',
    id: `${source}:0`,
    source: '/namespaces/default',
    type: 'MQTT.EventPublished',
    subject: 'a/1',
    time: '2026-01-31T12:00:00.000Z',
    datacontenttype: 'text/plain',
    data: 'one',
    clientid: 'pump',
  })
})

test('whoever stops at a line goes on behind it with its cursor, and misses nothing', async () => {
  await publish(...Array.from({ length: 200 }, (_, i) => message(`a/${i % 7}`, String(i), { receivedAt: start + i })))
  const whole = await lines({ topicFilter: 'a/+', from })
  expect(payloads(whole)).toHaveLength(200)
  for (const at of [0, 57, 198]) {
    const rest = await lines({ topicFilter: 'a/+', from: (whole[at] as Line).cursor })
    expect(new Set([...payloads(whole.slice(0, at + 1)), ...payloads(rest)]).size).toBe(200)
    expect(payloads(rest)).toHaveLength(200 - at - 1)
  }
  const limited = await lines({ topicFilter: 'a/+', from, limit: '30' })
  expect(payloads(limited)).toHaveLength(30)
  expect(payloads(await lines({ topicFilter: 'a/+', from: (limited.at(-1) as Line).cursor }))).toHaveLength(170)
})

test('who asks for it is told at the beginning from where to where it goes, and while nothing matches how far it is', async () => {
  await publish(...Array.from({ length: 40 }, (_, i) => message('a', String(i), { clientId: i === 39 ? 'last' : 'pump' })))
  const source = partitionOf('a', partitions)
  const { read } = api.log
  api.log.read = (topic, partition, offset) => read.call(api.log, topic, partition, offset, 1)
  const all = await lines({ from, topicFilter: 'a', client: 'last', progress: 'true' })
  expect(all[0]).toEqual({ progress: true, cursor: `${source}:0`, to: `${source}:40` })
  const told = all.slice(1, -2)
  expect(told.length).toBeGreaterThan(1)
  for (const each of told) expect(each).toEqual({ progress: true, cursor: expect.any(String) })
  expect(payloads(await lines({ from: (told.at(-1) as Line).cursor, topicFilter: 'a', client: 'last' }))).toEqual(['39'])
  expect(all.slice(-2)).toEqual([expect.objectContaining({ payload: '39' }), { end: true, cursor: `${source}:40` }])
})

test('time, publisher and filter bound what is told', async () => {
  await publish(...Array.from({ length: 20 }, (_, i) => message('a', String(i), { receivedAt: start + i * 1_000, clientId: i % 2 === 0 ? 'even' : 'odd' })))
  const at = (second: number): string => new Date(start + second * 1_000).toISOString()
  expect(payloads(await lines({ from: at(5), to: at(9) }))).toEqual(['5', '6', '7', '8'])
  expect(payloads(await lines({ from: at(5), to: at(9), client: 'odd' }))).toEqual(['5', '7'])
  expect(payloads(await lines({ from, topicFilter: 'b/#' }))).toEqual([])
  const source = partitionOf('a', partitions)
  expect(payloads(await lines({ from: `${source}:3`, to: `${source}:5` }))).toEqual(['3', '4'])
})

test.each([
  [{ from: 'yesterday' }, 'from'],
  [{ to: '0:x' }, 'to'],
  [{ from: '-PT1H', to: '-PT2H' }, 'to: a place not before from; '],
  [{ to: '-PT2H' }, 'to: a place not before from (which is -PT1H when it is not given); '],
  [{ from: '0:5', to: '0:4' }, 'to: a place not before from; 0:4 is before 0:5'],
  [{ topicFilter: 'a/#/b' }, 'topicFilter'],
  [{ topicFilter: '$share/g/a' }, 'topicFilter'],
  [{ limit: '0' }, 'limit'],
  [{ limit: 'many' }, 'limit'],
  [{ format: 'xml' }, 'format'],
  [{ progress: 'yes' }, 'progress'],
  [{ access: 'then' }, 'access'],
  [{ as: '', access: 'then' }, 'as'],
  [{ as: 'pump', access: 'once' }, 'access'],
  [{ fromm: '-PT1H' }, 'fromm'],
] as [Record<string, string>, string][])('%j is refused and named', async (query, field) => {
  const answer = await ask(query)
  expect(answer.statusCode).toBe(400)
  expect(answer.body).toContain(field)
})

test('nobody without a key of an operator reads the past', async () => {
  expect((await ask({}, 'wrong-key-altogether')).statusCode).toBe(401)
})

test('HISTORY_STREAMS_MAX: one stream too many is refused, and has its turn when another is over', async () => {
  const blocked: (() => void)[] = []
  const { read } = api.log
  api.log.read = async (...args) => {
    await new Promise<void>((resolve) => blocked.push(resolve))
    return read.apply(api.log, args)
  }
  await publish(message('a', 'one'))
  const streams = [ask({ from, topicFilter: 'a' }), ask({ from, topicFilter: 'a' })]
  while (blocked.length < 2) await new Promise(setImmediate)
  expect((await ask({ from })).statusCode).toBe(503)
  expect(api.limits).toContain('HISTORY_STREAMS_MAX')
  api.log.read = read
  for (const resume of blocked) resume()
  for (const each of await Promise.all(streams)) expect(each.statusCode).toBe(200)
  expect(payloads(await lines({ from, topicFilter: 'a' }))).toEqual(['one'])
})

test('a stream whose reader has gone reads no further, and another has its turn', async () => {
  const blocked: (() => void)[] = []
  const { read } = api.log
  api.log.read = async (...args) => {
    if (args[0] !== api.topics.messages) return read.apply(api.log, args)
    await new Promise<void>((resolve) => blocked.push(resolve))
    return read.call(api.log, args[0], args[1], args[2], 1)
  }
  await publish(message('a', 'one'), message('a', 'another'))
  const address = await api.app.listen({ port: 0, host: '127.0.0.1' })
  const leaving = new AbortController()
  const asked = { headers: { authorization: `Bearer ${ownersKey}` }, signal: leaving.signal }
  const nothing = new URLSearchParams({ from, topicFilter: 'a', client: 'nobody' })
  const streams = [0, 1].map(() => fetch(`${address}/namespaces/default/history?${nothing}`, asked))
  while (blocked.length < 2) await new Promise(setImmediate)
  leaving.abort()
  for (const each of await Promise.allSettled(streams)) expect(each.status).toBe('rejected')
  const connections = () => new Promise((resolve) => api.app.server.getConnections((_, count) => resolve(count)))
  while ((await connections()) !== 0) await new Promise(setImmediate)
  for (const resume of blocked.splice(0)) resume()
  // Whatever reads on is held for ever: only a stream that is over gives its place to one that has nothing to read.
  while ((await ask({ from, to: from, topicFilter: 'a' })).statusCode !== 200) await new Promise(setImmediate)
  expect(blocked).toEqual([])
})

test('HEAD reads nothing of the past beyond its beginning', async () => {
  await publish(...Array.from({ length: 50 }, (_, i) => message('a', String(i))))
  const { read } = api.log
  let reads = 0
  // A record each, and none before HEAD is answered.
  const answered: Promise<unknown>[] = []
  api.log.read = async (topic, partition, offset) => {
    reads++
    await Promise.all(answered)
    return read.call(api.log, topic, partition, offset, 1)
  }
  const head = () => api.app.inject({ method: 'HEAD', url: `/namespaces/default/history?from=${from}`, headers: { authorization: `Bearer ${ownersKey}` } })
  answered.push(head(), head())
  await Promise.all(answered)
  let readBefore = reads
  while ((await ask({ from, to: from })).statusCode === 503) {
    readBefore = reads
    await new Promise(setImmediate)
  }
  // Of the index and of the messages, for each of the two.
  expect(readBefore).toBeLessThanOrEqual(4)
})

test('what stands before a record that cannot be read is told, and who goes on with the cursor of the error comes past it', async () => {
  const partition = partitionOf('a', partitions)
  await publish(message('a', 'one'))
  const appender = await api.log.appender()
  const cut = Buffer.from(encodeMessage(message('a', 'cut'))).subarray(0, -1)
  await appender.write({ topic: api.topics.messages, partition, key: Buffer.from('a'), value: cut, timestamp: start })
  await appender.close()
  await publish(message('a', 'three'))
  const told = await lines({ from, topicFilter: 'a' })
  expect(told).toEqual([expect.objectContaining({ payload: 'one' }), { error: expect.any(String), cursor: `${partition}:2` }])
  expect(payloads(await lines({ from: (told.at(-1) as Line).cursor, topicFilter: 'a' }))).toEqual(['three'])
})

test('where retention has removed the beginning of what was asked for, the first line and the last say from when on there are messages', async () => {
  const later = start + 60_000
  await publish(message('a', '1'), message('a', '2', { receivedAt: later }), message('a', '3', { receivedAt: later + 1 }))
  const shard = partitionOf(Buffer.from('a'), partitions)
  const last = async (from: string) => (await lines({ from, to: '-PT0S' })).at(-1)
  const first = async (query: Record<string, string>) => (await lines({ from: '2026-01-31T11:00:00Z', ...query }))[0]
  expect(await last('2026-01-31T11:00:00Z')).not.toHaveProperty('since')
  api.store.truncate(api.topics.messages, shard, 1)
  expect(await last('2026-01-31T11:00:00Z')).toMatchObject({ end: true, since: new Date(later).toISOString() })
  expect(await last(`${shard}:0`)).toMatchObject({ since: new Date(later).toISOString() })
  expect(await last(new Date(later).toISOString())).not.toHaveProperty('since')
  expect(await last(`${shard}:1`)).not.toHaveProperty('since')
  const since = new Date(later).toISOString()
  expect(await first({})).toEqual({ since, cursor: expect.stringContaining(`${shard}:1`) })
  expect(await first({ progress: 'true' })).toMatchObject({ progress: true, since })
  expect(await first({ from: since })).toMatchObject({ topic: 'a', payload: '2' })
  // Another partition's beginning is nothing to a filter that is not there.
  const elsewhere = Array.from({ length: 20 }, (_, n) => `b/${n}`).find((topic) => partitionOf(Buffer.from(topic), partitions) !== shard) as string
  expect(await first({ topicFilter: elsewhere })).not.toHaveProperty('since')
})

describe('through the eyes of a client', () => {
  /** A message of the same millisecond as a change came before it. */
  async function later(): Promise<number> {
    for (const now = Date.now(); Date.now() === now; ) await new Promise(setImmediate)
    return Date.now()
  }

  const read = { clientGroupName: '$all', topicSpaceName: 'space', permission: 'Subscriber' }
  const put = async (path: string, body: object): Promise<void> => expect((await api.send('PUT', path, { body })).status).toBe(201)

  /** Messages on a/1 and b/1 before, while and after the pump may subscribe to a/#. */
  async function lived(): Promise<void> {
    await put('clients/pump-1', { authenticationName: 'Pump', clientCertificateAuthentication: { validationScheme: 'SubjectMatchesAuthenticationName' } })
    await put('topicSpaces/space', { topicTemplates: ['a/#'] })
    const publishAll = async (text: string): Promise<void> => {
      const receivedAt = await later()
      await publish(message('a/1', `a ${text}`, { receivedAt }), message('b/1', `b ${text}`, { receivedAt }))
      await later()
    }
    await publishAll('before')
    await put('permissionBindings/read', read)
    await publishAll('meanwhile')
    await api.send('DELETE', 'permissionBindings/read')
    await publishAll('after')
  }

  test('it is what the client may subscribe to now, or could when it came', async () => {
    await lived()
    expect(payloads(await lines({ as: 'pump', access: 'then' }))).toEqual(['a meanwhile'])
    expect(payloads(await lines({ as: 'pump' }))).toEqual([])
    expect(payloads(await lines({ as: 'nobody', access: 'then' }))).toEqual([])
    await put('permissionBindings/read', read)
    expect(payloads(await lines({ as: 'pump' }))).toEqual(['a before', 'a meanwhile', 'a after'])
    expect(payloads(await lines({ as: 'pump', access: 'then' }))).toEqual(['a meanwhile'])
  })

  test('a limit counts what is told, and the cursor goes on behind it', async () => {
    await lived()
    await put('permissionBindings/read', read)
    const told: string[] = []
    let from = '-PT1H'
    for (let i = 0; i < 4; i++) {
      const all = await lines({ as: 'pump', from, limit: '1' })
      told.push(...payloads(all))
      from = all.at(-1)?.cursor as string
    }
    expect(told).toEqual(['a before', 'a meanwhile', 'a after'])
  })

  test('a time from before the registry’s history is refused, with the moment from which there is one', async () => {
    const answer = await ask({ as: 'pump', access: 'then', from: '2000-01-01T00:00:00Z' })
    expect([answer.statusCode, answer.json().detail]).toEqual([410, expect.stringMatching(/history begins at \d{4}-/)])
    expect((await ask({ as: 'pump', from: '2000-01-01T00:00:00Z' })).statusCode).toBe(200)
  })

  test('positions from before it are left out, and the last line says from when on nothing is', async () => {
    const old = Date.now() - 30 * 24 * 3_600_000
    await publish(message('a/1', 'old', { receivedAt: old }))
    const positions = Array.from({ length: partitions }, (_, partition) => `${partition}:0`).join()
    const all = await lines({ as: 'pump', access: 'then', from: positions })
    expect(payloads(all)).toEqual([])
    expect(Date.parse((all.at(-1) as unknown as { since: string }).since)).toBeGreaterThan(old)
  })
})
