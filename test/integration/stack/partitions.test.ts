import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { IClientOptions } from 'mqtt'
import { findFreePorts } from '../../../stack/ports.ts'
import { JsClient } from '../../clients/mqttjs.ts'
import { put } from '../../clients/registered.ts'
import { count } from '../../support/available.ts'
import { type Stack, startStack, until } from '../../support/stack.ts'
import * as mqtt from '../../wire/bytes.ts'
import { collectRecords } from '../../wire/kafka-records.ts'
import { Wire } from '../../wire/wire.ts'

/** `loggerhead partitions` on the real Kafka: two shards become five, with the command killed on its way. */

const project = dirname(dirname(dirname(import.meta.dirname)))
const [before, after] = [2, 5]
const clients = Array.from({ length: 4 }, (_, index) => `device-${index}`)
const names = Array.from({ length: 8 }, (_, index) => `${index}`)
/** Messages of a replay that its client may owe acknowledgements for, before the replay waits for them. */
const replayWindow = 8

let stack: Stack
/** MQTT of the namespace `factory`. */
let factoryPort: number
const children = new Set<ChildProcess>()
const environment = (partitions: number) => ({
  KAFKA_PARTITIONS: String(partitions),
  REPLAY_WINDOW_MESSAGES: String(replayWindow),
  NAMESPACE_LISTENERS: `factory=mqtt:${factoryPort}`,
})

beforeAll(async () => {
  ;[factoryPort = 0] = await findFreePorts(1)
  stack = await startStack({ environment: environment(before) })
}, 180_000)
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await stack?.stop()
}, 60_000)

const connect = (clientId: string, more: IClientOptions = {}, port = stack.ports.mqtt): Promise<JsClient> =>
  JsClient.connect(`mqtt://127.0.0.1:${port}`, { clientId, protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 3600 }, ...more })
const textsOf = ({ arrived }: JsClient, topic?: string): string[] =>
  arrived.filter((each) => topic === undefined || each.topic === topic).map(({ payload }) => payload.toString())

interface Ended {
  readonly code: number | null
  readonly out: string
  readonly err: string
}

/** A program of ours beside the stack, on its Kafka; ended, with kill -9 by default, once it has printed a line that matches. */
async function run(program: string, args: readonly string[], killAt?: RegExp, environment: object = {}, signal: NodeJS.Signals = 'SIGKILL'): Promise<Ended> {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', join(project, program), ...args], {
    env: { ...process.env, KAFKA_BROKERS: stack.brokers, LOGGERHEAD_PREFIX: stack.prefix, ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  children.add(child)
  const said = { out: '', err: '' }
  let isMet = false
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    said.out += text
    if (isMet || !killAt?.test(said.out)) return
    isMet = true
    child.kill(signal)
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said.err += text
  })
  const [code] = (await once(child, 'close')) as [number | null]
  children.delete(child)
  return { code, ...said }
}

/** Sessions whose wills wait an hour, or for the end of the session. */
const mourned = Array.from({ length: 4 }, (_, index) => `mourned-${index}`)

async function leaveWills(): Promise<void> {
  for (const clientId of [...mourned, 'returning']) {
    const will = { topic: `wills/${clientId}`, payload: Buffer.from('the will'), qos: 2, retain: false, properties: { willDelayInterval: 3600 } } as const
    const client = await connect(clientId, { will })
    client.client.stream.destroy()
    await client.closed()
  }
}

/** A replay that stands where its client, who acknowledges nothing, has left it. */
async function beginReplay(): Promise<void> {
  const wire = await Wire.open({ host: '127.0.0.1', port: stack.ports.mqtt }, 5)
  wire.send(mqtt.connect({ version: 5, clientId: 'historian', clean: false, keepAlive: 0, properties: [[mqtt.Property.sessionExpiryInterval, 3600]] }))
  await wire.expect('connack')
  wire.send(mqtt.subscribe(5, 1, [['$replay/-PT1H/from/#', 1]]))
  await wire.find('suback')
  for (let n = 0; n < replayWindow; n++) await wire.find('publish')
  wire.destroy()
}

