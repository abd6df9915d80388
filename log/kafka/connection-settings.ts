/** How a service reaches Kafka, from the environment; every service shares this table. */
import { readFileSync } from 'node:fs'
import { listed, SettingError, type Settings, type Values } from '../../settings/setting.ts'

export const kafkaSettings = {
  KAFKA_BROKERS: { kind: 'text', default: '127.0.0.1:9092', about: 'Brokers to begin with, host:port, separated by commas.' },
  KAFKA_TLS: { kind: 'flag', default: false, about: 'Speaks TLS to Kafka.' },
  KAFKA_TLS_CA: { kind: 'text', default: '', about: "File of the authorities (PEM) that sign the brokers' certificates; empty: the system's." },
  KAFKA_TLS_CERT: { kind: 'text', default: '', about: 'File of the client certificate (PEM) shown to Kafka.' },
  KAFKA_TLS_KEY: { kind: 'text', default: '', about: "File of the client certificate's key (PEM)." },
  KAFKA_SASL_MECHANISM: {
    kind: 'text',
    default: '',
    oneOf: ['', 'plain', 'scram-sha-256', 'scram-sha-512'],
    about: 'Login to Kafka: plain, scram-sha-256 or scram-sha-512; empty: none.',
  },
  KAFKA_SASL_USERNAME: { kind: 'text', default: '', about: 'User name of the login.' },
  KAFKA_SASL_PASSWORD_FILE: { kind: 'text', default: '', about: 'File that holds the password of the login, and nothing else.' },
  KAFKA_REQUEST_TIMEOUT_MS: {
    kind: 'number',
    default: 6000,
    min: 1000,
    max: 120_000,
    unit: 'ms',
    about: 'How long a broker may owe an answer before it counts as gone.',
    outcome: 'The connection is replaced and the request repeated, batches unchanged; the log counts as unreachable since the request was sent.',
    metric: 'loggerhead_log_unreachable_seconds',
  },
  KAFKA_SESSION_TIMEOUT_MS: {
    kind: 'number',
    default: 6000,
    min: 1000,
    max: 300_000,
    unit: 'ms',
    about: "How long a router may be silent before its shards are given to another; not below the brokers' group.min.session.timeout.ms.",
  },
} as const satisfies Settings

export interface KafkaConnection {
  readonly brokers: readonly string[]
  readonly ssl?: object
  readonly sasl?: { readonly mechanism: string; readonly username: string; readonly password: string }
  readonly requestTimeoutMs: number
  readonly sessionTimeoutMs: number
}

/** The text of a file that a setting names. Throws SettingError. */
export function readText(variable: string, file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    throw new SettingError(variable, `cannot read the file “${file}”: ${error instanceof Error ? error.message : String(error)}`)
  }
}

function parseBrokers(text: string): readonly string[] {
  const brokers = listed(text)
  for (const broker of brokers) {
    const port = Number(/^(?:[^\s:]+|\[[0-9a-fA-F:]+\]):(\d{1,5})$/.exec(broker)?.[1])
    if (!(port >= 1 && port <= 65_535)) throw new SettingError('KAFKA_BROKERS', `“${broker}” is not host:port`)
  }
  if (brokers.length === 0) throw new SettingError('KAFKA_BROKERS', 'names no broker; host:port, separated by commas, is allowed')
  return brokers
}

/** Options for `new KafkaLog`, secrets read from their files. Throws SettingError. */
export function kafkaConnection(values: Values<typeof kafkaSettings>): KafkaConnection {
  const brokers = parseBrokers(values.KAFKA_BROKERS)
  for (const variable of ['KAFKA_TLS_CA', 'KAFKA_TLS_CERT', 'KAFKA_TLS_KEY'] as const) {
    if (values[variable] !== '' && !values.KAFKA_TLS) throw new SettingError(variable, 'is set, but KAFKA_TLS is not true')
  }
  if ((values.KAFKA_TLS_CERT === '') !== (values.KAFKA_TLS_KEY === '')) {
    throw new SettingError(values.KAFKA_TLS_CERT === '' ? 'KAFKA_TLS_CERT' : 'KAFKA_TLS_KEY', 'is missing: certificate and key belong together')
  }
  const ssl = values.KAFKA_TLS && {
    ...(values.KAFKA_TLS_CA === '' ? {} : { ca: [readText('KAFKA_TLS_CA', values.KAFKA_TLS_CA)] }),
    ...(values.KAFKA_TLS_CERT === '' ? {} : { cert: readText('KAFKA_TLS_CERT', values.KAFKA_TLS_CERT), key: readText('KAFKA_TLS_KEY', values.KAFKA_TLS_KEY) }),
  }
  const mechanism = values.KAFKA_SASL_MECHANISM
  if (mechanism === '' && values.KAFKA_SASL_USERNAME !== '') throw new SettingError('KAFKA_SASL_USERNAME', 'is set, but KAFKA_SASL_MECHANISM is not')
  if (mechanism !== '') {
    if (values.KAFKA_SASL_USERNAME === '') throw new SettingError('KAFKA_SASL_USERNAME', `is missing: ${mechanism} needs it`)
    if (values.KAFKA_SASL_PASSWORD_FILE === '') throw new SettingError('KAFKA_SASL_PASSWORD_FILE', `is missing: ${mechanism} needs it`)
  }
  return {
    brokers,
    ...(ssl ? { ssl } : {}),
    ...(mechanism === ''
      ? {}
      : {
          sasl: {
            mechanism,
            username: values.KAFKA_SASL_USERNAME,
            password: readText('KAFKA_SASL_PASSWORD_FILE', values.KAFKA_SASL_PASSWORD_FILE).replace(/\r?\n$/, ''),
          },
        }),
    requestTimeoutMs: values.KAFKA_REQUEST_TIMEOUT_MS,
    sessionTimeoutMs: values.KAFKA_SESSION_TIMEOUT_MS,
  }
}
