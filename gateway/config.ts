import { readTokenAudiences, tokenSettings } from '../access/token-settings.ts'
import { parseRange } from '../model/ip-rules.ts'
import { type NamespaceRules, narrow, openRules, rulesInForce, sessionExpiryHours } from '../model/namespace-limits.ts'
import { namespaceName } from '../model/namespaces.ts'
import type { NamespaceProperties } from '../model/registry-resources.ts'
import { sessionsPerName, unlimitedSessions } from '../model/session-quota.ts'
import { readSettings, SettingError, type Settings, type Values } from '../settings/setting.ts'
import { rateSettings } from './rates.ts'

/** Counts every time a limit below took effect; the label is the setting's own name. */
export const reachedMetric = (limit: string): string => `loggerhead_limit_reached_total{limit="${limit}"}`
const reached = reachedMetric

/** All settings of a gateway. Limits carry their outcome and metric: docs/limits.md is generated from here. */
export const gatewaySettings = {
  LOGGERHEAD_PROFILE: {
    kind: 'text',
    default: 'development',
    oneOf: ['development', 'production'],
    about: 'development: plain listeners on loopback. production: plain listeners are off unless their port is set',
  },
  LOGGERHEAD_NAMESPACE: { kind: 'text', default: 'default', about: 'The home namespace: whose registry names the others' },
  LOGGERHEAD_BIND: {
    kind: 'text',
    default: '',
    about: 'Address the listeners bind; empty: every address for TLS and WSS, loopback for the plain ones in the development profile',
  },
  MQTT_PORT: { kind: 'text', default: '1883', about: 'MQTT over TCP: a port, 0 for any free one, or off; off in production unless set' },
  MQTTS_PORT: { kind: 'text', default: '8883', about: 'MQTT over TLS: a port, 0 for any free one, or off' },
  WS_PORT: { kind: 'text', default: '8083', about: 'MQTT over WebSocket: a port, 0 for any free one, or off; off in production unless set' },
  WSS_PORT: { kind: 'text', default: '8084', about: 'MQTT over secure WebSocket: a port, 0 for any free one, or off' },
  WS_ORIGINS: {
    kind: 'text',
    default: '',
    about: "Origins a browser may connect from, separated by commas; * for any; empty: the listener's own host and clients that send none",
  },
  PROXY_PROTOCOL: {
    kind: 'text',
    default: '',
    about: 'Listeners whose connections begin with a PROXY protocol header of version 2, separated by commas: mqtt, mqtts, ws, wss. Needs PROXY_TRUSTED',
  },
  PROXY_TRUSTED: {
    kind: 'text',
    default: '',
    about: 'Addresses or ranges (CIDR) of the proxies, separated by commas; on the listeners of PROXY_PROTOCOL everybody else is closed',
  },
  TLS_CERT: { kind: 'text', default: '', about: 'PEM file with the certificate chain of MQTTS and WSS; read again when it changes' },
  TLS_KEY: { kind: 'text', default: '', about: 'PEM file with the private key of TLS_CERT' },
  TLS_HOST_CERTS: {
    kind: 'text',
    default: '',
    about: 'Folder with certificates of single host names, <host>.pem and <host>.key, looked at every second; other hosts get TLS_CERT. Empty: none',
  },
  NAMESPACE_LISTENERS: {
    kind: 'text',
    default: '',
    about: 'Plain listeners of single namespaces, separated by commas, each as namespace=mqtt:port or namespace=ws:port',
  },
  GATEWAY_ID: { kind: 'text', default: 'gateway', about: 'Name of this gateway, unique in the deployment and the same after a restart' },
  GRPC_PORT: { kind: 'number', default: 0, min: 0, max: 65535, about: 'Port of the delivery service that routers connect to; 0 for any free one' },
  GRPC_BIND: { kind: 'text', default: '127.0.0.1', about: 'Address the delivery service binds' },
  GRPC_ADVERTISE: { kind: 'text', default: '', about: 'host or host:port by which routers reach the delivery service; empty: the bound address' },
  GRPC_TLS_CA: { kind: 'text', default: '', about: 'PEM file with the CA that signed the routers’ certificates; with it, mutual TLS' },
  GRPC_TLS_CERT: { kind: 'text', default: '', about: 'PEM file with the certificate of the delivery service' },
  GRPC_TLS_KEY: { kind: 'text', default: '', about: 'PEM file with the key of GRPC_TLS_CERT' },
  LOGGERHEAD_INTERNAL_BIND: { kind: 'text', default: '127.0.0.1', about: 'Address of the internal MQTT listener, /status and /metrics' },
  INTERNAL_PORT: { kind: 'number', default: 0, min: 0, max: 65535, about: 'Port of /status and /metrics; 0 for any free one' },
  INTERNAL_MQTT_PORT: {
    kind: 'text',
    default: 'off',
    about: 'MQTT listener for the canary and other parts of the deployment: a port, 0 for any free one, or off',
  },
  INTERNAL_KEY_FILE: {
    kind: 'text',
    default: '',
    about: 'File with the password of the internal listener’s user $loggerhead; without it that listener lets nobody in',
  },
  ...tokenSettings,
  OUTGOING_HOSTS: {
    kind: 'text',
    default: '',
    about: 'Hosts that may be asked for issuers’ keys and as webhooks, separated by commas; *.example.com for those below; empty: any, over HTTPS',
  },
  OUTGOING_CA: { kind: 'text', default: '', about: 'PEM file with the authorities that sign those hosts’ certificates; empty: the public ones' },
  WEBHOOK_TOKEN_FILE: {
    kind: 'text',
    default: '',
    about: 'File with the bearer token that the authentication webhook is shown, read again when it changes; goes with OUTGOING_HOSTS',
  },
  PUBLISH_DENIED_3_1_1: {
    kind: 'text',
    default: 'close',
    oneOf: ['close', 'acknowledge'],
    about: 'An MQTT 3.1.1 publish without permission cannot be refused in the protocol: close the connection, or acknowledge and drop it',
  },

  TLS_HANDSHAKE_TIMEOUT: {
    kind: 'number',
    default: 10_000,
    min: 100,
    max: 120_000,
    unit: 'ms',
    about: 'Time for the TLS or WebSocket handshake',
    outcome: 'the socket is closed',
    metric: reached('TLS_HANDSHAKE_TIMEOUT'),
  },
  TLS_HANDSHAKES_MAX: {
    kind: 'number',
    default: 256,
    min: 1,
    max: 100_000,
    unit: 'handshakes',
    about: 'TLS handshakes at one time; one address has a quarter of them at most',
    outcome: 'further sockets wait for their turn, for TLS_HANDSHAKE_TIMEOUT at most',
    metric: reached('TLS_HANDSHAKES_MAX'),
  },
  PROXY_HEADER_TIMEOUT: {
    kind: 'number',
    default: 5000,
    min: 100,
    max: 120_000,
    unit: 'ms',
    about: 'Time for the PROXY protocol header on a listener of PROXY_PROTOCOL',
    outcome: 'the socket is closed',
    metric: reached('PROXY_HEADER_TIMEOUT'),
  },
  PROXY_HEADER_SIZE_MAX: {
    kind: 'number',
    default: 1024,
    min: 52,
    max: 65_551,
    unit: 'bytes',
    about: 'Size of a PROXY protocol header, its TLVs included',
    outcome: 'the socket is closed',
    metric: reached('PROXY_HEADER_SIZE_MAX'),
  },
  CONNECT_TIMEOUT: {
    kind: 'number',
    default: 10_000,
    min: 100,
    max: 120_000,
    unit: 'ms',
    about: 'Time for the first CONNECT once the transport stands',
    outcome: 'the connection is closed',
    metric: reached('CONNECT_TIMEOUT'),
  },
  FIRST_PACKET_SIZE_MAX: {
    kind: 'number',
    default: 131_072,
    min: 128,
    max: 16_777_216,
    unit: 'bytes',
    about: 'Size of the CONNECT packet',
    outcome: 'the connection is closed',
    metric: reached('FIRST_PACKET_SIZE_MAX'),
  },
  MAXIMUM_PACKET_SIZE: {
    kind: 'number',
    default: 524_288,
    min: 1024,
    max: 268_435_455,
    unit: 'bytes',
    about: 'Largest packet a client may send; announced in CONNACK, and checked at the start against Kafka’s max.message.bytes',
    outcome: 'DISCONNECT 0x95 and close',
    metric: reached('MAXIMUM_PACKET_SIZE'),
  },
  CONNECTIONS_MAX: {
    kind: 'number',
    default: 50_000,
    min: 1,
    max: 10_000_000,
    unit: 'connections',
    about: 'Open sockets on all listeners',
    outcome: 'a further socket is closed on arrival',
    metric: reached('CONNECTIONS_MAX'),
  },
  NAMESPACE_CONNECTIONS_MAX: {
    kind: 'number',
    default: 10_000_000,
    min: 1,
    max: 10_000_000,
    unit: 'connections',
    about: 'Connections of one namespace, so that no namespace takes all of CONNECTIONS_MAX',
    outcome: 'a further one is closed as soon as its namespace is known',
    metric: reached('NAMESPACE_CONNECTIONS_MAX'),
  },
  CONNECTIONS_PER_ADDRESS_MAX: {
    kind: 'number',
    default: 10_000,
    min: 1,
    max: 10_000_000,
    unit: 'connections',
    about: 'Open sockets from one address',
    outcome: 'a further socket is closed on arrival',
    metric: reached('CONNECTIONS_PER_ADDRESS_MAX'),
  },
  ...rateSettings,
  FAILED_CONNECT_DELAY_MAX: {
    kind: 'number',
    default: 5000,
    min: 0,
    max: 60_000,
    unit: 'ms',
    about: 'Longest time that the refusal of credentials is put off; it doubles with each failure of late of the name or, later, the address. 0: never',
    outcome:
      'the refusal comes late, and another CONNECT from there under that name, unless with a good certificate, gets 0x9F meanwhile, even if who guessed hangs up',
    metric: reached('FAILED_CONNECT_DELAY_MAX'),
  },
  FAILED_CONNECTS_REMEMBERED_MAX: {
    kind: 'number',
    default: 10_000,
    min: 1,
    max: 1_000_000,
    unit: 'addresses',
    about: 'Addresses, and as many names, whose failed CONNECTs are remembered, and as many refusals that are put off',
    outcome: 'the one that failed longest ago is forgotten',
    metric: reached('FAILED_CONNECTS_REMEMBERED_MAX'),
  },
  REFUSALS_TOLD_MAX: {
    kind: 'number',
    default: 1000,
    min: 1,
    max: 100_000,
    unit: 'clients',
    about: 'Clients and addresses whose refused connects, publishes and subscriptions are told in lifecycle one by one, in a minute',
    outcome: 'what is refused to others is counted and told in one record',
    metric: reached('REFUSALS_TOLD_MAX'),
  },
  CLIENT_ID_LENGTH_MAX: {
    kind: 'number',
    default: 256,
    min: 23,
    max: 65_535,
    unit: 'characters',
    about: 'Length of a client id',
    outcome: 'CONNACK 0x85 and close',
    metric: reached('CLIENT_ID_LENGTH_MAX'),
  },
  AUTHENTICATION_TIMEOUT: {
    kind: 'number',
    default: 10_000,
    min: 100,
    max: 120_000,
    unit: 'ms',
    about: 'Time to find out who a client is: for keys, for a webhook, for the client’s next AUTH',
    outcome: 'CONNACK 0x88 and close (0x87 when the client did not answer); on an open connection DISCONNECT',
    metric: reached('AUTHENTICATION_TIMEOUT'),
  },
  AUTHENTICATIONS_PENDING_MAX: {
    kind: 'number',
    default: 1000,
    min: 1,
    max: 100_000,
    unit: 'clients',
    about: 'Clients of one kind of credentials that wait to be known at one time',
    outcome: 'CONNACK 0x88 and close for a further one',
    metric: reached('AUTHENTICATIONS_PENDING_MAX'),
  },
  VOUCHED_ATTRIBUTES_MAX: {
    kind: 'number',
    default: 4096,
    min: 64,
    max: 65_536,
    unit: 'bytes',
    about: 'Attributes that a token or a webhook gives a client, as JSON',
    outcome: 'CONNACK 0x87 and close (0x88 when the webhook gave them)',
    metric: reached('VOUCHED_ATTRIBUTES_MAX'),
  },
  ISSUER_KEYS_TIMEOUT: {
    kind: 'number',
    default: 5000,
    min: 100,
    max: 60_000,
    unit: 'ms',
    about: 'Time for an issuer’s metadata or key set to be fetched',
    outcome: 'the keys known before are used up to ISSUER_KEYS_AGE_MAX; without any CONNACK 0x88',
    metric: reached('ISSUER_KEYS_TIMEOUT'),
  },
  ISSUER_KEYS_BYTES_MAX: {
    kind: 'number',
    default: 262_144,
    min: 1024,
    max: 16_777_216,
    unit: 'bytes',
    about: 'Size of an issuer’s metadata or key set',
    outcome: 'as when it cannot be fetched',
    metric: reached('ISSUER_KEYS_BYTES_MAX'),
  },
  ISSUER_KEYS_FRESH: { kind: 'number', default: 600_000, min: 1000, max: 86_400_000, unit: 'ms', about: 'Age at which an issuer’s key set is fetched again' },
  ISSUER_KEYS_AGE_MAX: {
    kind: 'number',
    default: 900_000,
    min: 1000,
    max: 86_400_000,
    unit: 'ms',
    about: 'Age at which an issuer’s key set is no longer used before it has been fetched again',
    outcome: 'a token waits for the fetch; when that fails CONNACK 0x88',
    metric: reached('ISSUER_KEYS_AGE_MAX'),
  },
  ISSUER_KEYS_BETWEEN: {
    kind: 'number',
    default: 30_000,
    min: 0,
    max: 3_600_000,
    unit: 'ms',
    about: 'Least time between two fetches of one key set, however many tokens name a key that is not in it',
  },
  CRL_STALE: {
    kind: 'text',
    default: 'accept',
    oneOf: ['accept', 'refuse'],
    about:
      'What a revocation list is worth when the next one is overdue, or the first not fetched yet: accept goes on by it, refuse lets no client of that CA in',
  },
  CRL_REFRESH: { kind: 'number', default: 3_600_000, min: 1000, max: 604_800_000, unit: 'ms', about: 'Age at which a revocation list is fetched again' },
  CRL_RETRY: { kind: 'number', default: 60_000, min: 250, max: 86_400_000, unit: 'ms', about: 'Least time between two attempts to fetch a revocation list' },
  CRL_TIMEOUT: {
    kind: 'number',
    default: 10_000,
    min: 100,
    max: 120_000,
    unit: 'ms',
    about: 'Time for a revocation list to be fetched',
    outcome: 'the one before is used, as CRL_STALE says',
    metric: reached('CRL_TIMEOUT'),
  },
  CRL_BYTES_MAX: {
    kind: 'number',
    default: 1_048_576,
    min: 1024,
    max: 67_108_864,
    unit: 'bytes',
    about: 'Size of a revocation list that is fetched; 1 MiB has some 30,000 entries',
    outcome: 'the one before is used, as CRL_STALE says',
    metric: reached('CRL_BYTES_MAX'),
  },
  PASSWORD_CHECKS_MAX: {
    kind: 'number',
    default: 2,
    min: 1,
    max: 64,
    unit: 'checks',
    about: 'Passwords checked at one time, each on a thread of its own (of which Node has 4 unless UV_THREADPOOL_SIZE says otherwise)',
    outcome: 'further ones wait for their turn, within AUTHENTICATION_TIMEOUT',
    metric: reached('PASSWORD_CHECKS_MAX'),
  },
  PASSWORDS_REMEMBERED_MAX: {
    kind: 'number',
    default: 10_000,
    min: 1,
    max: 10_000_000,
    unit: 'passwords',
    about: 'Passwords that were right and need not be checked again (a keyed digest of each, 100 bytes, gone with the process)',
    outcome: 'the one that was not used for longest is checked again next time',
    metric: reached('PASSWORDS_REMEMBERED_MAX'),
  },
  WEBHOOK_TIMEOUT: {
    kind: 'number',
    default: 5000,
    min: 100,
    max: 60_000,
    unit: 'ms',
    about: 'Time for the authentication webhook’s decision, its turn included',
    outcome: 'CONNACK 0x88 and close',
    metric: reached('WEBHOOK_TIMEOUT'),
  },
  WEBHOOK_CONCURRENCY_MAX: {
    kind: 'number',
    default: 64,
    min: 1,
    max: 10_000,
    unit: 'requests',
    about: 'Requests under way to each outside host: the webhook, an issuer',
    outcome: 'further ones wait for their turn, within WEBHOOK_TIMEOUT',
    metric: reached('WEBHOOK_CONCURRENCY_MAX'),
  },
  WEBHOOK_RESPONSE_MAX: {
    kind: 'number',
    default: 65_536,
    min: 256,
    max: 16_777_216,
    unit: 'bytes',
    about: 'Body of the authentication webhook’s answer',
    outcome: 'CONNACK 0x88 and close',
    metric: reached('WEBHOOK_RESPONSE_MAX'),
  },
  TOPIC_LENGTH_MAX: {
    kind: 'number',
    default: 1024,
    min: 16,
    max: 65_535,
    unit: 'bytes',
    about: 'Length of a topic name or filter',
    outcome: 'a publish ends the connection with 0x90, a filter is refused with 0x8F',
    metric: reached('TOPIC_LENGTH_MAX'),
  },
  TOPIC_LEVELS_MAX: {
    kind: 'number',
    default: 128,
    min: 1,
    max: 65_535,
    unit: 'levels',
    about: 'Levels of a topic name or filter',
    outcome: 'a publish ends the connection with 0x90, a filter is refused with 0x8F',
    metric: reached('TOPIC_LEVELS_MAX'),
  },
  FILTERS_PER_SUBSCRIBE_MAX: {
    kind: 'number',
    default: 100,
    min: 1,
    max: 10_000,
    unit: 'filters',
    about: 'Topic filters in one SUBSCRIBE or UNSUBSCRIBE',
    outcome: 'the filters above it are refused with 0x97 (UNSUBSCRIBE: 0x83)',
    metric: reached('FILTERS_PER_SUBSCRIBE_MAX'),
  },
  SUBSCRIPTIONS_PER_SESSION_MAX: {
    kind: 'number',
    default: 1000,
    min: 1,
    max: 1_000_000,
    unit: 'filters',
    about: 'Subscriptions a connection may hold',
    outcome: 'the filters above it are refused with 0x97',
    metric: reached('SUBSCRIPTIONS_PER_SESSION_MAX'),
  },
  RECEIVE_MAXIMUM: {
    kind: 'number',
    default: 1000,
    min: 1,
    max: 65_535,
    unit: 'messages',
    about: 'QoS 1 publishes without PUBACK and QoS 2 publishes without PUBCOMP a client may have; announced in CONNACK',
    outcome: 'DISCONNECT 0x93 and close; an MQTT 3.1.1 client, which is not told, is not read until acknowledgements went out',
    metric: reached('RECEIVE_MAXIMUM'),
  },
  MAXIMUM_QOS: {
    kind: 'number',
    default: 2,
    min: 0,
    max: 2,
    unit: 'QoS',
    about: 'Highest QoS of publishes and subscriptions; announced in CONNACK',
    outcome: 'a publish or will above it is refused with 0x9B and the connection closed; a subscription is granted this QoS',
    metric: reached('MAXIMUM_QOS'),
  },
  USER_PROPERTIES_BYTES_MAX: {
    kind: 'number',
    default: 131_072,
    min: 0,
    max: 268_435_455,
    unit: 'bytes',
    about: 'Names and values of all user properties of one message',
    outcome: 'a publish is refused with 0x97 (QoS 0 dropped), a CONNECT whose will has more with 0x97',
    metric: reached('USER_PROPERTIES_BYTES_MAX'),
  },
  RESPONSE_TOPIC_LENGTH_MAX: {
    kind: 'number',
    default: 1024,
    min: 0,
    max: 65535,
    unit: 'bytes',
    about: 'Length of a response topic',
    outcome: 'a publish is refused with 0x97 (QoS 0 dropped), a CONNECT whose will has more with 0x97',
    metric: reached('RESPONSE_TOPIC_LENGTH_MAX'),
  },
  CORRELATION_DATA_BYTES_MAX: {
    kind: 'number',
    default: 65_535,
    min: 0,
    max: 65_535,
    unit: 'bytes',
    about: 'Size of correlation data',
    outcome: 'a publish is refused with 0x97 (QoS 0 dropped), a CONNECT whose will has more with 0x97',
    metric: reached('CORRELATION_DATA_BYTES_MAX'),
  },
  CONTENT_TYPE_LENGTH_MAX: {
    kind: 'number',
    default: 65_535,
    min: 0,
    max: 65_535,
    unit: 'bytes',
    about: 'Length of a content type',
    outcome: 'a publish is refused with 0x97 (QoS 0 dropped), a CONNECT whose will has more with 0x97',
    metric: reached('CONTENT_TYPE_LENGTH_MAX'),
  },
  WILL_DELAY_MAX: {
    kind: 'number',
    default: 4_294_967_295,
    min: 0,
    max: 4_294_967_295,
    unit: 's',
    about: 'Longest will delay interval',
    outcome: 'CONNACK 0x97 and close: a will that came earlier than asked for could not be told',
    metric: reached('WILL_DELAY_MAX'),
  },
  AUTHENTICATION_DATA_BYTES_MAX: {
    kind: 'number',
    default: 65_535,
    min: 0,
    max: 65_535,
    unit: 'bytes',
    about: 'Size of the authentication data of a CONNECT or AUTH',
    outcome: 'CONNACK 0x97 and close, later DISCONNECT 0x97 and close',
    metric: reached('AUTHENTICATION_DATA_BYTES_MAX'),
  },
  PAYLOAD_FORMAT_VALIDATION: {
    kind: 'flag',
    default: false,
    about: 'Refuse (0x99) publishes whose Payload Format Indicator says UTF-8 and whose payload is none',
  },
  RESPONSE_INFORMATION: {
    kind: 'text',
    default: '',
    about:
      'Response Information for MQTT 5 clients that ask for it, by convention the root of their response topics; {clientId} stands for the client id. Empty: none',
  },
  SERVER_REFERENCE: {
    kind: 'text',
    default: '',
    about:
      'Where MQTT 5 clients are sent when the gateway shuts down (Server Reference, with 0x9C instead of 0x8B): host:port, several with spaces between. Empty: nowhere',
  },
  TOPIC_ALIAS_OUTBOUND_MAX: {
    kind: 'number',
    default: 32,
    min: 0,
    max: 65_535,
    unit: 'aliases',
    about: 'Topic aliases set for one client, when its Topic Alias Maximum allows more; 0 for none',
  },
  TOPIC_ALIAS_MAXIMUM: {
    kind: 'number',
    default: 32,
    min: 0,
    max: 65_535,
    unit: 'aliases',
    about: 'Topic aliases a client may set; announced in CONNACK',
    outcome: 'DISCONNECT 0x94 and close',
    metric: reached('TOPIC_ALIAS_MAXIMUM'),
  },
  INFLIGHT_MAX: {
    kind: 'number',
    default: 500,
    min: 1,
    max: 65_535,
    unit: 'messages',
    about: 'QoS 1 and 2 messages on the way to one client, when its Receive Maximum allows more',
    outcome: 'further messages wait in the queue',
    metric: reached('INFLIGHT_MAX'),
  },
  OUTBOUND_QUEUE_MESSAGES_MAX: {
    kind: 'number',
    default: 10_000,
    min: 1,
    max: 1_000_000,
    unit: 'messages',
    about: 'Messages waiting for a client whose session ends with its connection',
    outcome: 'QoS 0 is dropped, QoS 1 ends the connection with 0x97',
    metric: reached('OUTBOUND_QUEUE_MESSAGES_MAX'),
  },
  OUTBOUND_QUEUE_BYTES_MAX: {
    kind: 'number',
    default: 4_194_304,
    min: 1024,
    max: 1_073_741_824,
    unit: 'bytes',
    about: 'Bytes waiting for one client: its queue and what its socket has not taken',
    outcome: 'QoS 0 is dropped, QoS 1 of a session that ends with its connection ends it with 0x97',
    metric: reached('OUTBOUND_QUEUE_BYTES_MAX'),
  },
  OUTBOUND_OWED_BYTES_MAX: {
    kind: 'number',
    default: 8_388_608,
    min: 1024,
    max: 1_073_741_824,
    unit: 'bytes',
    about: 'Bytes of a persistent session’s messages that its socket has not taken',
    outcome: 'the connection ends with 0x97; the session goes on at its next connection',
    metric: reached('OUTBOUND_OWED_BYTES_MAX'),
  },
  SLOW_CLIENT_TIMEOUT: {
    kind: 'number',
    default: 30_000,
    min: 100,
    max: 3_600_000,
    unit: 'ms',
    about: 'Time in which a socket that holds unsent bytes must take some',
    outcome: 'the connection is closed',
    metric: reached('SLOW_CLIENT_TIMEOUT'),
  },
  KEEP_ALIVE_MAX: {
    kind: 'number',
    default: 65_535,
    min: 1,
    max: 65_535,
    unit: 's',
    about: 'Longest keep alive; 65535 leaves it to the client',
    outcome: 'MQTT 5 clients are told a server keep alive, 3.1.1 clients are held to it',
    metric: reached('KEEP_ALIVE_MAX'),
  },
  SESSION_EXPIRY_MAX: {
    kind: 'number',
    default: 604_800,
    min: 0,
    max: 4_294_967_294,
    unit: 's',
    about: 'Longest session expiry interval, and that of a persistent MQTT 3.1.1 session; not above HISTORY_WINDOW',
    outcome: 'the interval is lowered and the client told',
    metric: reached('SESSION_EXPIRY_MAX'),
  },
  TAKEOVER_BURST: {
    kind: 'number',
    default: 3,
    min: 1,
    max: 1000,
    unit: 'takeovers',
    about: 'Takeovers of connections of one client id on this gateway, in quick succession, that hold up nobody',
    outcome: 'the next CONNECT with the client id waits for its CONNACK, as TAKEOVER_INTERVAL says',
    metric: reached('TAKEOVER_BURST'),
  },
  TAKEOVER_INTERVAL: {
    kind: 'number',
    default: 10_000,
    min: 0,
    max: 30_000,
    unit: 'ms',
    about:
      'Time in which one client id may be taken over once more after TAKEOVER_BURST, so that two clients with one id do not chase each other; 0 for no such limit',
    outcome:
      'CONNECT waits until that time has passed; a second one with the same client id takes the first one’s place, which gets 0x9F (server unavailable in 3.1.1)',
    metric: reached('TAKEOVER_INTERVAL'),
  },
  SESSIONS_PER_NAME_MAX: {
    kind: 'number',
    default: unlimitedSessions,
    min: 1,
    max: unlimitedSessions,
    unit: 'sessions',
    about: `Sessions of one authentication name, those without a connection included; ${unlimitedSessions} is any number. With less, a registered client that gives no user name has one`,
    outcome: 'CONNECT for a further one gets 0x97 (server unavailable in 3.1.1); what is there goes on',
    metric: reached('SESSIONS_PER_NAME_MAX'),
  },
  KAFKA_BYTES_WAITING_MAX: {
    kind: 'number',
    default: 33_554_432,
    min: 65_536,
    max: 4_294_967_296,
    unit: 'bytes',
    about: 'Bytes appended and not yet answered by Kafka',
    outcome: 'sockets that publish are not read until half of it is answered; QoS 0 is dropped',
    metric: reached('KAFKA_BYTES_WAITING_MAX'),
  },
  AUTHORIZATION_CACHE_MAX: {
    kind: 'number',
    default: 256,
    min: 1,
    max: 100_000,
    unit: 'topics',
    about: 'Topics per connection whose publish decision is remembered',
    outcome: 'the memory is emptied and decisions are made again',
    metric: reached('AUTHORIZATION_CACHE_MAX'),
  },
  ATTACH_TIMEOUT: {
    kind: 'number',
    default: 10_000,
    min: 100,
    max: 120_000,
    unit: 'ms',
    about: 'Time for the router’s answer to a CONNECT',
    outcome: 'CONNACK 0x88 and close',
    metric: reached('ATTACH_TIMEOUT'),
  },
  KAFKA_AWAY_REFUSE: {
    kind: 'number',
    default: 10_000,
    min: 100,
    max: 3_600_000,
    unit: 'ms',
    about: 'Kafka silent for this long: new CONNECTs are refused',
    outcome: 'CONNACK 0x88 and close',
    metric: reached('KAFKA_AWAY_REFUSE'),
  },
  KAFKA_AWAY_CLOSE: {
    kind: 'number',
    default: 60_000,
    min: 100,
    max: 86_400_000,
    unit: 'ms',
    about: 'Kafka silent for this long: clients are closed',
    outcome: 'DISCONNECT 0x89 and close',
    metric: reached('KAFKA_AWAY_CLOSE'),
  },
  REGISTRY_STALE: {
    kind: 'number',
    default: 2000,
    min: 100,
    max: 60_000,
    unit: 'ms',
    about: 'Registry not confirmed for this long: no new decisions',
    outcome: 'CONNECT gets 0x88; a publish or filter that needs a decision waits and its socket is not read',
    metric: reached('REGISTRY_STALE'),
  },
  REGISTRY_LOST: {
    kind: 'number',
    default: 10_000,
    min: 100,
    max: 600_000,
    unit: 'ms',
    about: 'Registry not confirmed for this long: clients are closed',
    outcome: 'DISCONNECT 0x89 and close',
    metric: reached('REGISTRY_LOST'),
  },
  SHARD_SILENCE: {
    kind: 'number',
    default: 15_000,
    min: 500,
    max: 600_000,
    unit: 'ms',
    about: 'No router speaks for a shard for this long (longer than a failover of the router): its clients are closed',
    outcome: 'DISCONNECT 0x89 and close',
    metric: reached('SHARD_SILENCE'),
  },
  DRAIN_PERIOD: {
    kind: 'number',
    default: 10_000,
    min: 0,
    max: 30_000,
    unit: 'ms',
    about: 'Time over which clients are moved off at SIGTERM, 10 ms for each at most; a second SIGTERM ends it. 0: all at once',
    outcome: 'clients that are left are closed at once, their unanswered publishes unanswered',
    metric: reached('DRAIN_PERIOD'),
  },
  SHUTDOWN_TIMEOUT: {
    kind: 'number',
    default: 5000,
    min: 100,
    max: 60_000,
    unit: 'ms',
    about: 'Time to flush the log at SIGTERM, once the clients have been told',
    outcome: 'the process exits',
    metric: reached('SHUTDOWN_TIMEOUT'),
  },
} as const satisfies Settings

