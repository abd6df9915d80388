/**
 * The reader of the log: folds all sessions, shares out the shards with the other routers, and runs three loops that never
 * wait for one another's work — sessions, messages to match, and what the inboxes owe.
 */
import { RefusalAudit } from '../audit/refusal-audit.ts'
import { sourceOf } from '../events/lifecycle-event.ts'
import { reasonLabel } from '../events/retry-schedule.ts'
import type { CheckedState } from '../history/checkpoint-check.ts'
import { type Appender, FencedError, type Follower, LogClosed, type Membership, OffsetOutOfRange } from '../log/log.ts'
import { TokenBucket, unlimited } from '../log/token-bucket.ts'
import { ClientKeyRing } from '../model/client-key-ring.ts'
import { routesOf } from '../model/routes.ts'
import type { SessionChange } from '../model/session-fold.ts'
import { SessionsByName } from '../model/session-quota.ts'
import { restoreSessions } from '../model/snapshot.ts'
import type { GatewayHandlers } from './gateway.ts'
import { Gateways } from './gateways.ts'
import { LimitsInForce } from './limits-in-force.ts'
import { OwnedShard } from './owned-shard.ts'
import { Payloads } from './payloads.ts'
import { DeadLetterKeepers } from './push/dead-letter-keepers.ts'
import { Pushers } from './push/pushers.ts'
import { ReplayTurns } from './replay-turns.ts'
import { RouterApis } from './router-apis.ts'
import type { RouterOptions } from './router-options.ts'
import type { RouteStatus } from './routes/route-status.ts'
import { Troubles } from './routes/troubles.ts'
import { Unsealing } from './routes/unsealing.ts'
import { SessionChanges } from './session-changes.ts'
import { SessionsTail } from './sessions-tail.ts'
import { shardLevels } from './shard-levels.ts'
import { ShardLoops } from './shard-loops.ts'
import type { RouterLevels } from './shard-metrics.ts'
import { ShardOwnership } from './shard-ownership.ts'
import { type ShardSurroundings, shardOptions } from './shard-surroundings.ts'
import { SharedChoice } from './shared-choice.ts'
import { SharedRoom } from './shared-room.ts'
import { readSnapshot } from './snapshots.ts'
import { StateCheck } from './state-check.ts'
import { SubscriptionTrie } from './subscription-trie.ts'
import { Subscriptions } from './subscriptions/subscriptions.ts'

const progressMs = 500
/** Seconds between two looks for checkpoints to be checked. */
const stateCheckTicks = 60
/** Most that one fetch of a namespace topic brings, bytes: a router may follow many. */
const eventFetchBytesMax = 1_048_576
/** Groups that are behind whose messages are held after they were read, until members have room. */
const sharedOpenMax = 32
/** What a router that stops may take for its shards' snapshots, ms: then it leaves them half written, which nobody reads. */
const snapshotsMs = 1_500
/** And for each of its journals' last words, ms: the successor finds out for itself what they would have said. */
const journalsMs = 1_000

/** Resolves with `work`, or when the time is over. */
async function within(ms: number, work: Promise<unknown> | undefined): Promise<void> {
  let timer: NodeJS.Timeout | undefined
  const over = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, ms)
  })
  await Promise.race([work, over])
  clearTimeout(timer)
}

