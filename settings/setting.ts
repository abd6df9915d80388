/**
 * Settings come from the environment. Each process declares its own in a `config.ts` as a table of these; the parser
 * names the bad variable and what is allowed, and README's settings table and docs/limits.md are generated from them.
 */

interface Described {
  /** One sentence for the settings table. */
  readonly about: string
  /** Unit as shown to people: ms, bytes, messages, … */
  readonly unit?: string
  /** Set for limits: what happens when it is reached, and the metric that counts it. Both appear in docs/limits.md. */
  readonly outcome?: string
  readonly metric?: string
}

export interface NumberSetting extends Described {
  readonly kind: 'number'
  readonly default: number
  readonly min: number
  readonly max: number
}

export interface TextSetting extends Described {
  readonly kind: 'text'
  readonly default: string
  /** What is allowed, when not any text. */
  readonly oneOf?: readonly string[]
}

export interface FlagSetting extends Described {
  readonly kind: 'flag'
  readonly default: boolean
}

export type Setting = NumberSetting | TextSetting | FlagSetting
export type Settings = Readonly<Record<string, Setting>>

export type Values<S extends Settings> = {
  readonly [N in keyof S]: S[N] extends NumberSetting ? number : S[N] extends FlagSetting ? boolean : string
}

/** A setting is wrong: the message names the variable, its value and what is allowed. */
export class SettingError extends Error {
  readonly variable: string
  constructor(variable: string, message: string) {
    super(`${variable}: ${message}`)
    this.name = 'SettingError'
    this.variable = variable
  }
}

const flags: Readonly<Record<string, boolean>> = { true: true, '1': true, on: true, yes: true, false: false, '0': false, off: false, no: false }

function parse(variable: string, setting: Setting, text: string): string | number | boolean {
  switch (setting.kind) {
    case 'number': {
      const value = Number(text)
      if (text.trim() === '' || !Number.isInteger(value) || value < setting.min || value > setting.max) {
        throw new SettingError(variable, `“${text}” is not a whole number from ${setting.min} to ${setting.max}${setting.unit ? ` (${setting.unit})` : ''}`)
      }
      return value
    }
    case 'flag': {
      const value = flags[text.toLowerCase()]
      if (value === undefined) throw new SettingError(variable, `“${text}” is neither true nor false`)
      return value
    }
    case 'text':
      if (setting.oneOf && !setting.oneOf.includes(text)) throw new SettingError(variable, `“${text}” is not one of ${setting.oneOf.join(', ')}`)
      return text
  }
}

/** Reads the declared settings; an unset or empty variable takes its default. Throws SettingError. */
export function readSettings<S extends Settings>(settings: S, environment: Readonly<Record<string, string | undefined>>): Values<S> {
  const values: Record<string, string | number | boolean> = {}
  for (const [variable, setting] of Object.entries(settings)) {
    const text = environment[variable]
    values[variable] = text === undefined || text === '' ? setting.default : parse(variable, setting, text)
  }
  return values as Values<S>
}

/** The texts of a setting that lists several, separated by commas. */
export function listed(text: string): readonly string[] {
  return text
    .split(',')
    .map((each) => each.trim())
    .filter((each) => each !== '')
}
