/** Who leads what, and the connections to them: one per broker and purpose, so that no long poll delays anything else. */
import { setTimeout as delay } from 'node:timers/promises'
import type { LogHealth } from '../log.ts'
import { LogClosed } from '../log.ts'
import { Backoff } from './backoff.ts'
import type { KafkajsLogger, TopicMetadata } from './kafkajs.ts'
import { Link, LinkError } from './link.ts'

/** What this adapter needs of a logger (pino has it). */
export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

export interface ClusterOptions {
  readonly brokers: readonly string[]
  readonly clientId: string
  readonly ssl?: object | boolean
  readonly sasl?: object
  readonly logger: Logger
  readonly connectTimeoutMs: number
  readonly requestTimeoutMs: number
}

interface Address {
  readonly host: string
  readonly port: number
}

interface Topic {
  readonly errorCode: number
  /** Leader by partition; -1: none. */
  readonly leaders: readonly number[]
  /** Of the partition that has the fewest. */
  readonly replication: number
}

interface Trouble {
  readonly since: number
  readonly reason: string
}

function parseAddress(text: string): Address {
  const colon = text.lastIndexOf(':')
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) }
}

/** kafkajs reports each failed connection as an error; here the caller retries and health() tells. */
function quietLogger(logger: Logger): KafkajsLogger {
  const quiet: KafkajsLogger = {
    namespace: () => quiet,
    info: (message, extra) => logger.debug(extra ?? {}, message),
    warn: (message, extra) => logger.debug(extra ?? {}, message),
    error: (message, extra) => logger.debug(extra ?? {}, message),
    debug: () => {},
  }
  return quiet
}

function readTopic(metadata: TopicMetadata): Topic {
  const leaders: number[] = new Array(metadata.partitionMetadata.length).fill(-1)
  for (const { partitionId, leader } of metadata.partitionMetadata) leaders[partitionId] = leader
  const replication = Math.min(...metadata.partitionMetadata.map(({ replicas }) => replicas.length))
  return { errorCode: metadata.topicErrorCode, leaders, replication }
}

export class Cluster {
  readonly #options: ClusterOptions
  readonly #seeds: readonly Address[]
  readonly #kafkajsLogger: KafkajsLogger
  readonly #links = new Map<string, Promise<Link>>()
  readonly #open = new Set<Link>()
  readonly #watched = new Set<string>()
  #nodes = new Map<number, Address>()
  #topics = new Map<string, Topic>()
  #control: Link | null = null
  #refreshing: Promise<void> | null = null
  #recovering = false
  readonly #troubles = new Map<string, Trouble>()
  readonly #closed = new AbortController()

  constructor(options: ClusterOptions) {
    this.#options = options
    this.#seeds = options.brokers.map(parseAddress)
    this.#kafkajsLogger = quietLogger(options.logger)
  }

  get closed(): boolean {
    return this.#closed.signal.aborted
  }

  get closing(): AbortSignal {
    return this.#closed.signal
  }

  get requestTimeoutMs(): number {
    return this.#options.requestTimeoutMs
  }

  /** Leader of a partition as last heard; -1 when unknown. */
  leaderOf(topic: string, partition: number): number {
    return this.#topics.get(topic)?.leaders[partition] ?? -1
  }

  /** Undefined until metadata of the topic was read; `exists` is false when Kafka answered that it does not. */
  topic(topic: string): { readonly exists: boolean; readonly partitions: number; readonly replication: number; readonly errorCode: number } | undefined {
    const known = this.#topics.get(topic)
    if (!known) return undefined
    const { errorCode, leaders, replication } = known
    return { exists: errorCode !== 3 && leaders.length > 0, partitions: leaders.length, replication, errorCode }
  }

  nodes(): readonly number[] {
    return [...this.#nodes.keys()]
  }

  /** Metadata of these topics is read with each refresh from now on. */
  watch(topic: string): void {
    this.#watched.add(topic)
  }

  /** Asks about the topic no longer. */
  forget(topic: string): void {
    this.#watched.delete(topic)
    this.#topics.delete(topic)
  }

  /** An open connection of this purpose to a broker; the same one until it fails. Rejects with LinkError. */
  link(node: number, purpose: string, clientId?: string): Promise<Link> {
    if (this.closed) return Promise.reject(new LogClosed())
    const address = this.#nodes.get(node)
    if (!address) return Promise.reject(new LinkError(`broker ${node} is not in the cluster's metadata`))
    const name = `${purpose}@${node}`
    const known = this.#links.get(name)
    if (known) return known
    const opening = this.#openLink(address, `${node}`, clientId, () => {
      if (this.#links.get(name) === opening) this.#links.delete(name)
    })
    this.#links.set(name, opening)
    opening.catch(() => {
      if (this.#links.get(name) === opening) this.#links.delete(name)
    })
    return opening
  }

  /** The open link of this purpose, when there is one that can be used right now. */
  async usableLink(node: number, purpose: string, clientId?: string): Promise<Link> {
    const link = await this.link(node, purpose, clientId)
    if (link.usable) return link
    this.drop(node, purpose)
    return this.link(node, purpose, clientId)
  }

  /** Forgets and closes a link (at once, or when it has been replaced because its login ends). */
  drop(node: number, purpose: string): void {
    const name = `${purpose}@${node}`
    const known = this.#links.get(name)
    this.#links.delete(name)
    known?.then(
      (link) => this.#discard(link),
      () => {},
    )
  }

  #discard(link: Link): void {
    this.#open.delete(link)
    link.close()
  }