/** A namespace with another number of shards, and what is owed there. */
async function fillFactory(): Promise<void> {
  const factory = async (path: string, body: object) => expect((await stack.api('PUT', `/namespaces/factory${path}`, body)).status).toBeLessThan(300)
  await factory('', { partitions: 1 })
  await factory('/clientGroups/$anonymous', {})
  await factory('/topicSpaces/all', { topicTemplates: ['#'] })
  for (const permission of ['Publisher', 'Subscriber'])
    await factory(`/permissionBindings/${permission}`, { clientGroupName: '$anonymous', topicSpaceName: 'all', permission })
  await until('the namespace lets somebody in', 60_000, async () => {
    const [name = ''] = clients
    const client = await connect(name, {}, factoryPort).catch(() => undefined)
    const isLetIn = (await client?.subscribe('from/#')) === 1 && (await client?.publish('other', 'may publish')) === 'done'
    await client?.end()
    return isLetIn
  })
  for (const clientId of clients) {
    const client = await connect(clientId, {}, factoryPort)
    await client.client.subscribeAsync('from/#', { qos: 1 })
    await client.client.endAsync()
  }
  const publisher = await connect('publisher', {}, factoryPort)
  for (const name of names) await publisher.client.publishAsync(`from/${name}`, `factory ${name}`, { qos: 1 })
  await publisher.client.endAsync()
}

interface Received {
  readonly brokerProperties: { readonly lockToken: string; readonly deliveryCount: number }
  readonly event: { readonly id: string }
}

async function receive(subscription: string, count: number): Promise<readonly Received[]> {
  const all: Received[] = []
  await until(`${count} events of ${subscription}`, 60_000, async () => {
    const path = `${stack.url}/topics/doors/eventsubscriptions/${subscription}:receive?maxEvents=${count - all.length}&maxWaitTime=10`
    const response = await fetch(path, { method: 'POST', headers: { authorization: `SharedAccessKey ${stack.apiKey}` } })
    const body = await response.text()
    if (response.status === 200) all.push(...(JSON.parse(body) as { value: Received[] }).value)
    else if (![404, 503].includes(response.status)) throw new Error(`${response.status} ${body}`)
    return all.length >= count
  })
  return all
}

async function settle(subscription: string, action: string, received: readonly Received[]): Promise<readonly string[]> {
  const headers = { authorization: `SharedAccessKey ${stack.apiKey}`, 'content-type': 'application/json' }
  const body = JSON.stringify({ lockTokens: received.map(({ brokerProperties }) => brokerProperties.lockToken) })
  const response = await fetch(`${stack.url}/topics/doors/eventsubscriptions/${subscription}:${action}`, { method: 'POST', headers, body })
  return ((await response.json()) as { succeededLockTokens: string[] }).succeededLockTokens
}

async function publishEvents(ids: readonly string[]): Promise<void> {
  const headers = { authorization: `SharedAccessKey ${stack.apiKey}`, 'content-type': 'application/cloudevents-batch+json' }
  const events = ids.map((id) => ({ specversion: '1.0', id, source: '/doors', type: 'door.opened', subject: 'front', data: {} }))
  await until('the topic is known', 60_000, async () => {
    const response = await fetch(`${stack.url}/topics/doors:publish`, { method: 'POST', headers, body: JSON.stringify(events) })
    await response.arrayBuffer()
    return response.status === 200
  })
}

async function replayGoesOn(): Promise<void> {
  const historian = await connect('historian')
  await historian.until('all that was published, and the end of what is past', () => historian.arrived.length >= 49)
  for (const name of names) {
    const texts = textsOf(historian, `from/${name}`)
    expect(texts.filter((text) => Number(text) < 40)).toEqual([0, 8, 16, 24, 32].map((n) => String(n + Number(name))))
    // The topic has another partition since: nothing orders the two.
    expect(texts).toContain(String(40 + Number(name)))
  }
  expect(JSON.parse(textsOf(historian, '$replay/end')[0] ?? '')).toMatchObject({ messages: expect.any(Number), live: true })
  expect(historian.arrived).toHaveLength(49)
  // It was under way: part of it had been sent before.
  const again = historian.arrived.filter(({ packet }) => packet.dup).length
  expect([again >= replayWindow, again < 40]).toEqual([true, true])
  await historian.client.endAsync()
}

