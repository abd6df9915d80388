import { randomBytes } from 'node:crypto'
import type { Version } from '../wire/bytes.ts'
import { seededRandom } from '../wire/random.ts'
import type { Endpoint } from '../wire/wire.ts'
import { Publisher } from './publisher.ts'
import { sealedCredentials } from './sealed-clients.ts'
import { Subscriber } from './subscriber.ts'
import { type Evidence, judge, type Verdict } from './verdict.ts'

export interface LoadOptions {
  readonly endpoints: readonly Endpoint[]
  readonly version?: Version
  /** Of publishers and subscribers. */
  readonly qos?: 1 | 2
  readonly publishers?: number
  readonly topicsEach?: number
  /** Unacknowledged messages of each publisher at most. */
  readonly window?: number
  /** Messages a second of each publisher. */
  readonly rate?: number
  readonly payloadBytes?: number
  /** Persistent subscribers that stay, that are cut off now and again, and that are away until the end. */
  readonly online?: number
  readonly flapping?: number
  readonly offline?: number
  /** Subscribers that stay, with sessions that end with their connections. */
  readonly transient?: number
  readonly seed?: number
  /** What publishers publish is sealed in the log (sealed-clients.ts). */
  readonly isSealed?: boolean
}

/** How long it took from a moment until messages first sent after it were acknowledged and delivered, ms. */
export interface Resumed {
  /** For the first publisher, and for the last one. */
  readonly publishing: readonly [first: number, all: number]
  /** For the first pair of a publisher and an online subscriber, and for the last. */
  readonly delivery: readonly [first: number, all: number]
}

const tickMs = 20

/** A verifying load: knows what was acknowledged and what arrived, and waits for conditions instead of times. */
export class Load {
  readonly run = randomBytes(4).toString('hex')
  readonly publishers: readonly Publisher[]
  readonly online: readonly Subscriber[]
  readonly flapping: readonly Subscriber[]
  readonly offline: readonly Subscriber[]
  readonly transient: readonly Subscriber[]
  /** Everything begins with this, for reading it back from the log. */
  readonly prefix: string
  readonly #complaints: string[] = []
  readonly #qos: 1 | 2
  readonly #rate: number
  readonly #random: () => number
  #waiting: (() => void)[] = []
  #ticker: NodeJS.Timeout | undefined
  #flapper: NodeJS.Timeout | undefined
  #ackMs: number[] = []
  #markedAt = Number.POSITIVE_INFINITY
  #ackedSince = new Map<Publisher, number>()
  #deliveredSince = new Map<string, number>()

