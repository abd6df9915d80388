/**
 * Limits and strict rules of one namespace: two presets, and single values over them. A namespace's limits narrow what
 * the deployment's settings allow and never widen it. Whoever enforces a limit asks once per change of the namespace.
 */

export const limitPresets = ['open', 'eventgrid'] as const
export type LimitPreset = (typeof limitPresets)[number]

/** endSession: the session ends with all it is owed (SE-07). dropOldest: it goes on and misses its oldest messages. */
export const whenQueueFull = ['endSession', 'dropOldest'] as const
export type WhenQueueFull = (typeof whenQueueFull)[number]

export interface NamespaceLimit {
  readonly about: string
  readonly unit: string
  /** The deployment's setting that bounds it from above, and is its value in the preset `open`. */
  readonly setting: string
  /** What Event Grid publishes for one throughput unit (spec 1.21). */
  readonly eventgrid: number
  /** The least that makes sense; 0 when not given. */
  readonly least?: number
}

/** Bytes a second below which not even one read of a socket would fit. */
export const bytesPerSecondLeast = 16_384

/** The limits a namespace may set, as the API spells them. docs/limits.md has a table made of this. */
export const namespaceLimits = {
  // What the registry holds.
  clients: { about: 'Clients', unit: 'clients', setting: 'CLIENTS_MAX', eventgrid: 10_000 },
  clientGroups: { about: 'Client groups', unit: 'groups', setting: 'CLIENT_GROUPS_MAX', eventgrid: 10 },
  topicSpaces: { about: 'Topic spaces', unit: 'spaces', setting: 'TOPIC_SPACES_MAX', eventgrid: 10 },
  topicTemplatesPerTopicSpace: { about: 'Topic templates of one topic space', unit: 'templates', setting: 'TOPIC_TEMPLATES_MAX', eventgrid: 10 },
  permissionBindings: { about: 'Permission bindings', unit: 'bindings', setting: 'PERMISSION_BINDINGS_MAX', eventgrid: 100 },
  caCertificates: { about: 'CA certificates', unit: 'certificates', setting: 'CA_CERTIFICATES_MAX', eventgrid: 10 },
  clientAttributesBytes: { about: 'All attributes of a client as JSON', unit: 'bytes', setting: 'CLIENT_ATTRIBUTES_MAX', eventgrid: 4095 },
  inboundIpRules: { about: 'Rules for IP addresses', unit: 'rules', setting: 'INBOUND_IP_RULES_MAX', eventgrid: 16 },
  // What is retained.
  retainedMessages: { about: 'Retained messages, an equal share of them in each shard', unit: 'messages', setting: 'RETAINED_MESSAGES_MAX', eventgrid: 10_000 },
  retainedMessageBytes: {
    about: 'Size of one retained message with its topic and properties',
    unit: 'bytes',
    setting: 'RETAINED_MESSAGE_BYTES_MAX',
    eventgrid: 65_536,
    least: 1024,
  },
  // What a client may do on its connection.
  maximumPacketSize: { about: 'Largest packet a client may send', unit: 'bytes', setting: 'MAXIMUM_PACKET_SIZE', eventgrid: 524_288, least: 1024 },
  topicLength: { about: 'Length of a topic name or filter', unit: 'bytes', setting: 'TOPIC_LENGTH_MAX', eventgrid: 256, least: 16 },
  topicLevels: { about: 'Levels of a topic name or filter', unit: 'levels', setting: 'TOPIC_LEVELS_MAX', eventgrid: 15, least: 1 },
  filtersPerSubscribe: {
    about: 'Topic filters in one SUBSCRIBE or UNSUBSCRIBE',
    unit: 'filters',
    setting: 'FILTERS_PER_SUBSCRIBE_MAX',
    eventgrid: 10,
    least: 1,
  },
  subscriptionsPerSession: { about: 'Subscriptions of one session', unit: 'filters', setting: 'SUBSCRIPTIONS_PER_SESSION_MAX', eventgrid: 50, least: 1 },
  clientIdLength: { about: 'Length of a client id', unit: 'characters', setting: 'CLIENT_ID_LENGTH_MAX', eventgrid: 128, least: 23 },
  maximumQoS: { about: 'Highest QoS', unit: 'QoS', setting: 'MAXIMUM_QOS', eventgrid: 1 },
  userPropertiesBytes: { about: 'User properties of one message', unit: 'bytes', setting: 'USER_PROPERTIES_BYTES_MAX', eventgrid: 32_768 },
  responseTopicLength: { about: 'Length of a response topic', unit: 'bytes', setting: 'RESPONSE_TOPIC_LENGTH_MAX', eventgrid: 256 },
  correlationDataBytes: { about: 'Size of correlation data', unit: 'bytes', setting: 'CORRELATION_DATA_BYTES_MAX', eventgrid: 256 },
  contentTypeLength: { about: 'Length of a content type', unit: 'bytes', setting: 'CONTENT_TYPE_LENGTH_MAX', eventgrid: 256 },
  willDelaySeconds: { about: 'Longest will delay interval', unit: 's', setting: 'WILL_DELAY_MAX', eventgrid: 300 },
  authenticationDataBytes: { about: 'Size of authentication data', unit: 'bytes', setting: 'AUTHENTICATION_DATA_BYTES_MAX', eventgrid: 8192 },
  keepAliveSeconds: { about: 'Longest keep alive', unit: 's', setting: 'KEEP_ALIVE_MAX', eventgrid: 1160, least: 1 },
  topicAliases: { about: 'Topic aliases a client may set', unit: 'aliases', setting: 'TOPIC_ALIAS_MAXIMUM', eventgrid: 10 },
  serverTopicAliases: { about: 'Topic aliases set for one client', unit: 'aliases', setting: 'TOPIC_ALIAS_OUTBOUND_MAX', eventgrid: 0 },
  receiveMaximum: { about: 'Publishes of one client without acknowledgement', unit: 'messages', setting: 'RECEIVE_MAXIMUM', eventgrid: 1000, least: 1 },
  inflight: { about: 'Messages on their way to one client', unit: 'messages', setting: 'INFLIGHT_MAX', eventgrid: 100, least: 1 },
  // Rates; those of the namespace are each gateway's own.
  connectsPerSecond: { about: 'CONNECT packets a second', unit: 'connects/s', setting: 'CONNECTS_PER_SECOND_MAX', eventgrid: 200, least: 1 },
  connectsPerSecondPerSession: {
    about: 'CONNECT packets a second with one client id',
    unit: 'connects/s',
    setting: 'SESSION_CONNECTS_PER_SECOND_MAX',
    eventgrid: 1,
    least: 1,
  },
  inboundPublishesPerSecond: {
    about: 'Publishes a second from all clients',
    unit: 'publishes/s',
    setting: 'PUBLISHES_IN_PER_SECOND_MAX',
    eventgrid: 1000,
    least: 1,
  },
  inboundPublishesPerSecondPerSession: {
    about: 'Publishes a second from one client',
    unit: 'publishes/s',
    setting: 'SESSION_PUBLISHES_IN_PER_SECOND_MAX',
    eventgrid: 1000,
    least: 1,
  },
  inboundBytesPerSecond: {
    about: 'Bytes a second from all clients',
    unit: 'bytes/s',
    setting: 'BYTES_IN_PER_SECOND_MAX',
    eventgrid: 1_048_576,
    least: bytesPerSecondLeast,
  },
  inboundBytesPerSecondPerSession: {
    about: 'Bytes a second from one client',
    unit: 'bytes/s',
    setting: 'SESSION_BYTES_IN_PER_SECOND_MAX',
    eventgrid: 1_048_576,
    least: bytesPerSecondLeast,
  },
  outboundPublishesPerSecond: {
    about: 'Messages a second to all clients',
    unit: 'messages/s',
    setting: 'PUBLISHES_OUT_PER_SECOND_MAX',
    eventgrid: 1000,
    least: 1,
  },
  outboundPublishesPerSecondPerSession: {
    about: 'Messages a second to one client',
    unit: 'messages/s',
    setting: 'SESSION_PUBLISHES_OUT_PER_SECOND_MAX',
    eventgrid: 100,
    least: 1,
  },
  outboundBytesPerSecond: {
    about: 'Bytes of messages a second to all clients',
    unit: 'bytes/s',
    setting: 'BYTES_OUT_PER_SECOND_MAX',
    eventgrid: 1_048_576,
    least: bytesPerSecondLeast,
  },
  outboundBytesPerSecondPerSession: {
    about: 'Bytes of messages a second to one client',
    unit: 'bytes/s',
    setting: 'SESSION_BYTES_OUT_PER_SECOND_MAX',
    eventgrid: 1_048_576,
    least: bytesPerSecondLeast,
  },
  subscribesPerSecond: {
    about: 'SUBSCRIBE and UNSUBSCRIBE packets a second from all clients',
    unit: 'operations/s',
    setting: 'SUBSCRIBES_PER_SECOND_MAX',
    eventgrid: 200,
    least: 1,
  },
  subscribesPerSecondPerSession: {
    about: 'SUBSCRIBE and UNSUBSCRIBE packets a second from one client',
    unit: 'operations/s',
    setting: 'SESSION_SUBSCRIBES_PER_SECOND_MAX',
    eventgrid: 5,
    least: 1,
  },
  sessionExpirySeconds: { about: 'Longest session expiry interval', unit: 's', setting: 'SESSION_EXPIRY_MAX', eventgrid: 28_800 },
  // What a session may be owed while it has no connection.
  sessionQueueMessages: {
    about: 'QoS ≥ 1 messages owed to one session without a connection',
    unit: 'messages',
    setting: 'SESSION_QUEUE_MESSAGES_MAX',
    eventgrid: 100,
    least: 1,
  },
  sessionQueueBytes: {
    about: 'Bytes of the messages owed to one session without a connection',
    unit: 'bytes',
    setting: 'SESSION_QUEUE_BYTES_MAX',
    eventgrid: 1_048_576,
    least: 1024,
  },
  sessionQueueSeconds: {
    about: 'Time that a message may be owed to a session without a connection',
    unit: 's',
    setting: 'SESSION_QUEUE_SECONDS_MAX',
    eventgrid: 28_800,
    least: 1,
  },
} as const satisfies Readonly<Record<string, NamespaceLimit>>

