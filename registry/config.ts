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
  INTERNAL_KEY_FILE: { kind: 'text', default: '', about: 'file with the key that the services use among themselves' },
  ROUTER_URLS: { kind: 'text', default: '', about: 'where the routers answer HTTP, comma-separated, each as id=url or url' },
  OIDC_ISSUER: { kind: 'text', default: '', about: 'Issuer of bearer tokens that the HTTP API takes besides keys, as in their claim iss; empty: none' },
  OIDC_AUDIENCE: { kind: 'text', default: '', about: 'Audiences of which a token must have one, separated by commas' },
  OIDC_ROLE_CLAIM: {
    kind: 'text',
    default: 'roles',
    about: 'Claim with the roles of a token’s bearer: a list, or words in a text; dots lead into objects, as in realm_access.roles',
  },
  OIDC_ROLES: {
    kind: 'text',
    default: 'reader=reader,operator=operator,owner=owner',
    about: 'Which values of that claim give which role: role=value, separated by commas; several values may give one role',
  },
  OIDC_KEYS_MAX_AGE: {
    kind: 'number',
    default: 600_000,
    min: 1_000,
    max: 86_400_000,
    unit: 'ms',
    about: 'How long the keys of the issuer are kept; an unknown key is looked for at once',
  },
  OIDC_TIMEOUT: {
    kind: 'number',
    default: 5_000,
    min: 100,
    max: 60_000,
    unit: 'ms',
    about: 'Time for the issuer to answer with its keys',
    outcome: 'the request with the token is answered with 503',
    metric: reached('OIDC_TIMEOUT'),
  },
  ROUTER_TIMEOUT: {
    kind: 'number',
    default: 5_000,
    min: 100,
    max: 60_000,
    unit: 'ms',
    about: 'Time for a router to answer a request for sessions',
    outcome: 'the others’ answers are used; 503 when the one that is needed is missing',
    metric: reached('ROUTER_TIMEOUT'),
  },

  REGISTRY_REQUEST_TIMEOUT: {
    kind: 'number',
    default: 900_000,
    min: 1_000,
    max: 86_400_000,
    unit: 'ms',
    about: 'Longest time for a whole request to arrive, a bulk import included; the front door gives all but imports less',
    outcome: 'the connection is closed',
    metric: reached('REGISTRY_REQUEST_TIMEOUT'),
  },
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
  IMPORT_LINES_MAX: {
    kind: 'number',
    default: 1_000_000,
    min: 1,
    max: 100_000_000,
    unit: 'lines',
    about: 'Lines of one bulk import; each may have REGISTRY_BODY_MAX bytes',
    outcome: 'the import stops there and says so in its last line',
    metric: reached('IMPORT_LINES_MAX'),
  },
  IMPORTS_MAX: {
    kind: 'number',
    default: 4,
    min: 1,
    max: 100,
    unit: 'imports',
    about: 'Bulk imports under way at one time',
    outcome: 'a further one is refused with 503',
    metric: reached('IMPORTS_MAX'),
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
  API_KEYS_MAX: {
    kind: 'number',
    default: 100,
    min: 1,
    max: 10_000,
    unit: 'keys',
    about: 'API keys besides the owner’s',
    outcome: refused,
    metric: reached('API_KEYS_MAX'),
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
