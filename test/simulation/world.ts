/**
 * Routers, gateways and the log in one process on one clock. Time stands still but for `pass`; what waits for the log or
 * the network waits for turns of the event loop, so the same decisions give the same course of events.
 */
import type { Duplex } from 'node:stream'
import { jest } from '@jest/globals'
import { pino } from 'pino'
import { Registry } from 'prom-client'
import type { LogRecord } from '../../log/log.ts'
import { MemoryStore } from '../../log/memory-log.ts'
import { topicNames, topicSpecs } from '../../log/topics.ts'
import { RegistryFollower } from '../../model/registry-follower.ts'
import type { dialDelivery } from '../../proto/delivery.ts'
import { readRouterConfig } from '../../router/config.ts'
import { createRouterMetrics } from '../../router/metrics.ts'
import { Router } from '../../router/router.ts'
import { decodeRecord, encodeRecord } from '../../schemas/codec.ts'
import type { AnyRecord } from '../../schemas/records.ts'
import { linkPair } from '../support/link-pair.ts'
import { ProcessLog } from './process-log.ts'
import { SimGateway } from './sim-gateway.ts'

export interface RouterProcess {
  readonly id: string
  readonly router: Router
  readonly log: ProcessLog
  readonly failures: Error[]
  /** What it counts. */
  readonly figures: Registry
  kill(): void
  stop(): Promise<void>
  /** SIGSTOP: neither log nor gateways hear of it, nor it of them. */
  standStill(): void
  /** SIGCONT: what it would have done meanwhile, it does now. */
  goOn(): void
}

/** A router that starts or has started. */
export interface LaunchedRouter {
  readonly ready: Promise<void>
  readonly isReady: boolean
  readonly process: RouterProcess | undefined
  kill(): void
}

/** Takes over timers and the clock of the test; setImmediate stays, it is what moves things. */
export function freezeTime(): void {
  jest.useFakeTimers({ now: 1_700_000_000_000, doNotFake: ['setImmediate', 'clearImmediate', 'nextTick', 'queueMicrotask', 'performance', 'hrtime'] })
}

export class World {
  readonly partitions: number
  /** Gateways note what becomes of deliveries. */
  readonly hasReceipts: boolean
  readonly topics = topicNames('loggerhead', 'default')
  readonly store: MemoryStore
  readonly gateways = new Map<string, SimGateway>()
  readonly #environment: Readonly<Record<string, string>>
  readonly #retired = new Map<string, readonly LogRecord[]>()
  readonly #started: (() => void)[] = []
  #registryEntries = 0

  constructor(
    options: {
      readonly partitions?: number
      readonly hasReceipts?: boolean
      readonly environment?: Readonly<Record<string, string>>
      readonly random?: () => number
      /** What a world before this one has left. */
      readonly store?: MemoryStore
    } = {},
  ) {
    this.partitions = options.partitions ?? 2
    this.hasReceipts = options.hasReceipts ?? false
    this.#environment = { KAFKA_PARTITIONS: String(this.partitions), ...options.environment }
    const { random } = options
    const later = (work: () => void, turns: number): void => {
      setImmediate(() => (turns > 0 ? later(work, turns - 1) : work()))
    }
    this.store = options.store ?? new MemoryStore(random ? { schedule: (work) => later(work, Math.floor(random() * 3)) } : {})
  }

  now = (): number => Date.now()

  async start(): Promise<this> {
    const log = new ProcessLog(this.store)
    await log.createTopics(
      topicSpecs({
        prefix: 'loggerhead',
        names: this.topics,
        partitions: this.partitions,
        replication: 1,
        historyWindowMs: 7 * 24 * 3_600_000,
        auditWindowMs: 9 * 24 * 3_600_000,
      }),
    )
    await this.register('clientGroups', '$anonymous', { query: 'true' })
    await this.register('topicSpaces', 'all', { topicTemplates: ['#'] })
    await this.register('permissionBindings', 'all-sub', { clientGroupName: '$anonymous', topicSpaceName: 'all', permission: 'Subscriber' })
    return this
  }

  /** Writes a resource of the registry; without properties deletes it. */
  async register(kind: string, name: string, properties: object | null): Promise<void> {
    const log = new ProcessLog(this.store)
    const appender = await log.appender()
    const entry = { kind, name, properties: JSON.stringify(properties), etag: `e${this.#registryEntries++}`, createdAt: 1, updatedAt: 2, by: 'test' }
    const value = properties && encodeRecord('RegistryEntry', entry)
    await appender.write({ topic: this.topics.registry, partition: 0, key: Buffer.from(`${kind}/${name}`), value, timestamp: this.now() })
  }

  async startGateway(id: string): Promise<SimGateway> {
    return await new SimGateway(this, id).start()
  }

