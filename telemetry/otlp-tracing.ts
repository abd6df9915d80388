/** Spans that go to an OpenTelemetry collector, by OTLP over HTTP. */
import { randomBytes } from 'node:crypto'
import { type Context, createTraceState, ROOT_CONTEXT, type Span, SpanKind, SpanStatusCode, TraceFlags, type Tracer, trace } from '@opentelemetry/api'
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http'
import { resourceFromAttributes } from '@opentelemetry/resources'
import { AlwaysOnSampler, BatchSpanProcessor, type IdGenerator, type ReadableSpan, type SpanExporter, TracerProvider } from '@opentelemetry/sdk-trace'
import { SettingError } from '../settings/setting.ts'
import { type MessageTrace, MessageTraces, type Properties, type TracedRecord } from './message-traces.ts'
import { contextAmong, formatTraceparent, parseTraceparent, type TraceContext } from './trace-context.ts'
import { createTraceMetrics, type TraceMetrics } from './trace-metrics.ts'
import type { OpenSpan, SpanAttributes, TracedDelivery, Tracing, TracingOptions } from './tracing.ts'

/** Spans of one request to the collector. */
const batchMax = 512
/** How long a span waits for others, at most, ms. */
const batchMs = 1000
const exportTimeoutMs = 10_000
const closeMs = 2000

/** Gives out the ids that the next span is to have; random ones where that does not matter. */
class ChosenIds implements IdGenerator {
  traceId: string | null = null
  spanId: string | null = null

  generateTraceId(): string {
    const id = this.traceId ?? randomBytes(16).toString('hex')
    this.traceId = null
    return id
  }

  generateSpanId(): string {
    const id = this.spanId ?? randomBytes(8).toString('hex')
    this.spanId = null
    return id
  }
}

/** Counts what became of spans on their way out, and lets no more wait than may. */
class CountingExporter implements SpanExporter {
  readonly #exporter: SpanExporter
  readonly #metrics: TraceMetrics
  readonly #onFailed: (error: unknown) => void
  waiting = 0

  constructor(exporter: SpanExporter, metrics: TraceMetrics, onFailed: (error: unknown) => void) {
    this.#exporter = exporter
    this.#metrics = metrics
    this.#onFailed = onFailed
  }

  export(spans: ReadableSpan[], done: Parameters<SpanExporter['export']>[1]): void {
    this.#exporter.export(spans, (result) => {
      this.waiting -= spans.length
      this.#metrics.spans.inc({ outcome: result.code === 0 ? 'exported' : 'failed' }, spans.length)
      if (result.code !== 0) this.#onFailed(result.error)
      // The batching has nothing to do about a failure: it is told here.
      done({ code: 0 })
    })
  }

  shutdown(): Promise<void> {
    return this.#exporter.shutdown()
  }
}

class BoundedProcessor extends BatchSpanProcessor {
  readonly #exporter: CountingExporter
  readonly #metrics: TraceMetrics
  readonly #waitingMax: number

  constructor(exporter: CountingExporter, metrics: TraceMetrics, waitingMax: number) {
    super({
      exporter,
      maxQueueSize: waitingMax,
      maxExportBatchSize: Math.min(batchMax, waitingMax),
      scheduledDelayMillis: batchMs,
      exportTimeoutMillis: exportTimeoutMs,
    })
    this.#exporter = exporter
    this.#metrics = metrics
    this.#waitingMax = waitingMax
  }

  override onEnd(span: ReadableSpan): void {
    if (this.#exporter.waiting >= this.#waitingMax) this.#metrics.spans.inc({ outcome: 'dropped' })
    else {
      this.#exporter.waiting++
      super.onEnd(span)
    }
  }
}

class SpanOfOurs implements OpenSpan {
  readonly traceparent: string
  readonly tracestate: string
  readonly #span: Span

  constructor(span: Span) {
    this.#span = span
    const { traceId, spanId, traceState } = span.spanContext()
    this.traceparent = formatTraceparent(traceId, spanId, true)
    this.tracestate = traceState?.serialize() ?? ''
  }

  event(name: string): void {
    this.#span.addEvent(name)
  }

  end(problem?: string): void {
    if (problem !== undefined) this.#span.setStatus({ code: SpanStatusCode.ERROR, message: problem })
    this.#span.end()
  }
}

export class OtlpTracing implements Tracing {
  readonly #traces: MessageTraces
  readonly #metrics: TraceMetrics
  readonly #ids = new ChosenIds()
  readonly #provider: TracerProvider
  readonly #tracer: Tracer
  readonly #rate: number