async function willsAreSent(): Promise<void> {
  const heir = await connect('heir')
  await heir.client.subscribeAsync('wills/#', { qos: 2 })
  const returned = await connect('returning')
  await returned.client.endAsync()
  for (const clientId of ['returning', ...mourned]) expect((await stack.api('DELETE', `/namespaces/default/sessions/${clientId}`)).status).toBe(204)
  await heir.until('the wills', () => heir.arrived.length >= mourned.length)
  await heir.client.publishAsync('wills/last', 'nothing but this came behind them', { qos: 2 })
  await heir.until('what was published last', () => textsOf(heir, 'wills/last').length > 0)
  expect(heir.arrived.map(({ topic }) => topic).sort()).toEqual(['wills/last', ...mourned.map((clientId) => `wills/${clientId}`)])
  await heir.client.endAsync()
}

async function factoryGoesOn(): Promise<void> {
  expect(await stack.api('GET', '/namespaces/factory')).toMatchObject({ status: 200, body: { properties: { partitions: 3 } } })
  for (const clientId of clients) {
    const client = await connect(clientId, {}, factoryPort)
    await client.until(`what ${clientId} is owed in the other namespace`, () => client.arrived.length >= names.length)
    expect(textsOf(client).sort()).toEqual(names.map((name) => `factory ${name}`))
    await client.client.endAsync()
  }
}

