/** The API as OpenAPI 3.1, made of the same schemas that requests are validated with. */
import { stateKinds } from '../history/state-rows.ts'
import { type ResourceKind, resourceKinds } from '../model/registry-resources.ts'
import { diffQuery } from './at-routes.ts'
import { errorsToldMax } from './bulk-import.ts'
import { changesQuery } from './changes-route.ts'
import { explainDeliverySchema } from './explain-delivery-route.ts'
import { explainSchema } from './explain-route.ts'
import { historyQuery } from './history-routes.ts'
import { clientToken, mqttPaths } from './openapi-mqtt.ts'
import { topDefault, topMax } from './paging.ts'
import { roleOf } from './resource-routes.ts'
import { resourceSchemas } from './resource-schemas.ts'
import { rewindSchema } from './subscription-actions.ts'
import { whatIfSchema } from './what-if-route.ts'

const singular: Readonly<Record<ResourceKind, string>> = {
  clients: 'Client',
  clientGroups: 'ClientGroup',
  topicSpaces: 'TopicSpace',
  permissionBindings: 'PermissionBinding',
  caCertificates: 'CaCertificate',
  apiKeys: 'ApiKey',
  topics: 'Topic',
  eventSubscriptions: 'EventSubscription',
  routes: 'Route',
  namespace: 'Namespace',
}

const reference = (name: string) => ({ $ref: `#/components/schemas/${name}` })
const json = (schema: object) => ({ 'application/json': { schema } })
const answer = (description: string, schema?: object) => ({ description, ...(schema ? { content: json(schema) } : {}) })
const problem = (description: string) => ({ description, content: { 'application/problem+json': { schema: reference('Problem') } } })
const query = (name: string, schema: object, description: string) => ({ name, in: 'query', required: false, schema, description })
const inPath = (name: string, description: string) => ({ name, in: 'path', required: true, schema: { type: 'string' }, description })

const common = {
  '400': problem('The request is wrong: field, value and rule'),
  '401': problem('There is no key, or nobody has it'),
  '403': problem('The key’s role is not enough, or the key came over plain HTTP'),
  '503': problem('Kafka does not confirm; ask again after Retry-After'),
}
const paging = [
  query('$top', { type: 'integer', minimum: 1, maximum: topMax, default: topDefault }, 'Most in one page'),
  query('$skiptoken', { type: 'string' }, 'From the nextLink of the page before'),
]
const dryRun = query('dryRun', { type: 'boolean', default: false }, 'Checks everything and writes nothing; the answer has dryRun and change')
const deleteData = query(
  'deleteData',
  { type: 'boolean', default: false },
  'The Kafka topic goes too, with the events in it; otherwise they stay until their retention is over',
)
const ifMatch = { name: 'If-Match', in: 'header', required: false, schema: { type: 'string' }, description: 'ETag that the resource must have' }
const ifNoneMatch = { name: 'If-None-Match', in: 'header', required: false, schema: { type: 'string' }, description: '* : the resource must not exist' }