export class Router {
  readonly #options: RouterOptions
  readonly #trie = new SubscriptionTrie()
  readonly #limits: LimitsInForce
  readonly #stateCheck: StateCheck
  /** By shard: what differed when it was last checked. */
  readonly #differing = new Map<number, { readonly at: number; readonly differing: readonly CheckedState[] }>()
  #ticks = 0
  readonly #tail: SessionsTail
  readonly #byName: SessionsByName
  readonly #gateways: Gateways
  readonly #payloads: Payloads
  readonly #surroundings: ShardSurroundings
  /** Of the shards that are owned; each with its own state in the log. */
  readonly #subscriptions: Subscriptions
  readonly #pushers: Pushers
  readonly #ownership: ShardOwnership
  readonly #owned: ReadonlyMap<number, OwnedShard>
  readonly #room: SharedRoom
  readonly #sessionChanges: SessionChanges
  readonly #loops: ShardLoops
  readonly apis: RouterApis
  /** Position of the event subscriptions that series of metrics were last compared with. */
  #seriesSeen = -1
  /** Position of the routes that the shards were told of. */
  #routesSeen = -1
  #appender: Appender | undefined
  readonly #refusals: RefusalAudit
  /** Topics that operators name are not to hold up the broker's own. */
  #deadLetterAppender: Appender | undefined
  readonly #deadLetters: DeadLetterKeepers
  /** Read once a route is to open what is sealed. */
  readonly #keyRing: ClientKeyRing
  #messages: Follower | undefined
  #inboxes: Follower | undefined
  #membership: Membership | undefined
  readonly #timers: NodeJS.Timeout[] = []
  #isClosing = false

