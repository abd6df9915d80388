import type { Principal } from '../access/principal.ts'
import type { Packet, SubscribePacket, UnsubscribePacket } from '../mqtt/packet.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'
import type { ReplayRequest, SubscriptionRequest } from '../schemas/session-records.ts'
import { OperationType } from '../telemetry/dimensions.ts'
import type { Attachment } from './attachment.ts'
import type { GatewayConfig } from './config.ts'
import type { GatewayMetrics } from './metrics.ts'
import type { NamespaceAccess } from './namespace-access.ts'
import { onlyYes, type PendingAppends } from './pending-appends.ts'
import { type Client, type End, explanation, notInLog, receiveSubscribe, receiveUnsubscribe } from './protocol.ts'
import { RefusalReason } from './refusal-reason.ts'
import type { ReplayProperties } from './replay-request.ts'
import { SessionFilters } from './session-filters.ts'
import type { SessionJournal } from './session-journal.ts'

/** What subscribing needs of the gateway. */
export interface SubscribeHost {
  readonly config: GatewayConfig
  readonly metrics: GatewayMetrics
  readonly sessions: Pick<SessionJournal, 'subscribe' | 'unsubscribe' | 'withdraw'>
  readonly access: Pick<NamespaceAccess, 'isCurrent' | 'confirmedAt' | 'knownSince' | 'maySubscribe' | 'mayHold'>
  /** More waits for Kafka than KAFKA_BYTES_WAITING_MAX. */
  readonly logIsFull: boolean
  now(): number
  /** From when on what the replays ask for is there, ms since the epoch; undefined when nothing of it is gone, or nobody knows in time. Never rejects. */
  historySince(granted: readonly SubscriptionRequest[]): Promise<number | undefined>
}

/** What the connection hears back. */
export interface SubscribeOwner {
  readonly principal: Principal
  /** What is answered later is answered to nobody. */
  readonly isOpen: boolean
  send(packet: Packet): void
  /** A filter without permission. */
  onFilterRefused(filter: string): void
}

/** `wait`: not taken, come back when the registry is current. `full`: taken, but read no further for now. */
export type SubscribeResult = 'taken' | 'wait' | 'full' | End

/** The subscribing part of one open connection: SUBACK and UNSUBACK go out after the append. */
export class Subscribing {
  readonly #host: SubscribeHost
  readonly #owner: SubscribeOwner
  readonly #client: Client
  readonly #attachment: Attachment
  readonly #appends: PendingAppends
  readonly #held: SessionFilters
  /** Since when a SUBSCRIBE has waited because no filter can be judged; null, or before the registry was confirmed last: none has. */
  #staleSince: number | null = null
  #until = Number.POSITIVE_INFINITY
  #unanswered = 0

  constructor(
    host: SubscribeHost,
    owner: SubscribeOwner,
    client: Client,
    attachment: Attachment,
    appends: PendingAppends,
    filters: readonly string[] | number,
  ) {
    this.#host = host
    this.#owner = owner
    this.#client = client
    this.#attachment = attachment
    this.#appends = appends
    this.#held = new SessionFilters(filters)
  }

