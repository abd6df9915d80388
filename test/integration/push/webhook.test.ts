/** A pusher and a receiver in another process that fails in every way: what is sent, what is sent again, and when. */
import { afterAll, afterEach, beforeAll, expect, test } from '@jest/globals'
import { Pacing } from '../../../events/pacing.ts'
import type { DeadLetterReason } from '../../../events/retry-schedule.ts'
import { AddressSet } from '../../../model/ip-rules.ts'
import type { OutgoingPolicy } from '../../../outgoing/outgoing-policy.ts'
import { OutgoingRequests } from '../../../outgoing/outgoing-request.ts'
import type { OwedEvent } from '../../../router/push/owed-event.ts'
import { PushBudget } from '../../../router/push/push-budget.ts'
import { Pusher, type PusherOptions, type PushSource } from '../../../router/push/pusher.ts'
import { WebhookTarget } from '../../../router/push/webhook-target.ts'
import { type ReceivedRequest, WebhookReceiver } from '../../support/webhook-receiver.ts'

/** Events in memory, given once each, and what became of them. */
class MemorySource implements PushSource {
  readonly delivered_: OwedEvent[] = []
  readonly failed_: OwedEvent[] = []
  readonly givenUp_: { readonly event: OwedEvent; readonly reason: DeadLetterReason }[] = []
  readonly #events: OwedEvent[]
  #changed: (() => void) | undefined

  constructor(events: readonly OwedEvent[]) {
    this.#events = [...events]
  }

  async next(eventsMax: number, bytesMax: number, signal: AbortSignal): Promise<readonly OwedEvent[]> {
    if (this.#events.length === 0) {
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
      return []
    }
    let bytes = 0
    let count = 0
    while (count < Math.min(eventsMax, this.#events.length) && (count === 0 || bytes < bytesMax)) bytes += this.#events[count++]!.body.length
    return this.#events.splice(0, count)
  }

  delivered(events: readonly OwedEvent[]): void {
    this.delivered_.push(...events)
    this.#changed?.()
  }

  failed(events: readonly OwedEvent[]): void {
    this.failed_.push(...events)
    this.#changed?.()
  }

  async givenUp(event: OwedEvent, reason: DeadLetterReason): Promise<void> {
    this.givenUp_.push({ event, reason })
    this.#changed?.()
  }

  /** Resolves when that many events were delivered, failed and given up. */
  async saw(expected: { readonly delivered?: number; readonly failed?: number; readonly givenUp?: number }): Promise<void> {
    const isSeen = () =>
      this.delivered_.length >= (expected.delivered ?? 0) && this.failed_.length >= (expected.failed ?? 0) && this.givenUp_.length >= (expected.givenUp ?? 0)
    while (!isSeen()) {
      await new Promise<void>((resolve) => {
        this.#changed = resolve
      })
    }
  }
}

let receiver: WebhookReceiver
let seen = 0
const closing: (() => unknown)[] = []
beforeAll(async () => {
  receiver = await WebhookReceiver.start()
})
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
  seen += (await receiver.received(seen)).length
})
afterAll(() => receiver.stop())

const posts = async (): Promise<readonly ReceivedRequest[]> => (await receiver.received(seen)).filter(({ method }) => method === 'POST')
const idsOf = (requests: readonly ReceivedRequest[]) => requests.map(({ events }) => events.map(({ id }) => id))

function event(offset: number, more: Partial<OwedEvent> = {}): OwedEvent {
  const body = Buffer.from(JSON.stringify({ specversion: '1.0', id: `e${offset}`, source: '/test', type: 'test', subject: 'é', data: { offset } }))
  return {
    partition: 0,
    offset,
    key: null,
    body,
    headers: {},
    publishedAt: Date.now(),
    deliveryCount: 0,
    retryAt: 0,
    lastResult: null,
    lastAttemptAt: null,
    ...more,
  }
}

const development: OutgoingPolicy = { hosts: [], addresses: new AddressSet([]), plainOnLoopback: true }
interface Given {
  readonly path?: string
  readonly url?: string
  readonly events: readonly OwedEvent[]
  readonly queue?: Partial<PusherOptions['queue']>
  readonly policy?: OutgoingPolicy
  readonly options?: Partial<PusherOptions>
  readonly timeoutMs?: number
}