export type NamespaceLimitName = keyof typeof namespaceLimits

/** Strict where MQTT allows more: each is off in the preset `open` and on in `eventgrid`. docs/limits.md has a table made of this. */
export const namespaceRules = {
  userPropertiesOnPublishOnly: {
    about: 'A CONNECT, SUBSCRIBE, DISCONNECT, acknowledgement or AUTH with user properties fails: CONNACK and SUBACK 0x83, else the connection ends (M5-03)',
  },
  responseInformationWithheld: { about: 'CONNACK carries no Response Information, even when asked (M5-04)' },
  messageExpiryZeroIsNever: { about: 'A Message Expiry Interval of 0 counts as none: the message never expires (M5-05)' },
  errorAcknowledgementDisconnects: { about: 'A PUBACK or PUBREC with an error from a client ends its connection, with 0x83 (M5-12)' },
  sharedSubscription311Disconnects: { about: 'An MQTT 3.1.1 client that subscribes to `$share/…` is disconnected (M5-17)' },
  subscriptionIdentifiersRefused: { about: 'CONNACK announces no Subscription Identifiers, and one in SUBSCRIBE ends the connection with 0xA1 (M5-18)' },
  dollarTopicsRefused: { about: 'Every topic that starts with `$` is refused, and so is a topic template that does (M5-23, TS-09)' },
  publishDeniedDisconnects: { about: 'A publish without permission ends the connection, in MQTT 5 after its acknowledgement with 0x87 (PB-03)' },
} as const satisfies Readonly<Record<string, { readonly about: string }>>

