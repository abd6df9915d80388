import type { Session } from '../model/session.ts'
import type { GatewayIncarnation } from '../schemas/gateway-up.ts'
import type { Attachment } from '../schemas/snapshot-records.ts'
import { ClientSession } from './client-session.ts'
import type { Gateways } from './gateways.ts'

export interface SessionConnectionsOptions {
  readonly shard: number
  readonly gateways: Gateways
  /** The client waits for nothing of an earlier connection any more. */
  onSettled(client: ClientSession): void
}

/** A gateway that the topic `gateways` does not tell of is given this long to appear there, ms. */
const unknownGatewayMs = 5_000

const none: ReadonlyMap<number, ClientSession> = new Map()

/** Which connections the sessions of a shard have, by the log. */
export class SessionConnections {
  readonly #options: SessionConnectionsOptions
  /** Attached sessions by client id. */
  readonly #clients = new Map<string, ClientSession>()
  /** The same by gateway incarnation and connection. */
  readonly #here = new Map<number, Map<number, ClientSession>>()
  /** Connections that are over while acknowledgements of theirs may still be on their way, by gateway incarnation. */
  readonly #leaving = new Map<number, Map<number, ClientSession>>()
  /** Sessions that are sent nothing until those have come: what was acknowledged must not come again. */
  readonly #settling = new Map<Session, number>()
  /** Incarnations with connections that the topic `gateways` did not tell of, and since when. */
  readonly #unknownSince = new Map<number, number>()

  constructor(options: SessionConnectionsOptions) {
    this.#options = options
  }

  /** Sessions with a connection. */
  get size(): number {
    return this.#clients.size
  }

  all(): Iterable<ClientSession> {
    return this.#clients.values()
  }

  /** The session's connection; undefined when it has none, or another session has its client id. */
  of(session: Session): ClientSession | undefined {
    const client = this.#clients.get(session.clientId)
    return client?.session === session ? client : undefined
  }

  /** Whether the client id is this connection's. */
  isCurrent(client: ClientSession): boolean {
    return this.#clients.get(client.session.clientId) === client
  }

  isSettling(session: Session): boolean {
    return this.#settling.has(session)
  }

  /** By connection: those at a gateway, by its incarnation. */
  at(incarnation: number): ReadonlyMap<number, ClientSession> {
    return this.#here.get(incarnation) ?? none
  }

  /** Those that were there, and may still be acknowledged something. */
  leaving(incarnation: number): ReadonlyMap<number, ClientSession> {
    return this.#leaving.get(incarnation) ?? none
  }

  connect(session: Session, attached: Attachment): ClientSession {
    const client = new ClientSession(session, session.queue.sent)
    this.#clients.set(session.clientId, client)
    const { incarnation } = attached.gateway
    const here = this.#here.get(incarnation) ?? new Map<number, ClientSession>()
    this.#here.set(incarnation, here)
    here.set(attached.connection, client)
    return client
  }

  /** Answers whose connection it was; undefined when it was over before. */
  disconnect(clientId: string, from: Attachment): ClientSession | undefined {
    const here = this.#here.get(from.gateway.incarnation)
    const client = here?.get(from.connection)
    here?.delete(from.connection)
    if (here?.size === 0) this.#here.delete(from.gateway.incarnation)
    if (!client) return undefined
    if (this.#clients.get(clientId) === client) this.#clients.delete(clientId)
    if (client.inFlight.size > 0 && !client.session.isOver) this.#awaitAcknowledgements(client, from)
    return client
  }

  /** Gateways with connections that nobody has heard of for too long: their topic's record is still to be read, or there is none. */
  loseUnknown(now: number, lose: (gateway: GatewayIncarnation) => void): void {
    for (const [incarnation, clients] of this.#here) {
      const gateway = clients.values().next().value?.session.attached?.gateway
      if (!gateway || !this.#options.gateways.isOver(gateway)) this.#unknownSince.delete(incarnation)
      else if (!this.#unknownSince.has(incarnation)) this.#unknownSince.set(incarnation, now)
      else if (now - (this.#unknownSince.get(incarnation) as number) >= unknownGatewayMs) lose(gateway)
    }
    for (const incarnation of this.#unknownSince.keys()) if (!this.#here.has(incarnation)) this.#unknownSince.delete(incarnation)
  }

  /** The end of a connection comes through the log and can overtake the acknowledgements that its gateway sent before. */
  #awaitAcknowledgements(client: ClientSession, from: Attachment): void {
    const { gateways, shard, onSettled } = this.#options
    const gateway = gateways.get(from.gateway)
    if (!gateway?.isReady(shard)) return
    const { session } = client
    const { incarnation } = from.gateway
    const leaving = this.#leaving.get(incarnation) ?? new Map<number, ClientSession>()
    this.#leaving.set(incarnation, leaving.set(from.connection, client))
    this.#settling.set(session, (this.#settling.get(session) ?? 0) + 1)
    gateway.afterWhatItSent(() => {
      leaving.delete(from.connection)
      if (leaving.size === 0 && this.#leaving.get(incarnation) === leaving) this.#leaving.delete(incarnation)
      const others = (this.#settling.get(session) ?? 1) - 1
      if (others > 0) this.#settling.set(session, others)
      else this.#settling.delete(session)
      const next = this.#clients.get(session.clientId)
      if (next) onSettled(next)
    })
  }
}
