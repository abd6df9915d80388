/**
 * What a fleet needs: how many gateways, routers, shards and brokers, what each of them is limited by, and how a fleet comes back when a
 * gateway dies. Pure; the costs are those of a run of the bench (`costsOf`), the rest is arithmetic that can be checked by hand.
 */
import type { Random } from '../test/simulation/random.ts'
import type { Results } from './report.ts'

export interface Fleet {
  readonly devices: number
  /** Share that is connected. */
  readonly online: number
  /** Messages that a device publishes at QoS 1, a day. */
  readonly publishesPerDay: number
  /** Messages that a device's persistent session is sent at QoS 1, a day. */
  readonly commandsPerDay: number
  /** Busiest second against the average one. */
  readonly peak: number
  /** Bytes of a message in the log. */
  readonly recordBytes: number
  readonly keptDays: number
}

/** One device: a message a minute, a command an hour. */
export const telemetryFleet = (devices: number): Fleet => ({
  devices,
  online: 0.9,
  publishesPerDay: 1_440,
  commandsPerDay: 24,
  peak: 2,
  recordBytes: 420,
  keptDays: 7,
})

export interface UnitCosts {
  /** Microseconds of CPU, for a message that shares no read and no write with another: how a large fleet of quiet devices comes. */
  readonly gatewayIn: number
  readonly gatewayOut: number
  /** Reading and matching a message that nobody is subscribed to. */
  readonly match: number
  /** Noting in the journal that it is owed, sending it, and noting its acknowledgement. */
  readonly owe: number
  /** A record, written and read once, on each broker that has a copy. */
  readonly kafka: number
  /** CPU of gateway and router for a connect with TLS and a client certificate. */
  readonly connect: number
  /** KiB in a gateway, with TLS. */
  readonly connection: number
  /** Bytes in the router that owns the session's shard … */
  readonly session: number
  /** … and in every router for each subscription. */
  readonly subscription: number
  /** Bytes in every gateway, in every router and in the registry for each registered client. */
  readonly registered: number
  /** Microseconds for each registered client until a gateway has read the registry. */
  readonly registryRead: number
}

/** For what no run has measured: memory and the registry's are measured (`npm run bench:registry`), CPU is assumed, on the high side. */
export const unitCosts: UnitCosts = {
  gatewayIn: 35,
  gatewayOut: 35,
  match: 3,
  owe: 45,
  kafka: 10,
  connect: 3_500,
  connection: 65,
  session: 1_730,
  subscription: 690,
  registered: 330,
  registryRead: 8.5,
}

export interface Machine {
  /** Share of a core that a process may use at peak: the rest is for when another one fails. */
  readonly cpu: number
  /** Cores that a broker has. */
  readonly brokerCores: number
  /** GiB that a gateway or router may hold. */
  readonly memory: number
  /** TB that a broker may hold. */
  readonly disk: number
  readonly partitionsPerBroker: number
  /** Sessions of a shard at most: it is read and written as one snapshot, and taken over by one router. */
  readonly sessionsPerShard: number
}

export const machine: Machine = { cpu: 0.5, brokerCores: 4, memory: 8, disk: 4, partitionsPerBroker: 4_000, sessionsPerShard: 100_000 }

/** Topics of a namespace that have a partition for each shard. */
const shardedTopics = 8
const copies = 3
const secondsPerDay = 86_400
const gib = 2 ** 30

/** How many of something, and why not fewer. */
export interface Count {
  readonly count: number
  readonly because: string
}

export interface Size {
  readonly devices: number
  readonly publishesPerSecond: number
  /** Apart from each other: what every gateway and router holds is a namespace's. */
  readonly namespaces: Count
  readonly gateways: Count
  readonly routers: Count
  readonly shards: Count
  readonly brokers: Count
  /** Seconds that a gateway reads the registry when it starts. */
  readonly startSeconds: number
}

function most(...needs: readonly (readonly [count: number, because: string])[]): Count {
  const [count, because] = needs.reduce((a, b) => (b[0] > a[0] ? b : a))
  return { count: Math.max(1, Math.ceil(count)), because }
}

