import { expect, test } from '@jest/globals'
import { readConfig } from '../../../stack/config.ts'
import { nextSteps } from '../../../stack/next-steps.ts'

const certificates = {
  ca: '/data/certificates/ca.pem',
  caKey: '/data/certificates/ca.key',
  serverCertificate: '/data/certificates/server.pem',
  serverKey: '/data/certificates/server.key',
  clientCertificate: '/data/certificates/client.pem',
  clientKey: '/data/certificates/client.key',
  made: true,
}
const common = { brokers: '127.0.0.1:9092', kafka: 'Apache Kafka', apiKeyFile: '/data/api-key', show: (path: string) => path }

test('says where everything is and what it is worth', () => {
  const text = nextSteps({ ...common, config: readConfig({ LOGGERHEAD_DATA: '/data' }), certificates })
  for (const part of [
    'mqtt://127.0.0.1:1883',
    'mqtts://localhost:8883',
    'ws://127.0.0.1:8083/mqtt',
    'wss://localhost:8084/mqtt',
    'http://127.0.0.1:8080',
    '/data',
    'single copy in the page cache',
  ]) {
    expect(text).toContain(part)
  }
  expect(text).toMatch(/mosquitto_pub -h 127\.0\.0\.1 -p 1883 /)
  expect(text).toMatch(/mosquitto_sub .*--cert \/data\/certificates\/client\.pem/)
})

test('file names that a shell would take apart are quoted', () => {
  const text = nextSteps({ ...common, config: readConfig({}), certificates: { ...certificates, ca: "/it's here/ca.pem" } })
  expect(text).toContain(`--cafile '/it'\\''s here/ca.pem'`)
})

test('production shows no line that could not work there', () => {
  const config = readConfig({ LOGGERHEAD_PROFILE: 'production', KAFKA_BROKERS: 'a:1', TLS_CERT: 'c', TLS_KEY: 'k' })
  expect(nextSteps({ ...common, config, certificates: undefined })).not.toContain('mosquitto')
})
