/** Spans of messages on their way, as the services make them. Where nothing is traced there is no Tracing, and nothing of OpenTelemetry is loaded. */
import type { Logger } from 'pino'
import type { Registry } from 'prom-client'
import type { Properties, TracedRecord } from './message-traces.ts'
import type { TelemetryConfig } from './telemetry-settings.ts'

/** What stands in a span besides its name and times, by the names of OpenTelemetry's conventions for messaging. */
export type SpanAttributes = Readonly<Record<string, string | number | boolean>>

export interface OpenSpan {
  /** To be given on, in a header or an attribute `traceparent`: whatever comes of it is a child of this span. */
  readonly traceparent: string
  /** The publisher's, to be given on beside it; empty for none. */
  readonly tracestate: string
  event(name: string): void
  /** Once. `problem` says in words what went wrong. */
  end(problem?: string): void
}

/** A message that is traced on its way to clients. */
export interface TracedDelivery {
  /** A user property for the client, when the trace began here; null when the publisher gave one, which goes on as it is [MQTT-3.3.2-17]. */
  readonly traceparent: string | null
  begin(attributes: SpanAttributes): OpenSpan
}

export interface Tracing {
  /** Cheap, and the same in every process: whether a message is one of those that are traced. Asked before the others are. */
  isChosen(record: TracedRecord): boolean
  /** A PUBLISH whose traceparent is none counts, chosen or not. */
  look(properties: Properties): void
  /** From a PUBLISH to its acknowledgement. Null here and below: its publisher says that the trace is not recorded. */
  publish(record: TracedRecord, properties: Properties, attributes: SpanAttributes): OpenSpan | null
  /** From the log to the gateways and inboxes of all who receive the message. */
  match(record: TracedRecord, properties: Properties, attributes: SpanAttributes): OpenSpan | null
  delivery(record: TracedRecord, properties: Properties): TracedDelivery | null
  /** From the log into a namespace topic; its `traceparent` belongs into the event. */
  route(record: TracedRecord, properties: Properties, attributes: SpanAttributes): OpenSpan | null
  /**
   * One attempt to hand an event to a webhook; its `traceparent` belongs into the header of the request. `traceparent` is the event's.
   * One whose span is a route's, which its id tells, is traced as its message was; of others as many as the rate says.
   */
  webhook(traceparent: string | undefined, attributes: SpanAttributes): OpenSpan | null
  /** Sends what waits, within 2 s. */
  close(): Promise<void>
}

export interface TracingOptions {
  readonly config: Pick<TelemetryConfig, 'TRACE_ENDPOINT' | 'TRACES_PER_MILLION' | 'TRACE_SPANS_WAITING_MAX'>
  /** What the services share and clients do not know; empty when they share nothing. */
  readonly key: Buffer
  /** gateway, router, … and which of them. */
  readonly service: string
  readonly instance: string
  readonly registry: Registry
  readonly logger: Pick<Logger, 'warn'>
}
