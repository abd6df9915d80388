/** A client's data from its publish to its erasure, seen by those who read it: subscribers, the HTTP API, and any Kafka client. */
import { execFile } from 'node:child_process'
import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt'
import type { VerifyReport } from '../../../audit/verify.ts'
import { type Stack, startStack, until } from '../../support/stack.ts'
import { readRecords } from '../../wire/kafka-log.ts'
import { readAll } from '../../wire/kafka-records.ts'

const project = join(import.meta.dirname, '../../..')

let stack: Stack
let folder: string
const clients: MqttClient[] = []
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'loggerhead-erasure-'))
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  await writeFile(join(folder, 'private.pem'), privateKey.export({ format: 'pem', type: 'pkcs8' }))
  await writeFile(join(folder, 'public.pem'), publicKey.export({ format: 'pem', type: 'spki' }))
  const chains = { AUDIT_CHAIN: 'messages,lifecycle,sessions,inbox', AUDIT_KEY: join(folder, 'private.pem') }
  stack = await startStack({ environment: { ERASABLE_ATTRIBUTE: 'personal', GATEWAYS: '2', ...chains } })
}, 180_000)
afterAll(async () => {
  await Promise.all(clients.map((client) => client.endAsync(true)))
  await stack?.stop()
  if (folder) await rm(folder, { recursive: true })
}, 90_000)

async function call(method: string, path: string, body?: object): Promise<unknown> {
  const answer = await fetch(`${stack.url}/namespaces/default/${path}`, {
    method,
    headers: { authorization: `Bearer ${stack.apiKey}`, ...(body && { 'content-type': 'application/json' }) },
    ...(body && { body: JSON.stringify(body) }),
  })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
  return text
}

/** A client, and what it was sent. The second gateway listens 10 above the first. */
async function connect(clientId: string, gateway: 0 | 1, options: IClientOptions = {}): Promise<{ readonly client: MqttClient; readonly got: string[] }> {
  const got: string[] = []
  const client = await connectAsync(`mqtt://127.0.0.1:${stack.ports.mqtt + 10 * gateway}`, {
    clientId,
    protocolVersion: 5,
    reconnectPeriod: 0,
    ...options,
  }).catch((error: Error) => {
    throw new Error(`${clientId} cannot connect: ${error.message}`)
  })
  clients.push(client)
  client.on('message', (topic, payload, { properties }) => got.push(`${topic} ${payload}${JSON.stringify(properties?.userProperties ?? {})}`))
  return { client, got }
}

/** What an auditor's command says of the log. */
function verify(): Promise<{ readonly code: number; readonly report: Pick<VerifyReport, 'findings' | 'proven'> }> {
  const args = [join(project, 'cli/main.ts'), 'audit', 'verify', '--json', '--key', join(folder, 'public.pem')]
  const environment = { ...process.env, KAFKA_BROKERS: stack.brokers, LOGGERHEAD_PREFIX: stack.prefix }
  return new Promise((resolve, reject) => {
    execFile(process.execPath, args, { env: environment, maxBuffer: 16 * 1024 * 1024 }, (error, stdout, stderr) => {
      if (stdout === '') reject(new Error(stderr))
      else resolve({ code: error ? Number(error.code) : 0, report: JSON.parse(stdout) })
    })
  })
}

/** Messages that a gateway found to be erased. */
async function erasedAt(gateway: 0 | 1): Promise<number> {
  const { ports } = await stack.process(gateway === 0 ? 'gateway' : 'gateway-2')
  const metrics = await (await fetch(`http://127.0.0.1:${ports.internal}/metrics`)).text()
  return Number(/^loggerhead_erased_messages_total(?:\{.*\})? (\d+)/m.exec(metrics)?.[1] ?? Number.NaN)
}

/** Whether what is retained of the client reaches nobody at a gateway any more: gateways hear of an erasure a moment after it. */
async function hasForgotten(gateway: 0 | 1): Promise<boolean> {
  const before = await erasedAt(gateway)
  const probe = await connect(`probe-${gateway}-${before}-${Date.now()}`, gateway)
  await probe.client.subscribeAsync('people/ada', { qos: 1 })
  await until('what is retained is sent, or found to be erased', 60_000, async () => probe.got.length > 0 || (await erasedAt(gateway)) > before)
  await probe.client.endAsync()
  return probe.got.length === 0
}

