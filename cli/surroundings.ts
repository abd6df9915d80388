/** What every command has at hand. */
import type { Command } from 'commander'
import { readSettings } from '../settings/setting.ts'
import { ApiClient } from './api-client.ts'
import { type CliConfig, cliSettings, readCliConfig } from './config.ts'
import { Failure } from './failure.ts'
import { type Column, type Format, formats, show } from './output.ts'

export interface Surroundings {
  readonly config: CliConfig
  /** The deployment's home namespace: what the environment names, whichever --namespace is meant. */
  readonly home: string
  readonly api: ApiClient
  readonly format: Format
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Writes a line to standard output. */
  print(text: string): void
  /** Writes a line to standard error: what is not the result. */
  note(text: string): void
  /** Prints a value or a list in the chosen format. */
  show<T>(value: T | readonly T[], columns?: readonly Column<T>[]): void
}

interface GlobalOptions {
  readonly url?: string
  readonly apiKeyFile?: string
  readonly namespace?: string
  readonly output?: string
  readonly json?: boolean
}

/** From the environment and the options that stand before or behind a command. Throws SettingError, Failure. */
export function surroundings(command: Command): Surroundings {
  const options = command.optsWithGlobals<GlobalOptions>()
  const format = options.json ? 'json' : formats.find((known) => known === (options.output ?? 'table'))
  if (format === undefined) throw new Failure(`--output: “${options.output}” is not one of ${formats.join(', ')}`)
  const environment = {
    ...process.env,
    ...(options.url === undefined ? {} : { LOGGERHEAD_URL: options.url }),
    ...(options.apiKeyFile === undefined ? {} : { LOGGERHEAD_API_KEY: '', LOGGERHEAD_API_KEY_FILE: options.apiKeyFile }),
    ...(options.namespace === undefined ? {} : { LOGGERHEAD_NAMESPACE: options.namespace }),
  }
  const config = readCliConfig(environment)
  const print = (text: string): void => {
    process.stdout.write(`${text}\n`)
  }
  return {
    config,
    home: readSettings(cliSettings, process.env).LOGGERHEAD_NAMESPACE,
    api: new ApiClient(config),
    format,
    environment,
    print,
    note: (text) => process.stderr.write(`${text}\n`),
    show: (value, columns = []) => print(show(format, value, columns)),
  }
}

/** A whole number within bounds, for an option. Throws Failure. */
export function wholeNumber(option: string, least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    if (text.trim() === '' || !Number.isInteger(value) || value < least || value > most)
      throw new Failure(`${option}: “${text}” is not a whole number from ${least} to ${most}`)
    return value
  }
}
