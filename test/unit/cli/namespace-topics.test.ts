import { expect, test } from '@jest/globals'
import type { CliConfig } from '../../../cli/config.ts'
import { namespaceTopics } from '../../../cli/namespace-topics.ts'
import { NotAuthorized } from '../../../log/log.ts'
import { MemoryLog, MemoryStore } from '../../../log/memory-log.ts'
import { topicNames } from '../../../log/topics.ts'
import { encodeRecord } from '../../../schemas/codec.ts'

const home = 'home'
const of = (namespace: string) => ({ home, environment: { LOGGERHEAD_PREFIX: 'p' }, config: { namespace } as CliConfig })

test('NS-01: a namespace that was deleted and made again is found in its life now, as the home registry names it', async () => {
  const store = new MemoryStore()
  const log = new MemoryLog(store)
  const factory = of('factory')
  expect(await namespaceTopics(log, factory)).toEqual(topicNames('p', 'factory'))
  const { registry } = topicNames('p', home)
  await log.createTopics([{ name: registry, partitions: 1, replication: 1, settings: {} }])
  const appender = await log.appender()
  for (const [name, life] of [
    ['factory', 2],
    ['plant', 1],
  ] as const) {
    const properties = JSON.stringify({ state: 'Active', life, partitions: 4, hostNames: [] })
    const value = encodeRecord('RegistryEntry', { kind: 'namespaces', name, properties, etag: '', createdAt: 1, updatedAt: 1, by: 'test' })
    await appender.write({ topic: registry, partition: 0, key: Buffer.from(`namespaces/${name}`), value, timestamp: 1 })
  }
  expect(await namespaceTopics(log, factory)).toEqual(topicNames('p', 'factory.2'))
  for (const name of ['plant', 'unheard', home]) expect(await namespaceTopics(log, of(name))).toEqual(topicNames('p', name))
  class ForbiddingLog extends MemoryLog {
    override topicExists(): Promise<boolean> {
      return Promise.reject(new NotAuthorized('not yours'))
    }
  }
  expect(await namespaceTopics(new ForbiddingLog(store), factory)).toEqual(topicNames('p', 'factory'))
})
