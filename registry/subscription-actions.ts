/** What can be done to an event subscription besides writing it: pausing, resuming, going back in its topic, trying dead letters again. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { fixed, parseBound } from '../history/replay-range.ts'
import { type EventSubscriptionProperties, splitSubscriptionName, subscriptionName } from '../model/event-subscriptions.ts'
import type { Resource } from '../model/registry-resources.ts'
import { Problem } from './problem.ts'
import { roleOf } from './resource-routes.ts'
import { notFound, representation, stateCommand } from './resources.ts'
import { badRequest } from './violations.ts'

const path = '/namespaces/:ns/topics/:topic/eventSubscriptions/:target'
const actions = ['pause', 'resume', 'rewind', 'redrive'] as const
type Action = (typeof actions)[number]

/** Where a subscription goes on, in each partition of its topic. */
export const rewindSchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    time: {
      type: 'string',
      minLength: 1,
      maxLength: 64,
      description: 'With the first event that came then or later: a time (2030-01-31T12:00:00Z), or a duration back from now (-PT10M)',
    },
    partition: { type: 'integer', minimum: 0, maximum: 1_000_000 },
    offset: { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'In this one partition; the others stay where they are' },
  },
} as const

interface RewindBody {
  readonly time?: string
  readonly partition?: number
  readonly offset?: number
}

function targetOf(request: FastifyRequest): { readonly name: string; readonly action: Action } {
  const { topic, target } = request.params as { readonly topic: string; readonly target: string }
  const colon = target.lastIndexOf(':')
  const action = actions.find((each) => each === target.slice(colon + 1))
  if (colon < 0 || action === undefined) throw new Problem(404, `the actions of an event subscription are ${actions.map((each) => `:${each}`).join(', ')}`)
  return { name: subscriptionName(topic, target.slice(0, colon)), action }
}

/** Milliseconds since the epoch. Throws Problem. */
function timeOf(text: string): number {
  const bound = parseBound(text)
  if (typeof bound === 'object' && bound.kind !== 'positions') return (fixed(bound, Date.now()) as { readonly at: number }).at
  // The same with another zone.
  const at = /^\d{4}-\d\d-\d\dT\d\d:\d\d.*[+-]\d\d:\d\d$/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(at))
    throw badRequest([{ field: 'time', value: text, rule: 'a time such as 2030-01-31T12:00:00Z, or a duration back from now such as -PT10M' }])
  return at
}

function rewindQuery(body: RewindBody | null): URLSearchParams {
  const { time, partition, offset } = body ?? {}
  const byOffset = partition !== undefined && offset !== undefined
  if (time === undefined ? !byOffset : partition !== undefined || offset !== undefined) {
    throw badRequest([{ field: 'time', rule: 'say a time, or a partition and an offset' }])
  }
  if (byOffset) return new URLSearchParams({ partition: String(partition), offset: String(offset) })
  return new URLSearchParams({ time: String(timeOf(time as string)) })
}

/** Dead letters of any age, or written since a time. */
function redriveQuery(body: RewindBody | null): URLSearchParams {
  if (body?.partition !== undefined || body?.offset !== undefined) throw badRequest([{ field: 'partition', rule: 'goes with :rewind only' }])
  return body?.time === undefined ? new URLSearchParams() : rewindQuery(body)
}

/** Only the owner of the subscription's shard can do it. Rejects with Problem. */
async function askOwner(request: FastifyRequest, name: string, action: Action, query: URLSearchParams): Promise<object> {
  const { topic, subscription } = splitSubscriptionName(name)
  const answers = await request.at.routers.ask('POST', `/subscriptions/${topic}/${subscription}/${action}?${query}`, request.caller.by)
  const done = answers.find(({ status }) => status === 200)
  if (done) return done.body as object
  const refused = answers.find(({ status }) => status >= 400 && status < 500 && status !== 404 && status !== 421)
  const { detail } = Object(refused?.body) as { readonly detail?: string }
  if (refused) throw new Problem(refused.status, detail ?? 'the router refused')
  throw new Problem(503, 'no router owns the event subscription now; ask again', { retryAfter: 2 })
}

export function addSubscriptionActions(api: FastifyInstance): void {
  const config = { kind: 'eventSubscriptions', role: roleOf('eventSubscriptions', false) } as const
  api.post<{ Body: RewindBody | null }>(path, { config, schema: { body: { oneOf: [rewindSchema, { type: 'null' }] } } }, async (request, reply) => {
    const { name, action } = targetOf(request)
    const { registry, name: namespace } = request.at
    const subscription: Resource<'eventSubscriptions'> | undefined = registry.view.eventSubscriptions.get(name)
    if (!subscription) throw notFound('eventSubscriptions', name)
    checkMode(subscription.properties, action)
    if (action === 'pause' || action === 'resume') {
      const { after } = await registry.change(stateCommand(name, action === 'pause' ? 'Paused' : 'Active', request.author))
      return reply.header('etag', (after as Resource).etag).send(representation(after as Resource, namespace))
    }
    return askOwner(request, name, action, action === 'rewind' ? rewindQuery(request.body) : redriveQuery(request.body))
  })
}

function checkMode({ deliveryConfiguration }: EventSubscriptionProperties, action: Action): void {
  if (deliveryConfiguration.deliveryMode === 'Push') return
  if (action !== 'rewind') throw new Problem(409, `:${action} goes with the deliveryMode Push`)
}
