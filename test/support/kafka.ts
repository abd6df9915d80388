import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Guard } from '../../stack/guard.ts'
import { fetchArtifacts, kafkaVersion } from '../../stack/kafka/artifacts.ts'
import { chooseForTests, type Probes } from '../../stack/kafka/choose.ts'
import { asVariables } from '../../stack/kafka/docker.ts'
import { prepareNode } from '../../stack/kafka/node.ts'
import { machineProbes } from '../../stack/kafka/probes.ts'
import { serverProperties } from '../../stack/kafka/properties.ts'
import { findFreePorts } from '../../stack/ports.ts'
import { SupervisedProcess } from '../../stack/supervised-process.ts'
import { endOfLogs } from './last-words.ts'

/** A real Kafka for tests. */
export interface TestKafka {
  /** host:port, comma-separated. */
  readonly brokers: string
  /** Where it comes from, in words. */
  readonly origin: string
  /** What it said last; empty where it does not tell this process. */
  lastWords(): string
  stop(): Promise<void>
}

const project = dirname(dirname(import.meta.dirname))

export interface NodeForTests {
  readonly java: string
  readonly maven?: string
  readonly say?: (line: string) => void
  /** More settings of its server.properties, or others; made of its ports when they are needed. */
  readonly more?: (ports: { readonly port: number; readonly controllerPort: number }) => Readonly<Record<string, string>>
  readonly javaOptions?: readonly string[]
}

/** Of the Kafka that all tests share: who waits for a compaction waits for no cleaner that rests 15 s. */
const sharedSettings = { 'log.cleaner.backoff.ms': '200' }

/** A Kafka of one's own from the artifacts, on free ports in a temporary folder. */
async function startNode({ java, maven, say = () => {}, more, javaOptions = [] }: NodeForTests): Promise<TestKafka> {
  await fetchArtifacts({ project, say, ...(maven !== undefined && { maven }) })
  const folder = await mkdtemp(join(tmpdir(), 'loggerhead-kafka-'))
  const [port = 0, controllerPort = 0] = await findFreePorts(2)
  const spec = await prepareNode({
    project,
    java,
    folder,
    host: '127.0.0.1',
    port,
    controllerPort,
    flushEveryAppend: false,
    javaOptions,
    ...(more && { more: more({ port, controllerPort }) }),
  })
  const guard = new Guard()
  const node = new SupervisedProcess({ spec, logPath: join(folder, 'kafka.log'), guard, onChange: () => {}, say })
  const stop = async () => {
    await node.stop()
    await spec.afterStop()
    guard.close()
    await rm(folder, { recursive: true, force: true })
  }
  try {
    await node.start()
  } catch (error) {
    await stop()
    throw error
  }
  return { brokers: `127.0.0.1:${port}`, origin: `Apache Kafka ${kafkaVersion} from Maven Central`, lastWords: () => endOfLogs(folder), stop }
}

/** The official image through testcontainers; loaded here only, because it is large. */
async function startContainer(): Promise<TestKafka> {
  const { GenericContainer, Wait } = await import('testcontainers')
  const [port = 0] = await findFreePorts(1)
  const properties = serverProperties({
    folder: '/tmp/kafka',
    host: '127.0.0.1',
    port,
    controllerPort: 9093,
    flushEveryAppend: false,
    more: { ...sharedSettings, listeners: `PLAINTEXT://0.0.0.0:${port},CONTROLLER://127.0.0.1:9093`, 'inter.broker.listener.name': 'PLAINTEXT' },
  })
  const container = await new GenericContainer(`apache/kafka:${kafkaVersion}`)
    .withExposedPorts({ container: port, host: port })
    .withEnvironment(asVariables(properties))
    .withWaitStrategy(Wait.forLogMessage(/Kafka Server started/))
    .withStartupTimeout(180_000)
    .start()
  return {
    brokers: `127.0.0.1:${port}`,
    origin: `apache/kafka:${kafkaVersion} through testcontainers`,
    lastWords: () => '',
    stop: async () => {
      await container.stop()
    },
  }
}

/** The Kafka that a test run uses: chosen by stack/kafka/choose.ts. */
export async function startTestKafka(
  say: (line: string) => void,
  environment: NodeJS.ProcessEnv = process.env,
  probes: Probes = machineProbes(project),
): Promise<TestKafka> {
  const choice = await chooseForTests(environment.KAFKA_BROKERS || undefined, probes)
  switch (choice.kind) {
    case 'external':
      return { brokers: choice.brokers, origin: 'KAFKA_BROKERS', lastWords: () => '', stop: async () => {} }
    case 'testcontainers':
      return startContainer()
    case 'artifacts':
      return startNode({ ...choice, say, more: () => sharedSettings })
    case 'none':
      throw new Error(choice.missing)
    case 'docker':
      throw new Error('tests use Docker through testcontainers')
  }
}
