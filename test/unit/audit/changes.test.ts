import { expect, test } from '@jest/globals'
import { readChanges } from '../../../audit/changes.ts'
import { MemoryLog } from '../../../log/memory-log.ts'
import { encodeRecord } from '../../../schemas/codec.ts'

test('a life cycle event whose data are no JSON stands for no change, and hides none', async () => {
  const log = new MemoryLog()
  await log.createTopics([{ name: 'lifecycle', partitions: 1, replication: 1, settings: {} }])
  const appender = await log.appender()
  const change = (name: string): string => JSON.stringify({ kind: 'clients', name, by: 'api-key', before: null, after: {} })
  for (const data of [change('a'), '{', 'null', change('b')]) {
    const value = encodeRecord('LifecycleEvent', { id: 'x', type: 'Loggerhead.RegistryResourceChanged', source: '/', subject: 's', time: 5, data })
    await appender.write({ topic: 'lifecycle', partition: 0, key: null, value, timestamp: 5 })
  }
  const found: string[] = []
  for await (const { resource } of readChanges({ log, topic: 'lifecycle', query: {}, reaches: [{ source: 0, next: 0, end: 4 }] })) found.push(resource)
  expect(found).toEqual(['clients/a', 'clients/b'])
})
