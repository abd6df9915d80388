import type { Probe } from './canary-client.ts'
import { diagnose, type Failure, type ServiceStatus, worst } from './diagnosis.ts'
import type { DoorMetrics } from './metrics.ts'

/** The body of GET /healthz. */
export interface Health {
  readonly status: 'ok' | 'failing'
  readonly durability: string
  /** Those through which the canary came back, with the time it took. */
  readonly gateways: readonly { readonly id: string; readonly ms: number }[]
  /** The hop that fails: kafka, registry, router or a gateway's id. */
  readonly hop?: string
  readonly reason?: string
  /** Every failure, where more than one gateway fails. */
  readonly failures?: readonly (Failure & { readonly gateway: string })[]
}

export interface HealthOptions {
  readonly durability: string
  /** Sends a canary through every gateway; never rejects. */
  readonly probe: () => Promise<readonly Probe[]>
  /** Asks the services how they are; only when a canary failed or is late. Never rejects. */
  readonly statuses: () => Promise<readonly ServiceStatus[]>
  /** A round that takes longer than this is late, ms: the services are asked before its time is up, so that the answer is not later still. */
  readonly lateMs: number
  /** How old a result may be, ms. */
  readonly freshMs: number
  readonly now: () => number
  readonly metrics: DoorMetrics
}

/** Judges one round. */
export function judge(probes: readonly Probe[], statuses: readonly ServiceStatus[], durability: string): Health {
  const gateways = probes.flatMap((probe) => (probe.arrived ? [{ id: probe.gateway, ms: probe.ms }] : []))
  if (probes.length === 0) return { status: 'failing', durability, gateways, hop: 'gateway', reason: 'no gateway is configured (CANARY_ADDRESSES)' }
  const failures = probes.flatMap((probe) => (probe.arrived ? [] : [{ gateway: probe.gateway, ...diagnose(probe, statuses) }]))
  const cause = worst(failures)
  if (cause === undefined) return { status: 'ok', durability, gateways }
  return { status: 'failing', durability, gateways, hop: cause.hop, reason: cause.reason, ...(failures.length > 1 ? { failures } : {}) }
}

/** Runs rounds on demand: those who ask meanwhile share one, and a result stays good for a moment. */
export class HealthCheck {
  readonly #options: HealthOptions
  #last: { readonly at: number; readonly health: Health } | null = null
  #running: Promise<Health> | null = null

  constructor(options: HealthOptions) {
    this.#options = options
  }

  check(): Promise<Health> {
    const { now, freshMs } = this.#options
    if (this.#last !== null && now() - this.#last.at < freshMs) return Promise.resolve(this.#last.health)
    this.#running ??= this.#round().finally(() => {
      this.#running = null
    })
    return this.#running
  }

  async #round(): Promise<Health> {
    const { probe, statuses, lateMs, durability, metrics, now } = this.#options
    let asked: Promise<readonly ServiceStatus[]> | undefined
    const late = setTimeout(() => {
      asked = statuses()
    }, lateMs)
    const probes = await probe().finally(() => clearTimeout(late))
    for (const one of probes) if (one.arrived) metrics.canarySeconds.observe({ gateway: one.gateway }, one.ms / 1000)
    const health = judge(probes, probes.every((one) => one.arrived) ? [] : await (asked ?? statuses()), durability)
    metrics.canaryRounds.inc({ result: health.status === 'ok' ? 'arrived' : 'failed' })
    this.#last = { at: now(), health }
    return health
  }
}
