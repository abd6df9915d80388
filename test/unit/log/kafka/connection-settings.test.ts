import { mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from '@jest/globals'
import { kafkaConnection, kafkaSettings } from '../../../../log/kafka/connection-settings.ts'
import { readSettings } from '../../../../settings/setting.ts'

const connection = (environment: Record<string, string>) => kafkaConnection(readSettings(kafkaSettings, environment))
const folder = mkdtempSync(join(tmpdir(), 'loggerhead-settings-'))
const file = (name: string, text: string): string => {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

test('without settings it is plain Kafka on this machine', () => {
  expect(connection({})).toEqual({ brokers: ['127.0.0.1:9092'], requestTimeoutMs: 6000, sessionTimeoutMs: 6000 })
})

test('brokers are several, with spaces, names and IPv6', () => {
  expect(connection({ KAFKA_BROKERS: 'a.example:9092, 10.0.0.1:9093,[::1]:9094' }).brokers).toEqual(['a.example:9092', '10.0.0.1:9093', '[::1]:9094'])
})

test('secrets come from files', () => {
  const ca = file('ca.pem', 'CA')
  const cert = file('cert.pem', 'CERT')
  const key = file('key.pem', 'KEY')
  const password = file('password', 'se cret\n')
  expect(
    connection({
      KAFKA_TLS: 'true',
      KAFKA_TLS_CA: ca,
      KAFKA_TLS_CERT: cert,
      KAFKA_TLS_KEY: key,
      KAFKA_SASL_MECHANISM: 'scram-sha-512',
      KAFKA_SASL_USERNAME: 'gateway',
      KAFKA_SASL_PASSWORD_FILE: password,
    }),
  ).toMatchObject({ ssl: { ca: ['CA'], cert: 'CERT', key: 'KEY' }, sasl: { mechanism: 'scram-sha-512', username: 'gateway', password: 'se cret' } })
})

test.each([
  [{ KAFKA_BROKERS: 'localhost' }, 'KAFKA_BROKERS: “localhost” is not host:port'],
  [{ KAFKA_BROKERS: 'a:9092,b:99999' }, 'KAFKA_BROKERS: “b:99999” is not host:port'],
  [{ KAFKA_BROKERS: ' , ' }, 'KAFKA_BROKERS: names no broker'],
  [{ KAFKA_TLS_CA: '/x' }, 'KAFKA_TLS_CA: is set, but KAFKA_TLS is not true'],
  [{ KAFKA_TLS: 'true', KAFKA_TLS_CA: '/does/not/exist' }, 'KAFKA_TLS_CA: cannot read the file “/does/not/exist”'],
  [{ KAFKA_TLS: 'true', KAFKA_TLS_CERT: '/x' }, 'KAFKA_TLS_KEY: is missing'],
  [{ KAFKA_SASL_MECHANISM: 'gssapi' }, 'KAFKA_SASL_MECHANISM: “gssapi” is not one of'],
  [{ KAFKA_SASL_MECHANISM: 'plain' }, 'KAFKA_SASL_USERNAME: is missing: plain needs it'],
  [{ KAFKA_SASL_MECHANISM: 'plain', KAFKA_SASL_USERNAME: 'u' }, 'KAFKA_SASL_PASSWORD_FILE: is missing: plain needs it'],
  [{ KAFKA_SASL_USERNAME: 'u' }, 'KAFKA_SASL_USERNAME: is set, but KAFKA_SASL_MECHANISM is not'],
])('%j is refused by name', (environment, message) => {
  expect(() => connection(environment as Record<string, string>)).toThrow(message)
})
