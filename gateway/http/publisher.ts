/** Publishes what comes over HTTP (HP-01 … HP-05): judged, counted and appended like a PUBLISH, answered once it is in the log. */
import { isUtf8 } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import { LRUCache } from 'lru-cache'
import { RefusedKind } from '../../audit/refusals.ts'
import type { AppendError } from '../../log/log.ts'
import type { PublishPacket } from '../../mqtt/packet.ts'
import { ReasonCode } from '../../mqtt/reason-code.ts'
import { OperationError, type ProtocolIndex, protocols } from '../../telemetry/dimensions.ts'
import type { PublishTopic } from '../message-journal.ts'
import { messageExcess } from '../message-limits.ts'
import { messageKind } from '../operation-counts.ts'
import { refuseTopic, withoutExpiryOfZero } from '../protocol.ts'
import { ClientRates } from '../rates.ts'
import { type BodyLimits, BodyRefused, readBody } from './body.ts'
import type { HttpHost } from './http-host.ts'
import { HttpProblem } from './http-problem.ts'
import type { Bearer } from './identity.ts'
import { type Headers, readPublishRequest, sizeOf } from './publish-request.ts'

/** Who asks, from where. */
export interface Asker extends Bearer {
  readonly address: string
}

/** Clients whose rates are remembered: forgotten is as if one had sent nothing for a second. */
const clientsMax = 10_000
/** Place of `http-publish`. */
const protocol = protocols.indexOf('http-publish') as ProtocolIndex
const kindOf = ({ qos, retain }: PublishPacket): number => messageKind(protocol, qos, retain)

/** The error of an answer, as Event Grid counts it. */
function errorOfStatus(status: number): OperationError {
  if (status === 403) return OperationError.AuthorizationError
  if (status === 429) return OperationError.QuotaExceeded
  return status < 500 ? OperationError.ClientError : OperationError.ServiceError
}

/** A message without a session. */
const noSession = -1

/** The rates of clients that publish and read over HTTP, each under its client id. */
export class HttpRates {
  readonly #host: HttpHost
  readonly #byClientId = new LRUCache<string, ClientRates>({ max: clientsMax })

  constructor(host: HttpHost) {
    this.#host = host
  }

  of(clientId: string): ClientRates {
    const known = this.#byClientId.get(clientId)
    if (known) return known
    const rates = new ClientRates(this.#host.rates)
    this.#byClientId.set(clientId, rates)
    return rates
  }
}

/** Throws HttpProblem while the client owes time for what it has sent. */
export function refuseAboveRate(waitMs: number): void {
  if (waitMs > 0) throw new HttpProblem(429, 'this is above the rate of the client or of the namespace', { retryAfter: Math.ceil(waitMs / 1000) })
}

export class HttpPublisher {
  readonly #host: HttpHost
  readonly #rates: HttpRates
  readonly #budget: BodyLimits['budget']
  /** Publishes between their first byte and their answer, by client id. */
  readonly #underWay = new Map<string, number>()

  constructor(host: HttpHost, rates: HttpRates, budget: BodyLimits['budget']) {
    this.#host = host
    this.#rates = rates
    this.#budget = budget
  }

  /** Resolves when the message is in the log. Rejects with HttpProblem, or BodyRefused when the client has gone. */
  async publish(asker: Asker, query: ReadonlyMap<string, string>, request: IncomingMessage): Promise<void> {
    const packet = readPublishRequest(query, request.headersDistinct as Headers)
    try {
      await this.#inTurn(asker, packet, request)
    } catch (error) {
      if (error instanceof HttpProblem) this.#host.metrics.operations.notPublished(kindOf(packet), errorOfStatus(error.status))
      throw error
    }
  }

