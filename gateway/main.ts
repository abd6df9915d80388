import { readFileSync } from 'node:fs'
import { kafkaConnection, kafkaSettings } from '../log/kafka/connection-settings.ts'
import { KafkaLog } from '../log/kafka/kafka-log.ts'
import { openSchemaIds, SchemaRegistryError } from '../log/schema-registry/schema-ids.ts'
import { schemaRegistryConfig, schemaRegistrySettings } from '../log/schema-registry/settings.ts'
import { type Profile, planTopics, topicSettings } from '../log/topics.ts'
import { PartitionsChanged } from '../model/partition-change.ts'
import { readSettings, SettingError } from '../settings/setting.ts'
import { letHeapGrow } from '../telemetry/heap-growth.ts'
import { openLogger } from '../telemetry/logger.ts'
import { openTracing } from '../telemetry/open-tracing.ts'
import { telemetrySettings } from '../telemetry/telemetry-settings.ts'
import { exitMs, readGatewayConfig, withinHistory } from './config.ts'
import { ListenError } from './listeners.ts'
import { processMetrics, readKey, startGateway } from './process.ts'

const logger = openLogger('gateway', process.env.GATEWAY_ID || undefined, process.env)

async function main(): Promise<void> {
  letHeapGrow()
  const environment = process.env
  const connection = kafkaConnection(readSettings(kafkaSettings, environment))
  const given = readGatewayConfig(environment)
  const plan = planTopics(readSettings(topicSettings, environment), given.LOGGERHEAD_NAMESPACE, given.LOGGERHEAD_PROFILE as Profile)
  const config = withinHistory(given, plan.historyWindowMs, environment)
  const metricsRegistry = processMetrics(logger)
  const log = new KafkaLog({ ...connection, clientId: `loggerhead-${config.GATEWAY_ID}`, logger, metrics: metricsRegistry })
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { version: string }
  const fail = (error: unknown): never => {
    logger.fatal({ err: error }, 'the gateway cannot go on')
    process.exit(1)
  }
  const tracing = await openTracing({
    config: readSettings(telemetrySettings, environment),
    key: readKey(config.INTERNAL_KEY_FILE) ?? Buffer.alloc(0),
    service: 'gateway',
    instance: config.GATEWAY_ID,
    registry: metricsRegistry,
    logger,
  })
  let stopping = false
  let running: Awaited<ReturnType<typeof startGateway>> | null = null
  const stop = (): void => {
    if (stopping) {
      running?.hurry()
      return
    }
    stopping = true
    // Whatever is still open then.
    setTimeout(() => process.exit(0), config.DRAIN_PERIOD + config.SHUTDOWN_TIMEOUT + exitMs).unref()
    const orderly = async (): Promise<void> => {
      await running?.stop()
      await tracing?.close()
      await Promise.race([log.close(), new Promise((resolve) => setTimeout(resolve, exitMs / 2))])
    }
    orderly().then(
      () => process.exit(0),
      (error: unknown) => fail(error),
    )
  }
  process.on('SIGTERM', stop)
  process.on('SIGINT', stop)
  // Without its supervisor the process is an orphan that would hold the ports: no farewell, the log tells the rest.
  process.on('disconnect', () => process.exit(1))
  const schemaIds = openSchemaIds(schemaRegistryConfig(readSettings(schemaRegistrySettings, environment)), logger)
  running = await startGateway({ config, plan, log, schemaIds, logger, metricsRegistry, version, tracing, onFailed: fail })
  if (stopping) return stop()
  logger.info({ ports: running.ports }, 'ready')
  process.send?.({ ready: true, ports: running.ports })
}

main().catch((error: unknown) => {
  if (error instanceof SettingError || error instanceof ListenError || error instanceof SchemaRegistryError || error instanceof PartitionsChanged)
    logger.fatal(error.message)
  else logger.fatal({ err: error }, error instanceof Error ? error.message : 'the gateway could not start')
  process.exit(1)
})
