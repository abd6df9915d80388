/** The routes of one shard, in its owner's hands: begun, changed and ended as the registry says, each with a runner of its own. */
import type { ClientAttributes } from '../../events/enrichment.ts'
import { type Appender, type Log, LogClosed, type Stretch } from '../../log/log.ts'
import { isSameRoute, type Route, type RouteTarget } from '../../model/routes.ts'
import { encodeRecord } from '../../schemas/codec.ts'
import type { Message } from '../../schemas/message.ts'
import type { RouteProgress } from '../../schemas/snapshot-records.ts'
import type { Tracing } from '../../telemetry/tracing.ts'
import { routeProgressKey } from '../snapshots.ts'
import { DeadEnd, type Destination } from './destination.ts'
import { type RouteCounters, type RouteLimits, RouteRunner } from './route-runner.ts'
import type { RouteStatus } from './route-status.ts'
import type { Unsealing } from './unsealing.ts'

export interface ShardRoutesOptions {
  readonly shard: number
  readonly term: number
  readonly namespace: string
  readonly log: Log
  readonly topics: { readonly messages: string; readonly snapshots: string }
  /** Writes to the shard's compacted topics, under Kafka's fence. */
  readonly fenced: Appender
  /** As earlier owners left it, by route. */
  readonly progress: ReadonlyMap<string, RouteProgress>
  readonly limits: RouteLimits
  readonly counters: RouteCounters
  /** The Kafka topic of a target. */
  topicOf(target: RouteTarget): string
  /** Another Kafka cluster; undefined when the operator has named none so. */
  clusterNamed(name: string): Log | undefined
  isRepeat(messageId: Buffer, offset: number): boolean
  attributesOf(message: Message): ClientAttributes
  readonly unsealing: Unsealing
  /** Null where nothing is traced. */
  readonly tracing?: Tracing | null
  onFenced(): void
  /** A route does not get on: for the log, at a bounded rate. */
  onTrouble(route: string, error: Error): void
  readonly now: () => number
}

export class ShardRoutes {
  readonly #options: ShardRoutesOptions
  readonly #runners = new Map<string, RouteRunner>()
  /** Of routes that have no runner now. */
  readonly #progress: Map<string, Omit<RouteProgress, 'shard' | 'term'>>
  #wanted: ReadonlyMap<string, Route> = new Map()
  #registryPosition = 0
  /** Changes are carried out one after another. */
  #turn: Promise<void> = Promise.resolve()
  /** By the name of the cluster, our own without one. */
  readonly #appenders = new Map<string, Promise<Appender>>()
  #isClosed = false

  constructor(options: ShardRoutesOptions) {
    this.#options = options
    this.#progress = new Map(options.progress)
  }

