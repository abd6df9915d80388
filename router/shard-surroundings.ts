/** What every shard of a router is given: settings and counters, and what the router's shards have in common. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Logger } from 'pino'
import { type Appender, FencedError } from '../log/log.ts'
import { partitionOf } from '../log/partitioner.ts'
import type { TokenBucket } from '../log/token-bucket.ts'
import { namespaceTopicName } from '../log/topics.ts'
import { keptOf } from '../model/history-kept.ts'
import { formerPartitions, partitionChangeOf } from '../model/partition-change.ts'
import type { Attributes } from '../model/registry-resources.ts'
import type { Session } from '../model/session.ts'
import type { SessionsByName } from '../model/session-quota.ts'
import { registryDigest } from '../model/state-digest.ts'
import type { Message } from '../schemas/message.ts'
import { RoutingError, routingErrors } from '../telemetry/dimensions.ts'
import type { Gateways } from './gateways.ts'
import type { LimitsInForce } from './limits-in-force.ts'
import type { OwnedShard, OwnedShardOptions } from './owned-shard.ts'
import { bySource, type Payloads } from './payloads.ts'
import type { ReplayTurns } from './replay-turns.ts'
import type { RouterOptions } from './router-options.ts'
import type { Troubles } from './routes/troubles.ts'
import type { Unsealing } from './routes/unsealing.ts'
import { sessionJudge } from './session-judge.ts'
import type { SessionsTail } from './sessions-tail.ts'
import type { Applied } from './shard-taking.ts'
import type { SharedChoice } from './shared-choice.ts'
import type { Member } from './shared-group.ts'
import type { Left } from './shared-handover.ts'
import type { SharedRoom } from './shared-room.ts'
import type { SubscriptionTrie } from './subscription-trie.ts'

export interface ShardSurroundings {
  readonly options: Pick<RouterOptions, 'config' | 'log' | 'topics' | 'registry' | 'metrics' | 'logger' | 'now' | 'clusters' | 'tracing'>
  readonly limits: LimitsInForce
  readonly tail: SessionsTail
  readonly trie: SubscriptionTrie
  readonly choice: SharedChoice
  readonly room: SharedRoom
  /** Groups that are behind take turns in reading. */
  readonly sharedTurns: ReplayTurns
  readonly byName: SessionsByName
  readonly gateways: Gateways
  readonly payloads: Payloads
  /** Retained messages that are owed: read again only when somebody comes for them. */
  readonly retainedPayloads: Payloads
  /** Of which the end markers of replays are made. */
  readonly inboxPayloads: Payloads
  readonly replayTurns: ReplayTurns
  /** Bytes of older records that chains of the audit are made of. */
  readonly auditReads: TokenBucket
  readonly troubles: Troubles
  readonly unsealing: Unsealing
  /** There is one when shards are taken. */
  appender(): Appender
  /** Undefined when it is not this router's. */
  owned(shard: number): OwnedShard | undefined
  onUnreadable(topic: string, partition: number, offset: number, error: Error): void
  /** As a shard is told to (owned-shard.ts). */
  onRefused(error: Error): void
  onSuperseded(owned: OwnedShard): void
}

