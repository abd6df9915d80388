import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { dirname } from 'node:path'
import { createInterface } from 'node:readline'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { pino } from 'pino'
import { KafkaLog } from '../../log/kafka/kafka-log.ts'
import type { Log } from '../../log/log.ts'
import { partitionOf } from '../../log/partitioner.ts'
import { encodeRecord } from '../../schemas/codec.ts'
import type { Message } from '../../schemas/message.ts'
import { kafkaPython } from '../support/kafka-python.ts'
import { loggedMessage } from '../support/logged-message.ts'

/** The consumer examples of docs/examples, run as an analyst runs them, on records as the gateways write them. */

const project = dirname(dirname(import.meta.dirname))
const brokers = process.env.KAFKA_BROKERS
const topic = `examples-${randomBytes(4).toString('hex')}.default.messages`
const partitions = 3

const position = { type: 'Feature', geometry: { type: 'Point', coordinates: [-122.1328, 47.6424] }, properties: { name: 'vehicle 7' } }

const messages: readonly Message[] = [
  {
    ...publish('vehicles/vehicle07/position', Buffer.from(JSON.stringify(position))),
    contentType: 'application/geo+json',
    userProperties: [
      { name: 'fleet', value: 'north' },
      { name: 'fleet', value: 'zweites „Nord“' },
      { name: 'trace', value: '' },
    ],
  },
  {
    ...publish('vehicles/vehicle08/raw', Buffer.from([0xff, 0x00, 0xc3, 0x28])),
    qos: 0,
    retain: true,
    correlationData: Buffer.from([1, 2]),
    responseTopic: 'answers/8',
  },
  { ...publish('vehicles/vehicle09/nothing', Buffer.alloc(0)), protocolVersion: 4 },
]

function publish(topic: string, payload: Buffer): Message {
  return loggedMessage({
    messageId: randomBytes(16),
    clientId: `client-${topic.split('/')[1]}`,
    session: 2 ** 40,
    receivedAt: Date.UTC(2026, 10, 22, 1, 2, 3, 456),
    topic,
    authenticationName: 'authn',
    payload,
  })
}

/** What an example must print for each of them, beside where the record stands. */
const printed = [
  {
    receivedAt: '2026-11-22T01:02:03.456Z',
    topic: 'vehicles/vehicle07/position',
    qos: 1,
    retain: false,
    clientId: 'client-vehicle07',
    authenticationName: 'authn',
    contentType: 'application/geo+json',
    userProperties: [
      ['fleet', 'north'],
      ['fleet', 'zweites „Nord“'],
      ['trace', ''],
    ],
    payload: JSON.stringify(position),
  },
  {
    receivedAt: '2026-11-22T01:02:03.456Z',
    topic: 'vehicles/vehicle08/raw',
    qos: 0,
    retain: true,
    clientId: 'client-vehicle08',
    authenticationName: 'authn',
    contentType: null,
    userProperties: [],
    payloadBase64: '/wDDKA==',
  },
  {
    receivedAt: '2026-11-22T01:02:03.456Z',
    topic: 'vehicles/vehicle09/nothing',
    qos: 1,
    retain: false,
    clientId: 'client-vehicle09',
    authenticationName: 'authn',
    contentType: null,
    userProperties: [],
    payload: '',
  },
]

let log: Log | undefined
const children = new Set<ChildProcess>()

async function append(value: Buffer, key: string): Promise<void> {
  const appender = await (log as Log).appender()
  await appender.write({ topic, partition: partitionOf(key, partitions), key: Buffer.from(key), value, timestamp: Date.now() })
  await appender.close()
}

beforeAll(async () => {
  if (brokers === undefined) return
  log = new KafkaLog({ brokers: brokers.split(','), clientId: 'examples-test', logger: pino({ level: 'silent' }) })
  await log.createTopics([{ name: topic, partitions, replication: 1, settings: {} }])
  await append(encodeRecord('Message', publish('$loggerhead/canary/gateway/1', Buffer.from('a health check'))), messages[0]?.topic ?? '')
  for (const message of messages) await append(encodeRecord('Message', message), message.topic)
})

afterAll(async () => {
  for (const child of children) child.kill('SIGKILL')
  await log?.close()
})

/** Runs an example until it has printed so many lines; gives them back in order of the topics. */
async function lines(program: string, args: readonly string[], count: number): Promise<unknown[]> {
  const environment = { ...process.env, KAFKA_BROKERS: brokers, TOPIC: topic, COUNT: String(count) }
  const child = spawn(program, args, { cwd: project, env: environment, stdio: ['ignore', 'pipe', 'pipe'] })
  children.add(child)
  const found: { topic: string; partition?: number; offset?: number }[] = []
  let errors = ''
  createInterface({ input: child.stdout }).on('line', (line) => found.push(JSON.parse(line)))
  child.stderr.on('data', (chunk) => {
    errors += chunk
  })
  const [code] = await once(child, 'close')
  children.delete(child)
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}: ${errors}`)
  found.sort((a, b) => (a.topic < b.topic ? -1 : 1))
  return found.map(({ partition, offset, ...rest }) => {
    expect(partition).toBe(partitionOf(rest.topic, partitions))
    expect(offset).toBeGreaterThanOrEqual(0)
    return rest
  })
}

const withKafka = brokers === undefined ? describe.skip : describe
const snake = brokers === undefined ? { missing: 'KAFKA_BROKERS is not set' } : await kafkaPython()
const withPython = 'missing' in snake ? test.skip : test
const why = 'missing' in snake ? ` (skipped: ${snake.missing})` : ''

withKafka(`consumer examples${brokers === undefined ? ' (skipped: KAFKA_BROKERS is not set)' : ''}`, () => {
  test('print-messages.mjs prints every publish but the health checks, with its user properties in order, and stops after COUNT', async () => {
    expect(await lines(process.execPath, ['docs/examples/print-messages.mjs'], messages.length)).toEqual(printed)
  })

  withPython(
    `print_messages.py prints the same${why}`,
    async () => {
      const { program } = snake as { program: string }
      expect(await lines(program, ['docs/examples/print_messages.py'], messages.length)).toEqual(printed)
    },
    180_000,
  )
})
