/**
 * Two clients that fight over one client id, each taking the session from the other as soon as it has lost it, are slowed
 * down: who was taken over here again and again waits for its CONNACK, and the rival keeps the session meanwhile. One that
 * comes back over its own dead connection has takeovers to spare. Several gateways do not share this.
 */
import { LRUCache } from 'lru-cache'

export interface TakeoverLimits {
  readonly TAKEOVER_BURST: number
  /** ms. */
  readonly TAKEOVER_INTERVAL: number
}

/** Client ids remembered; of one that is forgotten no takeover counts. */
const clientIdsMax = 65_536

export class Takeovers {
  readonly #limits: () => TakeoverLimits
  /** When the takeovers so far would be through, had they come one per interval. */
  readonly #throughAt = new LRUCache<string, number>({ max: clientIdsMax })

  constructor(limits: () => TakeoverLimits) {
    this.#limits = limits
  }

  /** A connection of this gateway was taken over. */
  taken(clientId: string, nowMs: number): void {
    const { TAKEOVER_BURST: burst, TAKEOVER_INTERVAL: interval } = this.#limits()
    if (interval === 0) return
    const throughAt = Math.max(nowMs, this.#throughAt.get(clientId) ?? nowMs) + interval
    // However many there were, the next one waits for an interval at most.
    this.#throughAt.set(clientId, Math.min(throughAt, nowMs + (burst + 1) * interval))
  }

  /** How long a CONNECT with the client id has to wait, ms; 0 for most. */
  waitMs(clientId: string, nowMs: number): number {
    const throughAt = this.#throughAt.get(clientId)
    if (throughAt === undefined) return 0
    const { TAKEOVER_BURST: burst, TAKEOVER_INTERVAL: interval } = this.#limits()
    return Math.min(interval, Math.max(0, throughAt - burst * interval - nowMs))
  }
}