  async #inTurn(asker: Asker, packet: PublishPacket, request: IncomingMessage): Promise<void> {
    const { clientId } = asker
    this.#check(asker, packet)
    refuseAboveRate(this.#rates.of(clientId).publishWaitMs())
    const most = this.#host.config.RECEIVE_MAXIMUM
    const underWay = this.#underWay.get(clientId) ?? 0
    if (underWay >= most) {
      this.#host.metrics.reached('RECEIVE_MAXIMUM')
      throw new HttpProblem(429, `${most} publishes of this client wait for their answers, which is the most`, { retryAfter: 1 })
    }
    this.#underWay.set(clientId, underWay + 1)
    try {
      await this.#takeBody(asker, packet, request)
    } finally {
      const left = (this.#underWay.get(clientId) ?? 1) - 1
      if (left > 0) this.#underWay.set(clientId, left)
      else this.#underWay.delete(clientId)
    }
  }

  async #takeBody(asker: Asker, header: PublishPacket, request: IncomingMessage): Promise<void> {
    const { config } = this.#host
    const bytesMax = Math.max(0, config.MAXIMUM_PACKET_SIZE - sizeOf(header))
    const limits = { bytesMax, timeoutMs: config.HTTP_BODY_TIMEOUT, budget: this.#budget }
    const body = await readBody(request, limits).catch((error: unknown) => this.#refusedBody(error))
    try {
      const packet = withoutExpiryOfZero({ ...header, payload: body.bytes }, config)
      if (config.PAYLOAD_FORMAT_VALIDATION && packet.properties?.payloadFormatIndicator === 1 && !isUtf8(packet.payload)) {
        this.#host.metrics.publishesDropped.payloadFormat++
        throw new HttpProblem(400, 'the payload is not UTF-8, although its payload format indicator says so', { field: 'mqtt-payload-format-indicator' })
      }
      // The registry may be another by now.
      const topic = this.#check(asker, packet)
      const rates = this.#rates.of(asker.clientId)
      rates.published()
      rates.received(topic.key.length + sizeOf(packet))
      await this.#append(asker, topic, packet)
    } finally {
      body.release()
    }
  }

  /** Whether the message may be published now. Throws HttpProblem. */
  #check(asker: Asker, { topic: name, qos, properties }: PublishPacket): PublishTopic {
    const host = this.#host
    const { config, metrics } = host
    const refusal = refuseTopic(name, config)
    if (refusal) {
      if (refusal.limit) metrics.reached(refusal.limit)
      throw new HttpProblem(400, refusal.ending.detail, { field: 'topic', value: name })
    }
    if (qos > config.MAXIMUM_QOS) {
      metrics.reached('MAXIMUM_QOS')
      throw new HttpProblem(400, `the QoS must be ${config.MAXIMUM_QOS} or less`, { field: 'qos', value: String(qos) })
    }
    const excess = properties && messageExcess(properties, config)
    if (excess) {
      metrics.publishesDropped.overLimit++
      metrics.reached(excess.limit)
      throw new HttpProblem(400, `the message has ${excess.detail}`)
    }
    const permission = host.access.mayPublish(asker.principal, name)
    if (permission === 'undecided') {
      metrics.reached('REGISTRY_STALE')
      throw new HttpProblem(503, 'the registry is not current', { retryAfter: 1 })
    }
    if (permission === 'denied') this.#refuse(asker, name)
    const sealing = host.sealingReadiness(asker.principal)
    if (sealing === 'wait') throw new HttpProblem(503, 'the key that its messages are sealed with is on its way into the log', { retryAfter: 1 })
    if (sealing === 'full') {
      metrics.reached('SEALING_KEYS_MAX')
      throw new HttpProblem(429, 'there are as many keys to seal messages with as there may be')
    }
    if (host.logIsFull) {
      metrics.publishesDropped.backpressure++
      metrics.reached('KAFKA_BYTES_WAITING_MAX')
      throw new HttpProblem(503, 'too much waits for the log', { retryAfter: 1 })
    }
    const key = Buffer.from(name)
    return { name, key, partition: host.partitionOf(key), allowed: true, version: host.registryVersion }
  }

  #refuse({ principal, clientId, address }: Asker, topic: string): never {
    const { authenticationName } = principal
    const why = 'no permission binding allows it'
    this.#host.metrics.publishesDropped.unauthorized++
    this.#host.audit({
      kind: RefusedKind.publish,
      authenticationName,
      clientId,
      remoteAddress: address,
      transport: 'http',
      topic,
      reasonCode: ReasonCode.NotAuthorized,
      why,
    })
    throw new HttpProblem(403, `“${authenticationName}” may not publish on this topic`, { field: 'topic', value: topic })
  }

  #append({ principal, clientId }: Asker, topic: PublishTopic, packet: PublishPacket): Promise<void> {
    const host = this.#host
    const { HTTP_PUBLISH_TIMEOUT: timeoutMs } = host.config
    const identity = { clientId, session: noSession, authenticationName: principal.authenticationName, protocolVersion: 5 } as const
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        host.metrics.reached('HTTP_PUBLISH_TIMEOUT')
        reject(new HttpProblem(504, `the log did not answer within ${timeoutMs} ms; the message may still come to be in it`))
      }, timeoutMs)
      const receivedAt = host.messages.append(identity, topic, packet, (error) => {
        clearTimeout(timer)
        if (error) reject(notInLog(error))
        else {
          host.metrics.operations.stored(kindOf(packet), receivedAt)
          resolve()
        }
      })
    })
  }

  #refusedBody(error: unknown): never {
    if (!(error instanceof BodyRefused)) throw error
    const { config, metrics } = this.#host
    switch (error.why) {
      case 'gone':
        throw error
      case 'tooLarge':
        metrics.reached('MAXIMUM_PACKET_SIZE')
        throw new HttpProblem(413, `the message is larger than ${config.MAXIMUM_PACKET_SIZE} bytes (MAXIMUM_PACKET_SIZE)`)
      case 'slow':
        metrics.reached('HTTP_BODY_TIMEOUT')
        throw new HttpProblem(408, `the body did not arrive within ${config.HTTP_BODY_TIMEOUT} ms`)
      case 'noRoom':
        metrics.reached('HTTP_BODIES_BYTES_MAX')
        throw new HttpProblem(503, 'too many bodies are held at this moment', { retryAfter: 1 })
    }
  }
}

function notInLog(error: AppendError): HttpProblem {
  if (error.outcome === 'refused') return new HttpProblem(503, 'the log did not take the message', { retryAfter: 1, cause: error })
  return new HttpProblem(500, 'whether the message is in the log is not known', { cause: error })
}
