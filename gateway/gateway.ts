/** The gateway as a whole: connections on one side, the log, the registry and the routers on the other. */
import { randomUUID } from 'node:crypto'
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import { type Principal, voucherOf } from '../access/principal.ts'
import { RefusalAudit } from '../audit/refusal-audit.ts'
import { type Refusal, RefusedKind, withoutSecrets } from '../audit/refusals.ts'
import type { Appender, Log } from '../log/log.ts'
import { partitionOf } from '../log/partitioner.ts'
import { PauseWatch } from '../log/pause.ts'
import { formerPartitions, partitionChangeOf } from '../model/partition-change.ts'
import type { RegistryView } from '../model/registry-view.ts'
import { sessionsMaxOf } from '../model/session-quota.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'
import type { AckOutcome } from '../proto/frames.ts'
import type { SubscriptionRequest } from '../schemas/session-records.ts'
import type { Tracing } from '../telemetry/tracing.ts'
import type { Attachment } from './attachment.ts'
import { type GatewayConfig, withNamespace } from './config.ts'
import { Connection } from './connection.ts'
import type { ConnectionHost } from './connection-host.ts'
import { Connections } from './connections.ts'
import { CredentialJudge } from './credential-judge.ts'
import { Deadlines } from './deadlines.ts'
import { type Ending, ended } from './disconnection.ts'
import { FailedConnects } from './failed-connects.ts'
import { Flushes } from './flushes.ts'
import { figuresOf, troubleOf } from './gateway-status.ts'
import type { HttpHost } from './http/http-host.ts'
import { Incarnation } from './incarnation.ts'
import { MessageJournal } from './message-journal.ts'
import { type GatewayLevels, GatewayMetrics } from './metrics.ts'
import { MovingOff } from './moving-off.ts'
import { NamespaceAccess } from './namespace-access.ts'
import { Outages } from './outages.ts'
import type { Client, Readiness } from './protocol.ts'
import { NamespaceRates } from './rates.ts'
import { ConnectionReceipts, Receipts } from './receipts.ts'
import { RefusalReason } from './refusal-reason.ts'
import type { RegistrySource } from './registry-source.ts'
import { Rejudging } from './rejudging.ts'
import { ReplayBeginning } from './replay-beginning.ts'
import { type LinkHost, RouterLinks } from './router-links.ts'
import type { Sealing, SealingReadiness } from './sealing.ts'
import { SessionJournal } from './session-journal.ts'
import { Takeovers } from './takeovers.ts'
import type { Transport } from './transport.ts'
import { UnreadConnections } from './unread-connections.ts'

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
  readonly access: NamespaceAccess
  readonly messages: MessageJournal
  readonly connections: Connections
  readonly unread: UnreadConnections
  readonly flushes: Flushes
  registryVersion = 1
  readonly #options: GatewayOptions
  readonly #appender: Appender
  readonly #startedAt: number
  readonly #incarnation: Incarnation
  #stopping = false
  readonly #movingOff: MovingOff
  readonly #pauses: PauseWatch
  /** Shards whose owners have not said since a pause which connections are over. */
  readonly #doubtful = new Set<number>()
  /** Sockets that were opened while the process was paused come in before the event loop has turned once. */
  #refusesSockets = false
  readonly #rejudging = new Rejudging<Connection>(
    () => this.connections.sockets,
    (connection) => connection.rejudge(),
    rejudgedPerTurn,
  )
  #tick: NodeJS.Timeout | null = null
  readonly #outages: Outages
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
        for (const connection of [...this.connections.sockets]) connection.close(ended(ReasonCode.ServerBusy, 'the gateway was declared lost'))
        this.links.closeAll('a new incarnation begins')
      },
    })
    this.deadlines = new Deadlines(this.#startedAt)
    this.links = new RouterLinks(this, options.partitions)
    this.connections = new Connections(options.partitions)
    this.access = new NamespaceAccess({ registry: options.registry, now: () => this.now(), staleMs: () => this.config.REGISTRY_STALE })
    this.messages = new MessageJournal({
      appender,
      topic: options.topics.messages,
      gateway: options.config.GATEWAY_ID,
      clock: options.clock,
      sealing: this.sealing,
      tracing: this.tracing,
    })
    this.unread = new UnreadConnections({
      pendingBytes: () => appender.pendingBytes,
      pendingBytesMax: () => this.config.KAFKA_BYTES_WAITING_MAX,
      isRegistryCurrent: () => this.access.isCurrent,
    })
    this.flushes = new Flushes(() => this.unread.resumeForLog())
    const levels = (): GatewayLevels => ({
      authenticationsPending: this.credentials.pending,
      sealingKeys: this.sealing?.keys ?? 0,
      unreadable: this.sealing ? [this.sealing.unreadable] : [],
      connections: this.connections.sockets.size,
      pausedConnections: this.unread.size,
      kafkaPendingBytes: appender.pendingBytes,
      linkedRouters: this.links.size,
      registryUnconfirmedMs: options.registry.confirmedMs(),
    })
    this.metrics = new GatewayMetrics(options.metricsRegistry, levels, () => this.now())
    const crowd = { config: () => this.config, connections: this.connections, metrics: this.metrics, logger: options.logger }
    this.#outages = new Outages(crowd)
    this.#movingOff = new MovingOff({ ...crowd, now: () => this.now() })
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
    return this.#stopping || this.#movingOff.hasBegun
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
    if (!isInternal && !this.access.mayComeFrom(transport.remoteAddress)) {
      this.metrics.ipRefused++
      this.metrics.refused(RefusalReason.addressForbidden)
      const { remoteAddress, kind } = transport
      const nobody = { authenticationName: '', clientId: '', remoteAddress, transport: kind }
      this.audit({ ...nobody, kind: RefusedKind.connect, reasonCode: ReasonCode.NotAuthorized, why: 'the namespace does not let this address in' })
      transport.destroy()
      return
    }
    if (this.connections.sockets.size >= this.config.NAMESPACE_CONNECTIONS_MAX && !isInternal) {
      this.metrics.reached('NAMESPACE_CONNECTIONS_MAX')
      this.metrics.refused(RefusalReason.namespaceConnections)
      transport.destroy()
      return
    }
    this.connections.add(new Connection(this, transport, isInternal))
  }

  /**
   * Moves the clients off one by one, each when its publishes are answered; resolves when all have gone, DRAIN_PERIOD is
   * over, or `hurry` was called. The listeners are closed already.
   */
  drain(): Promise<void> {
    return this.#movingOff.run(shuttingDown)
  }

  /** Ends a `drain` that is under way. */
  hurry(): void {
    this.#movingOff.hurry()
  }

  /** Says good-bye to everybody who is left and to the log. The listeners are closed already. */
  async stop(address: string, ending: Ending = shuttingDown): Promise<void> {
    this.#stopping = true
    if (this.#tick) clearInterval(this.#tick)
    this.#unwatch()
    for (const connection of [...this.connections.sockets]) connection.close(ending)
    this.flushes.flush()
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
      connections: this.connections.sockets.size,
      attached: this.connections.attached.size,
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
        clientsConnected: this.connections.attached.size,
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
    this.logger.warn({ pausedMs: Math.round(pausedMs), connections: this.connections.attached.size }, 'the process was paused')
    this.metrics.pauses.inc()
    for (let shard = 0; shard < this.connections.shards; shard++) this.#doubtful.add(shard)
    for (const connection of [...this.connections.sockets]) connection.doubt()
    this.links.closeAll('the gateway was paused')
    this.links.shards.listenAnew(this.now())
    this.#outages.paused(this.now())
    this.#refusesSockets = true
    setTimeout(() => {
      this.#refusesSockets = false
    }, tickMs).unref()
  }

  /** The namespace's host names may be others. */
  hostNamesChanged(): void {
    this.#rejudging.changed()
  }

  /** A key was destroyed: what was decided under it is decided anew. */
  sealingChanged(): void {
    this.registryVersion++
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

  historySince(granted: readonly SubscriptionRequest[]): Promise<number | undefined> {
    return this.#replayBeginning.since(granted)
  }

  sealingReadiness(principal: Principal): SealingReadiness {
    return this.sealing?.readiness(principal) ?? 'ready'
  }

  partitionOf(key: Buffer): number {
    return partitionOf(key, this.#options.partitions)
  }

  attach(connection: Connection, client: Client, principal: Principal, hasUserName: boolean): Attachment | null {
    const shard = partitionOf(Buffer.from(client.clientId), this.#options.partitions)
    const owner = this.links.shards.of(shard)
    if (owner && owner.link === null && this.now() - owner.heardAt > this.config.SHARD_SILENCE) return null
    const number = this.connections.attach(connection, shard)
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
    this.connections.detach(attachment.connection, attachment.shard)
    this.sessions.detach(attachment, ending)
  }

  acknowledge(attachment: Attachment, number: number, outcome: AckOutcome): void {
    this.links.acknowledge(attachment.shard, attachment.connection, number, outcome)
  }

  setDeadline(connection: Connection, atMs: number): void {
    this.deadlines.set(connection, atMs)
  }

  left(connection: Connection): void {
    this.connections.remove(connection)
    this.unread.remove(connection)
    this.deadlines.remove(connection)
  }

  refused(connection: Connection, refusal: Omit<Refusal, 'remoteAddress' | 'transport'>): void {
    const { remoteAddress, kind } = connection.transport
    this.audit({ ...refusal, remoteAddress, transport: kind })
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

  onLateAnswer(connection: number, connectionId: Buffer, epoch: number): void {
    this.sessions.attachedLate(connection, connectionId, epoch)
  }

  onReconciled(shard: number): void {
    if (!this.#doubtful.delete(shard)) return
    for (const connection of [...this.connections.ofShard(shard)]) connection.resumeReading('doubt')
  }

  onSuperseded(incarnation: number): void {
    if (!this.#stopping) this.#incarnation.superseded(incarnation)
  }

  // --- inside

  #onRegistryChange(): void {
    this.registryVersion++
    this.access.changed()
    this.config = withNamespace(this.#options.config, this.#options.registry.view.namespace?.properties)
    this.#rejudging.changed()
    this.metrics.events.keep(this.#options.registry.view.topics.keys())
  }

  #lookAround(address: string): void {
    this.credentials.look()
    this.lookForPause()
    const now = this.now()
    void this.#incarnation.look(address)
    this.#audit.tick()
    this.unread.look()
    const reach = {
      shards: this.connections.shards,
      silent: this.links.shards.silent(now, this.config.SHARD_SILENCE),
      kafkaUnreachableMs: this.#kafkaUnreachableMs,
      registryUnconfirmedMs: this.#options.registry.confirmedMs(),
    }
    this.#outages.look(reach, now)
  }
}
