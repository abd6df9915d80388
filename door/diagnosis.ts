import type { Probe } from './canary-client.ts'

/** What a service says of itself at GET /status, as far as the diagnosis needs it; `down` when it did not answer. */
export type ServiceStatus =
  | { readonly id: string; readonly kind: 'registry' | 'gateway' | 'router'; readonly up: false; readonly reason: string }
  | {
      readonly id: string
      readonly kind: 'registry' | 'gateway' | 'router'
      readonly up: true
      readonly ok: boolean
      /** Why Kafka does not answer it; null while Kafka does. */
      readonly kafkaAway: string | null
      /** Shards that no router speaks for, as a gateway sees it. */
      readonly shardsWithoutRouter: readonly number[]
      /** Its own words on what is wrong. */
      readonly reason: string | null
    }

/** The hop that a failed round is put down to, with the reason in words. */
export interface Failure {
  /** kafka, registry, router, or a gateway's id. */
  readonly hop: string
  readonly reason: string
}

type Failed = Extract<Probe, { arrived: false }>

const stages: Readonly<Record<Failed['stopped'], string>> = {
  connect: 'does not accept connections',
  connack: 'gave no CONNACK',
  refused: 'refused the canary',
  suback: 'gave no SUBACK',
  puback: 'gave no PUBACK',
  delivery: 'delivered nothing',
  closed: 'closed the connection',
}

function partitionsInWords(partitions: readonly number[]): string {
  if (partitions.length === 0) return ''
  return partitions.length === 1 ? ` (partition ${partitions[0]})` : ` (partitions ${partitions.join(', ')})`
}

/** Kafka counts as away for a service when it has owed an answer for this long, ms: a client notices a dead connection later. */
const owedMs = 1000

function kafkaAway({ reachable, unreachableMs, reason }: Record<string, unknown>): string | null {
  const owed = typeof unreachableMs === 'number' ? unreachableMs : 0
  if (reachable !== false && owed < owedMs) return null
  return typeof reason === 'string' ? reason : `no answer for ${(owed / 1000).toFixed(1)} s`
}

/** What a body of GET /status says. Fields that are missing count as fine: an older service is not thereby broken. */
export function readStatus(id: string, kind: ServiceStatus['kind'], body: unknown): ServiceStatus {
  const status = (typeof body === 'object' && body !== null ? body : {}) as Record<string, unknown>
  const kafka = (typeof status.kafka === 'object' && status.kafka !== null ? status.kafka : {}) as Record<string, unknown>
  const without = Array.isArray(status.shardsWithoutRouter) ? status.shardsWithoutRouter : []
  return {
    id,
    kind,
    up: true,
    ok: status.ok !== false,
    kafkaAway: kafkaAway(kafka),
    shardsWithoutRouter: without.filter((shard): shard is number => typeof shard === 'number'),
    reason: typeof status.reason === 'string' ? status.reason : null,
  }
}

/**
 * Puts a failed probe down to one hop. What the services say of themselves comes first, in the order in which one
 * explains the next: without Kafka no router can answer, without a router no gateway can. The place where the canary
 * stopped decides when they say nothing.
 */
export function diagnose(probe: Failed, statuses: readonly ServiceStatus[]): Failure {
  const where = `gateway ${probe.gateway} ${stages[probe.stopped]}${partitionsInWords(probe.partitions)}: ${probe.reason}`
  // A gateway that cannot be reached explains itself: nothing further was tried through it.
  if (probe.stopped === 'connect') return { hop: probe.gateway, reason: where }

  const away = statuses.find((status) => status.up && status.kafkaAway !== null)
  if (away?.up) return { hop: 'kafka', reason: `${away.id} cannot reach Kafka (${away.kafkaAway}); ${where}` }

  const own = statuses.find((status) => status.kind === 'gateway' && status.id === probe.gateway)
  if (own !== undefined && !own.up) return { hop: probe.gateway, reason: `${where}; nor does it answer at /status (${own.reason})` }

  const routers = statuses.filter((status) => status.kind === 'router')
  const down = routers.filter((status) => !status.up)
  // A subscription is acknowledged after its append alone and so is a publish: only what follows needs a router.
  const needsRouter = probe.stopped === 'connack' || probe.stopped === 'delivery' || probe.stopped === 'refused' || probe.stopped === 'closed'
  if (needsRouter && routers.length > 0 && down.length === routers.length) {
    return { hop: 'router', reason: `${down.map((status) => `${status.id} does not answer (${status.up ? '' : status.reason})`).join('; ')}; ${where}` }
  }
  if (needsRouter && own?.up && own.shardsWithoutRouter.length > 0) {
    return { hop: 'router', reason: `no router speaks for shards ${own.shardsWithoutRouter.join(', ')}; ${where}` }
  }

  const registry = statuses.find((status) => status.kind === 'registry')
  if (probe.stopped === 'refused' || probe.stopped === 'closed') {
    // A gateway whose view of the registry cannot be confirmed lets nobody new in.
    if (registry !== undefined && !registry.up) return { hop: 'registry', reason: `registry does not answer (${registry.reason}); ${where}` }
    return { hop: probe.gateway, reason: where }
  }
  switch (probe.stopped) {
    case 'puback':
    case 'suback':
      return { hop: 'kafka', reason: where }
    case 'delivery':
      return { hop: 'router', reason: where }
    case 'connack':
      return { hop: probe.gateway, reason: where }
  }
}

/** The first cause among several gateways' failures: what all of them share explains more than one of them. */
export function worst(failures: readonly Failure[]): Failure | undefined {
  const rank = (failure: Failure): number => ['kafka', 'router', 'registry'].indexOf(failure.hop) >>> 0
  return [...failures].sort((a, b) => rank(a) - rank(b))[0]
}
