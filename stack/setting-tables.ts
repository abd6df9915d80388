import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { kafkaSettings } from '../log/kafka/connection-settings.ts'
import { schemaRegistrySettings } from '../log/schema-registry/settings.ts'
import { topicSettings } from '../log/topics.ts'
import { readSettings, type Setting, type Settings } from '../settings/setting.ts'
import { telemetrySettings } from '../telemetry/telemetry-settings.ts'

/** Each has its table of settings in `<folder>/config.ts`. */
export const processes = ['stack', 'gateway', 'router', 'registry', 'door'] as const
export type ProcessName = (typeof processes)[number]

/** What every service that uses the log reads as well. */
const logTables: Settings = { ...kafkaSettings, ...topicSettings, ...schemaRegistrySettings }
const usesLog: ReadonlySet<ProcessName> = new Set(['gateway', 'router', 'registry'])

function isSetting(value: unknown): value is Setting {
  return typeof value === 'object' && value !== null && 'kind' in value && 'default' in value && 'about' in value
}

/** The tables that a module exports, put together. */
export function tableOf(module: Readonly<Record<string, unknown>>): Settings {
  const table: Record<string, Setting> = {}
  for (const exported of Object.values(module)) {
    if (typeof exported !== 'object' || exported === null) continue
    const entries = Object.entries(exported)
    if (entries.length > 0 && entries.every(([, value]) => isSetting(value))) Object.assign(table, exported)
  }
  return table
}

/** The table of one process; empty when it has no config.ts. */
export async function readTable(project: string, process: ProcessName): Promise<Settings> {
  const file = join(project, process, 'config.ts')
  const table = existsSync(file) ? tableOf((await import(file)) as Record<string, unknown>) : {}
  const own = process === 'stack' ? table : { ...telemetrySettings, ...table }
  return usesLog.has(process) ? { ...logTables, ...own } : own
}

/** What the services would refuse is refused before anything is started. Throws SettingError. */
export async function checkServiceSettings(project: string, environment: Readonly<Record<string, string | undefined>>): Promise<void> {
  for (const process of processes) if (process !== 'stack') readSettings(await readTable(project, process), environment)
}
