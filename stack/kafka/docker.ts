import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { ProcessSpec } from '../supervised-process.ts'
import { askKafka } from './answers.ts'
import { kafkaVersion } from './artifacts.ts'
import { explainKafkaLog } from './node.ts'
import { serverProperties } from './properties.ts'

const run = promisify(execFile)

export interface DockerOptions {
  /** Name of the container; whatever has it already is removed. */
  readonly name: string
  /** On this machine; mounted into the container. */
  readonly folder: string
  readonly port: number
  readonly flushEveryAppend: boolean
}

/** The official image takes its settings as variables: `log.dirs` is KAFKA_LOG_DIRS. */
export function asVariables(properties: string): Record<string, string> {
  const variables: Record<string, string> = {}
  for (const line of properties.trim().split('\n')) {
    const [name = '', ...value] = line.split('=')
    variables[`KAFKA_${name.replaceAll('.', '_').toUpperCase()}`] = value.join('=')
  }
  return variables
}

/** The arguments of `docker` that run Kafka with its log on this machine and its listener on loopback. */
export function dockerArguments({ name, folder, port, flushEveryAppend }: DockerOptions, user: string): string[] {
  const properties = serverProperties({
    folder: '/var/lib/kafka/data',
    host: '127.0.0.1',
    port,
    controllerPort: 9093,
    flushEveryAppend,
    more: {
      listeners: `PLAINTEXT://0.0.0.0:${port},CONTROLLER://127.0.0.1:9093`,
      'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}`,
      'inter.broker.listener.name': 'PLAINTEXT',
    },
  })
  return [
    ...['run', '--rm', '--name', name, '--user', user, '-p', `127.0.0.1:${port}:${port}`, '-v', `${folder}:/var/lib/kafka/data`],
    ...['-e', 'KAFKA_HEAP_OPTS=-Xms256m -Xmx512m'],
    ...Object.entries(asVariables(properties)).flatMap(([variable, value]) => ['-e', `${variable}=${value}`]),
    `apache/kafka:${kafkaVersion}`,
  ]
}

/** Kafka in a container. */
export async function prepareContainer(options: DockerOptions): Promise<ProcessSpec> {
  await run('docker', ['rm', '-f', options.name]).catch(() => {})
  return {
    name: 'kafka',
    command: 'docker',
    args: dockerArguments(options, `${process.getuid?.() ?? 1000}:${process.getgid?.() ?? 1000}`),
    environment: process.env,
    ports: { kafka: options.port },
    ready: () => askKafka('127.0.0.1', options.port, 1_000),
    stopMs: 20_000,
    beforeStop: async () => {
      await run('docker', ['stop', '-t', '15', options.name]).catch(() => {})
    },
    explain: (log) => explainKafkaLog(options.folder, log),
  }
}