describe('loggerhead partitions', () => {
  test('npm start -- --kafka-only starts no service, for commands that want nobody to be served, and ends in good order', async () => {
    const data = await mkdtemp(join(tmpdir(), 'loggerhead-kafka-only-'))
    try {
      const ports = await findFreePorts(4)
      const listeners = Object.fromEntries(['MQTT_PORT', 'MQTTS_PORT', 'WS_PORT', 'WSS_PORT'].map((name, index) => [name, String(ports[index])]))
      // What the services would listen on may be taken: by the stack beside whose Kafka this one is started.
      const environment = { LOGGERHEAD_DATA: data, ...listeners, HTTP_PORT: new URL(stack.url).port }
      const { code, out, err } = await run('stack/main.ts', ['--kafka-only'], /Kafka alone runs/, environment, 'SIGTERM')
      expect({ code, err }).toEqual({ code: 0, err: '' })
      expect(out).toContain(`Kafka answers at ${stack.brokers}`)
      expect(JSON.parse(await readFile(join(data, 'processes.json'), 'utf8'))).toEqual({})
    } finally {
      await rm(data, { recursive: true, force: true })
    }
  })

  test('2 become 5, killed on the way: sessions, queues, wills, replays, retained messages, routes and event subscriptions go on, once and in order; 1 becomes 3 in another namespace', async () => {
    await put(stack, 'topics/doors', { partitions: 1 })
    const locked = names.slice(0, 4).map((name) => `locked-${name}`)
    for (const name of locked) {
      await put(stack, `topics/doors/eventSubscriptions/${name}`, {
        deliveryConfiguration: { deliveryMode: 'Queue', queue: { receiveLockDurationInSeconds: 300 } },
      })
    }
    await put(stack, 'topics/routed', { partitions: 1 })
    await put(stack, 'routes/all', { topicFilters: ['from/#'], target: { topic: 'routed' } })
    for (const client of await Promise.all(clients.map((clientId) => connect(clientId)))) {
      await client.client.subscribeAsync(['from/#'], { qos: 2 })
      await client.client.endAsync()
    }
    const publisher = await connect('publisher')
    for (const name of names) await publisher.client.publishAsync(`kept/${name}`, `kept ${name}`, { qos: 1, retain: true })
    // A replay takes a MiB at a time: half of them.
    const properties = { userProperties: { padding: 'x'.repeat(50_000) } }
    for (let n = 0; n < 40; n++) await publisher.client.publishAsync(`from/${n % 8}`, `${n}`, { qos: n % 2 === 0 ? 1 : 2, properties })
    await publisher.client.endAsync()
    await leaveWills()
    await beginReplay()
    await fillFactory()
    await publishEvents(['1', '2', '3'])
    const held = new Map<string, readonly Received[]>()
    for (const name of locked) {
      const received = await receive(name, 2)
      held.set(name, received)
      expect(await settle(name, 'acknowledge', received.slice(0, 1))).toHaveLength(1)
    }
    const routed = `${stack.prefix}.default.topic.routed`
    await collectRecords(stack.brokers, routed, (found) => found.length === 40)

    // Nothing is done while somebody serves.
    const served = await run('cli/main.ts', ['partitions', String(after)])
    expect(served).toMatchObject({ code: 1, err: expect.stringMatching(/router.* up.*gateway answers/) })

    await stack.stop({ keep: true })
    // Where the kill meets it is left to chance, and so is whether it comes in time: test/unit/router/partitions kills it at every append.
    const steps = [/the topics have 5 partitions/, /event subscriptions are where/, /sessions go to another shard/]
    for (const step of steps.slice(0, count(1, steps.length))) {
      expect([null, 0]).toContain((await run('router/partitions/main.ts', [String(after)], step)).code)
    }
    const done = await run('cli/main.ts', ['partitions', String(after)])
    expect(done).toMatchObject({ code: 0, out: expect.stringMatching(/done: 5 partitions|there are 5 partitions already/) })
    const other = await run('cli/main.ts', ['partitions', '3', '--namespace', 'factory'])
    expect(other).toMatchObject({ code: 0, out: expect.stringContaining('done: 3 partitions') })
    const wrong = await run('router/main.ts', [], undefined, { KAFKA_PARTITIONS: String(before) })
    expect(wrong).toMatchObject({ code: 1, out: expect.stringContaining('KAFKA_PARTITIONS') })

    stack = await startStack({ previous: stack, environment: environment(after) })
    const again = await connect('publisher')
    for (let n = 40; n < 48; n++) await again.client.publishAsync(`from/${n % 8}`, `${n}`, { qos: 2 })
    for (const clientId of clients) {
      const client = await connect(clientId)
      await client.until(`what ${clientId} is owed`, () => client.arrived.length >= 48, 60_000)
      for (const name of names) expect(textsOf(client, `from/${name}`)).toEqual([0, 8, 16, 24, 32, 40].map((n) => String(n + Number(name))))
      expect(client.arrived).toHaveLength(48)
      await client.client.endAsync()
    }
    const fresh = await connect('fresh')
    await fresh.client.subscribeAsync('kept/#', { qos: 1 })
    await fresh.until('what is retained', () => fresh.arrived.length >= names.length)
    expect(textsOf(fresh).sort()).toEqual(names.map((name) => `kept ${name}`))
    await again.client.publishAsync('kept/0', '', { qos: 1, retain: true })
    await fresh.client.endAsync()

    for (const name of locked) {
      // The lock that was given out before is good still, and what was acknowledged does not come again.
      expect(
        await until('the shard has an owner', 60_000, async () => {
          const settled = await settle(name, 'acknowledge', held.get(name)?.slice(1) ?? []).catch(() => undefined)
          return settled?.length === 1 && settled
        }),
      ).toHaveLength(1)
      expect((await receive(name, 1)).map(({ event, brokerProperties }) => [event.id, brokerProperties.deliveryCount])).toEqual([['3', 1]])
    }
    const all = await collectRecords(stack.brokers, routed, (found) => found.length >= 48)
    const sources = all.map(({ headers }) => headers.loggerhead_source)
    expect(new Set(sources).size).toBe(48)
    for (const name of names) {
      const ofTopic = all.filter(({ key }) => key === `from/${name}`).map(({ value }) => value?.toString())
      expect(ofTopic).toEqual([0, 8, 16, 24, 32, 40].map((n) => String(n + Number(name))))
    }
    await replayGoesOn()
    await willsAreSent()
    await factoryGoesOn()
    const nothing = await connect('another')
    await nothing.client.subscribeAsync('kept/#', { qos: 1 })
    await nothing.until('what is still retained', () => nothing.arrived.length >= names.length - 1)
    expect(textsOf(nothing)).not.toContain('kept 0')
    await nothing.client.endAsync()
    await again.client.endAsync()
  }, 300_000)
})
