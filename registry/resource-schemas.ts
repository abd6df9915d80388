/** The shape of each resource's `properties`, as JSON schema. What a schema cannot say stands in rules.ts. */
import { deliveryHeadersMax } from '../events/delivery-headers.ts'
import { filterTextMax, includedEventTypesMax } from '../events/filter.ts'
import { deliveryCountMax, deliveryOrders, deliveryStates, minimumTlsVersions, operatorTypes, retentionDaysMax } from '../model/event-subscriptions.ts'
import { limitPresets, type NamespaceLimit, namespaceLimits, ruleNames, whenQueueFull } from '../model/namespace-limits.ts'
import { permissions } from '../model/permission.ts'
import { alternativeAuthenticationNameSources, apiKeyRoles, type ResourceKind, validationSchemes } from '../model/registry-resources.ts'
import { routeFormats, routeKeys, whenDeadEnd, whenSealed } from '../model/routes.ts'

const description = { type: 'string', maxLength: 4096 }
const object = (properties: object, required: readonly string[] = []) => ({ type: 'object', additionalProperties: false, properties, required })

/** Host names of one namespace. */
const hostNamesMax = 64
/** What Azure says of a custom domain besides its name (NS-09): certificates and proofs of ownership that nobody here looks at. */
export const azureDomainFields = ['identity', 'certificateUrl', 'validationState', 'expectedTxtRecordName', 'expectedTxtRecordValue']
const url = { type: 'string', minLength: 1, maxLength: 2048 }
const name = { type: 'string', minLength: 1, maxLength: 256 }
const tokenIssuer = object(
  {
    tokenIssuer: { type: 'string', minLength: 1, maxLength: 2048 },
    encodedIssuerCertificates: {
      type: 'array',
      maxItems: 10,
      items: object({ kid: name, encodedCertificate: { type: 'string', minLength: 1, maxLength: 65_536 } }, ['kid', 'encodedCertificate']),
    },
    audiences: { type: 'array', maxItems: 20, items: { type: 'string', minLength: 1, maxLength: 2048 } },
    jwksUrl: url,
    openIdConfigurationUrl: url,
    roleAssignments: {
      type: 'array',
      maxItems: 100,
      items: object({ claim: { ...name, pattern: '^[A-Za-z0-9_]+$' }, value: name, permission: { enum: permissions }, topicSpaceName: name }, [
        'value',
        'permission',
      ]),
    },
  },
  ['tokenIssuer'],
)

const deliveryPolicy = {
  maxDeliveryCount: { type: 'integer', minimum: 1, maximum: deliveryCountMax },
  eventTimeToLive: { type: 'string', minLength: 1, maxLength: 64 },
  deadLetterDestinationWithResourceIdentity: object(
    {
      deadLetterDestination: object(
        {
          endpointType: { enum: ['KafkaTopic', 'Folder', 'S3Bucket'] },
          properties: object({
            topicName: { ...name, pattern: '^[A-Za-z0-9._-]{1,249}$' },
            folderName: { ...name, pattern: '^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$' },
            bucketName: { ...name, pattern: '^[a-z0-9](?!.*[.][.])[a-z0-9.-]{1,61}[a-z0-9]$' },
          }),
        },
        ['endpointType', 'properties'],
      ),
    },
    ['deadLetterDestination'],
  ),
}
const destination = object(
  {
    endpointType: { enum: ['WebHook'] },
    properties: object({
      endpointUrl: url,
      endpointBaseUrl: url,
      maxEventsPerBatch: { type: 'integer', minimum: 1, maximum: 5000 },
      preferredBatchSizeInKilobytes: { type: 'integer', minimum: 1, maximum: 1024 },
      minimumTlsVersionAllowed: { enum: minimumTlsVersions },
      maxConcurrentRequests: { type: 'integer', minimum: 1, maximum: 1000 },
      maxRequestsPerMinute: { type: 'integer', minimum: 1, maximum: 1_000_000 },
      deliveryOrder: { enum: deliveryOrders },
      deliveryAttributeMappings: {
        type: 'array',
        maxItems: deliveryHeadersMax,
        items: object(
          {
            name,
            type: { enum: ['Static', 'Dynamic'] },
            properties: object({ value: { type: 'string' }, isSecret: { type: 'boolean' }, sourceField: { type: 'string', maxLength: 1024 } }),
          },
          ['name', 'type', 'properties'],
        ),
      },
    }),
  },
  ['endpointType', 'properties'],
)

