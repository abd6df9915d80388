/**
 * One route on one shard: reads the shard's messages at its own pace, writes what it wants of them to its target, and knows how far it is.
 * Nobody waits for it, neither deliveries nor other routes.
 *
 * Exactly once into a topic of the log's own cluster: before it writes anything it has every earlier owner's writes to the target refused
 * (a fence without a record), reads what the target got since its last progress, and passes over the messages that it finds there. Into another
 * cluster at least once: what was on its way when something died is written again, under the same event id.
 */
import type { ClientAttributes } from '../../events/enrichment.ts'
import type { RecordContent } from '../../events/kafka-binding.ts'
import { AppendError, type Appender, FencedError, type Log, LogClosed, type LogRecord, NotAuthorized, OffsetOutOfRange, type Stretch } from '../../log/log.ts'
import { partitionOf } from '../../log/partitioner.ts'
import type { Loss } from '../../model/client-keys.ts'
import type { Route } from '../../model/routes.ts'
import type { Message } from '../../schemas/message.ts'
import { decodeMessage } from '../../schemas/message-record.ts'
import { RecordError } from '../../schemas/record-error.ts'
import type { RouteProgress } from '../../schemas/snapshot-records.ts'
import type { Tracing } from '../../telemetry/tracing.ts'
import { DeadEnd, type Destination, errorOf, type RouteError } from './destination.ts'
import { compileMapping, type MessageMapping } from './message-mapping.ts'
import type { RouteState, RouteStatus } from './route-status.ts'
import { traceRoute } from './route-tracing.ts'
import { SourceHeaders } from './source-header.ts'
import type { Unsealing } from './unsealing.ts'

export interface RouteCounters {
  routed(route: string, count: number): void
  failed(route: string, error: RouteError, count: number): void
  /** A sealed message that a route was to open and that nobody can read any more. */
  lost(route: string, loss: Loss): void
}

export interface RouteRunnerOptions {
  readonly route: Route
  readonly shard: number
  /** The source of events. */
  readonly namespace: string
  readonly log: Log
  /** Kafka topic of the namespace's messages. */
  readonly messages: string
  readonly destination: Destination
  /** How far an earlier runner of the same route was; undefined when there was none. */
  readonly progress: RouteProgress | undefined
  readonly limits: RouteLimits
  readonly counters: RouteCounters
  /** Writes how far the route is; rejects with AppendError. */
  writeProgress(progress: Omit<RouteProgress, 'shard' | 'term'>): Promise<unknown>
  /** The message counts already, through another record. */
  isRepeat(messageId: Buffer, offset: number): boolean
  attributesOf(message: Message): ClientAttributes
  /** For a route that opens what is sealed. */
  readonly unsealing: Unsealing
  /** Null where nothing is traced. */
  readonly tracing?: Tracing | null
  /** Another router has the shard. */
  onFenced(): void
  /** What the operator should read in the log. */
  onTrouble(error: Error): void
  readonly now: () => number
}

export interface RouteLimits {
  /** Bytes of messages that are on their way to the target. */
  readonly bytesMax: number
  /** Bytes of one read of messages. */
  readonly readBytes: number
  /** Waits before the next attempt, ms; the last one for all that follow. */
  readonly retryMs: readonly number[]
}

/** A stretch of messages until all its records are answered. */
interface Open {
  readonly next: number
  left: number
  bytes: number
  routed: number
  /** By partition of the target: the offset of the last record. */
  readonly ends: Map<number, number>
}

/** What becomes of the records of messages that the route wants. */
type Sink = { readonly appender: Appender; readonly partitions: number } | { readonly drop: RouteError }

const readBackBytes = 1024 * 1024
/** How long a route that is idle goes on with the target's end of before, ms: others may write there, and a successor reads what they wrote. */
const idleRefreshMs = 60_000
/** What closing waits for answers to what is on its way, ms. */
const closeMs = 1_000
const recordOverhead = 200
/** A position that moved over messages the route does not want is journaled this often, ms: they are only read again. */
const idleJournalMs = 10_000

