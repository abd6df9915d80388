/** Other Kafka clusters that routes may write to, by the names that the operator gives them: ROUTE_CLUSTERS_FILE. */
import { type KafkaConnection, kafkaConnection, kafkaSettings } from '../../log/kafka/connection-settings.ts'
import type { Log } from '../../log/log.ts'
import { readSettings, SettingError } from '../../settings/setting.ts'

const variable = 'ROUTE_CLUSTERS_FILE'

/** The file's clusters: JSON, by name an object with the KAFKA_… settings of the connection. Passwords stay in files of their own. Throws SettingError. */
export function parseClusters(text: string): ReadonlyMap<string, KafkaConnection> {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (error) {
    throw new SettingError(variable, `is not JSON: ${(error as Error).message}`)
  }
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new SettingError(variable, 'must hold an object: names and the settings of each cluster')
  return new Map(Object.entries(json).map(([name, settings]) => [name, connectionOf(name, settings)]))
}

function connectionOf(name: string, settings: unknown): KafkaConnection {
  if (!/^[A-Za-z0-9-]{1,50}$/.test(name)) throw new SettingError(variable, `“${name}” is no name of a cluster: 1 to 50 letters, digits and “-”`)
  const entries = Object.entries((settings ?? {}) as object)
  const unknown = entries.find(([key]) => !Object.hasOwn(kafkaSettings, key))
  if (unknown) throw new SettingError(variable, `${name}: ${unknown[0]} is none of ${Object.keys(kafkaSettings).join(', ')}`)
  if (!entries.some(([key]) => key === 'KAFKA_BROKERS')) throw new SettingError(variable, `${name}: KAFKA_BROKERS is missing`)
  try {
    return kafkaConnection(readSettings(kafkaSettings, Object.fromEntries(entries.map(([key, value]) => [key, String(value)]))))
  } catch (error) {
    if (error instanceof SettingError) throw new SettingError(variable, `${name}: ${error.message}`)
    throw error
  }
}

/** The clusters' logs, each opened when the first route needs it. */
export class RouteClusters {
  readonly #clusters: ReadonlyMap<string, KafkaConnection>
  readonly #open: (connection: KafkaConnection) => Log
  readonly #logs = new Map<string, Log>()

  constructor(clusters: ReadonlyMap<string, KafkaConnection>, open: (connection: KafkaConnection) => Log) {
    this.#clusters = clusters
    this.#open = open
  }

  /** Undefined when no cluster has the name. */
  get(name: string): Log | undefined {
    const known = this.#logs.get(name)
    const connection = this.#clusters.get(name)
    if (known || !connection) return known
    const log = this.#open(connection)
    this.#logs.set(name, log)
    return log
  }

  async close(): Promise<void> {
    await Promise.all([...this.#logs.values()].map((log) => log.close()))
  }
}
