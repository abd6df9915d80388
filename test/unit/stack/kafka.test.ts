import { expect, test } from '@jest/globals'
import { pom, whyMavenFailed } from '../../../stack/kafka/artifacts.ts'
import { asVariables, dockerArguments } from '../../../stack/kafka/docker.ts'
import { explainKafkaLog } from '../../../stack/kafka/node.ts'
import { serverProperties } from '../../../stack/kafka/properties.ts'

const node = { folder: '/data/log', host: '127.0.0.1', port: 9092, controllerPort: 9093, flushEveryAppend: false }

test('the node lets a lost router go within its session, makes no topic by itself and keeps the writer’s time', () => {
  const lines = serverProperties(node).split('\n')
  expect(lines).toEqual(
    expect.arrayContaining([
      'group.min.session.timeout.ms=1000',
      'group.initial.rebalance.delay.ms=0',
      'auto.create.topics.enable=false',
      'log.message.timestamp.type=CreateTime',
      'listeners=PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093',
      'log.dirs=/data/log',
    ]),
  )
})

test('one setting flushes every append', () => {
  expect(serverProperties(node)).not.toContain('log.flush')
  expect(serverProperties({ ...node, flushEveryAppend: true })).toContain('log.flush.interval.messages=1\n')
})

test('the official image is given the same settings as variables', () => {
  expect(asVariables('a.b.c=1=2\nd=e\n')).toEqual({ KAFKA_A_B_C: '1=2', KAFKA_D: 'e' })
  const args = dockerArguments({ name: 'k', folder: '/data', port: 9092, flushEveryAppend: true }, '1000:1000')
  expect(args).toEqual(
    expect.arrayContaining([
      '127.0.0.1:9092:9092',
      '/data:/var/lib/kafka/data',
      'KAFKA_LOG_FLUSH_INTERVAL_MESSAGES=1',
      'KAFKA_GROUP_MIN_SESSION_TIMEOUT_MS=1000',
    ]),
  )
  expect(args.at(-1)).toMatch(/^apache\/kafka:4\.\d+\.\d+$/)
})

test('every version of what is fetched is pinned', () => {
  const versions = [...pom.matchAll(/<version>([^<]+)<\/version>/g)].map(([, version]) => version)
  expect(versions.every((version) => /^\d+(\.\d+)*$/.test(version ?? ''))).toBe(true)
})

test('Maven’s reason is shortened to its first line', () => {
  expect(whyMavenFailed('[INFO] x\n[ERROR] Failed: Unknown host repo -> [Help 1]\n[ERROR] \n[ERROR] Re-run Maven with -e\n')).toBe('Failed: Unknown host repo')
})

test.each([
  ['java.io.IOException: No space left on device', 'the disk that holds /data is full'],
  [
    'org.apache.kafka.common.KafkaException: Socket server failed to bind to 127.0.0.1:9092: Address already in use.',
    '127.0.0.1:9092 is in use by another program',
  ],
  ['Failed to acquire lock on file .lock in /data/log', 'another Kafka uses /data'],
  ['all is well', undefined],
])('Kafka’s “%s” means: %s', (log, sentence) => {
  expect(explainKafkaLog('/data', log)).toBe(sentence)
})
