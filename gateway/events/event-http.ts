/** POST /topics/{topic}:publish (NT-02 to NT-06): who may, what it says, and the answer once it is in the log. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type EventAccess, type EventRefusal, refuseEventCaller } from '../../access/event-access.ts'
import type { Origin } from '../../access/request-origin.ts'
import type { CloudEvent } from '../../events/cloud-event.ts'
import { eventBytesMax, PublishProblem, readPublish } from '../../events/publish-request.ts'
import { AppendError } from '../../log/log.ts'
import { failureOf } from '../../telemetry/event-failure.ts'
import { contextHeaders } from '../../telemetry/trace-context.ts'
import type { GatewayConfig } from '../config.ts'
import { type BodyLimits, BodyRefused, readBody } from '../http/body.ts'
import { HttpProblem } from '../http/http-problem.ts'
import type { GatewayMetrics } from '../metrics.ts'
import type { EventPublisher } from './event-publisher.ts'

export interface EventHttpOptions {
  readonly publisher: Pick<EventPublisher, 'publish' | 'hasTopic' | 'pendingBytes'>
  readonly config: GatewayConfig
  readonly metrics: GatewayMetrics
  readonly budget: BodyLimits['budget']
  /** Milliseconds; only differences count. */
  now(): number
  /** How callers are judged now. */
  access(): EventAccess
  /** A caller at this address was refused. */
  onRefused(refusal: EventRefusal, address: string): void
}

export interface AskedPublish {
  readonly topic: string
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly origin: Origin
}

/** How far a request came. */
interface Progress {
  /** The caller may publish. */
  isKnown: boolean
  /** One as long as nobody knows. */
  events: number
}

export class EventHttp {
  readonly #options: EventHttpOptions

  constructor(options: EventHttpOptions) {
    this.#options = options
  }

  /** Answers once all events are in the log. Rejects with HttpProblem, or BodyRefused when the client has gone. */
  async publish(asked: AskedPublish): Promise<void> {
    const { publisher, metrics, now } = this.#options
    const progress: Progress = { isKnown: false, events: 1 }
    const begun = now()
    try {
      await this.#publish(asked, progress)
      metrics.events.published(asked.topic, progress.events, now() - begun)
    } catch (error) {
      const status = error instanceof HttpProblem ? error.status : error instanceof BodyRefused ? 400 : 500
      metrics.events.failed(publisher.hasTopic(asked.topic) ? asked.topic : '', progress.events, failureOf(status, progress.isKnown))
      throw error
    }
    asked.response.writeHead(200, { 'content-type': 'application/json; charset=utf-8', 'content-length': 2 }).end('{}')
  }

  async #publish({ topic, request, origin }: AskedPublish, progress: Progress): Promise<void> {
    const { config, budget, access, onRefused } = this.#options
    const refusal = await refuseEventCaller({ authorization: request.headers.authorization, origin }, access())
    if (refusal) {
      onRefused(refusal, origin.address)
      throw new HttpProblem(refusal.status, refusal.detail)
    }
    progress.isKnown = true
    this.#check(topic)
    const limits = { bytesMax: eventBytesMax, timeoutMs: config.HTTP_BODY_TIMEOUT, budget }
    const body = await readBody(request, limits).catch((error: unknown) => this.#refusedBody(error))
    try {
      const events = read(request, body.bytes)
      progress.events = events.length
      this.#check(topic) // the registry may be another by now
      await this.#append(topic, events)
    } finally {
      body.release()
    }
  }

  #check(topic: string): void {
    const { publisher, config, metrics } = this.#options
    if (!publisher.hasTopic(topic)) throw new HttpProblem(410, `there is no topic “${topic}”`)
    if (publisher.pendingBytes <= config.KAFKA_BYTES_WAITING_MAX) return
    metrics.reached('KAFKA_BYTES_WAITING_MAX')
    throw new HttpProblem(503, 'too much waits for Kafka already', { retryAfter: 1 })
  }

  async #append(topic: string, events: readonly CloudEvent[]): Promise<void> {
    const { publisher, config, metrics } = this.#options
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        metrics.reached('HTTP_PUBLISH_TIMEOUT')
        reject(new HttpProblem(504, `Kafka has not confirmed within ${config.HTTP_PUBLISH_TIMEOUT} ms; the events may still come to be in the topic`))
      }, config.HTTP_PUBLISH_TIMEOUT)
    })
    const appended = publisher.publish(topic, events).catch((cause: unknown) => {
      if (!(cause instanceof AppendError)) throw cause
      if (cause.outcome === 'refused') throw new HttpProblem(503, 'Kafka did not take the events', { retryAfter: 1, cause })
      throw new HttpProblem(500, 'whether the events are in the topic is not known', { cause })
    })
    await Promise.race([appended, late]).finally(() => clearTimeout(timer))
  }

  #refusedBody(error: unknown): never {
    const { metrics, config } = this.#options
    if (!(error instanceof BodyRefused) || error.why === 'gone') throw error
    if (error.why === 'tooLarge') throw new HttpProblem(403, `a request has at most ${eventBytesMax} bytes`)
    if (error.why === 'slow') {
      metrics.reached('HTTP_BODY_TIMEOUT')
      throw new HttpProblem(408, `the body did not arrive within ${config.HTTP_BODY_TIMEOUT} ms`)
    }
    metrics.reached('HTTP_BODIES_BYTES_MAX')
    throw new HttpProblem(503, 'there is no room for the body now', { retryAfter: 1 })
  }
}

function read(request: IncomingMessage, body: Buffer): readonly CloudEvent[] {
  try {
    return inTrace(readPublish(request.headers, body), contextHeaders(request.headersDistinct))
  } catch (error) {
    if (!(error instanceof PublishProblem)) throw error
    throw new HttpProblem(error.status, error.message, error.field === undefined ? {} : { field: error.field })
  }
}

/** Events without a trace are in the request's: CloudEvents' extension for Distributed Tracing. */
function inTrace(events: readonly CloudEvent[], context: ReturnType<typeof contextHeaders>): readonly CloudEvent[] {
  if (context.length === 0) return events
  const attributes = Object.fromEntries(context)
  return events.map((event) => (event.attributes.traceparent === undefined ? { ...event, attributes: { ...event.attributes, ...attributes } } : event))
}