export class RouteRunner {
  readonly route: Route
  readonly #options: RouteRunnerOptions
  readonly #mapping: MessageMapping
  readonly #headers: SourceHeaders
  #position: number
  #taken: number
  /** Where `messages` is known to end. */
  #known = 0
  #open: Open[] = []
  #bytes = 0
  #inFlight = 0
  #appends = 0
  /** Messages from the position on that stand in the target already. */
  #written = new Set<number>()
  /** Once the position has passed what was read back, the route's next records stand behind these ends. */
  #readBack: { readonly upTo: number; readonly ends: readonly number[] } | undefined
  #targetOffsets: number[]
  /** The topic that the offsets are of. */
  #target: string | undefined
  #journaled = ''
  #journaledAt = 0
  #journaledAppends = 0
  #refreshedAt = 0
  #appender: Appender | undefined
  #sink: Sink | undefined
  #isReading = false
  /** The next read is of one batch only: the last attempt was refused. */
  #isProbing = false
  #failure: Error | undefined
  #failures = 0
  #trouble: { readonly error: RouteError; readonly detail: string; readonly since: number } | undefined
  #routed = 0
  #failed = 0
  #unopened = 0
  #state: RouteState = 'Starting'
  #isClosed = false
  #waiting: (() => void)[] = []
  #work: Promise<void> = Promise.resolve()

  constructor(options: RouteRunnerOptions) {
    const { route, shard, namespace, messages, progress } = options
    this.#options = options
    this.route = route
    this.#mapping = compileMapping(route, namespace)
    this.#headers = new SourceHeaders(route.name, route.since, messages, shard)
    const known = progress?.since === route.since ? progress : undefined
    this.#position = this.#taken = known?.position ?? route.from[shard] ?? 0
    // What another cluster's topic of that name got is not known here.
    const isKnown = known !== undefined && options.destination.isExactlyOnce
    this.#target = isKnown ? known.target : undefined
    this.#targetOffsets = isKnown ? [...known.targetOffsets] : []
  }

  start(): void {
    this.#work = this.#run()
  }

