/**
 * The parts of kafkajs 2.2.4 this adapter stands on: one socket with TLS and SASL, and the protocol's rare requests.
 * The version is pinned exactly and the package has no `exports` map, so deep requires are as stable as its API.
 */
import { createRequire } from 'node:module'
import { connect, type Socket } from 'node:net'
import { NotAuthorized } from '../log.ts'
import { AnswerFrameError, AnswerFrames } from './answer-frames.ts'

const require = createRequire(import.meta.url)

/** How kafkajs wants its logger. */
export interface KafkajsLogger {
  namespace(name: string): KafkajsLogger
  info(message: string, extra?: object): void
  warn(message: string, extra?: object): void
  error(message: string, extra?: object): void
  debug(message: string, extra?: object): void
}

/** A raw answer: what follows the correlation id. */
export interface Answer {
  readonly payload: Buffer
}

export interface RequestQueue {
  push(request: {
    entry: { apiKey: number; apiName: string; apiVersion: number; correlationId: number; resolve: (answer: Answer) => void; reject: (error: Error) => void }
    expectResponse: boolean
    requestTimeout: number | null
    sendRequest: () => void
  }): void
  rejectAll(error: Error): void
  destroy(): void
  maybeThrottle(ms: number): void
  inflight: Map<number, unknown>
}

export interface Connection {
  readonly host: string
  readonly port: number
  readonly sasl: unknown
  socket?: Socket
  requestQueue: RequestQueue
  connectionStatus: string
  connect(): Promise<unknown>
  isConnected(): boolean
  isAuthenticated(): boolean
  authenticate(): Promise<void>
  disconnect(): Promise<unknown>
  nextCorrelationId(): number
  rejectRequests(error: Error): void
  send(request: unknown): Promise<unknown>
  setVersions(versions: unknown): void
  setSupportAuthenticationProtocol(supported: boolean): void
  getSupportAuthenticationProtocol(): boolean | null
}

export interface GroupMember {
  readonly memberId: string
  readonly clientId: string
}

interface TransactionRequest {
  readonly transactionalId: string
  readonly producerId: string
  readonly producerEpoch: number
}

/** As DescribeConfigs tells it. */
export interface TopicSetting {
  readonly configName: string
  readonly configValue: string | null
  readonly configSource?: number
}

/** Requests as kafkajs's broker makes them, on whatever connection pool it is given. */
export interface Broker {
  connect(): Promise<void>
  findGroupCoordinator(request: { groupId: string; coordinatorType: number }): Promise<{ coordinator: { nodeId: number; host: string; port: number } }>
  initProducerId(request: { transactionalId: string | null; transactionTimeout: number }): Promise<{ producerId: string; producerEpoch: number }>
  addPartitionsToTxn(request: TransactionRequest & { topics: readonly { topic: string; partitions: readonly number[] }[] }): Promise<unknown>
  endTxn(request: TransactionRequest & { transactionResult: boolean }): Promise<unknown>
  createTopics(request: {
    topics: readonly {
      topic: string
      numPartitions: number
      replicationFactor: number
      configEntries: readonly { name: string; value: string }[]
    }[]
    timeout: number
  }): Promise<unknown>
  createPartitions(request: { topicPartitions: readonly { topic: string; count: number }[]; timeout: number; validateOnly: boolean }): Promise<unknown>
  deleteTopics(request: { topics: readonly string[]; timeout: number }): Promise<unknown>
  describeConfigs(request: { resources: readonly { type: number; name: string }[] }): Promise<{
    resources: readonly { configEntries: readonly TopicSetting[] }[]
  }>
  alterConfigs(request: {
    resources: readonly { type: number; name: string; configEntries: readonly { name: string; value: string }[] }[]
    validateOnly: boolean
  }): Promise<unknown>
  offsetCommit(request: {
    groupId: string
    groupGenerationId: number
    memberId: string
    topics: readonly { topic: string; partitions: readonly { partition: number; offset: string }[] }[]
  }): Promise<unknown>
  joinGroup(request: {
    groupId: string
    sessionTimeout: number
    rebalanceTimeout: number
    memberId: string
    groupProtocols: readonly { name: string; metadata: Buffer }[]
  }): Promise<{ generationId: number; leaderId: string; memberId: string; members: readonly { memberId: string; memberMetadata: Buffer }[] }>
  syncGroup(request: {
    groupId: string
    generationId: number
    memberId: string
    groupAssignment: readonly { memberId: string; memberAssignment: Buffer }[]
  }): Promise<{ memberAssignment: Buffer }>
  heartbeat(request: { groupId: string; groupGenerationId: number; memberId: string }): Promise<unknown>
  leaveGroup(request: { groupId: string; memberId: string }): Promise<unknown>
  describeGroups(request: { groupIds: readonly string[] }): Promise<{ groups: readonly { state: string; members: readonly GroupMember[] }[] }>
}

