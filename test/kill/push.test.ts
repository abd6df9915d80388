/** Routers that are killed while events are pushed: every event arrives, the same id means the same event, a key keeps its order. */
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { count } from '../support/available.ts'
import { EventPublisher } from '../support/event-publisher.ts'
import { type Stack, startStack, until } from '../support/stack.ts'
import { type ReceivedRequest, WebhookReceiver } from '../support/webhook-receiver.ts'

const events = count(3_000, 50_000)
const kills = count(3, 10)
const keys = 20
const chunk = 100

let stack: Stack
let receiver: WebhookReceiver
let publisher: EventPublisher
beforeAll(async () => {
  receiver = await WebhookReceiver.start()
  stack = await startStack({ environment: { KAFKA_SESSION_TIMEOUT_MS: '1500', PUSH_RETRY_DELAYS: '20ms,50ms', PUSH_RESTS: '10ms,10ms,10ms' } })
  publisher = new EventPublisher(stack.brokers, `${stack.prefix}.default.topic.load`)
}, 180_000)
afterAll(async () => {
  await publisher?.close()
  await stack?.stop()
  await receiver?.stop()
}, 60_000)

const subscribe = (name: string, path: string, more: object) =>
  stack.api('PUT', `/namespaces/default/topics/load/eventSubscriptions/${name}`, {
    deliveryConfiguration: {
      deliveryMode: 'Push',
      push: { destination: { endpointType: 'WebHook', properties: { endpointUrl: `${receiver.url}${path}`, ...more } } },
    },
  })

/** The numbers of a subscription's events in the order of their arrival, by key. */
function arrivals(requests: readonly ReceivedRequest[], path: string): Map<string, number[]> {
  const byKey = new Map<string, number[]>()
  for (const { method, path: at, events, problem } of requests) {
    if (method !== 'POST' || at !== path) continue
    expect(problem).toBeUndefined()
    for (const { id, subject, data } of events) {
      const { n } = data as { readonly n: number }
      expect(id).toBe(`event-${n}`)
      byKey.set(String(subject), [...(byKey.get(String(subject)) ?? []), n])
    }
  }
  return byKey
}

test(
  `${events} events, a webhook that fails now and then, the router killed ${kills} times: nothing is lost, repeats have their ids, keys keep their order`,
  async () => {
    expect((await stack.api('PUT', '/namespaces/default/topics/load', {})).status).toBe(201)
    // Every ninth request fails; what fails again and again is never given up.
    expect((await subscribe('ordered', '/flaky/9', { deliveryOrder: 'ByKey', maxEventsPerBatch: 20 })).status).toBe(201)
    expect((await subscribe('single', '/ok', {})).status).toBe(201)
    let published = 0
    const requests: ReceivedRequest[] = []
    const arrived = new Set<string>()
    const look = async (): Promise<number> => {
      const more = await receiver.received(requests.length)
      requests.push(...more)
      for (const { path, events } of more) for (const { id } of events) arrived.add(`${path} ${String(id)}`)
      return arrived.size
    }
    for (let kill = 0; kill <= kills; kill++) {
      const to = Math.ceil((events * (kill + 1)) / (kills + 1))
      while (published < to) {
        const some = Array.from({ length: Math.min(chunk, to - published) }, (_, i) => published + i)
        await publisher.publish(some.map((n) => ({ id: `event-${n}`, key: `key-${n % keys}`, data: { n } })))
        published += some.length
      }
      if (kill === kills) break
      // In the midst of pushing this stretch.
      const before = await look()
      await until('events arrive', 60_000, async () => (await look()) > before)
      const pid = await stack.kill('router')
      await stack.restarted('router', pid)
    }
    await until('every event has arrived at both', count(120_000, 600_000), async () => (await look()) >= 2 * events)
    for (const path of ['/flaky/9', '/ok']) {
      const byKey = arrivals(requests, path)
      expect(new Set([...byKey.values()].flat()).size).toBe(events)
    }
    for (const [, order] of arrivals(requests, '/flaky/9')) {
      // A repeat goes back to where the killed router's note was; nothing is skipped on the way forward.
      let highest = -1
      for (const n of order) {
        if (n > highest) {
          if (highest >= 0) expect(n).toBe(highest + keys)
          highest = n
        }
      }
    }
  },
  count(300_000, 1_500_000),
)
