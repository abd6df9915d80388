import { execFile } from 'node:child_process'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { kafkaPython } from '../support/kafka-python.ts'
import { type SchemaRegistry, schemaRegistry } from '../support/schema-registry.ts'
import { type Stack, startStack } from '../support/stack.ts'
import { JsClient } from './mqttjs.ts'

/** A deployment with a schema registry: Apicurio Registry, and as its reader the deserializer of Confluent's own client for Python. */

const run = promisify(execFile)
const project = dirname(dirname(import.meta.dirname))
const server = await schemaRegistry()
const snake = 'missing' in server ? server : await kafkaPython('print_registered_messages.py')
const skipped = 'missing' in server ? server.missing : 'missing' in snake ? snake.missing : undefined
const testWithBoth = skipped === undefined ? test : test.skip

let registry: SchemaRegistry | undefined
let stack: Stack | undefined

beforeAll(async () => {
  if (skipped !== undefined || 'missing' in server) return
  registry = await server.start()
  stack = await startStack({ environment: { SCHEMA_REGISTRY_URL: registry.url } })
}, 240_000)

afterAll(async () => {
  await stack?.stop()
  await registry?.stop()
}, 60_000)

const connect = (clientId: string) =>
  JsClient.connect(`mqtt://127.0.0.1:${stack?.ports.mqtt}`, { clientId, protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 3600 } })
const received = (client: JsClient): string[] => client.arrived.map(({ payload }) => payload.toString())

describe(`a schema registry${skipped === undefined ? '' : ` [skipped: ${skipped}]`}`, () => {
  testWithBoth(
    'a foreign deserializer reads the messages by it; after a switch to single objects, with the registry away, what is owed in either framing arrives in order',
    async () => {
      const there = stack as Stack
      const subscriber = await connect('subscriber')
      await subscriber.client.subscribeAsync('registered/#', { qos: 1 })
      await subscriber.client.endAsync()
      const publisher = await connect('publisher')
      await publisher.client.publishAsync('registered/a', 'first', { qos: 1, properties: { userProperties: { site: 'Nord' } } })
      await publisher.client.publishAsync('registered/kept', 'retained', { qos: 1, retain: true })

      const { stdout } = await run((snake as { program: string }).program, ['docs/examples/print_registered_messages.py'], {
        cwd: project,
        timeout: 60_000,
        env: {
          ...process.env,
          KAFKA_BROKERS: there.brokers,
          TOPIC: `${there.prefix}.default.messages`,
          SCHEMA_REGISTRY_URL: registry?.url,
          COUNT: '2',
        },
      })
      const read = stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line))
      expect(read).toHaveLength(2)
      expect(read).toContainEqual(
        expect.objectContaining({ topic: 'registered/a', payload: 'first', qos: 1, clientId: 'publisher', userProperties: [['site', 'Nord']] }),
      )
      expect(read).toContainEqual(expect.objectContaining({ topic: 'registered/kept', payload: 'retained' }))

      const tail = (environment: object) =>
        run(process.execPath, [join(project, 'cli/main.ts'), '--json', 'tail', 'lifecycle', '--from-beginning', '--end'], {
          timeout: 60_000,
          env: { ...process.env, KAFKA_BROKERS: there.brokers, LOGGERHEAD_PREFIX: there.prefix, ...environment },
        })
      expect((await tail({ SCHEMA_REGISTRY_URL: registry?.url })).stdout).toContain('MQTTClientSessionConnected')
      expect((await tail({})).stdout).toMatch(/unreadable.*SCHEMA_REGISTRY_URL/)

      await publisher.client.endAsync()
      await there.stop({ keep: true })
      stack = await startStack({ previous: there, environment: { SCHEMA_REGISTRY_URL: registry?.url, SCHEMA_REGISTRY_FRAMING: 'single-object' } })
      // Whoever runs asks it nothing more.
      await registry?.stop()
      const again = await connect('publisher')
      await again.client.publishAsync('registered/a', 'second', { qos: 1 })
      await again.client.publishAsync('registered/a', 'third', { qos: 1 })
      await again.client.endAsync()
      const back = await connect('subscriber')
      await back.until('everything owed', () => ['first', 'retained', 'second', 'third'].every((text) => received(back).includes(text)))
      expect(received(back).filter((text) => text !== 'retained')).toEqual(['first', 'second', 'third'])
      await back.client.endAsync()
      const fresh = await connect('fresh')
      await fresh.client.subscribeAsync('registered/kept', { qos: 1 })
      await fresh.until('what is retained', () => fresh.arrived.length > 0)
      expect(fresh.arrived).toMatchObject([{ topic: 'registered/kept', payload: Buffer.from('retained'), packet: { retain: true } }])
      await fresh.client.endAsync()
    },
    180_000,
  )
})