/** A namespace is as large as half of a process's memory can know of. */
export function sizeOf(fleet: Fleet, costs: UnitCosts = unitCosts, on: Machine = machine): Size {
  const { devices } = fleet
  const memory = on.memory * gib
  const known = costs.registered + costs.subscription
  const namespaces = most([(devices * known) / (memory / 2), 'what every router knows'])
  const publishesPerSecond = (devices * fleet.publishesPerDay * fleet.peak) / secondsPerDay
  const commandsPerSecond = (devices * fleet.commandsPerDay * fleet.peak) / secondsPerDay
  const core = 1e6 * on.cpu
  const left = memory - (devices / namespaces.count) * known
  const gateways = most(
    [(publishesPerSecond * costs.gatewayIn + commandsPerSecond * costs.gatewayOut) / core, 'CPU for messages'],
    [(devices * fleet.online * costs.connection * 1_024) / (memory - (devices / namespaces.count) * costs.registered), 'memory of connections'],
    [2 * namespaces.count, 'two for each namespace'],
  )
  const routers = most(
    [(publishesPerSecond * costs.match + commandsPerSecond * (costs.match + costs.owe)) / core, 'CPU for matching'],
    [(devices * costs.session) / left, 'memory of sessions'],
    [2 * namespaces.count, 'two for each namespace'],
  )
  const shards = most(
    [4 * namespaces.count, 'four for each namespace'],
    [routers.count * 2, 'two for each router'],
    [devices / on.sessionsPerShard, 'sessions of a shard'],
  )
  // Journals and receipts of commands, beside the messages.
  const recordsPerSecond = publishesPerSecond + commandsPerSecond
  const stored = (devices * (fleet.publishesPerDay + fleet.commandsPerDay) * fleet.keptDays * fleet.recordBytes * copies) / 1e12
  const brokers = most(
    [copies, 'three copies'],
    [(recordsPerSecond * costs.kafka * copies) / (core * on.brokerCores), 'CPU'],
    [stored / on.disk, 'disk'],
    [(shards.count * shardedTopics * copies) / on.partitionsPerBroker, 'partitions'],
  )
  return {
    devices,
    publishesPerSecond,
    namespaces,
    gateways,
    routers,
    shards,
    brokers,
    startSeconds: ((devices / namespaces.count) * costs.registryRead) / 1e6,
  }
}

export interface Return {
  /** Seconds until all that were connected are again. */
  readonly seconds: number
  /** CONNECTs that were refused or not answered, for each that succeeded. */
  readonly attempts: number
}

/**
 * A gateway dies and its devices come back to the others, second by second: each tries at once, then after a pause that doubles up to two
 * minutes, half of it by chance. A gateway lets in what its CPU has room for, and no more than its limit.
 */
export function returnAfterLoss(fleet: Fleet, random: Random, costs: UnitCosts = unitCosts, on: Machine = machine, connectsPerSecondMax = 1_000): Return {
  const { gateways } = sizeOf(fleet, costs, on)
  const others = Math.max(1, gateways.count - 1)
  const lost = Math.round((fleet.devices * fleet.online) / gateways.count)
  const perGateway = Math.min(connectsPerSecondMax, (1e6 * (1 - on.cpu)) / costs.connect)
  const admitted = Math.max(1, Math.floor(others * perGateway))
  // Of so many devices a sample stands for all.
  const sample = Math.max(1, Math.ceil(lost / 20_000))
  const due = new Map<number, number[]>([[0, Array.from({ length: Math.ceil(lost / sample) }, () => 0)]])
  const pauseMax = 120
  let left = Math.ceil(lost / sample)
  let attempts = 0
  const total = left
  for (let second = 0; left > 0; second++) {
    const trying = due.get(second) ?? []
    due.delete(second)
    attempts += trying.length
    let room = Math.max(1, Math.floor(admitted / sample))
    for (const failures of trying) {
      if (room > 0) {
        room--
        left--
        continue
      }
      const pause = Math.min(pauseMax, 2 ** failures)
      const at = second + Math.max(1, Math.round(pause / 2 + random.next() * (pause / 2)))
      const then = due.get(at)
      if (then) then.push(failures + 1)
      else due.set(at, [failures + 1])
    }
    if (left === 0) return { seconds: second + 1, attempts: attempts / total }
  }
  return { seconds: 0, attempts: 1 }
}

/** Costs as a run of the bench has found them, where it has; else those above. */
export function costsOf({ rows, idle }: Pick<Results, 'rows' | 'idle'>): UnitCosts {
  const cpu = (scenario: string, process: string): number | undefined =>
    rows.find((row) => row.scenario === scenario && row.broker === 'loggerhead')?.cpu[process]
  const own = idle.find(({ broker }) => broker === 'loggerhead')
  // A message in and out, none sharing a read with another.
  const gateway = cpu('pairs-1', 'gateway')
  const match = cpu('telemetry', 'router') ?? unitCosts.match
  const command = cpu('commands', 'router')
  const tls = own?.tlsConnectsPerSecond
  return {
    ...unitCosts,
    match,
    gatewayIn: gateway === undefined ? unitCosts.gatewayIn : gateway / 2,
    gatewayOut: gateway === undefined ? unitCosts.gatewayOut : gateway / 2,
    owe: command === undefined ? unitCosts.owe : Math.max(0, command - match),
    kafka: cpu('pairs-1', 'kafka') ?? unitCosts.kafka,
    connect: tls ? 1e6 / tls : unitCosts.connect,
    // A run weighs them on memory that closed connections have left: it can only say too little.
    connection: Math.max(own?.tlsMemoryPerConnection ?? 0, unitCosts.connection),
  }
}
