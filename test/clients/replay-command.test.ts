/** `loggerhead replay` as a user runs it: killed and stopped in the middle, and gone on with. Through a front door that is slow, so that the middle lasts. */
import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { parquetReadObjects } from 'hyparquet'
import { KafkaLog } from '../../log/kafka/kafka-log.ts'
import { count, testWith } from '../support/available.ts'
import { type Stack, startStack, until } from '../support/stack.ts'
import { type Arrived, JsClient } from './mqttjs.ts'

const project = dirname(dirname(import.meta.dirname))
const recorded = count(3_000, 50_000)
const topics = 20

let stack: Stack
let folder: string
let root: string
let door: SlowDoor
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'loggerhead-replay-'))
  stack = await startStack()
  door = await SlowDoor.start(stack.url)
  root = `recorded/${randomBytes(4).toString('hex')}`
  const publisher = await JsClient.connect(mqttUrl(), { protocolVersion: 5, clientId: `${root}-publisher` })
  let next = 0
  const worker = async (): Promise<void> => {
    while (next < recorded) {
      const i = next++
      await publisher.client.publishAsync(`${root}/${i % topics}`, payloadOf(i), {
        qos: ((i % 2) + 1) as 1 | 2,
        ...(i % 15 === 0 ? { properties: { contentType: 'text/plain', userProperties: { n: String(i), of: ['two', 'values'] } } } : {}),
      })
    }
  }
  // Of these at most 40 are under way: MQTT.js does not keep to the server's Receive Maximum by itself.
  await Promise.all(Array.from({ length: 40 }, worker))
  for (let topic = 0; topic < topics; topic++) await publisher.client.publishAsync(`${root}/${topic}`, 'last', { qos: 1 })
  await publisher.end()
}, 300_000)
afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await door?.close()
  await stack?.stop()
  rmSync(folder, { recursive: true, force: true })
}, 60_000)

const mqttUrl = (): string => `mqtt://127.0.0.1:${stack.ports.mqtt}`
const total = recorded + topics
/** Every seventh is no text. */
const payloadOf = (i: number): string | Buffer => (i % 7 === 0 ? Buffer.from([0xff, i >> 16, i >> 8, i]) : `message ${i}`)

/** So much of an answer comes at once, and then so much at a time: what follows takes a minute and more. */
const quickBytes = 64 * 1024
const slowBytes = 512
const slowEveryMs = 50

/** Passes requests on to the front door, and answers slowly when it is told to. */
class SlowDoor {
  readonly #server: Server
  isSlow = false
  /** Cuts the next answer off in the middle. */
  cutsNext = false
  requests = 0

