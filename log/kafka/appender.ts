/** Writes records with own producer id and sequences: what was queued while a request was away is the next batch. */
import { type Append, AppendError, type Appended, type Appender, type AppenderOptions, FencedError, type LogRecord } from '../log.ts'
import { PauseWatch } from '../pause.ts'
import { written } from '../written.ts'
import { Backoff } from './backoff.ts'
import type { Cluster, Logger } from './cluster.ts'
import { KafkaError } from './kafkajs.ts'
import { type Link, LinkError } from './link.ts'
import type { LogMetrics } from './metrics.ts'
import { judgeProduced, ProduceVerdict, refusalOf, sequenceAfter } from './produce-outcome.ts'
import { isFencedAnswer, type ProducerIdentity, type ProducerIds } from './producer-id.ts'
import { BatchWriter, batchOverhead, headersSize, readBatches } from './record-batch.ts'
import { type ProducedPartition, produceApi, produceFrame, readProduceResponse } from './requests.ts'
import { SlabPool } from './slab-pool.ts'

/** A batch is read whole when one of its records is: small ones keep reads at a position cheap. */
const batchBytesMax = 256 * 1024
const requestBytesMax = 4 * 1024 * 1024
/** How long Kafka may answer that a topic does not exist before its records are refused. */
const topicMissingMsMax = 10_000

/** Records that travel together, from the first append to the answer. */
class Batch {
  readonly writer: BatchWriter
  readonly queuedAt: number
  readonly callbacks: Appended[] = []
  recordBytes = 0
  /** The wire bytes, once it was sent for the first time. They never change then. */
  sealed: Buffer | null = null
  sequence = 0
  sent = false
  /** Some attempt has no conclusive answer. */
  uncertain = false
  /** The process was paused after the last attempt: there will be no other. */
  isPast = false
  settled: (() => void)[] | null = null

  constructor(slab: Buffer, queuedAt: number) {
    this.writer = new BatchWriter(slab)
    this.queuedAt = queuedAt
  }
}

/** One partition's queue. Its first batch is the one on the way; its last one takes new records. */
class Lane {
  readonly topic: string
  readonly partition: number
  readonly queue: Batch[] = []
  producer: ProducerIdentity
  sequence = 0
  inFlight = false
  /** Waits for metadata, or for a new producer id. */
  parked = false
  renewing = false
  node = -1
  missingSince = 0

  constructor(topic: string, partition: number, producer: ProducerIdentity) {
    this.topic = topic
    this.partition = partition
    this.producer = producer
  }
}

/** The one request a broker may owe us an answer to. */
class Sender {
  readonly node: number
  readonly ready = new Set<Lane>()
  link: Link | null = null
  busy = false
  scheduled = false
  /** No request leaves before, on the process's clock. */
  restUntil = 0

  constructor(node: number) {
    this.node = node
  }
}

/** A request of fewer records does not make the next one wait: one client that waits for each answer is not held up. */
const pacedRecordsMin = 8

/** How often a pause of the process is looked for while nothing is sent, ms. */
const pauseLookMs = 250

export interface KafkaAppenderOptions extends AppenderOptions {
  readonly cluster: Cluster
  readonly producerIds: ProducerIds
  readonly producer: ProducerIdentity
  readonly purpose: string
  readonly logger: Logger
  readonly metrics: LogMetrics | null
  readonly onClosed: () => void
}

export class KafkaAppender implements Appender {
  readonly #options: KafkaAppenderOptions
  readonly #lanes = new Map<string, (Lane | undefined)[]>()
  readonly #all: Lane[] = []
  readonly #senders = new Map<number, Sender>()
  readonly #slabs = new SlabPool()
  readonly #troubled = new Set<Lane>()
  readonly #backoff = new Backoff()
  #recovering = false
  #producer: ProducerIdentity
  #pendingBytes = 0
  /** Set once: nothing can be appended any more. */
  #ended: AppendError | null = null

  readonly #pauses: PauseWatch | null
  readonly #pauseTimer: NodeJS.Timeout | undefined

