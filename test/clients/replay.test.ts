/** Replays end to end: real Kafka, real clients, a recorded past and publishers that go on meanwhile. */
import { randomBytes } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import kafkajs from 'kafkajs'
import type { IClientOptions } from 'mqtt'
import { count, testWith } from '../support/available.ts'
import { type Stack, startStack, until } from '../support/stack.ts'
import { Program } from '../wire/programs.ts'
import { type Arrived, JsClient } from './mqttjs.ts'
import { put, remove } from './registered.ts'

/** Devices and their topics: a thousand of them. */
const devices = 50
const sensors = 20
const recorded = count(20_000, 1_000_000)
const rounds = count(5, 100)
/** Kills in the middle of one replay. */
const strikes = count(1, 10)
/** MQTT.js does not keep to the server's Receive Maximum by itself. */
const publishWindow = 60

let stack: Stack
let root: string
/** When everything was recorded: whatever is published live comes later. */
let recordedUntil: string
const url = (): string => `mqtt://127.0.0.1:${stack.ports.mqtt}`
const topicOf = (i: number): string => `${root}/${i % devices}/${Math.floor(i / devices) % sensors}`

beforeAll(async () => {
  stack = await startStack()
  root = `sample/${randomBytes(4).toString('hex')}`
  const publishers = await Promise.all(Array.from({ length: 4 }, () => JsClient.connect(url(), { protocolVersion: 5 })))
  await Promise.all(publishers.map((publisher, at) => publishAll(publisher, at, recorded, publishers.length)))
  for (const each of publishers) await each.end()
  const end = Date.now() + 1
  recordedUntil = new Date(end).toISOString()
  await until('the next millisecond', 10_000, () => Date.now() > end)
}, 900_000)

afterAll(async () => {
  for (const each of Returning.all) await each.end()
  await stack?.stop()
})

/** Publishes i = from, from + step, … below `to`, each topic's in order. */
async function publishAll(publisher: JsClient, from: number, to: number, step: number): Promise<void> {
  let next = from
  const worker = async (): Promise<void> => {
    while (next < to) {
      const i = next
      next += step
      await publisher.client.publishAsync(topicOf(i), String(i), { qos: 1 })
    }
  }
  await Promise.all(Array.from({ length: publishWindow }, worker))
}

const isMarker = ({ topic }: Arrived): boolean => topic === '$replay/end'
const property = ({ packet }: Arrived, name: string): string | undefined => {
  const value = packet.properties?.userProperties?.[name]
  return (Array.isArray(value) ? value.at(-1) : value) as string | undefined
}

/** Whether the end marker is there: of a million messages each is looked at once. */
function markerOf({ arrived }: JsClient): () => boolean {
  let looked = 0
  let isThere = false
  return () => {
    for (; looked < arrived.length; looked++) isThere ||= isMarker(arrived[looked] as Arrived)
    return isThere
  }
}

/** A millisecond for each message and two minutes: of a router whose machine is busy replays keep ROUTER_REPLAY_RATE_MIN, twice that. */
const replayMs = (messages: number): number => 120_000 + messages

async function replay(
  filter: string,
  options: { readonly qos?: 0 | 1 | 2; readonly userProperties?: Record<string, string> } = {},
): Promise<readonly Arrived[]> {
  const { qos = 1, userProperties } = options
  // A PINGRESP behind all that waits in sockets may come later than MQTT.js would believe in it.
  const reader = await JsClient.connect(url(), { protocolVersion: 5, keepalive: 0, properties: { receiveMaximum: 500 } })
  await reader.client.subscribeAsync(filter, { qos, ...(userProperties && { properties: { userProperties } }) })
  const isOver = markerOf(reader)
  await reader.until('the end marker', () => isOver() || reader.isClosed, replayMs(recorded))
  if (!isOver()) throw new Error(`the connection ended after ${reader.arrived.length} messages`)
  await reader.end()
  const [marker] = reader.arrived.filter(isMarker)
  const messages = reader.arrived.filter((each) => !isMarker(each))
  expect(JSON.parse(String(marker?.payload))).toMatchObject({ messages: messages.length, live: false })
  return messages
}

