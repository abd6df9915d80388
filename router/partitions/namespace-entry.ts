/** A namespace as the home namespace's registry names it, with its number of partitions. */
import type { Log } from '../../log/log.ts'
import { type TopicNames, topicNames } from '../../log/topics.ts'
import { lifeName, type NamespaceEntry } from '../../model/namespaces.ts'
import { RegistryFollower } from '../../model/registry-follower.ts'
import { encodeRecord } from '../../schemas/codec.ts'
import { ChangeRefused } from './change.ts'

/** The namespace's topics. Rejects with ChangeRefused when there is none of the name. */
export async function findNamespace(log: Log, prefix: string, home: string, name: string): Promise<TopicNames> {
  const topic = topicNames(prefix, home).registry
  if (!(await log.topicExists(topic)))
    throw new ChangeRefused(`there is no topic ${topic}: LOGGERHEAD_PREFIX, or LOGGERHEAD_NAMESPACE of the deployment, is another`)
  if (name === home) return topicNames(prefix, home)
  const entry = await readEntry(log, topic, name)
  if (entry?.state !== 'Active') throw new ChangeRefused(`there is no namespace “${name}” in the deployment whose home namespace is “${home}”`)
  return topicNames(prefix, lifeName(entry))
}

/**
 * Says how many partitions the namespace has now, in the place of the registry, which begins anew when it hears of it. Whatever was said of the
 * namespace before stays true: it is read once nobody else can write it.
 */
export async function writePartitions(log: Log, prefix: string, home: string, name: string, partitions: number, at: number): Promise<void> {
  const { registry } = topicNames(prefix, home)
  const appender = await log.appender({ transactionalId: `${registry}.writer` })
  const write = (kind: string, name: string, properties: string): Promise<number> => {
    const value = encodeRecord('RegistryEntry', { kind, name, properties, etag: '', createdAt: at, updatedAt: at, by: 'loggerhead partitions' })
    return appender.write({ topic: registry, partition: 0, key: Buffer.from(`${kind}/${name}`), value, timestamp: at })
  }
  try {
    // As the registry does it: a record leaves no gap in the offsets, which would be taken for what compaction leaves.
    await write('fence', 'writer', '{}')
    const entry = await readEntry(log, registry, name)
    if (!entry) return
    const { name: _name, updatedAt: _updatedAt, ...record } = entry
    await write('namespaces', name, JSON.stringify({ ...record, partitions }))
  } finally {
    await appender.close()
  }
}

async function readEntry(log: Log, topic: string, name: string): Promise<NamespaceEntry | undefined> {
  const follower = await RegistryFollower.start({ log, topic, clock: { now: () => performance.now() } })
  try {
    return follower.view.namespaces.get(name)
  } finally {
    await follower.close()
  }
}