  constructor({ config, key, service, instance, registry, logger }: TracingOptions) {
    const url = config.TRACE_ENDPOINT
    if (!/^https?:\/\//.test(url) || !URL.canParse(url)) throw new SettingError('TRACE_ENDPOINT', `“${url}” is not an http:// or https:// URL`)
    this.#traces = new MessageTraces(key, config.TRACES_PER_MILLION)
    this.#rate = config.TRACES_PER_MILLION / 1_000_000
    this.#metrics = createTraceMetrics(registry)
    const onFailed = (error: unknown): void => logger.warn({ why: error instanceof Error ? error.message : String(error) }, 'the collector did not take spans')
    const exporter = new CountingExporter(new OTLPTraceExporter({ url, timeoutMillis: exportTimeoutMs }), this.#metrics, onFailed)
    this.#provider = new TracerProvider({
      resource: resourceFromAttributes({ 'service.namespace': 'loggerhead', 'service.name': `loggerhead-${service}`, 'service.instance.id': instance }),
      // What is sampled is decided before a span begins.
      sampler: new AlwaysOnSampler(),
      idGenerator: this.#ids,
      spanProcessors: [new BoundedProcessor(exporter, this.#metrics, config.TRACE_SPANS_WAITING_MAX)],
      spanLimits: { attributeValueLengthLimit: 1024 },
    })
    this.#tracer = this.#provider.getTracer('loggerhead')
  }

  isChosen(record: TracedRecord): boolean {
    return this.#traces.isChosen(record)
  }

  look(properties: Properties): void {
    if (contextAmong(properties) === 'malformed') this.#metrics.malformed.inc()
  }

  publish(record: TracedRecord, properties: Properties, attributes: SpanAttributes): OpenSpan | null {
    const found = this.#traces.traceOf(record, properties)
    if (!found) return null
    // With a parent nobody asks for one, and the next trace must not get it.
    this.#ids.traceId = found.parent ? null : found.traceId
    this.#ids.spanId = found.publishSpanId
    return this.#begin('publish', SpanKind.SERVER, found.parent ? parentOf(found, found.parent.spanId) : ROOT_CONTEXT, attributes)
  }

  match(record: TracedRecord, properties: Properties, attributes: SpanAttributes): OpenSpan | null {
    const found = this.#traces.traceOf(record, properties)
    if (!found) return null
    this.#ids.spanId = found.matchSpanId
    return this.#begin('match', SpanKind.CONSUMER, parentOf(found, found.publishSpanId), attributes)
  }

  delivery(record: TracedRecord, properties: Properties): TracedDelivery | null {
    const found = this.#traces.traceOf(record, properties)
    if (!found) return null
    const parent = parentOf(found, found.matchSpanId)
    return {
      traceparent: found.parent ? null : formatTraceparent(found.traceId, found.matchSpanId, true),
      begin: (attributes) => this.#begin('deliver', SpanKind.PRODUCER, parent, attributes),
    }
  }

  route(record: TracedRecord, properties: Properties, attributes: SpanAttributes): OpenSpan | null {
    const found = this.#traces.traceOf(record, properties)
    if (!found) return null
    this.#ids.spanId = this.#traces.signedSpanId(found.traceId, randomBytes(4))
    return this.#begin('route', SpanKind.PRODUCER, parentOf(found, found.matchSpanId), attributes)
  }

  webhook(traceparent: string | undefined, attributes: SpanAttributes): OpenSpan | null {
    const context = traceparent === undefined ? null : parseTraceparent(traceparent)
    if (context && !context.isSampled) return null
    if (!(context && this.#traces.isSigned(context)) && Math.random() >= this.#rate) return null
    return this.#begin('webhook', SpanKind.CLIENT, context ? remote(context) : ROOT_CONTEXT, attributes)
  }

  async close(): Promise<void> {
    let timer: NodeJS.Timeout | undefined
    const over = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, closeMs)
    })
    await Promise.race([this.#provider.shutdown().catch(() => {}), over])
    clearTimeout(timer)
  }

  #begin(name: string, kind: SpanKind, parent: Context, attributes: SpanAttributes): OpenSpan {
    return new SpanOfOurs(this.#tracer.startSpan(name, { kind, attributes }, parent))
  }
}

function remote({ traceId, spanId, state }: Pick<TraceContext, 'traceId' | 'spanId' | 'state'>): Context {
  const traceState = state === '' ? undefined : createTraceState(state)
  return trace.setSpanContext(ROOT_CONTEXT, { traceId, spanId, traceFlags: TraceFlags.SAMPLED, isRemote: true, ...(traceState && { traceState }) })
}

const parentOf = ({ traceId, parent }: MessageTrace, spanId: string): Context => remote({ traceId, spanId, state: parent?.state ?? '' })