  async #openLink(address: Address, trouble: string, clientId: string | undefined, onFailed: () => void): Promise<Link> {
    const link: Link = new Link({
      ...address,
      clientId: clientId ?? this.#options.clientId,
      ssl: this.#options.ssl ?? null,
      sasl: this.#options.sasl ?? null,
      kafkajsLogger: this.#kafkajsLogger,
      connectTimeoutMs: this.#options.connectTimeoutMs,
      onAnswer: () => {
        if (this.#troubles.size > 0) this.#troubles.delete(trouble)
      },
      onFailure: (error, waitedMs) => {
        this.#open.delete(link)
        this.#trouble(trouble, error, waitedMs)
        onFailed()
      },
    })
    this.#open.add(link)
    try {
      return await link.open()
    } catch (error) {
      this.#trouble(trouble, error, 0)
      this.#discard(link)
      throw error
    }
  }

  #trouble(name: string, error: unknown, waitedMs: number): void {
    if (this.closed) return
    const reason = error instanceof Error ? error.message : String(error)
    const since = this.#troubles.get(name)?.since ?? Date.now() - waitedMs
    if (!this.#troubles.has(name)) this.#options.logger.warn({ broker: name, reason }, 'Kafka does not answer')
    this.#troubles.set(name, { since, reason })
    if (!this.#recovering) {
      this.#recovering = true
      void this.#recover()
    }
  }

  /** Asks until every broker in trouble answers, so that health tells the truth when nobody else sends anything. */
  async #recover(): Promise<void> {
    const backoff = new Backoff()
    while (this.#troubles.size > 0 && !this.closed) {
      await this.pause(backoff.next())
      await this.refresh().catch(() => {})
      for (const name of [...this.#troubles.keys()]) {
        if (name === 'metadata') continue
        const node = Number(name)
        await this.usableLink(node, 'probe').catch(() => {})
        this.drop(node, 'probe')
      }
    }
    this.#recovering = false
    if (!this.closed) this.#options.logger.info({}, 'Kafka answers again')
  }

  /** Reads metadata once, from whichever broker answers first. Concurrent calls share one. Rejects when none answers. */
  refresh(): Promise<void> {
    this.#refreshing ??= this.#refresh().finally(() => {
      this.#refreshing = null
    })
    return this.#refreshing
  }

  async #refresh(): Promise<void> {
    let last: unknown
    const addresses = [...this.#nodes.values(), ...this.#seeds]
    const tried = new Set<string>()
    for (let attempt = 0; attempt <= addresses.length; attempt++) {
      if (this.closed) throw new LogClosed()
      try {
        if (!this.#control?.usable) {
          const address = addresses[attempt]
          if (!address) break
          const name = `${address.host}:${address.port}`
          if (tried.has(name)) continue
          tried.add(name)
          this.#control?.close()
          this.#control = await this.#openLink(address, 'metadata', undefined, () => {})
        }
        this.#apply(await this.#control.metadata([...this.#watched], this.#options.requestTimeoutMs))
        return
      } catch (error) {
        last = error
        this.#control?.close()
        this.#control = null
      }
    }
    throw last ?? new LinkError('no broker to ask')
  }

  #apply(metadata: {
    readonly brokers: readonly { readonly nodeId: number; readonly host: string; readonly port: number }[]
    readonly topicMetadata: readonly TopicMetadata[]
  }): void {
    const nodes = new Map<number, Address>()
    for (const { nodeId, host, port } of metadata.brokers) nodes.set(nodeId, { host, port })
    const moved = [...this.#nodes].filter(([node, old]) => {
      const now = nodes.get(node)
      return now === undefined || now.host !== old.host || now.port !== old.port
    })
    this.#nodes = nodes
    for (const topic of metadata.topicMetadata) this.#topics.set(topic.topic, readTopic(topic))
    for (const [node] of moved) {
      for (const name of [...this.#links.keys()]) if (name.endsWith(`@${node}`)) this.drop(node, name.slice(0, name.lastIndexOf('@')))
    }
    // A dead broker that leads nothing any more is no trouble of ours.
    const leaders = new Set([...this.#topics.values()].flatMap((topic) => topic.leaders))
    for (const name of [...this.#troubles.keys()]) if (name !== 'metadata' && !leaders.has(Number(name))) this.#troubles.delete(name)
  }

  /** Metadata of a topic, read now when it is not known yet. Retries connection trouble until closed. */
  async learn(topic: string): Promise<void> {
    const known = this.topic(topic)
    if (known?.exists && known.errorCode === 0) return
    this.watch(topic)
    await this.persist(`metadata of ${topic}`, () => this.refresh())
  }

  /** Repeats until it succeeds, waiting 50 ms to 1 s between, and only for what a retry can help. */
  async persist<T>(what: string, work: () => Promise<T>, isRetriable: (error: unknown) => boolean = (error) => error instanceof LinkError): Promise<T> {
    const backoff = new Backoff()
    for (;;) {
      if (this.closed) throw new LogClosed()
      try {
        return await work()
      } catch (error) {
        if (this.closed) throw new LogClosed()
        if (!isRetriable(error)) throw error
        this.#options.logger.debug({ error: String(error) }, `retrying ${what}`)
        await this.pause(backoff.next())
      }
    }
  }

  async pause(ms: number): Promise<void> {
    await delay(ms, undefined, { signal: this.#closed.signal }).catch(() => {})
  }

  health(): LogHealth {
    let worst: Trouble | null = null
    for (const trouble of this.#troubles.values()) if (!worst || trouble.since < worst.since) worst = trouble
    if (!worst) return { reachable: true, unreachableMs: 0 }
    return { reachable: false, unreachableMs: Math.max(1, Date.now() - worst.since), reason: worst.reason }
  }

  close(): void {
    this.#closed.abort()
    this.#links.clear()
    this.#control?.close()
    for (const link of [...this.#open]) this.#discard(link)
  }
}
