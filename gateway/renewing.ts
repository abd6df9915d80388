import { isDeepStrictEqual } from 'node:util'
import type { Authentication, Credentials } from '../access/authenticate.ts'
import type { Principal } from '../access/principal.ts'
import { RefusedKind } from '../audit/refusals.ts'
import type { AuthPacket, Packet } from '../mqtt/packet.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'
import type { AttachedSession } from './attached-session.ts'
import { Authenticating } from './authenticating.ts'
import type { Connection } from './connection.ts'
import type { ConnectionHost } from './connection-host.ts'
import { DisconnectionReason, type Ending, ended } from './disconnection.ts'
import { askForData, receiveAuth } from './exchange.ts'
import { onlyYes, type PendingAppends } from './pending-appends.ts'
import { authenticationDataProblem, type End } from './protocol.ts'

/** Why is for the log: refusals look alike on the wire. */
const notBelieved = ended(ReasonCode.NotAuthorized, 'the credentials are not believed', DisconnectionReason.ClientAuthenticationError)

export interface RenewalOwner {
  send(packet: Packet): void
  close(ending: Ending): void
  /** The session has new credentials: what was decided by the old ones does not count any more. */
  onRenewed(): void
}

/**
 * A client that shows new credentials on its open connection, with AUTH [MQTT-4.12.1-1]: everything else goes on meanwhile, and
 * the ones before count until the new ones are judged.
 */
export class Renewing {
  readonly #host: ConnectionHost
  readonly #connection: Connection
  readonly #owner: RenewalOwner
  readonly #session: AttachedSession
  readonly #appends: PendingAppends
  #attempt: Authenticating | null = null
  #until = Number.POSITIVE_INFINITY

  constructor(host: ConnectionHost, connection: Connection, owner: RenewalOwner, session: AttachedSession, appends: PendingAppends) {
    this.#host = host
    this.#connection = connection
    this.#owner = owner
    this.#session = session
    this.#appends = appends
  }

  /** When the client, or who vouches for it, has to have answered, ms since the epoch. */
  get until(): number {
    return this.#until
  }

  /** Null: taken. */
  take(packet: AuthPacket): End | null {
    const { client, credentials } = this.#session
    const { authenticationMethod } = client
    const { config } = this.#host
    const received = receiveAuth(packet, authenticationMethod, this.#attempt?.expected ?? 'reauthenticate')
    if (received.do === 'end') return received
    const tooMuch = authenticationDataProblem(received.data, config)
    if (tooMuch) return { do: 'end', ending: ended(ReasonCode.QuotaExceeded, tooMuch), limit: 'AUTHENTICATION_DATA_BYTES_MAX' }
    if (this.#attempt) {
      this.#attempt.continue(received.data)
      return null
    }
    const owner = {
      onJudged: (authentication: Authentication, judged: Credentials) => this.#judged(authentication, judged),
      onAsked: () => this.#owner.send(askForData(client)),
    }
    const { clientId, username, certificate, certificateChain } = credentials
    const shown = { clientId, username, certificate, certificateChain, authenticationMethod, authenticationData: received.data }
    this.#attempt = new Authenticating(this.#host.credentials, owner, this.#connection.isInternal, shown)
    this.#until = this.#host.now() + config.AUTHENTICATION_TIMEOUT
    this.#attempt.begin()
    return null
  }

  /** Not answered in time. */
  overdue(nowMs: number): Ending | null {
    if (nowMs < this.#until) return null
    this.#host.metrics.reached('AUTHENTICATION_TIMEOUT')
    return notBelieved
  }

  /** The connection is over. */
  close(): void {
    this.#attempt?.cancel()
  }

  /** The new credentials take the place of the old ones, or the connection is over [MQTT-4.12.1-2]. */
  #judged(authentication: Authentication, credentials: Credentials): void {
    if (!this.#connection.isOpen) return
    const host = this.#host
    const { client, principal: before } = this.#session
    const { clientId } = client
    if (!authentication.ok) {
      const { reasonCode, why } = authentication
      host.report(this.#connection, 'new credentials refused', { clientId, why })
      host.refused(this.#connection, { kind: RefusedKind.connect, authenticationName: before.authenticationName, clientId, reasonCode, why })
      const fault = ended(ReasonCode.ServerBusy, 'the credentials could not be looked into', DisconnectionReason.ServerError)
      this.#owner.close(reasonCode === ReasonCode.ServerUnavailable ? fault : notBelieved)
      return
    }
    const { principal } = authentication
    if (principal.authenticationName !== before.authenticationName || principal.kind !== before.kind) {
      host.report(this.#connection, 'new credentials of somebody else', { clientId, authenticationName: principal.authenticationName })
      this.#owner.close(notBelieved)
      return
    }
    const done = (): void => this.#renewed(principal, credentials, authentication.expiresAt)
    // Routers judge subscriptions by the attributes.
    if (isDeepStrictEqual({ ...principal.attributes }, { ...before.attributes })) done()
    else {
      // Nobody has to answer any more but the log, which ends the connection if it does not.
      this.#until = Number.POSITIVE_INFINITY
      this.#appends.add((appended) => host.sessions.reauthenticated(this.#session.attachment, principal, appended), done, onlyYes)
    }
  }

  #renewed(principal: Principal, credentials: Credentials, expiresAt = Number.POSITIVE_INFINITY): void {
    const session = this.#session
    const { authenticationMethod } = session.client
    this.#attempt = null
    this.#until = Number.POSITIVE_INFINITY
    session.credentials = credentials
    session.principal = principal
    session.rulesPosition = -1
    session.expiresAt = expiresAt
    this.#owner.send({ type: 'auth', reasonCode: ReasonCode.Success, properties: { ...(authenticationMethod !== undefined && { authenticationMethod }) } })
    this.#owner.onRenewed()
  }
}
