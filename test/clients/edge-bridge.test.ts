/** mosquitto as an edge broker, with the configurations of docs/edge-bridge.md, between its clients and ours. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import net from 'node:net'
import { tmpdir, userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { findFreePorts } from '../../stack/ports.ts'
import { count } from '../support/available.ts'
import { type Stack, startStack } from '../support/stack.ts'
import { listening } from '../wire/mosquitto.ts'
import { onPath, Program } from '../wire/programs.ts'
import { OpensslAuthority } from './certificates.ts'
import { JsClient } from './mqttjs.ts'
import { allow, put, registerAuthority, registerClient } from './registered.ts'

const page = readFileSync(join(dirname(dirname(import.meta.dirname)), 'docs/edge-bridge.md'), 'utf8')
const missing = onPath('mosquitto') === undefined ? 'mosquitto' : OpensslAuthority.isInstalled ? undefined : 'openssl'
const needed = missing === undefined ? test : test.skip
const why = missing === undefined ? '' : ` [skipped: ${missing} is not installed]`
const versions = ['mqttv311', 'mqttv50'] as const

/**
 * The link between the two, which can be cut: what is on its way is lost, and who connects is refused till it is restored. Refused, not
 * let in and dropped: a mosquitto 2.0.11 whose TLS handshakes fail one after the other stops answering anybody.
 */
class Link {
  readonly #to: number
  readonly #sockets = new Set<net.Socket>()
  #server: net.Server | undefined
  #isClosed = false
  port = 0

  constructor(to: number) {
    this.#to = to
  }

  /** Opens it, or restores it: its port stays the same. */
  async open(): Promise<void> {
    if (this.#isClosed) throw new Error('the link is closed')
    const server = net.createServer((socket) => this.#carry(socket))
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject)
      server.listen(this.port, '127.0.0.1', resolve)
    })
    this.#server = server
    this.port = (server.address() as net.AddressInfo).port
  }

  async cut(): Promise<void> {
    const server = this.#server
    this.#server = undefined
    const closed = new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())))
    for (const socket of this.#sockets) socket.destroy()
    await closed
  }

  /** For good. */
  async close(): Promise<void> {
    this.#isClosed = true
    await this.cut()
  }

  #carry(socket: net.Socket): void {
    const other = net.connect(this.#to, '127.0.0.1')
    for (const [here, there] of [
      [socket, other],
      [other, socket],
    ] as const) {
      this.#sockets.add(here)
      here.on('error', () => {})
      here.on('close', () => {
        this.#sockets.delete(here)
        there.destroy()
      })
      here.pipe(there)
    }
  }
}

/** A site: a mosquitto with the page's configuration, its link, and where its own devices connect. */
class Edge {
  readonly name: string
  readonly link: Link
  readonly #folder = mkdtempSync(join(tmpdir(), 'loggerhead-edge-'))
  #program: Program | undefined
  #port = 0
  #isRemoved = false

  private constructor(name: string, link: Link) {
    this.name = name
    this.link = link
  }

