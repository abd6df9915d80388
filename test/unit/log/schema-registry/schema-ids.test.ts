import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, describe, expect, test } from '@jest/globals'
import { SchemaIds } from '../../../../log/schema-registry/schema-ids.ts'
import { type SchemaRegistryConfig, schemaRegistryConfig, schemaRegistrySettings } from '../../../../log/schema-registry/settings.ts'
import { subjectOf } from '../../../../log/schema-registry/subject.ts'
import { topicNames } from '../../../../log/topics.ts'
import { decodeRecord, encodeRecord, framingOf, recordHeader, schemaOf } from '../../../../schemas/codec.ts'
import { readSettings, SettingError } from '../../../../settings/setting.ts'

const topics = topicNames('loggerhead', 'default')
const messages = 'loggerhead.default.messages-value'
const lifecycle = 'loggerhead.default.lifecycle-value'

/** A registry as far as its documented API is used here; the tests of test/clients use a real one. */
class StandIn {
  readonly subjects = new Map<string, { readonly id: number; readonly schema: string }[]>()
  readonly asked: string[] = []
  /** Answers instead, as long as it gives a status. */
  trouble: (asked: string) => number | undefined = () => undefined
  authorization: string | undefined
  readonly #server: Server
  #ids = 0

  constructor() {
    this.#server = createServer((request, response) => void this.#answer(request, response))
  }