/** Gaps and repeats of a replay of what was recorded, and whether each topic is in the order of its positions. */
function figures(messages: readonly Arrived[], expected: number): object {
  const seen = new Set(messages.map(({ payload }) => String(payload)))
  const last = new Map<string, number>()
  let disordered = 0
  for (const each of messages) {
    const offset = Number(property(each, 'replay-position')?.split(':')[1])
    if (offset <= (last.get(each.topic) ?? -1)) disordered++
    last.set(each.topic, offset)
  }
  return { gaps: expected - seen.size, repeats: messages.length - seen.size, disordered }
}
const whole = { gaps: 0, repeats: 0, disordered: 0 }

/** Messages a second of each live publisher, and how many there are. */
const livePublishers = 4
const livePerSecond = 50

/** Publishes on the recorded topics while `during` runs, before the eyes of a subscriber of its own. Resolves to what is missing there and what came twice. */
async function besideLive(during: () => Promise<void>): Promise<object> {
  const subscriber = await JsClient.connect(url(), { protocolVersion: 5 })
  await subscriber.client.subscribeAsync(`${root}/#`, { qos: 1 })
  const publishers = await Promise.all(Array.from({ length: livePublishers }, () => JsClient.connect(url(), { protocolVersion: 5 })))
  const acknowledged: string[] = []
  const sending = new Set<Promise<unknown>>()
  let sent = 0
  const timer = setInterval(() => {
    for (const { client } of publishers) {
      if (sending.size >= publishWindow) return
      const text = `live ${sent}`
      const publish = client.publishAsync(topicOf(sent++), text, { qos: 1 }).then(() => acknowledged.push(text))
      sending.add(publish)
      void publish.finally(() => sending.delete(publish))
    }
  }, 1_000 / livePerSecond)
  try {
    await during()
  } finally {
    clearInterval(timer)
  }
  await Promise.all(sending)
  const came = new Map<string, number>()
  let counted = 0
  const missing = (): readonly string[] => {
    // The last of what was recorded may still be on its way to the router when the subscription begins: it is not counted.
    for (; counted < subscriber.arrived.length; counted++) {
      const text = String(subscriber.arrived[counted]?.payload)
      if (text.startsWith('live ')) came.set(text, (came.get(text) ?? 0) + 1)
    }
    return acknowledged.filter((text) => !came.has(text))
  }
  await subscriber.until('every live message', () => missing().length === 0, 60_000)
  for (const each of [subscriber, ...publishers]) await each.end()
  return { gaps: missing().length, repeats: [...came.values()].reduce((sum, times) => sum + times - 1, 0) }
}

test(
  'one topic, one device over all its topics, and everything, beside live publishers: nothing is missing, nothing comes twice, each topic is in order',
  async () => {
    const to = recordedUntil
    const live = await besideLive(async () => {
      const ofTopic = await replay(`$replay/-PT2H..${to}/${root}/7/3`)
      expect(figures(ofTopic, Math.ceil((recorded - 3 * devices - 7) / (devices * sensors)))).toEqual(whole)
      const ofDevice = await replay(`${root}/7/#`, { userProperties: { 'replay-from': '-PT2H', 'replay-to': to } })
      expect(figures(ofDevice, Math.ceil((recorded - 7) / devices))).toEqual(whole)
      for (const qos of [0, 1] as const) {
        const began = performance.now()
        const all = await replay(`$replay/-PT2H..${to}/${root}/#`, { qos })
        process.stderr.write(
          `replay of ${recorded} messages on ${devices * sensors} topics at QoS ${qos}: ${Math.round(recorded / ((performance.now() - began) / 1000))} messages/s\n`,
        )
        expect(figures(all, recorded)).toEqual(whole)
      }
    })
    expect(live).toEqual({ gaps: 0, repeats: 0 })
  },
  4 * replayMs(recorded),
)

