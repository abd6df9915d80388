/** Namespace topics and pull delivery with Azure's own SDK, against `npm start` with two routers. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'

import { AzureKeyCredential, type CloudEvent, EventGridReceiverClient, EventGridSenderClient, type ReceiveDetails } from '@azure/eventgrid-namespaces'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { KafkaLog } from '../../log/kafka/kafka-log.ts'
import { findFreePorts } from '../../stack/ports.ts'
import { type Stack, startStack, until } from '../support/stack.ts'

const project = dirname(dirname(import.meta.dirname))
let stack: Stack
let https: number
const key = () => new AzureKeyCredential(stack.apiKey)
const tls = () => ({ tlsOptions: { ca: readFileSync(stack.certificates.ca, 'utf8') } })
const endpoint = () => `https://localhost:${https}`
const sender = (topic = 'doors') => new EventGridSenderClient(endpoint(), key(), topic, tls())
const receiver = (subscription: string, topic = 'doors') => new EventGridReceiverClient(endpoint(), key(), topic, subscription, tls())
const opened = (id: string, more: object = {}): CloudEvent<unknown> => ({ id, source: '/doors', type: 'door.opened', data: { id }, ...more })

async function put(path: string, body: object = {}): Promise<void> {
  const { status, body: answer } = await stack.api('PUT', `/namespaces/default/topics/${path}`, body)
  if (status >= 300) throw new Error(JSON.stringify(answer))
}
const subscribe = (name: string, queue: object = {}, more: object = {}, topic = 'doors'): Promise<void> =>
  put(`${topic}/eventSubscriptions/${name}`, { deliveryConfiguration: { deliveryMode: 'Queue', queue }, ...more })

/** Receives until there are as many; the router may hear of a subscription a moment after it was made. */
async function receive(subscription: string, count: number, topic = 'doors'): Promise<readonly ReceiveDetails<unknown>[]> {
  const all: ReceiveDetails<unknown>[] = []
  await until(`${count} events of ${subscription}`, 60_000, async () => {
    const answer = await receiver(subscription, topic)
      .receiveEvents({ maxEvents: count - all.length, maxWaitTime: 10 })
      .catch((error: { readonly statusCode?: number }) => {
        if (error.statusCode === 404 || error.statusCode === 503) return { details: [] }
        throw error
      })
    all.push(...(answer.details as ReceiveDetails<unknown>[]))
    return all.length >= count
  })
  return all
}
const tokens = (received: readonly ReceiveDetails<unknown>[]) => received.map(({ brokerProperties }) => brokerProperties.lockToken)
const ids = (received: readonly ReceiveDetails<unknown>[]) => received.map(({ event }) => event.id).sort()

/** The gateway may hear of a topic a moment after it was made. */
async function send(events: CloudEvent<unknown> | CloudEvent<unknown>[]): Promise<void> {
  await until('the topic is known', 60_000, () =>
    sender()
      .sendEvents(events as CloudEvent<unknown>)
      .then(
        () => true,
        (error: { readonly statusCode?: number }) => {
          if (error.statusCode === 410) return false
          throw error
        },
      ),
  )
}

beforeAll(async () => {
  const [port = 0] = await findFreePorts(1)
  https = port
  stack = await startStack({ environment: { ROUTERS: '2', HTTPS_PORT: String(https) } })
  await put('dead')
  await put('doors', { partitions: 2 })
}, 180_000)
afterAll(() => stack?.stop())

test('NT-02, NT-07 what the SDK sends, one event, a batch and bytes, it receives', async () => {
  await subscribe('all')
  await send(opened('1', { subject: 'front', time: new Date(1_700_000_000_000) }))
  await send([opened('2'), opened('3', { data: new Uint8Array([0, 1, 255]), dataContentType: 'application/octet-stream' })])
  const received = await receive('all', 3)
  expect(ids(received)).toEqual(['1', '2', '3'])
  const of = (id: string) => received.find(({ event }) => event.id === id)?.event
  expect(of('1')).toMatchObject({
    source: '/doors',
    type: 'door.opened',
    subject: 'front',
    time: new Date(1_700_000_000_000),
    data: { id: '1' },
  })
  // The SDK shows bytes as base64, and neither sends nor shows extension attributes.
  expect(of('3')?.data).toBe(Buffer.from([0, 1, 255]).toString('base64'))
  expect(received.every(({ brokerProperties }) => brokerProperties.deliveryCount === 1)).toBe(true)
  const { succeededLockTokens, failedLockTokens } = await receiver('all').acknowledgeEvents(tokens(received))
  expect([new Set(succeededLockTokens), failedLockTokens]).toEqual([new Set(tokens(received)), []])
  const again = await receiver('all').acknowledgeEvents([tokens(received)[0]!])
  expect(again.failedLockTokens).toMatchObject([{ error: { code: 'TokenLost' } }])
})

