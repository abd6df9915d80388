/** The pushers of a router, over subscriptions in a log in memory and a receiver in another process. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from '@jest/globals'
import type { Logger } from 'pino'
import { Registry } from 'prom-client'
import { AddressSet } from '../../../model/ip-rules.ts'
import { createPushMetrics } from '../../../router/push/push-metrics.ts'
import { pushSettings, readPushConfig } from '../../../router/push/push-settings.ts'
import { Pushers } from '../../../router/push/pushers.ts'
import type { Subscription } from '../../../router/subscriptions/subscription.ts'
import { readSettings } from '../../../settings/setting.ts'
import { until } from '../../support/stack.ts'
import { WebhookReceiver } from '../../support/webhook-receiver.ts'
import { SubscriptionWorld } from '../../unit/router/subscriptions/world.ts'

const silent = { debug() {}, info() {}, warn() {}, error() {} } as unknown as Logger
let receiver: WebhookReceiver
let world: SubscriptionWorld
let metrics: Registry
const running: Pushers[] = []
beforeAll(async () => {
  receiver = await WebhookReceiver.start()
})
beforeEach(async () => {
  world = await SubscriptionWorld.open()
})
afterEach(async () => {
  for (const pushers of running.splice(0)) pushers.close()
  await world.close()
})
afterAll(() => receiver.stop())

function pushersOf(subscriptions: () => readonly Subscription[], environment: Readonly<Record<string, string>> = {}): Pushers {
  metrics = new Registry()
  const pushers = new Pushers({
    config: readPushConfig(readSettings(pushSettings, { PUSH_RETRY_DELAYS: '10ms', PUSH_RESTS: '10ms,10ms,10ms', ...environment })),
    policy: { hosts: [], addresses: new AddressSet([]), plainOnLoopback: true },
    ca: undefined,
    subscriptions,
    metrics: createPushMetrics(metrics),
    logger: silent,
    tracing: null,
    now: () => world.time,
  })
  running.push(pushers)
  world.onMoving = () => pushers.match()
  pushers.match()
  return pushers
}

async function subscribe(name: string, path: string, more: object = {}): Promise<Subscription> {
  const destination = { endpointType: 'WebHook', properties: { endpointUrl: `${receiver.url}${path}`, ...more } }
  const body = { deliveryConfiguration: { deliveryMode: 'Push', push: { destination } } }
  expect((await world.api.send('PUT', `topics/doors/eventSubscriptions/${name}`, { body })).status).toBeLessThan(300)
  return world.find(name)
}

const idsAt = async (path: string): Promise<readonly unknown[]> =>
  (await receiver.received()).filter((request) => request.method === 'POST' && request.path === path).flatMap(({ events }) => events.map(({ id }) => id))
async function arrived(path: string, ...ids: readonly string[]): Promise<void> {
  for (const end = Date.now() + 60_000; (await idsAt(path)).length < ids.length; ) if (Date.now() > end) throw new Error(`not at ${path}: ${ids}`)
  expect(await idsAt(path)).toEqual(ids)
}

test('a subscription is pushed from when it is there until it is paused, and goes on where it was', async () => {
  await subscribe('alarms', '/begin')
  const pushers = pushersOf(() => world.subscriptions.all())
  await world.publish('1')
  await arrived('/begin', '1')
  await world.api.send('POST', 'topics/doors/eventSubscriptions/alarms:pause')
  await until('its last answer is here', 60_000, () => {
    pushers.match()
    return pushers.status().length === 0
  })
  await world.publish('2')
  await world.api.send('POST', 'topics/doors/eventSubscriptions/alarms:resume')
  pushers.match()
  await arrived('/begin', '1', '2')
  // The webhook has it before its answer is here.
  await until('both are counted', 60_000, async () =>
    (await metrics.getSingleMetricAsString('loggerhead_delivery_successes_total')).includes('{topic="doors",event_subscription="alarms"} 2'),
  )
})

test('after a pause of the process nothing is sent by a router that has lost the subscription, and its new owner sends it', async () => {
  const lost = await subscribe('alarms', '/zombie')
  const zombie = pushersOf(() => [lost])
  await world.publish('1')
  await arrived('/zombie', '1')
  // The webhook has it before its answer is here, and in the log: else it would come again.
  await until('its answer is here', 60_000, () => (lost.status() as { readonly unsettled: number }).unsettled === 0)
  await lost.confirm()
  lost.tick()
  // The process stands still for longer than Kafka waits for it; another one takes the shard meanwhile.
  await world.begin()
  world.time += 10_000
  zombie.match()
  await world.publish('2')
  await expect(lost.confirm()).rejects.toThrow()
  expect((zombie.status() as readonly { readonly requests: number }[]).map(({ requests }) => requests)).toEqual([0])
  expect(await idsAt('/zombie')).toEqual(['1'])
  pushersOf(() => world.subscriptions.all())
  await arrived('/zombie', '1', '2')
})

test('after a pause of the process its owner goes on once Kafka has confirmed it', async () => {
  const own = await subscribe('alarms', '/slept')
  const pushers = pushersOf(() => [own])
  world.time += 10_000
  pushers.match()
  await world.publish('1')
  await arrived('/slept', '1')
})

/** Until a request has come; it has no answer yet where the path says so. */
const isUnderWay = (path: string, id: string) => until(`${id} at ${path}`, 60_000, async () => (await idsAt(path)).includes(id))