export type GatewaySettings = Values<typeof gatewaySettings>

/** Name of a setting that is a limit; rates count by another name (rates.ts). */
export type LimitName = Exclude<
  { [N in keyof typeof gatewaySettings]: (typeof gatewaySettings)[N] extends { readonly outcome: string } ? N : never }[keyof typeof gatewaySettings],
  keyof typeof rateSettings
>

/** The listeners that clients come in by. */
export const listenerNames = ['mqtt', 'mqtts', 'ws', 'wss'] as const
export type ListenerName = (typeof listenerNames)[number]

/** Where a listener listens; `port` 0 is any free one. */
export interface Endpoint {
  readonly host: string
  readonly port: number
}

/** What decisions about a client are bounded by: the settings as its namespace narrows them, and its strict rules. */
export interface Limits extends GatewaySettings {
  readonly rules: NamespaceRules
}

/** A plain listener that belongs to one namespace. */
export interface NamespaceListener {
  readonly namespace: string
  readonly kind: 'mqtt' | 'ws'
  readonly endpoint: Endpoint
}

export interface GatewayConfig extends Limits {
  readonly listeners: {
    readonly mqtt: Endpoint | null
    readonly mqtts: Endpoint | null
    readonly ws: Endpoint | null
    readonly wss: Endpoint | null
    readonly internal: Endpoint | null
  }
  readonly namespaceListeners: readonly NamespaceListener[]
  readonly origins: readonly string[]
  /** Listeners behind a proxy. */
  readonly proxied: ReadonlySet<ListenerName>
  /** Addresses and ranges of the proxies. */
  readonly proxies: readonly string[]
  /** OUTGOING_HOSTS and TOKEN_AUDIENCES, one by one. */
  readonly outgoingHosts: readonly string[]
  readonly tokenAudiences: readonly string[]
}

