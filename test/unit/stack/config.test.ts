import { expect, test } from '@jest/globals'
import { durabilityOf, publicPorts, readConfig } from '../../../stack/config.ts'

test('without any variable: one gateway and one router on the standard ports, data in .data', () => {
  const config = readConfig({})
  expect(config.listeners).toEqual([{ mqtt: 1883, mqtts: 8883, ws: 8083, wss: 8084 }])
  expect(config.dataFolder.endsWith('/.data')).toBe(true)
  expect(config.replication).toBe(1)
  expect(publicPorts(config)).toContainEqual(['KAFKA_PORT', 9092])
  expect(publicPorts(config)).toContainEqual(['HTTP_PORT', 8080])
})

test('further gateways listen ten above each other', () => {
  expect(readConfig({ GATEWAYS: '3', WS_PORT: 'off', WSS_PORT: 'off' }).listeners).toEqual([
    { mqtt: 1883, mqtts: 8883 },
    { mqtt: 1893, mqtts: 8893 },
    { mqtt: 1903, mqtts: 8903 },
  ])
})

test('with KAFKA_BROKERS the Kafka port is nobody’s', () => {
  expect(publicPorts(readConfig({ KAFKA_BROKERS: 'a:9092,b:9092' })).map(([variable]) => variable)).not.toContain('KAFKA_PORT')
})

const production = { LOGGERHEAD_PROFILE: 'production', KAFKA_BROKERS: 'a:9092', TLS_CERT: 'cert.pem', TLS_KEY: 'key.pem' }

test('production keeps three copies and opens a plain listener only when its port is set', () => {
  expect(readConfig(production).replication).toBe(3)
  expect(readConfig(production).listeners).toEqual([{ mqtts: 8883, wss: 8084 }])
  expect(readConfig({ ...production, MQTT_PORT: '1883' }).listeners).toEqual([{ mqtt: 1883, mqtts: 8883, wss: 8084 }])
})

test('plain listeners of namespaces are 10 above each other for further gateways', () => {
  const two = readConfig({ GATEWAYS: '2', NAMESPACE_LISTENERS: 'factory=mqtt:2883, plant-1=ws:9083' })
  expect(two.namespaceListeners).toEqual(['factory=mqtt:2883, plant-1=ws:9083', 'factory=mqtt:2893, plant-1=ws:9093'])
  expect(() => readConfig({ GATEWAYS: '2', NAMESPACE_LISTENERS: 'factory=mqtt:1893' })).toThrow(/NAMESPACE_LISTENERS: 1893 is also the port of MQTT_PORT/)
  expect(() => readConfig({ GATEWAYS: '2', NAMESPACE_LISTENERS: 'factory=mqtt:65530' })).toThrow(/NAMESPACE_LISTENERS: 65530 leaves no port for gateway 2/)
})

test.each([
  ['LOGGERHEAD_PROFILE', { LOGGERHEAD_PROFILE: 'staging' }, 'development, production'],
  ['MQTT_PORT', { MQTT_PORT: 'yes' }, '1 to 65535 nor off'],
  ['MQTTS_PORT', { MQTTS_PORT: '65530', GATEWAYS: '2' }, '65540'],
  ['HTTP_PORT', { HTTP_PORT: '99999' }, 'from 1 to 65535'],
  ['GATEWAYS', { GATEWAYS: '0' }, 'from 1 to 16'],
  ['ROUTERS', { ROUTERS: '1.5' }, 'from 1 to 16'],
  ['WS_PORT', { WS_PORT: '1883' }, 'also the port of MQTT_PORT'],
  ['MQTT_PORT', { MQTT_PORT: '8073', GATEWAYS: '2' }, 'also the port of WS_PORT'],
  ['KAFKA_BROKERS', { KAFKA_BROKERS: 'localhost' }, 'host:port'],
  ['KAFKA_PARTITIONS', { KAFKA_PARTITIONS: '0' }, 'from 1 to'],
  ['KAFKA_SASL_MECHANISM', { KAFKA_SASL_MECHANISM: 'kerberos' }, 'scram-sha-512'],
  ['KAFKA_SASL_USERNAME', { KAFKA_BROKERS: 'a:1', KAFKA_SASL_MECHANISM: 'plain' }, 'needs it'],
  ['KAFKA_BROKERS', { KAFKA_TLS: 'true' }, 'loopback'],
  ['KAFKA_REPLICATION', { KAFKA_REPLICATION: '3' }, '1 unless KAFKA_BROKERS'],
  ['KAFKA_REPLICATION', { ...production, KAFKA_REPLICATION: '2' }, 'the least that production allows'],
  ['KAFKA_BROKERS', { ...production, KAFKA_BROKERS: '' }, 'Kafka cluster'],
  ['TLS_CERT', { ...production, TLS_CERT: '', TLS_KEY: '' }, 'MQTTS_PORT=off'],
  ['TLS_CERT', { TLS_CERT: 'cert.pem' }, 'both or neither'],
  ['HISTORY_WINDOW', { HISTORY_WINDOW: 'long' }, '7d'],
  ['LOGGERHEAD_PREFIX', { LOGGERHEAD_PREFIX: 'a b' }, 'letters'],
] as const)('a wrong %s is refused by its name, with what is allowed (%j)', (variable, environment, allowed) => {
  const read = () => readConfig(environment)
  expect(read).toThrow(variable)
  expect(read).toThrow(allowed)
})

test('the durability class follows the copies and the flush', () => {
  expect(durabilityOf(readConfig({}))).toBe('single copy in the page cache')
  expect(durabilityOf(readConfig({ KAFKA_FLUSH_EVERY_APPEND: 'true' }))).toBe('single copy, flushed to disk before each acknowledgement')
  expect(durabilityOf(readConfig(production))).toBe('replicated: 3 copies, acknowledged by at least 2')
})