function resourcePaths(kind: ResourceKind, namespace: string): Readonly<Record<string, object>> {
  const name = singular[kind]
  const isNamespace = kind === 'namespace'
  const base = `/namespaces/${namespace}`
  const collection = kind === 'eventSubscriptions' ? `${base}/topics/{topic}/eventSubscriptions` : `${base}/${kind}`
  const path = isNamespace ? base : `${collection}/{name}`
  const within = kind === 'eventSubscriptions' ? [inPath('topic', 'Name of the Topic')] : []
  const parameters = isNamespace ? [] : [...within, inPath('name', `Name of the ${name}`)]
  const read = { tags: [kind], 'x-role': roleOf(kind, true) }
  const write = { tags: [kind], 'x-role': roleOf(kind, false) }
  const item = {
    ...(parameters.length > 0 ? { parameters } : {}),
    get: {
      operationId: `get${name}`,
      ...read,
      parameters: [ifNoneMatch],
      responses: {
        '200': answer('The resource', reference(`${name}Resource`)),
        '304': answer('It has the ETag still'),
        '404': problem('It does not exist'),
        ...common,
      },
    },
    put: {
      operationId: `put${name}`,
      ...write,
      parameters: [dryRun, ifMatch, ifNoneMatch],
      requestBody: {
        required: true,
        description: 'The properties, bare or as {"properties": …}. Fields that only Azure knows are left out with a warning.',
        content: json({ oneOf: [{ type: 'object', properties: { properties: reference(name) }, required: ['properties'] }, reference(name)] }),
      },
      responses: {
        '200': answer('Written over, or the result of a dry run', reference(`${name}Resource`)),
        '201': answer('Written new', reference(`${name}Resource`)),
        '409': problem('Another resource stands against it'),
        '412': problem('The resource has another ETag'),
        '413': problem('The body is too large'),
        ...common,
      },
    },
    ...(isNamespace
      ? {
          delete: {
            operationId: 'deleteNamespace',
            ...write,
            description:
              'Ends its clients at once and removes its topics later. Takes the key of the deployment’s owner; the home namespace cannot be deleted.',
            parameters: [dryRun],
            responses: { '200': answer('The result of a dry run'), '204': answer('Deleted'), '404': problem('It does not exist'), ...common },
          },
        }
      : {
          delete: {
            operationId: `delete${name}`,
            ...write,
            parameters: [dryRun, ifMatch, ...(kind === 'topics' ? [deleteData] : [])],
            responses: {
              '200': answer('The result of a dry run'),
              '204': answer('Deleted'),
              '404': problem('It does not exist'),
              '409': problem('Others use it'),
              '412': problem('The resource has another ETag'),
              ...common,
            },
          },
        }),
  }
  if (isNamespace) {
    const responses = { '200': answer('A page', pageOf(reference(`${name}Resource`))), ...common }
    return { '/namespaces': { get: { operationId: 'listNamespaces', ...read, parameters: paging, responses } }, [path]: item }
  }
  const list = {
    ...(within.length > 0 ? { parameters: within } : {}),
    get: { operationId: `list${name}s`, ...read, parameters: paging, responses: { '200': answer('A page', pageOf(reference(`${name}Resource`))), ...common } },
  }
  return { [collection]: list, [path]: item }
}

const pageOf = (items: object) => ({ type: 'object', properties: { value: { type: 'array', items }, nextLink: { type: 'string' } }, required: ['value'] })

const resourceOf = (name: string) => ({
  type: 'object',
  properties: {
    id: { type: 'string' },
    name: { type: 'string' },
    type: { type: 'string' },
    properties: { type: 'object', description: `The properties of a ${name} with defaults filled in, and what is read-only` },
    etag: { type: 'string' },
    createdAt: { type: 'string', format: 'date-time' },
    updatedAt: { type: 'string', format: 'date-time' },
    by: { type: 'string', description: 'Who wrote it last' },
    warnings: { type: 'array', items: { type: 'string' } },
  },
  required: ['id', 'name', 'type', 'properties'],
})

function sessionPaths(namespace: string): Readonly<Record<string, object>> {
  const path = `/namespaces/${namespace}/sessions`
  const about = { tags: ['sessions'], 'x-role': 'operator' }
  const clientId = inPath('clientId', 'The MQTT client id')
  const gone = problem('There is no such session')
  return {
    [path]: {
      get: {
        operationId: 'listSessions',
        ...about,
        parameters: [
          ...paging,
          query('connected', { type: 'boolean' }, 'Only those with a connection, or only those without'),
          query('authenticationName', { type: 'string' }, 'Only this client’s'),
        ],
        responses: { '200': answer('A page', pageOf(reference('Session'))), ...common },
      },
    },
    [`${path}/{clientId}`]: {
      parameters: [clientId],
      get: { operationId: 'getSession', ...about, responses: { '200': answer('The session', reference('Session')), '404': gone, ...common } },
      delete: {
        operationId: 'endSession',
        ...about,
        responses: {
          '204': answer('Over, with all it held; a connection gets DISCONNECT 0x98'),
          '404': gone,
          '409': problem('It moved on meanwhile'),
          ...common,
        },
      },
    },
    [`${path}/{clientId}:disconnect`]: {
      parameters: [clientId],
      post: {
        operationId: 'disconnectSession',
        ...about,
        responses: { '204': answer('Its connection got DISCONNECT 0x98; the session goes on'), '404': gone, '409': problem('It has no connection'), ...common },
      },
    },
  }
}