test('with publishers at full speed a replay joins what they publish: nothing is missing and nothing comes twice, round after round', async () => {
  const publisher = await JsClient.connect(url(), { protocolVersion: 5 })
  const joinRoot = `${root}-join`
  let isOver = false
  let published = 0
  const worker = async (): Promise<void> => {
    while (!isOver) {
      const i = published++
      await publisher.client.publishAsync(`${joinRoot}/${i % 20}`, String(i), { qos: 1 })
    }
  }
  // As fast as this leaves room for a reader in the same process: one that is slower than what is published never joins it.
  const workers = Array.from({ length: 10 }, worker)
  const from = new Date().toISOString()
  for (let round = 0; round < rounds; round++) {
    const sessionExpiryInterval = round % 2 === 0 ? 0 : 60
    const reader = await JsClient.connect(url(), {
      protocolVersion: 5,
      clientId: `${joinRoot}-${round}`,
      properties: { receiveMaximum: 200, sessionExpiryInterval },
    })
    // No more of the past than a round can read: what is counted is the join. Beside publishers at full speed it may take as long as the past is.
    const since = round < 2 ? from : new Date(Date.now() - 1_000).toISOString()
    await reader.client.subscribeAsync(`$replay/${since}/${joinRoot}/#`, { qos: 1 })
    await reader.until('the join', () => reader.arrived.some(isMarker), 60_000)
    const joined = reader.arrived.length
    await reader.until('live messages', () => reader.arrived.length > joined + 100, 60_000)
    const messages = reader.arrived.filter((each) => !isMarker(each))
    await reader.end()
    const gapless = new Map<string, number[]>()
    for (const { topic, payload } of messages) gapless.set(topic, [...(gapless.get(topic) ?? []), Number(payload)])
    // Of each topic every message between the first and the last that came.
    for (const [topic, numbers] of gapless) {
      const sorted = numbers.toSorted((a, b) => a - b)
      expect({ topic, numbers: new Set(numbers).size, span: ((sorted.at(-1) as number) - (sorted[0] as number)) / 20 + 1 }).toEqual({
        topic,
        numbers: numbers.length,
        span: numbers.length,
      })
    }
    expect(messages.some((each) => property(each, 'replay-position') !== undefined)).toBe(true)
    expect(messages.some((each) => property(each, 'replay-position') === undefined)).toBe(true)
    expect(reader.arrived.filter(isMarker)).toHaveLength(1)
  }
  isOver = true
  await Promise.all(workers)
  await publisher.end()
}, 900_000)

test('a persistent session goes on with its replay where it was, on another connection', async () => {
  const clientId = `${root}-back`
  const options = { protocolVersion: 5, clientId, clean: false, properties: { receiveMaximum: 20, sessionExpiryInterval: 300 } } as const
  const got = new Set<string>()
  let first = await JsClient.connect(url(), options)
  await first.client.subscribeAsync(`$replay/-PT2H..${recordedUntil}/${root}/3/#`, { qos: 1 })
  const expected = Math.ceil((recorded - 3) / devices)
  for (;;) {
    await first.until('some of it', () => first.arrived.length >= Math.min(100, expected / 4) || first.arrived.some(isMarker), 60_000)
    const isDone = first.arrived.some(isMarker)
    for (const each of first.arrived) if (!isMarker(each)) got.add(String(each.payload))
    first.client.stream.destroy()
    if (isDone) break
    first = await JsClient.connect(url(), options)
  }
  expect(got.size).toBe(expected)
}, 120_000)

