/** What the documentation and the dashboard say is measured, on a running stack: everything is there, and moves when it has to. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt'
import { parse as parseYaml } from 'yaml'
import { rows } from '../../../stack/dashboard.ts'
import { declaredMetrics, type MetricSource } from '../../../stack/metric-tables.ts'
import { eventGridMetrics, metricHomes } from '../../../telemetry/eventgrid-metrics.ts'
import { type Python, pythonWith } from '../../support/kafka-python.ts'
import { SpanCollector } from '../../support/span-collector.ts'
import { type Stack, startStack, until } from '../../support/stack.ts'
import { jobs, missingPrometheus, configuration as prometheusConfiguration, promtool, startPrometheus } from '../../wire/prometheus.ts'

const project = join(import.meta.dirname, '../../..')
const withKafka = process.env.KAFKA_BROKERS ? describe : describe.skip

/** Families of a text in Prometheus' format. */
const familiesOf = (text: string): Set<string> => new Set([...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name]) => name as string))

interface Family {
  readonly name: string
  readonly type: string
  readonly samples: readonly (readonly [name: string, labels: Readonly<Record<string, string>>, value: number])[]
}

const parser = `
import json, sys
from prometheus_client.parser import text_string_to_metric_families
families = text_string_to_metric_families(sys.stdin.read())
print(json.dumps([{'name': f.name, 'type': f.type, 'samples': [[s.name, s.labels, s.value] for s in f.samples]} for f in families]))
`

/** As the Python client of the Prometheus project reads a text in its format. */
async function parse(program: string, text: string): Promise<readonly Family[]> {
  const child = spawn(program, ['-c', parser], { stdio: ['pipe', 'pipe', 'inherit'] })
  child.stdin.end(text)
  let told = ''
  child.stdout.setEncoding('utf8').on('data', (some: string) => (told += some))
  const [code] = await once(child, 'close')
  expect(code).toBe(0)
  return JSON.parse(told) as readonly Family[]
}

const withPrometheus = missingPrometheus === undefined ? test : test.skip
const whyNot = missingPrometheus === undefined ? '' : ` (skipped: ${missingPrometheus})`
/** What a stack in which nothing goes wrong has nothing to show for. */
const unseen = ['Messages that were lost or refused: delivery: {{reason}}']
const quiet = { code: 0, output: '', errors: '' }

const python: Python = process.env.KAFKA_BROKERS ? await pythonWith(['prometheus-client==0.26.0']) : { missing: 'KAFKA_BROKERS is not set' }
const withPython = 'missing' in python ? test.skip : test
const why = 'missing' in python ? ` (skipped: ${python.missing})` : ''

