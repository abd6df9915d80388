/** Reads at positions, at once: fetches that wait for nothing, on connections of their own. */
import { OffsetOutOfRange, type ReadOptions, type Stretch } from '../log.ts'
import { Backoff } from './backoff.ts'
import type { Cluster } from './cluster.ts'
import { KafkaError, notAuthorized } from './kafkajs.ts'
import { type Link, LinkError } from './link.ts'
import {
  type FetchedPartition,
  type FetchPosition,
  fetchApi,
  fetchFrame,
  type ListedOffset,
  listOffsetsApi,
  listOffsetsFrame,
  readFetchResponse,
  readListOffsetsResponse,
  toStretch,
} from './requests.ts'

export interface FetchQuestion {
  readonly topic: string
  readonly positions: readonly FetchPosition[]
  readonly maxWaitMs: number
  readonly maxBytes: number
  readonly partitionMaxBytes: number
}

/** Errors that fresh metadata or a little time mend. */
const retriableErrors = new Set([
  2, // CORRUPT_MESSAGE
  3, // UNKNOWN_TOPIC_OR_PARTITION
  5, // LEADER_NOT_AVAILABLE
  6, // NOT_LEADER_OR_FOLLOWER
  7, // REQUEST_TIMED_OUT
  9, // REPLICA_NOT_AVAILABLE
  13, // NETWORK_EXCEPTION
  56, // KAFKA_STORAGE_ERROR
  74, // FENCED_LEADER_EPOCH
  75, // UNKNOWN_LEADER_EPOCH
  78, // OFFSET_NOT_AVAILABLE
  -1, // UNKNOWN_SERVER_ERROR
])

export function isRetriableRead(errorCode: number): boolean {
  return retriableErrors.has(errorCode)
}

/** How long Kafka may answer that a topic does not exist before a read gives up. */
const topicMissingMsMax = 10_000

export function fetchOn(link: Link, question: FetchQuestion, timeoutMs: number): Promise<readonly FetchedPartition[]> {
  return new Promise((resolve, reject) => {
    link.send({
      ...fetchApi,
      timeoutMs: question.maxWaitMs + timeoutMs,
      frame: (correlationId, clientId) => fetchFrame(correlationId, clientId, question),
      onAnswer: (payload) => {
        const answer = readFetchResponse(payload)
        link.throttle(answer.throttleMs)
        if (answer.errorCode !== 0) reject(new KafkaError(`to fetch ${question.topic}`, answer.errorCode))
        else resolve(answer.partitions)
      },
      onError: reject,
    })
  })
}

function listOn(link: Link, topic: string, partitions: readonly number[], timestamp: number, timeoutMs: number): Promise<ListedOffset[]> {
  return new Promise((resolve, reject) => {
    link.send({
      ...listOffsetsApi,
      timeoutMs,
      frame: (correlationId, clientId) => listOffsetsFrame(correlationId, clientId, topic, partitions, timestamp),
      onAnswer: (payload) => resolve(readListOffsetsResponse(payload)),
      onError: reject,
    })
  })
}

export class Reads {
  readonly #cluster: Cluster
  /** By topic, by partition: the connection on which its leader has told its end. */
  readonly #sure = new Map<string, (Link | undefined)[]>()

  readonly #onRead: (ms: number) => void

  constructor(cluster: Cluster, onRead: (ms: number) => void = () => {}) {
    this.#cluster = cluster
    this.#onRead = onRead
  }

