/** How a service reaches a schema registry, from the environment; the services that write records share this table. */
import { listed, SettingError, type Settings, type Values } from '../../settings/setting.ts'
import { readText } from '../kafka/connection-settings.ts'
import { type SubjectNaming, subjectNamings } from './subject.ts'

export const schemaRegistrySettings = {
  SCHEMA_REGISTRY_URL: {
    kind: 'text',
    default: '',
    about: 'Where a schema registry with Confluent’s API answers, as https://registry:8081; several, separated by commas, are tried in turn. Empty: none',
  },
  SCHEMA_REGISTRY_FRAMING: {
    kind: 'text',
    default: 'confluent',
    oneOf: ['confluent', 'single-object'],
    about: 'With a schema registry, what messages and life cycle events begin with: its id for their schema, or Avro’s own fingerprint. Both are read',
  },
  SCHEMA_REGISTRY_SUBJECTS: {
    kind: 'text',
    default: 'TopicNameStrategy',
    oneOf: subjectNamings,
    about: 'How the subjects of a schema registry are called',
  },
  SCHEMA_REGISTRY_REGISTER: {
    kind: 'flag',
    default: true,
    about: 'Registers schemas that the schema registry does not have; false: they must be there',
  },
  SCHEMA_REGISTRY_USERNAME: { kind: 'text', default: '', about: 'User name shown to the schema registry; empty: none' },
  SCHEMA_REGISTRY_PASSWORD_FILE: { kind: 'text', default: '', about: 'File that holds the password of that user, and nothing else' },
  SCHEMA_REGISTRY_CA: { kind: 'text', default: '', about: 'File of the authorities (PEM) that sign the schema registry’s certificate; empty: the public ones' },
  SCHEMA_REGISTRY_START_TIMEOUT: {
    kind: 'number',
    default: 30_000,
    min: 100,
    max: 600_000,
    unit: 'ms',
    about: 'How long a service tries to reach the schema registry when it starts',
    outcome: 'the service ends and says why; one that runs does not ask any more',
    metric: 'the service’s last line of log, and its exit code 1',
  },
} as const satisfies Settings

export interface SchemaRegistryConfig {
  readonly urls: readonly string[]
  readonly writesIds: boolean
  readonly naming: SubjectNaming
  readonly registers: boolean
  /** `Basic …`; undefined: none. */
  readonly authorization: string | undefined
  readonly ca: string | undefined
  readonly startTimeoutMs: number
}

/** Null without a schema registry. Throws SettingError. */
export function schemaRegistryConfig(values: Values<typeof schemaRegistrySettings>): SchemaRegistryConfig | null {
  const urls = listed(values.SCHEMA_REGISTRY_URL)
  if (urls.length === 0) return null
  for (const text of urls) {
    const url = URL.parse(text)
    if (url === null || !/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '')
      throw new SettingError('SCHEMA_REGISTRY_URL', `“${text.replace(/\/\/[^/]*@/, '//')}” is not an address such as https://registry:8081`)
    if (url.username !== '' || url.password !== '')
      throw new SettingError(
        'SCHEMA_REGISTRY_URL',
        `${url.host}: a user belongs into SCHEMA_REGISTRY_USERNAME, its password into SCHEMA_REGISTRY_PASSWORD_FILE`,
      )
  }
  const { SCHEMA_REGISTRY_USERNAME: user, SCHEMA_REGISTRY_PASSWORD_FILE: passwordFile, SCHEMA_REGISTRY_CA: caFile } = values
  if ((user === '') !== (passwordFile === ''))
    throw new SettingError(user === '' ? 'SCHEMA_REGISTRY_USERNAME' : 'SCHEMA_REGISTRY_PASSWORD_FILE', 'is missing: user and password belong together')
  const password = passwordFile === '' ? '' : readText('SCHEMA_REGISTRY_PASSWORD_FILE', passwordFile).replace(/\r?\n$/, '')
  return {
    urls: urls.map((url) => url.replace(/\/+$/, '')),
    writesIds: values.SCHEMA_REGISTRY_FRAMING === 'confluent',
    naming: values.SCHEMA_REGISTRY_SUBJECTS as SubjectNaming,
    registers: values.SCHEMA_REGISTRY_REGISTER,
    authorization: user === '' ? undefined : `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`,
    ca: caFile === '' ? undefined : readText('SCHEMA_REGISTRY_CA', caFile),
    startTimeoutMs: values.SCHEMA_REGISTRY_START_TIMEOUT,
  }
}