withKafka('the metrics of a running stack', () => {
  let stack: Stack
  let collector: SpanCollector
  const clients: MqttClient[] = []

  beforeAll(async () => {
    collector = await SpanCollector.start()
    stack = await startStack({ environment: { TRACE_ENDPOINT: collector.url, SESSION_PUBLISHES_IN_PER_SECOND_MAX: '20' } })
  }, 120_000)

  afterAll(async () => {
    for (const client of clients) client.end(true)
    await stack?.stop()
    collector?.close()
  })

  const scrape = async (process: string): Promise<string> => {
    const { ports } = await stack.process(process)
    return (await fetch(`http://127.0.0.1:${ports.internal ?? ports.status}/metrics`, { signal: AbortSignal.timeout(60_000) })).text()
  }
  /** Sum of the samples whose labels contain all of these. */
  const sample = async (process: string, name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> => {
    let sum = 0
    for (const line of (await scrape(process)).split('\n')) {
      if (!line.startsWith(`${name}{`) && !line.startsWith(`${name} `)) continue
      if (Object.entries(labels).every(([label, value]) => line.includes(`${label}="${value}"`))) sum += Number(line.slice(line.lastIndexOf(' ')))
    }
    return sum
  }
  /** What `act` makes of a sample; waits until it is another. */
  async function moves(process: string, name: string, labels: Readonly<Record<string, string>>, act: () => Promise<unknown>): Promise<void> {
    const before = await sample(process, name, labels)
    await act()
    await until(`${name} ${JSON.stringify(labels)} moves from ${before}`, 60_000, async () => (await sample(process, name, labels)) > before)
  }
  const connect = async (clientId: string, options: IClientOptions = {}, transport: 'mqtt' | 'ws' = 'mqtt'): Promise<MqttClient> => {
    const url = transport === 'ws' ? `ws://127.0.0.1:${stack.ports.ws}/mqtt` : `mqtt://127.0.0.1:${stack.ports.mqtt}`
    const client = await connectAsync(url, { protocolVersion: 5, clientId, reconnectPeriod: 0, ...options })
    client.on('error', () => {})
    clients.push(client)
    return client
  }

  test('everything that docs/metrics.md lists is there, and nothing else', async () => {
    const listed = async (...sources: MetricSource[]): Promise<string[]> =>
      (await Promise.all(sources.map((source) => declaredMetrics(project, source)))).flat().map(({ name }) => name)
    const traces = /^loggerhead_trace/
    for (const service of metricHomes) {
      const expected = new Set(await listed(service, ...(service === 'door' ? (['process'] as const) : (['log', 'process'] as const))))
      const families = familiesOf(await scrape(service))
      const hasTraces = service === 'gateway' || service === 'router'
      expect([service, [...expected].filter((name) => !families.has(name) && (hasTraces || !traces.test(name)))]).toEqual([service, []])
      expect([service, [...families].filter((name) => !expected.has(name))]).toEqual([service, []])
    }
  })

  withPython(`Prometheus’ own parser reads what every service tells${why}`, async () => {
    for (const service of metricHomes) {
      const text = await scrape(service)
      const parsed = await parse((python as { readonly program: string }).program, text)
      // The parser calls a counter by its name without the ending.
      const named = [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => [
        type === 'counter' ? name.replace(/_total$/, '') : name,
        type,
      ])
      expect([service, parsed.map(({ name, type }) => [name, type])]).toEqual([service, named])
      for (const { name, type, samples } of parsed) {
        if (type !== 'histogram') continue
        const series = Map.groupBy(samples, ([, labels]) => JSON.stringify({ ...labels, le: undefined }))
        for (const of of series.values()) {
          const buckets = of.filter(([sample]) => sample === `${name}_bucket`).map(([, , value]) => value)
          const [, , count] = of.find(([sample]) => sample === `${name}_count`) ?? []
          expect([name, buckets.toSorted((a, b) => a - b), buckets.at(-1)]).toEqual([name, buckets, count])
        }
      }
    }
  })

  test('every metric that the dashboard or an alert names is there', async () => {
    const families = new Set((await Promise.all(metricHomes.map(scrape))).flatMap((text) => [...familiesOf(text)]))
    for (const file of ['watching/dashboard.json', 'watching/alerts.yml']) {
      const named = new Set(readFileSync(join(project, file), 'utf8').match(/loggerhead_\w+/g))
      expect(named.size).toBeGreaterThan(5)
      const known = (name: string): boolean => families.has(name) || families.has(name.replace(/_(bucket|sum|count)$/, ''))
      expect([file, [...named].filter((name) => !known(name))]).toEqual([file, []])
    }
  })

  test.each([
    ['MQTT3', 4, 'mqtt'],
    ['MQTT5', 5, 'mqtt'],
    ['MQTT3-WS', 4, 'ws'],
    ['MQTT5-WS', 5, 'ws'],
  ] as const)('Mqtt.RequestCount, Connections and the latencies of %s move', async (protocol, protocolVersion, transport) => {
    // The canaries of /healthz speak MQTT5, too.
    const operations = ['Connect', 'Publish', 'Deliver', 'Subscribe', 'Unsubscribe'] as const
    const published = { qos: '1', protocol, retain: 'true' }
    const samples = (): Promise<number[]> =>
      Promise.all([
        ...operations.map((operation_type) => sample('gateway', 'loggerhead_mqtt_requests_total', { operation_type, protocol, result: 'Success' })),
        sample('gateway', 'loggerhead_mqtt_successful_published_messages_total', published),
        sample('gateway', 'loggerhead_mqtt_successful_publish_latency_seconds_count', published),
        sample('gateway', 'loggerhead_mqtt_successful_connect_latency_seconds_count', { protocol }),
        sample('gateway', 'loggerhead_mqtt_successful_delivered_messages_total', { qos: '1', protocol }),
        sample('gateway', 'loggerhead_mqtt_successful_subscription_operations_total', { protocol, operation_type: 'Subscribe' }),
        sample('gateway', 'loggerhead_mqtt_successful_subscription_operations_total', { protocol, operation_type: 'Unsubscribe' }),
      ])
    const before = await samples()
    const client = await connect(`requests-${protocol}`, { protocolVersion }, transport)
    const open = await sample('gateway', 'loggerhead_mqtt_connections', { protocol })
    expect(open).toBeGreaterThanOrEqual(1)
    const delivered = new Promise((resolve) => client.once('message', resolve))
    await client.subscribeAsync(`sample/${protocol}`, { qos: 1 })
    await client.publishAsync(`sample/${protocol}`, 'x', { qos: 1, retain: true })
    await delivered
    await client.unsubscribeAsync(`sample/${protocol}`)
    await until('all have moved', 60_000, async () => (await samples()).every((value, at) => value > (before[at] as number)))
    await client.endAsync()
    await until('it has left', 60_000, async () => (await sample('gateway', 'loggerhead_mqtt_connections', { protocol })) < open)
  })

  test('Mqtt.FailedPublishedMessages and FailedSubscriptionOperations move where there is no permission, each for one reason', async () => {
    const client = await connect('without-permission')
    const failed = { operation_type: 'Publish', protocol: 'MQTT5', result: 'ClientError', error: 'AuthorizationError' }
    const refused = async (): Promise<void> => {
      await expect(client.publishAsync('$SYS/forbidden', 'x', { qos: 1 })).rejects.toThrow('Not authorized')
    }
    await moves('gateway', 'loggerhead_mqtt_failed_published_messages_total', { qos: '1', error: 'AuthorizationError', retain: 'false' }, refused)
    await moves('gateway', 'loggerhead_mqtt_requests_total', failed, refused)
    await moves('gateway', 'loggerhead_refusals_total', { reason: 'publishNotPermitted' }, refused)
    const subscribe = async (): Promise<void> => {
      await client.subscribeAsync('$SYS/forbidden/#', { qos: 1 }).catch(() => {})
    }
    const filter = { operation_type: 'Subscribe', protocol: 'MQTT5', error: 'AuthorizationError' }
    await moves('gateway', 'loggerhead_mqtt_failed_subscription_operations_total', filter, subscribe)
    await moves('gateway', 'loggerhead_refusals_total', { reason: 'filterNotPermitted' }, subscribe)
  })

  test('a CONNECT whose authentication method is none fails as AuthenticationError', async () => {
    const properties = { authenticationMethod: 'guess', authenticationData: Buffer.from('x') }
    const knock = async (): Promise<void> => {
      await connectAsync(`mqtt://127.0.0.1:${stack.ports.mqtt}`, { protocolVersion: 5, properties, reconnectPeriod: 0 }, false).catch(() => {})
    }
    const failed = { operation_type: 'Connect', protocol: 'MQTT5', result: 'ClientError', error: 'AuthenticationError' }
    await moves('gateway', 'loggerhead_mqtt_requests_total', failed, knock)
    await moves('gateway', 'loggerhead_refusals_total', { reason: 'credentials' }, knock)
  })

  test('Mqtt.Throughput and ThrottlingEnforcements move: SESSION_PUBLISHES_IN_PER_SECOND_MAX', async () => {
    const client = await connect('throttled')
    const flood = (): Promise<unknown> => Promise.all(Array.from({ length: 60 }, (_, i) => client.publishAsync('sample/flood', String(i), { qos: 1 })))
    const throttle = { throttle_type: 'IncomingPublishPacketsPerConnection' }
    await moves('gateway', 'loggerhead_mqtt_throughput_bytes_total', { direction: 'Inbound' }, () =>
      moves('gateway', 'loggerhead_mqtt_throttling_enforcements_total', throttle, flood),
    )
  })

  test('Mqtt.DroppedSessions and the queues move: a session that is owed something expires', async () => {
    const client = await connect('expires', { clean: false, properties: { sessionExpiryInterval: 1 } })
    client.handleMessage = () => {} // acknowledges nothing
    await client.subscribeAsync('sample/owed', { qos: 1 })
    const publisher = await connect('owes')
    await moves('router', 'loggerhead_queued_messages', {}, () => publisher.publishAsync('sample/owed', 'x', { qos: 1 }))
    expect(await sample('router', 'loggerhead_queued_bytes')).toBeGreaterThan(0)
    expect(await sample('router', 'loggerhead_sessions')).toBeGreaterThanOrEqual(2)
    await moves('router', 'loggerhead_mqtt_dropped_sessions_total', { drop_reason: 'SessionExpiry' }, () => client.endAsync(true))
  })

  test('Mqtt.RetainedMessagesCount, RetainedMessagesSize and ExpiredRetainedMessages move', async () => {
    const client = await connect('retains')
    const retain = (topic: string, properties = {}) => client.publishAsync(topic, 'x', { qos: 1, retain: true, properties })
    await moves('router', 'loggerhead_mqtt_retained_messages', {}, () =>
      moves('router', 'loggerhead_mqtt_retained_messages_bytes', {}, () => retain('sample/retained/for-long')),
    )
    await moves('router', 'loggerhead_mqtt_expired_retained_messages_total', {}, () => retain('sample/retained/for-a-moment', { messageExpiryInterval: 1 }))
  })

  test('SuccessfulPublishedEvents, MatchedEventCount, UnmatchedEventCount, SuccessfulReceivedEvents, SuccessfulAcknowledgedEvents and those that failed move', async () => {
    const at = '/namespaces/default/topics/measured'
    expect((await stack.api('PUT', at, {})).status).toBe(201)
    const filtersConfiguration = { includedEventTypes: ['wanted'] }
    expect((await stack.api('PUT', `${at}/eventSubscriptions/all`, { deliveryConfiguration: { deliveryMode: 'Queue' }, filtersConfiguration })).status).toBe(
      201,
    )
    const post = async (path: string, body?: unknown, type = 'application/json') =>
      fetch(`${stack.url}/topics/measured${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${stack.apiKey}`, 'content-type': type },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
    const publish = (type: string) => post(':publish', { specversion: '1.0', id: type, source: 's', type }, 'application/cloudevents+json')
    await until('the gateway knows the topic', 60_000, async () => (await publish('passed over')).status === 200)
    const of = { topic: 'measured', event_subscription: 'all' }
    await moves('router', 'loggerhead_matched_events_total', of, () =>
      moves('gateway', 'loggerhead_successful_published_events_total', { topic: 'measured' }, async () => expect((await publish('wanted')).status).toBe(200)),
    )
    await until('the other was filtered', 60_000, async () => (await sample('router', 'loggerhead_filtered_events_total', of)) > 0)
    await until('nobody else wants it', 60_000, async () => (await sample('router', 'loggerhead_unmatched_events_total', { topic: 'measured' })) > 0)
    await moves('gateway', 'loggerhead_failed_published_events_total', { topic: 'measured', error: 'ClientError', error_type: 'BadRequest' }, () => publish(''))
    let token = ''
    await moves('router', 'loggerhead_successful_received_events_total', of, async () => {
      const answer = (await (await post('/eventsubscriptions/all:receive?maxWaitTime=60')).json()) as {
        readonly value: readonly { readonly brokerProperties: { readonly lockToken: string } }[]
      }
      token = answer.value[0]?.brokerProperties.lockToken ?? ''
    })
    await moves('router', 'loggerhead_successful_acknowledged_events_total', of, () => post('/eventsubscriptions/all:acknowledge', { lockTokens: [token] }))
    const lost = { ...of, error: 'ClientError', error_type: 'TokenLost' }
    await moves('router', 'loggerhead_failed_acknowledged_events_total', lost, () => post('/eventsubscriptions/all:acknowledge', { lockTokens: [token] }))
    expect(await sample('gateway', 'loggerhead_publish_latency_seconds_count', { topic: 'measured' })).toBeGreaterThan(0)
    expect(await sample('router', 'loggerhead_receive_latency_seconds_count', of)).toBe(1)
    expect((await stack.api('DELETE', at)).status).toBe(204)
    await until(
      'the series are gone',
      60_000,
      async () => !(await scrape('router')).includes('topic="measured"') && !(await scrape('gateway')).includes('topic="measured"'),
    )
  }, 120_000)

  withPrometheus(`promtool finds nothing to say about what every service tells, nor about the configuration that the compose file uses${whyNot}`, async () => {
    for (const service of metricHomes) expect([service, await promtool(['check', 'metrics'], await scrape(service))]).toEqual([service, quiet])
    const compose = parseYaml(readFileSync(join(project, 'docker-compose.yml'), 'utf8')) as {
      readonly configs: Readonly<Record<string, { readonly file: string }>>
    }
    expect([compose.configs.prometheus?.file, compose.configs.alerts?.file]).toEqual(['watching/prometheus.yml', 'watching/alerts.yml'])
    const folder = await mkdtemp(join(tmpdir(), 'loggerhead-promtool-'))
    await writeFile(join(folder, 'prometheus.yml'), prometheusConfiguration())
    expect(await promtool(['check', 'config', '--lint=all', '--lint-fatal', join(folder, 'prometheus.yml')])).toMatchObject({ code: 0, errors: '' })
    await rm(folder, { recursive: true })
    expect([...jobs()].sort()).toEqual([...metricHomes].sort())
  })

  withPrometheus(
    `a Prometheus that asks every process evaluates all that the dashboard and the alerts ask, and has what is to be seen${whyNot}`,
    async () => {
      const processes = Object.entries(await stack.processes())
      const of = (job: string): readonly string[] =>
        processes.flatMap(([name, { ports }]) => (name.startsWith(job) ? [`127.0.0.1:${ports.internal ?? ports.status}`] : []))
      const prometheus = await startPrometheus(Object.fromEntries(jobs().map((job) => [job, of(job)])))
      try {
        await until('every target is up', 60_000, async () => {
          const targets = await prometheus.targets()
          return targets.length >= metricHomes.length && targets.every(({ health }) => health === 'up')
        })
        const client = await connect('on-the-dashboard', { properties: { sessionExpiryInterval: 60 } })
        await client.subscribeAsync('sample/dashboard', { qos: 1 })
        await client.publishAsync('sample/dashboard', 'x', { qos: 1, retain: true })
        await expect(client.publishAsync('$SYS/forbidden', 'x', { qos: 1 })).rejects.toThrow('Not authorized')
        await Promise.all(Array.from({ length: 60 }, (_, i) => client.publishAsync('sample/dashboard', String(i), { qos: 1 })))
        await client.endAsync()
        await connect('on-the-dashboard', { clean: true })
        expect((await stack.api('GET', '/namespaces/default')).status).toBe(200)
        const asked = rows.flatMap(({ panels }) =>
          panels.flatMap(({ title, queries }) => Object.entries(queries).map(([legend, query]) => ({ title, legend, query }))),
        )
        // A scrape that is late on a busy machine takes series away for a moment: what had data once has it.
        let still = asked
        await until(
          () => `all but these have data: ${still.map(({ title, legend }) => `${title}: ${legend}`).join(', ')}`,
          60_000,
          async () => {
            const series = await Promise.all(
              still.map(({ query }) => prometheus.query(query.replaceAll('$__rate_interval', '1m').replaceAll('$namespace', '.*'))),
            )
            still = still.filter((_, i) => series[i]?.length === 0)
            return still.every(({ title, legend }) => unseen.includes(`${title}: ${legend}`))
          },
        )
        // Of alerts there is nothing to see while none is raised.
        const alerts = parseYaml(readFileSync(join(project, 'watching/alerts.yml'), 'utf8')) as {
          readonly groups: readonly { readonly rules: readonly { readonly expr: string }[] }[]
        }
        for (const { expr } of alerts.groups.flatMap(({ rules }) => rules)) await prometheus.query(expr)
      } finally {
        await prometheus.stop()
      }
    },
    180_000,
  )

  test('Kafka, the event loop and memory are measured by every service that has them', async () => {
    for (const service of ['gateway', 'router', 'registry']) {
      for (const name of ['loggerhead_log_append_seconds_count', 'loggerhead_log_produce_seconds_count', 'loggerhead_log_batch_records_sum'])
        expect([service, name, (await sample(service, name)) > 0]).toEqual([service, name, true])
      for (const name of ['loggerhead_nodejs_eventloop_lag_p99_seconds', 'loggerhead_process_resident_memory_bytes', 'loggerhead_build_info'])
        expect([service, name, (await sample(service, name)) > 0]).toEqual([service, name, true])
    }
    expect(await sample('router', 'loggerhead_log_fetched_bytes_total')).toBeGreaterThan(0)
    await until('the router has no lag', 60_000, async () => (await sample('router', 'loggerhead_router_lag_records')) === 0)
    expect(await sample('router', 'loggerhead_shards')).toBe(4)
  })

  test('no label holds what a client chose', async () => {
    const text = (await Promise.all(metricHomes.map(scrape))).join('\n')
    for (const chosen of ['without-permission', 'forbidden', 'sample/', 'requests-']) expect(text).not.toContain(chosen)
    expect(eventGridMetrics.every(({ labels }) => !labels.includes('client_id'))).toBe(true)
  })
})
