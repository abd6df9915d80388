/** Gateways and routers as processes of their own that nobody starts again: for tests that stop, pause and kill them one by one. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { openSync, readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { pino } from 'pino'
import { KafkaLog } from '../../log/kafka/kafka-log.ts'
import { partitionOf } from '../../log/partitioner.ts'
import { ensureTopics, planTopics, type TopicNames, topicSettings, topicSpecs } from '../../log/topics.ts'
import { readSettings } from '../../settings/setting.ts'
import { openRegistry, putResources } from '../integration/gateway/harness.ts'
import * as mqtt from '../wire/bytes.ts'
import { type Endpoint, Wire } from '../wire/wire.ts'
import { endOfLogs, fallsSilent, speaks } from './last-words.ts'
import { isStopped, unkept, until } from './stack.ts'

const project = dirname(dirname(import.meta.dirname))

export interface ClusterOptions {
  readonly gateways?: number
  readonly routers?: number
  /** Settings of every process. */
  readonly environment?: Readonly<Record<string, string>>
  /** host:port, comma-separated; the test run's Kafka when not given. */
  readonly brokers?: string
  /** Settings of single processes, by their names. */
  readonly environments?: Readonly<Record<string, Readonly<Record<string, string>>>>
}

/** What a router says at /status. */
export interface RouterStatus {
  readonly shards: readonly {
    readonly shard: number
    readonly term: number
    readonly position: number
    readonly outstandingBytes: number
    readonly attached: number
  }[]
  readonly gateways: readonly { readonly id: string; readonly incarnation: number; readonly linked: boolean; readonly silentMs: number }[]
}

/** One process, which may be started again under its name. */
export class Member {
  readonly name: string
  readonly #script: string
  readonly #environment: NodeJS.ProcessEnv
  readonly #logPath: string
  #child: ChildProcess | null = null
  ports: Readonly<Record<string, number>> = {}

  constructor(name: string, script: string, environment: NodeJS.ProcessEnv, folder: string) {
    this.name = name
    this.#script = script
    this.#environment = environment
    this.#logPath = join(folder, `${name}.log`)
  }

