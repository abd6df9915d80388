import { expect, test } from '@jest/globals'
import { MemoryLog } from '../../../../log/memory-log.ts'
import { parseClusters, RouteClusters } from '../../../../router/routes/route-clusters.ts'

test('a cluster has the settings of its connection, and is opened when the first route needs it', async () => {
  const clusters = parseClusters(JSON.stringify({ lake: { KAFKA_BROKERS: 'lake-1:9092,lake-2:9092', KAFKA_TLS: true }, other: { KAFKA_BROKERS: 'b:1' } }))
  expect(clusters.get('lake')).toMatchObject({ brokers: ['lake-1:9092', 'lake-2:9092'], ssl: {} })
  const opened: (readonly string[])[] = []
  const routes = new RouteClusters(clusters, ({ brokers }) => {
    opened.push(brokers)
    return new MemoryLog()
  })
  expect(routes.get('none')).toBeUndefined()
  expect(routes.get('other')).toBe(routes.get('other'))
  expect(opened).toEqual([['b:1']])
  await routes.close()
})

test.each([
  ['{', 'is not JSON'],
  ['[]', 'must hold an object'],
  ['{"a b": {"KAFKA_BROKERS": "b:1"}}', '“a b” is no name'],
  ['{"lake": {}}', 'lake: KAFKA_BROKERS is missing'],
  ['{"lake": {"KAFKA_BROKERS": "b"}}', 'lake: '],
  ['{"lake": {"KAFKA_BROKERS": "b:1", "PASSWORD": "x"}}', 'lake: PASSWORD is none of KAFKA_BROKERS'],
  ['{"lake": {"KAFKA_BROKERS": "b:1", "KAFKA_SASL_MECHANISM": "plain"}}', 'KAFKA_SASL_USERNAME'],
])('a file that holds %s is refused with what is wrong', (text, rule) => {
  expect(() => parseClusters(text)).toThrow(rule)
})
