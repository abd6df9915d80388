/** Two namespaces of one deployment on a real Kafka, over real TLS: the same names in both, and nothing that goes from one to the other. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { IClientOptions } from 'mqtt'
import { pino } from 'pino'
import { KafkaLog } from '../../../log/kafka/kafka-log.ts'
import { type KeyPair, OpensslAuthority } from '../../clients/certificates.ts'
import { JsClient } from '../../clients/mqttjs.ts'
import { type Stack, startStack, until } from '../../support/stack.ts'

const withKafka = process.env.KAFKA_BROKERS && OpensslAuthority.isInstalled ? describe : describe.skip
const hosts = { default: 'mqtt.home.example', factory: 'mqtt.factory.example' } as const
type Name = keyof typeof hosts

withKafka('two namespaces of one deployment', () => {
  let stack: Stack
  let log: KafkaLog
  const pairs = {} as Record<Name, KeyPair>

  async function put(path: string, body: object): Promise<{ readonly status: number; readonly body: unknown }> {
    const answer = await stack.api('PUT', `/namespaces/${path}`, body)
    if (answer.status >= 300) throw new Error(`PUT ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return answer
  }
  const withHosts = (...names: readonly string[]) => ({
    topicSpacesConfiguration: { customDomains: names.map((fullyQualifiedDomainName) => ({ fullyQualifiedDomainName })) },
  })

  /** The same resources in each: a client `device` that may do everything, by a CA of the same name and another key. */
  async function fill(name: Name): Promise<void> {
    const authority = await OpensslAuthority.make('Fleet CA')
    pairs[name] = await authority.client('device')
    await put(`${name}/caCertificates/fleet`, { encodedCertificate: authority.root.certificate })
    await put(`${name}/clients/device`, { clientCertificateAuthentication: { validationScheme: 'SubjectMatchesAuthenticationName' } })
    await put(`${name}/topicSpaces/all-topics`, { topicTemplates: ['#'] })
    for (const permission of ['Publisher', 'Subscriber'])
      await put(`${name}/permissionBindings/all-${permission}`, { clientGroupName: '$all', topicSpaceName: 'all-topics', permission })
  }

  const options = (to: Name, clientId: string, more: IClientOptions = {}, pair: KeyPair = pairs[to]): IClientOptions => ({
    protocolVersion: 5,
    clientId,
    username: 'device',
    servername: hosts[to],
    rejectUnauthorized: false,
    cert: pair.certificate,
    key: pair.key,
    ...more,
  })
  const url = () => `mqtts://127.0.0.1:${stack.ports.mqtts}`
  const connect = (to: Name, clientId: string, more: IClientOptions = {}) => JsClient.connect(url(), options(to, clientId, more))
  const persistent: IClientOptions = { clean: false, properties: { sessionExpiryInterval: 600 } }
  const payloads = (client: JsClient) => client.arrived.map(({ payload }) => payload.toString())

  /** As connect, when a change of the registry is not everywhere yet. */
  async function connectSoon(to: Name, clientId: string): Promise<JsClient> {
    const client = await until(`${to} lets ${clientId} in`, 60_000, () => connect(to, clientId).catch(() => undefined))
    await until('it may subscribe', 60_000, async () => (await client.subscribe('ready')) === 1)
    return client
  }

  beforeAll(async () => {
    stack = await startStack({ environment: { KAFKA_PARTITIONS: '2', NAMESPACE_REMOVAL_DELAY: '3000', SESSION_QUEUE_MESSAGES_MAX: '50' } })
    log = new KafkaLog({ brokers: stack.brokers.split(','), clientId: 'test', logger: pino({ level: 'silent' }) })
    await put('default', withHosts(hosts.default))
    await put('factory', { partitions: 3, ...withHosts(hosts.factory) })
    for (const name of ['default', 'factory'] as const) {
      await fill(name)
      await (await connectSoon(name, 'first')).end()
    }
  }, 180_000)

  afterAll(async () => {
    await log?.close()
    await stack?.stop()
  })

  test('the requests of docs/namespaces.md make a namespace that lets the sample client in', async () => {
    const page = readFileSync(join(import.meta.dirname, '../../../docs/namespaces.md'), 'utf8')
    const [, script = ''] = /```sh\n(door=[\s\S]*?)```/.exec(page) ?? []
    const here = script.replaceAll('http://127.0.0.1:8080', stack.url).replaceAll('.data/', `${stack.folder}/`).replaceAll('factory', 'written')
    await promisify(execFile)('bash', ['-ec', here])
    const { ca, clientCertificate, clientKey } = stack.certificates
    const [cert, key] = [readFileSync(clientCertificate, 'utf8'), readFileSync(clientKey, 'utf8')]
    const sample: IClientOptions = {
      protocolVersion: 5,
      username: 'sample_client',
      servername: 'mqtt.written.example',
      cert,
      key,
      ca: readFileSync(ca),
      rejectUnauthorized: false,
    }
    const client = await until('the sample client is let in', 60_000, () => JsClient.connect(url(), sample).catch(() => undefined))
    await until('it may publish', 60_000, async () => (await client.publish('line/1', 'hello')) === 'done')
    await client.end()
    const loggerhead = async (...args: readonly string[]) => {
      const { stdout } = await promisify(execFile)(process.execPath, [join(import.meta.dirname, '../../../cli/main.ts'), '--url', stack.url, ...args], {
        env: { ...process.env, LOGGERHEAD_API_KEY: stack.apiKey },
      })
      return stdout
    }
    expect((await loggerhead('namespace', 'list')).split('\n').find((line) => line.startsWith('written'))).toMatch(/^written +4 +mqtt\.written\.example *$/)
    await loggerhead('namespace', 'delete', 'written')
    expect((await stack.api('GET', '/namespaces/written')).status).toBe(404)
  })

  test('NS-01 the same client ids, topics, retained messages, shared groups and wills stay apart', async () => {
    const clients = {} as Record<Name, { readonly plain: JsClient; readonly member: JsClient }>
    for (const name of ['default', 'factory'] as const) {
      const [plain, member] = [await connect(name, 'plain'), await connect(name, 'member')]
      await plain.client.subscribeAsync('line/#', { qos: 1 })
      await member.client.subscribeAsync('$share/crew/line/#', { qos: 1 })
      clients[name] = { plain, member }
    }
    const mortal = await connect('default', 'mortal', { will: { topic: 'line/will', payload: Buffer.from('will of home'), qos: 1, retain: false } })
    await clients.default.plain.client.publishAsync('line/kept', 'kept at home', { qos: 1, retain: true })
    for (let i = 0; i < 5; i++) await clients.default.plain.client.publishAsync('line/1', `home ${i}`, { qos: 1 })
    mortal.client.stream.destroy()
    const ofHome = ['kept at home', 'home 0', 'home 1', 'home 2', 'home 3', 'home 4', 'will of home']
    for (const each of Object.values(clients.default)) await each.until('all of home', () => each.arrived.length >= ofHome.length)
    // What had come from home would stand before this.
    await clients.factory.plain.client.publishAsync('line/1', 'of the factory', { qos: 1 })
    for (const each of Object.values(clients.factory)) await each.until('the marker', () => each.arrived.length > 0)
    for (const each of Object.values(clients.default)) expect(payloads(each).sort()).toEqual([...ofHome].sort())
    for (const each of Object.values(clients.factory)) expect(payloads(each)).toEqual(['of the factory'])
    const late = await connect('factory', 'late')
    await late.client.subscribeAsync('line/#', { qos: 1 })
    await late.client.publishAsync('line/2', 'after', { qos: 1 })
    await late.until('its own message', () => late.arrived.length > 0)
    expect(payloads(late)).toEqual(['after'])
    for (const each of [...Object.values(clients.default), ...Object.values(clients.factory), late]) await each.end()
  })

  test('a certificate of one namespace is refused by the host name of the other, and the log says why', async () => {
    for (const [to, from] of [
      ['default', 'factory'],
      ['factory', 'default'],
    ] as const)
      expect(await JsClient.attempt(url(), options(to, 'stranger', {}, pairs[from]))).toBe(0x87)
    const lines = () =>
      readFileSync(join(stack.folder, 'logs', 'gateway.log'), 'utf8')
        .split('\n')
        .filter((line) => line.includes('made the signature'))
    // The log file is written by the supervisor, a little later.
    await until('the log says so for factory', 60_000, () => lines().some((line) => line.includes('"namespace":"factory"')))
    await until('the log says so for the home namespace', 60_000, () => lines().some((line) => !line.includes('"namespace":')))
  })

  test('a session of the same name waits in each with its own messages, through the death of gateway and router', async () => {
    for (const name of ['default', 'factory'] as const) {
      const sleeper = await connect(name, 'sleeper', persistent)
      await sleeper.client.subscribeAsync('night/#', { qos: 1 })
      await sleeper.end()
      const publisher = await connect(name, 'publisher')
      for (let i = 0; i < 3; i++) await publisher.client.publishAsync('night/1', `${name} ${i}`, { qos: 1 })
      await publisher.end()
    }
    const sessions = (await stack.api('GET', '/namespaces/factory/sessions')).body as { readonly value: readonly { readonly name: string }[] }
    expect(sessions.value.map(({ name }) => name)).toContain('sleeper')
    const before = { gateway: (await stack.process('gateway')).pid, router: (await stack.process('router')).pid }
    for (const name of ['gateway', 'router'] as const) await stack.kill(name)
    for (const name of ['gateway', 'router'] as const) await stack.restarted(name, before[name])
    for (const name of ['default', 'factory'] as const) {
      const sleeper = await until(`${name} wakes up`, 60_000, () => connect(name, 'sleeper', persistent).catch(() => undefined))
      await sleeper.until('what waited', () => new Set(payloads(sleeper)).size >= 3)
      expect([...new Set(payloads(sleeper))]).toEqual([`${name} 0`, `${name} 1`, `${name} 2`])
      await sleeper.end()
    }
  }, 120_000)

  test('SESSION_QUEUE_MESSAGES_MAX ends a session of one namespace, and its namesake in the other goes on', async () => {
    for (const name of ['default', 'factory'] as const) {
      const hoarder = await connect(name, 'hoarder', persistent)
      await hoarder.client.subscribeAsync('heap/#', { qos: 1 })
      await hoarder.end()
    }
    const publisher = await connect('factory', 'publisher')
    await Promise.all(Array.from({ length: 60 }, (_, i) => publisher.client.publishAsync('heap/1', `${i}`, { qos: 1 })))
    await publisher.end()
    const isThere = async (name: Name) => (await stack.api('GET', `/namespaces/${name}/sessions/hoarder`)).status
    await until('the full session is over', 60_000, async () => (await isThere('factory')) === 404)
    expect(await isThere('default')).toBe(200)
  })

  test('a namespace whose topics are gone is told at /status, takes nothing down with it, and can be deleted', async () => {
    await put('broken', { partitions: 1 })
    const { pid } = await stack.process('router')
    const state = async (process: string) => {
      const { ports } = await stack.process(process)
      const { namespaces } = (await (await fetch(`http://127.0.0.1:${ports.internal}/status`)).json()) as {
        readonly namespaces?: Record<string, { ok: boolean }>
      }
      return namespaces?.broken?.ok
    }
    const both = async () => JSON.stringify([await state('router'), await state('gateway')])
    await until('both serve it', 60_000, async () => (await both()) === '[true,true]')
    await log.deleteTopics(['messages', 'sessions', 'inbox'].map((topic) => `${stack.prefix}.broken.${topic}`))
    // Who comes to see it first makes the topics anew, perhaps before the other has looked.
    await until('it is told', 60_000, async () => (await both()).includes('false'))
    const [subscriber, publisher] = [await connect('factory', 'subscriber'), await connect('factory', 'publisher')]
    await subscriber.client.subscribeAsync('on/#', { qos: 1 })
    for (let i = 0; i < 20; i++) {
      await publisher.client.publishAsync('on/1', `${i}`, { qos: 1 })
      expect((await subscriber.next()).payload.toString()).toBe(`${i}`)
    }
    for (const each of [subscriber, publisher]) await each.end()
    expect((await stack.api('DELETE', '/namespaces/broken')).status).toBe(204)
    await until('the router has let go of it', 60_000, async () => (await state('router')) === undefined)
    expect((await stack.process('router')).pid).toBe(pid)
    await stack.untilHealthy()
  }, 120_000)

  test('NS-01 deleting a namespace ends its clients with 0x98 and removes its topics; made again it is empty', async () => {
    const there = await connect('factory', 'goes')
    const here = await connect('default', 'stays')
    expect((await stack.api('DELETE', '/namespaces/factory')).status).toBe(204)
    await there.closed()
    expect(there.closeCode).toBe(0x98)
    await until('its topics are gone', 60_000, async () => !(await log.topicExists(`${stack.prefix}.factory.messages`)))
    await until(
      'it is made again',
      60_000,
      async () => (await stack.api('PUT', '/namespaces/factory', { partitions: 1, ...withHosts(hosts.factory) })).status === 201,
    )
    const listed = (await stack.api('GET', '/namespaces/factory/clients')).body as { readonly value: readonly unknown[] }
    expect(listed.value).toEqual([])
    await fill('factory')
    const again = await connectSoon('factory', 'sleeper')
    await again.client.subscribeAsync('night/#', { qos: 1 })
    await again.client.publishAsync('night/1', 'first of the second life', { qos: 1 })
    expect((await again.next()).payload.toString()).toBe('first of the second life')
    expect(await log.partitions(`${stack.prefix}.factory.2.messages`)).toBe(1)
    expect(await here.publish('line/1', 'still here')).toBe('done')
    for (const each of [here, again]) await each.end()
  }, 120_000)
})
