/** The broker's figures as topics below `$SYS/broker`, under the names that users of mosquitto know. Pure: who asks and publishes is figures-publisher.ts. */

/** What is counted, since the start of each gateway. */
const counters = ['packetsReceived', 'packetsSent', 'publishesReceived', 'publishesSent', 'publishesDropped', 'bytesReceived', 'bytesSent'] as const
type Counter = (typeof counters)[number]

/** Of one gateway, all its namespaces together. */
export interface GatewayFigures extends Readonly<Record<Counter, number>> {
  readonly id: string
  readonly version: string
  readonly uptimeSeconds: number
  readonly clientsConnected: number
}

const number = (value: unknown): number => (typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : 0)
const object = (value: unknown): Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null ? (value as Readonly<Record<string, unknown>>) : {}

/** The figures in a gateway's /status; null when it tells none. */
export function readFigures(id: string, status: unknown): GatewayFigures | null {
  const { figures, namespaces } = object(status)
  if (typeof figures !== 'object' || figures === null) return null
  const all = [object(figures), ...Object.values(object(namespaces)).map((each) => object(object(each).figures))]
  const sum = (name: string): number => all.reduce((total, each) => total + number(each[name]), 0)
  const { version, uptimeSeconds } = object(figures)
  return {
    id,
    version: typeof version === 'string' ? version : '',
    uptimeSeconds: number(uptimeSeconds),
    clientsConnected: sum('clientsConnected'),
    packetsReceived: sum('packetsReceived'),
    packetsSent: sum('packetsSent'),
    publishesReceived: sum('publishesReceived'),
    publishesSent: sum('publishesSent'),
    publishesDropped: sum('publishesDropped'),
    bytesReceived: sum('bytesReceived'),
    bytesSent: sum('bytesSent'),
  }
}

/** Where each counter is told. */
const topics: { readonly [C in Counter]: string } = {
  packetsReceived: 'messages/received',
  packetsSent: 'messages/sent',
  publishesReceived: 'publish/messages/received',
  publishesSent: 'publish/messages/sent',
  publishesDropped: 'publish/messages/dropped',
  bytesReceived: 'bytes/received',
  bytesSent: 'bytes/sent',
}

/** Those whose rate is told, and where: per minute, averaged over so many minutes. */
const loads: { readonly [C in Counter]?: string } = {
  packetsReceived: 'load/messages/received',
  packetsSent: 'load/messages/sent',
  publishesReceived: 'load/publish/received',
  publishesSent: 'load/publish/sent',
  bytesReceived: 'load/bytes/received',
  bytesSent: 'load/bytes/sent',
}
const periods = [1, 5, 15] as const
const loaded = Object.entries(loads) as [Counter, string][]

/** The averages of one counter, per minute: each period forgets by a factor e in its length, as a machine's load does. */
type Averages = readonly number[]

/** What is remembered from one round to the next. */
export interface Before {
  readonly gateways: ReadonlyMap<string, GatewayFigures>
  readonly averages: ReadonlyMap<Counter, Averages>
}

export const nothingBefore: Before = { gateways: new Map(), averages: new Map() }

/** Since the round before. A gateway that was not there is not known to have done anything; one that has started again begins at 0. */
function grown(counter: Counter, now: GatewayFigures, before: GatewayFigures | undefined): number {
  if (!before) return 0
  return now[counter] >= before[counter] ? now[counter] - before[counter] : now[counter]
}

/** One round: the payload of each topic, and what the next round has to know. `elapsedMs` since the round before. */
export function tellFigures(
  gateways: readonly GatewayFigures[],
  before: Before,
  elapsedMs: number,
): { readonly payloads: ReadonlyMap<string, string>; readonly next: Before } {
  const payloads = new Map<string, string>()
  const tell = (prefix: string, figures: Omit<GatewayFigures, 'id'>): void => {
    payloads.set(`${prefix}version`, `Loggerhead ${figures.version}`)
    payloads.set(`${prefix}uptime`, `${Math.floor(figures.uptimeSeconds)} seconds`)
    payloads.set(`${prefix}clients/connected`, String(figures.clientsConnected))
    for (const counter of counters) payloads.set(prefix + topics[counter], String(figures[counter]))
  }
  const sum = (name: Counter | 'clientsConnected'): number => gateways.reduce((total, each) => total + each[name], 0)
  const averages = new Map<Counter, Averages>()
  const minutes = elapsedMs / 60_000
  for (const [counter, topic] of loaded) {
    const perMinute = minutes > 0 ? gateways.reduce((total, each) => total + grown(counter, each, before.gateways.get(each.id)), 0) / minutes : 0
    const last = before.averages.get(counter) ?? periods.map(() => 0)
    const now = periods.map((period, i) => perMinute + ((last[i] ?? 0) - perMinute) * Math.exp(-minutes / period))
    averages.set(counter, now)
    for (const [i, period] of periods.entries()) payloads.set(`$SYS/broker/${topic}/${period}min`, (now[i] ?? 0).toFixed(2))
  }
  const eldest = gateways.toSorted((a, b) => b.uptimeSeconds - a.uptimeSeconds)[0]
  if (eldest) {
    const totals = Object.fromEntries(counters.map((counter) => [counter, sum(counter)])) as Record<Counter, number>
    tell('$SYS/broker/', { ...totals, version: eldest.version, uptimeSeconds: eldest.uptimeSeconds, clientsConnected: sum('clientsConnected') })
  }
  for (const figures of gateways) tell(`$SYS/broker/gateways/${figures.id}/`, figures)
  return { payloads, next: { gateways: new Map([...before.gateways, ...gateways.map((each) => [each.id, each] as const)]), averages } }
}
