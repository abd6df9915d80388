import { expect, test } from '@jest/globals'
import { type NamespaceGatewayOptions, openNamespaceGateway } from '../../../gateway/namespace-gateway.ts'
import { MemoryLog } from '../../../log/memory-log.ts'
import { planTopics, topicSettings } from '../../../log/topics.ts'
import { readSettings } from '../../../settings/setting.ts'

test('a namespace whose keys cannot be read leaves nothing open: it is tried again and again', async () => {
  const plan = planTopics(readSettings(topicSettings, { KAFKA_PARTITIONS: '1' }), 'default', 'development')
  const log = new MemoryLog()
  const open = new Set<object>()
  const counted = <T extends { close(): Promise<void> }>(opened: T): T => {
    open.add(opened)
    const close = opened.close.bind(opened)
    opened.close = () => {
      open.delete(opened)
      return close()
    }
    return opened
  }
  const [follow, appender, endOffsets] = [log.follow.bind(log), log.appender.bind(log), log.endOffsets.bind(log)]
  log.follow = async (options) => counted(await follow(options))
  log.appender = async (options) => counted(await appender(options))
  log.endOffsets = (topic) => (topic === plan.names.keys ? Promise.reject(new Error('its leader is away')) : endOffsets(topic))
  const config = { ERASABLE_ATTRIBUTE: 'personal', LOGGERHEAD_PROFILE: 'development' }
  const options = { namespace: 'default', config, plan, log, clock: Date, onFailed() {} } as unknown as NamespaceGatewayOptions
  await expect(openNamespaceGateway(options)).rejects.toThrow('its leader is away')
  expect(open.size).toBe(0)
  await log.close()
})
