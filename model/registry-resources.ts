/** The resources of the registry as the folds and the rules see them: Event Grid's `properties` with defaults filled in. */
import { type ClientAuthentication, readClientAuthentication } from './client-authentication.ts'
import { type EventSubscriptionProperties, type NamespaceTopicProperties, readEventSubscription, readNamespaceTopic } from './event-subscriptions.ts'
import {
  limitNames,
  limitPresets,
  type NamespaceLimitName,
  type NamespaceLimits,
  type NamespaceRuleName,
  ruleNames,
  whenQueueFull,
} from './namespace-limits.ts'
import { type Permission, permissionNamed } from './permission.ts'
import { type NamespaceRouting, type RouteProperties, readRoute, readRouting } from './routes.ts'

/** Integers, strings and lists of strings; no booleans (spec 1.10). */
export type AttributeValue = string | number | readonly string[]
export type Attributes = Readonly<Record<string, AttributeValue>>

export const validationSchemes = [
  'SubjectMatchesAuthenticationName',
  'DnsMatchesAuthenticationName',
  'UriMatchesAuthenticationName',
  'IpMatchesAuthenticationName',
  'EmailMatchesAuthenticationName',
  'ThumbprintMatch',
] as const
export type ValidationScheme = (typeof validationSchemes)[number]

export const alternativeAuthenticationNameSources = [
  'ClientCertificateSubject',
  'ClientCertificateDns',
  'ClientCertificateUri',
  'ClientCertificateIp',
  'ClientCertificateEmail',
] as const
export type AlternativeAuthenticationNameSource = (typeof alternativeAuthenticationNameSources)[number]

export interface ClientProperties {
  /** In the case it was registered with; compared ignoring case (CL-02). */
  readonly authenticationName: string
  readonly state: 'Enabled' | 'Disabled'
  readonly clientCertificateAuthentication: {
    readonly validationScheme: ValidationScheme
    readonly allowedThumbprints?: readonly string[]
  }
  /** Of the client's password, when it has one (access/password-hash.ts); never answered. */
  readonly passwordHash?: string
  readonly attributes: Attributes
  readonly description?: string
}

export interface ClientGroupProperties {
  readonly query: string
  /** What becomes of messages for its members is noted (topic `receipts`). */
  readonly deliveryReceipts?: true
  readonly description?: string
}

export interface TopicSpaceProperties {
  readonly topicTemplates: readonly string[]
  readonly description?: string
}

export interface PermissionBindingProperties {
  readonly clientGroupName: string
  readonly topicSpaceName: string
  readonly permission: Permission
  readonly description?: string
}

export interface CaCertificateProperties {
  /** PEM text of the direct issuer of client certificates (XA-01). */
  readonly encodedCertificate: string
  /** Certificates of this CA that count no more (RFC 5280), PEM or base64 of DER. */
  readonly encodedRevocationList?: string
  /** Where the newest list is, an https URL; the gateways fetch it. */
  readonly revocationListUrl?: string
  readonly description?: string
}

/** Which networks the namespace lets in, as they stand beside its `topicSpacesConfiguration` (NS-07). */
export type NamespaceNetwork = Pick<NamespaceProperties, 'publicNetworkAccess' | 'inboundIpRules'>

/** Out of the namespace's `topicSpacesConfiguration` (NS-04), and what stands beside it. */
export interface NamespaceProperties extends ClientAuthentication {
  readonly alternativeAuthenticationNameSources: readonly AlternativeAuthenticationNameSource[]
  readonly maximumSessionExpiryInHours?: number
  readonly maximumClientSessionsPerAuthenticationName?: number
  readonly routing?: NamespaceRouting
  readonly limits?: NamespaceLimits
  readonly publicNetworkAccess?: 'Enabled' | 'Disabled'
  readonly inboundIpRules?: readonly IpRule[]
}

/** An address range in CIDR notation that may come in. */
export interface IpRule {
  readonly ipMask: string
  readonly action: 'Allow'
}

/** What the bearer of an API key may do; each role may what the ones before it may. */
export const apiKeyRoles = ['reader', 'operator', 'owner'] as const
export type ApiKeyRole = (typeof apiKeyRoles)[number]