/** A persistent session that comes back whenever its connection ends, and what it has got on all of them. */
class Returning {
  static readonly all = new Set<Returning>()
  readonly #options: IClientOptions
  readonly #clients: JsClient[] = []
  #isOver = false
  /** Nothing is acknowledged from so many messages on, until it is released. */
  #holdAt = Number.POSITIVE_INFINITY
  #held: (() => void)[] = []

  constructor(clientId: string) {
    Returning.all.add(this)
    this.#options = {
      protocolVersion: 5,
      clientId,
      clean: false,
      properties: { receiveMaximum: 100, sessionExpiryInterval: 600, userProperties: { provenance: 'true' } },
    }
  }

  /** In the order of arrival. */
  get arrived(): readonly Arrived[] {
    return this.#clients.flatMap(({ arrived }) => arrived)
  }

  get #count(): number {
    return this.#clients.reduce((sum, { arrived }) => sum + arrived.length, 0)
  }

  /** Connects, and again whenever the connection is gone. Resolves once the filter is subscribed to. */
  async subscribe(filter: string): Promise<void> {
    const { client } = await this.#connect()
    await client.subscribeAsync(filter, { qos: 1 })
    void this.#stay()
  }

  async #connect(): Promise<JsClient> {
    const made = await JsClient.connect(url(), this.#options)
    this.#clients.push(made)
    made.client.handleMessage = (_, done) => {
      if (this.#count < this.#holdAt) done()
      else this.#held.push(done)
    }
    return made
  }

  async #stay(): Promise<void> {
    while (!this.#isOver) {
      await this.#clients.at(-1)?.closed(600_000)
      while (!this.#isOver) {
        const isBack = await this.#connect().then(
          () => true,
          () => false,
        )
        if (isBack) break
        await pause(50)
      }
    }
  }

  /** Holds back every acknowledgement from so many messages on: a replay waits in its middle. */
  hold(from: number): void {
    this.#holdAt = from
  }

  release(): void {
    this.#holdAt = Number.POSITIVE_INFINITY
    for (const done of this.#held.splice(0)) done()
  }

  get isHeld(): boolean {
    return this.#count >= this.#holdAt
  }

  async end(): Promise<void> {
    this.#isOver = true
    Returning.all.delete(this)
    await this.#clients.at(-1)?.end()
  }
}

/** Where a message stands: of one that was replayed, and of one that came live. */
const positionOf = (each: Arrived): string | undefined => property(each, 'replay-position') ?? property(each, 'provenance-position')

/** Messages that came again without saying so by DUP, and messages that came behind a later one of their topic for the first time. */
function repeatsAndDisorder(messages: readonly Arrived[]): { readonly unmarked: number; readonly disordered: number } {
  const seen = new Set<string>()
  const last = new Map<string, number>()
  let unmarked = 0
  let disordered = 0
  for (const each of messages) {
    const position = positionOf(each) as string
    if (seen.has(position)) {
      if (!each.packet.dup) unmarked++
      continue
    }
    seen.add(position)
    const offset = Number(position.split(':')[1])
    if (offset <= (last.get(each.topic) ?? -1)) disordered++
    last.set(each.topic, offset)
  }
  return { unmarked, disordered }
}

test(`killed in the middle of a replay, ${strikes === 1 ? 'the gateway' : 'gateway and router in turn'}: nothing is missing, and nothing comes twice without DUP`, async () => {
  const reader = new Returning(`${root}-killed`)
  const parts = strikes + 1
  reader.hold(recorded / parts)
  await reader.subscribe(`$replay/-PT2H..${recordedUntil}/${root}/#`)
  for (let strike = 0; strike < strikes; strike++) {
    await until('the middle of the replay', 300_000, () => reader.isHeld)
    const name = strike % 2 === 0 ? 'gateway' : 'router'
    const pid = await stack.kill(name)
    reader.release()
    // What it is in the middle of goes on while the process is away, and is not over before the next one.
    if (strike + 1 < strikes) reader.hold(Math.max(reader.arrived.length, ((strike + 2) * recorded) / parts))
    await stack.restarted(name, pid, 60_000)
  }
  await until('the end marker', 300_000, () => reader.arrived.some(isMarker))
  await reader.end()
  const messages = reader.arrived.filter((each) => !isMarker(each))
  const gaps = recorded - new Set(messages.map(({ payload }) => String(payload))).size
  expect({ gaps, ...repeatsAndDisorder(messages) }).toEqual({ gaps: 0, unmarked: 0, disordered: 0 })
  await stack.untilHealthy(60_000)
}, 900_000)