  static async start(version: (typeof versions)[number]): Promise<void> {
    const edge = new Edge(`edge-${version}`, new Link(stack.ports.mqtts))
    edges.set(version, edge)
    const pair = await registerClient(stack, authority, edge.name, { type: 'edge' })
    // Both listen there again after they were closed: of the ports that the system gives away another may have them by then.
    const [own = 0, linked = 0] = await findFreePorts(2)
    edge.#port = own
    edge.link.port = linked
    await edge.link.open()
    const [, written] = new RegExp(`^\`\`\`conf ${version}\n([^]*?)^\`\`\``, 'm').exec(page) ?? []
    let configuration = written ?? ''
    for (const [example, real] of [
      ['listener 1883', `listener ${edge.#port} 127.0.0.1`],
      ['mqtt.example.com:8883', `localhost:${edge.link.port}`],
      ['/var/lib/mosquitto/', `${edge.#folder}/`],
      ['/etc/mosquitto/certs/ca.pem', stack.certificates.ca],
      ['/etc/mosquitto/certs/edge-1.pem', pair.certificateFile],
      ['/etc/mosquitto/certs/edge-1.key', pair.keyFile],
      ['edge-1', edge.name],
    ] as const) {
      if (!configuration.includes(example)) throw new Error(`the configuration of ${version} in docs/edge-bridge.md has no ${example}`)
      configuration = configuration.replaceAll(example, real)
    }
    // Started by root, mosquitto would go on as a user who may not read the keys.
    writeFileSync(join(edge.#folder, 'mosquitto.conf'), `${configuration}\nuser ${userInfo().username}\n`)
    await edge.run()
  }

  get url(): string {
    return `mqtt://127.0.0.1:${this.#port}`
  }

  async run(): Promise<void> {
    if (this.#isRemoved) throw new Error(`${this.name} is removed`)
    this.#program = new Program(onPath('mosquitto') ?? 'mosquitto', ['-c', join(this.#folder, 'mosquitto.conf')], { deadlineMs: 900_000 })
    await listening({ host: '127.0.0.1', port: this.#port }, 60_000)
  }

  async stop(): Promise<void> {
    this.#program?.kill('SIGTERM')
    await this.#program?.ended
  }

  /** For good: a mosquitto that ends on no other signal goes too, and a test whose time was over starts none again. */
  async remove(): Promise<void> {
    this.#isRemoved = true
    this.#program?.kill('SIGKILL')
    await this.#program?.ended
    await this.link.close()
    rmSync(this.#folder, { recursive: true, force: true })
  }
}

let stack: Stack
let authority: OpensslAuthority
const edges = new Map<string, Edge>()

beforeAll(async () => {
  if (missing !== undefined) return
  stack = await startStack()
  authority = await OpensslAuthority.make('Edge Test CA')
  await registerAuthority(stack, 'edge-test-ca', authority)
  await put(stack, 'clientGroups/edges', { query: 'attributes.type = "edge"' })
  // biome-ignore lint/suspicious/noTemplateCurlyInString: the syntax of templates
  await put(stack, 'topicSpaces/edges', { topicTemplates: ['sites/${client.authenticationName}/#', 'shared/#'] })
  await allow(stack, 'edges-publish', 'edges', 'edges', 'Publisher')
  await allow(stack, 'edges-subscribe', 'edges', 'edges', 'Subscriber')
  for (const version of versions) await Edge.start(version)
}, 240_000)

afterAll(async () => {
  for (const edge of edges.values()) await edge.remove()
  authority?.remove()
  await stack?.stop()
})

const five = { protocolVersion: 5 } as const
const here = (options = {}): Promise<JsClient> => JsClient.connect(`mqtt://127.0.0.1:${stack.ports.mqtt}`, { ...five, ...options })
const said = (client: JsClient, topic: string) => client.arrived.filter((each) => each.topic === topic).map(({ payload }) => payload.toString())

needed.each(versions)(
  `a bridge of mosquitto, %s, with a client certificate: each QoS both ways, what is retained stays so, and nothing goes in circles${why}`,
  async (version) => {
    const edge = edges.get(version) as Edge
    const site = `sites/${edge.name}`
    const [there, cloud] = [await JsClient.connect(edge.url, five), await here()]
    await cloud.client.publishAsync(`${site}/commands/config`, 'kept', { qos: 1, retain: true })
    await there.subscribe('#', 2)
    await there.until('the bridge has subscribed, and brings what is retained', () => said(there, 'commands/config').length > 0, 90_000)
    await cloud.subscribe(`${site}/#`, 2)
    await cloud.subscribe('shared/#', 2)
    for (const qos of [0, 1, 2] as const) {
      await there.client.publishAsync(`telemetry/${qos}`, 'up', { qos })
      await cloud.client.publishAsync(`${site}/commands/${qos}`, 'down', { qos })
    }
    const carried = (client: JsClient, prefix: string) =>
      client.arrived.filter(({ topic }) => topic.startsWith(prefix) && /\d$/.test(topic)).map(({ topic, packet }) => [topic.slice(prefix.length), packet.qos])
    await cloud.until('telemetry', () => carried(cloud, `${site}/telemetry/`).length === 3)
    await there.until('commands', () => carried(there, 'commands/').length === 3)
    for (const arrived of [carried(cloud, `${site}/telemetry/`), carried(there, 'commands/')]) {
      expect(arrived.sort()).toEqual([
        ['0', 0],
        ['1', 1],
        ['2', 2],
      ])
    }

    // A copy that came back would stand before what is answered on the same topic.
    const topic = `shared/${version}`
    await there.client.publishAsync(topic, 'from the edge', { qos: 1 })
    await cloud.until('the edge', () => said(cloud, topic).length === 1)
    await cloud.client.publishAsync(topic, 'from here', { qos: 1 })
    await there.until('here', () => said(there, topic).includes('from here'))
    await there.client.publishAsync(topic, 'last', { qos: 1 })
    await cloud.until('the last', () => said(cloud, topic).includes('last'))
    expect([said(there, topic), said(cloud, topic)]).toEqual(Array(2).fill(['from the edge', 'from here', 'last']))

    await there.client.publishAsync('telemetry/state', 'on', { qos: 1, retain: true })
    await cloud.until('the state', () => said(cloud, `${site}/telemetry/state`).length === 1)
    const [late, lateThere] = [await here(), await JsClient.connect(edge.url, five)]
    await late.subscribe(`${site}/telemetry/state`)
    await lateThere.subscribe('commands/config')
    for (const client of [late, lateThere]) expect((await client.next()).packet.retain).toBe(true)
    for (const client of [there, cloud, late, lateThere]) await client.end()
  },
)

needed.each(versions)(
  `a bridge of mosquitto, %s: nothing at QoS 1 is lost that is published while the link is cut and before mosquitto is stopped and started again${why}`,
  async (version) => {
    const edge = edges.get(version) as Edge
    const [up, down] = [`sites/${edge.name}/telemetry`, `sites/${edge.name}/commands`]
    // docs/edge-bridge.md says what mosquitto 2.0 lacks in MQTT 5: it asks for no session, and too many that wait at once are refused to it.
    const hasSession = version === 'mqttv311'
    const numbers = (phase: string): readonly string[] => Array.from({ length: hasSession ? count(100, 2000) : 100 }, (_, i) => `${phase} ${i}`)
    const publish = async (url: string, topic: string, phase: string): Promise<void> => {
      const client = await JsClient.connect(url, five)
      const payloads = numbers(phase)
      // MQTT.js heeds no Receive Maximum: so many at once are within that of either broker.
      for (let from = 0; from < payloads.length; from += 20) {
        await Promise.all(payloads.slice(from, from + 20).map((payload) => client.client.publishAsync(topic, payload, { qos: 1 })))
      }
      await client.end()
    }
    const upwards = (phase: string) => publish(edge.url, 'telemetry/n', phase)
    const downwards = (phase: string) => publish(`mqtt://127.0.0.1:${stack.ports.mqtt}`, `${down}/n`, phase)
    const all = (client: JsClient, topic: string, phases: readonly string[]): Promise<void> => {
      const expected = phases.flatMap(numbers)
      return client.until(`all of ${phases.join(', ')} on ${topic}`, () => {
        if (client.arrived.length < expected.length) return false
        const arrived = new Set(said(client, topic))
        return expected.every((payload) => arrived.has(payload))
      })
    }
    const receiver = { ...five, clean: false, clientId: 'receiver', properties: { sessionExpiryInterval: 600 } }

    const [before, cloud] = [await JsClient.connect(edge.url, receiver), await here()]
    await before.subscribe('commands/#')
    await cloud.subscribe(`${up}/#`)
    await edge.link.cut()
    await Promise.all([upwards('cut'), downwards('cut')])
    await edge.link.open()
    await all(cloud, `${up}/n`, ['cut'])
    if (hasSession) await all(before, 'commands/n', ['cut'])

    await edge.link.cut()
    await upwards('stopped')
    await before.end()
    await edge.stop()
    await downwards('stopped')
    await edge.link.open()
    await edge.run()
    const there = await JsClient.connect(edge.url, receiver)
    await cloud.client.publishAsync(`${down}/state`, version, { qos: 1, retain: true })
    await there.until('the bridge is back', () => said(there, 'commands/state').includes(version), 90_000)
    await Promise.all([upwards('after'), downwards('after')])
    await all(cloud, `${up}/n`, ['cut', 'stopped', 'after'])
    await all(there, 'commands/n', hasSession ? ['stopped', 'after'] : ['after'])
    for (const client of [there, cloud]) await client.end()
  },
  240_000,
)
