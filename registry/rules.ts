/** Which resources may be written and deleted (spec 1.8 – 1.13): pure, given the registry as it is. */
import { readRevocationList } from '../access/certificate-structure.ts'
import { foldThumbprint } from '../access/client-certificate.ts'
import { internalName } from '../access/principal.ts'
import { compileQuery, QueryError } from '../access/query.ts'
import { parseTemplate, TemplateError } from '../access/template.ts'
import { type SubscriptionStart, splitSubscriptionName, subscribedTopic, type WebhookConsent } from '../model/event-subscriptions.ts'
import { parseRange } from '../model/ip-rules.ts'
import { limitInForce, type NamespaceLimits, namespaceLimits, narrow, rulesInForce } from '../model/namespace-limits.ts'
import { allGroup, anonymousGroup, type Resource, type ResourceKind } from '../model/registry-resources.ts'
import type { RegistryView } from '../model/registry-view.ts'
import { namespaceRouteName } from '../model/routes.ts'
import { readCaCertificate } from './ca-certificate.ts'
import { checkClientAuthentication, checkUrl } from './client-authentication-rules.ts'
import type { RegistryConfig } from './config.ts'
import { type CheckedResource, checkEventSubscription, checkNamespaceTopic } from './event-subscription-rules.ts'
import { Problem, type Violation } from './problem.ts'
import { checkRoute, checkRouting } from './route-rules.ts'

export type RegistryLimits = Pick<
  RegistryConfig,
  | 'CLIENTS_MAX'
  | 'CLIENT_GROUPS_MAX'
  | 'TOPIC_SPACES_MAX'
  | 'PERMISSION_BINDINGS_MAX'
  | 'CA_CERTIFICATES_MAX'
  | 'INBOUND_IP_RULES_MAX'
  | 'API_KEYS_MAX'
  | 'TOPICS_MAX'
  | 'SUBSCRIPTIONS_PER_TOPIC_MAX'
  | 'ROUTES_MAX'
  | 'ROUTE_KAFKA_TOPICS'
  | 'TOPIC_TEMPLATES_MAX'
  | 'CLIENT_ATTRIBUTES_MAX'
>

type Json = Readonly<Record<string, unknown>>

/** A resource that may be written: its properties with defaults filled in. */
export interface Checked {
  readonly properties: Json
  readonly warnings: readonly string[]
}

interface Check {
  readonly view: RegistryView
  readonly name: string
  /** Of the right shape: resource-schemas.ts has been applied. */
  readonly properties: Json
  readonly limits: RegistryLimits
  readonly now: number
  readonly found?: Found | undefined
}

/** What was found out, or made, for a resource that is to be written, before it is decided. */
export interface Found {
  /** Of an API key that is made: what to store of it. */
  readonly newKeyHash?: string | undefined
  /** Of a namespace topic: its Kafka topic's, which exists or would be made. */
  readonly partitions?: number | undefined
  /** Of an event subscription: where it begins, if it is new. */
  readonly start?: SubscriptionStart | undefined
  /** Of a route: where `messages` ends, by shard. */
  readonly messagesEnd?: readonly number[] | undefined
  /** Of an event subscription's webhook: what it said, or that the subscription that is there has its word. */
  readonly consent?: WebhookConsent | 'kept' | undefined
}

/** A limit was reached; `limit` is its setting. */
export class LimitReached extends Problem {
  readonly limit: keyof RegistryLimits
  constructor(limit: keyof RegistryLimits, violation: Violation) {
    super(400, `${violation.field}: ${violation.rule}`, { violations: [violation] })
    this.name = 'LimitReached'
    this.limit = limit
  }
}

function invalid(...violations: Violation[]): Problem {
  return new Problem(400, violations.map(({ field, rule }) => `${field}: ${rule}`).join('; '), { violations })
}

const siblingName = { pattern: /^[A-Za-z0-9-]{3,50}$/, rule: '3 to 50 letters, digits and “-”' }

/** CL-01, CG-01, TS-01, PB-01, XA-01. */
const nameRules: Readonly<Record<ResourceKind, { readonly pattern: RegExp; readonly rule: string }>> = {
  clients: { pattern: /^[A-Za-z0-9:._-]{1,128}$/, rule: '1 to 128 letters, digits, “-”, “:”, “.” and “_”' },
  clientGroups: siblingName,
  topicSpaces: siblingName,
  permissionBindings: siblingName,
  caCertificates: siblingName,
  apiKeys: siblingName,
  topics: siblingName,
  eventSubscriptions: { pattern: /^(?:[A-Za-z0-9-]{3,50}|\$lifecycle)\/[A-Za-z0-9-]{3,50}$/, rule: siblingName.rule },
  routes: siblingName,
  namespace: { pattern: /^[A-Za-z0-9-]{3,50}$/, rule: '3 to 50 letters, digits and “-”' },
}

