import { hostname } from 'node:os'
import { kafkaConnection } from '../log/kafka/connection-settings.ts'
import { KafkaLog } from '../log/kafka/kafka-log.ts'
import { openSchemaIds, SchemaRegistryError } from '../log/schema-registry/schema-ids.ts'
import { schemaRegistryConfig, schemaRegistrySettings } from '../log/schema-registry/settings.ts'
import { PartitionsChanged } from '../model/partition-change.ts'
import { readSettings, SettingError } from '../settings/setting.ts'
import { openLogger } from '../telemetry/logger.ts'
import { readRegistryConfig } from './config.ts'
import { startRegistry } from './process.ts'

const logger = openLogger('registry', undefined, process.env)

// The supervisor is gone: nobody would stop this process any more.
process.on('disconnect', () => process.exit(0))

const fail = (message: string, error: unknown): never => {
  logger.fatal({ error }, error instanceof SettingError || error instanceof SchemaRegistryError || error instanceof PartitionsChanged ? error.message : message)
  process.exit(1)
}

try {
  const config = readRegistryConfig(process.env)
  const connection = kafkaConnection(config)
  const registry = await startRegistry({
    config,
    logger,
    openLog: (metrics) => new KafkaLog({ ...connection, clientId: `loggerhead-registry-${hostname()}`, logger, metrics }),
    schemaIds: openSchemaIds(schemaRegistryConfig(readSettings(schemaRegistrySettings, process.env)), logger),
    onFailed: (error) => fail('the registry cannot go on', error),
  })
  const stop = (signal: string): void => {
    logger.info({ signal }, 'stopping')
    registry.close().then(
      () => process.exit(0),
      (error: unknown) => fail('could not stop orderly', error),
    )
  }
  process.once('SIGTERM', stop)
  process.once('SIGINT', stop)
  logger.info({ ports: registry.ports }, 'the registry answers')
  process.send?.({ ready: true, ports: registry.ports })
} catch (error) {
  fail('the registry could not start', error)
}
