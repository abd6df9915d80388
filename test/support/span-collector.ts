/** An OpenTelemetry collector for tests: takes OTLP over HTTP and keeps the spans. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { until } from './stack.ts'

export interface CollectedSpan {
  readonly service: string
  readonly instance: string
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  /** Empty for a root. */
  readonly parentSpanId: string
  readonly traceState: string
  readonly attributes: Readonly<Record<string, unknown>>
  readonly events: readonly string[]
  /** Nanoseconds since the epoch. */
  readonly start: bigint
  readonly end: bigint
  readonly problem: string
}

interface Value {
  readonly stringValue?: string
  readonly intValue?: string | number
  readonly doubleValue?: number
  readonly boolValue?: boolean
}
type Attributes = readonly { readonly key: string; readonly value: Value }[]

const readAttributes = (attributes: Attributes = []): Record<string, unknown> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, value.stringValue ?? value.intValue ?? value.doubleValue ?? value.boolValue]))

interface OtlpSpan {
  readonly name: string
  readonly traceId: string
  readonly spanId: string
  readonly parentSpanId?: string
  readonly traceState?: string
  readonly attributes?: Attributes
  readonly events?: readonly { readonly name: string }[]
  readonly startTimeUnixNano: string
  readonly endTimeUnixNano: string
  readonly status?: { readonly code?: number; readonly message?: string }
}
interface OtlpRequest {
  readonly resourceSpans: readonly {
    readonly resource: { readonly attributes: Attributes }
    readonly scopeSpans: readonly { readonly spans: readonly OtlpSpan[] }[]
  }[]
}

export class SpanCollector {
  readonly spans: CollectedSpan[] = []
  readonly #server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      this.#take(JSON.parse(Buffer.concat(chunks).toString()) as OtlpRequest)
      response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
    })
  })

  static async start(): Promise<SpanCollector> {
    const collector = new SpanCollector()
    // A connection that is closed while a batch is on its way to it costs the batch.
    collector.#server.keepAliveTimeout = 0
    collector.#server.listen(0, '127.0.0.1')
    await once(collector.#server, 'listening')
    return collector
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}/v1/traces`
  }

  /** Waits until so many spans of the trace have come. */
  trace(traceId: string, count: number): Promise<readonly CollectedSpan[]> {
    const found = (): CollectedSpan[] => this.spans.filter((span) => span.traceId === traceId)
    return until(`${count} spans of ${traceId}`, 60_000, () => found().length >= count && found()).catch((error: Error) => {
      throw new Error(`${error.message}; there are ${JSON.stringify(found().map(({ name }) => name))} and of other traces ${this.spans.length}`)
    })
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  #take({ resourceSpans }: OtlpRequest): void {
    for (const { resource, scopeSpans } of resourceSpans) {
      const { 'service.name': service, 'service.instance.id': instance } = readAttributes(resource.attributes)
      for (const span of scopeSpans.flatMap(({ spans }) => spans)) {
        this.spans.push({
          service: String(service),
          instance: String(instance),
          name: span.name,
          traceId: span.traceId,
          spanId: span.spanId,
          parentSpanId: span.parentSpanId ?? '',
          traceState: span.traceState ?? '',
          attributes: readAttributes(span.attributes),
          events: (span.events ?? []).map(({ name }) => name),
          start: BigInt(span.startTimeUnixNano),
          end: BigInt(span.endTimeUnixNano),
          problem: span.status?.code === 2 ? (span.status.message ?? '') : '',
        })
      }
    }
  }
}