function subscriptionActionPaths(namespace: string): Readonly<Record<string, object>> {
  const path = `/namespaces/${namespace}/topics/{topic}/eventSubscriptions/{name}`
  const parameters = [inPath('topic', 'Name of the Topic'), inPath('name', 'Name of the EventSubscription')]
  const action = (operationId: string, done: object, body?: object) => ({
    parameters,
    post: {
      tags: ['eventSubscriptions'],
      'x-role': roleOf('eventSubscriptions', false),
      operationId,
      ...(body ? { requestBody: { content: json(body) } } : {}),
      responses: { '200': done, '404': problem('It does not exist'), '409': problem('Its deliveryMode has no such action'), ...common },
    },
  })
  const written = answer('The resource', reference('EventSubscriptionResource'))
  return {
    [`${path}:pause`]: action('pauseEventSubscription', written),
    [`${path}:resume`]: action('resumeEventSubscription', written),
    [`${path}:rewind`]: action('rewindEventSubscription', answer('Where each partition goes on', { type: 'object' }), rewindSchema),
    [`${path}:redrive`]: action('redriveEventSubscription', answer('How many dead letters are tried again', { type: 'object' }), rewindSchema),
  }
}

function retainedPaths(namespace: string): Readonly<Record<string, object>> {
  const path = `/namespaces/${namespace}/retainedMessages`
  const about = { tags: ['retained messages'], 'x-role': 'operator' }
  const incomplete = problem('A shard has no owner now: what could be told would not be all')
  return {
    [path]: {
      get: {
        operationId: 'listRetainedMessages',
        ...about,
        parameters: [...paging, query('topicFilter', { type: 'string', default: '#' }, 'Only those on topics that match')],
        responses: { '200': answer('A page, in the order of topics', pageOf(reference('RetainedMessage'))), ...common, '503': incomplete },
      },
    },
    [`${path}/{topic}`]: {
      parameters: [inPath('topic', 'The topic, percent-encoded')],
      get: {
        operationId: 'getRetainedMessage',
        ...about,
        responses: {
          '200': answer('The message, its payload in base64', reference('RetainedMessage')),
          '404': problem('Nothing is retained there'),
          ...common,
          '503': incomplete,
        },
      },
      delete: {
        operationId: 'clearRetainedMessage',
        ...about,
        responses: {
          '204': answer('Cleared: an empty retained publish is in the log, which subscribers get too'),
          '404': problem('Nothing is retained there'),
          ...common,
          '503': problem('The topic’s shard has no owner now'),
        },
      },
    },
  }
}

const lines = (description: string): object => ({ description, content: { 'application/x-ndjson': { schema: { type: 'string' } } } })
const notKept = { '410': problem('The moment is from before what is kept: the problem says from when there is history') }

function historyPaths(namespace: string): Readonly<Record<string, object>> {
  return {
    [`/namespaces/${namespace}/history`]: {
      get: {
        operationId: 'readHistory',
        tags: ['history'],
        'x-role': 'operator',
        parameters: Object.entries(historyQuery).map(([name, { schema, about }]) => query(name, schema, about)),
        responses: {
          '200': lines(
            'A line of JSON for each message, with a cursor that a later from may be; the last line has end: true. A line with error says that it broke off there',
          ),
          ...common,
        },
      },
    },
  }
}