test('killed while a replay joins what is published, the router: nothing that was acknowledged is missing, and nothing comes twice without DUP', async () => {
  const joinRoot = `${root}-strike`
  const acknowledged: string[] = []
  let isOver = false
  const publisher = await JsClient.connect(url(), { protocolVersion: 5 })
  // One at a time: while the router is away a past gathers that the replay has to catch up with.
  const publishing = (async () => {
    for (let i = 0; !isOver; i++) {
      await publisher.client.publishAsync(`${joinRoot}/${i % 20}`, String(i), { qos: 1 })
      acknowledged.push(String(i))
    }
  })()
  await until('a past', 60_000, () => acknowledged.length >= 1_000)
  for (let round = 0; round < count(1, 10); round++) {
    const reader = new Returning(`${joinRoot}-${round}`)
    const from = acknowledged.length
    const since = new Date(Date.now() - 5_000).toISOString()
    reader.hold(100)
    await reader.subscribe(`$replay/${since}/${joinRoot}/#`)
    await until('the replay', 60_000, () => reader.isHeld)
    const pid = await stack.kill('router')
    reader.release()
    await stack.restarted('router', pid, 60_000)
    await until('the join', 120_000, () => reader.arrived.some(isMarker))
    const wanted = acknowledged.slice(from, acknowledged.length)
    const came = (): ReadonlySet<string> => new Set(reader.arrived.map(({ payload }) => String(payload)))
    await until('what was acknowledged before the join', 120_000, () => {
      const all = came()
      return wanted.every((text) => all.has(text))
    })
    await reader.end()
    expect(repeatsAndDisorder(reader.arrived.filter((each) => !isMarker(each)))).toEqual({ unmarked: 0, disordered: 0 })
    expect(reader.arrived.filter((each) => isMarker(each) && !each.packet.dup).length).toBeLessThanOrEqual(1)
  }
  isOver = true
  await publishing
  await publisher.end()
}, 900_000)