  constructor(options: KafkaAppenderOptions) {
    this.#options = options
    this.#producer = options.producer
    this.#pauses = options.pauseMsMax === undefined ? null : new PauseWatch(options.pauseMsMax, Date.now())
    if (this.#pauses) this.#pauseTimer = setInterval(() => this.#lookForPause(), pauseLookMs).unref()
  }

  get pendingBytes(): number {
    return this.#pendingBytes
  }

  get stalledMs(): number {
    if (this.#pendingBytes === 0) return 0
    let oldest = Number.POSITIVE_INFINITY
    for (const lane of this.#all) {
      const first = lane.queue[0]
      if (first && first.queuedAt < oldest) oldest = first.queuedAt
    }
    return oldest === Number.POSITIVE_INFINITY ? 0 : Math.max(0, Date.now() - oldest)
  }

  append(record: Append, done: Appended): void {
    if (this.#ended) {
      const error = this.#ended
      process.nextTick(() => done(error, -1))
      return
    }
    const lane = this.#lanes.get(record.topic)?.[record.partition] ?? this.#newLane(record.topic, record.partition)
    const bytes = this.#batchFor(lane, record)
    bytes.callbacks.push(done)
    const size = bytes.writer.add(record.key, record.value, record.timestamp, record.headers)
    bytes.recordBytes += size
    this.#pendingBytes += size
    if (!lane.inFlight && !lane.parked) this.#offer(lane)
  }

  write(record: Append): Promise<number> {
    return written((done) => this.append(record, done))
  }

  async fence(topic: string, partitions: readonly number[]): Promise<void> {
    const { transactionalId, producerIds } = this.#options
    if (transactionalId === undefined) throw new TypeError('an appender without a transactional id has nobody to fence')
    if (this.#ended) throw this.#ended
    try {
      await producerIds.mark(transactionalId, this.#producer, topic, partitions)
    } catch (error) {
      const { code = -1, message } = error as Error & { readonly code?: number }
      if (!isFencedAnswer(error)) throw new AppendError(`${topic} cannot be fenced: ${message}`, 'refused', { cause: error, refusal: refusalOf(code) })
      const fenced = new FencedError(`another appender has taken the transactional id ${transactionalId}`, { cause: error })
      this.#end(fenced)
      throw fenced
    }
  }

  async flush(): Promise<void> {
    const waits: Promise<void>[] = []
    for (const lane of this.#all) {
      // Each of them: after a pause the last is told before the first.
      for (const batch of lane.queue) {
        batch.settled ??= []
        const { settled } = batch
        waits.push(new Promise((resolve) => settled.push(resolve)))
      }
    }
    await Promise.all(waits)
  }

  async close(): Promise<void> {
    clearInterval(this.#pauseTimer)
    this.#end(new AppendError('the appender was closed here', 'unknown'))
    for (const sender of this.#senders.values()) this.#options.cluster.drop(sender.node, this.#options.purpose)
    this.#options.onClosed()
  }

  #newLane(topic: string, partition: number): Lane {
    const lane = new Lane(topic, partition, this.#producer)
    let lanes = this.#lanes.get(topic)
    if (!lanes) {
      lanes = []
      this.#lanes.set(topic, lanes)
      this.#options.cluster.watch(topic)
    }
    lanes[partition] = lane
    this.#all.push(lane)
    lane.node = this.#options.cluster.leaderOf(topic, partition)
    if (lane.node < 0) this.#park(lane)
    return lane
  }

  #batchFor(lane: Lane, record: Append): Batch {
    const last = lane.queue.at(-1)
    const estimate = (record.key?.length ?? 0) + (record.value?.length ?? 0) + (record.headers === undefined ? 0 : headersSize(record.headers)) + 32
    if (last && last.sealed === null && last.writer.length + estimate <= batchBytesMax) return last
    const batch = new Batch(this.#slabs.take(), Date.now())
    lane.queue.push(batch)
    return batch
  }

  /** The lane's first batch can be sent as soon as its broker owes us nothing. */
  #offer(lane: Lane): void {
    let sender = this.#senders.get(lane.node)
    if (!sender) {
      sender = new Sender(lane.node)
      this.#senders.set(lane.node, sender)
    }
    sender.ready.add(lane)
    this.#schedule(sender)
  }

  #schedule(sender: Sender): void {
    if (sender.busy || sender.scheduled) return
    sender.scheduled = true
    const send = (): void => {
      sender.scheduled = false
      if (!sender.busy && sender.ready.size > 0 && !this.#ended) this.#send(sender)
    }
    const restMs = sender.restUntil - performance.now()
    if (restMs >= 1) setTimeout(send, restMs)
    // After this turn of the event loop: all that was read from all sockets in it shares the request.
    else setImmediate(send)
  }

  /** Before anything is sent: after a pause the answer to what was sent before it may be the first that is read. */
  #lookForPause(): void {
    const pausedMs = this.#pauses?.look(Date.now()) ?? 0
    if (pausedMs === 0 || this.#ended) return
    const error = new AppendError(`the process was paused for ${Math.round(pausedMs)} ms: what had not been sent by then is not written any more`, 'refused')
    for (const lane of this.#all) {
      const unsent = lane.queue.findIndex((batch) => !batch.sent)
      if (unsent >= 0) for (const batch of lane.queue.splice(unsent)) this.#tell(lane, batch, error, -1)
      const first = lane.queue[0]
      // Else it was queued by who has just been told: after the pause.
      if (!first?.sent) continue
      first.isPast = true
      if (!lane.inFlight) this.#dismiss(lane)
    }
    // A request that has left this process by half must not be completed now.
    for (const { link } of this.#senders.values()) link?.closeUnlessSent()
  }

  /** The lane's first batch was sent before a pause, and no answer to it is to be expected any more: it is not sent again. */
  #dismiss(lane: Lane): void {
    const batch = lane.queue[0] as Batch
    this.#troubled.delete(lane)
    for (const sender of this.#senders.values()) sender.ready.delete(lane)
    const outcome = batch.uncertain ? 'unknown' : 'refused'
    this.#options.logger.warn({ topic: lane.topic, partition: lane.partition, outcome }, 'records that were sent before a pause are not sent again')
    this.#settle(lane, new AppendError('the process was paused before the log had taken the records', outcome), -1)
    // Their sequence may be used, or not.
    if (batch.uncertain) this.#renew(lane)
    else if (!lane.renewing) this.#readmit(lane)
  }

  #readmit(lane: Lane): void {
    lane.node = this.#options.cluster.leaderOf(lane.topic, lane.partition)
    lane.parked = false
    if (lane.node < 0) this.#park(lane)
    else this.#next(lane)
  }

  #send(sender: Sender): void {
    sender.busy = true
    if (sender.link?.usable) {
      this.#sendOn(sender, sender.link)
      return
    }
    this.#options.cluster.usableLink(sender.node, this.#options.purpose).then(
      (link) => {
        sender.link = link
        if (this.#ended) return
        this.#sendOn(sender, link)
      },
      (error: unknown) => {
        const lanes = [...sender.ready]
        sender.ready.clear()
        sender.busy = false
        this.#options.logger.debug({ broker: sender.node, error: String(error) }, 'no connection to append on')
        for (const lane of lanes) this.#park(lane)
      },
    )
  }

  #take(sender: Sender): Lane[] {
    const lanes: Lane[] = []
    let bytes = 0
    for (const lane of sender.ready) {
      const batch = lane.queue[0]
      if (!batch) {
        sender.ready.delete(lane)
        continue
      }
      if (bytes > 0 && bytes + batch.writer.length > requestBytesMax) break
      sender.ready.delete(lane)
      if (batch.sealed === null) {
        batch.sequence = lane.sequence
        batch.sealed = batch.writer.seal(lane.producer.id, lane.producer.epoch, batch.sequence)
      }
      bytes += batch.sealed.length
      lanes.push(lane)
    }
    return lanes
  }

  #sendOn(sender: Sender, link: Link): void {
    const { cluster, metrics } = this.#options
    this.#lookForPause()
    const lanes = this.#take(sender)
    if (lanes.length === 0) {
      sender.busy = false
      return
    }
    if (lanes.length > 1) lanes.sort((a, b) => (a.topic < b.topic ? -1 : a.topic > b.topic ? 1 : 0))
    const batches = lanes.map((lane) => {
      const batch = lane.queue[0] as Batch
      batch.sent = true
      lane.inFlight = true
      return { topic: lane.topic, partition: lane.partition, bytes: batch.sealed as Buffer }
    })
    const timeoutMs = cluster.requestTimeoutMs
    metrics?.produceRequests.inc()
    const sentAt = performance.now()
    let records = 0
    for (const lane of lanes) records += (lane.queue[0] as Batch).writer.count
    sender.restUntil = records >= pacedRecordsMin ? sentAt + (this.#options.paceMs ?? 0) : 0
    link.send({
      ...produceApi,
      timeoutMs,
      // The broker gives up on its followers a little earlier than we on the broker, so that its answer still counts.
      frame: (correlationId, clientId) => produceFrame(correlationId, clientId, batches, Math.max(1000, timeoutMs - 1000)),
      onAnswer: (payload) => {
        metrics?.produceSeconds.observe((performance.now() - sentAt) / 1000)
        this.#lookForPause()
        const answer = readProduceResponse(payload)
        link.throttle(answer.throttleMs)
        this.#answered(lanes, answer.partitions)
        this.#release(sender)
      },
      onError: (error) => {
        this.#lookForPause()
        for (const lane of lanes) {
          lane.inFlight = false
          if (this.#ended) continue
          const batch = lane.queue[0] as Batch
          batch.uncertain = true
          if (batch.isPast) this.#dismiss(lane)
          else this.#park(lane)
        }
        metrics?.appendRetries.inc(lanes.length)
        this.#options.logger.debug({ broker: sender.node, error: error.message }, 'append unanswered')
        this.#release(sender)
      },
    })
  }

  #release(sender: Sender): void {
    sender.busy = false
    if (sender.ready.size > 0) this.#schedule(sender)
  }

  #answered(lanes: readonly Lane[], partitions: readonly ProducedPartition[]): void {
    // What is stored is told first: a refusal for another partition may end everything.
    const refused: Lane[] = []
    for (const lane of lanes) {
      if (this.#ended) return
      const produced = find(partitions, lane)
      if (produced?.errorCode !== 0) refused.push(lane)
      else {
        lane.inFlight = false
        this.#judge(lane, 0, produced.baseOffset)
      }
    }
    for (const lane of refused) {
      if (this.#ended) return
      const produced = find(partitions, lane)
      lane.inFlight = false
      this.#judge(lane, produced?.errorCode ?? -1, produced?.baseOffset ?? -1)
    }
  }

  #judge(lane: Lane, errorCode: number, baseOffset: number): void {
    const batch = lane.queue[0] as Batch
    const fencing = this.#options.transactionalId !== undefined
    const { uncertain, isPast } = batch
    const verdict = judgeProduced(errorCode, { uncertain, isPast, records: batch.writer.count, baseOffset, fencing })
    if (verdict === ProduceVerdict.stored) {
      lane.sequence = sequenceAfter(batch.sequence, batch.writer.count)
      lane.missingSince = 0
      this.#backoff.reset()
      this.#settle(lane, null, baseOffset)
      this.#next(lane)
      return
    }
    const refusal = new KafkaError(`to append to ${lane.topic}[${lane.partition}]`, errorCode)
    this.#options.metrics?.appendErrors.inc({ error: refusal.type })
    switch (verdict) {
      case ProduceVerdict.fenced:
        this.#end(new FencedError(`another appender has taken the transactional id ${this.#options.transactionalId}`, { cause: refusal }))
        return
      case ProduceVerdict.retry:
        if (errorCode === 3 && this.#isMissing(lane) && !batch.uncertain) this.#refuse(lane, refusal)
        else this.#park(lane)
        return
      case ProduceVerdict.retryUncertain:
        batch.uncertain = true
        this.#options.metrics?.appendRetries.inc()
        this.#park(lane)
        return
      case ProduceVerdict.refused:
        this.#refuse(lane, refusal)
        return
      case ProduceVerdict.split:
        this.#split(lane)
        this.#next(lane)
        return
      case ProduceVerdict.renew:
        this.#options.logger.error({ topic: lane.topic, partition: lane.partition, error: refusal.message }, 'Kafka lost this producer; a new producer id')
        batch.sealed = null
        this.#renew(lane, refusal)
        return
      case ProduceVerdict.abandon:
        this.#options.logger.error({ topic: lane.topic, partition: lane.partition, error: refusal.message }, 'records of unknown outcome given up')
        this.#settle(lane, new AppendError(`whether the records are in the log cannot be told: ${refusal.message}`, 'unknown', { cause: refusal }), -1)
        this.#renew(lane, refusal)
    }
  }

  #refuse(lane: Lane, refusal: KafkaError): void {
    // Its sequence was not used and is the next batch's.
    this.#settle(lane, new AppendError(refusal.message, 'refused', { cause: refusal, refusal: refusalOf(refusal.code) }), -1)
    this.#next(lane)
  }

  #next(lane: Lane): void {
    if (lane.queue.length > 0 && !lane.parked && !lane.inFlight) this.#offer(lane)
  }

  /** The lane's first batch is answered for good. */
  #settle(lane: Lane, error: AppendError | null, baseOffset: number): void {
    this.#tell(lane, lane.queue.shift() as Batch, error, baseOffset)
  }

  #tell(lane: Lane, batch: Batch, error: AppendError | null, baseOffset: number): void {
    this.#pendingBytes -= batch.recordBytes
    const { callbacks, writer } = batch
    const { metrics } = this.#options
    if (metrics && error === null) {
      metrics.appendedRecords.inc({ topic: lane.topic }, callbacks.length)
      metrics.appendedBytes.inc({ topic: lane.topic }, batch.recordBytes)
      metrics.appendSeconds.observe((Date.now() - batch.queuedAt) / 1000)
      metrics.batchRecords.observe(callbacks.length)
      metrics.batchBytes.observe(batch.recordBytes)
    }
    // A slab whose attempt is unanswered may still be referenced by a dying socket.
    if (!batch.uncertain) this.#slabs.give(writer.buffer)
    for (let i = 0; i < callbacks.length; i++) {
      try {
        ;(callbacks[i] as Appended)(error, error === null ? baseOffset + i : -1)
      } catch (thrown) {
        // A broken callback must not keep the answers from the others, nor be swallowed.
        queueMicrotask(() => {
          throw thrown
        })
      }
    }
    for (const settled of batch.settled ?? []) settled()
  }