function atPaths(namespace: string): Readonly<Record<string, object>> {
  const parameter = (name: string, schema: object, description: string): object => ({ name, in: 'path', required: true, schema, description })
  return {
    [`/namespaces/${namespace}/at/{time}/{kind}`]: {
      parameters: [
        parameter('time', { type: 'string' }, 'A time in UTC, a duration back from now (-PT1H), or positions of messages (0:10,1:55)'),
        parameter('kind', { enum: stateKinds }, 'What'),
      ],
      get: {
        operationId: 'readStateAt',
        tags: ['history'],
        'x-role': 'operator',
        responses: {
          '200': lines('A line of JSON for each that was there; the last line has end: true. A line with error says that it broke off there'),
          ...notKept,
          ...common,
        },
      },
    },
    [`/namespaces/${namespace}/diff`]: {
      get: {
        operationId: 'compareStates',
        tags: ['history'],
        'x-role': 'operator',
        parameters: Object.entries(diffQuery).map(([name, { schema, about }]) => query(name, schema, about)),
        responses: { '200': lines('A line of JSON for each difference: added, removed or changed; the last line has end: true'), ...notKept, ...common },
      },
    },
  }
}

function changesPaths(namespace: string): Readonly<Record<string, object>> {
  return {
    [`/namespaces/${namespace}/changes`]: {
      get: {
        operationId: 'readChanges',
        tags: ['audit'],
        'x-role': 'owner',
        parameters: Object.entries(changesQuery).map(([name, { schema, about }]) => query(name, schema, about)),
        responses: {
          '200': lines('A line of JSON for each change of a resource; the last line has end: true. A line with error says that it broke off there'),
          ...common,
        },
      },
    },
  }
}

function inquiryPaths(namespace: string): Readonly<Record<string, object>> {
  return {
    [`/namespaces/${namespace}/history:explainDelivery`]: {
      post: {
        operationId: 'explainDelivery',
        tags: ['history'],
        'x-role': 'operator',
        description: 'What became of one message for one client, why, and which records of the log prove it.',
        requestBody: { required: true, content: json(explainDeliverySchema) },
        responses: {
          '200': lines('Lines of JSON: progress while it goes on, and the answer as the last one. A line with error says why there is none'),
          ...common,
        },
      },
    },
    [`/namespaces/${namespace}/history:whatIf`]: {
      post: {
        operationId: 'whatIf',
        tags: ['history'],
        'x-role': 'operator',
        description: 'What proposed client groups, topic spaces, permission bindings and clients would have made of traffic that was. Nothing is written.',
        requestBody: { required: true, content: json(whatIfSchema) },
        responses: {
          '200': lines('Lines of JSON: progress while it goes on, and the report as the last one. A line with error says that it broke off'),
          ...notKept,
          ...common,
        },
      },
    },
  }
}

function erasePaths(namespace: string): Readonly<Record<string, object>> {
  return {
    [`/namespaces/${namespace}/clients/{name}:erase`]: {
      parameters: [inPath('name', 'The authentication name, percent-encoded')],
      post: {
        operationId: 'eraseClient',
        tags: ['audit'],
        'x-role': 'owner',
        responses: {
          '200': answer('How many keys were destroyed: what was sealed with them is read by nobody any more', {
            type: 'object',
            properties: { erasedKeys: { type: 'integer' } },
            required: ['erasedKeys'],
          }),
          ...common,
        },
      },
    },
  }
}

