import { kafkaSettings } from '../log/kafka/connection-settings.ts'
import { topicSettings } from '../log/topics.ts'
import { readSettings, SettingError, type Settings, type Values } from '../settings/setting.ts'

const refused = 'the request is refused with 400'
/** Counts every time a limit below took effect; the label is the setting's own name. */
const reached = (limit: string) => `loggerhead_limit_reached_total{limit="${limit}"}`

/** All settings of the registry. Limits carry their outcome and metric: docs/limits.md is generated from here. */
export const registrySettings = {
  ...kafkaSettings,
  ...topicSettings,
  LOGGERHEAD_PROFILE: {
    kind: 'text',
    default: 'development',
    oneOf: ['development', 'production'],
    about: 'development: a sample registry is written once. production: denies by default',
  },
  LOGGERHEAD_DATA: { kind: 'text', default: '.data', about: 'Folder of this deployment’s files' },
  LOGGERHEAD_NAMESPACE: { kind: 'text', default: 'default', about: 'Namespace: second part of every topic’s name, and of the API’s paths' },
  LOGGERHEAD_INTERNAL_BIND: { kind: 'text', default: '127.0.0.1', about: 'Address of the API behind the front door, /status and /metrics' },
  INTERNAL_PORT: { kind: 'number', default: 0, min: 0, max: 65535, about: 'Port of the API behind the front door, /status and /metrics; 0 for any free one' },
  API_KEY_FILE: { kind: 'text', default: '', about: 'File with the key of the HTTP API' },

  REGISTRY_BODY_MAX: {
    kind: 'number',
    default: 262_144,
    min: 1024,
    max: 16_777_216,
    unit: 'bytes',
    about: 'Largest body of a request to the registry',
    outcome: 'the request is refused with 413',
    metric: reached('REGISTRY_BODY_MAX'),
  },
  REGISTRY_REQUESTS_MAX: {
    kind: 'number',
    default: 1000,
    min: 1,
    max: 100_000,
    unit: 'requests',
    about: 'Changes waiting to be written',
    outcome: 'a further change is refused with 503',
    metric: reached('REGISTRY_REQUESTS_MAX'),
  },
  REGISTRY_WRITE_TIMEOUT: {
    kind: 'number',
    default: 10_000,
    min: 100,
    max: 600_000,
    unit: 'ms',
    about: 'Time for a change to be in Kafka and folded',
    outcome: 'the request is answered with 503; the change may still come to pass',
    metric: reached('REGISTRY_WRITE_TIMEOUT'),
  },
  REGISTRY_STALE_MAX: {
    kind: 'number',
    default: 10_000,
    min: 100,
    max: 600_000,
    unit: 'ms',
    about: 'Time since Kafka last confirmed the registry’s view',
    outcome: 'requests are answered with 503',
    metric: reached('REGISTRY_STALE_MAX'),
  },
  CLIENTS_MAX: {
    kind: 'number',
    default: 1_000_000,
    min: 1,
    max: 100_000_000,
    unit: 'clients',
    about: 'Clients',
    outcome: refused,
    metric: reached('CLIENTS_MAX'),
  },
  CLIENT_GROUPS_MAX: {
    kind: 'number',
    default: 1000,
    min: 1,
    max: 100_000,
    unit: 'groups',
    about: 'Client groups',
    outcome: refused,
    metric: reached('CLIENT_GROUPS_MAX'),
  },
  TOPIC_SPACES_MAX: {
    kind: 'number',
    default: 1000,
    min: 1,
    max: 100_000,
    unit: 'spaces',
    about: 'Topic spaces',
    outcome: refused,
    metric: reached('TOPIC_SPACES_MAX'),
  },
  PERMISSION_BINDINGS_MAX: {
    kind: 'number',
    default: 10_000,
    min: 1,
    max: 1_000_000,
    unit: 'bindings',
    about: 'Permission bindings',
    outcome: refused,
    metric: reached('PERMISSION_BINDINGS_MAX'),
  },
  CA_CERTIFICATES_MAX: {
    kind: 'number',
    default: 100,
    min: 1,
    max: 10_000,
    unit: 'certificates',
    about: 'CA certificates',
    outcome: refused,
    metric: reached('CA_CERTIFICATES_MAX'),
  },
  TOPIC_TEMPLATES_MAX: {
    kind: 'number',
    default: 100,
    min: 1,
    max: 10_000,
    unit: 'templates',
    about: 'Topic templates of one topic space',
    outcome: refused,
    metric: reached('TOPIC_TEMPLATES_MAX'),
  },
  CLIENT_ATTRIBUTES_MAX: {
    kind: 'number',
    default: 4096,
    min: 64,
    max: 65_536,
    unit: 'bytes',
    about: 'All attributes of a client as JSON',
    outcome: refused,
    metric: reached('CLIENT_ATTRIBUTES_MAX'),
  },
} as const satisfies Settings

export type RegistryConfig = Values<typeof registrySettings>

/** Reads the environment. Throws SettingError. */
export function readRegistryConfig(environment: Readonly<Record<string, string | undefined>>): RegistryConfig {
  const values = readSettings(registrySettings, environment)
  if (values.API_KEY_FILE === '') throw new SettingError('API_KEY_FILE', 'is needed: a file with the key of the HTTP API')
  if (!/^[A-Za-z0-9-]{3,50}$/.test(values.LOGGERHEAD_NAMESPACE)) {
    throw new SettingError('LOGGERHEAD_NAMESPACE', `“${values.LOGGERHEAD_NAMESPACE}” is not 3 to 50 letters, digits and “-” (NS-01)`)
  }
  return values
}
