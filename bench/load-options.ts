import { parseArgs } from 'node:util'

/** One load: who publishes what to whom. Bounded in messages, clients and time, and to this machine. */
export interface LoadOptions {
  readonly port: number
  readonly version: 4 | 5
  readonly publishers: number
  readonly subscribers: number
  /** all: every subscriber gets everything; pairs: subscriber j gets what publisher j mod N sends. */
  readonly mode: 'all' | 'pairs'
  readonly qos: 0 | 1
  /** Payload bytes. */
  readonly size: number
  /** Unacknowledged QoS 1 messages of each publisher at most. */
  readonly window: number
  /** Messages of each publisher at most. */
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

const defaults: LoadOptions = {
  port: 1883,
  version: 5,
  publishers: 1,
  subscribers: 1,
  mode: 'pairs',
  qos: 1,
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
  qos: [0, 1],
  size: [24, 1 << 20],
  window: [1, 65_535],
  messages: [1, 5_000_000],
  rate: [0, 100_000],
  seconds: [1, 600],
  warmup: [0, 0.9],
  drain: [1, 120],
}

/** `--publishers 50 --qos 1 …`. Throws with the name of what is wrong and what is allowed. */
export function parseLoadOptions(args: readonly string[]): LoadOptions {
  const names = Object.keys(defaults) as (keyof LoadOptions)[]
  const { values } = parseArgs({ args: [...args], options: Object.fromEntries(names.map((name) => [name, { type: 'string' as const }])) })
  const given: Record<string, number | string> = {}
  for (const [name, text] of Object.entries(values)) {
    if (name === 'mode') {
      if (text !== 'all' && text !== 'pairs') throw new Error(`--mode: “${text}” is neither all nor pairs`)
      given[name] = text
      continue
    }
    const [min, max] = bounds[name as keyof LoadOptions] ?? [0, 0]
    const value = Number(text)
    if (text === '' || !(value >= min && value <= max)) throw new Error(`--${name}: “${text}” is not from ${min} to ${max}`)
    given[name] = value
  }
  return { ...defaults, ...given } as LoadOptions
}
