/** One message is one trace, from its PUBLISH at one gateway through the router to its subscribers at another. */
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { connectAsync, type IPublishPacket, type MqttClient } from 'mqtt'
import { Cluster, type Member } from '../../support/cluster.ts'
import { SpanCollector } from '../../support/span-collector.ts'
import { until } from '../../support/stack.ts'

const withKafka = process.env.KAFKA_BROKERS ? describe : describe.skip

/** An id of its own for every trace, 32 digits. */
const freshTrace = (): string =>
  Array.from({ length: 4 }, () =>
    Math.floor(Math.random() * 0xffff_ffff)
      .toString(16)
      .padStart(8, '1'),
  ).join('')
const parentSpan = 'b7ad6b7169203331'

interface Got {
  readonly payload: string
  readonly properties: readonly (readonly [string, string])[]
}

withKafka('a message that is traced', () => {
  let cluster: Cluster
  let collector: SpanCollector
  const clients: MqttClient[] = []

  const gateway = (index: number) => cluster.gateways[index] as Member
  const connect = async (at: number, clientId: string, protocolVersion: 4 | 5 = 5): Promise<MqttClient> => {
    const client = await connectAsync(`mqtt://127.0.0.1:${gateway(at).ports.mqtt}`, { protocolVersion, clientId, clean: true, reconnectPeriod: 0 })
    clients.push(client)
    return client
  }
  /** Subscribes, and what comes of it. */
  const subscriber = async (at: number, clientId: string, filter: string, qos: 0 | 1 | 2): Promise<(count: number) => Promise<readonly Got[]>> => {
    const client = await connect(at, clientId)
    const got: Got[] = []
    client.on('message', (_topic, payload, packet: IPublishPacket) => {
      const properties = Object.entries(packet.properties?.userProperties ?? {}).flatMap(([name, value]) => [value].flat().map((each) => [name, each] as const))
      got.push({ payload: payload.toString(), properties })
    })
    await client.subscribeAsync(filter, { qos })
    return (count) => until(`${count} messages for ${clientId}`, 60_000, () => got.length >= count && got)
  }
  const publish = (client: MqttClient, topic: string, userProperties: Record<string, string | string[]>, qos: 0 | 1 | 2 = 1) =>
    client.publishAsync(topic, 'x', { qos, ...(Object.keys(userProperties).length > 0 && { properties: { userProperties } }) })

  beforeAll(async () => {
    collector = await SpanCollector.start()
    cluster = await Cluster.start({ gateways: 2, routers: 1, environment: { TRACE_ENDPOINT: collector.url, TRACES_PER_MILLION: '1000000' } })
  }, 120_000)

  afterAll(async () => {
    for (const client of clients) client.end(true)
    await cluster?.stop()
    collector?.close()
  })

  test('goes on in its publisher’s trace: publish, match, and a deliver for each subscriber, each the child of the one before', async () => {
    const [far, near] = await Promise.all([subscriber(1, 'far', 'traced/one', 1), subscriber(0, 'near', 'traced/one', 2)])
    const traceId = freshTrace()
    await publish(await connect(0, 'publisher'), 'traced/one', { traceparent: `00-${traceId}-${parentSpan}-01`, tracestate: 'vendor=1', other: 'y' })
    const spans = await collector.trace(traceId, 4)
    const of = (name: string) => spans.filter((span) => span.name === name)
    const [published] = of('publish')
    const [matched] = of('match')
    expect(published).toMatchObject({
      service: 'loggerhead-gateway',
      instance: 'gateway',
      parentSpanId: parentSpan,
      events: ['appended'],
      traceState: 'vendor=1',
      problem: '',
    })
    expect(published?.attributes).toMatchObject({ 'messaging.destination.name': 'traced/one', 'messaging.client.id': 'publisher', 'mqtt.qos': 1 })
    expect(matched).toMatchObject({ service: 'loggerhead-router', instance: 'router', parentSpanId: published?.spanId })
    expect(
      of('deliver')
        .map(({ service, instance, parentSpanId, attributes, problem }) => [service, instance, parentSpanId, attributes['messaging.client.id'], problem])
        .sort(),
    ).toEqual([
      ['loggerhead-gateway', 'gateway', matched?.spanId, 'near', ''],
      ['loggerhead-gateway', 'gateway-2', matched?.spanId, 'far', ''],
    ])
    for (const { start, end } of spans) expect(end).toBeGreaterThanOrEqual(start)
    // What the publisher said goes on unaltered and in its order [MQTT-3.3.2-17, -18].
    const expected = [
      ['traceparent', `00-${traceId}-${parentSpan}-01`],
      ['tracestate', 'vendor=1'],
      ['other', 'y'],
    ]
    expect((await far(1))[0]?.properties).toEqual(expected)
    expect((await near(1))[0]?.properties).toEqual(expected)
  })

  test('begins a trace where its publisher has none, and subscribers are told of it', async () => {
    const got = await subscriber(1, 'told', 'traced/begun', 2)
    await publish(await connect(0, 'plain'), 'traced/begun', { other: 'y' }, 2)
    const [message] = await got(1)
    const [other, told] = message?.properties ?? []
    expect([other, told?.[0]]).toEqual([['other', 'y'], 'traceparent'])
    const [, traceId = '', parent] = /^00-([0-9a-f]{32})-([0-9a-f]{16})-01$/.exec(told?.[1] ?? '') ?? []
    const spans = await collector.trace(traceId, 3)
    expect(spans.map(({ name, parentSpanId }) => [name, parentSpanId]).sort()).toEqual([
      ['deliver', parent],
      ['match', spans.find(({ name }) => name === 'publish')?.spanId],
      ['publish', ''],
    ])
    expect(spans.find(({ name }) => name === 'match')?.spanId).toBe(parent)
  })

  test('a subscriber of MQTT 3.1.1 gets what it always got', async () => {
    const client = await connect(1, 'old', 4)
    const payloads: string[] = []
    client.on('message', (_topic, payload) => payloads.push(payload.toString()))
    await client.subscribeAsync('traced/old', { qos: 1 })
    const traceId = freshTrace()
    await publish(await connect(0, 'to-old'), 'traced/old', { traceparent: `00-${traceId}-${parentSpan}-01` })
    await collector.trace(traceId, 3)
    await until('it has come', 60_000, () => payloads.length > 0)
    expect(payloads).toEqual(['x'])
  })

  test('is not traced when its publisher says that nobody records the trace', async () => {
    const got = await subscriber(1, 'unrecorded', 'traced/no', 1)
    const publisher = await connect(0, 'says-no')
    const [no, after] = [freshTrace(), freshTrace()]
    await publish(publisher, 'traced/no', { traceparent: `00-${no}-${parentSpan}-00` })
    await publish(publisher, 'traced/no', { traceparent: `00-${after}-${parentSpan}-01` })
    await collector.trace(after, 3)
    expect(collector.spans.filter(({ traceId }) => traceId === no)).toEqual([])
    expect((await got(2))[0]?.properties).toEqual([['traceparent', `00-${no}-${parentSpan}-00`]])
  })

  test('a traceparent that is none is ignored, given on as it came, and counted', async () => {
    const got = await subscriber(1, 'malformed', 'traced/malformed', 1)
    const counted = () => gateway(0).metric('loggerhead_traceparents_malformed_total')
    const before = await counted()
    const publisher = await connect(0, 'hostile')
    const malformed = ['nonsense', `00-${'0'.repeat(32)}-${parentSpan}-01`, 'x'.repeat(5_000)]
    for (const traceparent of malformed) await publish(publisher, 'traced/malformed', { traceparent })
    await publish(publisher, 'traced/malformed', { traceparent: [`00-${freshTrace()}-${parentSpan}-01`, `00-${freshTrace()}-${parentSpan}-01`] })
    const messages = await got(4)
    expect((await counted()) - before).toBe(4)
    for (const [i, traceparent] of malformed.entries()) expect(messages[i]?.properties[0]).toEqual(['traceparent', traceparent])
    // A trace of its own begins instead.
    expect(messages[0]?.properties[1]?.[1]).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/)
  })

  test('TRACE_SPANS_WAITING_MAX: a collector that is away costs spans, which are counted, and no message', async () => {
    const { prefix } = cluster
    await gateway(1).end('SIGTERM')
    await gateway(1).start({ LOGGERHEAD_PREFIX: prefix, TRACE_ENDPOINT: 'http://127.0.0.1:9/v1/traces', TRACE_SPANS_WAITING_MAX: '5' })
    await cluster.untilServed()
    const publisher = await connect(1, 'without-collector')
    // How many at a time depends on when the log answers, and on how soon the collector is found to be away.
    await until('spans are dropped', 60_000, async () => {
      await Promise.all(Array.from({ length: 50 }, () => publish(publisher, 'traced/lost', {})))
      return (await gateway(1).metric('loggerhead_trace_spans_total', 'outcome="dropped"')) > 0
    })
  })
})