const eventFilters = {
  type: 'array',
  items: object(
    { operatorType: { enum: operatorTypes }, key: { type: 'string', minLength: 1, maxLength: filterTextMax }, value: {}, values: { type: 'array' } },
    ['operatorType', 'key'],
  ),
}
// Keys, values and their number are checked by events/enrichment.ts.
const enrichment = { key: { type: 'string', maxLength: 256 }, value: { type: 'string', maxLength: 4096 } }
const enrichments = object({
  static: { type: 'array', maxItems: 1000, items: object({ ...enrichment, valueType: { enum: ['String'] } }, ['key', 'value']) },
  dynamic: { type: 'array', maxItems: 1000, items: object(enrichment, ['key', 'value']) },
})

export const resourceSchemas: Readonly<Record<ResourceKind, { readonly properties: object }>> = {
  clients: object(
    {
      authenticationName: { type: 'string', minLength: 1, maxLength: 128 },
      state: { enum: ['Enabled', 'Disabled'] },
      clientCertificateAuthentication: object({
        validationScheme: { enum: validationSchemes },
        allowedThumbprints: { type: 'array', items: { type: 'string', maxLength: 128 }, minItems: 1, maxItems: 2 },
      }),
      passwordAuthentication: object({ password: { type: 'string', minLength: 8, maxLength: 1024 } }),
      attributes: {
        type: 'object',
        // A name that JavaScript gives a meaning of its own does not survive the way through the log.
        propertyNames: { pattern: '^(?!__proto__$)[A-Za-z0-9_]+$', maxLength: 256 },
        additionalProperties: {
          anyOf: [
            { type: 'string' },
            { type: 'integer', minimum: Number.MIN_SAFE_INTEGER, maximum: Number.MAX_SAFE_INTEGER },
            { type: 'array', items: { type: 'string' } },
          ],
        },
      },
      description,
    },
    ['clientCertificateAuthentication'],
  ),
  clientGroups: object({ query: { type: 'string' }, deliveryReceipts: { type: 'boolean' }, description }),
  topicSpaces: object({ topicTemplates: { type: 'array', items: { type: 'string' }, minItems: 1 }, description }, ['topicTemplates']),
  permissionBindings: object(
    {
      clientGroupName: { type: 'string', maxLength: 128 },
      topicSpaceName: { type: 'string', maxLength: 128 },
      permission: { enum: permissions },
      description,
    },
    ['clientGroupName', 'topicSpaceName', 'permission'],
  ),
  caCertificates: object(
    {
      encodedCertificate: { type: 'string', minLength: 1, maxLength: 65_536 },
      encodedRevocationList: { type: 'string', minLength: 1, maxLength: 1_048_576 },
      revocationListUrl: url,
      description,
    },
    ['encodedCertificate'],
  ),
  apiKeys: object({ role: { enum: apiKeyRoles }, expirationTimeInUtc: { type: 'string', maxLength: 64 }, description }, ['role']),
  topics: object({
    eventRetentionInDays: { type: 'integer', minimum: 1, maximum: retentionDaysMax },
    inputSchema: { enum: ['CloudEventSchemaV1_0'] },
    publisherType: { enum: ['Custom'] },
    partitions: { type: 'integer', minimum: 1, maximum: 1024 },
    description,
  }),
  eventSubscriptions: object(
    {
      deliveryConfiguration: object(
        {
          deliveryMode: { enum: ['Queue', 'Push'] },
          queue: object({ receiveLockDurationInSeconds: { type: 'integer', minimum: 60, maximum: 300 }, ...deliveryPolicy }),
          push: object({ ...deliveryPolicy, destination, deliveryWithResourceIdentity: object({ destination }, ['destination']) }),
        },
        ['deliveryMode'],
      ),
      eventDeliverySchema: { enum: ['CloudEventSchemaV1_0'] },
      // Its limits, and what each operator takes, are checked by events/filter.ts.
      filtersConfiguration: object({
        includedEventTypes: { type: 'array', maxItems: includedEventTypesMax, items: { type: 'string', minLength: 1, maxLength: filterTextMax } },
        filters: eventFilters,
        enableAdvancedFilteringOnArrays: { type: 'boolean' },
      }),
      expirationTimeUtc: { type: 'string', maxLength: 64 },
      deliveryState: { enum: deliveryStates },
      description,
    },
    ['deliveryConfiguration'],
  ),
  routes: object(
    {
      topicFilters: { type: 'array', minItems: 1, maxItems: 100, items: { type: 'string', minLength: 1, maxLength: 1024 } },
      conditions: eventFilters,
      target: object({
        topic: { type: 'string', minLength: 3, maxLength: 50 },
        kafkaTopic: { type: 'string', minLength: 1, maxLength: 249 },
        cluster: { type: 'string', pattern: '^[A-Za-z0-9-]{1,50}$' },
      }),
      format: { enum: routeFormats },
      key: { enum: routeKeys },
      enrichments,
      sealed: { enum: whenSealed },
      onDeadEnd: { enum: whenDeadEnd },
      description,
    },
    ['target'],
  ),
  namespace: object({
    topicSpacesConfiguration: object({
      routeTopicResourceId: { type: 'string', minLength: 1, maxLength: 2048 },
      routingEnrichments: enrichments,
      routingIdentityInfo: object({ type: { enum: ['None', 'SystemAssigned', 'UserAssigned'] }, userAssignedIdentity: { type: 'string', maxLength: 2048 } }),
      maximumSessionExpiryInHours: { type: 'integer', minimum: 1, maximum: 8760 },
      maximumClientSessionsPerAuthenticationName: { type: 'integer', minimum: 1, maximum: 10_000 },
      customDomains: {
        type: 'array',
        maxItems: hostNamesMax,
        items: object(
          {
            fullyQualifiedDomainName: { type: 'string', minLength: 1, maxLength: 254 },
            ...Object.fromEntries(azureDomainFields.map((field) => [field, {}])),
          },
          ['fullyQualifiedDomainName'],
        ),
      },
      clientAuthentication: object({
        alternativeAuthenticationNameSources: {
          type: 'array',
          items: { enum: alternativeAuthenticationNameSources },
          uniqueItems: true,
          maxItems: alternativeAuthenticationNameSources.length,
        },
        customJwtAuthentication: tokenIssuer,
        oauth2JwtAuthentication: tokenIssuer,
        webhookAuthentication: object({ endpointUrl: url, endpointBaseUrl: url }),
      }),
    }),
    partitions: { type: 'integer', minimum: 1, maximum: 1024 },
    publicNetworkAccess: { enum: ['Enabled', 'Disabled'] },
    inboundIpRules: { type: 'array', items: object({ ipMask: { type: 'string', maxLength: 64 }, action: { enum: ['Allow'] } }, ['ipMask']) },
    limits: object({
      preset: { enum: limitPresets },
      ...Object.fromEntries(
        Object.entries<NamespaceLimit>(namespaceLimits).map(([name, { least = 0 }]) => [name, { type: 'integer', minimum: least, maximum: 1_000_000_000 }]),
      ),
      ...Object.fromEntries(ruleNames.map((name) => [name, { type: 'boolean' }])),
      sessionQueueFull: { enum: whenQueueFull },
    }),
  }),
}