for (const version of ['mqttv311', 'mqttv5']) {
  testWith('mosquitto_sub')(`mosquitto_sub has the past sent, the end told, and what comes then, ${version}`, async () => {
    const topic = `${root}-plain/a`
    const publisher = await JsClient.connect(url(), { protocolVersion: 5 })
    for (const text of ['one', 'two']) await publisher.client.publishAsync(`${topic}/${version}`, text, { qos: 1 })
    const args = [
      '-h',
      '127.0.0.1',
      '-p',
      String(stack.ports.mqtt),
      '-V',
      version,
      '-q',
      '1',
      '-t',
      `$replay/-PT1H/${topic}/${version}`,
      '-F',
      '%t %p',
      '-C',
      '4',
      '-W',
      '60',
    ]
    const listening = new Program('mosquitto_sub', args)
    await listening.printed('$replay/end {')
    await publisher.client.publishAsync(`${topic}/${version}`, 'three', { qos: 1 })
    const { output } = await listening.ended
    expect(output.trim().split('\n')).toEqual([
      ...['one', 'two'].map((text) => `${topic}/${version} ${text}`),
      expect.stringMatching(/^\$replay\/end \{/),
      `${topic}/${version} three`,
    ])
    await publisher.end()
  })
}

test('who asks at CONNECT is told where each message comes from, live, retained or replayed, as far as it may have it replayed', async () => {
  const topic = `${root}-origin`
  const publisher = await JsClient.connect(url(), { protocolVersion: 5, clientId: `${topic}-publisher` })
  const watcher = await JsClient.connect(url(), { protocolVersion: 5, properties: { userProperties: { provenance: 'true' } } })
  const other = await JsClient.connect(url(), { protocolVersion: 5 })
  await watcher.client.subscribeAsync(topic, { qos: 1 })
  await other.client.subscribeAsync(topic, { qos: 1 })
  const before = Date.now()
  await publisher.client.publishAsync(topic, 'one', { qos: 1, retain: true, properties: { userProperties: { own: 'kept' } } })
  for (const each of [watcher, other]) await each.until('live', () => each.arrived.length > 0)
  expect(property(other.arrived[0] as Arrived, 'provenance-client-id')).toBeUndefined()
  const live = watcher.arrived[0] as Arrived
  await watcher.client.subscribeAsync(`$replay/-PT10M/${topic}`, { qos: 1 })
  const isReplayed = (each: Arrived): boolean => property(each, 'replay-position') !== undefined
  await watcher.until('replayed', () => watcher.arrived.some((each) => !isMarker(each) && isReplayed(each)))
  const replayed = watcher.arrived.find((each) => !isMarker(each) && isReplayed(each)) as Arrived
  for (const each of [live, replayed]) {
    expect(property(each, 'own')).toBe('kept')
    expect(property(each, 'provenance-client-id')).toBe(`${topic}-publisher`)
    expect(property(each, 'provenance-publisher')).toBe('anonymous')
    expect(property(each, 'provenance-gateway')).toBe('gateway')
    expect(Math.abs(Date.parse(property(each, 'provenance-received-at') as string) - before)).toBeLessThan(60_000)
    expect(property(each, 'provenance-position')).toMatch(/^\d+:\d+$/)
  }
  expect(property(replayed, 'replay-position')).toBe(property(live, 'provenance-position'))
  for (const each of [publisher, watcher, other]) await each.end()
})

test('the past over HTTP goes on where it was left, and tells what MQTT clients were told', async () => {
  const key = { authorization: `Bearer ${stack.apiKey}` }
  const read = async (query: Record<string, string>): Promise<{ payload?: string; cursor: string; end?: true }[]> => {
    const answer = await fetch(`${stack.url}/namespaces/default/history?${new URLSearchParams(query)}`, { headers: key })
    expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'application/x-ndjson'])
    return (await answer.text())
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
  }
  const first = await read({ topicFilter: `${root}/5/#`, from: '-PT2H', to: recordedUntil, limit: '100' })
  expect(first).toHaveLength(101)
  const rest = await read({ topicFilter: `${root}/5/#`, from: first[99]?.cursor as string, to: recordedUntil })
  const expected = Math.ceil((recorded - 5) / devices)
  const texts = [...first, ...rest].flatMap(({ payload }) => payload ?? [])
  expect([texts.length, new Set(texts).size]).toEqual([expected, expected])
})

