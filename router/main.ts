import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pino } from 'pino'
import { collectDefaultMetrics, Registry } from 'prom-client'
import { kafkaConnection } from '../log/kafka/connection-settings.ts'
import { KafkaLog } from '../log/kafka/kafka-log.ts'
import { TopicMismatch } from '../log/log.ts'
import { ensureTopics, planTopics, topicSpecs } from '../log/topics.ts'
import { RegistryFollower } from '../model/registry-follower.ts'
import { SettingError } from '../settings/setting.ts'
import { readRouterConfig } from './config.ts'
import { createRouterMetrics } from './metrics.ts'
import { Router } from './router.ts'

const logger = pino({ base: { name: 'router', pid: process.pid } })

// The supervisor is gone: nobody would stop this process any more.
process.on('disconnect', () => process.exit(0))

function fail(error: unknown, message: string): never {
  if (error instanceof SettingError || error instanceof TopicMismatch) logger.fatal(error.message)
  else logger.fatal({ err: error }, message)
  process.exit(1)
}

async function run(): Promise<void> {
  const { values, config, tls } = readRouterConfig(process.env)
  const prometheus = new Registry()
  collectDefaultMetrics({ register: prometheus, prefix: 'loggerhead_' })
  const log = new KafkaLog({ ...kafkaConnection(values), clientId: config.routerId, logger, metrics: prometheus })
  const plan = planTopics(values, config.namespace, config.profile)
  await ensureTopics(log, topicSpecs(plan), config.profile)
  const registry = await RegistryFollower.start({
    log,
    topic: plan.names.registry,
    clock: { now: () => performance.now() },
    onFailed: (error) => fail(error, 'the registry can no longer be followed'),
  })
  const router = new Router({
    config,
    log,
    topics: plan.names,
    registry,
    metrics: createRouterMetrics(prometheus),
    logger,
    now: Date.now,
    tls,
    onFailed: (error) => fail(error, 'the router cannot go on and ends, to start anew from the log'),
  })

  const key = values.INTERNAL_KEY_FILE === '' ? undefined : readFileSync(values.INTERNAL_KEY_FILE, 'utf8').trim()
  const apis = [router.sessionsApi(key), router.retainedApi(key)]
  const server = createServer((request, response) => {
    if (apis.some((api) => api.handle(request, response))) return
    if (request.url === '/status') {
      const status = router.status() as { kafka: { reachable: boolean } }
      response.setHeader('content-type', 'application/json').end(JSON.stringify({ ok: status.kafka.reachable, ...status }))
    } else if (request.url === '/metrics') {
      void prometheus.metrics().then((text) => response.setHeader('content-type', prometheus.contentType).end(text))
    } else response.writeHead(404).end()
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(values.INTERNAL_PORT, values.LOGGERHEAD_INTERNAL_BIND, resolve)
  })

  process.once('SIGTERM', () => {
    logger.info('stopping')
    server.close()
    // Whatever does not end in time is in the log all the same.
    setTimeout(() => process.exit(0), 5_000).unref()
    router
      .close()
      .then(() => registry.close())
      .then(() => log.close())
      .then(
        () => process.exit(0),
        (error) => fail(error, 'could not stop orderly'),
      )
  })
  await router.start()
  const ports = { internal: (server.address() as AddressInfo).port }
  logger.info({ ports }, 'routing')
  process.send?.({ ready: true, ports })
}

run().catch((error) => fail(error, 'the router could not start'))