  /** How far the route is. */
  get progress(): Omit<RouteProgress, 'shard' | 'term'> {
    const { name, since, offset } = this.route
    return {
      route: name,
      since,
      registryOffset: offset,
      position: this.#position,
      // Without a name nothing was written yet.
      target: this.#target ?? '',
      targetOffsets: [...this.#targetOffsets],
    }
  }

  status(): RouteStatus {
    const { route, shard } = { route: this.route.name, shard: this.#options.shard }
    const lag = Math.max(0, this.#known - this.#position)
    const { reachable, unreachableMs, reason } = this.#options.destination.log.health()
    // What is on its way is waited for, without an attempt that failed; a route that gives messages up has a trouble of its own.
    const away: Pick<RouteStatus, 'state' | 'error' | 'detail' | 'since'> | undefined =
      reachable || this.#trouble
        ? undefined
        : { state: 'Held', error: 'ServiceError', detail: `Kafka does not answer: ${reason}`, since: this.#options.now() - unreachableMs }
    return {
      route,
      shard,
      state: this.#state,
      position: this.#position,
      lag,
      routed: this.#routed,
      failed: this.#failed,
      unopened: this.#unopened,
      ...this.#trouble,
      ...away,
    }
  }

  /** A stretch that was just fetched for everybody; everything before `from` was offered earlier. Never throws. */
  offer(from: number, stretch: Stretch): void {
    if (stretch.nextOffset <= this.#taken) return
    if (this.#known < stretch.nextOffset) this.#known = stretch.nextOffset
    if (this.#sink && !this.#isReading && from <= this.#taken && this.#bytes <= this.#options.limits.bytesMax && !this.#isProbing && !this.#isOver()) {
      try {
        // Otherwise it is read again, and its keys are asked for.
        if (this.route.sealed === 'keep' || this.#options.unsealing.isPlain(stretch.records)) {
          this.#take(this.#sink, stretch.records, stretch.nextOffset)
          return
        }
      } catch (error) {
        // The route's own matter: whoever matches messages for everybody goes on.
        this.#failure ??= error as Error
      }
    }
    this.#changed()
  }

  /** Now and then: journals how far the route is, when that moved; the less often when nothing was written meanwhile. */
  tick(isLast = false): void {
    if (this.#isClosed) return
    const now = this.#options.now()
    if (!isLast && this.#appends === this.#journaledAppends && now - this.#journaledAt < idleJournalMs) return
    this.#refreshEnds()
    const { position, targetOffsets } = this.progress
    const journaled = `${position} ${targetOffsets}`
    if (journaled === this.#journaled) return
    this.#journaled = journaled
    this.#journaledAt = now
    // While something is on its way the position lags behind: then it is looked at again.
    if (this.#inFlight === 0) this.#journaledAppends = this.#appends
    this.#options.writeProgress(this.progress).catch((error: unknown) => {
      this.#journaled = ''
      if (error instanceof FencedError) this.#options.onFenced()
    })
  }

  /** Stops; resolves once everything on its way is answered. Its `progress` is good for the next runner then. */
  async close(): Promise<void> {
    this.#isClosed = true
    this.#changed()
    const late = setTimeout(() => this.#break(), closeMs)
    await this.#answered()
    clearTimeout(late)
    await Promise.race([this.#work, new Promise((resolve) => setTimeout(resolve, closeMs).unref())])
  }

  async #run(): Promise<void> {
    while (!this.#isClosed) {
      try {
        await this.#attempt()
      } catch (error) {
        this.#sink = undefined
        await this.#answered()
        if (this.#isClosed || error instanceof LogClosed) return
        await this.#recover(error as Error)
      }
    }
  }

  /** Routes until something fails. */
  async #attempt(): Promise<void> {
    const { destination, messages, shard } = this.#options
    const { topic, log, isExactlyOnce } = destination
    // What is appended from here on is offered: also a route that cannot begin knows how much waits for it.
    this.#known = Math.max(this.#known, (await this.#options.log.endOffsets(messages)).get(shard) ?? 0)
    const appender = await destination.appender()
    this.#appender = appender
    if (!(await log.topicExists(topic))) throw new DeadEnd('TopicNotFoundError', `the topic ${topic} does not exist`)
    const partitions = await log.partitions(topic)
    if (isExactlyOnce) await this.#takeOver(appender, partitions)
    if (this.#isClosed) return
    this.#state = 'Running'
    this.#trouble = undefined
    this.#sink = { appender, partitions }
    await this.#follow(this.#sink)
  }

  /** From here on nobody else writes for this route and shard, and what was written is known. */
  async #takeOver(appender: Appender, partitions: number): Promise<void> {
    const { topic, log } = this.#options.destination
    await appender.fence(topic, [...new Array(partitions).keys()])
    const [starts, ends] = await Promise.all([log.startOffsets(topic), log.endOffsets(topic)])
    if (this.#isClosed) return
    const endOf = (partition: number): number => ends.get(partition) ?? 0
    this.#written = new Set()
    if (this.#target === topic) {
      for (let partition = 0; partition < partitions; partition++) {
        const start = starts.get(partition) ?? 0
        const from = Math.max(start, this.#targetOffsets[partition] ?? start)
        // Beyond the end: the topic was deleted and made anew.
        await this.#readTarget(partition, from > endOf(partition) ? start : from, endOf(partition))
      }
    }
    if (this.#isClosed) return
    const targetEnds = Array.from({ length: partitions }, (_, partition) => endOf(partition))
    if (this.#written.size > 0 && this.#target === topic) {
      // Partitions that are new are read from their beginning.
      this.#targetOffsets = targetEnds.map((_, partition) => this.#targetOffsets[partition] ?? 0)
      let last = 0
      for (const offset of this.#written) if (offset > last) last = offset
      this.#readBack = { upTo: last + 1, ends: targetEnds }
      return
    }
    // Before the first record, so that whoever comes next knows where to read from.
    this.#target = topic
    this.#targetOffsets = targetEnds
    this.#readBack = undefined
    await this.#options.writeProgress(this.progress)
  }

  async #readTarget(partition: number, from: number, end: number): Promise<void> {
    const { topic, log } = this.#options.destination
    for (let at = from; at < end && !this.#isClosed; ) {
      const stretch = await log.read(topic, partition, at, readBackBytes, { passOverUnreadable: true })
      for (const { headers } of stretch.records) {
        const offset = this.#headers.offsetIn(headers)
        if (offset !== undefined && offset >= this.#position) this.#written.add(offset)
      }
      if (stretch.nextOffset === at) throw new Error(`${topic}[${partition}] has nothing at ${at}, although it reaches to ${end}`)
      at = stretch.nextOffset
    }
  }

  /** Takes messages until it fails, is closed, or the time is over. */
  async #follow(sink: Sink, isTimeOver = (): boolean => false): Promise<void> {
    const { log, messages, shard, limits } = this.#options
    const isOver = (): boolean => this.#isOver() || isTimeOver()
    for (;;) {
      await this.#until(() => isOver() || (this.#known > this.#taken && this.#bytes <= limits.bytesMax && !(this.#isProbing && this.#inFlight > 0)))
      if (this.#failure) throw this.#failure
      if (isOver()) return
      this.#isReading = true
      try {
        const stretch = await log.read(messages, shard, this.#taken, this.#isProbing ? 1 : limits.readBytes)
        if (this.route.sealed === 'open') await this.#options.unsealing.settle(stretch.records)
        if (this.#isOver()) continue
        this.#known = Math.max(stretch.nextOffset, stretch.endOffset)
        this.#take(sink, stretch.records, stretch.nextOffset)
      } catch (error) {
        if (!(error instanceof OffsetOutOfRange)) throw error
        await this.#passOverGone()
      } finally {
        this.#isReading = false
      }
    }
  }

  #isOver(): boolean {
    return this.#isClosed || this.#failure !== undefined
  }

  /** Retention was faster than the route. */
  async #passOverGone(): Promise<void> {
    const { log, messages, shard } = this.#options
    const start = (await log.startOffsets(messages)).get(shard) ?? 0
    if (start <= this.#taken) throw new Error(`${messages}[${shard}] does not hold ${this.#taken}, although it begins at ${start}`)
    const lost = start - this.#taken
    this.#count('Gone', lost)
    this.#options.onTrouble(new DeadEnd('Gone', `${lost} messages were removed by retention before the route came to them`))
    this.#open.push({ next: start, left: 0, bytes: 0, routed: 0, ends: new Map() })
    this.#taken = start
    this.#advance()
  }

  #take(sink: Sink, records: readonly LogRecord[], next: number): void {
    const open: Open = { next, left: 1, bytes: 0, routed: 0, ends: new Map() }
    this.#open.push(open)
    const wanted = new Map<string, boolean>()
    for (const { key, value, offset } of records) {
      if (!key || !value || offset < this.#taken || this.#written.delete(offset)) continue
      const topic = key.toString()
      const isWanted = wanted.get(topic) ?? this.#mapping.wantsTopic(topic)
      wanted.set(topic, isWanted)
      if (isWanted) this.#route(sink, open, offset, value)
    }
    this.#taken = Math.max(this.#taken, next)
    this.#settle(open)
  }

  #route(sink: Sink, open: Open, offset: number, value: Buffer): void {
    const { isRepeat, attributesOf, destination } = this.#options
    let message: Message
    try {
      message = decodeMessage(value)
    } catch (error) {
      if (!(error instanceof RecordError)) throw error
      return // counted where messages are matched
    }
    if (isRepeat(message.messageId, offset)) return
    if (this.route.sealed === 'open') {
      const opened = this.#options.unsealing.opened(message)
      if (typeof opened === 'string') {
        // A record without what was published would be one that somebody acts on.
        this.#unopened++
        this.#options.counters.lost(this.route.name, opened)
        return
      }
      message = opened
    }
    const { span, attributes } = traceRoute(this.#options.tracing ?? null, message, this.route.name, destination.topic)
    let record: RecordContent | undefined
    try {
      record = this.#mapping.recordOf(message, () => attributesOf(message), attributes)
    } catch (error) {
      // Of one message nothing can be made: the others do not wait for it.
      span?.end((error as Error).message)
      this.#count('Rejected', 1)
      this.#options.onTrouble(new DeadEnd('Rejected', `the message at ${offset} cannot be written as the route asks`, { cause: error }))
      return
    }
    if (!record) return
    if ('drop' in sink) {
      this.#count(sink.drop, 1)
      return
    }
    const key = this.#mapping.keyOf(message)
    const partition = partitionOf(key, sink.partitions)
    const bytes = value.length + recordOverhead
    open.left++
    open.bytes += bytes
    this.#bytes += bytes
    this.#inFlight++
    this.#appends++
    const headers = [...record.headers, ...this.#headers.of(offset)]
    sink.appender.append({ topic: destination.topic, partition, key, value: record.value, timestamp: message.receivedAt, headers }, (error, at) => {
      this.#inFlight--
      span?.end(error?.message)
      if (error) this.#refused(open, error)
      else {
        open.routed++
        this.#failures = 0
        this.#trouble = undefined
        this.#isProbing = false
        open.ends.set(partition, at)
        this.#settle(open)
      }
      if (this.#inFlight === 0) this.#changed()
    })
  }

  #refused(open: Open, error: AppendError): void {
    const { refusal } = error
    const isDeadEnd = refusal === 'topicMissing' || refusal === 'notAuthorized'
    if (error.outcome === 'refused' && refusal !== undefined && (!isDeadEnd || this.route.onDeadEnd === 'drop')) {
      // It can never be written there, whoever waits.
      this.#count(errorOf[refusal], 1)
      this.#settle(open)
      if (!isDeadEnd) {
        this.#options.onTrouble(new DeadEnd(errorOf[refusal], error.message))
        return
      }
    }
    this.#failure ??= error
    this.#changed()
  }

  #settle(open: Open): void {
    open.left--
    if (open.left === 0) this.#advance()
  }

  #advance(): void {
    while (this.#open[0]?.left === 0) {
      const done = this.#open.shift() as Open
      this.#bytes -= done.bytes
      this.#routed += done.routed
      if (done.routed > 0) this.#options.counters.routed(this.route.name, done.routed)
      this.#position = done.next
      // Until the position has passed all that was read back, some of it may stand before what is written now: the successor reads it again.
      if (this.#options.destination.isExactlyOnce && !this.#readBack) for (const [partition, offset] of done.ends) this.#targetOffsets[partition] = offset + 1
    }
    if (this.#readBack && this.#position >= this.#readBack.upTo) {
      for (const [partition, end] of this.#readBack.ends.entries()) this.#targetOffsets[partition] = Math.max(end, this.#targetOffsets[partition] ?? 0)
      this.#readBack = undefined
    }
    this.#changed()
  }

  /** What could not be carried out stands in the log still: from the position on it is all tried again, later. */
  async #recover(error: Error): Promise<void> {
    const { limits, onFenced, onTrouble, now } = this.#options
    this.#open = []
    this.#bytes = 0
    this.#taken = this.#position
    this.#failure = undefined
    if (error instanceof FencedError) {
      this.#isClosed = true
      onFenced()
      return
    }
    const refusal = error instanceof AppendError ? error.refusal : undefined
    const reason =
      error instanceof NotAuthorized ? 'AuthenticationError' : error instanceof DeadEnd ? error.reason : refusal ? errorOf[refusal] : 'ServiceError'
    // Its sequences cannot go on.
    if (error instanceof AppendError && refusal === undefined) this.#break()
    if (this.#trouble?.error !== reason) this.#trouble = { error: reason, detail: error.message, since: now() }
    onTrouble(error)
    const wait = limits.retryMs[Math.min(this.#failures, limits.retryMs.length - 1)] as number
    this.#failures++
    this.#isProbing = true
    const isDropping = this.route.onDeadEnd === 'drop' && reason !== 'ServiceError'
    this.#state = isDropping ? 'Dropping' : 'Held'
    if (isDropping) this.#isProbing = false
    let isTimeOver = false
    const timer = setTimeout(() => {
      isTimeOver = true
      this.#changed()
    }, wait)
    if (isDropping) {
      this.#sink = { drop: reason }
      // What cannot be read now can wait as well.
      await this.#follow(this.#sink, () => isTimeOver).catch(() => {})
      this.#sink = undefined
      this.#isProbing = true
    }
    await this.#until(() => this.#isClosed || isTimeOver)
    clearTimeout(timer)
  }

  #break(): void {
    if (this.#appender) this.#options.destination.breakAppender(this.#appender)
  }

  #count(error: RouteError, count: number): void {
    this.#failed += count
    this.#options.counters.failed(this.route.name, error, count)
  }

  /** A quiet route in a busy topic: its successor should not read all that others have written since. */
  #refreshEnds(): void {
    const { destination, now } = this.#options
    const isQuiet = (): boolean => this.#inFlight === 0 && this.#open.length === 0 && this.#readBack === undefined && this.#state === 'Running'
    if (!destination.isExactlyOnce || !isQuiet() || now() - this.#refreshedAt < idleRefreshMs) return
    this.#refreshedAt = now()
    const { topic, log } = destination
    const appends = this.#appends
    log.endOffsets(topic).then(
      (ends) => {
        // Whatever is written from now on stands behind these.
        if (this.#appends === appends && isQuiet() && ends.size === this.#targetOffsets.length) this.#targetOffsets = [...ends.values()]
      },
      () => {},
    )
  }

  /** Everything on its way has been answered. */
  #answered(): Promise<void> {
    return this.#until(() => this.#inFlight === 0)
  }

  async #until(isTrue: () => boolean): Promise<void> {
    while (!isTrue()) await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  #changed(): void {
    for (const wake of this.#waiting.splice(0)) wake()
  }
}