  /** Replaces the first batch by two halves of it. */
  #split(lane: Lane): void {
    const batch = lane.queue.shift() as Batch
    const records: LogRecord[] = []
    readBatches(batch.sealed as Buffer, lane.topic, lane.partition, 0, records)
    const half = Math.ceil(records.length / 2)
    const halves = [new Batch(this.#slabs.take(), batch.queuedAt), new Batch(this.#slabs.take(), batch.queuedAt)] as const
    for (const [i, record] of records.entries()) {
      const target = halves[i < half ? 0 : 1]
      target.recordBytes += target.writer.add(record.key, record.value, record.timestamp, record.headers)
      target.callbacks.push(batch.callbacks[i] as Appended)
    }
    halves[1].settled = batch.settled
    this.#pendingBytes += halves[0].recordBytes + halves[1].recordBytes - batch.recordBytes
    // Nothing may be added to the first half: it has its place before the second.
    lane.queue.unshift(...halves)
    this.#slabs.give(batch.writer.buffer)
  }

  #renew(lane: Lane, cause?: KafkaError): void {
    if (this.#options.transactionalId !== undefined) {
      // Taking a new epoch here could fence a rightful successor: only who owns the shard may do that, by a new appender.
      this.#end(new AppendError(`the producer state of ${this.#options.transactionalId} is lost: ${cause?.message}`, 'unknown', { cause }))
      return
    }
    lane.parked = true
    lane.renewing = true
    this.#options.producerIds.take(undefined).then(
      (producer) => {
        if (this.#ended) return
        lane.producer = producer
        lane.sequence = 0
        this.#producer = producer
        lane.renewing = false
        this.#readmit(lane)
      },
      (error: unknown) => this.#end(new AppendError('no new producer id', 'unknown', { cause: error })),
    )
  }

