/**
 * Which ids a schema registry has for the schemas of what others read: messages and life cycle events. Asked when a process begins with a namespace and
 * never again: every schema that this version can read is known then, by each id that it ever had.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { learnSchemaId, schemaOf, writeUnderId } from '../../schemas/codec.ts'
import { nameOf, type Schema } from '../../schemas/fingerprint.ts'
import type { RecordName } from '../../schemas/records.ts'
import type { TopicKind, TopicNames } from '../topics.ts'
import { RegistryAway, RegistryClient, RegistryRefused } from './registry-client.ts'
import type { SchemaRegistryConfig } from './settings.ts'
import { subjectOf } from './subject.ts'

/** The topics that are made for others, and what stands in them. The journals stay in single-object encoding: state must not depend on a registry. */
const published: readonly (readonly [TopicKind, RecordName])[] = [
  ['messages', 'Message'],
  ['lifecycle', 'LifecycleEvent'],
]

/** Newest versions of a subject that are looked at. */
const versionsMax = 100
/** Between two attempts, ms: the first, doubled up to the last. */
const retryMs = [250, 4_000] as const

/** A process cannot begin: the message says what the schema registry did, and what would help. */
export class SchemaRegistryError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'SchemaRegistryError'
  }
}

export interface SchemaIdsOptions {
  readonly config: SchemaRegistryConfig
  readonly logger: { info(detail: object, message: string): void; warn(detail: object, message: string): void }
}

export class SchemaIds {
  readonly #options: SchemaIdsOptions
  readonly #client: RegistryClient

  constructor(options: SchemaIdsOptions) {
    this.#options = options
    this.#client = new RegistryClient(options.config)
  }

  /** Learns the ids for the topics of a namespace, and registers what is missing where that is wanted. Rejects with SchemaRegistryError. */
  async learn(topics: TopicNames): Promise<void> {
    const { startTimeoutMs } = this.#options.config
    const until = performance.now() + startTimeoutMs
    for (const [kind, record] of published) {
      const subject = subjectOf(this.#options.config.naming, topics[kind], nameOf(schemaOf(record) as { readonly [attribute: string]: unknown }, ''))
      await this.#patiently(until, () => this.#learnSubject(subject, record))
    }
  }

  async #patiently(until: number, ask: () => Promise<void>): Promise<void> {
    const { startTimeoutMs } = this.#options.config
    for (let wait: number = retryMs[0]; ; wait = Math.min(2 * wait, retryMs[1])) {
      try {
        return await ask()
      } catch (error) {
        if (error instanceof RegistryRefused) throw new SchemaRegistryError(`the schema registry refuses: ${error.message}`, { cause: error })
        if (!(error instanceof RegistryAway)) throw error
        if (performance.now() + wait > until)
          throw new SchemaRegistryError(
            `the schema registry was not reached within ${startTimeoutMs} ms (${error.message}). A service needs it to start, for the ids of its schemas; those that run go on without`,
            { cause: error },
          )
        this.#options.logger.warn({ reason: error.message }, 'the schema registry does not answer')
        await delay(wait)
      }
    }
  }

  async #learnSubject(subject: string, record: RecordName): Promise<void> {
    const { writesIds, registers } = this.#options.config
    let current: number | undefined
    for (const version of (await this.#client.versions(subject)).toSorted((a, b) => b - a).slice(0, versionsMax)) {
      const registered = await this.#client.version(subject, version)
      const known = registered && this.#learnId(registered.id, parsed(registered.schema))
      if (known?.name === record && known.isCurrent) current ??= registered?.id
    }
    if (current === undefined && registers) {
      const schema = schemaOf(record)
      current = await this.#client.register(subject, JSON.stringify(schema)).catch((error: unknown) => {
        if (!(error instanceof RegistryRefused)) throw error
        throw new SchemaRegistryError(`the schema registry does not take the schema of ${record} under the subject ${subject}: ${error.message}`, {
          cause: error,
        })
      })
      this.#learnId(current, schema)
      this.#options.logger.info({ subject, id: current }, 'a schema was registered')
    }
    if (!writesIds) return
    if (current === undefined)
      throw new SchemaRegistryError(
        `the schema registry does not have this version's schema of ${record} (schemas/) under the subject ${subject}: register it, or set SCHEMA_REGISTRY_REGISTER=true`,
      )
    writeUnderId(record, current)
  }

  #learnId(id: number, schema: Schema | undefined): ReturnType<typeof learnSchemaId> {
    try {
      return schema === undefined ? undefined : learnSchemaId(id, schema)
    } catch (error) {
      if (error instanceof RangeError) throw new SchemaRegistryError(`the schema registry answers what cannot be: ${error.message}`, { cause: error })
      return undefined // no schema at all
    }
  }
}

function parsed(text: string): Schema | undefined {
  try {
    return JSON.parse(text) as Schema
  } catch {
    return undefined
  }
}

/** Null without a schema registry. */
export function openSchemaIds(config: SchemaRegistryConfig | null, logger: SchemaIdsOptions['logger']): SchemaIds | null {
  return config && new SchemaIds({ config, logger })
}
