/** `POST /namespaces/{ns}:explain`: may this client, and why. */
import { X509Certificate } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import type { Credentials } from '../access/authenticate.ts'
import { type ExplainedAction, explain } from '../access/explain.ts'
import { explainConnect } from '../access/explain-connect.ts'
import { defaultAudiences } from '../access/token-settings.ts'
import { topicFilterProblem, topicNameProblem } from '../mqtt/topic.ts'
import { listed } from '../settings/setting.ts'
import type { ApiOptions } from './api-options.ts'
import { checkRole } from './callers.ts'
import { Problem } from './problem.ts'
import { badRequest } from './violations.ts'

const secret = { type: 'string', minLength: 1, maxLength: 65_535 }

export const explainSchema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    action: { enum: ['publish', 'subscribe', 'replay', 'connect'] },
    client: {
      type: 'string',
      minLength: 1,
      maxLength: 128,
      description: 'Name or authentication name of a client; to connect: the user name that it gives, if any',
    },
    topic: {
      type: 'string',
      minLength: 1,
      maxLength: 65_535,
      description: 'A topic name to publish to, or a topic filter to subscribe to or to have replayed',
    },
    clientId: { type: 'string', maxLength: 65_535, description: 'To connect: the MQTT client id' },
    certificate: { type: 'string', maxLength: 65_536, description: 'To connect: the certificate that it shows, PEM; what follows its first block counts not' },
    password: { ...secret, description: 'To connect: the password; takes the role operator' },
    authenticationMethod: { type: 'string', minLength: 1, maxLength: 65_535, description: 'To connect: the authentication method of MQTT 5' },
    authenticationData: { ...secret, description: 'To connect: the authentication data, such as a token; takes the role operator' },
  },
  required: ['action'],
} as const

interface Asked {
  readonly action: ExplainedAction | 'connect'
  readonly client?: string
  readonly topic?: string
  readonly clientId?: string
  readonly certificate?: string
  readonly password?: string
  readonly authenticationMethod?: string
  readonly authenticationData?: string
}

const connectFields = ['clientId', 'certificate', 'password', 'authenticationMethod', 'authenticationData'] as const

/** Throws Problem unless the fields are those of the action. */
function checkFields(asked: Asked): void {
  const { action } = asked
  const needed = action === 'connect' ? [] : (['client', 'topic'] as const)
  const foreign = action === 'connect' ? (['topic'] as const) : connectFields
  const violations = [
    ...needed.filter((field) => asked[field] === undefined).map((field) => ({ field, rule: `is required with the action ${action}` })),
    ...foreign.filter((field) => asked[field] !== undefined).map((field) => ({ field, rule: `does not go with the action ${action}` })),
  ]
  if (violations.length > 0) throw badRequest(violations)
}

function readCertificate(text: string): X509Certificate {
  const field = 'certificate'
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) throw badRequest([{ field, rule: 'must hold no private key; consider that key as known to others now' }])
  try {
    return new X509Certificate(text)
  } catch {
    throw badRequest([{ field, value: text, rule: 'must be an X.509 certificate in PEM' }])
  }
}

function credentialsOf({ client, clientId = '', certificate, password, authenticationMethod, authenticationData }: Asked): Credentials {
  return {
    clientId,
    username: client,
    authenticationMethod,
    ...(certificate === undefined ? {} : { certificate: readCertificate(certificate) }),
    ...(password === undefined ? {} : { password: Buffer.from(password) }),
    ...(authenticationData === undefined ? {} : { authenticationData: Buffer.from(authenticationData) }),
  }
}

/** What the path of a namespace ends with when its rules are to be explained. */
export const explainAction = ':explain'

export function addExplainRoute(api: FastifyInstance, { config, namespaces }: ApiOptions): void {
  // The action is what stands behind the colon, which no name of a namespace holds.
  api.post<{ Body: Asked; Params: { readonly ns: string } }>(
    '/namespaces/:ns',
    { config: { role: 'reader' }, schema: { body: explainSchema } },
    async (request) => {
      if (!request.params.ns.endsWith(explainAction)) throw new Problem(404, 'the one action of a namespace is :explain')
      const { registry } = request.at
      const asked = request.body
      checkFields(asked)
      const { action, client = '', topic = '' } = asked
      if (action === 'connect') {
        // Who may only read must not find passwords out by asking.
        if (asked.password !== undefined || asked.authenticationData !== undefined) checkRole(request.caller, 'operator')
        return explainConnect(registry.view, credentialsOf(asked), {
          now: Date.now(),
          tokenAudiences: defaultAudiences(namespaces.entryOf(request.at.name).hostNames, listed(config.TOKEN_AUDIENCES)),
          tokenLeewayMs: config.TOKEN_LEEWAY,
          attributesBytesMax: config.CLIENT_ATTRIBUTES_MAX,
        })
      }
      const wrong = action === 'publish' ? topicNameProblem(topic) : topicFilterProblem(topic)
      if (wrong !== null) throw badRequest([{ field: 'topic', value: topic, rule: wrong }])
      return explain(registry.view, client, action, topic)
    },
  )
}
