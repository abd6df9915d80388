import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Stack, startStack } from '../../test/support/stack.ts'
import type { Broker, BrokerKind } from './broker.ts'

const { version } = JSON.parse(readFileSync(join(import.meta.dirname, '../../package.json'), 'utf8')) as { version: string }

export interface LoggerheadBroker extends Broker {
  readonly stack: Stack
}

/** `npm start` as it is, with a Kafka of its own. */
export async function startLoggerhead(environment: Readonly<Record<string, string>> = {}): Promise<LoggerheadBroker> {
  // Ten thousand connections come from one address here.
  const stack = await startStack({ kafka: 'own', environment: { CONNECTIONS_PER_ADDRESS_MAX: '20000', CONNECTS_PER_SECOND_MAX: '20000', ...environment } })
  const { ca, clientCertificate, clientKey } = stack.certificates
  return {
    name: 'loggerhead',
    version,
    durability: 'page cache',
    port: stack.ports.mqtt,
    tls: { port: stack.ports.mqtts, ca, cert: clientCertificate, key: clientKey, username: 'sample_client' },
    stack,
    pids: async () => Object.fromEntries(Object.entries(await stack.processes()).map(([name, { pid }]) => [name, pid])),
    stop: async () => {
      await stack.stop()
    },
  }
}

export const loggerhead: BrokerKind = { name: 'loggerhead', missing: () => null, start: () => startLoggerhead() }