async function history(): Promise<readonly { readonly payload?: string; readonly erased?: true }[]> {
  const lines = String(await call('GET', 'history?topicFilter=people/%23'))
    .trim()
    .split('\n')
  return lines.map((line) => JSON.parse(line)).filter(({ end }) => end === undefined)
}

/** Routes everything of people, as it stands in the log and as it was published, and subscribes to both targets. */
async function routeBoth(): Promise<void> {
  for (const sealed of ['keep', 'open']) {
    await call('PUT', `topics/people-${sealed}`, {})
    await call('PUT', `topics/people-${sealed}/eventSubscriptions/all`, { deliveryConfiguration: { deliveryMode: 'Queue' } })
    await call('PUT', `routes/people-${sealed}`, { topicFilters: ['people/#'], target: { topic: `people-${sealed}` }, sealed })
  }
}

/** What the event subscription of a target has been given by now, as text: at least so many events, each once or more often. */
async function events(topic: string, count: number): Promise<readonly string[]> {
  const got = new Map<string, string>()
  const url = `${stack.url}/topics/${topic}/eventsubscriptions/all:receive?maxEvents=100&maxWaitTime=10`
  await until(`${count} events of ${topic}`, 60_000, async () => {
    const response = await fetch(url, { method: 'POST', headers: { authorization: `SharedAccessKey ${stack.apiKey}` } })
    const body = await response.text()
    if (response.status === 200) {
      const { value } = JSON.parse(body) as { readonly value: readonly { readonly event: { readonly id: string; readonly data_base64: string } }[] }
      for (const { event } of value) got.set(event.id, Buffer.from(event.data_base64, 'base64').toString('latin1'))
    } else if (![404, 503].includes(response.status)) throw new Error(`${response.status} ${body}`)
    return got.size >= count
  })
  return [...got.values()].sort()
}

async function unopened(route: string): Promise<number> {
  return (JSON.parse(String(await call('GET', `routes/${route}`))) as { readonly status: { readonly unopened: number } }).status.unopened
}

