/**
 * The wills of connections that are over. A will waits for its delay; a connection that goes on with the session before
 * that cancels it, the end of the session ends the wait [MQTT-3.1.3-9]. Once decided nothing cancels it: it stays until a
 * WillFired record says that it is in `messages`.
 */
import type { Will } from '../schemas/session-records.ts'
import type { Attachment, PendingWill } from '../schemas/snapshot-records.ts'
import type { Session } from './session.ts'

const neverExpires = 0xffff_ffff

/** The wills after the session's connection ended with its will kept, at `at` [MQTT-3.1.2-8]. */
export function withWillOf(session: Session, from: Attachment, will: Will | null, at: number): readonly PendingWill[] {
  if (!will) return session.wills
  const { expiryInterval } = session
  // Whichever comes first: the delay or the end of the session.
  const waitSeconds = expiryInterval === neverExpires ? will.delaySeconds : Math.min(will.delaySeconds, expiryInterval)
  const pending: PendingWill = {
    epoch: session.epoch,
    session: session.id,
    authenticationName: session.authenticationName,
    gateway: from.gateway.id,
    protocolVersion: from.protocolVersion,
    dueAt: at + waitSeconds * 1000,
    isDecided: waitSeconds === 0,
    will,
  }
  return [...session.wills, pending]
}

/** A connection has come that goes on with the session: what had not yet to be sent must not be [MQTT-3.1.3-9]. */
export function afterReattach(wills: readonly PendingWill[], at: number): readonly PendingWill[] {
  if (wills.length === 0) return wills
  return wills.filter(({ isDecided, dueAt }) => isDecided || dueAt <= at).map(decided)
}

/** The session is over: no wait outlives it. */
export function afterEnd(wills: readonly PendingWill[], at: number): readonly PendingWill[] {
  if (wills.every(({ isDecided }) => isDecided)) return wills
  return wills.map((pending) => (pending.isDecided ? pending : decided({ ...pending, dueAt: Math.min(pending.dueAt, at) })))
}

/** The delay of one is over, by its owner's decision. */
export function afterDue(wills: readonly PendingWill[], epoch: number): readonly PendingWill[] {
  if (!wills.some((pending) => pending.epoch === epoch && !pending.isDecided)) return wills
  return wills.map((pending) => (pending.epoch === epoch ? decided(pending) : pending))
}

export function without(wills: readonly PendingWill[], epoch: number): readonly PendingWill[] {
  return wills.some((pending) => pending.epoch === epoch) ? wills.filter((pending) => pending.epoch !== epoch) : wills
}

const decided = (pending: PendingWill): PendingWill => (pending.isDecided ? pending : { ...pending, isDecided: true })