/** Fields that Azure writes or reads and that mean nothing here: taken out with a warning. By kind, as paths. */
const azureOnly: Readonly<Record<ResourceKind, readonly string[]>> = {
  clients: ['provisioningState', 'authentication'],
  clientGroups: ['provisioningState'],
  topicSpaces: ['provisioningState', 'subscriptionSupport'],
  permissionBindings: ['provisioningState'],
  caCertificates: ['provisioningState', 'issueTimeInUtc', 'expiryTimeInUtc'],
  apiKeys: [],
  topics: ['provisioningState'],
  routes: [],
  eventSubscriptions: [
    'provisioningState',
    'deliveryConfiguration.queue.deadLetterDestinationWithResourceIdentity.identity',
    'deliveryConfiguration.push.deadLetterDestinationWithResourceIdentity.identity',
    'deliveryConfiguration.push.deliveryWithResourceIdentity.identity',
    ...['destination', 'deliveryWithResourceIdentity.destination'].flatMap((path) =>
      ['azureActiveDirectoryTenantId', 'azureActiveDirectoryApplicationIdOrUri'].map((field) => `deliveryConfiguration.push.${path}.properties.${field}`),
    ),
  ],
  namespace: [
    'provisioningState',
    'isZoneRedundant',
    'privateEndpointConnections',
    'minimumTlsVersionAllowed',
    'topicsConfiguration',
    'topicSpacesConfiguration.state',
    'topicSpacesConfiguration.hostname',
    'topicSpacesConfiguration.clientAuthentication.customJwtAuthentication.issuerCertificates',
    'topicSpacesConfiguration.clientAuthentication.webhookAuthentication.identity',
    'topicSpacesConfiguration.clientAuthentication.webhookAuthentication.azureActiveDirectoryApplicationIdOrUri',
    'topicSpacesConfiguration.clientAuthentication.webhookAuthentication.azureActiveDirectoryTenantId',
  ],
}