test('what a client publishes reaches everybody as it was and stands sealed in the log; once the client is erased, neither queues, retained messages, replays nor the API have it, and the audit chains verify', async () => {
  const password = 'correct-horse-battery'
  await call('PUT', 'clients/ada', {
    attributes: { personal: 1 },
    clientCertificateAuthentication: { validationScheme: 'SubjectMatchesAuthenticationName' },
    passwordAuthentication: { password },
  })
  await call('PUT', 'topicSpaces/people', { topicTemplates: ['people/#'] })
  for (const permission of ['Publisher', 'Subscriber', 'Replayer']) {
    await call('PUT', `permissionBindings/people-${permission.toLowerCase()}`, { clientGroupName: '$all', topicSpaceName: 'people', permission })
    await call('PUT', `permissionBindings/anyone-${permission.toLowerCase()}`, { clientGroupName: '$anonymous', topicSpaceName: 'people', permission })
  }
  await routeBoth()
  await stack.settled()
  const live = await connect('live', 1)
  await live.client.subscribeAsync('people/#', { qos: 1 })
  const session = { clean: false, properties: { sessionExpiryInterval: 3600 } }
  const away = await connect('away', 0, session)
  await away.client.subscribeAsync('people/#', { qos: 1 })
  await away.client.endAsync()

  const will = { topic: 'people/ada/will', payload: Buffer.from('last words of ada'), qos: 1 as const, retain: false }
  const ada = await connect('ada', 0, { username: 'ada', password, will })
  await ada.client.publishAsync('people/ada', 'temperature of ada: 36.9', { qos: 1, retain: true, properties: { userProperties: { patient: 'ada lovelace' } } })
  await ada.client.publishAsync('people/ada', 'temperature of ada: 37.2', { qos: 2, retain: true, properties: { userProperties: { patient: 'ada lovelace' } } })
  ada.client.stream.destroy()
  const patient = '{"patient":"ada lovelace"}'
  const all = [`people/ada temperature of ada: 36.9${patient}`, `people/ada temperature of ada: 37.2${patient}`, 'people/ada/will last words of ada{}']
  await until(`everything arrives: ${live.got}`, 60_000, async () => live.got.length === 3)
  expect([...live.got].sort()).toEqual(all)
  expect((await history()).map(({ payload }) => payload).sort()).toEqual(['last words of ada', 'temperature of ada: 36.9', 'temperature of ada: 37.2'])
  const kept = Buffer.from('temperature of ada: 37.2').toString('base64')
  await until('it is retained', 60_000, async () => String(await call('GET', 'retainedMessages/people%2Fada').catch(() => '')).includes(kept))

  // As any Kafka client has it, wherever a copy may be.
  for (const kind of ['messages', 'sessions', 'retained', 'inbox', 'snapshots', 'lifecycle']) {
    const values = (await readAll(stack.brokers, `${stack.prefix}.default.${kind}`)).map(({ value }) => value ?? Buffer.alloc(0))
    expect({ kind, clear: values.filter((value) => /temperature of ada|last words|lovelace/.test(value.toString('latin1'))) }).toEqual({ kind, clear: [] })
  }
  expect(await readRecords(stack.brokers, `${stack.prefix}.default.keys`, 'ClientKey')).toHaveLength(1)

  // A route hands on what is sealed, or what was published if it is told to; so do the subscriptions of its target.
  expect(await events('people-open', 3)).toEqual(['last words of ada', 'temperature of ada: 36.9', 'temperature of ada: 37.2'])
  const sealedEvents = await events('people-keep', 3)
  expect(sealedEvents.map((data) => data.slice(1, 7))).toEqual(Array.from({ length: 3 }, () => 'LHSEAL'))

  const late = await connect('ada-late', 0, { username: 'ada', password, will: { ...will, topic: 'people/ada/late' } })

  expect(JSON.parse(String(await call('POST', 'clients/ada:erase')))).toEqual({ erasedKeys: 1 })
  expect((await history()).map(({ payload, erased }) => [payload, erased])).toEqual(Array.from({ length: 3 }, () => ['', true]))
  expect(JSON.parse(String(await call('GET', 'retainedMessages/people%2Fada')))).toMatchObject({ properties: { payload: '', erased: true } })

  for (const gateway of [0, 1] as const) await until(`gateway ${gateway} has forgotten the key`, 60_000, () => hasForgotten(gateway))

  // A will that was sealed before goes into the log, and is delivered to nobody: the gateway of `live` counts it.
  const erasedBefore = await erasedAt(1)
  late.client.stream.destroy()
  await until('the will is found to be erased', 60_000, async () => (await erasedAt(1)) > erasedBefore)
  expect(await history()).toContainEqual(expect.objectContaining({ topic: 'people/ada/late', payload: '', erased: true }))
  await until('the route that opens has left it out', 60_000, async () => (await unopened('people-open')) >= 1)

  // What was owed, retained or is asked for again is not there any more; what others publish is.
  const back = await connect('away', 1, session)
  const fresh = await connect('fresh', 0)
  await fresh.client.subscribeAsync(['people/#', '$replay/-PT1H/people/ada'], { qos: 1 })
  await live.client.publishAsync('people/bob', 'still here', { qos: 1, retain: false })
  await until('what others publish arrives', 60_000, async () => [back.got, fresh.got].every((got) => got.includes('people/bob still here{}')))
  const later = await connect('ada', 1, { username: 'ada', password })
  await later.client.publishAsync('people/ada', 'afterwards', { qos: 1 })
  await until('what it publishes afterwards arrives', 60_000, async () => [back.got, fresh.got].every((got) => got.includes('people/ada afterwards{}')))
  for (const { got } of [back, fresh]) expect(got.filter((each) => !/^\$replay\/end |still here|afterwards/.test(each))).toEqual([])
  expect(live.got.filter((each) => each.startsWith('people/ada/late'))).toEqual([])
  const inLog = (await readRecords(stack.brokers, `${stack.prefix}.default.messages`, 'Message')).map(({ value }) => value.topic)
  expect(inLog.filter((topic) => topic === 'people/ada')).toHaveLength(3)

  // The log did not change: its chains say so, all topics of all shards.
  await until('all messages are in checkpoints', 60_000, async () => {
    const { code, report } = await verify()
    // Until each shard has its first checkpoint, nothing proves it.
    if (code !== 0) return false
    const ofMessages = report.proven.filter(({ topic }) => topic === `${stack.prefix}.default.messages`)
    return ofMessages.length === 4 && ofMessages.every(({ waiting }) => waiting === 0)
  })
}, 180_000)
