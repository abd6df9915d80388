import { parseArgs } from 'node:util'

/** One load: who publishes what to whom. Bounded in messages, clients and time, and to this machine. */
export interface LoadOptions {
  readonly port: number
  readonly transport: 'tcp' | 'tls' | 'ws'
  /** PEM files, with `--transport tls`. */
  readonly ca: string
  readonly cert: string
  readonly key: string
  readonly username: string
  readonly version: 4 | 5
  readonly publishers: number
  readonly subscribers: number
  /**
   * all: every subscriber gets everything; pairs: subscriber j gets what publisher j mod N sends; shared: the subscribers
   * share one subscription; each: every publisher sends to each subscriber in turn, on a topic of its own.
   */
  readonly mode: 'all' | 'pairs' | 'shared' | 'each'
  readonly qos: 0 | 1 | 2
  /** Subscribers' sessions outlive their connections. */
  readonly persistent: boolean
  /** Share of the subscribers, persistent ones, that leave before the first message and return, all at once, after the last. */
  readonly offline: number
  /** Subscriptions of others, held by connections of their own, that match nothing that is published. */
  readonly filters: number
  /** Share of those with a wildcard. */
  readonly wildcards: number
  /** Payload bytes. */
  readonly size: number
  /** Unacknowledged messages of each publisher at most. */
  readonly window: number
  /** Messages on each topic at most. */
  readonly messages: number
  /** Messages a second of each publisher; 0: as fast as the window lets it. */
  readonly rate: number
  /** Seconds in which it publishes at most. */
  readonly seconds: number
  /** Share of the time, from its beginning, that is left out of rates and latencies. */
  readonly warmup: number
  /** Seconds without a delivery after which what is missing counts as lost. */
  readonly drain: number
}

export const loadDefaults: LoadOptions = {
  port: 1883,
  transport: 'tcp',
  ca: '',
  cert: '',
  key: '',
  username: '',
  version: 5,
  publishers: 1,
  subscribers: 1,
  mode: 'pairs',
  qos: 1,
  persistent: false,
  offline: 0,
  filters: 0,
  wildcards: 0.5,
  size: 256,
  window: 20,
  messages: 100_000,
  rate: 0,
  seconds: 10,
  warmup: 0.15,
  drain: 5,
}

/** Smallest and largest that is allowed. */
const bounds: Readonly<Partial<Record<keyof LoadOptions, readonly [min: number, max: number]>>> = {
  port: [1, 65_535],
  version: [4, 5],
  publishers: [0, 2_000],
  subscribers: [0, 2_000],
  qos: [0, 2],
  offline: [0, 1],
  filters: [0, 1_000_000],
  wildcards: [0, 1],
  size: [24, 1 << 20],
  window: [1, 65_535],
  messages: [1, 5_000_000],
  rate: [0, 100_000],
  seconds: [1, 600],
  warmup: [0, 0.9],
  drain: [1, 120],
}
const choices: Readonly<Partial<Record<keyof LoadOptions, readonly string[]>>> = {
  mode: ['all', 'pairs', 'shared', 'each'],
  transport: ['tcp', 'tls', 'ws'],
}

function read(name: keyof LoadOptions, text: string): string | number | boolean {
  const allowed = choices[name]
  if (allowed) {
    if (!allowed.includes(text)) throw new Error(`--${name}: “${text}” is none of ${allowed.join(', ')}`)
    return text
  }
  if (typeof loadDefaults[name] === 'string') return text
  if (typeof loadDefaults[name] === 'boolean') {
    if (text !== 'true' && text !== 'false') throw new Error(`--${name}: “${text}” is neither true nor false`)
    return text === 'true'
  }
  const [min, max] = bounds[name] ?? [0, 0]
  const value = Number(text)
  if (text === '' || !(value >= min && value <= max)) throw new Error(`--${name}: “${text}” is not from ${min} to ${max}`)
  return value
}

/** `--publishers 50 --qos 1 …`. Throws with the name of what is wrong and what is allowed. */
export function parseLoadOptions(args: readonly string[]): LoadOptions {
  const names = Object.keys(loadDefaults) as (keyof LoadOptions)[]
  const { values } = parseArgs({ args: [...args], options: Object.fromEntries(names.map((name) => [name, { type: 'string' as const }])) })
  const given = Object.entries(values).map(([name, text]) => [name, read(name as keyof LoadOptions, text as string)] as const)
  const options: LoadOptions = { ...loadDefaults, ...Object.fromEntries(given) }
  if (options.offline > 0 && !options.persistent) throw new Error('--offline needs --persistent true')
  return options
}
