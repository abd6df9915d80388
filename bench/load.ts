/**
 * The load generator: raw sockets, packets encoded before the run, one JSON report at the end.
 *
 *   node bench/load.ts --port 1883 --publishers 50 --subscribers 50 --qos 1 --window 20 --seconds 10
 *
 * Loopback only, and bounded: bench/load-options.ts. Exit 0: done; 1: could not run.
 */
import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { Histogram, type LatencySummary } from './histogram.ts'
import { LoadPublisher, LoadSubscriber, type Run } from './load-client.ts'
import { type LoadOptions, parseLoadOptions } from './load-options.ts'
import { Tracker } from './tracker.ts'

export interface LoadReport {
  readonly options: LoadOptions
  readonly publish: {
    readonly sent: number
    readonly acknowledged: number
    readonly refused: number
    /** Messages a second after the warm-up: acknowledged at QoS 1, sent at QoS 0. */
    readonly rate: number
    readonly puback: LatencySummary
  }
  readonly delivery: {
    readonly expected: number
    readonly unique: number
    readonly lost: number
    readonly duplicates: number
    readonly outOfOrder: number
    readonly rate: number
    /** From the write to the subscriber's parse, one clock. */
    readonly latency: LatencySummary
  }
  readonly connectionsLost: number
  /** Seconds from the first publish to the last delivery or acknowledgement. */
  readonly seconds: number
  /** Near 1: the generator was the limit. */
  readonly generatorCpu: number
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const perSecond = (count: number, from: number, to: number): number => (to > from ? Math.round((count / (to - from)) * 1_000) : 0)

export async function runLoad(options: LoadOptions): Promise<LoadReport> {
  const name = `bench/${randomBytes(4).toString('hex')}`
  const run: Run = {
    options,
    tag: randomBytes(4).readUInt32BE(0),
    measureFrom: Number.POSITIVE_INFINITY,
    puback: new Histogram(),
    delivery: new Histogram(),
    sent: 0,
    acknowledged: 0,
    refused: 0,
    delivered: 0,
    measuredSent: 0,
    measuredAcknowledged: 0,
    measuredDelivered: 0,
    lastAcknowledgedAt: 0,
    lastDeliveredAt: 0,
    stopping: false,
    losses: [],
  }
  const topicOf = (publisher: number) => `${name}/${publisher}`
  const publishers = Array.from({ length: options.publishers }, (_, i) => new LoadPublisher(run, `${name}-pub-${i}`.replace('/', '-'), i, topicOf(i)))
  const takes: { readonly tracker: Tracker; readonly publisher: LoadPublisher }[] = []
  const subscribers = Array.from({ length: options.subscribers }, (_, j) => {
    const sources = options.mode === 'all' ? publishers.map((_, i) => i) : [j % Math.max(1, options.publishers)]
    const trackers = new Map(sources.map((i) => [i, new Tracker(options.messages)] as const))
    for (const [i, tracker] of trackers) takes.push({ tracker, publisher: publishers[i] as LoadPublisher })
    return new LoadSubscriber(run, `${name}-sub-${j}`.replace('/', '-'), options.mode === 'all' ? `${name}/+` : topicOf(sources[0] ?? 0), trackers)
  })

  const clients = [...subscribers, ...publishers]
  for (let i = 0; i < clients.length; i += 50) await Promise.all(clients.slice(i, i + 50).map((each) => each.connect()))

  const cpuBefore = process.cpuUsage()
  const begin = performance.now()
  run.measureFrom = begin + options.seconds * 1_000 * options.warmup
  for (const each of publishers) each.begin(begin)
  const ticker = options.rate > 0 ? setInterval(() => publishers.forEach((each) => void each.pump()), 5) : undefined
  while (!publishers.every((each) => each.isDone)) {
    const elapsed = (performance.now() - begin) / 1_000
    if (elapsed > options.seconds) run.stopping = true
    if (elapsed > options.seconds + options.drain * 4) break
    await pause(5)
  }
  const stoppedAt = performance.now()
  clearInterval(ticker)
  run.stopping = true
  const missing = () => takes.reduce((sum, { tracker, publisher }) => sum + tracker.missing(publisher.owed), 0)
  for (let last = -1, since = performance.now(); missing() > 0 && performance.now() - since < options.drain * 1_000; ) {
    if (run.delivered !== last) since = performance.now()
    last = run.delivered
    await pause(20)
  }
  const end = performance.now()
  const cpu = process.cpuUsage(cpuBefore)
  for (const each of clients) each.end()
  const sum = (pick: (tracker: Tracker) => number) => takes.reduce((total, { tracker }) => total + pick(tracker), 0)
  const lost = missing()
  const publishedUntil = options.qos === 1 ? run.lastAcknowledgedAt : stoppedAt
  return {
    options,
    publish: {
      sent: run.sent,
      acknowledged: run.acknowledged,
      refused: run.refused,
      rate: perSecond(options.qos === 1 ? run.measuredAcknowledged : run.measuredSent, run.measureFrom, publishedUntil),
      puback: run.puback.summary(),
    },
    delivery: {
      expected: sum((each) => each.unique) + lost,
      unique: sum((each) => each.unique),
      lost,
      duplicates: sum((each) => each.duplicates),
      outOfOrder: sum((each) => each.outOfOrder),
      rate: perSecond(run.measuredDelivered, run.measureFrom, run.lastDeliveredAt),
      latency: run.delivery.summary(),
    },
    connectionsLost: run.losses.length,
    seconds: Math.round(Math.max(run.lastDeliveredAt, publishedUntil) - begin) / 1_000,
    generatorCpu: Math.round(((cpu.user + cpu.system) / 1_000 / (end - begin)) * 100) / 100,
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  try {
    const options = parseLoadOptions(process.argv.slice(2))
    process.stdout.write(`${JSON.stringify(await runLoad(options))}\n`)
    process.exit(0)
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n`)
    process.exit(1)
  }
}