  get isUp(): boolean {
    return this.#child !== null && this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** What it has written, all its runs together. */
  get log(): string {
    return readFileSync(this.#logPath, 'utf8')
  }

  /** Resolves when it says that it is ready. `more`: settings of this run. */
  async start(more: Readonly<Record<string, string>> = {}): Promise<void> {
    const file = openSync(this.#logPath, 'a')
    const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', join(project, this.#script)], {
      env: { ...this.#environment, ...more },
      stdio: ['ignore', file, file, 'ipc'],
    })
    this.#child = child
    const ready = new Promise<Readonly<Record<string, number>>>((resolve, reject) => {
      child.on('message', (message) => resolve((message as { ports: Record<string, number> }).ports))
      child.once('exit', (code) => reject(new Error(`${this.name} ended with ${code} before it was ready:\n${this.log.slice(-3_000)}`)))
    })
    this.ports = await ready
  }

  /** Resolves when it has ended. SIGKILL by default. */
  async end(signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    const child = this.#child
    if (!child || !this.isUp) return
    const gone = once(child, 'exit')
    child.kill(signal)
    await gone
  }

  /** Holds it where it is, its sockets open; resolves when every thread stands still. */
  async pause(): Promise<void> {
    const { pid } = this.#child ?? {}
    if (pid === undefined || !this.isUp) return
    process.kill(pid, 'SIGSTOP')
    await until(`${this.name} stands still`, 60_000, () => isStopped(pid))
  }

  resume(): void {
    this.#child?.kill('SIGCONT')
  }

  async status<T>(): Promise<T> {
    const response = await fetch(`http://127.0.0.1:${this.ports.internal}/status`, { headers: unkept, signal: AbortSignal.timeout(60_000) })
    return (await response.json()) as T
  }

  /** Sum of the samples of a metric whose labels contain the text. */
  async metric(name: string, label = ''): Promise<number> {
    const response = await fetch(`http://127.0.0.1:${this.ports.internal}/metrics`, { headers: unkept, signal: AbortSignal.timeout(60_000) })
    let sum = 0
    for (const line of (await response.text()).split('\n')) {
      if (line.startsWith(`${name}{`) || line.startsWith(`${name} `)) if (line.includes(label)) sum += Number(line.slice(line.lastIndexOf(' ')))
    }
    return sum
  }
}

/** A wire that has its CONNACK. */
export interface Connected {
  readonly wire: Wire
  readonly present: boolean
}

/** A name that begins with `root` and whose key falls into the shard. */
export function inShard(shard: number, root: string, partitions: number): string {
  for (let i = 0; ; i++) if (partitionOf(Buffer.from(`${root}${i}`), partitions) === shard) return `${root}${i}`
}

export class Cluster {
  readonly gateways: readonly Member[]
  readonly routers: readonly Member[]
  readonly brokers: string
  readonly prefix: string
  readonly topics: TopicNames
  readonly partitions: number
  readonly #folder: string
  readonly #wires: Wire[] = []
  readonly #endAll = (): void => {
    for (const member of this.members) void member.end()
  }

  private constructor(options: ClusterOptions, folder: string) {
    this.#folder = folder
    this.brokers = options.brokers ?? process.env.KAFKA_BROKERS ?? ''
    this.prefix = `test-${Math.random().toString(36).slice(2, 10)}`
    const common = {
      PATH: process.env.PATH,
      LOGGERHEAD_PREFIX: this.prefix,
      LOGGERHEAD_DATA: folder,
      KAFKA_BROKERS: this.brokers,
      MQTT_PORT: '0',
      MQTTS_PORT: 'off',
      WS_PORT: 'off',
      WSS_PORT: 'off',
      ...options.environment,
    }
    const plan = planTopics(readSettings(topicSettings, common), 'default', 'development')
    this.topics = plan.names
    this.partitions = plan.partitions
    const members = (kind: 'gateway' | 'router', id: string, count: number) =>
      Array.from({ length: count }, (_, k) => {
        const name = k === 0 ? kind : `${kind}-${k + 1}`
        return new Member(name, `${kind}/main.ts`, { ...common, [id]: name, ...options.environments?.[name] }, folder)
      })
    this.gateways = members('gateway', 'GATEWAY_ID', options.gateways ?? 2)
    this.routers = members('router', 'ROUTER_ID', options.routers ?? 2)
    process.on('exit', this.#endAll)
    speaks(this, () => endOfLogs(folder))
  }

  static async start(options: ClusterOptions = {}): Promise<Cluster> {
    const cluster = new Cluster(options, await mkdtemp(join(tmpdir(), 'loggerhead-cluster-')))
    try {
      const environment = { LOGGERHEAD_PREFIX: cluster.prefix, ...options.environment }
      const plan = planTopics(readSettings(topicSettings, environment), 'default', 'development')
      const log = new KafkaLog({ brokers: cluster.brokers.split(','), clientId: 'test', logger: pino({ level: 'silent' }) })
      await ensureTopics(log, topicSpecs(plan), 'development')
      await putResources(log, plan.names.registry, openRegistry)
      await log.close()
      await Promise.all([...cluster.gateways, ...cluster.routers].map((member) => member.start()))
      await cluster.untilServed()
      return cluster
    } catch (error) {
      await cluster.stop()
      throw error
    }
  }

  get members(): readonly Member[] {
    return [...this.gateways, ...this.routers]
  }

  /** Every gateway that is up has an owner's word for every shard. */
  async untilServed(deadlineMs = 60_000): Promise<void> {
    await until('every shard has a router, at every gateway', deadlineMs, async () => {
      const up = this.gateways.filter((each) => each.isUp)
      const all = await Promise.all(up.map((each) => each.status<{ shardsWithoutRouter: number[] }>().catch(() => ({ shardsWithoutRouter: [-1] }))))
      return all.every(({ shardsWithoutRouter }) => shardsWithoutRouter.length === 0)
    })
  }

  /** Whatever a test has ended or paused is there again. */
  async whole(): Promise<void> {
    for (const wire of this.#wires.splice(0)) wire.destroy()
    for (const member of this.members) member.resume()
    await Promise.all(this.members.filter((each) => !each.isUp).map((each) => each.start()))
    await this.untilServed()
    await until('the shards are shared out', 60_000, async () =>
      (await Promise.all(this.routers.map((each) => this.shardsOf(each)))).every((each) => each.length > 0),
    )
  }

  async shardsOf(router: Member): Promise<readonly number[]> {
    return (await router.status<RouterStatus>()).shards.map(({ shard }) => shard)
  }

  endpoint(gateway: number): Endpoint {
    return { host: '127.0.0.1', port: this.gateways[gateway]?.ports.mqtt ?? 0 }
  }

  shardOf(name: string): number {
    return partitionOf(Buffer.from(name), this.partitions)
  }

  /** A name below `root` whose key falls into the shard: a topic's or a client id's. */
  inShard(shard: number, root: string): string {
    return inShard(shard, root, this.partitions)
  }

  /** Connects, once it is let in: shards that are between two owners let nobody in. */
  async connect(
    gateway: number | Endpoint,
    options: Partial<mqtt.Connect> & { readonly clientId: string; readonly expiry?: number },
    deadlineMs = 60_000,
  ): Promise<Connected> {
    const { expiry = 0, ...rest } = options
    const endpoint = typeof gateway === 'number' ? this.endpoint(gateway) : gateway
    return until(`${String(options.clientId)} is let in by gateway ${gateway}`, deadlineMs, async () => {
      const wire = await Wire.open(endpoint, rest.version ?? 5).catch(() => undefined)
      if (!wire) return undefined
      this.#wires.push(wire)
      wire.send(mqtt.connect({ version: 5, keepAlive: 600, ...rest, properties: [...(rest.properties ?? []), [mqtt.Property.sessionExpiryInterval, expiry]] }))
      const connack = await wire.next('connack', 20_000).catch(() => undefined)
      if (connack?.type === 'connack' && connack.code === 0) return { wire, present: connack.sessionPresent }
      wire.destroy()
      return undefined
    })
  }

  async stop(): Promise<void> {
    process.off('exit', this.#endAll)
    for (const wire of this.#wires) wire.destroy()
    await Promise.all(this.members.map((member) => member.end()))
    fallsSilent(this)
    await rm(this.#folder, { recursive: true, force: true })
  }
}

export async function subscribe(wire: Wire, filter: string, qos = 1): Promise<void> {
  wire.send(mqtt.subscribe(wire.version, 1, [[filter, qos]]))
  const { codes } = await wire.find('suback')
  if (codes[0] !== qos) throw new Error(`SUBACK ${codes} for ${filter}`)
}

let lastId = 0
/** Publishes and waits for the acknowledgement; at QoS 2 for both. */
export async function publish(wire: Wire, topic: string, payload: string, options: { readonly qos?: 1 | 2; readonly retain?: boolean } = {}): Promise<void> {
  const { qos = 1, retain = false } = options
  lastId = (lastId % 60_000) + 1
  wire.send(mqtt.publish({ version: wire.version, topic, payload, qos, retain, id: lastId }))
  if (qos === 1) {
    await wire.find('puback')
    return
  }
  await wire.find('pubrec')
  wire.send(mqtt.pubrel(lastId))
  await wire.find('pubcomp')
}

/** What a wire was given and acknowledged, by `receive`. */
const taken = new WeakMap<Wire, Set<string>>()

/** The payloads of so many messages, acknowledged; what comes again and carries DUP is acknowledged and not counted again. */
export async function receive(wire: Wire, count: number, deadlineMs = 60_000): Promise<string[]> {
  const known = taken.get(wire) ?? new Set<string>()
  taken.set(wire, known)
  const got: string[] = []
  while (got.length < count) {
    const { qos, id, payload, dup, topic } = await wire.find('publish', deadlineMs)
    if (qos === 1) wire.send(mqtt.puback(id))
    if (qos === 2) {
      wire.send(mqtt.pubrec(id))
      await wire.find('pubrel', deadlineMs)
      wire.send(mqtt.pubcomp(id))
    }
    const what = `${topic} ${payload}`
    if (!dup || !known.has(what)) got.push(payload.toString())
    known.add(what)
  }
  return got
}
