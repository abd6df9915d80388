/** A namespace as the home namespace's registry names it, with its number of partitions. */
import type { Log } from '../../log/log.ts'
import { type TopicNames, topicNames } from '../../log/topics.ts'
import { lifeName, type NamespaceEntry } from '../../model/namespaces.ts'
import { RegistryFollower } from '../../model/registry-follower.ts'
import { encodeRecord } from '../../schemas/codec.ts'
import { ChangeRefused } from './change.ts'

export interface FoundNamespace {
  readonly topics: TopicNames
  /** Undefined for a home namespace that nothing was ever written of. */
  readonly entry: NamespaceEntry | undefined
}

/** Rejects with ChangeRefused when there is none of the name. */
export async function findNamespace(log: Log, prefix: string, home: string, name: string): Promise<FoundNamespace> {
  const topic = topicNames(prefix, home).registry
  if (!(await log.topicExists(topic)))
    throw new ChangeRefused(`there is no topic ${topic}: LOGGERHEAD_PREFIX, or LOGGERHEAD_NAMESPACE of the deployment, is another`)
  const follower = await RegistryFollower.start({ log, topic, clock: { now: () => performance.now() } })
  const entry = follower.view.namespaces.get(name)
  await follower.close()
  if (name === home) return { topics: topicNames(prefix, home), entry }
  if (entry?.state !== 'Active') throw new ChangeRefused(`there is no namespace “${name}” in the deployment whose home namespace is “${home}”`)
  return { topics: topicNames(prefix, lifeName(entry)), entry }
}

/** Says how many partitions the namespace has now, in the place of the registry, which begins anew when it hears of it. */
export async function writePartitions(log: Log, prefix: string, home: string, entry: NamespaceEntry, partitions: number, at: number): Promise<void> {
  const { registry } = topicNames(prefix, home)
  const { name, updatedAt: _, ...record } = entry
  const properties = JSON.stringify({ ...record, partitions })
  const appender = await log.appender({ transactionalId: `${registry}.writer` })
  try {
    const value = encodeRecord('RegistryEntry', { kind: 'namespaces', name, properties, etag: '', createdAt: at, updatedAt: at, by: 'loggerhead partitions' })
    await appender.write({ topic: registry, partition: 0, key: Buffer.from(`namespaces/${name}`), value, timestamp: at })
  } finally {
    await appender.close()
  }
}
