/**
 * What clients asked for and were sent, as Event Grid counts it (its metrics Mqtt.…). Plain numbers: a publish costs an
 * increment and a bucket, and the labels are put together when somebody scrapes.
 */
import type { Registry } from 'prom-client'
import { countedElsewhere, levelElsewhere, type Samples } from '../telemetry/counted.ts'
import {
  directions,
  levelsOfService,
  OperationError,
  OperationType,
  operationErrors,
  type ProtocolIndex,
  protocols,
  resultOf,
} from '../telemetry/dimensions.ts'
import { type EventGridMetric, mqttMetrics } from '../telemetry/eventgrid-metrics.ts'
import { LatencyHistogram } from '../telemetry/latency-histogram.ts'
import { errorOf } from './operation-error.ts'

/** Protocol, QoS and RETAIN of a message as one number. */
export const messageKind = (protocol: ProtocolIndex, qos: 0 | 1 | 2, retain: boolean): number => (protocol * 3 + qos) * 2 + (retain ? 1 : 0)

/** The labels of each message kind, at its place. */
const kinds = protocols.flatMap((protocol) => levelsOfService.flatMap((qos) => ['false', 'true'].map((retain) => ({ qos, protocol, retain }))))
const kindsOfProtocol = kinds.length / protocols.length
const errorPlaces = new Map(operationErrors.map((error, place) => [error, place]))
/** SUBSCRIBE or UNSUBSCRIBE. */
const filterOperations = [OperationType.Subscribe, OperationType.Unsubscribe] as const

type Numbers = Float64Array<ArrayBuffer>

function metric(eventGrid: string, registry: Registry) {
  const { name, about, labels } = mqttMetrics.find((row) => row.eventGrid === eventGrid) as EventGridMetric
  return { name, help: `Event Grid’s ${eventGrid}: ${about}`, labelNames: labels, registry }
}

const add = (numbers: Numbers, place: number): void => {
  numbers[place] = (numbers[place] as number) + 1
}

export class OperationCounts {
  readonly #published: Numbers = new Float64Array(kinds.length)
  readonly #delivered: Numbers = new Float64Array(kinds.length)
  /** By message kind, then error. */
  readonly #notPublished: Numbers = new Float64Array(kinds.length * operationErrors.length)
  readonly #connected: Numbers = new Float64Array(protocols.length)
  readonly #notConnected: Numbers = new Float64Array(protocols.length * operationErrors.length)
  /** Filters, by protocol and operation. */
  readonly #filters: Numbers = new Float64Array(protocols.length * filterOperations.length)
  readonly #notFilters: Numbers = new Float64Array(protocols.length * filterOperations.length * operationErrors.length)
  /** Connections that are open now. */
  readonly #open: Numbers = new Float64Array(protocols.length)
  readonly #publishLatency: LatencyHistogram
  readonly #connectLatency: LatencyHistogram
  readonly #now: () => number

