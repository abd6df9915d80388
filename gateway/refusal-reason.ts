/**
 * Why the gateway refuses something: a closed list, the label `reason` of loggerhead_refusals_total and of the log. Each is given in one place of
 * the code, and what is refused has exactly one. docs/operating.md lists them from here.
 */
export const refusalReasons = {
  // sockets
  addressForbidden: 'the namespace does not let the address in (inboundIpRules)',
  namespaceConnections: 'NAMESPACE_CONNECTIONS_MAX',
  // CONNECT, whoever sends it
  shuttingDown: 'the gateway stops',
  connectRate: 'CONNECTS_PER_SECOND_MAX',
  logAway: 'Kafka has not answered for KAFKA_AWAY_REFUSE',
  logFull: 'KAFKA_BYTES_WAITING_MAX',
  registryStale: 'the registry was not confirmed for REGISTRY_STALE',
  malformedPacket: 'bytes that are no packet, or one that is too large',
  // what CONNECT says
  authenticationDataTooLarge: 'AUTHENTICATION_DATA_BYTES_MAX, in CONNECT',
  clientIdMissing: 'MQTT 3.1.1 without a client id and without clean session',
  clientIdTooLong: 'CLIENT_ID_LENGTH_MAX',
  userPropertiesMisplaced: 'user properties where the namespace takes none',
  willTopicInvalid: 'a will on what is no topic name',
  willTopicAboveLimit: 'TOPIC_LENGTH_MAX or TOPIC_LEVELS_MAX, for a will',
  willQosAboveLimit: 'MAXIMUM_QOS, for a will',
  willRetainUnsupported: 'a will with RETAIN 1 where nothing is retained',
  willDelayAboveLimit: 'WILL_DELAY_MAX',
  willAboveLimit: 'properties of a will above their limits',
  packetSizeTooSmall: 'the client takes no packet as large as its CONNACK',
  // who it is
  anotherAttempt: 'another CONNECT from the address under the name is being judged, or its refusal put off',
  credentials: 'the credentials are not believed; the line says why',
  credentialsUnknown: 'whether they are good could not be found out',
  credentialsWithdrawn: 'they were good, and are not any more after a wait for the client id',
  registryStaleAfterEvidence: 'the registry was not current when the credentials had been looked into',
  authMisplaced: 'an AUTH that was not asked for, or with another method',
  authDataTooLarge: 'AUTHENTICATION_DATA_BYTES_MAX, in AUTH',
  packetBeforeConnack: 'a packet other than AUTH before CONNACK',
  clientSilent: 'AUTHENTICATION_TIMEOUT, while the client was asked',
  evidenceLate: 'AUTHENTICATION_TIMEOUT, while it was found out who it is',
  sessionConnectRate: 'SESSION_CONNECTS_PER_SECOND_MAX',
  willNotPermitted: 'no permission binding allows the will',
  // its session
  shardSilent: 'no router speaks for the client’s shard',
  sessionsPerName: 'the client has as many sessions as it may have',
  ownerRefused: 'the session belongs to another client',
  attachLost: 'the log did not take the connection',
  attachLate: 'ATTACH_TIMEOUT',
  sealingKeyLate: 'ATTACH_TIMEOUT, while the key that the will is sealed with was on its way into the log',
  sealingKeysMax: 'SEALING_KEYS_MAX, for the key that the will is sealed with',
  closedMeanwhile: 'the gateway ended the connection before its CONNACK; the line says why',
  // PUBLISH
  publishBackpressure: 'QoS 0 while KAFKA_BYTES_WAITING_MAX is reached',
  publishNotPermitted: 'no permission binding allows the topic',
  publishPayloadFormat: 'the payload is not UTF-8, although it says so (PAYLOAD_FORMAT_VALIDATION)',
  publishAboveLimit: 'properties of a message above their limits',
  publishKeyLate: 'KAFKA_AWAY_CLOSE, while the key that the message is to be sealed with was on its way into the log',
  publishKeysMax: 'SEALING_KEYS_MAX',
  publishMisused: 'a PUBLISH that breaks the protocol or a limit that ends the connection; the line “disconnected” says which',
  // filters of SUBSCRIBE and UNSUBSCRIBE
  subscribeMisused: 'a SUBSCRIBE that breaks the protocol; the line “disconnected” says how',
  filterInvalid: 'no topic filter',
  filterAboveLimit: 'TOPIC_LENGTH_MAX or TOPIC_LEVELS_MAX, for a filter',
  filterNotPermitted: 'no permission binding allows the filter',
  filtersPerPacket: 'FILTERS_PER_SUBSCRIBE_MAX',
  subscriptionsPerSession: 'SUBSCRIPTIONS_PER_SESSION_MAX',
  filterUserProperties: 'a SUBSCRIBE with user properties where the namespace takes none',
} as const
export type RefusalReason = keyof typeof refusalReasons

/** `RefusalReason.name` is the name itself. */
export const RefusalReason = Object.fromEntries(Object.keys(refusalReasons).map((reason) => [reason, reason])) as { readonly [R in RefusalReason]: R }
