/** Producer ids from Kafka (InitProducerId). With a transactional id, taking one fences whoever had it before. */
import type { Cluster } from './cluster.ts'
import { type Broker, errorType } from './kafkajs.ts'
import { LinkError } from './link.ts'

export interface ProducerIdentity {
  readonly id: bigint
  readonly epoch: number
}

const retriable = new Set([
  'GROUP_COORDINATOR_NOT_AVAILABLE',
  'NOT_COORDINATOR_FOR_GROUP',
  'GROUP_LOAD_IN_PROGRESS',
  'CONCURRENT_TRANSACTIONS',
  'REQUEST_TIMED_OUT',
  'NETWORK_EXCEPTION',
  'NOT_LEADER_FOR_PARTITION',
  'LEADER_NOT_AVAILABLE',
  'UNKNOWN',
])

/** True for what asking again later, perhaps elsewhere, can mend. */
export function isCoordinatorRetriable(error: unknown): boolean {
  return error instanceof LinkError || retriable.has(errorType(error) ?? '')
}

/** Kafka's answer to who comes with an epoch that is no longer the newest. */
export function isFencedAnswer(error: unknown): boolean {
  return fencedTypes.has(errorType(error) ?? '')
}

const fencedTypes = new Set(['INVALID_PRODUCER_EPOCH', 'PRODUCER_FENCED', 'INVALID_PRODUCER_ID_MAPPING'])

const coordinatorTypes = { group: 0, transaction: 1 } as const

/** The broker that coordinates a group or transactional id. */
export async function findCoordinator(cluster: Cluster, type: keyof typeof coordinatorTypes, id: string): Promise<number> {
  if (cluster.nodes().length === 0) await cluster.refresh()
  const asked = await anyBroker(cluster)
  const { coordinator } = await asked.call(`finding the ${type} coordinator of ${id}`, cluster.requestTimeoutMs, (broker) =>
    broker.findGroupCoordinator({ groupId: id, coordinatorType: coordinatorTypes[type] }),
  )
  if (!cluster.nodes().includes(coordinator.nodeId)) await cluster.refresh()
  return coordinator.nodeId
}

/** A connection to any broker that can be reached. */
export async function anyBroker(cluster: Cluster) {
  let last: unknown
  for (const node of cluster.nodes()) {
    try {
      return await cluster.usableLink(node, 'rare')
    } catch (error) {
      last = error
    }
  }
  await cluster.refresh()
  throw last ?? new LinkError('no broker is known')
}

export class ProducerIds {
  readonly #cluster: Cluster

  constructor(cluster: Cluster) {
    this.#cluster = cluster
  }

  /** Asks until Kafka answers. */
  take(transactionalId: string | undefined): Promise<ProducerIdentity> {
    const cluster = this.#cluster
    return cluster.persist(
      'InitProducerId',
      async () => {
        if (cluster.nodes().length === 0) await cluster.refresh()
        const link =
          transactionalId === undefined
            ? await anyBroker(cluster)
            : await cluster.usableLink(await findCoordinator(cluster, 'transaction', transactionalId), 'rare')
        const { producerId, producerEpoch } = await link.call('InitProducerId', cluster.requestTimeoutMs, (broker) =>
          broker.initProducerId({ transactionalId: transactionalId ?? null, transactionTimeout: 60_000 }),
        )
        return { id: BigInt(producerId), epoch: producerEpoch }
      },
      isCoordinatorRetriable,
    )
  }

  /**
   * Has Kafka write a marker with the producer's epoch into each partition, which no reader sees: the end of a transaction that wrote
   * nothing. From then on the partition's leader refuses older epochs. Asks until Kafka answers.
   */
  async mark(transactionalId: string, producer: ProducerIdentity, topic: string, partitions: readonly number[]): Promise<void> {
    const cluster = this.#cluster
    const request = { transactionalId, producerId: String(producer.id), producerEpoch: producer.epoch }
    const ask = (what: string, send: (broker: Broker) => Promise<unknown>): Promise<unknown> =>
      cluster.persist(
        what,
        async () => {
          if (cluster.nodes().length === 0) await cluster.refresh()
          const link = await cluster.usableLink(await findCoordinator(cluster, 'transaction', transactionalId), 'rare')
          return link.call(what, cluster.requestTimeoutMs, send)
        },
        isCoordinatorRetriable,
      )
    await ask('AddPartitionsToTxn', (broker) => broker.addPartitionsToTxn({ ...request, topics: [{ topic, partitions }] }))
    const end = (): Promise<unknown> => ask('EndTxn', (broker) => broker.endTxn({ ...request, transactionResult: false }))
    await end()
    // The first answer says that the markers will be written; asked again, Kafka says CONCURRENT_TRANSACTIONS until they are.
    await end()
  }
}