  /** One fetch per broker; partitions whose leader moved are asked again until all are answered. */
  async readMany(topic: string, from: ReadonlyMap<number, number>, maxBytes: number, options: ReadOptions = {}): Promise<readonly Stretch[]> {
    const stretches: Stretch[] = []
    const askedAt = performance.now()
    await this.#byLeader(topic, [...from.keys()], async (link, asked, retry) => {
      const partitions = await this.#sureOf(link, topic, asked, retry)
      if (partitions.length === 0) return
      const positions = partitions.map((partition) => ({ partition, offset: from.get(partition) as number }))
      const question = { topic, positions, maxWaitMs: 0, maxBytes: Math.min(maxBytes * positions.length, 16 * 1024 * 1024), partitionMaxBytes: maxBytes }
      for (const fetched of await fetchOn(link, question, this.#cluster.requestTimeoutMs)) {
        const offset = from.get(fetched.partition) as number
        if (fetched.errorCode === 0) stretches.push(toStretch(topic, fetched, offset, options.passOverUnreadable))
        else if (fetched.errorCode === 1) throw new OffsetOutOfRange(topic, fetched.partition, offset)
        else retry(fetched.partition, fetched.errorCode)
      }
    })
    this.#onRead(performance.now() - askedAt)
    return stretches
  }

  /**
   * Those whose leader knows how far its log is acknowledged. A leader that is new may answer a fetch as if what its predecessor had
   * acknowledged last were not there, until the other copies have told it. It does not tell its end before that (KIP-207), so it is asked once.
   */
  async #sureOf(link: Link, topic: string, partitions: readonly number[], retry: (partition: number, errorCode: number) => void): Promise<readonly number[]> {
    const sure = this.#sure.get(topic) ?? []
    this.#sure.set(topic, sure)
    const unsure = partitions.filter((partition) => sure[partition] !== link)
    if (unsure.length === 0) return partitions
    for (const { partition, errorCode } of await listOn(link, topic, unsure, -1, this.#cluster.requestTimeoutMs)) {
      if (errorCode === 0) sure[partition] = link
      else retry(partition, errorCode)
    }
    return partitions.filter((partition) => sure[partition] === link)
  }

  /** Offsets by time: -1 asks the end, -2 the start. -1 in the answer: no record so late. */
  async listOffsets(topic: string, timestamp: number): Promise<ReadonlyMap<number, number>> {
    await this.#cluster.learn(topic)
    const count = await this.#partitions(topic)
    const offsets = new Map<number, number>()
    await this.#byLeader(topic, [...new Array(count).keys()], async (link, partitions, retry) => {
      for (const listed of await listOn(link, topic, partitions, timestamp, this.#cluster.requestTimeoutMs)) {
        if (listed.errorCode === 0) offsets.set(listed.partition, listed.offset)
        else retry(listed.partition, listed.errorCode)
      }
    })
    return new Map([...offsets].sort(([a], [b]) => a - b))
  }

  async #partitions(topic: string): Promise<number> {
    const backoff = new Backoff()
    const until = Date.now() + topicMissingMsMax
    for (;;) {
      const known = this.#cluster.topic(topic)
      if (known?.exists) return known.partitions
      if (Date.now() > until) throw known?.errorCode === 29 ? notAuthorized(`to read ${topic}`) : new KafkaError(`to read ${topic}`, known?.errorCode || 3)
      await this.#cluster.pause(backoff.next())
      await this.#cluster.learn(topic)
    }
  }

  /** How many partitions the topic has, once Kafka says so. */
  async partitions(topic: string): Promise<number> {
    await this.#cluster.learn(topic)
    return this.#partitions(topic)
  }

  async #byLeader(
    topic: string,
    partitions: readonly number[],
    ask: (link: Link, partitions: readonly number[], retry: (partition: number, errorCode: number) => void) => Promise<void>,
  ): Promise<void> {
    const cluster = this.#cluster
    let open = partitions
    let missingSince = 0
    const backoff = new Backoff()
    for (;;) {
      const byNode = new Map<number, number[]>()
      for (const partition of open) {
        const node = cluster.leaderOf(topic, partition)
        const group = byNode.get(node)
        if (group) group.push(partition)
        else byNode.set(node, [partition])
      }
      const again: number[] = []
      const askNode = async (node: number, group: readonly number[]): Promise<void> => {
        if (node < 0) {
          again.push(...group)
          return
        }
        try {
          const link = await cluster.usableLink(node, 'read')
          await ask(link, group, (partition, errorCode) => {
            if (errorCode === 29) throw notAuthorized(`to read ${topic}[${partition}]`)
            if (!isRetriableRead(errorCode)) throw new KafkaError(`to read ${topic}[${partition}]`, errorCode)
            if (errorCode === 3) missingSince ||= Date.now()
            again.push(partition)
          })
        } catch (error) {
          if (!(error instanceof LinkError)) throw error
          again.push(...group.filter((partition) => !again.includes(partition)))
        }
      }
      if (byNode.size === 1) for (const [node, group] of byNode) await askNode(node, group)
      else await Promise.all([...byNode].map(([node, group]) => askNode(node, group)))
      if (again.length === 0) return
      if (missingSince > 0 && Date.now() - missingSince > topicMissingMsMax) throw new KafkaError(`to read ${topic}`, 3)
      open = again
      cluster.watch(topic)
      const isUnknown = cluster.topic(topic) === undefined
      if (!isUnknown) await cluster.pause(backoff.next())
      await cluster.persist(`metadata of ${topic}`, () => cluster.refresh())
      const known = cluster.topic(topic)
      if (known && !known.exists) missingSince ||= Date.now()
      if (known?.errorCode === 29) throw notAuthorized(`to read ${topic}`)
    }
  }
}
