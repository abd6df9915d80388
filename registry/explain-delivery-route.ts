/** `POST /namespaces/{ns}/history:explainDelivery`: what became of one message for one client, and which records prove it. */
import type { FastifyInstance } from 'fastify'
import { type ExplainDeliveryOptions, explainDelivery, messageNamed, NoSuchMessage } from '../inquiry/explain-delivery.ts'
import type { PastStreams } from './past-streams.ts'
import { badRequest } from './violations.ts'

export const explainDeliverySchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    client: { type: 'string', minLength: 1, maxLength: 65_535, description: 'The MQTT client id' },
    message: { type: 'string', minLength: 1, maxLength: 64, description: 'Its position in the log, partition:offset, or its id, 32 hexadecimal digits' },
  },
  required: ['client', 'message'],
} as const

interface Asked {
  readonly client: string
  readonly message: string
}

const progressMs = 1_000

export function addExplainDeliveryRoute(api: FastifyInstance, streams: PastStreams): void {
  api.post<{ Body: Asked }>(
    '/namespaces/:ns/history::explainDelivery',
    { config: { role: 'operator' }, schema: { body: explainDeliverySchema } },
    async (request, reply) => {
      const message = messageNamed(request.body.message)
      if (!message) throw badRequest([{ field: 'message', value: request.body.message, rule: 'partition:offset, or 32 hexadecimal digits' }])
      const { topics, partitions } = request.at.history
      const asked = { topics, partitions, registry: request.at.registry.view, clientId: request.body.client, message, now: Date.now }
      return streams.answer(reply, request.at.history.log, (log) => linesOf({ log, ...asked }))
    },
  )
}

/** Listened to from the beginning on: whoever asked may be gone before the first line is. */
const lineOf = (answer: Promise<object>): Promise<string> =>
  answer.then(
    (value) => `${JSON.stringify(value)}\n`,
    (error: Error) => `${JSON.stringify({ error: error.message, ...(error instanceof NoSuchMessage ? { noSuchMessage: true } : {}) })}\n`,
  )

/** Lines of JSON: how much was read while it goes on, then the answer, or an error. */
async function* linesOf(asked: Omit<ExplainDeliveryOptions, 'onRead'>): AsyncGenerator<string> {
  let bytes = 0
  const onRead = (read: number): void => {
    bytes += read
  }
  const line = lineOf(explainDelivery({ ...asked, onRead }))
  for (;;) {
    let timer: NodeJS.Timeout | undefined
    const pause = new Promise<null>((resolve) => {
      timer = setTimeout(() => resolve(null), progressMs)
    })
    const done = await Promise.race([line, pause])
    clearTimeout(timer)
    if (done !== null) {
      yield done
      return
    }
    yield `${JSON.stringify({ progress: { bytes } })}\n`
  }
}
