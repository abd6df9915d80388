/**
 * The load generator: raw sockets, packets encoded before the run, one JSON report at the end.
 *
 *   node bench/load.ts --port 1883 --publishers 50 --subscribers 50 --qos 1 --window 20 --seconds 10
 *
 * Loopback only, and bounded: bench/load-options.ts. Exit 0: done; 1: could not run.
 */
import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { Filler } from './filler.ts'
import type { LatencySummary } from './histogram.ts'
import { type LoadOptions, parseLoadOptions } from './load-options.ts'
import { LoadPublisher, Stream } from './load-publisher.ts'
import { Run } from './load-run.ts'
import { LoadSubscriber } from './load-subscriber.ts'
import { Intake, Tracker } from './tracker.ts'

export interface LoadReport {
  readonly options: LoadOptions
  readonly publish: {
    readonly sent: number
    readonly acknowledged: number
    readonly refused: number
    /** Messages a second after the warm-up: acknowledged at QoS 1 and 2, sent at QoS 0. */
    readonly rate: number
    /** To PUBACK at QoS 1, to PUBREC at QoS 2. */
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
  /** With `--offline`: seconds from the return of the first to the last message that was owed. */
  readonly herdSeconds: number | null
  readonly connectionsLost: number
  /** Seconds from the first publish to the last delivery or acknowledgement. */
  readonly seconds: number
  /** Near 1: the generator was the limit. */
  readonly generatorCpu: number
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const perSecond = (count: number, from: number, to: number): number => (to > from ? Math.round((count / (to - from)) * 1_000) : 0)
const total = <T>(list: readonly T[], of: (each: T) => number): number => list.reduce((sum, each) => sum + of(each), 0)

/** Connections opened at a time. */
const opening = 50

async function connectAll(clients: readonly { connect(): Promise<void> }[]): Promise<void> {
  for (let i = 0; i < clients.length; i += opening) await Promise.all(clients.slice(i, i + opening).map((each) => each.connect()))
}

/** Who gets what: a tracker for each receiver of a stream, or one that the members of a shared subscription have in common. */
interface Plan {
  readonly publishers: readonly LoadPublisher[]
  readonly subscribers: readonly LoadSubscriber[]
  readonly owed: readonly { readonly tracker: Tracker; readonly stream: Stream }[]
  readonly intakes: readonly Intake[]
}

function plan(run: Run, name: string): Plan {
  const { options } = run
  const idOf = (role: string, i: number) => `${name.replaceAll('/', '-')}-${role}-${i}`
  const perPublisher = options.mode === 'each' ? Math.max(1, options.subscribers) : 1
  const streams = Array.from({ length: options.publishers * perPublisher }, (_, i) => {
    const topic = options.mode === 'each' ? `${name}/${i % perPublisher}/${Math.floor(i / perPublisher)}` : `${name}/${i}`
    return new Stream(i, topic, options.messages)
  })
  const publishers = Array.from(
    { length: options.publishers },
    (_, i) => new LoadPublisher(run, idOf('pub', i), streams.slice(i * perPublisher, (i + 1) * perPublisher)),
  )
  const common = new Map(options.mode === 'shared' ? streams.map(({ id }) => [id, new Tracker(options.messages)] as const) : [])
  const owed: { tracker: Tracker; stream: Stream }[] = [...common].map(([id, tracker]) => ({ tracker, stream: streams[id] as Stream }))
  const all: Intake[] = []
  const takes = (j: number, { id }: Stream): boolean => {
    if (options.mode === 'pairs') return id === j % Math.max(1, options.publishers)
    return options.mode === 'each' ? id % perPublisher === j : true
  }
  const filters = { all: () => `${name}/+`, shared: () => `$share/bench/${name}/+`, each: (j: number) => `${name}/${j}/+` }
  const subscribers = Array.from({ length: options.subscribers }, (_, j) => {
    const intakes = new Map<number, Intake>()
    for (const stream of streams) {
      if (!takes(j, stream)) continue
      const tracker = common.get(stream.id) ?? new Tracker(options.messages)
      if (!common.has(stream.id)) owed.push({ tracker, stream })
      const intake = new Intake(tracker)
      all.push(intake)
      intakes.set(stream.id, intake)
    }
    const filter = options.mode === 'pairs' ? `${name}/${j % Math.max(1, options.publishers)}` : filters[options.mode](j)
    return new LoadSubscriber(run, idOf('sub', j), filter, intakes)
  })
  return { publishers, subscribers, owed, intakes: all }
}

async function publishAll(run: Run, publishers: readonly LoadPublisher[], begin: number): Promise<number> {
  const { options } = run
  run.measureFrom = begin + options.seconds * 1_000 * options.warmup
  for (const each of publishers) each.begin(begin)
  const ticker = options.rate > 0 ? setInterval(() => publishers.forEach((each) => void each.pump()), 5) : undefined
  while (!publishers.every((each) => each.isDone)) {
    const elapsed = (performance.now() - begin) / 1_000
    if (elapsed > options.seconds) run.isStopping = true
    if (elapsed > options.seconds + options.drain * 4) break
    await pause(5)
  }
  clearInterval(ticker)
  run.isStopping = true
  return performance.now()
}

async function runLoad(options: LoadOptions): Promise<LoadReport> {
  const name = `bench/${randomBytes(4).toString('hex')}`
  const run = new Run(options, randomBytes(4).readUInt32BE(0))
  const { publishers, subscribers, owed, intakes } = plan(run, name)
  const clients = [...subscribers, ...publishers, ...Filler.all(options, name)]
  await connectAll(clients)
  const away = subscribers.slice(0, Math.round(subscribers.length * options.offline))
  await Promise.all(away.map((each) => each.leave()))

  const cpuBefore = process.cpuUsage()
  const begin = performance.now()
  const stoppedAt = await publishAll(run, publishers, begin)
  const returnedAt = performance.now()
  if (away.length > 0) await Promise.all(away.map((each) => each.connect()))
  const missing = () => total(owed, ({ tracker, stream }) => tracker.missing(stream.owed))
  for (let last = -1, since = performance.now(); missing() > 0 && performance.now() - since < options.drain * 1_000; ) {
    if (run.delivered !== last) since = performance.now()
    last = run.delivered
    await pause(20)
  }
  const end = performance.now()
  const cpu = process.cpuUsage(cpuBefore)
  for (const each of clients) each.end()
  const lost = missing()
  const unique = total(owed, ({ tracker }) => tracker.unique)
  const publishedUntil = options.qos > 0 ? run.lastAcknowledgedAt : stoppedAt
  return {
    options,
    publish: {
      sent: run.sent,
      acknowledged: run.acknowledged,
      refused: run.refused,
      rate: perSecond(options.qos > 0 ? run.measuredAcknowledged : run.measuredSent, run.measureFrom, publishedUntil),
      puback: run.acknowledgement.summary(),
    },
    delivery: {
      expected: unique + lost,
      unique,
      lost,
      duplicates: total(owed, ({ tracker }) => tracker.duplicates),
      outOfOrder: total(intakes, (each) => each.outOfOrder),
      rate: perSecond(run.measuredDelivered, run.measureFrom, run.lastDeliveredAt),
      latency: run.delivery.summary(),
    },
    herdSeconds: away.length > 0 ? Math.round(run.lastDeliveredAt - returnedAt) / 1_000 : null,
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