test('rewind: nothing is sent until the log has it, what was under way is cut, and then each event comes once more', async () => {
  const alarms = await subscribe('alarms', '/slow/300/rewound', { maxConcurrentRequests: 1 })
  const pushers = pushersOf(() => world.subscriptions.all())
  for (const id of ['1', '2']) await world.publish(id)
  await isUnderWay('/slow/300/rewound', '2')
  const written = Promise.withResolvers<void>()
  world.writing = written.promise
  const rewound = alarms.rewind(new Map([[0, 0]]))
  expect(pushers.status()).toEqual([])
  // What else looks at subscriptions meanwhile finds the events again, and begins nothing.
  alarms.tick()
  await until('they are read again', 60_000, () => (alarms.status() as { readonly ahead: number }).ahead === 2)
  alarms.tick()
  pushers.match()
  expect(pushers.status()).toEqual([])
  expect(await idsAt('/slow/300/rewound')).toEqual(['1', '2'])
  written.resolve()
  await rewound
  await world.publish('3')
  await arrived('/slow/300/rewound', '1', '2', '1', '2', '3')
  expect(await metrics.getSingleMetricAsString('loggerhead_delivery_attempts_failed_total')).not.toContain('error_type')
})

test('what is under way when a subscription is paused is answered and noted, and does not come again when it is resumed', async () => {
  await subscribe('alarms', '/slow/500/paused')
  const pushers = pushersOf(() => world.subscriptions.all())
  await world.publish('1')
  await isUnderWay('/slow/500/paused', '1')
  await world.api.send('POST', 'topics/doors/eventSubscriptions/alarms:pause')
  pushers.match()
  await world.publish('2')
  await world.api.send('POST', 'topics/doors/eventSubscriptions/alarms:resume')
  pushers.match()
  await arrived('/slow/500/paused', '1', '2')
})

test('the rate of a webhook is kept when its subscription begins anew', async () => {
  await subscribe('alarms', '/paced', { maxRequestsPerMinute: 1 })
  const pushers = pushersOf(() => world.subscriptions.all())
  const held = () => pushers.status() as readonly { readonly events: number; readonly requests: number }[]
  await world.publish('1')
  await until('the first is delivered', 60_000, async () => (await idsAt('/paced')).length === 1 && held()[0]?.events === 0)
  for (const action of ['pause', 'resume']) {
    await world.api.send('POST', `topics/doors/eventSubscriptions/alarms:${action}`)
    pushers.match()
  }
  await world.publish('2')
  await until('the second is at hand', 60_000, () => held()[0]?.events === 1)
  expect(held()).toMatchObject([{ events: 1, requests: 0 }])
  expect(await idsAt('/paced')).toEqual(['1'])
  world.time += 60_000
  // The process seems to have slept: its owner is asked first.
  pushers.match()
  await world.publish('3')
  await arrived('/paced', '1', '2')
})

test('a subscription that is given another webhook does not wait for the one it had', async () => {
  const url = (path: string) => ({ endpointType: 'WebHook', properties: { endpointUrl: `${receiver.url}${path}` } })
  await subscribe('alarms', '/hang/former')
  const pushers = pushersOf(() => world.subscriptions.all())
  await world.publish('1')
  await isUnderWay('/hang/former', '1')
  const body = { deliveryConfiguration: { deliveryMode: 'Push', push: { destination: url('/later') } } }
  expect((await world.api.send('PUT', 'topics/doors/eventSubscriptions/alarms', { body })).status).toBe(200)
  pushers.match()
  pushers.match()
  await arrived('/later', '1')
})

test('PUSH_REQUESTS_MAX: a webhook that never answers takes no turn from the others', async () => {
  for (const name of ['aaa', 'bbb', 'ccc']) await subscribe(name, name === 'aaa' ? '/hang' : `/turn/${name}`)
  pushersOf(() => world.subscriptions.all(), { PUSH_REQUESTS_MAX: '1' })
  await world.publish('1')
  await world.publish('2')
  await arrived('/turn/bbb', '1', '2')
  await arrived('/turn/ccc', '1', '2')
})