/** What the shard is taken with; `captured` as OwnedShardOptions says. */
export function shardOptions(shard: number, captured: readonly Applied[], around: ShardSurroundings): OwnedShardOptions {
  const { limits, tail, trie } = around
  const { config, log, topics, now, metrics, logger, registry, clusters, tracing = null } = around.options
  return {
    shard,
    shards: config.partitions,
    router: config.routerId,
    namespace: config.namespace,
    log,
    topics,
    appender: around.appender(),
    transactionalId: `${topics.snapshots}.shard-${shard}`,
    tail,
    captured,
    now,
    client: {
      gateways: around.gateways,
      payloads: bySource(around.payloads, around.retainedPayloads, around.inboxPayloads),
      limits: { gatewayBytesMax: config.gatewaySendBytesMax, receiptsUnreadMax: config.receiptsUnreadMax },
      counters: {
        delivered: (count) => metrics.delivered.inc(count),
        dropped: (reason, count) => metrics.dropped.inc({ reason }, count),
        reassigned: (count) => metrics.reassigned.inc(count),
        sessionEnded: (reason) => metrics.sessionsEnded.inc({ drop_reason: reason }),
        willFired: (outcome) => metrics.willsFired.inc({ outcome }),
        limitReached: (limit) => metrics.limitReached.inc({ limit }),
      },
      now,
      quota: { ofName: (name) => around.byName.of(name), catchUp: () => tail.catchUp() },
      queueLimits: () => limits.queue,
      judge: () => sessionJudge(registry.view),
      anotherMember: (filter, left, isAttached, owed) => anotherMember(trie, filter, left, isAttached, owed),
      room: around.room,
      onRoom: (session) => {
        if (around.room.isAwaited && around.room.isFree(session)) for (const { filter } of trie.groupsOf(session)) around.room.moved(filter)
      },
    },
    source: {
      trie,
      choice: around.choice,
      room: around.room,
      shardOf: (clientId) => partitionOf(Buffer.from(clientId), config.partitions),
      gateways: around.gateways,
      onUnreadable: (offset, error) => around.onUnreadable(topics.messages, shard, offset, error),
      repeatsRemembered: config.repeatsRemembered,
      onRepeat: () => metrics.repeats.inc(),
      tracing,
      onMatched: (stretch, plan) => {
        metrics.matched.inc(stretch.records.length)
        if (plan.indexed.size > 0) around.payloads.keep(stretch)
        if (plan.unkept > 0) metrics.dropped.inc({ reason: 'offlineQoS0' }, plan.unkept)
      },
    },
    lanes: {
      turns: around.sharedTurns,
      groupsMax: config.sharedBehindMax,
      counters: {
        dropped: (reason, count) => metrics.dropped.inc({ reason }, count),
        given: (count) => metrics.sharedCaughtUp.inc(count),
        full: () => metrics.limitReached.inc({ limit: 'SHARED_BEHIND_MAX' }),
      },
      remember: (records) => around.payloads.remember(shard, records),
      onTold: (what, group, messages) => tellOfGroup(logger, shard, what, group, messages),
      onFailure: (error) => logger.warn({ err: error, shard }, 'messages for a shared subscription could not be read again; trying on'),
    },
    checkpointMs: config.checkpointMs,
    // One shard tells of it for all.
    registryDigest: async () => (shard === 0 ? await registryDigest(registry.view) : undefined) ?? { position: 0, digest: '' },
    retained: {
      limits: () => limits.retained,
      requestLimits: {
        queueMessagesMax: ({ attached }) => {
          const { messages, whenFull } = attached ? limits.queue.connected : limits.queue.offline
          return whenFull === 'endSession' ? messages : Number.POSITIVE_INFINITY
        },
        gatewayBytesMax: config.gatewaySendBytesMax,
      },
      counters: {
        retained: (of, messages, bytes) => {
          metrics.retainedMessages.set({ shard: of }, messages)
          metrics.retainedBytes.set({ shard: of }, bytes)
        },
        notRetained: (reason) => metrics.notRetained.inc({ reason }),
        expired: () => metrics.retainedExpired.inc(),
      },
      onSent: (count) => metrics.retainedSent.inc(count),
    },
    routes: {
      limits: {
        bytesMax: config.routeBytesMax,
        readBytes: Math.min(config.fetchBytesMax, config.routeBytesMax),
        retryMs: doublings(1_000, config.routeRetryMsMax),
      },
      counters: {
        routed: (route, count) => {
          metrics.routed.inc(count)
          metrics.routeMessages.inc({ route, outcome: 'routed' }, count)
        },
        failed: (route, error, count) => {
          metrics.failedRouted.inc({ error: routingErrors.find((known) => known === error) ?? RoutingError.ServiceError }, count)
          metrics.routeMessages.inc({ route, outcome: error }, count)
        },
        lost: (route, loss) => metrics.routeMessages.inc({ route, outcome: loss }),
      },
      topicOf: (target) => ('topic' in target ? namespaceTopicName({ names: topics }, target.topic) : target.kafkaTopic),
      clusterNamed: (name) => clusters?.get(name),
      attributesOf: (message) => attributesOf(message, around),
      unsealing: around.unsealing,
      tracing,
      onTrouble: (route, error) =>
        around.troubles.tell(route, (untold) => logger.warn({ shard, route, untold, reason: error.message }, 'a route does not get on')),
    },
    replays: {
      formerly: () => formerPartitions(partitionChangeOf(registry.view)),
      accessKept: () => keptOf(registry.view),
      turns: around.replayTurns,
      limits: { windowMessages: config.replayWindowMessages, ratePerSecond: config.replayRate, sideBySide: config.sessionReplaysMax },
      counters: {
        replayed: (messages) => metrics.replayed.inc(messages),
        read: (bytes) => metrics.replayRead.inc(bytes),
        gone: (messages) => metrics.dropped.inc({ reason: 'gone' }, messages),
        joined: () => metrics.replaysJoined.inc(),
      },
      roomOf: ({ attached }) => (attached ? limits.queue.connected : limits.queue.offline),
      remember: (source, records) => around.payloads.remember(source, records),
      onFailure: (error) => logger.warn({ err: error, shard }, 'a replay could not be read; trying on'),
    },
    audit: config.audit && {
      covered: config.audit.kinds.map((kind) => topics[kind]),
      keys: config.audit.keys,
      rest: (bytes) => pause(around.auditReads.take(bytes, config.auditReadRate, now()), undefined, { ref: false }),
      counters: {
        hashed: (topic, records) => metrics.auditRecords.inc({ topic }, records),
        checkpoint: () => metrics.auditCheckpoints.inc(),
        gone: (topic, records) => {
          logger.warn({ shard, topic, records }, 'records were removed by retention before they were in the audit chain')
          metrics.auditGone.inc({ topic }, records)
        },
      },
      onTrouble: (error) => {
        logger.warn({ err: error, shard }, 'the audit chain cannot go on; trying on')
        metrics.auditTroubles.inc()
      },
    },
    indexRecords: config.indexRecords,
    registryPosition: () => registry.view.position,
    onRefused: (error) => {
      // Kafka's fence: another router has taken the shard, and this one has not read of it yet.
      const owned = error instanceof FencedError ? around.owned(shard) : undefined
      if (owned) around.onSuperseded(owned)
      else around.onRefused(error)
    },
    onSuperseded: (each) => around.onSuperseded(each),
    onGone: (from, to) => {
      logger.error({ shard, from, to }, 'messages were removed by retention before they were matched')
      metrics.dropped.inc({ reason: 'gone' }, to - from)
    },
  }
}