test('a lock is renewed, a released event comes again, and a rejected one is a dead letter that a subscription can receive', async () => {
  const deadLetterDestination = { endpointType: 'KafkaTopic', properties: { topicName: `${stack.prefix}.default.topic.dead` } }
  await subscribe('letters', {}, {}, 'dead')
  await subscribe(
    'strict',
    { deadLetterDestinationWithResourceIdentity: { deadLetterDestination } },
    { filtersConfiguration: { includedEventTypes: ['strict'] } },
  )
  await send([opened('no'), opened('r', { type: 'strict' })])
  const first = await receive('strict', 1)
  expect((await receiver('strict').renewEventLocks(tokens(first))).succeededLockTokens).toEqual(tokens(first))
  expect((await receiver('strict').releaseEvents(tokens(first), { releaseDelay: '0' })).succeededLockTokens).toEqual(tokens(first))
  const second = await receive('strict', 1)
  expect(second[0]?.brokerProperties.deliveryCount).toBe(2)
  expect((await receiver('strict').rejectEvents(tokens(second))).succeededLockTokens).toEqual(tokens(second))
  const dead = await until('a dead letter', 60_000, async () => {
    const authorization = `SharedAccessKey ${stack.apiKey}`
    const answer = await fetch(`${stack.url}/topics/dead/eventsubscriptions/letters:receive?maxWaitTime=10`, { method: 'POST', headers: { authorization } })
    // The router may hear of the subscription a moment after it was made.
    return ((await answer.json()) as { readonly value?: readonly { readonly event: object }[] }).value?.[0]?.event
  })
  expect(dead).toMatchObject({ id: 'r', type: 'strict', deadletterreason: 'Rejected by the consumer', deliveryattempts: 2, data: { id: 'r' } })
})

test('the commands of docs/topics.md work as they stand', async () => {
  const commands = [...readFileSync(join(project, 'docs/topics.md'), 'utf8').matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, text]) => text as string)
  const folder = await mkdtemp(join(tmpdir(), 'loggerhead-topics-'))
  try {
    await symlink(stack.folder, join(folder, '.data'))
    const script = commands.join('\n').replaceAll('http://127.0.0.1:8080', stack.url).replaceAll('doors', 'gates')
    const { stdout } = await promisify(execFile)('bash', ['-euc', script], { cwd: folder })
    expect(stdout).toContain('"source":"/building/7"')
    expect(stdout).toMatch(/"failedLockTokens":\[\],"succeededLockTokens":\["[\w-]+"\]/)
  } finally {
    await rm(folder, { recursive: true })
  }
})

test('NT-04 the SDK is told of a topic that is not there, of a wrong key, and of events that are none', async () => {
  await expect(sender('nowhere').sendEvents(opened('1'))).rejects.toMatchObject({ statusCode: 410 })
  const stranger = new EventGridSenderClient(endpoint(), new AzureKeyCredential('wrong'), 'doors', tls())
  await expect(stranger.sendEvents(opened('1'))).rejects.toMatchObject({ statusCode: 401 })
  await expect(sender().sendEvents(opened('1', { type: '' }))).rejects.toMatchObject({ statusCode: 400 })
  const large = opened('1', { data: 'x'.repeat(1_048_577) })
  await expect(sender().sendEvents(large)).rejects.toMatchObject({ statusCode: 403 })
})

test('an event that any Kafka client wrote is received, and what is no event holds nothing up', async () => {
  await subscribe('foreign', {}, { filtersConfiguration: { includedEventTypes: ['foreign'] } })
  const log = new KafkaLog({ brokers: [stack.brokers], clientId: 'foreign', logger: { debug() {}, info() {}, warn() {}, error() {} } })
  const appender = await log.appender()
  const header = (name: string, value: string) => ({ name, value: Buffer.from(value) })
  const headers = [
    header('ce_specversion', '1.0'),
    header('ce_id', 'k'),
    header('ce_source', 'kafka'),
    header('ce_type', 'foreign'),
    header('content-type', 'application/json'),
  ]
  const record = { topic: `${stack.prefix}.default.topic.doors`, partition: 0, key: null, timestamp: Date.now() }
  await appender.write({ ...record, value: Buffer.from('nonsense') })
  await appender.write({ ...record, value: Buffer.from('{"n":1}'), headers })
  expect((await receive('foreign', 1))[0]?.event).toMatchObject({ id: 'k', source: 'kafka', data: { n: 1 } })
  await log.close()
})

test('locks survive the death of every router between receiving and acknowledging, and what was acknowledged does not come again', async () => {
  await subscribe('tough', { receiveLockDurationInSeconds: 300 }, { filtersConfiguration: { includedEventTypes: ['tough'] } })
  await send(['a', 'b', 'c'].map((id) => opened(id, { type: 'tough' })))
  const received = await receive('tough', 3)
  expect((await receiver('tough').acknowledgeEvents([tokens(received)[0]!])).succeededLockTokens).toHaveLength(1)
  const killed = await Promise.all(['router', 'router-2'].map(async (name) => [name, await stack.kill(name)] as const))
  for (const [name, pid] of killed) await stack.restarted(name, pid)
  const left = tokens(received).slice(1)
  const settled = await until('a router has the subscription', 60_000, () =>
    receiver('tough')
      .acknowledgeEvents(left)
      .catch((error: { readonly statusCode?: number }) => {
        if (error.statusCode === 503 || error.statusCode === 404) return undefined
        throw error
      }),
  )
  expect([new Set(settled.succeededLockTokens), settled.failedLockTokens]).toEqual([new Set(left), []])
  await send(opened('d', { type: 'tough' }))
  expect(ids(await receive('tough', 1))).toEqual(['d'])
})