  async startRouter(id: string): Promise<RouterProcess> {
    const started = this.launchRouter(id)
    let isStarted = false
    void started.ready.then(() => {
      isStarted = true
    })
    await this.until(() => isStarted, `router ${id} starts`)
    return started.process as RouterProcess
  }

  /** Begins to start a router; it may be killed before it is ready. */
  launchRouter(id: string): LaunchedRouter {
    const log = new ProcessLog(this.store)
    const failures: Error[] = []
    let isDead = false
    let isStill = false
    const links = new Set<Duplex>()
    const dial = ((address: string) => ({
      link: () => {
        const gateway = this.gateways.get(address)
        if (gateway && !isDead && !gateway.refused.has(id)) {
          const link = gateway.accept(id)
          links.add(link)
          link.once('close', () => links.delete(link))
          if (isStill) {
            link.pause()
            if (!gateway.unsent.has(id)) gateway.unsent.set(id, [])
          }
          return link
        }
        // Nobody answers. A dead router asks nobody.
        const [near, far] = linkPair()
        far.resume()
        if (!isDead) setImmediate(() => near.destroy())
        return near
      },
      close: () => {},
    })) as unknown as typeof dialDelivery
    const kill = (): void => {
      isDead = true
      log.kill()
      for (const gateway of this.gateways.values()) gateway.cut(id)
      // Stops its timers; nothing it still does is heard.
      void launched.process?.router.close()
      void log.expel()
    }
    const launched: { -readonly [K in keyof LaunchedRouter]: LaunchedRouter[K] } = { ready: Promise.resolve(), isReady: false, process: undefined, kill }
    const start = async (): Promise<void> => {
      const registry = await RegistryFollower.start({ log, topic: this.topics.registry, clock: { now: this.now } })
      const figures = new Registry()
      const router = new Router({
        config: readRouterConfig({ ROUTER_ID: id, ...this.#environment }).config,
        log,
        topics: this.topics,
        registry,
        metrics: createRouterMetrics(figures),
        logger: pino({ level: process.env.SIM_LOG ?? 'silent' }),
        now: this.now,
        dial,
        onFailed: (error) => {
          failures.push(error)
          if (process.env.SIM_LOG) console.error(error)
        },
      })
      const stop = async (): Promise<void> => {
        const closed = router.close()
        let isClosed = false
        void closed.then(() => {
          isClosed = true
        })
        await this.until(() => isClosed, `router ${id} stops`)
        isDead = true
      }
      const standStill = (): void => {
        isStill = true
        log.standStill()
        for (const link of links) link.pause()
        for (const gateway of this.gateways.values()) gateway.unsent.set(id, [])
      }
      const goOn = (): void => {
        isStill = false
        for (const gateway of this.gateways.values()) {
          const unsent = gateway.unsent.get(id) ?? []
          gateway.unsent.delete(id)
          for (const send of unsent) send()
        }
        log.goOn()
        for (const link of links) link.resume()
      }
      launched.process = { id, router, log, failures, figures, kill, stop, standStill, goOn }
      await router.start()
      launched.isReady = true
    }
    this.#started.push(() => void (isDead || kill()))
    launched.ready = start()
    return launched
  }

  /** Lets the event loop turn. */
  async turns(count: number): Promise<void> {
    for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve))
  }

  /** Lets time pass in steps, with turns between. */
  async pass(ms: number, step = 100): Promise<void> {
    for (let left = ms; left > 0; left -= step) {
      jest.advanceTimersByTime(Math.min(step, left))
      await this.turns(10)
    }
  }

  /** Lets things move, and time pass slowly, until the condition holds. */
  async until(condition: () => boolean, what: string, maxMs = 60_000): Promise<void> {
    for (let passed = 0; !condition(); passed += 20) {
      if (passed > maxMs) throw new Error(`not within ${maxMs} ms: ${what}`)
      await this.turns(10)
      if (condition()) return
      jest.advanceTimersByTime(20)
    }
  }

  /** Retention: readers find nothing below the offset any more; `records` still does. */
  retire(topic: keyof World['topics'], partition: number, below: number): void {
    const key = `${topic}/${partition}`
    const stored = this.store.partition(this.topics[topic], partition)
    this.#retired.set(key, [...(this.#retired.get(key) ?? []), ...(stored?.records ?? []).filter(({ offset }) => offset < below)])
    this.store.truncate(this.topics[topic], partition, below)
  }

  /** All records of a partition there ever were. */
  records(topic: keyof World['topics'], partition: number): { readonly offset: number; readonly record: AnyRecord }[] {
    const stored = this.store.partition(this.topics[topic], partition)
    return [...(this.#retired.get(`${topic}/${partition}`) ?? []), ...(stored?.records ?? [])].flatMap(({ offset, value }) =>
      value ? [{ offset, record: decodeRecord(value) }] : [],
    )
  }

  /** Stops what still runs. */
  end(): void {
    for (const stop of this.#started) stop()
    jest.clearAllTimers()
  }
}
