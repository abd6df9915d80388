import { expect, test } from '@jest/globals'
import type { Log } from '../../../log/log.ts'
import { MemoryLog } from '../../../log/memory-log.ts'
import { WillPublisher, willMessage } from '../../../router/will-publisher.ts'
import { encodeMessage } from '../../../schemas/message-record.ts'
import type { PendingWill } from '../../../schemas/snapshot-records.ts'
import { sessionOf } from './sessions.ts'

const topics = { sessions: 'sessions', messages: 'messages' }
const shard = 0

function pendingWill(epoch: number): PendingWill {
  return {
    epoch,
    session: epoch,
    will: {
      topic: 'status',
      qos: 1,
      retain: false,
      delaySeconds: 0,
      payload: Buffer.from('gone'),
      payloadFormatIndicator: null,
      messageExpiryInterval: null,
      contentType: null,
      responseTopic: null,
      correlationData: null,
      userProperties: [],
    },
    dueAt: 1_000_000,
    isDecided: true,
    authenticationName: 'device',
    gateway: 'g',
    protocolVersion: 5,
  }
}

test('a new owner looks for all wills that may be published already with one scan, and publishes the others', async () => {
  const log = new MemoryLog()
  await log.createTopics(Object.values(topics).map((name) => ({ name, partitions: 1, replication: 1, settings: {} })))
  const appender = await log.appender()
  const sessions = Array.from({ length: 500 }, (_, i) => Object.assign(sessionOf(`c${i}`, { id: i }), { wills: [pendingWill(i)] }))
  for (const { clientId, wills } of sessions.slice(0, 200)) {
    const value = encodeMessage(willMessage(shard, clientId, wills[0] as PendingWill))
    await appender.write({ topic: topics.messages, partition: 0, key: Buffer.from('status'), value, timestamp: 1_000_000 })
  }
  const reads: number[] = []
  const counting = {
    read: (...args: Parameters<Log['read']>) => {
      reads.push(args[2])
      return log.read(...args)
    },
    offsetsAt: (...args: Parameters<Log['offsetsAt']>) => log.offsetsAt(...args),
    endOffsets: (...args: Parameters<Log['endOffsets']>) => log.endOffsets(...args),
  } as Log
  const fired = Promise.withResolvers<void>()
  let left = sessions.length
  const publisher = new WillPublisher({
    shard,
    term: 0,
    log: counting,
    appender,
    topics,
    partitions: 1,
    now: () => 1_000_000,
    mayPublish: () => true,
    onFired: () => {
      if (--left === 0) fired.resolve()
    },
    onRefused: (error) => fired.reject(error),
  })
  publisher.recover(sessions)
  await fired.promise
  expect((await log.endOffsets(topics.messages)).get(0)).toBe(500)
  expect(reads).toEqual([0])
})