/** A setting that lists texts, separated by commas. */
const listed = (text: string): readonly string[] =>
  text
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '')

function port(variable: keyof GatewaySettings, text: string): number | null {
  if (text.toLowerCase() === 'off') return null
  const value = Number(text)
  if (text.trim() === '' || !Number.isInteger(value) || value < 0 || value > 65_535) {
    throw new SettingError(variable, `“${text}” is neither a port from 0 to 65535 nor off`)
  }
  return value
}

function readNamespaceListeners(text: string, host: string): readonly NamespaceListener[] {
  return text
    .split(',')
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '')
    .map((entry) => {
      const [, namespace = '', kind, digits] = /^([^=]*)=(mqtt|ws):(\d{1,5})$/.exec(entry) ?? []
      const number = Number(digits)
      if (!namespaceName.pattern.test(namespace) || kind === undefined || number > 65_535)
        throw new SettingError('NAMESPACE_LISTENERS', `“${entry}” is not of the form namespace=mqtt:port or namespace=ws:port`)
      return { namespace, kind: kind as NamespaceListener['kind'], endpoint: { host, port: number } }
    })
}

/** Reads the gateway's settings. Throws SettingError naming the variable. */
export function readGatewayConfig(environment: Readonly<Record<string, string | undefined>>): GatewayConfig {
  const values = readSettings(gatewaySettings, environment)
  const production = values.LOGGERHEAD_PROFILE === 'production'
  const listener = (variable: 'MQTT_PORT' | 'MQTTS_PORT' | 'WS_PORT' | 'WSS_PORT', plain: boolean): Endpoint | null => {
    if (plain && production && !environment[variable]) return null
    const number = port(variable, values[variable])
    if (number === null) return null
    return { host: values.LOGGERHEAD_BIND || (plain && !production ? '127.0.0.1' : '::'), port: number }
  }
  const listeners = {
    mqtt: listener('MQTT_PORT', true),
    mqtts: listener('MQTTS_PORT', false),
    ws: listener('WS_PORT', true),
    wss: listener('WSS_PORT', false),
    internal: ((number) => (number === null ? null : { host: values.LOGGERHEAD_INTERNAL_BIND, port: number }))(
      port('INTERNAL_MQTT_PORT', values.INTERNAL_MQTT_PORT),
    ),
  }
  if (listeners.mqtts || listeners.wss) {
    if (!values.TLS_CERT) throw new SettingError('TLS_CERT', 'is needed by the TLS listeners; set it, or set MQTTS_PORT and WSS_PORT to off')
    if (!values.TLS_KEY) throw new SettingError('TLS_KEY', 'is needed with TLS_CERT')
  }
  if (values.GATEWAY_ID.length > 128 || !/^[\w.-]+$/.test(values.GATEWAY_ID)) {
    throw new SettingError('GATEWAY_ID', `“${values.GATEWAY_ID}” is not 1 to 128 letters, digits, dots, dashes or underscores`)
  }
  if (values.KAFKA_AWAY_CLOSE < values.KAFKA_AWAY_REFUSE) throw new SettingError('KAFKA_AWAY_CLOSE', 'is below KAFKA_AWAY_REFUSE')
  if (values.REGISTRY_LOST < values.REGISTRY_STALE) throw new SettingError('REGISTRY_LOST', 'is below REGISTRY_STALE')
  if (values.FIRST_PACKET_SIZE_MAX > values.MAXIMUM_PACKET_SIZE && environment.FIRST_PACKET_SIZE_MAX) {
    throw new SettingError('FIRST_PACKET_SIZE_MAX', `${values.FIRST_PACKET_SIZE_MAX} is above MAXIMUM_PACKET_SIZE ${values.MAXIMUM_PACKET_SIZE}`)
  }
  if (values.WEBHOOK_TOKEN_FILE !== '' && values.OUTGOING_HOSTS === '') {
    throw new SettingError('WEBHOOK_TOKEN_FILE', 'needs OUTGOING_HOSTS: the token goes to hosts that you name, not to any that a namespace’s settings name')
  }
  return {
    ...values,
    rules: openRules,
    listeners,
    namespaceListeners: readNamespaceListeners(values.NAMESPACE_LISTENERS, values.LOGGERHEAD_BIND || (production ? '::' : '127.0.0.1')),
    origins: listed(values.WS_ORIGINS.toLowerCase()),
    outgoingHosts: listed(values.OUTGOING_HOSTS.toLowerCase()),
    tokenAudiences: readTokenAudiences(values.TOKEN_AUDIENCES),
    ...readProxies(values),
  }
}