const countLimits = {
  clients: 'CLIENTS_MAX',
  clientGroups: 'CLIENT_GROUPS_MAX',
  topicSpaces: 'TOPIC_SPACES_MAX',
  permissionBindings: 'PERMISSION_BINDINGS_MAX',
  caCertificates: 'CA_CERTIFICATES_MAX',
  apiKeys: 'API_KEYS_MAX',
  topics: 'TOPICS_MAX',
  routes: 'ROUTES_MAX',
} as const satisfies Partial<Record<ResourceKind, keyof RegistryLimits>>

function checkClient({ view, name, properties, limits }: Check): Checked {
  const existing = view.clients.get(name)
  const authenticationName = (properties.authenticationName as string | undefined) ?? existing?.properties.authenticationName ?? name
  const field = 'properties.authenticationName'
  if (existing && existing.properties.authenticationName !== authenticationName) {
    const violation = { field, value: authenticationName, rule: `is immutable (CL-02) and is “${existing.properties.authenticationName}”` }
    throw new Problem(409, `${field} ${violation.rule}`, { violations: [violation] })
  }
  const other = view.clientNamed(authenticationName)
  if (other && other.name !== name) {
    const violation = { field, value: authenticationName, rule: `must be unique ignoring case (CL-02); the client “${other.name}” has it` }
    throw new Problem(409, `${field} ${violation.rule}`, { violations: [violation] })
  }
  if (/\p{Cc}|\p{Surrogate}/u.test(authenticationName)) throw invalid({ field, value: authenticationName, rule: 'must be text without control characters' })
  if (authenticationName.toLowerCase() === internalName) throw invalid({ field, value: authenticationName, rule: 'is reserved' })
  const attributes = (properties.attributes as Json | undefined) ?? {}
  const bytes = Buffer.byteLength(JSON.stringify(attributes))
  if (bytes > limits.CLIENT_ATTRIBUTES_MAX) {
    throw new LimitReached('CLIENT_ATTRIBUTES_MAX', {
      field: 'properties.attributes',
      rule: `at most ${limits.CLIENT_ATTRIBUTES_MAX} bytes as JSON, these are ${bytes}`,
    })
  }
  const authentication = properties.clientCertificateAuthentication as Json
  const validationScheme = authentication.validationScheme ?? 'SubjectMatchesAuthenticationName' // XA-03
  const thumbprints = checkThumbprints(validationScheme === 'ThumbprintMatch', authentication.allowedThumbprints as readonly string[] | undefined)
  return {
    properties: {
      authenticationName,
      state: properties.state ?? 'Enabled',
      clientCertificateAuthentication: { validationScheme, ...(thumbprints ? { allowedThumbprints: thumbprints } : {}) },
      ...(properties.passwordAuthentication === undefined
        ? {}
        : { passwordAuthentication: checkPassword(properties.passwordAuthentication as Json, existing) }),
      attributes,
      ...(properties.description === undefined ? {} : { description: properties.description }),
    },
    warnings: [],
  }
}

/** The hash that the password was made into, or, when none was sent, the one that stands. */
function checkPassword({ passwordHash }: Json, existing: Resource<'clients'> | undefined): Json {
  const hash = (passwordHash as string | undefined) ?? existing?.properties.passwordHash
  if (hash === undefined) throw invalid({ field: 'properties.passwordAuthentication.password', rule: 'is required: the client has none to keep' })
  return { passwordHash: hash }
}

/** XT-01. Stored as upper case hexadecimal digits. */
function checkThumbprints(isWanted: boolean, thumbprints: readonly string[] | undefined): readonly string[] | undefined {
  const field = 'properties.clientCertificateAuthentication.allowedThumbprints'
  if (!isWanted) {
    if (thumbprints) throw invalid({ field, value: thumbprints, rule: 'goes with the validationScheme ThumbprintMatch only (XT-01)' })
    return undefined
  }
  if (!thumbprints) throw invalid({ field, rule: 'one or two thumbprints are required with the validationScheme ThumbprintMatch (XT-01)' })
  return thumbprints.map((thumbprint, index) => {
    const digits = foldThumbprint(thumbprint)
    if (!/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/.test(digits)) {
      throw invalid({ field: `${field}[${index}]`, value: thumbprint, rule: '40 (SHA-1) or 64 (SHA-256) hexadecimal digits' })
    }
    return digits.toUpperCase()
  })
}