/** Rests and waits of a few milliseconds. */
function push({ path = '/ok', url = `${receiver.url}${path}`, events, queue = {}, policy = development, options = {}, timeoutMs = 60_000 }: Given) {
  const source = new MemorySource(events)
  const requests = new OutgoingRequests({ policy, connectionsMax: 16 })
  const pusher = new Pusher({
    source,
    target: new WebhookTarget({ requests, url, origin: 'events.example.com', timeoutMs }),
    queue: { policy: { schedule: [20, 40], maxDeliveryCount: 3, timeToLiveMs: 60_000 }, batch: null, isOrdered: false, requestsMax: 4, ...queue },
    probations: { busyMs: 20, socketErrorMs: 20, configurationMs: 20 },
    leastWaitMaxMs: 20,
    perMinute: null,
    pacing: new Pacing(),
    eventsMax: 1_000,
    bytesMax: 1_000_000,
    budget: new PushBudget(1_000),
    isOwner: () => true,
    counters: { attempted() {} },
    now: Date.now,
    chance: Math.random,
    onFailed: (error) => {
      throw error
    },
    ...options,
  })
  closing.push(
    () => pusher.close(),
    () => requests.close(),
  )
  return { source, pusher }
}

test('PU-02, PU-04, PU-09: an event is posted alone in structured mode, with the origin that was agreed on and the operator’s headers', async () => {
  const { source } = push({ events: [event(1, { headers: { authorization: 'Bearer s3cret', 'x-site': 'north' } })] })
  await source.saw({ delivered: 1 })
  const [request] = await posts()
  expect(request).toMatchObject({
    headers: {
      'content-type': 'application/cloudevents+json; charset=utf-8',
      origin: 'events.example.com',
      'webhook-request-origin': 'events.example.com',
      authorization: 'Bearer s3cret',
      'x-site': 'north',
    },
    events: [{ specversion: '1.0', id: 'e1', source: '/test', type: 'test', subject: 'é', data: { offset: 1 } }],
  })
  expect(request?.problem).toBeUndefined()
})

test('PU-08: a batch is one request, and the SDK of CloudEvents reads all of it', async () => {
  const { source } = push({ events: [1, 2, 3, 4, 5].map((offset) => event(offset)), queue: { batch: { eventsMax: 3, bytesMax: 100_000 } } })
  await source.saw({ delivered: 5 })
  const requests = await posts()
  expect(idsOf(requests)).toEqual([
    ['e1', 'e2', 'e3'],
    ['e4', 'e5'],
  ])
  expect(requests[0]).toMatchObject({ headers: { 'content-type': 'application/cloudevents-batch+json; charset=utf-8' } })
  expect(requests.filter(({ problem }) => problem !== undefined)).toEqual([])
})

test.each([
  ['/status/500', 'Failed'],
  ['/status/503', 'Busy'],
  ['/status/429?retry-after=0', 'Busy'],
  ['/status/410', 'Disabled'],
  ['/drop', 'SocketError'],
  ['/redirect?to=/ok', 'Redirected'],
])('PU-05, PU-07, PU-12: a webhook that answers %s is tried as often as is allowed, and the event given up (%s)', async (path, lastResult) => {
  const { source } = push({ path, events: [event(1)] })
  await source.saw({ givenUp: 1 })
  expect(source.failed_.map(({ deliveryCount }) => deliveryCount)).toEqual([1, 2])
  expect(source.givenUp_).toMatchObject([{ event: { deliveryCount: 3, lastResult }, reason: 'Maximum delivery attempts was exceeded' }])
  // A redirect leads nowhere.
  expect(idsOf(await posts())).toEqual([['e1'], ['e1'], ['e1']])
})

test.each([400, 401, 403, 404, 413, 414])('PU-06, PU-12: a webhook that answers %i is not asked again', async (status) => {
  const { source } = push({ path: `/status/${status}`, events: [event(1)] })
  await source.saw({ givenUp: 1 })
  expect(source.givenUp_).toMatchObject([{ event: { deliveryCount: 1 }, reason: 'Undeliverable due to client error' }])
  expect(await posts()).toHaveLength(1)
})

test('PUSH_TIMEOUT, PU-10: a webhook that does not answer has its time, and is tried again', async () => {
  const { source } = push({ path: '/hang', events: [event(1)], timeoutMs: 50 })
  await source.saw({ givenUp: 1 })
  expect(source.givenUp_).toMatchObject([{ event: { lastResult: 'TimedOut' } }])
})

test('PU-04: an answer whose body breaks off, or is large, was an answer', async () => {
  const half = push({ path: '/half', events: [event(1)] })
  const large = push({ path: '/large/10000000', events: [event(2)] })
  await Promise.all([half.source.saw({ delivered: 1 }), large.source.saw({ delivered: 1 })])
})

test('PUSH_REQUESTS_PER_SUBSCRIPTION: a slow webhook gets no more requests at a time than it should', async () => {
  const { source } = push({ path: '/slow/100', events: Array.from({ length: 20 }, (_, offset) => event(offset)), queue: { requestsMax: 3 } })
  await source.saw({ delivered: 20 })
  expect(Math.max(...(await posts()).map(({ open }) => open))).toBe(3)
})

