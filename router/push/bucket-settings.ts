/** Where dead letters may be written besides Kafka and folders: an S3-compatible store. */
import { readText } from '../../log/kafka/connection-settings.ts'
import { listed, SettingError, type Settings, type Values } from '../../settings/setting.ts'

export const bucketSettings = {
  DEAD_LETTER_S3_ENDPOINT: {
    kind: 'text',
    default: '',
    about:
      'Address of an S3-compatible store that subscriptions may have their dead letters written to, as https://s3.eu-central-1.amazonaws.com; asked as OUTGOING_HOSTS and OUTGOING_ADDRESSES allow. Empty: none',
  },
  DEAD_LETTER_S3_REGION: { kind: 'text', default: 'us-east-1', about: 'Region that requests to that store are signed for' },
  DEAD_LETTER_S3_BUCKETS: { kind: 'text', default: '', about: 'Buckets that subscriptions may name, separated by commas; * for any. Empty: none' },
  DEAD_LETTER_S3_ACCESS_KEY_ID: { kind: 'text', default: '', about: 'Access key id shown to that store' },
  DEAD_LETTER_S3_SECRET_KEY_FILE: { kind: 'text', default: '', about: 'File that holds the secret access key, and nothing else' },
} as const satisfies Settings

export interface BucketConfig {
  readonly endpoint: string
  readonly region: string
  readonly buckets: readonly string[]
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string }
}

/** Undefined without a store. Throws SettingError, which tells no secret. */
export function readBucketConfig(values: Values<typeof bucketSettings>): BucketConfig | undefined {
  const { DEAD_LETTER_S3_ENDPOINT: endpoint, DEAD_LETTER_S3_ACCESS_KEY_ID: accessKeyId, DEAD_LETTER_S3_SECRET_KEY_FILE: file } = values
  if (endpoint === '') return undefined
  const url = URL.parse(endpoint)
  if (url === null || !/^https?:$/.test(url.protocol) || url.username !== '' || url.password !== '' || url.pathname !== '/' || url.search !== '')
    throw new SettingError('DEAD_LETTER_S3_ENDPOINT', 'is not an address such as https://s3.eu-central-1.amazonaws.com, without path, user and query')
  if (accessKeyId === '') throw new SettingError('DEAD_LETTER_S3_ACCESS_KEY_ID', 'is missing: DEAD_LETTER_S3_ENDPOINT needs it')
  if (file === '') throw new SettingError('DEAD_LETTER_S3_SECRET_KEY_FILE', 'is missing: DEAD_LETTER_S3_ENDPOINT needs it')
  return {
    endpoint,
    region: values.DEAD_LETTER_S3_REGION,
    buckets: listed(values.DEAD_LETTER_S3_BUCKETS),
    credentials: { accessKeyId, secretAccessKey: readText('DEAD_LETTER_S3_SECRET_KEY_FILE', file).trim() },
  }
}
