/** The namespaces of the deployment, each with a registry of its own; how one begins and how it ends. */
import { type Log, TopicMismatch } from '../log/log.ts'
import { ensureTopics, type Profile, planFor, type TopicPlan, topicSpecs } from '../log/topics.ts'
import { NamespaceDirectory } from '../model/namespace-directory.ts'
import { NamespaceInstances, type NamespaceInstancesOptions } from '../model/namespace-instances.ts'
import { lifeName, type Namespace } from '../model/namespaces.ts'
import { formerPartitions, partitionChangeOf } from '../model/partition-change.ts'
import type { Routers } from '../proto/routers.ts'
import type { Author } from './callers.ts'
import { Erasure } from './erasure.ts'
import { EventTopics, namespaceTopicsOf } from './event-topics.ts'
import type { HistorySource } from './history-source.ts'
import { type AskedNamespace, DeploymentLimitReached, type DeploymentLimits, decideDeletion, decideNamespace } from './namespace-rules.ts'
import { Problem } from './problem.ts'
import type { Registry } from './registry.ts'

/** A namespace as requests find it. */
export interface ServedNamespace {
  readonly name: string
  readonly registry: Registry
  readonly routers: Routers
  readonly eventTopics: EventTopics
  readonly history: HistorySource
  /** Where its life cycle events stand. */
  readonly lifecycleTopic: string
  readonly erasure: Erasure
}

/** What the deployment knows of a namespace. */
export interface DeploymentPart {
  readonly partitions: number
  readonly hostNames: readonly string[]
}

export interface NamespacesOptions {
  /** Name and registry of the home namespace. */
  readonly home: string
  readonly registry: Registry
  readonly log: Log
  /** The home namespace's topics. */
  readonly plan: TopicPlan
  readonly profile: Profile
  readonly limits: DeploymentLimits
  /** Patterns of Kafka topics that routes and dead letters may be written to besides those of their namespace. */
  readonly kafkaTopics: string
  /** For the whole of a creation or deletion, ms; what it began goes on. */
  readonly timeoutMs: number
  /** Between the end of a namespace and that of its topics, ms. */
  readonly removalDelayMs: number
  readonly clock: { now(): number }
  readonly logger: NamespaceInstancesOptions<unknown>['logger']
  readonly routersOf: (name: string) => Routers
  /** Starts the registry of another namespace. */
  readonly open: (namespace: Namespace, plan: TopicPlan, fail: (error: unknown) => void) => Promise<Registry>
  readonly onLimit: (limit: string) => void
  readonly onStuck: (error: Error) => void
  /** Told which there are, the home one included. */
  readonly onNamespaces: (names: ReadonlySet<string>) => void
}

/** How often it is looked whether a namespace's topics may go, ms; more often when that is sooner. */
const removalLookMs = 2_000
const removalLookMsMin = 100
/** Creations, changes and deletions under way or waiting for their turn. */
const turnsMax = 16

export class Namespaces {
  readonly home: ServedNamespace
  readonly #options: NamespacesOptions
  /** By the topic of their keys. */
  readonly #erasures = new Map<string, Erasure>()
  readonly #directory: NamespaceDirectory
  readonly #others: NamespaceInstances<Registry>
  readonly #timer: NodeJS.Timeout
  readonly #unwatch: () => void
  /** One creation, change or deletion at a time: the end of the last one that was asked for. */
  #lastTurn: Promise<unknown> = Promise.resolve()
  /** Under way or waiting for their turn. */
  #turns = 0

