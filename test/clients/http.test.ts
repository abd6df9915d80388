/** MQTT over HTTP on a whole stack: through the front door, with curl as docs/http.md has it, and with MQTT.js at the other end. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { type Stack, startStack, until } from '../support/stack.ts'
import { JsClient } from './mqttjs.ts'

const project = dirname(dirname(import.meta.dirname))
const folder = mkdtempSync(join(tmpdir(), 'loggerhead-http-'))
let stack: Stack
let client: JsClient

beforeAll(async () => {
  stack = await startStack({ environment: { ROUTERS: '2', GATEWAYS: '2' } })
  client = await JsClient.connect(`mqtt://127.0.0.1:${stack.ports.mqtt}`, { protocolVersion: 5 })
}, 180_000)

afterAll(async () => {
  await client?.client.endAsync(true)
  await stack?.stop()
  rmSync(folder, { recursive: true })
})

const fresh = () => `sample/${randomBytes(4).toString('hex')}`
const encoded = encodeURIComponent

test('TR-05 HP-01 HP-02 what is published over HTTP arrives at MQTT.js with every property of MQTT 5', async () => {
  const topic = `${fresh()}/düse 7`
  await client.client.subscribeAsync(topic, { qos: 1 })
  const payload = randomBytes(300_000)
  const response = await fetch(`${stack.url}/mqtt/messages?topic=${encoded(topic)}&api-version=2025-02-15-preview`, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-things',
      'mqtt-qos': '1',
      'mqtt-response-topic': encoded('answers/7'),
      'mqtt-correlation-data': Buffer.from([0, 255]).toString('base64'),
      'mqtt-user-properties': Buffer.from('[{"unit":"°C"},{"unit":"K"}]').toString('base64'),
      'mqtt-message-expiry': '600',
      'mqtt-payload-format-indicator': '0',
    },
    body: payload,
  })
  expect([response.status, await response.text()]).toEqual([204, ''])
  await client.until('the message', () => client.arrived.some((arrived) => arrived.topic === topic))
  const arrived = client.arrived.find((each) => each.topic === topic)
  expect(arrived?.payload.equals(payload)).toBe(true)
  expect(arrived?.packet).toMatchObject({ qos: 1, retain: false })
  expect(arrived?.packet.properties).toMatchObject({
    contentType: 'application/x-things',
    responseTopic: 'answers/7',
    correlationData: Buffer.from([0, 255]),
    userProperties: { unit: ['°C', 'K'] },
    messageExpiryInterval: expect.any(Number),
  })
})

test('RE-06 RE-07 what MQTT retains is read over HTTP, from whichever router holds it, page after page; HTTP retains and clears alike', async () => {
  const root = fresh()
  const topics = Array.from({ length: 25 }, (_, i) => `${root}/${String(i).padStart(2, '0')}`)
  for (const topic of topics)
    await client.client.publishAsync(topic, `of ${topic}`, { qos: 1, retain: true, properties: { contentType: 'text/plain', messageExpiryInterval: 3600 } })
  const get = (topic: string) => fetch(`${stack.url}/mqtt/retainedMessages/message?topic=${encoded(topic)}`)
  // PUBACK waits for the log, not for the store.
  for (const topic of topics) await until(`${topic} is retained`, 60_000, async () => (await get(topic)).status === 200)
  const one = await get(topics[3] as string)
  expect([await one.text(), one.headers.get('content-type'), one.headers.get('x-ms-mqtt-topic'), one.headers.get('x-ms-mqtt-size')]).toEqual([
    `of ${topics[3]}`,
    'text/plain',
    topics[3],
    String(3 + (topics[3] as string).length),
  ])
  expect(Date.parse(one.headers.get('x-ms-mqtt-expiry') ?? '')).toBeGreaterThan(Date.parse(one.headers.get('x-ms-mqtt-last-modified') ?? ''))
  const seen: string[] = []
  let next: string | null = `${stack.url}/mqtt/retainedMessages?topicFilter=${encoded(`${root}/+`)}&maxResults=10`
  for (let page = 0; next !== null; page++) {
    const response: Response = await fetch(next)
    const body = (await response.json()) as { readonly nextLink: string | null; readonly retainedMessages: readonly { readonly topic: string }[] }
    expect([response.status, body.retainedMessages.length]).toEqual([200, page < 2 ? 10 : 5])
    seen.push(...body.retainedMessages.map(({ topic }) => topic))
    next = body.nextLink
  }
  expect(seen).toEqual(topics)
  const clear = await fetch(`${stack.url}/mqtt/messages?topic=${encoded(topics[3] as string)}&retain=1`, { method: 'POST' })
  expect(clear.status).toBe(204)
  await until('it is cleared', 60_000, async () => (await get(topics[3] as string)).status === 404)
})

test('HP-04 the front door hands answers on as they are: 403 for the broker’s own topics, 400 with the field, 413 for what no packet may be', async () => {
  const ask = (path: string, init: RequestInit = {}) => fetch(`${stack.url}${path}`, { method: 'POST', ...init })
  expect((await ask('/mqtt/messages?topic=%24SYS/broker/version')).status).toBe(403)
  const wrong = await ask('/mqtt/messages?topic=sample%2F%23')
  expect([wrong.status, await wrong.json()]).toEqual([400, expect.objectContaining({ field: 'topic', value: 'sample/#' })])
  const large = await ask('/mqtt/messages?topic=sample/large', { body: Buffer.alloc(600_000) })
  expect([large.status, large.headers.get('content-type')]).toEqual([413, 'application/problem+json'])
  expect((await ask('/mqtt/messages?topic=sample/1', { headers: { authorization: 'Bearer wrong' } })).status).toBe(401)
  expect((await ask('/mqtt/messages?topic=sample/1', { headers: { authorization: `Bearer ${stack.apiKey}` } })).status).toBe(204)
  // What a client says of its own address is not believed.
  expect((await fetch(`${stack.url}/mqtt/messages?topic=sample/1`)).status).toBe(405)
})

test('the commands of docs/http.md work as they stand', async () => {
  const page = readFileSync(join(project, 'docs/http.md'), 'utf8')
  const commands = [...page.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, text]) => text as string)
  expect(commands.length).toBeGreaterThanOrEqual(5)
  symlinkSync(stack.folder, join(folder, '.data'))
  const topics = ['sample/topic1', 'sample/room/4 b', 'sample/operator']
  for (const topic of topics) await client.client.subscribeAsync(topic, { qos: 1 })
  const run = async (script: readonly string[]) =>
    (await promisify(execFile)('bash', ['-euc', script.join('\n').replaceAll('http://127.0.0.1:8080', stack.url)], { cwd: folder })).stdout
  const [first = ''] = commands
  const reading = commands.findIndex((command) => command.includes('/mqtt/retainedMessages'))
  await run(commands.slice(0, reading))
  // The answer to a publish waits for the log, not for what is retained of it.
  await until(
    'it is retained',
    60_000,
    async () => (await fetch(`${stack.url}/mqtt/retainedMessages/message?topic=${encoded('sample/room/4 b')}`)).status === 200,
  )
  const read = await run([first.split('\n', 1)[0] as string, ...commands.slice(reading)])
  expect(read).toMatch(/x-ms-mqtt-qos: 1[\s\S]*\{"temperature": 21\.5\}\{"nextLink":null,"retainedMessages":\[\{"topic":"sample\/room\/4 b"/)
  await client.until('all arrive', () => topics.every((topic) => client.arrived.some((each) => each.topic === topic)))
  const room = client.arrived.find(({ topic }) => topic === 'sample/room/4 b')
  expect(room?.packet.properties).toMatchObject({
    contentType: 'application/json',
    userProperties: { unit: 'C', room: '4 b' },
    responseTopic: 'sample/answers',
    correlationData: Buffer.from('42'),
  })
})
