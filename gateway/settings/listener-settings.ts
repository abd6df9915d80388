import type { Settings } from '../../settings/setting.ts'

/** Where a gateway listens, whom it trusts there, and whom it reaches. */
export const listenerSettings = {
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
  WEBHOOK_TOKEN_FILE: {
    kind: 'text',
    default: '',
    about: 'File with the bearer token that the authentication webhook is shown, read again when it changes; goes with OUTGOING_HOSTS',
  },
} as const satisfies Settings