function readProxies(values: GatewaySettings): Pick<GatewayConfig, 'proxied' | 'proxies'> {
  const proxied = new Set<ListenerName>()
  for (const text of listed(values.PROXY_PROTOCOL)) {
    const name = listenerNames.find((known) => known === text)
    if (name === undefined) throw new SettingError('PROXY_PROTOCOL', `“${text}” is not one of ${listenerNames.join(', ')}`)
    proxied.add(name)
  }
  const proxies = listed(values.PROXY_TRUSTED)
  for (const text of proxies)
    if (parseRange(text) === null) throw new SettingError('PROXY_TRUSTED', `“${text}” is neither an address nor a range such as 192.0.2.0/24 or 2001:db8::/32`)
  if (proxied.size > 0 && proxies.length === 0)
    throw new SettingError('PROXY_TRUSTED', 'is needed with PROXY_PROTOCOL: whoever sends a header names any address')
  return { proxied, proxies }
}

/** The settings as the namespace narrows them, and the strict rules it sets. */
export function withNamespace(config: GatewayConfig, namespace: NamespaceProperties | undefined): GatewayConfig {
  if (!namespace) return config
  const { limits, maximumSessionExpiryInHours = sessionExpiryHours[limits?.preset ?? 'open'] } = namespace
  const narrowed = narrow(config, limits)
  return {
    ...narrowed,
    SESSION_EXPIRY_MAX: Math.min(narrowed.SESSION_EXPIRY_MAX, maximumSessionExpiryInHours * 3600),
    SESSIONS_PER_NAME_MAX: sessionsPerName(namespace, narrowed.SESSIONS_PER_NAME_MAX),
    rules: rulesInForce(limits),
  }
}

/**
 * No session outlives the journals: SESSION_EXPIRY_MAX is lowered to HISTORY_WINDOW, or refused when it was set above it.
 * Throws SettingError.
 */
export function withinHistory(config: GatewayConfig, historyWindowMs: number, environment: Readonly<Record<string, string | undefined>>): GatewayConfig {
  const most = Math.floor(historyWindowMs / 1000)
  if (config.SESSION_EXPIRY_MAX <= most) return config
  if (environment.SESSION_EXPIRY_MAX) throw new SettingError('SESSION_EXPIRY_MAX', `${config.SESSION_EXPIRY_MAX} s is above HISTORY_WINDOW, ${most} s`)
  return { ...config, SESSION_EXPIRY_MAX: most }
}