export interface TopicMetadata {
  readonly topicErrorCode: number
  readonly topic: string
  readonly partitionMetadata: readonly {
    readonly partitionErrorCode: number
    readonly partitionId: number
    readonly leader: number
    readonly replicas: readonly number[]
  }[]
}

export interface Metadata {
  readonly brokers: readonly { readonly nodeId: number; readonly host: string; readonly port: number }[]
  readonly controllerId: number
  readonly topicMetadata: readonly TopicMetadata[]
}

interface Protocol {
  readonly request: unknown
  readonly response: { decode(payload: Buffer): Promise<unknown>; parse(data: unknown): Promise<unknown> }
}

interface ConnectionInside {
  chunks: Buffer[]
  bytesBuffered: number
  processData(data: Buffer): void
}

const ConnectionClass = require('kafkajs/src/network/connection') as (new (options: object) => Connection) & { prototype: ConnectionInside }
const BrokerClass = require('kafkajs/src/broker') as new (options: object) => Broker
const RequestQueueClass = require('kafkajs/src/network/requestQueue') as {
  prototype: { scheduleCheckPendingRequests: (this: QueueInside) => void }
}
const protocolRequests = require('kafkajs/src/protocol/requests') as {
  requests: Readonly<Record<'Metadata', { protocol(options: { version: number }): (request: object) => Protocol }>>
}
const protocolErrors = require('kafkajs/src/protocol/error') as {
  createErrorFromCode(code: number): Error & { type: string; code: number; retriable: boolean }
}
const assignerProtocol = require('kafkajs/src/consumer/assignerProtocol') as {
  MemberMetadata: {
    encode(metadata: { version: number; topics: readonly string[]; userData: Buffer }): Buffer
    decode(buffer: Buffer): { topics: readonly string[]; userData: Buffer }
  }
  MemberAssignment: {
    encode(assignment: { version: number; assignment: Readonly<Record<string, readonly number[]>>; userData: Buffer }): Buffer
    decode(buffer: Buffer): { assignment: Readonly<Record<string, readonly number[]>> } | null
  }
}
const createSocketFactory = require('kafkajs/src/network/socketFactory') as () => (options: object) => Socket

export const { MemberMetadata, MemberAssignment } = assignerProtocol

interface QueueInside {
  pending: unknown[]
  throttledUntil: number
  throttleCheckTimeoutId: NodeJS.Timeout | null
  checkPendingRequests(): void
}

// kafkajs re-arms a timer of (-1 - Date.now()) ms after every answer, for ever: 5 % of a core per idle process, and a
// TimeoutNegativeWarning on Node 24 (tulios/kafkajs#1556, #1751). Only pending requests need one.
RequestQueueClass.prototype.scheduleCheckPendingRequests = function scheduleOnlyWhenPending() {
  if (this.throttleCheckTimeoutId !== null || this.pending.length === 0) return
  const wait = this.throttledUntil - Date.now()
  this.throttleCheckTimeoutId = setTimeout(
    () => {
      this.throttleCheckTimeoutId = null
      this.checkPendingRequests()
    },
    wait > 0 ? wait : 10,
  )
}

// kafkajs keeps the nothing that is left behind an answer, and joins the next one to it by a copy of the whole.
const { processData } = ConnectionClass.prototype
ConnectionClass.prototype.processData = function keepingNothingEmpty(data) {
  processData.call(this, data)
  if (this.bytesBuffered === 0) this.chunks = []
}

const socketFactory = createSocketFactory()

interface SocketRequest {
  readonly host: string
  readonly port: number
  readonly ssl: object | null
  readonly onConnect: () => void
}

/** Memory that a connection reads into. */
const readBytes = 64 * 1024
const keepAliveMs = 60_000

