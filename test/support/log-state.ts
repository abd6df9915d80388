/** What the topics of a namespace say, folded outside of any process. */
import { pino } from 'pino'
import { KafkaLog } from '../../log/kafka/kafka-log.ts'
import { InboxFold } from '../../model/inbox-fold.ts'
import { SessionFold } from '../../model/session-fold.ts'
import { sessionState } from '../../model/snapshot.ts'
import { readSnapshot } from '../../router/snapshots.ts'
import { decodeMessage } from '../../schemas/message-record.ts'
import type { AnyRecord, Records } from '../../schemas/records.ts'
import { readTopic } from '../wire/kafka-log.ts'
import type { Cluster } from './cluster.ts'

/** Where the log of a namespace is: a cluster's, or that of a stack. */
export type NamespaceLog = Pick<Cluster, 'brokers' | 'topics' | 'partitions'>

interface Placed {
  readonly partition: number
  readonly offset: number
  readonly record: AnyRecord
}

async function read(cluster: NamespaceLog, topic: 'messages' | 'sessions' | 'inbox'): Promise<readonly Placed[]> {
  const records = await readTopic(cluster.brokers, cluster.topics[topic])
  return records.flatMap((each) => (each.record ? [each as Placed] : [])).sort((a, b) => a.partition - b.partition || a.offset - b.offset)
}

/** True once everything published is matched, delivered or noted, and the journals say so: nobody who takes a shard now does any of it again. */
export async function isSettled(cluster: NamespaceLog): Promise<boolean> {
  const ends = new Map<number, number>()
  for (const { partition, offset } of await read(cluster, 'messages')) ends.set(partition, offset + 1)
  const positions = new Map<number, number>()
  for (const { record } of await read(cluster, 'inbox')) if (record.name === 'Progress') positions.set(record.value.shard, record.value.position)
  return [...ends].every(([shard, end]) => (positions.get(shard) ?? 0) >= end)
}

/** The payload of the newest retained message of each topic; what was cleared is not there. */
export async function retainedState(cluster: NamespaceLog): Promise<Readonly<Record<string, string>>> {
  const newest = new Map<string, string>()
  for (const { key, record } of (await readTopic(cluster.brokers, cluster.topics.retained)).sort((a, b) => a.offset - b.offset)) {
    const topic = key?.toString() ?? ''
    if (record === null) newest.delete(topic)
    else if (record.name === 'Retained') newest.set(topic, decodeMessage(record.value.message).payload.toString())
  }
  return Object.fromEntries([...newest].sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** Sessions with their connections, subscriptions, wills and queues. Whether something may have been sent before is no state that a client sees. */
export async function sessionsState(cluster: NamespaceLog): Promise<Readonly<Record<string, object>>> {
  const state: Record<string, object> = {}
  const [sessions, inbox] = await Promise.all([read(cluster, 'sessions'), read(cluster, 'inbox')])
  for (let shard = 0; shard < cluster.partitions; shard++) {
    const fold = new SessionFold(shard)
    const owed = new InboxFold(shard, cluster.partitions, fold)
    const waiting = sessions.filter(({ partition }) => partition === shard)
    let next = 0
    const upTo = (end: number): void => {
      for (; next < waiting.length && (waiting[next] as Placed).offset < end; next++)
        fold.apply((waiting[next] as Placed).offset, (waiting[next] as Placed).record)
    }
    for (const { partition, offset, record } of inbox) {
      if (partition !== shard) continue
      // What a record was matched with is folded before it.
      if (record.name === 'Indexed' || record.name === 'SharedIndexed' || record.name === 'Reassigned') upTo(record.value.sessionsOffset)
      else if (record.name === 'IndexedRetained') upTo(record.value.request + 1)
      owed.apply(offset, record)
    }
    upTo(Number.POSITIVE_INFINITY)
    for (const session of fold.sessions.values()) {
      const { sent, attached, uses, ...rest } = sessionState(session)
      state[session.clientId] = { ...rest, uses: uses.toString('hex'), attached: attached && { gateway: attached.gateway, connection: attached.connection } }
    }
  }
  return state
}

/** The last snapshot of each shard: of the sessions in it those whose client id begins with `root`, and where it was taken. */
export async function snapshotsState(cluster: NamespaceLog, root: string): Promise<readonly object[]> {
  const log = new KafkaLog({ brokers: cluster.brokers.split(','), clientId: 'test', logger: pino({ level: 'silent' }) })
  try {
    const snapshots = await Promise.all(Array.from({ length: cluster.partitions }, (_, shard) => readSnapshot(log, cluster.topics.snapshots, shard)))
    return snapshots.flatMap((snapshot) =>
      snapshot ? [{ closed: snapshot.closed, sessions: snapshot.states.filter(({ clientId }) => clientId.startsWith(root)) }] : [],
    )
  } finally {
    await log.close()
  }
}

/** Messages in the order of each partition, folded by their ids. */
export async function messagesState(cluster: NamespaceLog): Promise<readonly Records['Message'][]> {
  const seen = new Set<string>()
  return (await read(cluster, 'messages')).flatMap(({ record }) => {
    if (record.name !== 'Message' || seen.has(record.value.messageId.toString('hex'))) return []
    seen.add(record.value.messageId.toString('hex'))
    return [record.value]
  })
}