test('a beginning that is gone from Kafka is said: by the SUBACK, by the end marker and by the first line over HTTP', async () => {
  const topic = `${root}-gone`
  const publisher = await JsClient.connect(url(), { protocolVersion: 5 })
  for (const text of ['one', 'two']) await publisher.client.publishAsync(topic, text, { qos: 1 })
  const [, two] = (await stack.lines(`/namespaces/default/history?${new URLSearchParams({ topicFilter: topic })}`)) as {
    position: string
    receivedAt: string
  }[]
  if (!two) throw new Error('history has not both messages')
  const [partition, offset] = two.position.split(':') as [string, string]
  const admin = new kafkajs.Kafka({ brokers: [stack.brokers], logLevel: kafkajs.logLevel.NOTHING }).admin()
  const messages = `${stack.prefix}.default.messages`
  await admin.connect()
  // Which loads what the deletion needs to know of the topic.
  await admin.fetchTopicOffsets(messages)
  await admin.deleteTopicRecords({ topic: messages, partitions: [{ partition: Number(partition), offset }] })
  await admin.disconnect()
  const reader = await JsClient.connect(url(), { protocolVersion: 5 })
  const suback = new Promise<string | undefined>((resolve) => {
    reader.client.on('packetreceive', (packet) => {
      if (packet.cmd === 'suback') resolve(packet.properties?.reasonString)
    })
  })
  await reader.client.subscribeAsync(`$replay/-PT2H/${topic}`, { qos: 1 })
  const since = two.receivedAt
  expect(await suback).toContain(`history begins at ${since}`)
  await reader.until('the end marker', () => reader.arrived.some(isMarker), 60_000)
  expect(reader.arrived.filter((each) => !isMarker(each)).map(({ payload }) => String(payload))).toEqual(['two'])
  expect(JSON.parse(String(reader.arrived.find(isMarker)?.payload))).toMatchObject({ messages: 1, since })
  const lines = await stack.lines(`/namespaces/default/history?${new URLSearchParams({ topicFilter: topic, from: `${partition}:0` })}`)
  expect(lines).toMatchObject([{ since }, { payload: 'two' }])
  for (const each of [publisher, reader]) await each.end()
})

test('with access as of then a replay brings what could be subscribed to when it came, over MQTT and over HTTP, as far back as that is known', async () => {
  const topic = `${root}-then`
  const publisher = await JsClient.connect(url(), { protocolVersion: 5 })
  /** A message of the same millisecond as a change came before it. */
  const publish = async (text: string): Promise<void> => {
    const changed = Date.now()
    await until('the next millisecond', 10_000, () => Date.now() > changed)
    await publisher.client.publishAsync(topic, text, { qos: 1 })
    const published = Date.now()
    await until('the next millisecond', 10_000, () => Date.now() > published)
  }
  await publish('allowed')
  await remove(stack, 'permissionBindings/everything-sub')
  await publish('not allowed')
  await put(stack, 'permissionBindings/everything-sub', { clientGroupName: '$anonymous', topicSpaceName: 'everything', permission: 'Subscriber' })
  await publish('allowed again')
  const reader = await JsClient.connect(url(), { protocolVersion: 5 })
  const asked = (from: string) => ({ qos: 1, properties: { userProperties: { 'replay-from': from, 'replay-to': '-PT0S', 'replay-access': 'then' } } }) as const
  await reader.client.subscribeAsync(topic, asked('-PT1H'))
  await reader.until('the end marker', () => reader.arrived.some(isMarker), 60_000)
  expect(reader.arrived.filter((each) => !isMarker(each)).map(({ payload }) => String(payload))).toEqual(['allowed', 'allowed again'])
  await expect(reader.client.subscribeAsync(topic, asked('2000-01-01T00:00:00Z'))).rejects.toMatchObject({ packet: { granted: [0x8f] } })
  const lines = await stack.lines(`/namespaces/default/history?${new URLSearchParams({ topicFilter: topic, as: 'somebody', access: 'then' })}`)
  expect(lines.flatMap(({ payload }) => payload ?? [])).toEqual(['allowed', 'allowed again'])
  for (const each of [publisher, reader]) await each.end()
})

test('a replay is refused to whom the permission Replayer is missing, and in words that mean nothing', async () => {
  const reader = await JsClient.connect(url(), { protocolVersion: 5 })
  expect(await reader.subscribe(`$replay/yesterday/${root}/#`)).toBe(0x8f)
  expect(await reader.subscribe(`$share/g/$replay/-PT1H/${root}/#`)).toBe(0x8f)
  expect((await stack.api('DELETE', '/namespaces/default/permissionBindings/everything-replay')).status).toBeLessThan(300)
  await until('the permission is gone', 60_000, async () => (await reader.subscribe(`$replay/-PT1H/${root}/#`)) === 0x87)
  await reader.end()
})