/**
 * kafkajs's socket gives every read 64 KiB of its own and joins the pieces of an answer by a copy: garbage outside the heap,
 * which costs whole collections. This one reads into the same memory again and hands on whole answers as its `data`.
 */
function plainSocket({ host, port, onConnect }: SocketRequest): Socket {
  const answers = new AnswerFrames((answer) => socket.emit('data', answer))
  const onread = {
    buffer: Buffer.allocUnsafeSlow(readBytes),
    callback: (count: number, bytes: Uint8Array): boolean => {
      try {
        answers.take((bytes as Buffer).subarray(0, count))
      } catch (error) {
        if (!(error instanceof AnswerFrameError)) throw error
        socket.destroy(error)
      }
      return true
    },
  }
  const socket = connect({ host, port, onread, keepAlive: true, keepAliveInitialDelay: keepAliveMs }, onConnect)
  return socket
}

/** Opens nothing yet: `connect()` does. */
export function newConnection(options: {
  host: string
  port: number
  clientId: string
  ssl: object | boolean | null
  sasl: object | null
  logger: KafkajsLogger
  connectTimeoutMs: number
}): Connection {
  return new ConnectionClass({
    host: options.host,
    port: options.port,
    clientId: options.clientId,
    ssl: options.ssl === true ? {} : options.ssl || null,
    sasl: options.sasl,
    logger: options.logger,
    connectionTimeout: options.connectTimeoutMs,
    requestTimeout: options.connectTimeoutMs,
    // Link has one timer per request; kafkajs's own is an interval per connection.
    enforceRequestTimeout: false,
    maxInFlightRequests: null,
    // A login that ends within this is not used any more: a new link logs in anew (connections.max.reauth.ms).
    reauthenticationThreshold: 2000,
    socketFactory: (given: SocketRequest) => {
      const socket = given.ssl ? socketFactory(given) : plainSocket(given)
      socket.setNoDelay(true)
      return socket
    },
  })
}

/** kafkajs's broker on exactly one connection, where its own pool would hold two and share them. */
export function brokerOn(connection: Connection, logger: KafkajsLogger, connectTimeoutMs: number): Broker {
  const pool = {
    host: connection.host,
    port: connection.port,
    sasl: connection.sasl,
    connectionTimeout: connectTimeoutMs,
    isConnected: () => connection.isConnected(),
    isAuthenticated: () => connection.isAuthenticated(),
    setSupportAuthenticationProtocol: (supported: boolean) => connection.setSupportAuthenticationProtocol(supported),
    setVersions: (versions: unknown) => connection.setVersions(versions),
    getConnection: async () => {
      if (!connection.isConnected()) await connection.connect()
      return connection
    },
    send: (request: unknown) => connection.send(request),
    destroy: () => connection.disconnect(),
  }
  return new BrokerClass({ connectionPool: pool, logger, allowAutoTopicCreation: false, authenticationTimeout: connectTimeoutMs })
}

/** Metadata v6, with each topic's own error left in place (kafkajs's parser fails all topics for one). */
export async function fetchMetadata(connection: Connection, topics: readonly string[]): Promise<Metadata> {
  const { request, response } = protocolRequests.requests.Metadata.protocol({ version: 6 })({ topics, allowAutoTopicCreation: false })
  const answer = connection.send({ request, response: { decode: (payload: Buffer) => response.decode(payload), parse: async (data: unknown) => data } })
  return (await answer) as Metadata
}

/** An error Kafka answered, told apart by `type`. */
export class KafkaError extends Error {
  readonly type: string
  readonly code: number
  constructor(doing: string, code: number) {
    const known = protocolErrors.createErrorFromCode(code)
    super(`Kafka refused ${doing}: ${known.type} (${code}): ${known.message}`)
    this.name = 'KafkaError'
    this.type = known.type
    this.code = code
  }
}

/** Kafka's TOPIC_AUTHORIZATION_FAILED, as the port has it. */
export function notAuthorized(doing: string): NotAuthorized {
  const cause = new KafkaError(doing, 29)
  return new NotAuthorized(cause.message, { cause })
}

/** The protocol error's type of an error thrown by kafkajs, when it is one. */
export function errorType(error: unknown): string | undefined {
  return typeof error === 'object' && error !== null && 'type' in error && typeof error.type === 'string' ? error.type : undefined
}
