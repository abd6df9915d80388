/** What a gateway answers at /mqtt/… (gateway/http), for the API's document: Event Grid's paths and names (spec HP-01 … HP-05, RE-06 … RE-08). */

const problem = (description: string) => ({ description, content: { 'application/problem+json': { schema: { $ref: '#/components/schemas/Problem' } } } })
const parameter = (place: 'query' | 'header', name: string, schema: object, description: string, required = false) => ({
  name,
  in: place,
  required,
  schema,
  description,
})
const text = { type: 'string' }
const flag = { type: 'integer', enum: [0, 1] }

const about = { tags: ['mqtt'], security: [{ clientToken: [] }, { key: [] }, {}] }
const apiVersion = parameter('query', 'api-version', text, 'Taken as Azure’s clients send it; every version is answered alike')
const common = {
  '400': problem('A parameter or header is wrong, is missing, or is given twice'),
  '401': problem('Nobody: no credentials where some are needed, or none that are believed'),
  '403': problem('No permission binding allows it, the key’s role is not enough, or the address may not'),
  '429': problem('Above a rate; ask again after Retry-After'),
  '500': problem('It went wrong, and whether the message is in the log is not known'),
  '503': problem('The gateway cannot serve now, or too much is under way; ask again after Retry-After'),
}

const publish = {
  operationId: 'publishMessage',
  ...about,
  description:
    'Publishes a message as an MQTT client would: under the same permissions, limits and rates. Answered once the message is in the log. What the query says counts, whatever the header says.',
  parameters: [
    parameter('query', 'topic', text, 'The topic name, percent-encoded (+ is no space)', true),
    parameter('query', 'qos', { type: 'integer', enum: [0, 1, 2], default: 1 }, 'Highest QoS that subscribers get it with'),
    parameter('query', 'retain', { ...flag, default: 0 }, '1: retained'),
    apiVersion,
    parameter('header', 'mqtt-qos', { type: 'integer', enum: [0, 1, 2] }, 'As qos'),
    parameter('header', 'mqtt-retain', flag, 'As retain'),
    parameter('header', 'mqtt-response-topic', text, 'Response Topic, percent-encoded'),
    parameter('header', 'mqtt-correlation-data', text, 'Correlation Data, base64'),
    parameter('header', 'mqtt-user-properties', text, 'User Properties: base64 of a JSON array of objects with one name and its text each'),
    parameter('header', 'mqtt-message-expiry', { type: 'integer', minimum: 0, maximum: 0xffff_ffff }, 'Message Expiry Interval, seconds'),
    parameter('header', 'mqtt-payload-format-indicator', { ...flag, default: 0 }, '1: the payload is UTF-8'),
  ],
  requestBody: { description: 'The payload; its Content-Type is the message’s', content: { '*/*': { schema: { type: 'string', format: 'binary' } } } },
  responses: {
    '204': { description: 'The message is in the log' },
    ...common,
    '408': problem('The body did not arrive in time'),
    '413': problem('The message is larger than MAXIMUM_PACKET_SIZE'),
    '504': problem('The log did not answer in time; the message may still come to be in it'),
  },
}

const header = (description: string) => ({ description, schema: text })
const getRetained = {
  operationId: 'getRetainedPayload',
  ...about,
  description: 'The message that is retained on a topic, for who may subscribe to it.',
  parameters: [parameter('query', 'topic', text, 'The topic name, percent-encoded', true), apiVersion],
  responses: {
    '200': {
      description: 'The payload',
      headers: {
        'x-ms-mqtt-topic': header('The topic, percent-encoded where a header could not carry it'),
        'x-ms-mqtt-qos': header('0, 1 or 2'),
        'x-ms-mqtt-size': header('Bytes of the payload'),
        'x-ms-mqtt-expiry': header('When it expires, ISO 8601; missing when it does not'),
        'x-ms-mqtt-last-modified': header('When it was published, ISO 8601'),
      },
      content: { '*/*': { schema: { type: 'string', format: 'binary' } } },
    },
    '404': problem('Nothing is retained there'),
    ...common,
  },
}

const listRetained = {
  operationId: 'listRetainedTopics',
  ...about,
  description: 'What is retained on the topics of a filter, for who may subscribe to it: topicFilter for the first page, continuationToken for those behind.',
  parameters: [
    parameter('query', 'topicFilter', text, 'The topic filter, percent-encoded (+ is the wildcard)'),
    parameter('query', 'maxResults', { type: 'integer', minimum: 1, maximum: 100, default: 100 }, 'Most in one page'),
    parameter('query', 'continuationToken', text, 'As nextLink gives it'),
    apiVersion,
  ],
  responses: {
    '200': {
      description: 'A page, in the order of topics',
      content: {
        'application/json': {
          schema: {
            type: 'object',
            properties: {
              nextLink: { type: ['string', 'null'] },
              retainedMessages: {
                type: 'array',
                items: {
                  type: 'object',
                  properties: {
                    topic: text,
                    qos: { type: 'integer' },
                    size: { type: 'integer' },
                    expiry: { type: ['string', 'null'], format: 'date-time' },
                    lastModifiedTime: { type: 'string', format: 'date-time' },
                  },
                },
              },
            },
            required: ['nextLink', 'retainedMessages'],
          },
        },
      },
    },
    ...common,
  },
}

export const mqttPaths: Readonly<Record<string, object>> = {
  '/mqtt/messages': { post: publish },
  '/mqtt/retainedMessages': { get: listRetained },
  '/mqtt/retainedMessages/message': { get: getRetained },
}

/** How clients of the broker show who they are. */
export const clientToken = {
  type: 'http',
  scheme: 'bearer',
  description: 'A token of the namespace’s issuers (oauth2JwtAuthentication, customJwtAuthentication), or an API key with the role operator',
}