export interface ApiKeyProperties {
  readonly role: ApiKeyRole
  /** SHA-256 of the key, in hexadecimal: keys are 256 random bits, so that nothing slower is needed. */
  readonly hash: string
  /** Milliseconds since the epoch after which the key is refused. */
  readonly expiresAt?: number
  readonly description?: string
}

/** Properties by kind: the kinds are the path segments of the HTTP API and the first part of a record's key. */
export interface ResourceProperties {
  clients: ClientProperties
  clientGroups: ClientGroupProperties
  topicSpaces: TopicSpaceProperties
  permissionBindings: PermissionBindingProperties
  caCertificates: CaCertificateProperties
  apiKeys: ApiKeyProperties
  topics: NamespaceTopicProperties
  /** Their names are `{topic}/{subscription}`. */
  eventSubscriptions: EventSubscriptionProperties
  routes: RouteProperties
  namespace: NamespaceProperties
}

export type ResourceKind = keyof ResourceProperties

export const resourceKinds = [
  'clients',
  'clientGroups',
  'topicSpaces',
  'permissionBindings',
  'caCertificates',
  'apiKeys',
  'topics',
  'eventSubscriptions',
  'routes',
  'namespace',
] as const satisfies readonly ResourceKind[]

export interface Resource<K extends ResourceKind = ResourceKind> {
  readonly kind: K
  readonly name: string
  readonly properties: ResourceProperties[K]
  readonly etag: string
  /** Milliseconds since the epoch. */
  readonly createdAt: number
  readonly updatedAt: number
  readonly by: string
  /** Position in the topic `registry` of the record that says so. */
  readonly offset: number
}

/** Every registered client is a member; cannot be edited or deleted (CG-02). */
export const allGroup = '$all'

/** Who comes without a certificate is a member of this group alone, and gets in only while the group exists. */
export const anonymousGroup = '$anonymous'

type Json = Readonly<Record<string, unknown>>

const text = (value: unknown): value is string => typeof value === 'string'
const texts = (value: unknown): value is readonly string[] => Array.isArray(value) && value.every(text)
const object = (value: unknown): Json => (typeof value === 'object' && value !== null ? (value as Json) : {})
const isNameSource = (value: string): value is AlternativeAuthenticationNameSource =>
  (alternativeAuthenticationNameSources as readonly string[]).includes(value)
const described = (json: Json): { readonly description?: string } => (text(json.description) ? { description: json.description } : {})

const isAttribute = (value: unknown): value is AttributeValue => text(value) || Number.isSafeInteger(value) || texts(value)

/** A plain object, which costs a third of one without a prototype: keys are looked up with Object.hasOwn. */
function readAttributes(value: unknown): Attributes {
  if (typeof value !== 'object' || value === null) return {}
  const entries = Object.entries(value)
  return entries.every(([, item]) => isAttribute(item)) ? (value as Attributes) : Object.fromEntries(entries.filter(([, item]) => isAttribute(item)))
}

/** A rule that cannot be read stays as one that nobody matches: it must not open the door. */
function readNetwork(json: Json): NamespaceNetwork {
  const { publicNetworkAccess, inboundIpRules } = json
  return {
    ...(publicNetworkAccess === 'Enabled' || publicNetworkAccess === 'Disabled' ? { publicNetworkAccess } : {}),
    ...(Array.isArray(inboundIpRules)
      ? { inboundIpRules: inboundIpRules.map((rule) => ({ ipMask: String(object(rule).ipMask), action: 'Allow' as const })) }
      : {}),
  }
}

/** One for all clients: there may be a million. */
const withoutThumbprints = Object.fromEntries(validationSchemes.map((validationScheme) => [validationScheme, Object.freeze({ validationScheme })]))

function readPasswordHash(value: unknown): { readonly passwordHash?: string } {
  const { passwordHash } = object(value)
  return text(passwordHash) ? { passwordHash } : {}
}