  constructor(registry: Registry, bytes: () => { readonly bytesIn: number; readonly bytesOut: number }, now: () => number) {
    this.#now = now
    const { labelNames: _ofPublish, ...publishLatency } = metric('Mqtt.SuccessfulPublishLatencyInMilliseconds', registry)
    this.#publishLatency = new LatencyHistogram({ ...publishLatency, labelSets: kinds })
    const { labelNames: _ofConnect, ...connectLatency } = metric('Mqtt.SuccessfulConnectLatencyInMilliseconds', registry)
    this.#connectLatency = new LatencyHistogram({ ...connectLatency, labelSets: protocols.map((protocol) => ({ protocol })) })
    countedElsewhere(metric('Mqtt.RequestCount', registry), () => this.#requests())
    countedElsewhere(metric('Mqtt.Throughput', registry), () => {
      const { bytesIn, bytesOut } = bytes()
      return [bytesIn, bytesOut].map((value, i) => [{ direction: directions[i] as string }, value] as const)
    })
    countedElsewhere(metric('Mqtt.SuccessfulPublishedMessages', registry), () =>
      kinds.map((labels, place) => [labels, this.#published[place] as number] as const),
    )
    countedElsewhere(metric('Mqtt.FailedPublishedMessages', registry), () => withErrors(kinds, this.#notPublished))
    countedElsewhere(metric('Mqtt.SuccessfulDeliveredMessages', registry), () =>
      kinds.map((labels, place) => [labels, this.#delivered[place] as number] as const),
    )
    countedElsewhere(metric('Mqtt.SuccessfulSubscriptionOperations', registry), () =>
      filterLabels.map((labels, place) => [labels, this.#filters[place] as number] as const),
    )
    countedElsewhere(metric('Mqtt.FailedSubscriptionOperations', registry), () => withErrors(filterLabels, this.#notFilters))
    levelElsewhere(metric('Mqtt.Connections', registry), () => protocols.map((protocol, place) => [{ protocol }, this.#open[place] as number] as const))
  }

  /** Publishes that were taken, all kinds together. */
  get publishes(): number {
    return sum(this.#published)
  }

  /** A publish at QoS 0 was taken. */
  took(kind: number): void {
    add(this.#published, kind)
  }

  /** A publish at QoS 1 or 2 is in the log. */
  stored(kind: number, receivedAt: number): void {
    add(this.#published, kind)
    this.#publishLatency.observeMs(kind, this.#now() - receivedAt)
  }

  notPublished(kind: number, error: OperationError): void {
    add(this.#notPublished, kind * operationErrors.length + (errorPlaces.get(error) as number))
  }

  delivered(kind: number): void {
    add(this.#delivered, kind)
  }

  connected(protocol: ProtocolIndex, ms: number): void {
    add(this.#connected, protocol)
    add(this.#open, protocol)
    this.#connectLatency.observeMs(protocol, ms)
  }

  /** A connection that was open is not any more. */
  left(protocol: ProtocolIndex): void {
    this.#open[protocol] = (this.#open[protocol] as number) - 1
  }

  notConnected(protocol: ProtocolIndex, error: OperationError): void {
    add(this.#notConnected, protocol * operationErrors.length + (errorPlaces.get(error) as number))
  }

  /** The answer to a SUBSCRIBE or UNSUBSCRIBE: a reason code of MQTT 5 for each filter; what the log refused was not done. */
  filters(protocol: ProtocolIndex, operation: (typeof filterOperations)[number], reasonCodes: readonly number[], isInLog: boolean): void {
    const place = protocol * filterOperations.length + filterOperations.indexOf(operation)
    for (const code of reasonCodes) {
      const error = code >= 0x80 ? errorOf(code) : isInLog ? null : OperationError.ServiceError
      if (error === null) add(this.#filters, place)
      else add(this.#notFilters, place * operationErrors.length + (errorPlaces.get(error) as number))
    }
  }

  *#requests(): Samples {
    const successes = (operation_type: OperationType, ofProtocol: (protocol: number) => number): Samples =>
      protocols.map((protocol, i) => [{ operation_type, protocol, result: 'Success' }, ofProtocol(i)] as const)
    const ofKinds = (numbers: Numbers) => (protocol: number) => sum(numbers.subarray(protocol * kindsOfProtocol, (protocol + 1) * kindsOfProtocol))
    yield* successes(OperationType.Connect, (protocol) => this.#connected[protocol] as number)
    yield* successes(OperationType.Publish, ofKinds(this.#published))
    yield* successes(OperationType.Deliver, ofKinds(this.#delivered))
    for (const [i, operation] of filterOperations.entries())
      yield* successes(operation, (protocol) => this.#filters[protocol * filterOperations.length + i] as number)
    const failures = new Map<string, number>()
    const fail = (operation_type: OperationType, protocol: string, error: string, value: number): void => {
      const key = `${operation_type} ${protocol} ${error}`
      failures.set(key, (failures.get(key) ?? 0) + value)
    }
    for (const [{ protocol, error }, value] of withErrors(
      protocols.map((protocol) => ({ protocol })),
      this.#notConnected,
    ))
      fail(OperationType.Connect, protocol, error, value)
    for (const [{ protocol, error }, value] of withErrors(kinds, this.#notPublished)) fail(OperationType.Publish, protocol, error, value)
    for (const [{ protocol, operation_type, error }, value] of withErrors(filterLabels, this.#notFilters)) fail(operation_type, protocol, error, value)
    for (const [key, value] of failures) {
      const [operation_type, protocol, error] = key.split(' ') as [string, string, OperationError]
      yield [{ operation_type, protocol, result: resultOf(error), error }, value]
    }
  }
}

const filterLabels = protocols.flatMap((protocol) => filterOperations.map((operation_type) => ({ protocol, operation_type })))

const sum = (numbers: Numbers): number => numbers.reduce((total, value) => total + value, 0)

/** Only what has happened: most errors never do. */
function* withErrors<L extends Readonly<Record<string, string>>>(
  labels: readonly L[],
  numbers: Numbers,
): Iterable<readonly [L & { readonly error: OperationError }, number]> {
  for (const [i, each] of labels.entries())
    for (const [j, error] of operationErrors.entries()) {
      const value = numbers[i * operationErrors.length + j] as number
      if (value > 0) yield [{ ...each, error }, value]
    }
}