  /** The routes as the registry has them at a position. */
  refresh(routes: ReadonlyMap<string, Route>, registryPosition: number): void {
    const isNews = routes.size !== this.#wanted.size || [...routes].some(([name, route]) => !isSame(this.#wanted.get(name), route))
    this.#wanted = routes
    this.#registryPosition = registryPosition
    if (!isNews && !this.#hasForgotten()) return
    this.#turn = this.#turn.then(() => this.#apply())
  }

  /** A stretch of the shard's messages that was just matched; everything before `from` was offered earlier. */
  offer(from: number, stretch: Stretch): void {
    for (const runner of this.#runners.values()) runner.offer(from, stretch)
  }

  /** Twice a second. */
  tick(): void {
    for (const runner of this.#runners.values()) runner.tick()
  }

  status(): readonly RouteStatus[] {
    return [...this.#runners.values()].map((runner) => runner.status())
  }

  /** Ends all routes here; what is on its way is answered first, or given up. */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.all([...this.#runners.values()].map((runner) => this.#end(runner)))
    await this.#turn
    // One that another cluster has not given yet is waited for by nobody.
    for (const cluster of [...this.#appenders.keys()]) void this.#closeAppender(cluster)
  }

  async #apply(): Promise<void> {
    const ended = [...this.#runners.values()].filter((runner) => !isSame(this.#wanted.get(runner.route.name), runner.route))
    await Promise.all(ended.map((runner) => this.#end(runner)))
    if (this.#isClosed) return
    for (const name of this.#forgotten()) {
      this.#progress.delete(name)
      await this.#write(routeProgressKey(name), null).catch(() => {})
    }
    for (const route of this.#wanted.values()) {
      if (this.#isClosed) return
      if (this.#runners.has(route.name)) continue
      const runner = this.#runnerOf(route)
      this.#runners.set(route.name, runner)
      runner.start()
    }
  }

  async #end(runner: RouteRunner): Promise<void> {
    runner.tick(true)
    await runner.close()
    this.#progress.set(runner.route.name, runner.progress)
    this.#runners.delete(runner.route.name)
  }

  /** A view that is behind the one a route was run by does not know that it is gone. */
  #forgotten(): readonly string[] {
    return [...this.#progress.values()]
      .filter(({ route, registryOffset }) => !this.#wanted.has(route) && registryOffset < this.#registryPosition)
      .map(({ route }) => route)
  }

  #hasForgotten(): boolean {
    return this.#progress.size > 0 && this.#forgotten().length > 0
  }

  #runnerOf(route: Route): RouteRunner {
    const { shard, term, namespace, log, topics, limits, counters, isRepeat, attributesOf, unsealing, tracing, onFenced, onTrouble, now } = this.#options
    const progress = this.#progress.get(route.name)
    return new RouteRunner({
      route,
      shard,
      namespace,
      log,
      messages: topics.messages,
      destination: this.#destinationOf(route.target),
      progress: progress && { ...progress, shard, term },
      limits,
      counters,
      writeProgress: (written) => this.#write(routeProgressKey(route.name), encodeRecord('RouteProgress', { ...written, shard, term })),
      isRepeat,
      attributesOf,
      unsealing,
      tracing: tracing ?? null,
      onFenced,
      onTrouble: (error) => onTrouble(route.name, error),
      now,
    })
  }

  #destinationOf(target: RouteTarget): Destination {
    const { topicOf, log, clusterNamed } = this.#options
    const cluster = 'cluster' in target ? target.cluster : undefined
    const own = cluster === undefined
    const other = own ? log : clusterNamed(cluster)
    return {
      topic: topicOf(target),
      log: other ?? log,
      isExactlyOnce: own,
      appender: () => (other ? this.#openAppender(cluster ?? '', other) : Promise.reject(unknownCluster(String(cluster)))),
      breakAppender: (broken) => void this.#closeAppender(cluster ?? '', broken),
    }
  }

  #write(key: Buffer, value: Buffer | null): Promise<number> {
    const { fenced, topics, shard, now } = this.#options
    return fenced.write({ topic: topics.snapshots, partition: shard, key, value, timestamp: now() })
  }

  /** One of each cluster for all routes of the shard: in our own an epoch is the shard's. */
  #openAppender(cluster: string, log: Log): Promise<Appender> {
    const { topics, shard } = this.#options
    if (this.#isClosed) return Promise.reject(new LogClosed())
    const known = this.#appenders.get(cluster)
    if (known) return known
    const opened = log.appender(cluster === '' ? { transactionalId: `${topics.messages}.routes.shard-${shard}` } : {})
    this.#appenders.set(cluster, opened)
    opened.catch(() => {
      if (this.#appenders.get(cluster) === opened) this.#appenders.delete(cluster)
    })
    return opened
  }

  /** Only the one that is broken: another route may have seen to it already. */
  async #closeAppender(cluster: string, broken?: Appender): Promise<void> {
    const opened = this.#appenders.get(cluster)
    const appender = await opened?.catch(() => undefined)
    if (this.#appenders.get(cluster) !== opened || (broken && appender !== broken)) return
    this.#appenders.delete(cluster)
    await appender?.close()
  }
}

const unknownCluster = (name: string): DeadEnd => new DeadEnd('UnsuitableTarget', `there is no cluster “${name}” in ROUTE_CLUSTERS_FILE`)

function isSame(a: Route | undefined, b: Route | undefined): boolean {
  return a === b || (a !== undefined && b !== undefined && isSameRoute(a, b))
}