  subscribe(packet: SubscribePacket): SubscribeResult {
    const host = this.#host
    this.#until = Number.POSITIVE_INFINITY
    if (!host.access.isCurrent) return this.#waitOrRefuse(packet)
    const held = this.#held
    const maySubscribe = (filter: string, replay: ReplayRequest | null): boolean => this.#maySubscribe(filter, replay)
    const now = host.now()
    const decision = receiveSubscribe(packet, this.#client, held, host.config, maySubscribe, now, host.access.knownSince)
    if ('do' in decision) {
      host.metrics.refused(RefusalReason.subscribeMisused)
      return decision
    }
    for (const reason of decision.refusals) host.metrics.refused(reason)
    for (const limit of decision.limits) host.metrics.reached(limit)
    const filters = packet.filters.map(({ filter }) => filter)
    const { granted, reasonCodes, judgements, asked: replay } = decision
    const since = this.#isToldOfHistory && granted.some((each) => each.replay) ? host.historySince(granted) : undefined
    const answer = (isInLog: boolean): void => {
      host.metrics.operations.filters(this.#client.protocol, OperationType.Subscribe, judgements, isInLog)
      if (!since || !isInLog) {
        this.#answer('suback', packet.packetId, filters, isInLog ? reasonCodes : notInLog(reasonCodes), now, replay)
        return
      }
      void since.then((from) => {
        if (this.#owner.isOpen) this.#answer('suback', packet.packetId, filters, reasonCodes, now, replay, from)
      })
    }
    if (granted.length === 0) {
      answer(true)
      return 'taken'
    }
    const asked = granted.map(({ filter }) => filter)
    const step = held.asked(asked)
    this.#unanswered++
    this.#appends.add(
      (appended) => host.sessions.subscribe(this.#attachment, granted, appended),
      (outcome) => {
        this.#unanswered--
        if (outcome === 'stored') held.told(step, asked)
        const back = outcome === 'stored' ? [] : held.refused(step, asked, outcome === 'unknown')
        answer(outcome === 'stored')
        if (back.length > 0) this.#withdraw(back)
      },
      // Where not all filters are named, those that the session had before cannot be told: what may be taken back is not known.
      { until: this.#patience, canRefuse: true, canDoubt: held.unnamed === 0 },
      (isStored) => held.subscribed(step, asked, isStored),
    )
    return host.logIsFull ? 'full' : 'taken'
  }

  /** When a SUBSCRIBE that waits for the registry is to be taken again, ms since the epoch: it is refused then. Infinity: none waits. */
  get until(): number {
    return this.#until
  }

  /** No filter can be judged. Once one SUBSCRIBE has waited as long as it may, those behind it are refused at once. */
  #waitOrRefuse({ packetId, filters: requests }: SubscribePacket): SubscribeResult {
    const { config, metrics, access } = this.#host
    if (this.#staleSince === null || this.#staleSince <= access.confirmedAt) this.#staleSince = this.#host.now()
    const until = this.#staleSince + config.SUBSCRIBE_TIMEOUT
    if (this.#host.now() < until) {
      this.#until = until
      return 'wait'
    }
    metrics.reached('SUBSCRIBE_TIMEOUT')
    const filters = requests.map(({ filter }) => filter)
    this.#answer(
      'suback',
      packetId,
      filters,
      filters.map(() => ReasonCode.ImplementationSpecificError),
    )
    return 'taken'
  }

  #withdraw(filters: readonly string[]): void {
    const held = this.#held
    const step = held.askedBack(filters)
    let written = filters
    const due = (): readonly string[] => {
      written = held.toTakeBack(filters)
      return written
    }
    this.#appends.add(
      (appended) => this.#host.sessions.withdraw(this.#attachment, due, appended),
      () => {},
      onlyYes,
      (isStored) => held.takenBack(step, filters, written, isStored),
    )
  }

  get #patience(): number {
    return this.#host.now() + this.#host.config.SUBSCRIBE_TIMEOUT
  }

  unsubscribe(packet: UnsubscribePacket): SubscribeResult {
    const host = this.#host
    const held = this.#held
    const { filters, reasonCodes, limits } = receiveUnsubscribe(packet, held, host.config)
    for (const limit of limits) host.metrics.reached(limit)
    const answer = (isInLog: boolean): void => {
      host.metrics.operations.filters(this.#client.protocol, OperationType.Unsubscribe, reasonCodes, isInLog)
      this.#answer('unsuback', packet.packetId, packet.filters, isInLog ? reasonCodes : notInLog(reasonCodes))
    }
    if (filters.length === 0) {
      answer(true)
      return 'taken'
    }
    const step = held.askedToEnd(filters)
    this.#appends.add(
      (appended) => host.sessions.unsubscribe(this.#attachment, filters, appended),
      (outcome) => {
        held.told(step, filters)
        answer(outcome === 'stored')
      },
      // UNSUBACK of 3.1.1 can only say yes: there the connection ends. What may be done all the same was asked for: nothing is taken back.
      { until: this.#patience, canRefuse: this.#client.protocolVersion === 5, canDoubt: true },
      (isStored) => held.unsubscribed(step, filters, isStored),
    )
    return host.logIsFull ? 'full' : 'taken'
  }

  /** Filters held by name: how many judgements `areAllPermitted` takes. */
  get count(): number {
    return this.#held.named.size
  }

  /** A SUBSCRIBE is on its way into the log. */
  get isUnanswered(): boolean {
    return this.#unanswered > 0
  }

  areAllPermitted(): boolean {
    for (const filter of this.#held.named) if (!this.#host.access.mayHold(this.#owner.principal, filter)) return false
    return true
  }

  #maySubscribe(filter: string, replay: ReplayRequest | null): boolean {
    const isAllowed = this.#host.access.maySubscribe(this.#owner.principal, filter, replay)
    if (!isAllowed) this.#owner.onFilterRefused(filter)
    return isAllowed
  }

  /** A reason string is read by who speaks MQTT 5 and has not forbidden it [MQTT-3.1.2-29]. */
  get #isToldOfHistory(): boolean {
    return this.#client.protocolVersion === 5 && this.#client.wantsProblemInformation
  }

  #answer(
    type: 'suback' | 'unsuback',
    packetId: number,
    filters: readonly string[],
    reasonCodes: readonly number[],
    now = this.#host.now(),
    replay: ReplayProperties = null,
    historySince?: number,
  ): void {
    this.#owner.send({ type, packetId, reasonCodes, ...explanation(filters, reasonCodes, this.#client, now, replay, historySince) })
  }
}
