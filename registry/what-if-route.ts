/** `POST /namespaces/{ns}/history:whatIf`: what other groups, topic spaces, bindings or clients would have made of traffic that was. Nothing is written. */
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { runWhatIf } from '../inquiry/what-if-run.ts'
import { ProposedRegistry, type ProposedResource } from '../model/proposed-registry.ts'
import { topicFilterProblem } from '../mqtt/topic.ts'
import type { ApiOptions } from './api-options.ts'
import type { PastStreams } from './past-streams.ts'
import { Problem } from './problem.ts'
import { readProperties } from './resource-routes.ts'
import { resourceSchemas } from './resource-schemas.ts'
import { checkPut } from './rules.ts'
import { readStretch } from './stretch.ts'
import { badRequest, type SchemaError, toViolations } from './violations.ts'

/** What decides who may publish and subscribe, in the order in which one refers to another. */
const proposedKinds = ['clientGroups', 'topicSpaces', 'clients', 'permissionBindings'] as const
type ProposedKind = (typeof proposedKinds)[number]

const proposedMax = 10_000
const topMax = 1_000

export const whatIfSchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    proposed: {
      type: 'array',
      minItems: 1,
      maxItems: proposedMax,
      items: {
        type: 'object',
        additionalProperties: false,
        properties: {
          kind: { enum: proposedKinds },
          name: { type: 'string', minLength: 1, maxLength: 128 },
          properties: { type: ['object', 'null'], description: 'As for PUT; null: the resource is gone' },
        },
        required: ['kind', 'name', 'properties'],
      },
    },
    from: { type: 'string', default: '-PT1H', description: 'A time in UTC, a duration back from now (-PT1H), or positions (0:10,1:55)' },
    to: { type: 'string', description: 'The same, not included; without it up to now' },
    registry: {
      enum: ['now', 'then'],
      default: 'now',
      description: 'What the proposal is held against: the registry as it is, or as it was where the stretch begins',
    },
    topicFilter: { type: 'string', default: '#', description: 'Only messages on topics that match' },
    top: { type: 'integer', minimum: 1, maximum: topMax, default: 20, description: 'Clients and topics shown of each count' },
  },
  required: ['proposed'],
} as const

interface Asked {
  readonly proposed: readonly { readonly kind: ProposedKind; readonly name: string; readonly properties: object | null }[]
  readonly from?: string
  readonly to?: string
  readonly registry?: 'now' | 'then'
  readonly topicFilter?: string
  readonly top?: number
}

/** What is proposed, as the log would hold it, each checked as its PUT would be. Throws Problem. */
function propose(request: FastifyRequest, { proposed }: Asked, limits: ApiOptions['config']): readonly ProposedResource[] {
  const all: ProposedResource[] = []
  const registry = new ProposedRegistry(request.at.registry.view)
  for (const kind of proposedKinds) {
    const validate = request.compileValidationSchema(resourceSchemas[kind] as { readonly [key: string]: unknown }, 'body')
    proposed.forEach((each, index) => {
      if (each.kind !== kind || each.properties === null) return
      try {
        const read = readProperties(kind, each.name, { properties: each.properties }, () => {}) as ProposedResource['properties'] & object
        if (!validate(read)) throw badRequest(toViolations((validate.errors ?? []) as unknown as readonly SchemaError[]))
        // How a client proves who it is decides nothing here, and its password is nobody's business.
        const { passwordAuthentication: _, ...asked } = read as Readonly<Record<string, unknown>>
        const checked = {
          kind,
          name: each.name,
          properties: checkPut(kind, { view: registry, name: each.name, properties: asked, limits, now: Date.now() }).properties,
        }
        registry.propose(checked)
        all.push(checked)
      } catch (error) {
        if (error instanceof Problem) throw new Problem(error.status, `proposed[${index}], ${kind}/${each.name}: ${error.message}`, { cause: error })
        throw error
      }
    })
  }
  for (const { kind, name, properties } of proposed) if (properties === null) all.push({ kind, name, properties })
  return all
}

export function addWhatIfRoute(api: FastifyInstance, { config }: ApiOptions, streams: PastStreams): void {
  api.post<{ Body: Asked }>('/namespaces/:ns/history::whatIf', { config: { role: 'operator' }, schema: { body: whatIfSchema } }, async (request, reply) => {
    const asked = request.body
    const { topicFilter = '#', top = 20 } = asked
    const problem = topicFilter.startsWith('$share/') ? 'must not be a shared one' : topicFilterProblem(topicFilter)
    if (problem) throw badRequest([{ field: 'topicFilter', value: topicFilter, rule: `a topic filter; this one ${problem}` }])
    const { from, to } = readStretch(asked, '-PT1H', Date.now())
    const proposed = propose(request, asked, config)
    const { log: whole, topics, partitions, formerly } = request.at.history
    const registry = request.at.registry.view
    return streams.answer(reply, whole, (log) =>
      linesOf(runWhatIf({ log, topics, partitions, formerly, registry, asOf: asked.registry ?? 'now', proposed, from, to, topicFilter, top })),
    )
  })
}

async function* linesOf(answers: AsyncIterable<object>): AsyncGenerator<string> {
  for await (const each of answers) yield `${JSON.stringify(each)}\n`
}