function otherPaths(namespace: string): Readonly<Record<string, object>> {
  return {
    [`/namespaces/${namespace}/clients:import`]: {
      post: {
        operationId: 'importClients',
        tags: ['clients'],
        'x-role': 'operator',
        description: `Clients as lines of JSON, {"name": …, "properties": {…}}. The answer comes while it goes on: a line of progress after every 1000, a line per error (the first ${errorsToldMax}), and a last line with done.`,
        parameters: [dryRun],
        requestBody: { required: true, content: { 'application/x-ndjson': { schema: { type: 'string' } } } },
        responses: {
          '200': { description: 'Lines of JSON', content: { 'application/x-ndjson': { schema: reference('ImportResult') } } },
          '415': problem('The body is not application/x-ndjson'),
          ...common,
        },
      },
    },
    [`/namespaces/${namespace}:explain`]: {
      post: {
        operationId: 'explain',
        tags: ['access'],
        'x-role': 'reader',
        requestBody: { required: true, content: json(explainSchema) },
        responses: { '200': answer('Whether the client may, and why', reference('Explanation')), ...common },
      },
    },
  }
}

const counts = { lines: { type: 'integer' }, created: { type: 'integer' }, updated: { type: 'integer' }, failed: { type: 'integer' } }

/** The document for a namespace. */
export function openApiDocument(namespace: string): object {
  const schemas: Record<string, object> = {
    Problem: {
      type: 'object',
      description: 'RFC 9457',
      properties: {
        type: { type: 'string' },
        title: { type: 'string' },
        status: { type: 'integer' },
        detail: { type: 'string' },
        field: { type: 'string' },
        value: {},
        rule: { type: 'string' },
        violations: { type: 'array', items: { type: 'object' } },
      },
      required: ['type', 'title', 'status', 'detail'],
    },
    Session: resourceOf('session'),
    RetainedMessage: resourceOf('retained message'),
    Explanation: {
      type: 'object',
      properties: {
        allowed: { type: 'boolean' },
        reason: { type: 'string' },
        client: { type: 'string' },
        authenticationName: { type: 'string' },
        groups: { type: 'array', items: { type: 'string' } },
        binding: { type: 'string', description: 'Publish and subscribe: what allows it' },
        clientGroup: { type: 'string' },
        topicSpace: { type: 'string' },
        template: { type: 'string' },
        considered: {
          type: 'array',
          items: { type: 'object' },
          description: 'Publish and subscribe: the bindings looked at, and why each does or does not count',
        },
        reasonCode: { type: 'integer', description: 'Connect: the reason code of CONNACK' },
        kind: { type: 'string', description: 'Connect: as what the client is let in' },
        expiresAt: { type: 'string', format: 'date-time', description: 'Connect: when it will be judged anew' },
        certificate: { type: 'object', description: 'Connect: what the certificate says' },
      },
      required: ['allowed', 'reason'],
    },
    ImportResult: {
      oneOf: [
        { type: 'object', properties: { progress: { type: 'object', properties: counts } }, required: ['progress'] },
        { type: 'object', properties: { error: { type: 'object' } }, required: ['error'] },
        { type: 'object', properties: { done: { type: 'boolean' }, stopped: { type: 'string' }, ...counts }, required: ['done'] },
      ],
    },
  }
  for (const kind of resourceKinds) {
    schemas[singular[kind]] = resourceSchemas[kind]
    schemas[`${singular[kind]}Resource`] = resourceOf(singular[kind])
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Loggerhead',
      version: '1',
      description:
        'Who may connect, publish and subscribe, and the sessions there are. x-role is the least role that a key or token needs: reader, operator, owner.',
    },
    jsonSchemaDialect: 'https://json-schema.org/draft/2020-12/schema',
    security: [{ key: [] }],
    paths: {
      ...Object.assign({}, ...resourceKinds.map((kind) => resourcePaths(kind, namespace))),
      ...otherPaths(namespace),
      ...sessionPaths(namespace),
      ...subscriptionActionPaths(namespace),
      ...retainedPaths(namespace),
      ...historyPaths(namespace),
      ...atPaths(namespace),
      ...changesPaths(namespace),
      ...erasePaths(namespace),
      ...inquiryPaths(namespace),
      ...mqttPaths,
    },
    components: {
      schemas,
      securitySchemes: { clientToken, key: { type: 'http', scheme: 'bearer', description: 'A key of the API, or a token of the OIDC issuer' } },
    },
  }
}
