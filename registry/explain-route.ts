/** `POST /namespaces/{ns}:explain`: may this client, and why. */
import type { FastifyInstance } from 'fastify'
import { type ExplainedAction, explain } from '../access/explain.ts'
import { topicFilterProblem, topicNameProblem } from '../mqtt/topic.ts'
import type { ApiOptions } from './api.ts'
import { badRequest } from './violations.ts'

export const explainSchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    client: { type: 'string', minLength: 1, maxLength: 128, description: 'Name or authentication name of a client' },
    action: { enum: ['publish', 'subscribe'] },
    topic: { type: 'string', minLength: 1, maxLength: 65_535, description: 'A topic name to publish to, or a topic filter to subscribe to' },
  },
  required: ['client', 'action', 'topic'],
} as const

interface Asked {
  readonly client: string
  readonly action: ExplainedAction
  readonly topic: string
}

export function addExplainRoute(api: FastifyInstance, { registry, namespace }: ApiOptions): void {
  api.post<{ Body: Asked }>(`/namespaces/${namespace}::explain`, { config: { role: 'reader' }, schema: { body: explainSchema } }, async (request) => {
    const { client, action, topic } = request.body
    const wrong = action === 'publish' ? topicNameProblem(topic) : topicFilterProblem(topic)
    if (wrong !== null) throw badRequest([{ field: 'topic', value: topic, rule: wrong }])
    return explain(registry.view, client, action, topic)
  })
}
