import { expect, test } from '@jest/globals'
import { chooseForStart, chooseForTests, type Probes } from '../../../stack/kafka/choose.ts'
import { javaMajor } from '../../../stack/kafka/java.ts'

const nothing: Probes = {
  java: async () => 'there is no Java',
  hasArtifacts: () => false,
  maven: async () => 'there is no Maven to fetch Kafka with',
  engine: async () => 'no Docker engine answers',
}
const java = { java: async () => ({ java: '/usr/bin/java' }) }
const maven = { maven: async () => ({ maven: 'mvn' }) }
const fetched = { hasArtifacts: () => true }
const engine = { engine: async () => true as const }
const unasked = async (): Promise<never> => {
  throw new Error('asked without need')
}

test('KAFKA_BROKERS comes first, and nothing else is looked for', async () => {
  const probes: Probes = { java: unasked, hasArtifacts: () => false, maven: unasked, engine: unasked }
  expect(await chooseForStart('a:9092', probes)).toEqual({ kind: 'external', brokers: 'a:9092' })
  expect(await chooseForTests('a:9092', probes)).toEqual({ kind: 'external', brokers: 'a:9092' })
})

test('npm start prefers the artifacts with the machine’s Java to Docker, and fetches them with Maven', async () => {
  expect(await chooseForStart(undefined, { ...nothing, ...java, ...maven, ...engine })).toEqual({ kind: 'artifacts', java: '/usr/bin/java', maven: 'mvn' })
})

test('artifacts that were fetched before need no Maven', async () => {
  expect(await chooseForStart(undefined, { ...nothing, ...java, ...fetched, maven: unasked })).toEqual({ kind: 'artifacts', java: '/usr/bin/java' })
})

test.each([
  ['Java', { ...nothing, ...maven, ...engine }],
  ['Maven', { ...nothing, ...java, ...engine }],
])('npm start takes Docker where there is no %s', async (_what, probes) => {
  expect(await chooseForStart(undefined, probes)).toEqual({ kind: 'docker' })
})

test('npm start says in one sentence what is missing', async () => {
  expect(await chooseForStart(undefined, nothing)).toEqual({
    kind: 'none',
    missing:
      'No Kafka to use: KAFKA_BROKERS is not set; there is no Java; no Docker engine answers. Install Java 17 and Maven, or start Docker, or name the brokers of a running Kafka in KAFKA_BROKERS.',
  })
})

test('tests prefer testcontainers where an engine answers', async () => {
  expect(await chooseForTests(undefined, { ...nothing, ...java, ...maven, ...engine })).toEqual({ kind: 'testcontainers' })
})

test('a docker program without an engine is no engine: tests take the artifacts', async () => {
  expect(await chooseForTests(undefined, { ...nothing, ...java, ...maven })).toEqual({ kind: 'artifacts', java: '/usr/bin/java', maven: 'mvn' })
})

test('tests say in one sentence what is missing', async () => {
  expect(await chooseForTests(undefined, nothing)).toMatchObject({
    kind: 'none',
    missing: expect.stringContaining('no Docker engine answers; there is no Java'),
  })
})

test.each([
  ['openjdk version "17.0.15" 2025-04-15', 17],
  ['java version "1.8.0_392"', 8],
  ['openjdk version "24" 2025-03-18', 24],
  ['no such thing', undefined],
])('the Java that says %s is %s', (output, major) => {
  expect(javaMajor(output)).toBe(major)
})
