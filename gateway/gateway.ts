/** The gateway as a whole: connections on one side, the log, the registry and the routers on the other. */
import { randomBytes, randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import { accessKnownSince } from '../access/access-then.ts'
import { compileRules, maySubscribeTo, type Rules } from '../access/decide.ts'
import { type Principal, voucherOf } from '../access/principal.ts'
import { RefusalAudit } from '../audit/refusal-audit.ts'
import { type Refusal, RefusedKind, withoutSecrets } from '../audit/refusals.ts'
import type { Appended, Appender, Log } from '../log/log.ts'
import { partitionOf } from '../log/partitioner.ts'
import { PauseWatch } from '../log/pause.ts'
import { historyMarker, readHistoryKept } from '../model/history-kept.ts'
import { type AddressRule, addressRule } from '../model/ip-rules.ts'
import { formerPartitions, partitionChangeOf } from '../model/partition-change.ts'
import type { RegistryView } from '../model/registry-view.ts'
import { sessionsMaxOf } from '../model/session-quota.ts'
import type { PublishPacket } from '../mqtt/packet.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'
import type { AckOutcome } from '../proto/frames.ts'
import { encodePublish } from '../schemas/message-record.ts'
import type { ReplayRequest, SubscriptionRequest } from '../schemas/session-records.ts'
import type { Tracing } from '../telemetry/tracing.ts'
import type { Attachment } from './attachment.ts'
import { type GatewayConfig, withNamespace } from './config.ts'
import { Connection } from './connection.ts'
import type { ConnectionHost } from './connection-host.ts'
import { CredentialJudge } from './credential-judge.ts'
import { Deadlines } from './deadlines.ts'
import { type Ending, ended } from './disconnection.ts'
import { Drain } from './drain.ts'
import { FailedConnects } from './failed-connects.ts'
import { figuresOf, troubleOf } from './gateway-status.ts'
import type { HttpHost } from './http/http-host.ts'
import { Incarnation } from './incarnation.ts'
import { type GatewayLevels, GatewayMetrics } from './metrics.ts'
import { Outages } from './outages.ts'
import type { Client, Permission, Readiness } from './protocol.ts'
import { tracePublish, untilAnswered } from './publish-tracing.ts'
import type { PublisherIdentity, PublishTopic } from './publishing.ts'
import { NamespaceRates } from './rates.ts'
import { ConnectionReceipts, Receipts } from './receipts.ts'
import { RefusalReason } from './refusal-reason.ts'
import { Rejudging } from './rejudging.ts'
import { ReplayBeginning } from './replay-beginning.ts'
import { type LinkHost, RouterLinks } from './router-links.ts'
import type { Sealing, SealingReadiness } from './sealing.ts'
import { SessionJournal } from './session-journal.ts'
import { Takeovers } from './takeovers.ts'
import type { Transport } from './transport.ts'

/** The registry as the gateway sees it. */
export interface RegistrySource {
  readonly view: RegistryView
  /** Milliseconds since the view was last known to be current. */
  confirmedMs(): number
  onChange(callback: (view: RegistryView) => void): () => void
}

export interface GatewayOptions {
  readonly config: GatewayConfig
  readonly log: Log
  readonly registry: RegistrySource
  /** Names of the topics this gateway writes. */
  readonly topics: { readonly messages: string; readonly sessions: string; readonly gateways: string; readonly lifecycle: string; readonly receipts: string }
  /** As events name it. */
  readonly namespace: string
  /** That lead to it, as they are now: audiences of its tokens. */
  readonly hostNames: () => readonly string[]
  /** Partitions of `messages` and `sessions`: the number of shards. */
  readonly partitions: number
  /** Password of the internal user; null lets nobody in. */
  readonly internalKey: Buffer | null
  readonly version: string
  readonly clock: { now(): number }
  readonly logger: Logger
  readonly metricsRegistry: Registry
  /** Null where nothing is traced. */
  readonly tracing?: Tracing | null
  /** Gaps up to this long are a busy event loop, longer ones pauses of the process, ms; 2,000 when not given. */
  readonly pauseMsMax?: number
  /** Null where no client’s messages are sealed. */
  readonly sealing?: Sealing | null
}

/** How often the whole is looked at, ms. */
const tickMs = 250
/** How often clients have their turn while they are moved off, ms. */
const drainTickMs = 20
/** Connections and their filters judged again in one turn of the event loop after a registry change. */
const rejudgedPerTurn = 200
/** No client comes back elsewhere so soon, ms. */
export const usualPauseMsMax = 2_000
/** What everybody is told at the end; with SERVER_REFERENCE it becomes 0x9C on the wire. */
const shuttingDown = ended(ReasonCode.ServerShuttingDown, 'the gateway is shutting down')

export class Gateway implements ConnectionHost, LinkHost, HttpHost {
  /** As the namespace narrows it. */
  config: GatewayConfig
  readonly metrics: GatewayMetrics
  readonly logger: Logger
  readonly sealing: Sealing | null
  readonly tracing: Tracing | null
  readonly credentials: CredentialJudge
  readonly sessions: SessionJournal
  readonly rates: NamespaceRates
  readonly failedConnects: FailedConnects
  readonly #audit: RefusalAudit
  readonly #receipts: Receipts
  readonly takeovers: Takeovers
  readonly waiting = new Map<string, Connection>()
  readonly links: RouterLinks
  readonly deadlines: Deadlines
  registryVersion = 1
  /** Whether the namespace lets an address in (NS-07). */
  #mayComeFrom: AddressRule
  readonly #options: GatewayOptions
  readonly #appender: Appender
  #rules: Rules
  readonly #startedAt: number
  readonly #incarnation: Incarnation
  #stopping = false
  /** Called when the clients that are being moved off have to go at once; null while none are. */
  #hurryDrain: (() => void) | null = null
  #connectionNumber = 0
  /** Everybody on a socket. */
  readonly #sockets = new Set<Connection>()
  readonly #pauses: PauseWatch
  /** Shards whose owners have not said since a pause which connections are over. */
  readonly #doubtful = new Set<number>()
  /** Sockets that were opened while the process was paused come in before the event loop has turned once. */
  #refusesSockets = false
  /** Attached ones, by connection number, and by shard. */
  readonly #connections = new Map<number, Connection>()
  readonly #byShard: readonly Set<Connection>[]
  readonly #waitingForLog = new Set<Connection>()
  readonly #waitingForRegistry = new Set<Connection>()
  #dirty: Connection[] = []
  #flushScheduled = false
  readonly #rejudging = new Rejudging<Connection>(
    () => this.#sockets,
    (connection) => connection.rejudge(),
    rejudgedPerTurn,
  )
  #tick: NodeJS.Timeout | null = null
  readonly #outages: Outages
  readonly #messageId: Buffer = Buffer.alloc(16)
  #messageCount = 0
  /** Reused for every message: the encoder copies. */
  readonly #accepted = { messageId: this.#messageId, clientId: '', session: 0, receivedAt: 0, authenticationName: '', gateway: '', protocolVersion: 0 }
  readonly #unwatch: () => void
  readonly #replayBeginning: ReplayBeginning

  constructor(options: GatewayOptions, appender: Appender) {
    this.#options = options
    this.config = withNamespace(options.config, options.registry.view.namespace?.properties)
    this.logger = options.logger
    this.tracing = options.tracing ?? null
    this.sealing = options.sealing ?? null
    this.#appender = appender
    this.#startedAt = this.now()
    this.#pauses = new PauseWatch(options.pauseMsMax ?? usualPauseMsMax, Date.now())
    this.#incarnation = new Incarnation({
      id: options.config.GATEWAY_ID,
      version: options.version,
      appender,
      topic: options.topics.gateways,
      now: () => this.now(),
      logger: options.logger,
      onOver: () => {
        for (const connection of [...this.#sockets]) connection.close(ended(ReasonCode.ServerBusy, 'the gateway was declared lost'))
        this.links.closeAll('a new incarnation begins')
      },
    })
    this.deadlines = new Deadlines(this.#startedAt)
    this.links = new RouterLinks(this, options.partitions)
    this.#byShard = Array.from({ length: options.partitions }, () => new Set())
    this.#rules = compileRules(options.registry.view)
    this.#mayComeFrom = addressRule(options.registry.view.namespace?.properties)
    const levels = (): GatewayLevels => ({
      authenticationsPending: this.credentials.pending,
      sealingKeys: this.sealing?.keys ?? 0,
      unreadable: this.sealing ? [this.sealing.unreadable] : [],
      connections: this.#sockets.size,
      pausedConnections: this.#waitingForLog.size + this.#waitingForRegistry.size,
      kafkaPendingBytes: appender.pendingBytes,
      linkedRouters: this.links.size,
      registryUnconfirmedMs: options.registry.confirmedMs(),
    })
    this.metrics = new GatewayMetrics(options.metricsRegistry, levels, () => this.now())
    this.#outages = new Outages({
      config: () => this.config,
      metrics: this.metrics,
      logger: options.logger,
      connections: () => this.#connections.values(),
      connectionsOf: (shard) => this.connectionsOf(shard),
    })
    this.rates = new NamespaceRates(this)
    this.credentials = new CredentialJudge({
      config: options.config,
      view: () => options.registry.view,
      now: () => this.now(),
      metrics: this.metrics,
      logger: options.logger,
      hostNames: options.hostNames,
      internalKey: options.internalKey,
      onChange: () => this.#rejudging.changed(),
    })
    this.sessions = new SessionJournal({
      appender,
      topic: options.topics.sessions,
      now: () => this.now(),
      registryPosition: () => options.registry.view.position,
      connectionsMax: () => this.config.CONNECTIONS_MAX,
      logger: options.logger,
      isStopping: () => this.#stopping,
    })
    this.failedConnects = new FailedConnects(options.config, () => this.metrics.reached('FAILED_CONNECTS_REMEMBERED_MAX'))
    this.#audit = new RefusalAudit({
      namespace: options.namespace,
      topic: options.topics.lifecycle,
      partitions: options.partitions,
      idOf: (count) => `${this.id}-${this.incarnation}-${count}`,
      by: { gateway: this.id },
      now: () => this.now(),
      refusalsMax: () => this.config.REFUSALS_TOLD_MAX,
      isLogFull: () => this.logIsFull,
      append: (record, done) => appender.append(record, done),
      metrics: this.metrics,
    })
    this.#receipts = new Receipts({
      topic: options.topics.receipts,
      gateway: this.id,
      now: () => this.now(),
      waitingMax: () => this.config.RECEIPTS_WAITING_MAX,
      isLogFull: () => this.logIsFull,
      append: (record, done) => appender.append(record, done),
      metrics: this.metrics,
    })
    this.#replayBeginning = new ReplayBeginning({
      log: options.log,
      topic: options.topics.messages,
      partitions: options.partitions,
      formerly: () => formerPartitions(partitionChangeOf(options.registry.view)),
      now: () => this.now(),
      onFailure: (error) => this.logger.warn({ error }, 'where history begins could not be read'),
    })
    this.takeovers = new Takeovers(() => this.config)
    this.#accepted.gateway = options.config.GATEWAY_ID
    randomBytes(8).copy(this.#messageId)
    this.#unwatch = options.registry.onChange(() => this.#onRegistryChange())
  }

  get id(): string {
    return this.config.GATEWAY_ID
  }

  /** Offset of this run's first record; -1 until the log has answered it. */
  get incarnation(): number {
    return this.#incarnation.offset ?? -1
  }

  get #isStopping(): boolean {
    return this.#stopping || this.#hurryDrain !== null
  }

  now(): number {
    return this.#options.clock.now()
  }

  /** Announces itself in the log; `address` is where routers find the delivery service. */
  async begin(address: string): Promise<void> {
    await this.#incarnation.begin(address)
    this.deadlines.start(() => {
      // Who seems to be late may have been unheard.
      this.lookForPause()
      return this.now()
    })
    this.#tick = setInterval(() => this.#lookAround(address), tickMs)
    this.#tick.unref()
  }

  /** A transport has come through the door of a listener. */
  accept(transport: Transport, isInternal: boolean): void {
    this.lookForPause()
    if (this.#refusesSockets) {
      transport.destroy()
      return
    }
    if (!isInternal && !this.mayComeFrom(transport.remoteAddress)) {
      this.metrics.ipRefused++
      this.metrics.refused(RefusalReason.addressForbidden)
      const { remoteAddress, kind } = transport
      const nobody = { authenticationName: '', clientId: '', remoteAddress, transport: kind }
      this.audit({ ...nobody, kind: RefusedKind.connect, reasonCode: ReasonCode.NotAuthorized, why: 'the namespace does not let this address in' })
      transport.destroy()
      return
    }
    if (this.#sockets.size >= this.config.NAMESPACE_CONNECTIONS_MAX && !isInternal) {
      this.metrics.reached('NAMESPACE_CONNECTIONS_MAX')
      this.metrics.refused(RefusalReason.namespaceConnections)
      transport.destroy()
      return
    }
    this.#sockets.add(new Connection(this, transport, isInternal))
  }

  /**
   * Moves the clients off one by one, each when its publishes are answered; resolves when all have gone, DRAIN_PERIOD is
   * over, or `hurry` was called. The listeners are closed already.
   */
  async drain(): Promise<void> {
    const { promise: hurried, resolve: hurry } = Promise.withResolvers<void>()
    let isHurried = false
    this.#hurryDrain = () => {
      isHurried = true
      hurry()
    }
    const drain = new Drain([...this.#sockets], this.config.DRAIN_PERIOD, this.now(), Math.random)
    if (this.#sockets.size > 0) this.logger.info({ clients: this.#sockets.size }, 'clients are moved off')
    while (!isHurried && this.#anybodyIsHere && this.now() < drain.endsAt) {
      for (const connection of drain.due(this.now())) connection.leave(shuttingDown)
      await Promise.race([hurried, new Promise((resolve) => setTimeout(resolve, drainTickMs))])
    }
    if (this.#connections.size === 0 || isHurried || this.config.DRAIN_PERIOD === 0) return
    this.metrics.reached('DRAIN_PERIOD')
    this.logger.warn({ limit: 'DRAIN_PERIOD', clients: this.#connections.size }, 'the clients that are left are closed at once')
  }

  /** Sockets on which no CONNECT has come are nobody: they are refused when it comes. */
  get #anybodyIsHere(): boolean {
    for (const connection of this.#sockets) if (!connection.isNew) return true
    return false
  }

  /** Ends a `drain` that is under way. */
  hurry(): void {
    this.#hurryDrain?.()
  }

  /** Says good-bye to everybody who is left and to the log. The listeners are closed already. */
  async stop(address: string, ending: Ending = shuttingDown): Promise<void> {
    this.#stopping = true
    if (this.#tick) clearInterval(this.#tick)
    this.#unwatch()
    for (const connection of [...this.#sockets]) connection.close(ending)
    this.#flush()
    const bound = new Promise<'late'>((resolve) => setTimeout(resolve, this.config.SHUTDOWN_TIMEOUT, 'late').unref())
    this.#audit.close()
    this.#receipts.flush()
    const farewell = async (): Promise<void> => {
      await this.#appender.flush()
      await this.#incarnation.end(address)
    }
    const end = await Promise.race([farewell().catch((error: unknown) => this.logger.error({ error }, 'the log did not take the good-bye')), bound])
    if (end === 'late') {
      this.metrics.reached('SHUTDOWN_TIMEOUT')
      const unwritten = { limit: 'SHUTDOWN_TIMEOUT', bytes: this.#appender.pendingBytes }
      this.logger.warn(unwritten, 'the log did not take the last records and the good-bye in time: nobody was told that they are stored')
    }
    this.links.closeAll('the gateway has stopped')
    this.credentials.close()
    this.deadlines.stop()
  }

  get status(): Readonly<Record<string, unknown>> {
    const health = this.#options.log.health()
    const unconfirmed = this.#options.registry.confirmedMs()
    const shardsWithoutRouter = this.links.shards.withoutLink()
    const kafkaUnreachableMs = this.#kafkaUnreachableMs
    const reason = troubleOf({ isStopping: this.#isStopping, kafkaUnreachableMs, registryUnconfirmedMs: unconfirmed, shardsWithoutRouter }, this.config)
    return {
      ok: reason === null,
      ...(reason !== null && { reason }),
      id: this.id,
      incarnation: this.incarnation,
      connections: this.#sockets.size,
      attached: this.#connections.size,
      kafka: {
        reachable: health.reachable,
        unreachableMs: kafkaUnreachableMs,
        pendingBytes: this.#appender.pendingBytes,
        ...(health.reason !== undefined && { reason: health.reason }),
      },
      routers: this.links.status,
      shardsWithoutRouter,
      registry: { confirmedMs: unconfirmed, position: this.#options.registry.view.position },
      figures: {
        version: this.#options.version,
        uptimeSeconds: (this.now() - this.#startedAt) / 1000,
        clientsConnected: this.#connections.size,
        ...figuresOf(this.metrics),
      },
    }
  }

  /**
   * After a pause nobody knows which connections still stand: clients may have gone on at another gateway. So nothing is
   * read until the owner of each shard has been told anew what is here, and has ended what is over.
   */
  lookForPause(): void {
    const pausedMs = this.#pauses.look(Date.now())
    if (pausedMs === 0 || this.#incarnation.offset === null) return
    this.logger.warn({ pausedMs: Math.round(pausedMs), connections: this.#connections.size }, 'the process was paused')
    this.metrics.pauses.inc()
    for (let shard = 0; shard < this.#byShard.length; shard++) this.#doubtful.add(shard)
    for (const connection of [...this.#sockets]) connection.doubt()
    this.links.closeAll('the gateway was paused')
    this.links.shards.listenAnew(this.now())
    this.#outages.paused(this.now())
    this.#refusesSockets = true
    setTimeout(() => {
      this.#refusesSockets = false
    }, tickMs).unref()
  }

  // --- what connections ask

  readiness(isInternal: boolean): Readiness {
    return {
      // The front door's canary has to tell how things are, however large the crowd.
      rateAllows: isInternal || this.rates.mayConnect(),
      kafkaUnreachableMs: this.#kafkaUnreachableMs,
      logIsFull: this.logIsFull,
      registryUnconfirmedMs: this.#options.registry.confirmedMs(),
      stopping: this.#isStopping || this.#incarnation.offset === null,
    }
  }

  get registryIsCurrent(): boolean {
    return this.#options.registry.confirmedMs() < this.config.REGISTRY_STALE
  }

  get registryConfirmedAt(): number {
    return this.now() - this.#options.registry.confirmedMs()
  }

  get logIsFull(): boolean {
    return this.#appender.pendingBytes > this.config.KAFKA_BYTES_WAITING_MAX
  }

  get #kafkaUnreachableMs(): number {
    return Math.max(this.#options.log.health().unreachableMs, this.#appender.stalledMs)
  }

  freshClientId(): string {
    return `auto-${randomUUID()}`
  }

  get view(): RegistryView {
    return this.#options.registry.view
  }

  mayComeFrom(address: string): boolean {
    return this.#mayComeFrom(address)
  }

  get rulesPosition(): number {
    return this.#rules.position
  }

  mayPublish(principal: Principal, topic: string): Permission {
    if (!this.registryIsCurrent) return 'undecided'
    return this.#rules.mayPublish(principal, topic).allowed ? 'allowed' : 'denied'
  }

  maySubscribe(principal: Principal, filter: string, replay: ReplayRequest | null = null): boolean {
    return maySubscribeTo(this.#rules, principal, { filter, replay })
  }

  mayReplay(principal: Principal, topic: string): boolean {
    return this.#rules.mayReplay(principal, topic).allowed
  }

  get accessSince(): number | null {
    return accessKnownSince(readHistoryKept(this.#options.registry.view.markerProperties(historyMarker)), this.now())
  }

  historySince(granted: readonly SubscriptionRequest[]): Promise<number | undefined> {
    return this.#replayBeginning.since(granted)
  }

  mayHold(principal: Principal, filter: string): boolean {
    return this.#rules.maySubscribe(principal, filter).allowed || this.#rules.mayReplay(principal, filter).allowed
  }

  sealingReadiness(principal: Principal): SealingReadiness {
    return this.sealing?.readiness(principal) ?? 'ready'
  }

  /** A key was destroyed: what was decided under it is decided anew. */
  sealingChanged(): void {
    this.registryVersion++
  }

  partitionOf(_topic: string, key: Buffer): number {
    return partitionOf(key, this.#options.partitions)
  }

  appendMessage(identity: PublisherIdentity, topic: PublishTopic, packet: PublishPacket, done: Appended, messageId?: Buffer): number {
    const now = this.now()
    const accepted = this.#accepted
    if (!messageId) this.#numberMessage()
    accepted.messageId = messageId ?? this.#messageId
    accepted.clientId = identity.clientId
    accepted.session = identity.session
    accepted.authenticationName = identity.authenticationName
    accepted.protocolVersion = identity.protocolVersion
    accepted.receivedAt = now
    const value = encodePublish(accepted, topic.name, this.sealing ? this.sealing.sealed(identity.authenticationName, topic.name, packet) : packet)
    const span = this.tracing && tracePublish(this.tracing, accepted, topic.name, packet)
    this.#appender.append(
      { topic: this.#options.topics.messages, partition: topic.partition, key: topic.key, value, timestamp: now },
      span ? untilAnswered(span, done) : done,
    )
    return now
  }

  attach(connection: Connection, client: Client, principal: Principal, hasUserName: boolean): Attachment | null {
    const shard = partitionOf(Buffer.from(client.clientId), this.#options.partitions)
    const owner = this.links.shards.of(shard)
    if (owner && owner.link === null && this.now() - owner.heardAt > this.config.SHARD_SILENCE) return null
    const number = ++this.#connectionNumber
    this.#connections.set(number, connection)
    this.#byShard[shard]?.add(connection)
    const about = {
      clientId: client.clientId,
      authenticationName: principal.authenticationName,
      gateway: { id: this.id, incarnation: this.incarnation },
      connection: number,
      cleanStart: client.cleanStart,
      sessionExpiryInterval: client.sessionExpiryInterval,
      receiveMaximum: client.receiveMaximum,
      maximumPacketSize: client.maximumPacketSize,
      keepAlive: client.keepAlive,
      protocolVersion: client.protocolVersion,
      remoteAddress: connection.transport.remoteAddress,
      transport: connection.transport.kind,
      will: client.will && this.sealing ? this.sealing.sealedWill(principal.authenticationName, client.will) : client.will,
      attributes: principal.attributes,
      sessionsMax: sessionsMaxOf({ kind: principal.kind, hasUserName }, this.config.SESSIONS_PER_NAME_MAX),
      vouchedBy: voucherOf(principal),
      ownerKind: principal.kind,
    }
    return this.sessions.attach(shard, about, (error) => connection.onAttachLost(error.message))
  }

  detach(attachment: Attachment, ending: Ending): void {
    const connection = this.#connections.get(attachment.connection)
    this.#connections.delete(attachment.connection)
    if (connection) this.#byShard[attachment.shard]?.delete(connection)
    this.sessions.detach(attachment, ending)
  }

  acknowledge(attachment: Attachment, number: number, outcome: AckOutcome): void {
    this.links.acknowledge(attachment.shard, attachment.connection, number, outcome)
  }

  scheduleFlush(connection: Connection): void {
    if (connection.isFlushScheduled) return
    connection.isFlushScheduled = true
    this.#dirty.push(connection)
    if (this.#flushScheduled) return
    this.#flushScheduled = true
    setImmediate(() => this.#flush())
  }

  waitFor(connection: Connection, reason: 'log' | 'registry'): void {
    ;(reason === 'log' ? this.#waitingForLog : this.#waitingForRegistry).add(connection)
  }

  setDeadline(connection: Connection, atMs: number): void {
    this.deadlines.set(connection, atMs)
  }

  left(connection: Connection): void {
    this.#sockets.delete(connection)
    this.#waitingForLog.delete(connection)
    this.#waitingForRegistry.delete(connection)
    this.deadlines.remove(connection)
  }

  refused(connection: Connection, refusal: Omit<Refusal, 'remoteAddress' | 'transport'>): void {
    const { remoteAddress, kind } = connection.transport
    this.audit({ ...refusal, remoteAddress, transport: kind })
  }

  wantsReceipts(principal: Principal): boolean {
    return this.#rules.wantsReceipts(principal)
  }

  receiptsOf(clientId: string): ConnectionReceipts {
    return new ConnectionReceipts(this.#receipts, partitionOf(Buffer.from(clientId), this.#options.partitions), clientId)
  }

  audit(refusal: Refusal): void {
    this.#audit.refused(refusal)
  }

  /** A storm of bad clients does not become a storm of lines: the logger counts what is too much of one kind. */
  report(connection: Connection, event: string, detail: Readonly<Record<string, unknown>>): void {
    const shown = Object.entries(detail).map(([name, value]) => [name, typeof value === 'string' ? withoutSecrets(value) : value] as const)
    const { remoteAddress, kind } = connection.transport
    this.logger.info({ remoteAddress, transport: kind, ...Object.fromEntries(shown) }, event)
  }

  // --- what routers ask

  connection(number: number): Connection | undefined {
    return this.#connections.get(number)
  }

  connectionsOf(shard: number): Iterable<Connection> {
    return this.#byShard[shard] ?? []
  }

  onLateAnswer(connection: number, connectionId: Buffer, epoch: number): void {
    this.sessions.attachedLate(connection, connectionId, epoch)
  }

  onReconciled(shard: number): void {
    if (!this.#doubtful.delete(shard)) return
    for (const connection of [...(this.#byShard[shard] ?? [])]) connection.resumeReading('doubt')
  }

  onSuperseded(incarnation: number): void {
    if (!this.#stopping) this.#incarnation.superseded(incarnation)
  }

  // --- inside

  #numberMessage(): void {
    const count = ++this.#messageCount
    this.#messageId.writeUInt32BE(Math.floor(count / 0x1_0000_0000), 8)
    this.#messageId.writeUInt32BE(count >>> 0, 12)
  }

  #flush(): void {
    this.#flushScheduled = false
    const dirty = this.#dirty
    this.#dirty = []
    for (const connection of dirty) {
      connection.isFlushScheduled = false
      connection.flush()
    }
    if (this.#waitingForLog.size > 0) this.#resumeForLog()
  }

  #resumeForLog(): void {
    if (this.#appender.pendingBytes * 2 > this.config.KAFKA_BYTES_WAITING_MAX) return
    for (const connection of [...this.#waitingForLog]) {
      this.#waitingForLog.delete(connection)
      connection.resumeReading('log')
      if (this.logIsFull) return
    }
  }

  #resumeForRegistry(): void {
    for (const connection of [...this.#waitingForRegistry]) {
      this.#waitingForRegistry.delete(connection)
      connection.resumeReading('registry')
    }
  }

  /** The namespace's host names may be others. */
  hostNamesChanged(): void {
    this.#rejudging.changed()
  }

  #onRegistryChange(): void {
    this.registryVersion++
    this.#rules = compileRules(this.#options.registry.view)
    this.config = withNamespace(this.#options.config, this.#options.registry.view.namespace?.properties)
    this.#mayComeFrom = addressRule(this.#options.registry.view.namespace?.properties)
    this.#rejudging.changed()
    this.metrics.events.keep(this.#options.registry.view.topics.keys())
  }

  #lookAround(address: string): void {
    this.credentials.look()
    this.lookForPause()
    const now = this.now()
    void this.#incarnation.look(address)
    this.#audit.tick()
    if (this.#waitingForLog.size > 0) this.#resumeForLog()
    if (this.#waitingForRegistry.size > 0 && this.registryIsCurrent) this.#resumeForRegistry()
    const reach = {
      shards: this.#byShard.length,
      silent: this.links.shards.silent(now, this.config.SHARD_SILENCE),
      kafkaUnreachableMs: this.#kafkaUnreachableMs,
      registryUnconfirmedMs: this.#options.registry.confirmedMs(),
    }
    this.#outages.look(reach, now)
  }
}
