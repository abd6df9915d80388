/** A session as the HTTP API tells of it, and the pages of a list of them: read from the folds, changing nothing. */
import { neverExpires, type Session } from '../model/session.ts'
import type { SessionFold } from '../model/session-fold.ts'

const iso = (at: number): string => new Date(at).toISOString()

/** Queues are folded by the owner of the shard alone: another router says nothing of them. */
export function reportSession(session: Session, isOwner: boolean): { readonly clientId: string } & Readonly<Record<string, unknown>> {
  const { clientId, attached, expiryInterval, detachedAt, expiresAt } = session
  return {
    clientId,
    isOwner,
    authenticationName: session.authenticationName,
    connected: attached !== null,
    ...(attached
      ? {
          gateway: attached.gateway.id,
          remoteAddress: attached.remoteAddress,
          transport: attached.transport,
          protocolVersion: attached.protocolVersion,
          keepAlive: attached.keepAlive,
          connectedAt: iso(attached.at),
        }
      : {}),
    ...(detachedAt === null ? {} : { disconnectedAt: iso(detachedAt) }),
    sessionExpiryInterval: expiryInterval === neverExpires ? 'never' : expiryInterval,
    ...(Number.isFinite(expiresAt) ? { expiresAt: iso(expiresAt) } : {}),
    sequenceNumber: session.sequence,
    shard: session.shard,
    subscriptions: [...session.subscriptions.values()],
    ...(isOwner ? { queue: reportQueue(session) } : {}),
  }
}

/** `oldestAt`: since when the message has waited that has waited longest. */
function reportQueue({ attached, queue }: Session): Readonly<Record<string, unknown>> {
  const since = queue.oldest?.at
  return {
    messages: queue.length,
    bytes: queue.bytes,
    inFlight: attached ? Math.max(0, queue.sent - queue.next + queue.length) : 0,
    ...(since ? { oldestAt: iso(since) } : {}),
  }
}

export interface SessionPage {
  /** Sessions with a client id behind this one, in the order of client ids. */
  readonly after: string
  readonly top: number
  readonly connected?: boolean
  readonly authenticationName?: string
}

/** Sessions looked at before others have their turn. */
const turn = 2_000

/** The sessions of a page. Walks all sessions in small turns: a long list must not hold up deliveries. */
export async function pageOfSessions(folds: readonly SessionFold[], page: SessionPage): Promise<readonly Session[]> {
  const { after, top, connected, authenticationName } = page
  const found: Session[] = []
  let seen = 0
  for (const fold of folds) {
    for (const session of fold.sessions.values()) {
      if (++seen % turn === 0) await new Promise(setImmediate)
      const { clientId } = session
      if (session.isOver || clientId <= after) continue
      if (connected !== undefined && connected !== (session.attached !== null)) continue
      if (authenticationName !== undefined && authenticationName !== session.authenticationName) continue
      if (found.length === top && clientId >= found[top - 1]!.clientId) continue
      const at = placeOf(found, clientId)
      // Moved to the end of its map while others had their turn.
      if (found[at]?.clientId === clientId) continue
      found.splice(at, 0, session)
      if (found.length > top) found.pop()
    }
  }
  return found
}

function placeOf(sorted: readonly Session[], clientId: string): number {
  let low = 0
  let high = sorted.length
  while (low < high) {
    const middle = (low + high) >>> 1
    if (sorted[middle]!.clientId < clientId) low = middle + 1
    else high = middle
  }
  return low
}