function readLimits(json: Json): NamespaceLimits {
  const limits: { [N in NamespaceLimitName]?: number } & { [R in NamespaceRuleName]?: boolean } = {}
  for (const name of limitNames) {
    const value = json[name]
    if (typeof value === 'number') limits[name] = value
  }
  for (const name of ruleNames) {
    const value = json[name]
    if (typeof value === 'boolean') limits[name] = value
  }
  const sessionQueueFull = whenQueueFull.find((known) => known === json.sessionQueueFull)
  return { preset: limitPresets.find((known) => known === json.preset) ?? 'open', ...(sessionQueueFull && { sessionQueueFull }), ...limits }
}

const readers: { readonly [K in ResourceKind]: (json: Json, name: string) => ResourceProperties[K] | undefined } = {
  clients(json, name) {
    const authentication = json.clientCertificateAuthentication as Json | undefined
    const scheme = validationSchemes.find((known) => known === (authentication?.validationScheme ?? 'SubjectMatchesAuthenticationName'))
    if (scheme === undefined) return undefined
    return {
      authenticationName: text(json.authenticationName) && json.authenticationName !== name ? json.authenticationName : name,
      state: json.state === undefined || json.state === 'Enabled' ? 'Enabled' : 'Disabled',
      clientCertificateAuthentication: texts(authentication?.allowedThumbprints)
        ? { validationScheme: scheme, allowedThumbprints: authentication.allowedThumbprints }
        : withoutThumbprints[scheme]!,
      ...readPasswordHash(json.passwordAuthentication),
      attributes: readAttributes(json.attributes),
      ...described(json),
    }
  },
  clientGroups(json) {
    return { query: text(json.query) ? json.query : '', ...(json.deliveryReceipts === true ? { deliveryReceipts: true } : {}), ...described(json) }
  },
  topicSpaces(json) {
    return texts(json.topicTemplates) ? { topicTemplates: json.topicTemplates, ...described(json) } : undefined
  },
  permissionBindings(json) {
    const { clientGroupName, topicSpaceName } = json
    const permission = permissionNamed(json.permission)
    if (!text(clientGroupName) || !text(topicSpaceName) || !permission) return undefined
    return { clientGroupName, topicSpaceName, permission, ...described(json) }
  },
  caCertificates(json) {
    const { encodedCertificate, encodedRevocationList, revocationListUrl } = json
    if (!text(encodedCertificate)) return undefined
    return {
      encodedCertificate,
      ...(text(encodedRevocationList) ? { encodedRevocationList } : {}),
      ...(text(revocationListUrl) ? { revocationListUrl } : {}),
      ...described(json),
    }
  },
  apiKeys(json) {
    const role = apiKeyRoles.find((known) => known === json.role)
    if (role === undefined || !text(json.hash)) return undefined
    return { role, hash: json.hash, ...(Number.isSafeInteger(json.expiresAt) ? { expiresAt: json.expiresAt as number } : {}), ...described(json) }
  },
  topics: readNamespaceTopic,
  eventSubscriptions: readEventSubscription,
  routes: readRoute,
  namespace(json) {
    const configuration = object(json.topicSpacesConfiguration)
    const authentication = object(configuration.clientAuthentication)
    const named = authentication.alternativeAuthenticationNameSources
    const { maximumSessionExpiryInHours, maximumClientSessionsPerAuthenticationName } = configuration
    return {
      alternativeAuthenticationNameSources: texts(named) ? named.filter(isNameSource) : [],
      ...readClientAuthentication(authentication),
      ...(typeof maximumSessionExpiryInHours === 'number' ? { maximumSessionExpiryInHours } : {}),
      ...(typeof maximumClientSessionsPerAuthenticationName === 'number' ? { maximumClientSessionsPerAuthenticationName } : {}),
      ...(json.limits === undefined ? {} : { limits: readLimits(object(json.limits)) }),
      ...readRouting(configuration),
      ...readNetwork(json),
    }
  },
}

/** Reads stored properties; undefined when they are not a resource of that kind: such a record grants nothing. */
export function readProperties<K extends ResourceKind>(kind: K, name: string, properties: string): ResourceProperties[K] | undefined {
  let json: unknown
  try {
    json = JSON.parse(properties)
  } catch {
    return undefined
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json)) return undefined
  return readers[kind](json as Json, name)
}