function tellOfGroup(logger: Logger, shard: number, what: 'fell behind' | 'caught up' | 'gone' | 'noMember', group: string, messages: number): void {
  if (what === 'gone') logger.error({ shard, group, messages }, 'the log has removed messages that a shared subscription was behind with')
  else if (what === 'noMember')
    logger.warn({ shard, group, messages }, 'a shared subscription that was behind has no member any more: its messages are given up')
  else logger.info({ shard, group }, what === 'caught up' ? 'a shared subscription has caught up' : 'a shared subscription is behind: its members have enough')
}

/** From the first on each twice as long, up to the last. */
function doublings(first: number, last: number): readonly number[] {
  const waits: number[] = []
  for (let wait = first; wait < last; wait *= 2) waits.push(wait)
  return [...waits, last]
}

function anotherMember(trie: SubscriptionTrie, filter: string, left: Left, isAttached: boolean, owed: (session: Session) => number): Member | undefined {
  const isOther = (session: Session): boolean => session.clientId !== left.clientId || session.id !== left.session
  return trie.group(filter)?.nextKeeper(owed, isOther, isAttached)
}

/** The publisher's attributes: the registry's, or those that its voucher gave the session. */
function attributesOf({ authenticationName, session, clientId }: Message, { tail, options }: ShardSurroundings): Attributes {
  const { config, registry } = options
  const live = tail.folds[partitionOf(Buffer.from(clientId), config.partitions)]?.live(session)
  return live?.vouchedBy ? live.attributes : (registry.view.clientNamed(authenticationName)?.properties.attributes ?? {})
}