  private constructor(options: LoadOptions) {
    const version = options.version ?? 5
    const count = options.publishers ?? 6
    this.prefix = `kill/${this.run}`
    this.#rate = options.rate ?? 40
    const qos = options.qos ?? 1
    this.#qos = qos
    this.#random = seededRandom(options.seed ?? 1)
    const topicsOf = (publisher: number) => Array.from({ length: options.topicsEach ?? 3 }, (_, i) => `${this.prefix}/p${publisher}/t${i}`)
    const base = { version, endpoints: options.endpoints, changed: () => this.#changed(), complain: (what: string) => void this.#complaints.push(what) }
    let first = 0
    this.publishers = Array.from(
      { length: count },
      (_, i) =>
        new Publisher({
          ...base,
          qos,
          first: first++,
          clientId: `${this.run}-pub-${i}`,
          topics: topicsOf(i),
          window: options.window ?? 10,
          payloadBytes: options.payloadBytes ?? 64,
          credentials: options.isSealed ? sealedCredentials : undefined,
          acknowledged: (publisher, sentAt) => {
            this.#ackMs.push(performance.now() - sentAt)
            if (sentAt > this.#markedAt && !this.#ackedSince.has(publisher)) this.#ackedSince.set(publisher, performance.now())
          },
        }),
    )
    const all = this.publishers.flatMap((each) => each.topics)
    const subscriber = (kind: string, i: number) =>
      new Subscriber({
        ...base,
        qos,
        first: first++,
        clientId: `${this.run}-${kind}-${i}`,
        isTransient: kind === 'transient',
        // Every other subscriber by exact names instead of a wildcard: both ways through the trie.
        filters: i % 2 === 0 ? [`${this.prefix}/#`] : this.publishers.map((_, p) => `${this.prefix}/p${p}/+`),
        topics: all,
        delivered: (who, topic, sentAt) => {
          if (kind !== 'online' || sentAt <= this.#markedAt) return
          const pair = `${who.clientId} ${topic}`
          if (!this.#deliveredSince.has(pair)) this.#deliveredSince.set(pair, performance.now())
        },
      })
    this.online = Array.from({ length: options.online ?? 2 }, (_, i) => subscriber('online', i))
    this.flapping = Array.from({ length: options.flapping ?? 1 }, (_, i) => subscriber('flapping', i))
    this.offline = Array.from({ length: options.offline ?? 1 }, (_, i) => subscriber('offline', i))
    this.transient = Array.from({ length: options.transient ?? 0 }, (_, i) => subscriber('transient', i))
  }

  /** Subscribes everybody, sends the offline ones away, and begins to publish. */
  static async start(options: LoadOptions): Promise<Load> {
    const load = new Load(options)
    try {
      await load.#begin()
    } catch (error) {
      await load.end() // or its clients would try again for ever
      throw error
    }
    return load
  }

  async #begin(): Promise<void> {
    const subscribers = [...this.online, ...this.flapping, ...this.offline, ...this.transient]
    for (const each of subscribers) each.start()
    await this.until('every subscription', 90_000, () => subscribers.every((each) => each.subscribed))
    for (const each of this.offline) each.leave()
    for (const each of this.publishers) each.start()
    await this.until('every publisher', 90_000, () => this.publishers.every((each) => each.ready))
    this.#ticker = setInterval(() => {
      for (const each of this.publishers) each.allow((this.#rate * tickMs) / 1_000)
    }, tickMs)
    const flap = () => {
      this.flapping[Math.floor(this.#random() * this.flapping.length)]?.cut()
      this.#flapper = setTimeout(flap, 300 + this.#random() * 1_500)
    }
    if (this.flapping.length > 0) flap()
  }

  get acknowledged(): number {
    return this.publishers.reduce((sum, each) => sum + [...each.acknowledged.values()].reduce((n, list) => n + list.length, 0), 0)
  }

  /** Milliseconds from first sending to PUBACK, of every message acknowledged since this was last asked. */
  takeAckTimes(): number[] {
    const taken = this.#ackMs
    this.#ackMs = []
    return taken
  }

  /** Connections that ended without anybody here wanting it, the flapping ones' apart. */
  get losses(): number {
    return [...this.publishers, ...this.online, ...this.offline].reduce((sum, each) => sum + each.losses, 0)
  }

  #changed(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const each of waiting) each()
  }

  /** Waits for a condition that only changes when something arrives. */
  async until(what: string, deadlineMs: number, condition: () => boolean): Promise<void> {
    const deadline = performance.now() + deadlineMs
    while (!condition()) {
      const left = deadline - performance.now()
      if (left <= 0) throw new Error(`${what}: not within ${Math.round(deadlineMs / 1_000)} s. ${this.describe()}`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(left, 1_000))
        this.#waiting.push(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
  }

  /** Waits until so many more messages are acknowledged: a moment under load that does not depend on the clock. */
  async after(messages: number, deadlineMs = 60_000): Promise<void> {
    const target = this.acknowledged + messages
    await this.until(`${messages} more acknowledgements`, deadlineMs, () => this.acknowledged >= target)
  }

  /** From now on `resumed` looks at messages first sent later than this. */
  mark(): void {
    this.#ackedSince = new Map()
    this.#deliveredSince = new Map()
    this.#markedAt = performance.now()
  }

  /** Waits until every publisher publishes again and every online subscriber gets from every topic again. */
  async resumed(deadlineMs: number): Promise<Resumed> {
    const pairs = this.online.length * this.publishers.reduce((sum, each) => sum + each.topics.length, 0)
    const since = this.#markedAt
    await this.until(
      'publishing and delivery after the kill',
      deadlineMs,
      () => this.#ackedSince.size === this.publishers.length && this.#deliveredSince.size === pairs,
    )
    const span = (times: Iterable<number>): [number, number] => {
      const list = [...times].map((time) => time - since)
      return [Math.min(...list), Math.max(...list)]
    }
    return { publishing: span(this.#ackedSince.values()), delivery: span(this.#deliveredSince.values()) }
  }

  /** Stops publishing, sees everything through, brings the offline subscribers back, and waits until nobody misses anything or nothing comes any more. */
  async finish(deadlineMs: number): Promise<void> {
    clearTimeout(this.#flapper)
    clearInterval(this.#ticker)
    for (const each of this.publishers) each.stop()
    await this.until('the last acknowledgements', deadlineMs, () => this.publishers.every((each) => each.unacknowledged === 0)).catch((error: Error) =>
      this.#complaints.push(error.message),
    )
    for (const each of this.offline) each.start()
    const subscribers = [...this.online, ...this.flapping, ...this.offline]
    const acknowledged = this.#acknowledged()
    let last = -1
    // As long as something comes there is hope; a deadline without anything new ends it, and the verdict says what is missing.
    for (;;) {
      const delivered = subscribers.reduce((sum, each) => sum + each.deliveries.length, 0)
      if (delivered === last) break
      last = delivered
      const complete = await this.until('the last deliveries', deadlineMs, () => subscribers.every((each) => each.missing(acknowledged) === 0)).then(
        () => true,
        () => false,
      )
      if (complete) break
    }
  }

  #acknowledged(): Map<string, readonly number[]> {
    return new Map(this.publishers.flatMap((each) => [...each.acknowledged]))
  }

  /** `ids`: the message ids of the log, in the order of `log`. */
  verdict(log: Evidence['log'], ids: Evidence['ids'] = null): Verdict {
    const byTopic = new Map(this.publishers.flatMap((each) => each.topics.map((topic) => [topic, each] as const)))
    return judge({
      acknowledged: this.#acknowledged(),
      timesSent: (topic, sequence) => byTopic.get(topic)?.timesSent(topic, sequence) ?? 0,
      receivers: [...this.online, ...this.flapping, ...this.offline].map((each) => ({ name: each.clientId, topics: each.topics, deliveries: each.deliveries })),
      transient: this.transient.map((each) => ({ name: each.clientId, topics: each.topics, sessions: each.bySession })),
      log,
      ids,
      isExactlyOnce: this.#qos === 2,
      complaints: this.#complaints,
    })
  }

  /** Where things stand, for messages about deadlines. */
  describe(): string {
    const subscribers = [...this.online, ...this.flapping, ...this.offline]
    const acknowledged = this.#acknowledged()
    return [
      `${this.acknowledged} acknowledged`,
      `${this.publishers.filter((each) => each.ready).length}/${this.publishers.length} publishers connected`,
      `${this.publishers.reduce((sum, each) => sum + each.unacknowledged, 0)} in flight`,
      ...subscribers.map((each) => `${each.clientId} ${each.ready ? 'connected' : 'away'}, misses ${each.missing(acknowledged)}`),
      ...(this.#markedAt < Number.POSITIVE_INFINITY ? [`${this.#ackedSince.size} publishers and ${this.#deliveredSince.size} deliveries went on`] : []),
      ...this.#complaints.slice(0, 5),
    ].join('; ')
  }

  async end(): Promise<void> {
    clearTimeout(this.#flapper)
    clearInterval(this.#ticker)
    await Promise.all([...this.publishers, ...this.online, ...this.flapping, ...this.offline, ...this.transient].map((each) => each.forget()))
  }
}
