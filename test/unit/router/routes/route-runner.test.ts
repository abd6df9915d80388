import { expect, test } from '@jest/globals'
import type { Log } from '../../../../log/log.ts'
import { MemoryLog } from '../../../../log/memory-log.ts'
import { ClientKeyRing } from '../../../../model/client-key-ring.ts'
import { RouteRunner } from '../../../../router/routes/route-runner.ts'
import { Unsealing } from '../../../../router/routes/unsealing.ts'
import { route } from './routes.ts'

test('a runner that is closed while it takes its target over tells no progress: the one after it may have told more', async () => {
  const log = new MemoryLog()
  await log.createTopics(['messages', 'target'].map((name) => ({ name, partitions: 1, replication: 1, settings: {} })))
  const others = await log.appender()
  await others.write({ topic: 'target', partition: 0, key: null, value: Buffer.from('of somebody else'), timestamp: 0 })
  for (const held of ['topicExists', 'startOffsets', 'read'] as const) {
    const isReached = Promise.withResolvers<void>()
    const isReleased = Promise.withResolvers<void>()
    const slow = new Proxy<Log>(log, {
      get(target, name: keyof Log) {
        const method = target[name]
        if (typeof method !== 'function') return method
        const call = method.bind(target) as (...args: readonly unknown[]) => unknown
        if (name !== held) return call
        return async (...args: readonly unknown[]) => {
          isReached.resolve()
          await isReleased.promise
          return call(...args)
        }
      },
    })
    const told: unknown[] = []
    const runner = new RouteRunner({
      route: route(),
      shard: 0,
      namespace: 'default',
      log,
      messages: 'messages',
      destination: { topic: 'target', log: slow, appender: () => log.appender({ transactionalId: 'routes' }), breakAppender: () => {}, isExactlyOnce: true },
      progress: { route: 'all', shard: 0, term: 1, since: 1, registryOffset: 1, position: 0, target: 'target', targetOffsets: [0] },
      limits: { bytesMax: 1_000, readBytes: 1_000, retryMs: [5] },
      counters: { routed() {}, failed() {}, lost() {} },
      writeProgress: async (progress) => told.push(progress),
      isRepeat: () => false,
      attributesOf: () => ({}),
      unsealing: new Unsealing(new ClientKeyRing({ log, topic: 'keys', logger: { error() {} } })),
      onFenced() {},
      onTrouble() {},
      now: () => 0,
    })
    runner.start()
    await isReached.promise
    const isClosed = runner.close()
    isReleased.resolve()
    await isClosed
    expect([held, told, runner.progress]).toMatchObject([held, [], { position: 0, targetOffsets: [0] }])
  }
  await log.close()
})