  #isMissing(lane: Lane): boolean {
    lane.missingSince ||= Date.now()
    return Date.now() - lane.missingSince > topicMissingMsMax
  }

  /** Sets the lane aside until metadata says who leads it. */
  #park(lane: Lane): void {
    lane.parked = true
    this.#troubled.add(lane)
    if (!this.#recovering) {
      this.#recovering = true
      void this.#recover()
    }
  }

  async #recover(): Promise<void> {
    const { cluster } = this.#options
    let isFirst = true
    while (this.#troubled.size > 0 && !this.#ended && !cluster.closed) {
      // A lane that is new waits for nothing; one that failed waits a little.
      const anySent = [...this.#troubled].some((lane) => lane.queue[0]?.sent)
      if (!isFirst || anySent) await cluster.pause(this.#backoff.next())
      isFirst = false
      try {
        await cluster.refresh()
      } catch (error) {
        if (!(error instanceof LinkError)) this.#options.logger.warn({ error: String(error) }, 'no metadata')
        continue
      }
      for (const lane of [...this.#troubled]) this.#unpark(lane)
    }
    this.#recovering = false
  }

  #unpark(lane: Lane): void {
    if (this.#ended) return
    const { cluster } = this.#options
    const topic = cluster.topic(lane.topic)
    lane.node = cluster.leaderOf(lane.topic, lane.partition)
    if (lane.node >= 0) {
      lane.parked = false
      this.#troubled.delete(lane)
      this.#next(lane)
      return
    }
    const first = lane.queue[0]
    if (!topic || !first || first.uncertain) return
    if (topic.exists && lane.partition >= topic.partitions)
      this.#refuseAll(lane, `${lane.topic} has ${topic.partitions} partitions: there is no ${lane.partition}`, 3)
    else if (topic.errorCode === 29) this.#refuseAll(lane, new KafkaError(`to append to ${lane.topic}`, 29).message, 29)
    else if (topic.errorCode === 3 && this.#isMissing(lane)) this.#refuseAll(lane, `the topic ${lane.topic} does not exist`, 3)
  }

  #refuseAll(lane: Lane, message: string, errorCode: number): void {
    this.#troubled.delete(lane)
    lane.parked = false
    const error = new AppendError(message, 'refused', { refusal: refusalOf(errorCode) })
    const count = lane.queue.length
    // Callbacks may append again: only what waits now is refused.
    for (let i = 0; i < count; i++) this.#settle(lane, error, -1)
    if (lane.queue.length > 0) this.#park(lane)
  }

  #end(error: AppendError): void {
    if (this.#ended) return
    this.#ended = error
    this.#troubled.clear()
    for (const lane of this.#all) {
      while (lane.queue.length > 0) {
        const batch = lane.queue[0] as Batch
        const isOut = batch.uncertain || lane.inFlight
        batch.uncertain = isOut
        lane.inFlight = false
        const outcome = isOut ? 'unknown' : 'refused'
        const told =
          error instanceof FencedError
            ? new FencedError(error.message, { cause: error.cause, outcome })
            : new AppendError(error.message, outcome, { cause: error.cause })
        this.#settle(lane, told, -1)
      }
    }
  }
}

function find(partitions: readonly ProducedPartition[], lane: Lane): ProducedPartition | undefined {
  return partitions.find((answer) => answer.partition === lane.partition && answer.topic === lane.topic)
}

/** Size a record of this key and value needs in a batch of its own, at most. */
export function recordSizeMax(keyBytes: number, valueBytes: number): number {
  return batchOverhead + keyBytes + valueBytes + 32
}