export type NamespaceRuleName = keyof typeof namespaceRules

/** What is in force of the strict rules. */
export type NamespaceRules = { readonly [R in NamespaceRuleName]: boolean }

/** A namespace's setting `limits`. */
export type NamespaceLimits = { readonly preset: LimitPreset; readonly sessionQueueFull?: WhenQueueFull } & { readonly [N in NamespaceLimitName]?: number } & {
  readonly [R in NamespaceRuleName]?: boolean
}

export const limitNames = Object.keys(namespaceLimits) as readonly NamespaceLimitName[]
export const ruleNames = Object.keys(namespaceRules) as readonly NamespaceRuleName[]

/** `maximumSessionExpiryInHours` where the namespace names none (M5-02). */
export const sessionExpiryHours: { readonly [P in LimitPreset]: number } = { open: Number.POSITIVE_INFINITY, eventgrid: 1 }

/** The value in force, with the deployment's setting as the upper bound. */
export function limitInForce(name: NamespaceLimitName, limits: NamespaceLimits | undefined, setting: number): number {
  const { eventgrid, least = 0 }: NamespaceLimit = namespaceLimits[name]
  const chosen = limits?.[name] ?? (limits?.preset === 'eventgrid' ? eventgrid : setting)
  return Math.min(Math.max(chosen, least), setting)
}

/** A process's settings as a namespace narrows them: those that bound one of its limits. The same object when none does. */
export function narrow<S extends object>(settings: S, limits: NamespaceLimits | undefined): S {
  if (limits === undefined) return settings
  const narrowed: Record<string, number> = {}
  for (const name of limitNames) {
    const { setting } = namespaceLimits[name]
    const most = (settings as Readonly<Record<string, unknown>>)[setting]
    if (typeof most !== 'number') continue // another process's
    const value = limitInForce(name, limits, most)
    if (value < most) narrowed[setting] = value
  }
  return Object.keys(narrowed).length > 0 ? { ...settings, ...narrowed } : settings
}

const rulesOf = (isOn: (name: NamespaceRuleName) => boolean): NamespaceRules =>
  Object.freeze(Object.fromEntries(ruleNames.map((name) => [name, isOn(name)])) as { [R in NamespaceRuleName]: boolean })

/** Those of the preset `open`: none. */
export const openRules = rulesOf(() => false)

/** The strict rules in force. */
export function rulesInForce(limits: NamespaceLimits | undefined): NamespaceRules {
  return limits === undefined ? openRules : rulesOf((name) => limits[name] ?? limits.preset === 'eventgrid')
}