test('CloudEvents webhook 4.2.2: the rate that a webhook allows is kept to', async () => {
  let now = Date.now()
  const { source } = push({ events: [1, 2, 3].map((offset) => event(offset)), options: { perMinute: 600, now: () => now } })
  for (let delivered = 1; delivered <= 3; delivered++) {
    await source.saw({ delivered })
    expect(await posts()).toHaveLength(delivered)
    now += 100
  }
})

test('ordered by key: whatever fails, the events of a key arrive in their order', async () => {
  const events = Array.from({ length: 60 }, (_, offset) => event(offset, { key: `k${offset % 3}` }))
  const { source } = push({ path: '/flaky/4', events, queue: { isOrdered: true, policy: { schedule: [5], maxDeliveryCount: 10, timeToLiveMs: 60_000 } } })
  await source.saw({ delivered: 60 })
  const orders = [0, 1, 2].map((key) => source.delivered_.filter(({ offset }) => offset % 3 === key).map(({ offset }) => offset))
  for (const order of orders) expect(order).toEqual([...order].sort((a, b) => a - b))
  expect(source.failed_.length).toBeGreaterThan(0)
})

test('a webhook on an address that an operator has not allowed is not asked, however its name resolves', async () => {
  const strict: OutgoingPolicy = { ...development, plainOnLoopback: false }
  const plain = push({ events: [event(1)], policy: strict })
  const named = push({ url: receiver.url.replace('http://127.0.0.1', 'https://localhost'), events: [event(2)], policy: strict })
  await Promise.all([plain.source.saw({ failed: 1 }), named.source.saw({ failed: 1 })])
  expect(plain.source.failed_[0]?.lastResult).toBe('AddressForbidden')
  expect(named.source.failed_[0]?.lastResult).toBe('AddressForbidden')
  expect(await posts()).toEqual([])
})

test('nothing is sent by a process that may have lost the subscription', async () => {
  let isOwner = false
  let asked = 0
  let askedTwice: () => void
  const wasAsked = new Promise<void>((resolve) => {
    askedTwice = resolve
  })
  const { source } = push({
    events: [event(1)],
    options: {
      isOwner() {
        if (++asked === 2) askedTwice()
        return isOwner
      },
    },
  })
  await wasAsked
  expect(await posts()).toEqual([])
  isOwner = true
  await source.saw({ delivered: 1 })
})

test('PUSH_EVENTS_HELD_MAX: no more is held than there is room for', async () => {
  const { source, pusher } = push({
    path: '/hang',
    events: Array.from({ length: 50 }, (_, offset) => event(offset)),
    options: { eventsMax: 10 },
    timeoutMs: 200,
  })
  await source.saw({ failed: 1 })
  expect(pusher.status.events).toBe(10)
})

test('PUSH_BYTES_HELD_MAX: no more bytes are held than there is room for', async () => {
  const events = Array.from({ length: 50 }, (_, offset) => event(offset))
  const { source, pusher } = push({ path: '/hang', events, options: { bytesMax: 5 * events[0]!.body.length }, timeoutMs: 200 })
  await source.saw({ failed: 1 })
  expect(pusher.status.events).toBe(5)
})

test('a request that is cut by closing is not sent again, although its connection was used before; nothing is sent afterwards', async () => {
  const policy: OutgoingPolicy = { hosts: [], addresses: new AddressSet([]), plainOnLoopback: true }
  const requests = new OutgoingRequests({ policy, connectionsMax: 1 })
  const ask = (path: string) => requests.send({ url: `${receiver.url}${path}`, method: 'POST', body: '{}', timeoutMs: 60_000, bytesMax: 1_000 })
  await ask('/first')
  const cut = expect(ask('/hang/cut')).rejects.toMatchObject({ kind: 'network' })
  const isThere = async (path: string): Promise<boolean> => (await posts()).some((request) => request.path === path)
  while (!(await isThere('/hang/cut'))) await new Promise((resolve) => setImmediate(resolve))
  requests.close()
  await cut
  await expect(ask('/late')).rejects.toMatchObject({ kind: 'network' })
  // A request sent again would be on its way before this one is made.
  const others = new OutgoingRequests({ policy, connectionsMax: 1 })
  closing.push(() => others.close())
  await others.send({ url: `${receiver.url}/witness`, method: 'POST', body: '{}', timeoutMs: 60_000, bytesMax: 1_000 })
  expect((await posts()).map(({ path }) => path)).toEqual(['/first', '/hang/cut', '/witness'])
})