  async listen(port = 0): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(port, '127.0.0.1', resolve))
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/apis/ccompat/v7`
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  add(subject: string, schema: string): number {
    this.subjects.set(subject, [...(this.subjects.get(subject) ?? []), { id: ++this.#ids, schema }])
    return this.#ids
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const path = decodeURIComponent((request.url ?? '').replace('/apis/ccompat/v7', ''))
    this.asked.push(`${request.method} ${path}`)
    this.authorization = request.headers.authorization
    const send = (status: number, body: object): void => {
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    }
    const trouble = this.trouble(`${request.method} ${path}`)
    if (trouble !== undefined) return send(trouble, { error_code: trouble, message: 'as the test says' })
    const [, subject = '', version] = /^\/subjects\/([^/]+)\/versions(?:\/(\d+))?$/.exec(path) ?? []
    const versions = this.subjects.get(subject)
    if (request.method === 'POST') {
      const { schema } = JSON.parse(Buffer.concat(chunks).toString()) as { schema: string }
      return send(200, { id: this.add(subject, schema) })
    }
    if (versions === undefined) return send(404, { error_code: 40401, message: 'no such subject' })
    if (version === undefined)
      return send(
        200,
        versions.map((_, index) => index + 1),
      )
    return send(200, { subject, version: Number(version), ...versions[Number(version) - 1] })
  }
}

const open: StandIn[] = []
async function standIn(): Promise<{ readonly registry: StandIn; readonly url: string }> {
  const registry = new StandIn()
  open.push(registry)
  return { registry, url: await registry.listen() }
}

const said: string[] = []
const idsOf = (urls: readonly string[], given: Partial<SchemaRegistryConfig> = {}): SchemaIds =>
  new SchemaIds({
    config: {
      urls,
      writesIds: true,
      naming: 'TopicNameStrategy',
      registers: true,
      authorization: undefined,
      ca: undefined,
      startTimeoutMs: 20_000,
      ...given,
    },
    logger: { info: (_, text) => said.push(text), warn: (_, text) => said.push(text) },
  })

afterEach(() => {
  for (const registry of open.splice(0)) registry.close()
  said.length = 0
  for (const name of ['Message', 'LifecycleEvent'] as const) framingOf(name).written = recordHeader(name)
})

describe('when a process begins', () => {
  test('the schemas of messages and life cycle events are registered, and their ids written; the journals go on as they were', async () => {
    const { registry, url } = await standIn()
    await idsOf([url]).learn(topics)
    expect([...registry.subjects.keys()]).toEqual([messages, lifecycle])
    expect(JSON.parse(registry.subjects.get(messages)?.[0]?.schema ?? '')).toEqual(schemaOf('Message'))
    expect(framingOf('Message').written).toEqual(Buffer.from([0, 0, 0, 0, 1]))
    const event = { id: '1', type: 't', source: 's', subject: 'x', time: 1, data: '{}' }
    const value = encodeRecord('LifecycleEvent', event)
    expect(value.subarray(0, 5)).toEqual(Buffer.from([0, 0, 0, 0, 2]))
    expect(decodeRecord(value)).toEqual({ name: 'LifecycleEvent', value: event })
    expect(encodeRecord('TermAnnounced', { shard: 0, term: 1 })[0]).toBe(0xc3)
  })

  test('what is registered is not registered again, nor asked for again by records', async () => {
    const { registry, url } = await standIn()
    await idsOf([url]).learn(topics)
    registry.asked.length = 0
    await idsOf([url]).learn(topics)
    expect(registry.asked.filter((asked) => asked.startsWith('POST'))).toEqual([])
    registry.asked.length = 0
    decodeRecord(encodeRecord('LifecycleEvent', { id: '1', type: 't', source: 's', subject: 'x', time: 1, data: '{}' }))
    expect(registry.asked).toEqual([])
  })

  test('every id of a subject that stands for a schema of ours can be read, and what stands for none is passed over', async () => {
    const { registry, url } = await standIn()
    const { doc: _, ...undocumented } = schemaOf('Message') as { readonly doc?: string }
    for (let id = 1; id < 11; id++) registry.add('others', '"string"')
    registry.add(messages, JSON.stringify(undocumented))
    registry.add(messages, '"string"')
    registry.add(messages, 'no JSON')
    registry.add(messages, '{"type": {"fields": 7}}')
    registry.add(messages, JSON.stringify(schemaOf('Message')))
    await idsOf([url]).learn(topics)
    expect(registry.subjects.get(messages)).toHaveLength(5)
    expect([...framingOf('Message').ids]).toEqual(expect.arrayContaining([11, 15]))
    expect(framingOf('Message').written).toEqual(Buffer.from([0, 0, 0, 0, 15]))
  })

  test('with SCHEMA_REGISTRY_FRAMING=single-object the ids are known for reading, and nothing is written with them', async () => {
    const { registry, url } = await standIn()
    for (let id = 1; id < 21; id++) registry.add('others', '"string"')
    await idsOf([url], { writesIds: false }).learn(topics)
    expect(framingOf('Message').ids.has(21)).toBe(true)
    expect(framingOf('Message').written).toBe(recordHeader('Message'))
  })

  test('with SCHEMA_REGISTRY_REGISTER=false a missing schema stops it, and the sentence names subject and setting', async () => {
    const { registry, url } = await standIn()
    await expect(idsOf([url], { registers: false }).learn(topics)).rejects.toThrow(
      /schema of Message .* subject loggerhead\.default\.messages-value.*SCHEMA_REGISTRY_REGISTER/,
    )
    expect(registry.subjects.size).toBe(0)
  })
})

describe('a schema registry', () => {
  test('that is away is asked again, with pauses, until SCHEMA_REGISTRY_START_TIMEOUT is over', async () => {
    const { registry, url } = await standIn()
    let refusals = 2
    registry.trouble = () => (refusals-- > 0 ? 503 : undefined)
    await idsOf([url]).learn(topics)
    expect(said.filter((text) => text === 'the schema registry does not answer')).toHaveLength(2)

    registry.close()
    await expect(idsOf([url], { startTimeoutMs: 300 }).learn(topics)).rejects.toThrow(/not reached within 300 ms \(.*ECONNREFUSED\)/)
  })

  test('with several addresses is asked where it answers', async () => {
    const { url } = await standIn()
    const { registry, url: busy } = await standIn()
    registry.trouble = () => 500
    await idsOf([busy, url]).learn(topics)
    expect(registry.subjects.size).toBe(0)
    expect(framingOf('Message').written).toHaveLength(5)
  })

  test('that refuses stops the start at once, with what it says', async () => {
    const { registry, url } = await standIn()
    registry.trouble = () => 401
    await expect(idsOf([url]).learn(topics)).rejects.toThrow(/refuses: .* answers 401: as the test says/)
    registry.trouble = (asked) => (asked.startsWith('POST') ? 409 : undefined)
    await expect(idsOf([url]).learn(topics)).rejects.toThrow(/does not take the schema of Message under the subject loggerhead\.default\.messages-value.*409/)
    expect(said).toEqual([])
  })

  test('is shown user and password, which no error tells', async () => {
    const { registry, url } = await standIn()
    const authorization = `Basic ${Buffer.from('user:geheim').toString('base64')}`
    await idsOf([url], { authorization }).learn(topics)
    expect(registry.authorization).toBe(authorization)
    registry.trouble = () => 403
    const told = await idsOf([url], { authorization })
      .learn(topics)
      .catch((error: Error) => `${error.message} ${(error.cause as Error).message}`)
    expect(told).toContain('403')
    expect(told).not.toMatch(/geheim|dXNlcjpnZWhlaW0/)
  })
})

describe('settings', () => {
  const read = (environment: Readonly<Record<string, string>>) => schemaRegistryConfig(readSettings(schemaRegistrySettings, environment))

  test('without SCHEMA_REGISTRY_URL there is no schema registry', () => {
    expect(read({})).toBeNull()
    expect(read({ SCHEMA_REGISTRY_URL: 'http://a:1/x/, https://b' })).toMatchObject({ urls: ['http://a:1/x', 'https://b'], writesIds: true, registers: true })
  })

  test.each([
    [{ SCHEMA_REGISTRY_URL: 'ftp://a' }, 'SCHEMA_REGISTRY_URL'],
    [{ SCHEMA_REGISTRY_URL: 'registry:8081' }, 'SCHEMA_REGISTRY_URL'],
    [{ SCHEMA_REGISTRY_URL: 'http://a', SCHEMA_REGISTRY_SUBJECTS: 'Other' }, 'SCHEMA_REGISTRY_SUBJECTS'],
    [{ SCHEMA_REGISTRY_URL: 'http://a', SCHEMA_REGISTRY_USERNAME: 'u' }, 'SCHEMA_REGISTRY_PASSWORD_FILE'],
    [{ SCHEMA_REGISTRY_URL: 'http://a', SCHEMA_REGISTRY_CA: '/nowhere' }, 'SCHEMA_REGISTRY_CA'],
  ])('%p is refused by its name', (environment, variable) => {
    expect(() => read(environment)).toThrow(SettingError)
    expect(() => read(environment)).toThrow(variable)
  })

  test('a password in the address is refused without being told', () => {
    const refuse = () => read({ SCHEMA_REGISTRY_URL: 'https://user:geheim@registry:8081' })
    expect(refuse).toThrow('SCHEMA_REGISTRY_PASSWORD_FILE')
    expect(refuse).not.toThrow('geheim')
  })

  test('subjects are called as Confluent’s clients expect it', () => {
    expect(subjectOf('TopicNameStrategy', topics.messages, 'loggerhead.Message')).toBe(messages)
    expect(subjectOf('RecordNameStrategy', topics.messages, 'loggerhead.Message')).toBe('loggerhead.Message')
    expect(subjectOf('TopicRecordNameStrategy', topics.messages, 'loggerhead.Message')).toBe('loggerhead.default.messages-loggerhead.Message')
  })
})
