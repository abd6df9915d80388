import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readSettings, SettingError, type Settings } from '../settings/setting.ts'

/** What the command is told by its environment; most of it has an option too. */
export const cliSettings = {
  LOGGERHEAD_URL: { kind: 'text', default: 'http://127.0.0.1:8080', about: 'The HTTP front door' },
  LOGGERHEAD_API_KEY: { kind: 'text', default: '', about: 'The key of the HTTP API' },
  LOGGERHEAD_API_KEY_FILE: { kind: 'text', default: '', about: 'File with the key of the HTTP API; else api-key in LOGGERHEAD_DATA' },
  LOGGERHEAD_MQTT_URL: { kind: 'text', default: 'mqtt://127.0.0.1:1883', about: 'Where pub and sub connect: mqtt, mqtts, ws or wss' },
  LOGGERHEAD_NAMESPACE: { kind: 'text', default: 'default', about: 'Namespace' },
  LOGGERHEAD_DATA: { kind: 'text', default: '.data', about: 'Folder of this deployment’s files, where the owner’s key is' },
} as const satisfies Settings

export interface CliConfig {
  readonly url: URL
  readonly mqttUrl: string
  readonly namespace: string
  readonly dataFolder: string
  /** Throws SettingError when there is none. */
  key(): string
}

type Environment = Readonly<Record<string, string | undefined>>

/** Reads the environment; options of the command line stand over it. Throws SettingError. */
export function readCliConfig(environment: Environment): CliConfig {
  const values = readSettings(cliSettings, environment)
  if (!URL.canParse(values.LOGGERHEAD_URL) || !/^https?:$/.test(new URL(values.LOGGERHEAD_URL).protocol)) {
    throw new SettingError('LOGGERHEAD_URL', `“${values.LOGGERHEAD_URL}” is not an address such as http://127.0.0.1:8080`)
  }
  return {
    url: new URL(values.LOGGERHEAD_URL),
    mqttUrl: values.LOGGERHEAD_MQTT_URL,
    namespace: values.LOGGERHEAD_NAMESPACE,
    dataFolder: values.LOGGERHEAD_DATA,
    key() {
      if (values.LOGGERHEAD_API_KEY !== '') return values.LOGGERHEAD_API_KEY
      const named = values.LOGGERHEAD_API_KEY_FILE
      const file = named || join(values.LOGGERHEAD_DATA, 'api-key')
      if (existsSync(file)) return readFileSync(file, 'utf8').trim()
      if (named) throw new SettingError('LOGGERHEAD_API_KEY_FILE', `there is no file “${named}”`)
      throw new SettingError('LOGGERHEAD_API_KEY', `is not set, nor LOGGERHEAD_API_KEY_FILE, and there is no ${file}: give the key of the HTTP API`)
    },
  }
}
