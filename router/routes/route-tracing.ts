/** The trace of a message on its way into a namespace topic: the span `route`, and what the event says of it (CloudEvents' Distributed Tracing extension). */
import type { Message } from '../../schemas/message.ts'
import { contextAmong, formatTraceparent } from '../../telemetry/trace-context.ts'
import type { OpenSpan, Tracing } from '../../telemetry/tracing.ts'

/** Attributes `traceparent` and `tracestate` of an event; none when its message is in no trace. */
export type TraceAttributes = Readonly<Record<string, string>>

export interface RouteTrace {
  /** Null when the message is not traced. One that never ends is told to nobody: of a message that the route does not want. */
  readonly span: OpenSpan | null
  readonly attributes: TraceAttributes
}

const none: TraceAttributes = {}
const attributesOf = (traceparent: string, tracestate: string): TraceAttributes => (tracestate === '' ? { traceparent } : { traceparent, tracestate })

export function traceRoute(tracing: Tracing | null, message: Message, route: string, topic: string): RouteTrace {
  const isTraced = tracing?.isChosen(message) ?? false
  if (message.userProperties.length === 0 && !isTraced) return { span: null, attributes: none }
  const properties = message.userProperties.map(({ name, value }) => [name, value] as const)
  const span =
    isTraced && tracing
      ? tracing.route(message, properties, {
          'messaging.system': 'kafka',
          'messaging.operation.name': 'route',
          'messaging.destination.name': topic,
          'messaging.message.id': message.messageId.toString('hex'),
          'loggerhead.route': route,
        })
      : null
  if (span) return { span, attributes: attributesOf(span.traceparent, span.tracestate) }
  // Not traced here: what its publisher says goes on.
  const context = contextAmong(properties)
  if (typeof context === 'string') return { span: null, attributes: none }
  return { span: null, attributes: attributesOf(formatTraceparent(context.traceId, context.spanId, context.isSampled), context.state) }
}
