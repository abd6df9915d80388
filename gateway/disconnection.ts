import { ReasonCode } from '../mqtt/reason-code.ts'

/** Why a connection ended, by Event Grid's complete list (LC-02). */
export const DisconnectionReason = {
  ClientAuthenticationError: 'ClientAuthenticationError',
  ClientAuthorizationError: 'ClientAuthorizationError',
  ClientError: 'ClientError',
  ClientInitiatedDisconnect: 'ClientInitiatedDisconnect',
  ConnectionLost: 'ConnectionLost',
  IpForbidden: 'IpForbidden',
  QuotaExceeded: 'QuotaExceeded',
  ServerError: 'ServerError',
  ServerInitiatedDisconnect: 'ServerInitiatedDisconnect',
  SessionOverflow: 'SessionOverflow',
  SessionTakenOver: 'SessionTakenOver',
} as const
export type DisconnectionReason = (typeof DisconnectionReason)[keyof typeof DisconnectionReason]

/** How a connection ends: what goes on the wire and what into the log. */
export interface Ending {
  /** MQTT 5 reason code of the DISCONNECT that is sent or was received; 0 for none. */
  readonly reasonCode: number
  readonly reason: DisconnectionReason
  /** What the client did last; its DISCONNECT is not answered with another. */
  readonly by: 'client' | 'gateway' | 'network'
  /** False when the client said good-bye in a way that discards its will [MQTT-3.14.4-3]. */
  readonly keepWill: boolean
  /** Seconds, when the client's DISCONNECT changed it. */
  readonly sessionExpiryInterval: number | null
  /** For people: logged, and sent as reason string to clients that want one. */
  readonly detail: string
}

const reasonOf = new Map<number, DisconnectionReason>([
  [ReasonCode.NotAuthorized, DisconnectionReason.ClientAuthorizationError],
  [ReasonCode.KeepAliveTimeout, DisconnectionReason.ConnectionLost],
  [ReasonCode.SessionTakenOver, DisconnectionReason.SessionTakenOver],
  [ReasonCode.QuotaExceeded, DisconnectionReason.QuotaExceeded],
  [ReasonCode.ServerBusy, DisconnectionReason.ServerError],
  [ReasonCode.UnspecifiedError, DisconnectionReason.ServerError],
  [ReasonCode.ServerShuttingDown, DisconnectionReason.ServerInitiatedDisconnect],
  [ReasonCode.AdministrativeAction, DisconnectionReason.ServerInitiatedDisconnect],
])

/** The gateway ends the connection with a reason code; what is not listed is the client's fault. */
export function ended(reasonCode: number, detail: string, reason: DisconnectionReason = reasonOf.get(reasonCode) ?? DisconnectionReason.ClientError): Ending {
  return { reasonCode, reason, by: 'gateway', keepWill: true, sessionExpiryInterval: null, detail }
}

/** The transport is gone; a WebSocket close frame counts as the client's own decision, but is no DISCONNECT. */
export function lost(orderly: boolean): Ending {
  return {
    reasonCode: 0,
    reason: orderly ? DisconnectionReason.ClientInitiatedDisconnect : DisconnectionReason.ConnectionLost,
    by: 'network',
    keepWill: true,
    sessionExpiryInterval: null,
    detail: orderly ? 'the client closed the WebSocket' : 'the connection was lost',
  }
}
