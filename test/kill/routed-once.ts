/** From devices through a route and a namespace topic to webhooks, while the router is killed again and again. */
import { count } from '../support/available.ts'
import { type Stack, until } from '../support/stack.ts'
import { WebhookReceiver } from '../support/webhook-receiver.ts'
import { readRecords } from '../wire/kafka-log.ts'
import { readAll } from '../wire/kafka-records.ts'
import type { Resumed } from './harness.ts'
import { type Arrival, judgePushed, judgeRouted, type Source } from './routed-verdict.ts'
import { patienceMs, random, strike, underLoad } from './under-load.ts'

const publishers = 6
const rate = 100
const target = 'routed'
/** Every ninth request to the one whose keys are in order fails. */
const webhooks = [
  { name: 'ordered', path: '/flaky/9', isOrdered: true, properties: { deliveryOrder: 'ByKey', maxEventsPerBatch: 20 } },
  { name: 'single', path: '/ok', isOrdered: false, properties: {} },
] as const

export interface RoutedOnce {
  readonly problems: readonly string[]
  readonly routed: number
  /** Events that came to webhooks, repeats included. */
  readonly arrived: number
}

/** Routes everything of a load into a namespace topic that two webhooks subscribe to; the router is killed each time that it has been healthy for 2 to 5 s. */
export async function routedOnce(stack: Stack, kills: number): Promise<RoutedOnce> {
  const receiver = await WebhookReceiver.start()
  try {
    await subscribe(stack, receiver)
    const messages = count(4_000, 50_000)
    let prefix = ''
    const load = { publishers, rate, online: 1, flapping: 0, offline: 0 }
    const verdict = await underLoad(stack, 'kill -9 router (routes and webhooks)', load, async (running) => {
      prefix = running.prefix
      const rounds: Resumed[] = []
      while (rounds.length < kills) {
        await stack.untilHealthy(patienceMs)
        // Told by what is published meanwhile and not by a clock.
        await running.after(Math.floor(publishers * rate * (2 + 3 * random())), patienceMs)
        rounds.push(await strike(stack, running, ['router']))
      }
      await running.until(`${messages} messages`, 10 * patienceMs, () => running.acknowledged >= messages)
      return rounds
    })
    const inLog = await sourcesInLog(stack, prefix)
    const arrivals = await everyArrival(receiver, inLog.length)
    const topic = `${stack.prefix}.default.topic.${target}`
    const [committed, uncommitted] = [await readAll(stack.brokers, topic), await readAll(stack.brokers, topic, { readUncommitted: true })]
    const problems = [
      ...verdict.problems,
      ...judgeRouted(inLog, committed),
      ...judgeRouted(inLog, uncommitted).map((problem) => `read_uncommitted: ${problem}`),
      ...webhooks.flatMap(({ name, path, isOrdered }) => judgePushed(committed, arrivals.get(path) ?? [], isOrdered).map((problem) => `${name}: ${problem}`)),
    ]
    await stack.api('DELETE', '/namespaces/default/routes/once')
    await stack.api('DELETE', `/namespaces/default/topics/${target}`)
    return { problems, routed: committed.length, arrived: [...arrivals.values()].reduce((sum, { length }) => sum + length, 0) }
  } finally {
    await receiver.stop()
  }
}

async function subscribe(stack: Stack, receiver: WebhookReceiver): Promise<void> {
  const put = async (path: string, body: object): Promise<void> => {
    const { status, body: answer } = await stack.api('PUT', `/namespaces/default/${path}`, body)
    if (status !== 201) throw new Error(`PUT ${path}: ${status} ${JSON.stringify(answer)}`)
  }
  await put(`topics/${target}`, {})
  for (const { name, path, properties } of webhooks) {
    const destination = { endpointType: 'WebHook', properties: { endpointUrl: `${receiver.url}${path}`, ...properties } }
    await put(`topics/${target}/eventSubscriptions/${name}`, { deliveryConfiguration: { deliveryMode: 'Push', push: { destination } } })
  }
  await put('routes/once', { topicFilters: ['kill/+/+/+'], target: { topic: target } })
}

/** What came to each path, in the order in which it came; waits until so many different events have. */
async function everyArrival(receiver: WebhookReceiver, events: number): Promise<ReadonlyMap<string, readonly Arrival[]>> {
  const arrivals = new Map<string, Arrival[]>(webhooks.map(({ path }) => [path, []]))
  const ids = new Map<string, Set<unknown>>(webhooks.map(({ path }) => [path, new Set()]))
  let requests = 0
  let last = -1
  // As long as something comes there is hope; then the verdict says what is missing.
  while (requests !== last && [...ids.values()].some(({ size }) => size < events)) {
    last = requests
    await until('more arrives', patienceMs, async () => {
      const more = await receiver.received(requests)
      requests += more.length
      for (const { method, path, events: some, problem } of more) {
        if (problem !== undefined) throw new Error(`${path} got what is no event: ${problem}`)
        if (method !== 'POST') continue
        for (const { id, subject, data_base64: data } of some) {
          ids.get(path)?.add(id)
          arrivals.get(path)?.push({ id: String(id), subject: String(subject), data: String(data) })
        }
      }
      return more.length > 0
    }).catch((error: Error) => {
      if (!error.message.startsWith('not within')) throw error
    })
  }
  return arrivals
}

/** Where each message of the load stands. */
async function sourcesInLog(stack: Stack, prefix: string): Promise<readonly Source[]> {
  const messages = `${stack.prefix}.default.messages`
  return (await readRecords(stack.brokers, messages, 'Message'))
    .filter(({ value }) => value.topic.startsWith(`${prefix}/`))
    .map(({ value, partition, offset }) => ({ topic: value.topic, source: `${messages}/${partition}/${offset}` }))
}