/** What may stand beside `properties`: our own answers can be sent back as they are. */
const envelope = new Set(['id', 'name', 'type', 'etag', 'createdAt', 'updatedAt', 'by', 'warnings', 'status'])
/** What stands there in bodies of Azure's management API: taken out with a warning too. */
const azureEnvelope = ['location', 'tags', 'sku', 'identity', 'systemData']

type Json = Record<string, unknown>
const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

export interface ReadBody {
  /** A copy. */
  readonly properties: unknown
  /** `name` beside `properties`, when given. */
  readonly name?: unknown
  readonly warnings: readonly string[]
  /** Fields beside `properties` that are unknown. */
  readonly unknown: readonly string[]
}

function takeOut(properties: Json, path: string): boolean {
  const [first, ...rest] = path.split('.') as [string, ...string[]]
  if (!Object.hasOwn(properties, first)) return false
  if (rest.length > 0) {
    const inner = properties[first]
    return isObject(inner) && takeOut(inner, rest.join('.'))
  }
  delete properties[first]
  return true
}

/** The properties in a body, given bare or as `{"properties": …}`, without what only Azure knows. */
export function readBody(kind: ResourceKind, body: unknown): ReadBody {
  if (!isObject(body)) return { properties: body, warnings: [], unknown: [] }
  const isWrapped = Object.hasOwn(body, 'properties')
  const properties = structuredClone(isWrapped ? body.properties : body)
  const unknown = isWrapped ? Object.keys(body).filter((field) => field !== 'properties' && !envelope.has(field) && !azureEnvelope.includes(field)) : []
  if (!isObject(properties)) return { properties, warnings: [], unknown }
  const outside = isWrapped ? azureEnvelope.filter((field) => Object.hasOwn(body, field)) : []
  const inside = azureOnly[kind].filter((path) => takeOut(properties, path)).map((path) => `properties.${path}`)
  const warnings = [...outside, ...inside].map((path) => `${path} means something to Azure only and was left out`)
  return { properties, warnings, unknown, ...(isWrapped && Object.hasOwn(body, 'name') ? { name: body.name } : {}) }
}