  constructor(options: RouterOptions) {
    this.#options = options
    this.#limits = new LimitsInForce(options.config, () => options.registry.view)
    this.#ownership = new ShardOwnership({
      logger: options.logger,
      take: (shard, captured) => OwnedShard.take(shardOptions(shard, captured, this.#surroundings)),
      onTaken: async (owned) => {
        await this.#taken(owned)
        if (this.#owned.get(owned.shard) !== owned) this.#subscriptions.disown(owned.shard)
        this.#pushers.match()
      },
      onReleased: (shard) => this.#released(shard),
      onFailed: (error) => this.#fail(error),
    })
    this.#owned = this.#ownership.owned
    this.#stateCheck = this.#makeStateCheck()
    const { config, log, topics, now, metrics, logger, tls, dial } = options
    this.#tail = new SessionsTail({
      log,
      topic: topics.sessions,
      shards: config.partitions,
      onApplied: (shard, offset, changes) => this.#applied(shard, offset, changes),
      onUnreadable: (shard, offset, error) => this.#unreadable(topics.sessions, shard, offset, error),
    })
    this.#byName = new SessionsByName(this.#tail.folds)
    this.#keyRing = new ClientKeyRing({ log, topic: topics.keys, logger })
    this.#gateways = new Gateways({
      log,
      topic: topics.gateways,
      router: config.routerId,
      handlers: this.#gatewayHandlers(),
      limits: { queueBytesMax: config.gatewayQueueBytesMax, stallMs: config.gatewayStallMs },
      lostMs: config.gatewayLostMs,
      now,
      tls,
      dial,
      onLost: (incarnation, reason, isNews) => {
        if (isNews) {
          logger.warn({ gateway: incarnation.id, incarnation: incarnation.incarnation, reason }, 'a gateway is lost')
          metrics.gatewaysLost.inc()
        }
        for (const shard of this.#owned.values()) shard.client.gatewayLost(incarnation)
      },
    })
    this.#room = new SharedRoom({
      owed: (session) => (this.#owned.has(session.shard) ? session.queue : undefined),
      messagesMax: config.sharedMemberMessagesMax,
      limits: () => this.#limits.queue.connected,
    })
    const room = this.#room
    this.#sessionChanges = new SessionChanges({ trie: this.#trie, byName: this.#byName, gateways: this.#gateways, owned: this.#owned, room })
    const payloads = (topic: string): Payloads =>
      new Payloads({
        log,
        topic,
        bytesMax: config.payloadCacheBytes,
        onFailure: (error) => logger.warn({ err: error, topic }, 'messages could not be read again; trying on'),
      })
    this.#deadLetters = new DeadLetterKeepers({ config, log, logger, now, appender: () => this.#deadLetterAppender as Appender })
    this.#subscriptions = new Subscriptions({
      log,
      topics,
      registry: options.registry,
      shards: config.partitions,
      fetchBytesMax: Math.min(config.fetchBytesMax, eventFetchBytesMax),
      limits: { unsettledMax: config.subscriptionUnsettledMax, aheadBytesMax: config.subscriptionAheadBytesMax },
      counters: {
        givenUp(reason, isDropped, { topic, name: event_subscription }) {
          if (isDropped) metrics.droppedEvents.inc({ topic, event_subscription, drop_reason: reasonLabel(reason) })
          else metrics.deadLettered.inc({ topic, event_subscription, dead_letter_reason: reasonLabel(reason) })
        },
        lost: (reason, count) => metrics.eventsLost.inc({ reason }, count),
        read({ matched, filtered, unmatched }, { topic, name: event_subscription }) {
          metrics.matchedEvents.inc({ topic, event_subscription }, matched)
          metrics.filteredEvents.inc({ topic, event_subscription }, filtered)
          if (unmatched > 0) metrics.unmatchedEvents.inc({ topic }, unmatched)
        },
        received: (count, ms, { topic, name: event_subscription }) => metrics.pull.received({ topic, event_subscription }, count, ms),
        limitReached: (limit) => metrics.limitReached.inc({ limit }),
      },
      logger,
      now,
      lifecycleSource: sourceOf(config.lifecycleEventSource, config.namespace),
      deadLettersOf: (resource) => this.#deadLetters.keeperOf(resource),
      onRefused: (shard, error) => this.#deliveriesRefused(shard, error),
      onMoving: () => this.#pushers.match(),
    })
    this.#pushers = new Pushers({
      config: config.push,
      policy: config.outgoing,
      ca: config.outgoingCa,
      subscriptions: () => this.#subscriptions.all(),
      metrics: metrics.push,
      logger,
      tracing: options.tracing ?? null,
      now,
    })
    const startedAt = now()
    this.#refusals = new RefusalAudit({
      namespace: config.namespace,
      topic: topics.lifecycle,
      partitions: config.partitions,
      idOf: (count) => `${config.routerId}-${startedAt}-${count}`,
      by: { router: config.routerId },
      now,
      refusalsMax: () => config.refusalsToldMax,
      isLogFull: () => (this.#appender?.pendingBytes ?? Number.POSITIVE_INFINITY) > config.outstandingBytesMax,
      append: (record, done) => this.#appender?.append(record, done),
      metrics: {
        reached: (limit) => metrics.limitReached.inc({ limit }),
        audited: (outcome) => metrics.refusalsWritten.inc({ outcome }),
      },
    })
    this.apis = new RouterApis({
      ...options,
      tail: this.#tail,
      subscriptions: this.#subscriptions,
      owned: this.#owned,
      refusals: this.#refusals,
      appender: () => this.#appender as Appender,
      routes: () => this.routes(),
    })
    this.#payloads = payloads(topics.messages)
    const choice = new SharedChoice(
      {
        room,
        owed: (session) => (this.#owned.has(session.shard) ? session.queue.length : undefined),
        hasIndexed: (shard, source, offset) => this.#owned.get(shard)?.hasIndexed(source, offset) ?? false,
      },
      config.sharedStreamsMax,
    )
    const replayTurns = new ReplayTurns({
      messagesPerSecond: config.replayRouterRate,
      messagesPerSecondMin: config.replayRouterRateMin,
      bytesPerSecond: config.replayReadRate,
      openMax: config.replaysOpenMax,
    })
    this.#loops = new ShardLoops({
      config,
      log,
      now,
      owned: this.#owned,
      tail: this.#tail,
      sessionChanges: this.#sessionChanges,
      gateways: this.#gateways,
      replayTurns,
      onStuck: (error) => this.#fail(error),
    })
    this.#surroundings = {
      options,
      limits: this.#limits,
      tail: this.#tail,
      trie: this.#trie,
      choice,
      room,
      sharedTurns: new ReplayTurns({ messagesPerSecond: unlimited, messagesPerSecondMin: unlimited, bytesPerSecond: unlimited, openMax: sharedOpenMax }),
      byName: this.#byName,
      gateways: this.#gateways,
      payloads: this.#payloads,
      retainedPayloads: payloads(topics.retained),
      inboxPayloads: payloads(topics.inbox),
      replayTurns,
      auditReads: new TokenBucket(),
      troubles: new Troubles(now),
      unsealing: new Unsealing(this.#keyRing),
      appender: () => this.#appender as Appender,
      owned: (shard) => this.#owned.get(shard),
      onUnreadable: (topic, partition, offset, error) => this.#unreadable(topic, partition, offset, error),
      onRefused: (error) => this.#fail(error),
      onSuperseded: (owned) => void this.#ownership.superseded(owned),
    }
  }

  /** The routes of this router's shards. */
  routes(): readonly RouteStatus[] {
    return [...this.#owned.values()].flatMap((owned) => owned.routes.status())
  }

  /** What /status shows. */
  status(): object {
    return {
      router: this.#options.config.routerId,
      shards: [...this.#owned.values()].map((owned) => ({
        shard: owned.shard,
        term: owned.term,
        position: owned.source.position,
        outstandingBytes: owned.source.outstandingBytes,
        attached: owned.client.attachedCount,
        replays: owned.replayCount,
        groupsBehind: owned.source.lanes.status(),
      })),
      routes: this.routes(),
      subscriptions: this.#trie.size,
      push: this.#pushers.status(),
      sessions: this.#tail.folds.reduce((sum, fold) => sum + fold.sessions.size, 0),
      gateways: [...this.#gateways.all()].map((gateway) => ({ ...gateway.identity, linked: gateway.isLinked, silentMs: gateway.silentMs })),
      kafka: this.#options.log.health(),
      registryConfirmedMs: this.#options.registry.confirmedMs(),
      registryPosition: this.#options.registry.view.position,
      stateDiffers: [...this.#differing].map(([shard, { at, differing }]) => ({ shard, at: new Date(at).toISOString(), differing })),
    }
  }

  /** What /metrics shows of now: looks at every session of the owned shards. */
  levels(): RouterLevels {
    const now = this.#options.now()
    const shards = [...this.#owned.values()].map((owned) =>
      shardLevels(owned, this.#loops.standing(owned.shard), this.#tail.folds[owned.shard]?.sessions.values() ?? [], now),
    )
    const gateways = new Map([...this.#gateways.all()].map((gateway) => [gateway.identity.id, gateway.queuedBytes]))
    return { shards, gateways, registryUnconfirmedMs: this.#options.registry.confirmedMs(), shardsOfNamespace: this.#tail.folds.length }
  }

  /** Folds what there is and joins the other routers. Resolves once the shards given to this router are served. */
  async start(): Promise<void> {
    const { config, log, topics, registry } = this.#options
    this.#appender = await log.appender()
    this.#deadLetterAppender = await log.appender()
    await this.#restore()
    await this.#gateways.start()
    this.#messages = await log.follow({ topic: topics.messages, from: new Map(), maxBytes: config.fetchBytesMax })
    this.#inboxes = await log.follow({ topic: topics.inbox, from: new Map(), maxBytes: config.fetchBytesMax })
    this.#watch(this.#tail.run())
    this.#watch(this.#gateways.run())
    this.#watch(this.#loops.match(this.#messages))
    this.#watch(this.#loops.deliver(this.#inboxes))
    registry.onChange(() => this.#registryChanged())
    this.#keepSeries()
    this.#timers.push(
      setInterval(() => {
        this.#each((owned) => {
          owned.writeProgress()
          owned.routes.tick()
        })
      }, progressMs),
      setInterval(() => this.#tick(), 1_000),
    )
    const first = Promise.withResolvers<void>()
    this.#membership = await log.join({
      group: `${topics.messages}.router`,
      topic: topics.messages,
      instance: config.routerId,
      onAssigned: async (shards) => {
        await this.#ownership.take(shards)
        first.resolve()
      },
      onRevoked: (shards) => this.#ownership.revoke(shards),
    })
    await first.promise
  }

  /** Hands the shards over: serves them while it writes their snapshots, journals progress, lets go of everything and leaves the group. */
  async close(): Promise<void> {
    this.#isClosing = true
    for (const timer of this.#timers) clearInterval(timer)
    this.#ownership.close()
    if (this.#options.log.health().reachable) {
      // They only shorten the successor's start, and a shard that goes to it meanwhile needs none of this router's.
      await within(snapshotsMs, Promise.allSettled([...this.#owned.values()].map((owned) => owned.snapshots.write())))
      await within(journalsMs, Promise.all([...this.#owned.values()].map((owned) => owned.client.journal())))
      this.#each((owned) => owned.writeProgress())
      await within(journalsMs, this.#appender?.flush())
    } else {
      const left = { shards: this.#owned.size, bytes: this.#appender?.pendingBytes ?? 0 }
      this.#options.logger.warn(left, 'Kafka does not answer: neither snapshots nor the last progress are written, and successors read that much more')
    }
    this.#stateCheck.close()
    this.#pushers.close()
    this.#refusals.close()
    await this.#ownership.release([...this.#owned.keys()])
    await this.#membership?.close()
    await Promise.all([this.#messages?.close(), this.#inboxes?.close(), this.#tail.close(), this.#gateways.close(), this.#subscriptions.close()])
    this.#deadLetters.close()
    await Promise.all([this.#appender?.close(), this.#deadLetterAppender?.close(), this.#keyRing.close()])
  }

  async #restore(): Promise<void> {
    const { log, topics, logger } = this.#options
    for (const fold of this.#tail.folds) {
      const snapshot = await readSnapshot(log, topics.snapshots, fold.shard)
      if (snapshot) restoreSessions(fold, snapshot.states, snapshot.closed)
      else fold.position = (await log.startOffsets(topics.sessions)).get(fold.shard) ?? 0
      for (const session of fold.sessions.values()) for (const subscription of session.subscriptions.values()) this.#trie.add(session, subscription)
    }
    await this.#tail.catchUp()
    logger.info({ subscriptions: this.#trie.size }, 'sessions are folded')
  }

  /** Of a shard that is still owned. The fence says that it has another owner, and nothing more. */
  #deliveriesRefused(shard: number, error: Error): void {
    const owned = this.#owned.get(shard)
    if (!owned) return
    if (error instanceof FencedError) void this.#ownership.superseded(owned)
    else this.#fail(error)
  }

  #taken(owned: OwnedShard): Promise<void> {
    const { shard, term } = owned
    const { logger, registry } = this.#options
    this.#loops.begin()
    this.#room.forget()
    owned.goLive()
    owned.routes.refresh(routesOf(registry.view), registry.view.position)
    this.#gateways.own(shard, term)
    this.#inboxes?.seek(shard, owned.inboxPosition)
    this.#messages?.seek(shard, owned.source.position)
    logger.info({ shard, term, position: owned.source.position }, 'shard taken')
    return this.#subscriptions.own(shard, owned.fenced)
  }

  #released(shard: number): void {
    const { metrics } = this.#options
    this.#loops.forget(shard)
    this.#room.forget()
    metrics.retainedMessages.remove({ shard })
    metrics.retainedBytes.remove({ shard })
    this.#messages?.remove(shard)
    this.#inboxes?.remove(shard)
    this.#gateways.disown(shard)
    this.#subscriptions.disown(shard)
    this.#pushers.match()
  }

  #applied(shard: number, offset: number, changes: readonly SessionChange[]): void {
    this.#sessionChanges.applied(shard, offset, changes)
    this.#owned.get(shard)?.applied(offset, changes)
    this.#ownership.captured(shard, { offset, changes })
  }

  #registryChanged(): void {
    this.#subscriptions.registryChanged()
    this.#pushers.match()
    this.#keepSeries()
    this.#each((owned) => owned.client.rejudge())
    this.#refreshRoutes()
    if (this.#limits.refresh()) this.#each((owned) => owned.client.limitsChanged())
  }

  #keepSeries(): void {
    const { metrics, registry } = this.#options
    const { eventsPosition, eventSubscriptions, topics } = registry.view
    if (eventsPosition === this.#seriesSeen) return
    this.#seriesSeen = eventsPosition
    void metrics.series.keep(eventSubscriptions.keys())
    void metrics.topicSeries.keep(topics.keys())
  }

  #measureRoutes(): void {
    const { routeLag, routeBlocked } = this.#options.metrics
    routeLag.reset()
    routeBlocked.reset()
    for (const { route, shard, lag, error } of this.routes()) {
      routeLag.set({ route, shard }, lag)
      if (error !== undefined) routeBlocked.set({ route, shard, error }, 1)
    }
  }

  #refreshRoutes(): void {
    const { view } = this.#options.registry
    // Clients may change by the thousand.
    if (view.routesPosition === this.#routesSeen) return
    this.#routesSeen = view.routesPosition
    const routes = routesOf(view)
    this.#each((owned) => owned.routes.refresh(routes, view.position))
  }

  #makeStateCheck(): StateCheck {
    const { log, topics, config, now, metrics, logger } = this.#options
    return new StateCheck({
      log,
      topics,
      shards: config.partitions,
      now,
      isOwned: (shard) => this.#owned.has(shard),
      onChecked: (shard) => {
        metrics.stateChecks.inc({ result: 'same' })
        this.#differing.delete(shard)
      },
      onDiffering: (shard, at, differing) => {
        metrics.stateChecks.inc({ result: 'differs' })
        this.#differing.set(shard, { at, differing })
        logger.error({ shard, at: new Date(at).toISOString(), differing }, 'the state that the owner of the shard wrote down is not what the log makes')
      },
      onFailed: (shard, err) => logger.warn({ shard, err }, 'a checkpoint could not be checked'),
    })
  }

  #tick(): void {
    const { config, metrics, logger } = this.#options
    if (++this.#ticks % stateCheckTicks === 0) void this.#stateCheck.round()
    metrics.subscriptions.set(this.#trie.size)
    metrics.replayRate.set(this.#surroundings.replayTurns.rate(this.#options.now()))
    this.#measureRoutes()
    this.#loops.endWhenStuck(this.#ownership.isTaking)
    this.#room.tick()
    this.#subscriptions.tick()
    this.#refusals.tick()
    this.#pushers.match()
    this.#each((owned) => {
      owned.tick()
      if (!owned.snapshots.isDue(config.snapshotRecords)) return
      owned.snapshots.write().catch((error: Error) => {
        if (error instanceof FencedError) void this.#ownership.superseded(owned)
        else if (!this.#isClosing) logger.warn({ shard: owned.shard, err: error }, 'the snapshot was not written')
      })
    })
  }

  #gatewayHandlers(): GatewayHandlers {
    const { metrics, logger } = this.#options
    return {
      onShardState: (gateway, shard, _term, _receivedTo, sessions) => this.#owned.get(shard)?.client.shardState(gateway, sessions),
      onAcks: (gateway, shard, acks) => this.#owned.get(shard)?.client.acknowledged(gateway, acks),
      onDrain: (gateway) => this.#each((owned) => owned.client.drained(gateway)),
      onDropped: (_gateway, deliveries) => metrics.dropped.inc({ reason: 'gatewayQueueFull' }, deliveries),
      onOverflow: (gateway, connection) => this.#each((owned) => owned.client.overflowed(gateway, connection)),
      onLink: (gateway, isUp, reason) => {
        if (!isUp) metrics.linksClosed.inc()
        logger.info({ gateway: gateway.identity.id, isUp, reason }, 'gateway link')
      },
    }
  }

  #each(act: (owned: OwnedShard) => void): void {
    for (const owned of this.#owned.values()) act(owned)
  }

  #unreadable(topic: string, partition: number, offset: number, error: Error): void {
    this.#options.metrics.unreadable.inc({ topic })
    this.#options.logger.error({ topic, partition, offset, err: error }, 'a record cannot be read and is skipped')
  }

  /** A loop that ends by an error ends the router: nothing it holds is lost by starting anew. */
  #watch(loop: Promise<void>): void {
    loop.catch((error: unknown) => {
      if (!this.#isClosing || !(error instanceof LogClosed)) this.#fail(error as Error)
    })
  }

  #fail(error: Error): void {
    if (this.#isClosing) return
    if (error instanceof OffsetOutOfRange) this.#options.logger.fatal({ err: error }, 'the log does not hold what is needed')
    this.#options.onFailed(error)
  }
}