  constructor(options: NamespacesOptions) {
    const { home, registry, plan, logger, open, onStuck, profile } = options
    this.#options = options
    this.home = this.#serve(home, registry, plan)
    this.#directory = new NamespaceDirectory(registry.view, home, profile === 'production')
    this.#others = new NamespaceInstances<Registry>({
      start: (namespace, fail) => open(namespace, planFor(plan, lifeName(namespace), namespace.partitions), fail),
      stop: (other) => other.close(),
      logger,
      onStuck,
    })
    this.#unwatch = registry.follower.onChange(() => this.#takeNote())
    this.#takeNote()
    this.#timer = setInterval(() => void this.#removeTopics(), Math.max(removalLookMsMin, Math.min(removalLookMs, options.removalDelayMs)))
    this.#timer.unref()
  }

  /** Undefined when there is none, or it is not served yet. */
  find(name: string): ServedNamespace | undefined {
    if (name === this.home.name) return this.home
    const registry = this.#others.get(name)
    const { plan } = this.#options
    const namespace = this.#directory.others.find((other) => other.name === name)
    return registry && namespace && this.#serve(name, registry, planFor(plan, lifeName(namespace), namespace.partitions))
  }

  #serve(name: string, registry: Registry, plan: TopicPlan): ServedNamespace {
    const { log, routersOf, kafkaTopics } = this.#options
    const { names, partitions } = plan
    return {
      name,
      registry,
      routers: routersOf(name),
      eventTopics: new EventTopics(log, plan, kafkaTopics),
      history: { log, topic: names.messages, partitions, formerly: formerPartitions(partitionChangeOf(registry.view)), indexTopic: names.index, topics: names },
      lifecycleTopic: names.lifecycle,
      erasure: this.#erasureOf(name, plan),
    }
  }

  /** One for each life of a namespace: it follows the topic `keys` once it is asked. */
  #erasureOf(name: string, { names: topics, partitions }: TopicPlan): Erasure {
    const known = this.#erasures.get(topics.keys)
    if (known) return known
    const { log, clock, logger } = this.#options
    const erasure = new Erasure({ log, topics, partitions, namespace: name, clock, logger })
    this.#erasures.set(topics.keys, erasure)
    erasure.begin().catch((error: Error) => logger.error({ namespace: name, err: error }, 'whether keys were destroyed is not known'))
    return erasure
  }

  /** Those that are served, by name. */
  all(): readonly ServedNamespace[] {
    const others = this.#others.all().flatMap(({ namespace }) => this.find(namespace.name) ?? [])
    return [this.home, ...others].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** True when it is to be served, whether or not it is yet. */
  isThere(name: string): boolean {
    return this.#directory.names.has(name)
  }

  /** Partitions and host names, as the deployment knows them. */
  entryOf(name: string): DeploymentPart {
    const { partitions, hostNames } = this.home.registry.view.namespaces.get(name) ?? { partitions: this.#options.limits.partitions, hostNames: [] }
    return { partitions, hostNames }
  }

  /** The namespaces besides the home one, as /status shows them. */
  status(): { readonly namespaces?: object } {
    const all = this.#others.all().map(({ namespace, instance, trouble }) => {
      const state = instance
        ? { ok: true, position: instance.view.position, confirmedMs: Math.round(instance.follower.confirmedMs()) }
        : { ok: false, reason: trouble }
      return [namespace.name, state] as const
    })
    return all.length === 0 ? {} : { namespaces: Object.fromEntries(all) }
  }

  /** Resolves when each has come up or failed for the first time, or the time is over. */
  settled(timeoutMs: number): Promise<void> {
    return this.#others.settled(timeoutMs)
  }

  /** What putting the namespace would make of it, and whether it would begin. Throws Problem. */
  preview(name: string, asked: AskedNamespace): DeploymentPart & { readonly begins: boolean } {
    const { state, partitions, hostNames } = this.#decide(name, asked)
    return { begins: state === 'Creating', partitions, hostNames }
  }

  /** Makes the namespace, or changes its part of the deployment; resolves when it is served here. Rejects with Problem. */
  async put(name: string, asked: AskedNamespace, author: Author): Promise<ServedNamespace> {
    const there = this.find(name)
    const changes = asked.hostNames !== undefined || asked.partitions !== undefined || !this.isThere(name)
    if (there && !changes) return there
    return this.#exclusively(async () => {
      const { plan, log, profile } = this.#options
      const record = this.#decide(name, asked)
      if (record.state === 'Creating') {
        const own = planFor(plan, lifeName({ name, life: record.life }), record.partitions)
        const before = this.home.registry.view.namespaces.get(name)
        if (before === undefined && (await log.topicExists(own.names.registry)))
          throw new Problem(409, `there are topics of the name ${own.names.registry}: another deployment with this prefix has a namespace “${name}”`)
        await this.home.registry.putNamespace(name, record, author)
        await ensureTopics(log, topicSpecs(own), profile).catch((error: Error) => {
          if (error instanceof TopicMismatch) throw new Problem(409, `its topics cannot be used: ${error.message}`, { cause: error })
          throw new Problem(503, `its topics could not be made: ${error.message}`, { retryAfter: 2, cause: error })
        })
      }
      const known = this.entryOf(name)
      const isSame = JSON.stringify(known.hostNames) === JSON.stringify(record.hostNames)
      if (record.state === 'Creating' || !isSame) await this.home.registry.putNamespace(name, { ...record, state: 'Active' }, author)
      return this.#served(name)
    })
  }

  /** Ends the namespace; its topics are removed after a while. Rejects with Problem. */
  async remove(name: string, author: Author): Promise<void> {
    await this.#exclusively(async () => this.home.registry.putNamespace(name, this.previewRemoval(name), author))
  }

  /** Throws Problem when the namespace cannot be deleted. */
  previewRemoval(name: string): ReturnType<typeof decideDeletion> {
    return decideDeletion(this.home.registry.view, this.home.name, name)
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#unwatch()
    await Promise.all([...this.#erasures.values()].map((erasure) => erasure.close()))
    await this.#others.close()
  }

  #decide(name: string, asked: AskedNamespace): ReturnType<typeof decideNamespace> {
    try {
      return decideNamespace(this.home.registry.view, this.home.name, name, asked, this.#options.limits)
    } catch (error) {
      if (error instanceof DeploymentLimitReached) this.#options.onLimit(error.limit)
      throw error
    }
  }

  async #served(name: string): Promise<ServedNamespace> {
    for (const until = Date.now() + this.#options.timeoutMs; Date.now() < until; ) {
      const served = this.find(name)
      if (served) return served
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    throw new Problem(503, `the namespace “${name}” is there, and not served yet`, { retryAfter: 2 })
  }

  /** Each in its turn. What takes too long is answered, and goes on: until it is done nothing else is begun. */
  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const { timeoutMs } = this.#options
    if (this.#turns >= turnsMax) throw new Problem(503, `${turnsMax} namespaces are being made, changed or deleted now`, { retryAfter: 1 })
    this.#turns++
    const working = this.#lastTurn.then(work).finally(() => {
      this.#turns--
    })
    this.#lastTurn = working.catch(() => {}) // told to who asked
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Problem(503, `it is not done within ${timeoutMs} ms; it may still come to pass`, { retryAfter: 2 })), timeoutMs)
    })
    try {
      return await Promise.race([working, late])
    } finally {
      clearTimeout(timer)
    }
  }

  #takeNote(): void {
    this.#directory.refresh()
    this.#others.set(this.#directory.others)
    this.#options.onNamespaces(this.#directory.names)
  }

  /** By then every process has let go of them: a gateway or router that has not heard for so long has closed everybody. */
  async #removeTopics(): Promise<void> {
    const { clock, log, plan, removalDelayMs, logger } = this.#options
    const { registry } = this.home
    const due = [...registry.view.namespaces.values()].find(({ state, updatedAt }) => state === 'Deleting' && clock.now() - updatedAt >= removalDelayMs)
    if (!due || this.#turns > 0) return
    const { name, life, partitions } = due
    try {
      await this.#exclusively(async () => {
        const own = planFor(plan, lifeName(due), partitions)
        await log.deleteTopics([...(await namespaceTopicsOf(log, own)), ...Object.values(own.names)])
        await registry.putNamespace(name, { state: 'Deleted', life, partitions, hostNames: [] }, { by: 'registry' })
      })
      logger.info({ namespace: name }, 'the topics of the deleted namespace are gone')
    } catch (error) {
      logger.error({ namespace: name, err: error }, 'the topics of the deleted namespace could not be removed; it is tried again')
    }
  }
}

/** Why a namespace cannot be asked. */
export function missing(namespaces: Namespaces, name: string): Problem {
  if (namespaces.isThere(name)) return new Problem(503, `the namespace “${name}” is not served yet; ask again`, { retryAfter: 2 })
  return new Problem(404, `there is no namespace “${name}”`)
}
