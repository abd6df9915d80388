/**
 * One dead webhook among a hundred: how long events take to the others, with it and without it. Part of `npm run bench`; alone:
 *
 *   npm run bench -- --only push --peers none
 */
import { EventPublisher } from '../test/support/event-publisher.ts'
import { type Stack, until } from '../test/support/stack.ts'
import { WebhookReceiver } from '../test/support/webhook-receiver.ts'

export interface PushMeasured {
  readonly webhooks: number
  readonly eventsPerSecond: number
  /** From an event's publish until a webhook has it, ms, over all webhooks but the one. */
  readonly allAlive: Quantiles
  /** The one takes connections and never answers. */
  readonly oneSilent: Quantiles
  /** The one refuses connections. */
  readonly oneGone: Quantiles
}

interface Quantiles {
  readonly deliveries: number
  readonly p50: number
  readonly p99: number
  readonly max: number
}

const webhooks = 100
const perSecond = 10
const everyMs = 1_000 / perSecond
const topic = 'bench-push'
const path = (subscription: number): string => `/namespaces/default/topics/${topic}/eventSubscriptions/webhook-${subscription}`

async function subscribe(stack: Stack, subscription: number, endpointUrl: string): Promise<void> {
  const body = { deliveryConfiguration: { deliveryMode: 'Push', push: { destination: { endpointType: 'WebHook', properties: { endpointUrl } } } } }
  const { status, body: answer } = await stack.api('PUT', path(subscription), body)
  if (status > 201) throw new Error(`subscription ${subscription}: HTTP ${status} ${JSON.stringify(answer)}`)
}

function quantilesOf(latencies: readonly number[]): Quantiles {
  const sorted = latencies.toSorted((a, b) => a - b)
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0
  return { deliveries: sorted.length, p50: at(0.5), p99: at(0.99), max: sorted.at(-1) ?? 0 }
}

/** Publishes for so many seconds and waits until all others have everything. */
async function round(publisher: EventPublisher, receiver: WebhookReceiver, name: string, seconds: number): Promise<Quantiles> {
  let seen = (await receiver.received()).length
  const events = seconds * perSecond
  const began = performance.now()
  for (let n = 0; n < events; n++) {
    const waitMs = began + n * everyMs - performance.now()
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs))
    await publisher.publish([{ id: `${name}-${n}`, key: `key-${n}`, data: { sentAt: Date.now() } }])
  }
  const latencies: number[] = []
  const expected = events * (webhooks - 1)
  await until(`${expected} deliveries of the round ${name}`, 120_000, async () => {
    const more = await receiver.received(seen)
    seen += more.length
    for (const { method, path, at, events } of more) {
      if (method !== 'POST' || !path.startsWith('/ok/')) continue
      for (const { id, data } of events) if (String(id).startsWith(`${name}-`)) latencies.push(at - (data as { readonly sentAt: number }).sentAt)
    }
    return latencies.length >= expected
  })
  return quantilesOf(latencies)
}

/** Measures on a running stack; takes three times `seconds` and some. */
export async function measurePush(stack: Stack, seconds: number): Promise<PushMeasured> {
  const receiver = await WebhookReceiver.start()
  const publisher = new EventPublisher(stack.brokers, `${stack.prefix}.default.topic.${topic}`)
  try {
    await stack.api('PUT', `/namespaces/default/topics/${topic}`, {})
    for (let subscription = 1; subscription < webhooks; subscription++) await subscribe(stack, subscription, `${receiver.url}/ok/${subscription}`)
    await subscribe(stack, 0, `${receiver.url}/others/0`)
    await round(publisher, receiver, 'warm', 5)
    const allAlive = await round(publisher, receiver, 'alive', seconds)
    await subscribe(stack, 0, `${receiver.url}/hang/0`)
    const oneSilent = await round(publisher, receiver, 'silent', seconds)
    const gone = await WebhookReceiver.start()
    await subscribe(stack, 0, `${gone.url}/ok/0`)
    await gone.stop()
    const oneGone = await round(publisher, receiver, 'gone', seconds)
    return { webhooks, eventsPerSecond: perSecond, allAlive, oneSilent, oneGone }
  } finally {
    await stack.api('DELETE', `/namespaces/default/topics/${topic}?deleteData=true`)
    await publisher.close()
    await receiver.stop()
  }
}

/** For people. */
export function pushText({ webhooks, eventsPerSecond, allAlive, oneSilent, oneGone }: PushMeasured): string {
  const line = (what: string, { p50, p99, max }: Quantiles): string => `${what.padEnd(34)} p50 ${p50} ms, p99 ${p99} ms, at most ${max} ms`
  return [
    `${webhooks} webhooks, ${eventsPerSecond} events a second to each, until a webhook has an event:`,
    line('  all answer', allAlive),
    line('  one of them never answers', oneSilent),
    line('  one of them refuses connections', oneGone),
  ].join('\n')
}
