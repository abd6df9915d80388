import { expect, test } from '@jest/globals'
import { Registry } from 'prom-client'
import { messageKind, OperationCounts } from '../../../gateway/operation-counts.ts'
import { errorOf } from '../../../gateway/operation-error.ts'
import { protocolIndex, protocols } from '../../../telemetry/dimensions.ts'

function counts() {
  const registry = new Registry()
  let now = 1000
  const counted = new OperationCounts(
    registry,
    () => ({ bytesIn: 7, bytesOut: 9 }),
    () => now,
  )
  const of = async (name: string, labels: Readonly<Record<string, string>>): Promise<number> => {
    const { values } = (await registry.getSingleMetric(name)?.get()) ?? { values: [] }
    return values.filter((each) => Object.entries(labels).every(([label, value]) => each.labels[label] === value)).reduce((sum, { value }) => sum + value, 0)
  }
  return { registry, counted, of, pass: (ms: number) => (now += ms) }
}

const requests = 'loggerhead_mqtt_requests_total'

test.each([
  [4, false, 'MQTT3'],
  [4, true, 'MQTT3-WS'],
  [5, false, 'MQTT5'],
  [5, true, 'MQTT5-WS'],
] as const)('version %s over a WebSocket (%s) is the protocol %s', (version, isWebSocket, protocol) => {
  expect(protocols[protocolIndex(version, isWebSocket)]).toBe(protocol)
})

test('protocol, QoS and RETAIN are told apart, for every message kind there is', async () => {
  const { counted, of } = counts()
  let n = 0
  for (const [protocol] of protocols.entries())
    for (const qos of [0, 1, 2] as const)
      for (const retain of [false, true]) {
        n++
        for (let i = 0; i < n; i++) counted.took(messageKind(protocol as 0, qos, retain))
        const labels = { protocol: protocols[protocol] as string, qos: String(qos), retain: String(retain) }
        expect(await of('loggerhead_mqtt_successful_published_messages_total', labels)).toBe(n)
      }
  expect(counted.publishes).toBe((n * (n + 1)) / 2)
})

test('what is in the log after 30 ms counts once as published, once as request, and in its latency', async () => {
  const { counted, of, pass } = counts()
  pass(30)
  counted.stored(messageKind(1, 1, false), 1000)
  const labels = { qos: '1', protocol: 'MQTT5', retain: 'false' }
  expect(await of('loggerhead_mqtt_successful_published_messages_total', labels)).toBe(1)
  expect(await of(requests, { operation_type: 'Publish', protocol: 'MQTT5', result: 'Success' })).toBe(1)
  const latency = 'loggerhead_mqtt_successful_publish_latency_seconds'
  expect(await of(latency, { ...labels, le: 0.032 as unknown as string })).toBe(1)
  expect(await of(latency, { ...labels, le: 0.016 as unknown as string })).toBe(0)
})

test('a failed publish is a failed request of the same error, and whose fault it was is the result', async () => {
  const { counted, of } = counts()
  counted.notPublished(messageKind(0, 1, true), 'AuthorizationError')
  counted.notPublished(messageKind(0, 1, true), 'ServiceError')
  expect(await of('loggerhead_mqtt_failed_published_messages_total', { qos: '1', protocol: 'MQTT3', retain: 'true', error: 'AuthorizationError' })).toBe(1)
  expect(await of(requests, { operation_type: 'Publish', protocol: 'MQTT3', result: 'ClientError', error: 'AuthorizationError' })).toBe(1)
  expect(await of(requests, { operation_type: 'Publish', protocol: 'MQTT3', result: 'ServiceError', error: 'ServiceError' })).toBe(1)
})

test('each filter counts for itself; what the log refused is the service’s fault', async () => {
  const { counted, of } = counts()
  counted.filters(1, 'Subscribe', [0, 1, 0x87, 0x97], true)
  counted.filters(1, 'Unsubscribe', [0, 0x11], false)
  expect(await of('loggerhead_mqtt_successful_subscription_operations_total', { operation_type: 'Subscribe' })).toBe(2)
  const failed = 'loggerhead_mqtt_failed_subscription_operations_total'
  expect(await of(failed, { operation_type: 'Subscribe', error: 'AuthorizationError' })).toBe(1)
  expect(await of(failed, { operation_type: 'Subscribe', error: 'QuotaExceeded' })).toBe(1)
  expect(await of(failed, { operation_type: 'Unsubscribe', error: 'ServiceError' })).toBe(2)
  expect(await of(requests, { operation_type: 'Unsubscribe', result: 'Success' })).toBe(0)
})

test('connections are a level: they come with their CONNACK and go when they end', async () => {
  const { counted, of } = counts()
  counted.connected(3, 5)
  counted.connected(3, 5)
  counted.left(3)
  counted.notConnected(0, errorOf(0x86))
  expect(await of('loggerhead_mqtt_connections', { protocol: 'MQTT5-WS' })).toBe(1)
  expect(await of(requests, { operation_type: 'Connect', protocol: 'MQTT5-WS', result: 'Success' })).toBe(2)
  expect(await of(requests, { operation_type: 'Connect', protocol: 'MQTT3', error: 'AuthenticationError' })).toBe(1)
  expect(await of('loggerhead_mqtt_throughput_bytes_total', { direction: 'Outbound' })).toBe(9)
})
