import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { run } from '../test/wire/programs.ts'
import type { Broker } from './brokers/broker.ts'
import type { LoggerheadBroker } from './brokers/loggerhead.ts'
import type { LoadReport } from './load.ts'
import { median } from './median.ts'
import { useOf } from './process-times.ts'
import type { Scenario } from './scenarios.ts'

/** What one process of a broker used during a load. */
export interface Used {
  /** Microseconds of CPU for each message published. */
  readonly cpuPerMessage: number
  /** Share of one core. */
  readonly cpu: number
  /** MiB at the end. */
  readonly memory: number
}

/** One scenario on one broker in one round. */
export interface Measured {
  readonly scenario: string
  readonly broker: string
  readonly round: number
  readonly report: LoadReport
  readonly processes: Readonly<Record<string, Used>>
  /** Records that a Kafka client read meanwhile, where one did. */
  readonly consumed: number | null
}

const tenth = (value: number): number => Math.round(value * 10) / 10

/** A Kafka client beside the load. */
async function consume({ stack }: LoggerheadBroker): Promise<() => Promise<number>> {
  const args = [join(import.meta.dirname, 'log-consumer.ts'), '--brokers', stack.brokers, '--topic', `${stack.prefix}.default.messages`]
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface(child.stdout)
  await once(lines, 'line')
  return async () => {
    const counted = once(lines, 'line') as Promise<[string]>
    child.stdin.end()
    return (JSON.parse((await counted)[0]) as { records: number }).records
  }
}

export async function measure(broker: Broker, scenario: Scenario, round: number, secondsOfAll: number): Promise<Measured> {
  const seconds = scenario.seconds ?? secondsOfAll
  // MQTT 3.1.1: the version that all of them speak.
  const options = Object.entries({ version: 4, ...scenario.load, ...broker.load, seconds, port: broker.port }).flatMap(([name, value]) => [
    `--${name}`,
    String(value),
  ])
  const stopConsuming = scenario.isConsumed && 'stack' in broker ? await consume(broker as LoggerheadBroker) : null
  const pids = Object.entries(await broker.pids())
  const before = new Map(pids.map(([name, pid]) => [name, useOf(pid)]))
  const since = performance.now()
  const { code, output, errors } = await run(process.execPath, [join(import.meta.dirname, 'load.ts'), ...options], { deadlineMs: (seconds + 90) * 1_000 })
  const elapsed = (performance.now() - since) / 1_000
  const after = new Map(pids.map(([name, pid]) => [name, useOf(pid)]))
  const consumed = (await stopConsuming?.()) ?? null
  if (code !== 0) throw new Error(`${broker.name}, ${scenario.about}: the load ended with ${code}: ${errors}`)
  const report = JSON.parse(output) as LoadReport
  const messages = Math.max(1, report.options.qos > 0 ? report.publish.acknowledged : report.publish.sent)
  const processes: Record<string, Used> = {}
  for (const [name] of pids) {
    const [start, end] = [before.get(name), after.get(name)]
    if (!start || !end) continue
    const cpu = end.cpu - start.cpu
    processes[name] = { cpuPerMessage: tenth((cpu * 1_000_000) / messages), cpu: Math.round((cpu / elapsed) * 100) / 100, memory: Math.round(end.memory) }
  }
  return { scenario: scenario.name, broker: broker.name, round, report, processes, consumed }
}

/** Memory and speed of connections that do nothing. */
export interface IdleMeasured {
  readonly broker: string
  readonly connections: number
  readonly connectsPerSecond: number
  /** KiB of resident memory for each, all processes together. */
  readonly memoryPerConnection: number
  /** New TLS connections with client certificates a second; null where there is no such listener. */
  readonly tlsConnectsPerSecond: number | null
  /** KiB of resident memory for each of those; null where there are none, missing in runs that did not measure it. */
  readonly tlsMemoryPerConnection?: number | null
}

async function hold<T>(options: Readonly<Record<string, string | number>>, whileOpen: (report: { readonly perSecond: number }) => Promise<T>): Promise<T> {
  const args = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)])
  const child = spawn(process.execPath, [join(import.meta.dirname, 'idle.ts'), ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  try {
    const line = await Promise.race([
      once(createInterface(child.stdout), 'line').then(([text]) => text as string),
      ended.then(([code]) => Promise.reject(new Error(`idle.ts ended with ${code}`))),
    ])
    return await whileOpen(JSON.parse(line) as { perSecond: number })
  } finally {
    child.stdin.end()
    await ended
  }
}

const memoryOf = async (broker: Broker): Promise<number> => Object.values(await broker.pids()).reduce((sum, pid) => sum + (useOf(pid)?.memory ?? 0), 0)
/** Garbage collectors give memory back, if they do, when little was allocated for a while. */
const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20_000))

/** Opens connections, and what memory each of them takes while all are open, KiB. */
async function measureHeld(broker: Broker, options: Readonly<Record<string, string | number>>, connections: number) {
  // Once small, so that code and pools that any connection needs are not counted for these.
  await hold({ ...options, connections: Math.min(500, connections) }, async () => {})
  await settle()
  const before = await memoryOf(broker)
  return hold({ ...options, connections }, async ({ perSecond }) => {
    await settle()
    return { perSecond, memory: tenth((((await memoryOf(broker)) - before) * 1_024) / connections) }
  })
}

export async function measureIdle(broker: Broker, connections: number, tlsConnections: number): Promise<IdleMeasured> {
  const plain = await measureHeld(broker, { port: broker.port }, connections)
  const { tls } = broker
  const secure = tls && tlsConnections > 0 ? await measureHeld(broker, { ...tls, transport: 'tls' }, tlsConnections) : null
  return {
    broker: broker.name,
    connections,
    connectsPerSecond: plain.perSecond,
    memoryPerConnection: plain.memory,
    tlsConnectsPerSecond: secure?.perSecond ?? null,
    tlsMemoryPerConnection: secure?.memory ?? null,
  }
}

/** TLS handshakes with client certificates a second, nothing being said over the connections. */
export interface TlsHandshakes {
  readonly loggerhead: number
  /** What Node does when it does nothing else. */
  readonly bare: number
}

const handshakeRounds = 3

/** In turns; medians. */
export async function measureTlsHandshakes(
  tls: NonNullable<Broker['tls']>,
  server: { readonly cert: string; readonly key: string },
  connections: number,
): Promise<TlsHandshakes> {
  const args = [join(import.meta.dirname, 'bare-tls.ts'), tls.ca, server.cert, server.key]
  const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = once(child, 'exit')
  const [port] = (await once(createInterface(child.stdout), 'line')) as [string]
  const rate = (at: string | number) => hold({ ...tls, port: at, transport: 'tls', connections, 'handshake-only': 'true' }, async (report) => report.perSecond)
  const rates: TlsHandshakes[] = []
  try {
    for (let round = 0; round < handshakeRounds; round++) rates.push({ bare: await rate(port), loggerhead: await rate(tls.port) })
  } finally {
    child.stdin.end()
    await ended
  }
  return { loggerhead: median(rates.map((each) => each.loggerhead)), bare: median(rates.map((each) => each.bare)) }
}