function checkGroup({ name, properties }: Check): Checked {
  const { query } = properties
  const field = 'properties.query'
  if (name === anonymousGroup) {
    if (query !== undefined && query !== '')
      throw invalid({ field, value: query, rule: `${anonymousGroup} is built in and has no query: its members are who comes without a certificate` })
    return { properties: { query: '', ...properties }, warnings: [] }
  }
  if (typeof query !== 'string') throw invalid({ field, rule: 'is required' })
  try {
    compileQuery(query)
  } catch (error) {
    if (!(error instanceof QueryError)) throw error
    throw invalid({ field, value: query, rule: error.message })
  }
  return { properties, warnings: [] }
}

function checkSpace({ view, properties, limits }: Check): Checked {
  const templates = properties.topicTemplates as readonly string[]
  if (templates.length > limits.TOPIC_TEMPLATES_MAX) {
    throw new LimitReached('TOPIC_TEMPLATES_MAX', {
      field: 'properties.topicTemplates',
      rule: `at most ${limits.TOPIC_TEMPLATES_MAX} templates, these are ${templates.length}`,
    })
  }
  const { dollarTopicsRefused } = rulesInForce(view.namespace?.properties.limits)
  const violations = templates.flatMap((template, index): Violation[] => {
    try {
      parseTemplate(template)
      if (!dollarTopicsRefused || !/^\$(?!\{)/.test(template)) return []
      return [{ field: `properties.topicTemplates[${index}]`, value: template, rule: 'topics that start with “$” are reserved in this namespace (TS-09)' }]
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error
      return [{ field: `properties.topicTemplates[${index}]`, value: template, rule: error.message }]
    }
  })
  if (violations.length > 0) throw invalid(...violations)
  return { properties, warnings: [] }
}

function checkBinding({ view, properties }: Check): Checked {
  const { clientGroupName, topicSpaceName } = properties as Readonly<Record<string, string>>
  const violations: Violation[] = []
  if (clientGroupName !== allGroup && !view.clientGroups.has(clientGroupName!)) {
    violations.push({ field: 'properties.clientGroupName', value: clientGroupName, rule: 'must be an existing client group (PB-01)' })
  }
  if (!view.topicSpaces.has(topicSpaceName!)) {
    violations.push({ field: 'properties.topicSpaceName', value: topicSpaceName, rule: 'must be an existing topic space (PB-01)' })
  }
  if (violations.length > 0) throw invalid(...violations)
  return { properties, warnings: [] }
}

function checkCertificate({ properties, now }: Check): Checked {
  const read = readCaCertificate(properties.encodedCertificate as string, now)
  if (!read.ok) throw invalid({ field: 'properties.encodedCertificate', rule: read.rule })
  const { validFromDate } = read.certificate
  const warnings = validFromDate.getTime() > now ? [`the certificate is valid only from ${validFromDate.toISOString()} on`] : []
  const { encodedRevocationList, revocationListUrl } = properties as { readonly encodedRevocationList?: string; readonly revocationListUrl?: string }
  const violations: Violation[] = []
  if (encodedRevocationList !== undefined) {
    const list = readRevocationList(Buffer.from(encodedRevocationList, 'latin1'), read.certificate)
    const field = 'properties.encodedRevocationList'
    if ('problem' in list) violations.push({ field, rule: list.problem })
    else if (list.nextUpdate <= now) warnings.push(`${field}: the next list was due at ${new Date(list.nextUpdate).toISOString()}`)
  }
  if (revocationListUrl !== undefined) checkUrl('properties.revocationListUrl', revocationListUrl, violations, warnings)
  if (violations.length > 0) throw invalid(...violations)
  return { properties: { ...properties, encodedCertificate: read.pem }, warnings }
}

function checkApiKey({ view, name, properties, now, found }: Check): Checked {
  const { role, expirationTimeInUtc, description } = properties
  const hash = view.apiKeys.get(name)?.properties.hash ?? found?.newKeyHash
  if (hash === undefined) throw new Error('an API key was to be written without its hash')
  const expiresAt = expirationTimeInUtc === undefined ? undefined : Date.parse(expirationTimeInUtc as string)
  const field = 'properties.expirationTimeInUtc'
  if (Number.isNaN(expiresAt)) throw invalid({ field, value: expirationTimeInUtc, rule: 'a time such as 2030-01-31T00:00:00Z' })
  if (expiresAt !== undefined && expiresAt <= now) throw invalid({ field, value: expirationTimeInUtc, rule: 'must be in the future' })
  return {
    properties: { role, hash, ...(expiresAt === undefined ? {} : { expiresAt }), ...(description === undefined ? {} : { description }) },
    warnings: [],
  }
}

function unlessWrong({ properties, violations, warnings }: CheckedResource): Checked {
  if (violations.length > 0) throw invalid(...violations)
  return { properties, warnings }
}

function checkTopic({ view, name, properties, found }: Check): Checked {
  if (found?.partitions === undefined) throw new Error('a topic was to be written without its partitions')
  return unlessWrong(checkNamespaceTopic(properties, view.topics.get(name)?.properties, found.partitions))
}

function checkSubscription({ view, name, properties, limits, now, found }: Check): Checked {
  const { topic } = splitSubscriptionName(name)
  const parent = subscribedTopic(view, topic)
  if (!parent) throw new Problem(404, `there is no topics/${topic}`)
  if (found?.start === undefined) throw new Error('an event subscription was to be written without its start')
  const before = view.eventSubscriptions.get(name)
  const most = limits.SUBSCRIPTIONS_PER_TOPIC_MAX
  const siblings = before ? 0 : subscriptionsOf(view, topic).length
  if (!before && siblings >= most) {
    const rule = `at most ${most} event subscriptions of one topic (SUBSCRIPTIONS_PER_TOPIC_MAX), there are ${siblings}`
    throw new LimitReached('SUBSCRIPTIONS_PER_TOPIC_MAX', { field: 'name', value: splitSubscriptionName(name).subscription, rule })
  }
  const { start, consent } = found
  const given = consent === 'kept' ? undefined : consent
  const checked = unlessWrong(checkEventSubscription({ asked: properties, before: before?.properties, topic: parent, start, consent: given, now }))
  // Deleted, or sent elsewhere, since that was seen: without a webhook's word nothing would ever be sent, and nobody would be told.
  if (consent === 'kept' && checked.properties.consent === undefined) {
    throw new Problem(409, 'the event subscription was changed or deleted meanwhile, and its webhook has to be asked; ask again', { retryAfter: 1 })
  }
  return checked
}

function checkRouteResource({ view, name, properties, limits, found }: Check): Checked {
  const before = view.routes.get(name)?.properties
  const from = before?.from ?? beginningIn(found)
  return unlessWrong(checkRoute({ asked: properties, from, allowed: limits.ROUTE_KAFKA_TOPICS, hasTopic: (topic) => view.topics.has(topic) }))
}

/** Where a new route begins. Without one it would begin with all that the log holds. */
function beginningIn(found: Found | undefined): readonly number[] {
  if (found?.messagesEnd && found.messagesEnd.length > 0) return found.messagesEnd
  throw new Problem(409, 'the route was deleted meanwhile, and where a new one begins is not known; ask again', { retryAfter: 1 })
}

/** The full names of a topic's event subscriptions. */
export function subscriptionsOf(view: RegistryView, topic: string): readonly string[] {
  return [...view.eventSubscriptions.keys()].filter((name) => splitSubscriptionName(name).topic === topic)
}

/** The namespace's settings, with what its limits ask for and do not get. What another process bounds is known there alone. */
function checkNamespace({ view, name, properties, limits, now, found }: Check): Checked {
  const asked = (properties.limits ?? {}) as Readonly<Record<string, unknown>>
  const own: Readonly<Record<string, unknown>> = limits
  const warnings = Object.entries(namespaceLimits).flatMap(([name, { setting }]) => {
    const value = asked[name]
    const most = own[setting]
    return typeof value === 'number' && typeof most === 'number' && value > most
      ? [`properties.limits.${name}: ${value} is above this deployment's ${setting} and counts as ${most}`]
      : []
  })
  checkIpRules(properties, limitInForce('inboundIpRules', properties.limits as NamespaceLimits | undefined, limits.INBOUND_IP_RULES_MAX))
  const configuration = properties.topicSpacesConfiguration as Json | undefined
  if (!configuration) return { properties, warnings }
  const { routeTopicResourceId: _topic, routingEnrichments: _enrichments, routingIdentityInfo: _identity, ...others } = configuration
  const routing = unlessWrong(
    checkRouting({
      configuration,
      namespace: name,
      before: view.namespace?.properties.routing,
      beginning: () => beginningIn(found),
      now,
      hasTopic: (topic) => view.topics.has(topic),
    }),
  )
  warnings.push(...routing.warnings)
  const authentication = configuration.clientAuthentication as Json | undefined
  if (!authentication) return { properties: { ...properties, topicSpacesConfiguration: { ...others, ...routing.properties } }, warnings }
  const checked = checkClientAuthentication(authentication, view.namespace?.properties.webhookAuthentication?.endpointUrl)
  if (checked.violations.length > 0) throw invalid(...checked.violations)
  const topicSpacesConfiguration = { ...others, ...routing.properties, clientAuthentication: checked.clientAuthentication }
  return { properties: { ...properties, topicSpacesConfiguration }, warnings: [...warnings, ...checked.warnings] }
}

/** NS-07. */
function checkIpRules({ inboundIpRules = [] }: { readonly inboundIpRules?: readonly { readonly ipMask: string }[] }, most: number): void {
  const field = 'properties.inboundIpRules'
  if (inboundIpRules.length > most)
    throw new LimitReached('INBOUND_IP_RULES_MAX', { field, rule: `at most ${most} (INBOUND_IP_RULES_MAX), there are ${inboundIpRules.length}` })
  const violations = inboundIpRules.flatMap(({ ipMask }, index) =>
    parseRange(ipMask)
      ? []
      : [{ field: `${field}[${index}].ipMask`, value: ipMask, rule: 'must be an address or a range such as 192.0.2.0/24 or 2001:db8::/32' }],
  )
  if (violations.length > 0) throw invalid(...violations)
}

const checks: Readonly<Record<ResourceKind, (check: Check) => Checked>> = {
  clients: checkClient,
  clientGroups: checkGroup,
  topicSpaces: checkSpace,
  permissionBindings: checkBinding,
  caCertificates: checkCertificate,
  apiKeys: checkApiKey,
  topics: checkTopic,
  eventSubscriptions: checkSubscription,
  routes: checkRouteResource,
  namespace: checkNamespace,
}

/** Checks a resource that is to be written. Throws Problem. */
export function checkPut(kind: ResourceKind, asked: Check): Checked {
  const { name, view } = asked
  const limits = kind === 'namespace' ? asked.limits : narrow(asked.limits, view.namespace?.properties.limits)
  const check = { ...asked, limits }
  if (kind === 'clientGroups' && name === allGroup) throw new Problem(409, `the client group ${allGroup} is built in and cannot be changed (CG-02)`)
  checkName(kind, name)
  const map = view.of(kind)
  const limit = kind === 'namespace' || kind === 'eventSubscriptions' ? undefined : countLimits[kind]
  if (limit && !map.has(name) && map.size >= limits[limit]) {
    throw new LimitReached(limit, { field: 'name', value: name, rule: `at most ${limits[limit]} ${kind} (${limit}), there are ${map.size}` })
  }
  return checks[kind](check)
}

/** Checks a resource's name. Throws Problem. */
export function checkName(kind: ResourceKind, name: string): void {
  const { pattern, rule } = nameRules[kind]
  if (kind === 'namespace' || (kind === 'clientGroups' && name === anonymousGroup) || pattern.test(name)) return
  throw invalid({ field: 'name', value: name, rule })
}

/** Checks a resource that is to be deleted. Throws Problem. */
export function checkDelete(kind: ResourceKind, name: string, view: RegistryView): void {
  if (kind === 'routes' && name === namespaceRouteName)
    throw new Problem(409, 'the route is one of the namespace’s settings: leave routeTopicResourceId out of them')
  if (kind === 'clientGroups' && name === allGroup) throw new Problem(409, `the client group ${allGroup} is built in and cannot be deleted (CG-02)`)
  // Bindings of $anonymous may stay: the group is the switch that lets strangers in, and must be easy to turn off.
  if (kind === 'clientGroups' && name === anonymousGroup) return
  const key = kind === 'clientGroups' ? 'clientGroupName' : kind === 'topicSpaces' ? 'topicSpaceName' : undefined
  if (!key) return
  const users = [...view.permissionBindings.values()].filter(({ properties }) => properties[key] === name).map((binding) => binding.name)
  if (users.length === 0) return
  const some = users.slice(0, 10).join(', ')
  throw new Problem(409, `permissionBindings use it and must be deleted first: ${some}${users.length > 10 ? `, and ${users.length - 10} more` : ''}`, {
    violations: [{ field: 'name', value: name, rule: 'must not be used by permissionBindings when deleted' }],
  })
}