  private constructor(target: string) {
    this.#server = createServer(async (request, response) => {
      this.requests++
      try {
        const answer = await fetch(`${target}${request.url}`, { headers: { authorization: request.headers.authorization ?? '' } })
        response.writeHead(answer.status, { 'content-type': answer.headers.get('content-type') ?? '' })
        let sent = 0
        for await (const chunk of answer.body ?? []) {
          const bytes = Buffer.from(chunk as Uint8Array)
          for (let at = 0; at < bytes.length && !response.destroyed; ) {
            const size = this.isSlow && sent >= quickBytes ? slowBytes : 8_192
            response.write(bytes.subarray(at, at + size))
            at += size
            sent += size
            if (this.cutsNext && sent > quickBytes) {
              this.cutsNext = false
              response.destroy()
            }
            if (size === slowBytes) await pause(slowEveryMs)
          }
          if (response.destroyed) break
        }
        response.end()
      } catch {
        response.destroy()
      }
    })
  }

  static async start(target: string): Promise<SlowDoor> {
    const made = new SlowDoor(target)
    made.#server.listen(0, '127.0.0.1')
    await once(made.#server, 'listening')
    return made
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

const children = new Set<ChildProcess>()

interface Running {
  readonly child: ChildProcess
  readonly ended: Promise<{ readonly code: number | null; readonly out: string; readonly err: string }>
}

function start(...args: readonly string[]): Running {
  const child = spawn(process.execPath, [join(project, 'cli/main.ts'), 'replay', ...args], {
    cwd: folder,
    env: { ...process.env, LOGGERHEAD_URL: door.url, LOGGERHEAD_DATA: stack.folder, LOGGERHEAD_PREFIX: stack.prefix, KAFKA_BROKERS: stack.brokers },
  })
  children.add(child)
  let out = ''
  let err = ''
  child.stdout.setEncoding('utf8').on('data', (text) => (out += text))
  child.stderr.setEncoding('utf8').on('data', (text) => (err += text))
  const ended = once(child, 'close').then(([code]) => {
    children.delete(child)
    return { code, out, err }
  })
  return { child, ended }
}

/** Messages that a cursor file says are done. */
function noted(cursorFile: string): number {
  try {
    return JSON.parse(readFileSync(join(folder, cursorFile), 'utf8')).messages
  } catch {
    return 0
  }
}

/** Runs the command with each signal in the middle of its work, then through an answer that breaks off, and to its end. */
async function interrupted(cursorFile: string, signals: readonly ('SIGKILL' | 'SIGINT')[], ...args: readonly string[]): Promise<void> {
  for (const signal of signals) {
    door.isSlow = true
    const before = noted(cursorFile)
    const { child, ended } = start(...args)
    // Parts of Parquet are noted when they are whole only.
    if (args.some((arg) => arg.endsWith('.parquet'))) {
      const requests = door.requests
      await until('the past is read', 60_000, () => door.requests > requests)
    } else await until('something is noted', 60_000, () => noted(cursorFile) > before)
    child.kill(signal)
    const { code, err } = await ended
    expect([signal, code, err]).toEqual([
      signal,
      signal === 'SIGKILL' ? null : 130,
      signal === 'SIGKILL' ? '' : expect.stringMatching(/^stopped after \d+ messages; /),
    ])
  }
  door.isSlow = false
  door.cutsNext = true
  const { code, err } = await start(...args).ended
  expect([code, err]).toEqual([0, `${total} messages\n`])
  expect(door.cutsNext).toBe(false)
}

const hexOf = (payload: string | Uint8Array): string => Buffer.from(payload as Uint8Array).toString('hex')
const published = (): string[] =>
  [...Array.from({ length: recorded }, (_, i) => hexOf(payloadOf(i))), ...Array.from({ length: topics }, () => hexOf('last'))].sort()

test('NDJSON: killed, stopped with Ctrl-C and cut off, the file has every message once, each topic in its order', async () => {
  await interrupted('out.ndjson.cursor', ['SIGKILL', 'SIGINT'], `${root}/#`, '--file', 'out.ndjson')
  const rows = readFileSync(join(folder, 'out.ndjson'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  expect(rows.map(({ payload, payloadBase64 }) => hexOf(payload ?? Buffer.from(payloadBase64, 'base64'))).sort()).toEqual(published())
  const last = new Map<string, number>()
  for (const { topic, position } of rows) {
    const offset = Number(position.split(':')[1])
    expect(offset).toBeGreaterThan(last.get(topic) ?? -1)
    last.set(topic, offset)
  }
  expect(rows.find(({ payload }) => payload === 'message 30')).toMatchObject({
    topic: `${root}/10`,
    qos: 1,
    clientId: `${root}-publisher`,
    contentType: 'text/plain',
    userProperties: [
      { name: 'n', value: '30' },
      { name: 'of', value: 'two' },
      { name: 'of', value: 'values' },
    ],
  })
  expect(readdirSync(folder)).not.toContain('out.ndjson.cursor')
  expect(await start(`${root}/#`, '--file', 'out.ndjson').ended).toMatchObject({ code: 1, err: expect.stringContaining('is there already') })
}, 120_000)

test('Parquet: killed and stopped, a reader of Parquet finds every message once in the folder', async () => {
  await interrupted('out.parquet.cursor', ['SIGKILL', 'SIGINT'], `${root}/#`, '--file', 'out.parquet')
  const rows: Record<string, unknown>[] = []
  for (const part of readdirSync(join(folder, 'out.parquet')))
    rows.push(...(await parquetReadObjects({ file: new Uint8Array(readFileSync(join(folder, 'out.parquet', part))).buffer, utf8: false })))
  expect(rows.map(({ payload }) => hexOf(payload as Uint8Array)).sort()).toEqual(published())
  expect(rows.find(({ offset, userProperties }) => offset !== null && userProperties !== null)).toMatchObject({
    contentType: 'text/plain',
    clientId: `${root}-publisher`,
    receivedAt: expect.any(Date),
  })
}, 120_000)

/** Every message came; what came twice was sent again after a kill, and each topic went on behind what it had. */
function expectWhole(arrived: readonly { readonly topic: string; readonly payload: Uint8Array }[]): void {
  expect([...new Set(arrived.map(({ topic, payload }) => `${topic} ${hexOf(payload)}`))].length).toBe(total)
  const numbers = new Map<string, number[]>()
  for (const { topic, payload } of arrived) {
    const number = payload[0] === 0xff ? Buffer.from(payload).readUIntBE(1, 3) : Number(/^message (\d+)$/.exec(String(Buffer.from(payload)))?.[1] ?? recorded)
    numbers.set(topic, [...(numbers.get(topic) ?? []), number])
  }
  for (const [, each] of numbers) {
    let highest = -1
    for (const number of each) {
      if (number > highest) {
        expect(number === recorded || highest === -1 || number === highest + topics).toBe(true)
        highest = number
      }
    }
  }
}

test('published again to a broker, killed and cut off in the middle, every message is there with its QoS and properties, under the prefix', async () => {
  const subscriber = await JsClient.connect(mqttUrl(), { protocolVersion: 5 })
  await subscriber.client.subscribeAsync(`again/${root}/#`, { qos: 2 })
  await interrupted('again.cursor', ['SIGKILL'], `${root}/#`, '--to-mqtt', mqttUrl(), '--topic-prefix', 'again/', '--resume', 'again.cursor')
  const came = new Set<string>()
  let counted = 0
  await subscriber.until('every message again', () => {
    for (; counted < subscriber.arrived.length; counted++) {
      const { topic, payload } = subscriber.arrived[counted] as Arrived
      came.add(`${topic} ${hexOf(payload)}`)
    }
    return came.size >= total
  })
  expectWhole(subscriber.arrived)
  const again = subscriber.arrived.find(({ payload }) => String(payload) === 'message 15')
  expect(again).toMatchObject({
    topic: `again/${root}/15`,
    packet: { qos: 2, properties: { contentType: 'text/plain', userProperties: { n: '15', of: ['two', 'values'] } } },
  })
  await subscriber.end()
  // It says that it is done, and does nothing.
  expect(await start(`${root}/#`, '--to-mqtt', mqttUrl(), '--topic-prefix', 'again/', '--resume', 'again.cursor').ended).toMatchObject({
    code: 0,
    err: `all ${total} messages were replayed before, as again.cursor says; now none was\n`,
  })
}, 120_000)

test('written to a Kafka topic, killed and cut off in the middle, every message is there with its key and headers', async () => {
  const topic = `${stack.prefix}-replayed`
  const log = new KafkaLog({ brokers: stack.brokers.split(','), clientId: 'replayed', logger: { debug() {}, info() {}, warn() {}, error() {} } })
  try {
    await log.createTopics([{ name: topic, partitions: 2, replication: 1, settings: {} }])
    await interrupted('kafka.cursor', ['SIGKILL'], `${root}/#`, '--to-kafka', topic, '--resume', 'kafka.cursor')
    const arrived: { readonly topic: string; readonly payload: Buffer; readonly headers: Record<string, string> }[] = []
    for (const [partition, end] of await log.endOffsets(topic)) {
      for (let at = 0; at < end; ) {
        const { records, nextOffset } = await log.read(topic, partition, at, 1 << 20)
        for (const { key, value, headers } of records) {
          const named = Object.fromEntries((headers ?? []).map(({ name, value }) => [name, String(value)]))
          arrived.push({ topic: String(key), payload: value as Buffer, headers: named })
        }
        at = nextOffset
      }
    }
    expectWhole(arrived)
    expect(arrived.find(({ payload }) => String(payload) === 'message 30')?.headers).toMatchObject({
      mqtt_topic: `${root}/10`,
      mqtt_qos: '1',
      mqtt_user_property_n: '30',
      loggerhead_position: expect.stringMatching(/^\d+:\d+$/),
    })
    const own = `${stack.prefix}.default.messages`
    expect(await start('--to-kafka', own).ended).toMatchObject({ code: 1, err: expect.stringContaining(`${own} is one of the broker’s own topics`) })
  } finally {
    await log.close()
  }
}, 120_000)

test('printed, with a pace and a limit; what is wrong is said before anything is done', async () => {
  const { code, out, err } = await start(`${root}/3`, '--limit', '5', '--speed', '1000').ended
  expect([code, out.trim().split('\n').length, err]).toEqual([0, 5, '5 messages\n'])
  expect(out).toMatch(new RegExp(`^\\S+Z ${root}/3 message 3\n`))
  for (const [args, why] of [
    [['--file', 'out.txt'], '“out.txt” does not end in .ndjson, .jsonl, .csv, .parquet'],
    [['--file', 'a.csv', '--to-kafka', 'b'], 'only one of them'],
    [['--file', 'a.csv', '--speed', '2'], '--speed: a file is written as fast as it goes'],
    [['--speed', 'fast'], '--speed: “fast” is not from 0.001 to 1000000'],
    [['--to-mqtt', '127.0.0.1:1883'], 'is not an address'],
    [['--from', 'yesterday'], 'from'],
    [['$share/g/a'], 'topicFilter'],
  ] as const) {
    const refused = await start(...args).ended
    expect([refused.code, refused.err]).toEqual([1, expect.stringContaining(why)])
  }
}, 120_000)

/** Runs the commands of a page one after the other; those that never end by themselves are told when to. */
testWith(
  'mosquitto_pub',
  'mosquitto_sub',
  'curl',
  'bash',
)(
  'the examples of docs/replay.md work as they stand',
  async () => {
    const page = readFileSync(join(project, 'docs/replay.md'), 'utf8')
    const examples = [...page.matchAll(/^```sh\n([\s\S]*?)^```$/gm)].map(([, text]) => text as string)
    expect(examples.length).toBeGreaterThanOrEqual(3)
    const ported = examples
      .join('\n')
      .replaceAll('-p 1883', `-p ${stack.ports.mqtt}`)
      .replaceAll('127.0.0.1:1883', `127.0.0.1:${stack.ports.mqtt}`)
      .replaceAll('127.0.0.1:8080', new URL(stack.url).host)
    const script = `
    npx() { shift; '${process.execPath}' '${join(project, 'cli/loggerhead.mjs')}' "$@"; }
    mosquitto_sub() { command mosquitto_sub "$@" -C 2 -W 60; }
    ${ported}`
    symlinkSync(stack.folder, join(folder, '.data'))
    const child = spawn('bash', ['-euc', script], {
      cwd: folder,
      env: { ...process.env, LOGGERHEAD_URL: stack.url, LOGGERHEAD_DATA: stack.folder, LOGGERHEAD_PREFIX: stack.prefix, KAFKA_BROKERS: stack.brokers },
    })
    children.add(child)
    let out = ''
    let err = ''
    child.stdout.setEncoding('utf8').on('data', (text) => (out += text))
    child.stderr.setEncoding('utf8').on('data', (text) => (err += text))
    const [code] = await once(child, 'close')
    children.delete(child)
    expect([code, err]).toEqual([0, expect.not.stringContaining('loggerhead:')])
    expect(out).toContain('sample/topic1 hello\n')
    expect(out).toContain('$replay/end {')
    expect(out).toContain('"topic":"sample/topic1"')
  },
  120_000,
)
