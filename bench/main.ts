/**
 * `npm run bench`: brings up Loggerhead and other brokers on free ports, puts the same bounded loads on each in turn, and
 * prints medians of all rounds and ratios: as a table, as JSON and as charts in bench/results/.
 *
 *   npm run bench                          the quick scenarios against mosquitto and nats-server
 *   npm run bench:full                     all scenarios and peers, five rounds; goes on where an earlier call stopped
 *   npm run bench -- --only pairs-20,qos2 --peers mosquitto --rounds 1 --seconds 5
 */
import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { aedes } from './brokers/aedes.ts'
import type { Broker, BrokerKind } from './brokers/broker.ts'
import { hivemq } from './brokers/hivemq.ts'
import { type LoggerheadBroker, loggerhead } from './brokers/loggerhead.ts'
import { mochi } from './brokers/mochi.ts'
import { mosquitto } from './brokers/mosquitto.ts'
import { nats } from './brokers/nats.ts'
import { rabbitmq } from './brokers/rabbitmq.ts'
import { charts } from './charts.ts'
import { measureKafkaLimit } from './kafka-limit.ts'
import { type IdleMeasured, type Measured, measure, measureIdle, measureTlsHandshakes, type TlsHandshakes } from './measure.ts'
import { measurePush, pushText } from './push.ts'
import { measureReplay, replayText } from './replay.ts'
import { type Results, summarize, table } from './report.ts'
import { type Scenario, scenarios } from './scenarios.ts'

const quickPeers: readonly BrokerKind[] = [mosquitto, nats]
const peers: readonly BrokerKind[] = [...quickPeers, rabbitmq, aedes, hivemq, mochi]
const folder = join(import.meta.dirname, 'results')
const say = (text: string) => process.stderr.write(`${text}\n`)

/** Value and key of a 256-byte message on a topic of the load's, as it stands in `messages`. */
const recordBytes = 420

interface Plan {
  readonly scenarios: readonly Scenario[]
  readonly peers: readonly BrokerKind[]
  readonly withIdle: boolean
  readonly withPush: boolean
  readonly withReplay: boolean
  readonly rounds: number
  readonly seconds: number
  /** Goes on with what stands in an unfinished file. */
  readonly isResumable: boolean
}

function oneOf<T extends { readonly name: string }>(option: string, names: string, all: readonly T[]): readonly T[] {
  return names.split(',').map((name) => {
    const found = all.find((each) => each.name === name)
    if (!found) throw new Error(`--${option}: “${name}” is none of ${all.map((each) => each.name).join(', ')}`)
    return found
  })
}

function planOf(args: readonly string[]): Plan {
  const text = { type: 'string' } as const
  const { values } = parseArgs({
    args: [...args],
    options: { full: { type: 'boolean', default: false }, only: text, peers: text, rounds: text, seconds: text },
  })
  const whole = (name: 'rounds' | 'seconds', initial: number, most: number): number => {
    const value = Number(values[name] ?? initial)
    if (!(Number.isInteger(value) && value >= 1 && value <= most)) throw new Error(`--${name}: “${values[name]}” is not a whole number from 1 to ${most}`)
    return value
  }
  const idle = { name: 'idle' }
  const push = { name: 'push' }
  const replay = { name: 'replay' }
  const only = values.only === undefined ? undefined : oneOf('only', values.only, [...scenarios, idle, push, replay])
  const chosen = scenarios.filter((scenario) => (only ? only.includes(scenario) : values.full || scenario.isQuick))
  return {
    scenarios: chosen,
    withIdle: only === undefined || only.includes(idle),
    withPush: only === undefined || only.includes(push),
    withReplay: only === undefined || only.includes(replay),
    peers: values.peers === undefined ? (values.full ? peers : quickPeers) : values.peers === 'none' ? [] : oneOf('peers', values.peers, peers),
    rounds: whole('rounds', values.full ? 5 : 3, 20),
    seconds: whole('seconds', values.full ? 8 : 5, 60),
    isResumable: values.full,
  }
}

/** What was measured, a line each: a run that was stopped goes on behind its last line. */
class Journal {
  readonly #file: string
  readonly measured: Measured[] = []
  readonly idle: IdleMeasured[] = []

  constructor(isResumable: boolean, stamp: string) {
    mkdirSync(folder, { recursive: true })
    const unfinished = isResumable ? readdirSync(folder).find((name) => name.endsWith('.unfinished.jsonl')) : undefined
    this.#file = join(folder, unfinished ?? `${stamp}.unfinished.jsonl`)
    if (!existsSync(this.#file)) return
    for (const line of readFileSync(this.#file, 'utf8').split('\n')) {
      if (line === '') continue
      const entry = JSON.parse(line) as Measured | IdleMeasured
      if ('scenario' in entry) this.measured.push(entry)
      else this.idle.push(entry)
    }
    say(`going on with ${this.#file}: ${this.measured.length} loads are measured already`)
  }

  has(scenario: string, broker: string, round: number): boolean {
    return this.measured.some((each) => each.scenario === scenario && each.broker === broker && each.round === round)
  }

  add(entry: Measured | IdleMeasured): void {
    if ('scenario' in entry) this.measured.push(entry)
    else this.idle.push(entry)
    appendFileSync(this.#file, `${JSON.stringify(entry)}\n`)
  }

  finish(): void {
    // Of loads alone: the others are told once.
    if (existsSync(this.#file)) renameSync(this.#file, this.#file.replace('.unfinished', ''))
  }
}

/** Once, not counted: compilers of all kinds work in the first seconds under load, and nobody's fleet lives for seconds only. */
async function warmUp(plan: Plan, brokers: readonly Broker[]): Promise<void> {
  const [first] = plan.scenarios
  if (!first) return
  for (const broker of brokers) {
    if (first.without?.[broker.name] !== undefined) continue
    say(`warming up ${broker.name} …`)
    await measure(broker, first, 0, plan.seconds)
  }
}

async function loads(plan: Plan, brokers: readonly Broker[], journal: Journal): Promise<void> {
  for (let round = 1; round <= plan.rounds; round++) {
    for (const scenario of plan.scenarios) {
      for (const broker of brokers) {
        if (journal.has(scenario.name, broker.name, round) || scenario.without?.[broker.name] !== undefined) continue
        say(`round ${round}, ${broker.name}: ${scenario.about} …`)
        journal.add(await measure(broker, scenario, round, plan.seconds))
      }
    }
  }
}

async function main(args: readonly string[]): Promise<number> {
  const plan = planOf(args)
  const at = new Date().toISOString()
  const stamp = at.replaceAll(/[:.]/g, '-')
  const journal = new Journal(plan.isResumable, stamp)
  const missing: Record<string, string> = {}
  const brokers: Broker[] = []
  try {
    for (const kind of [loggerhead, ...plan.peers]) {
      const why = kind.missing()
      if (why !== null) {
        missing[kind.name] = why
        continue
      }
      say(`starting ${kind.name} …`)
      brokers.push(await kind.start())
    }
    const own = brokers[0] as LoggerheadBroker
    const isTelemetry = plan.scenarios.some(({ name }) => name === 'telemetry')
    const kafkaLimit = isTelemetry ? await measureKafkaLimit(own.stack.brokers, `${own.stack.prefix}.default.messages-limit`, recordBytes) : null
    await warmUp(plan, brokers)
    await loads(plan, brokers, journal)
    let tlsHandshakes: TlsHandshakes | null = null
    if (plan.withIdle) {
      for (const broker of brokers) {
        if (journal.idle.some((each) => each.broker === broker.name)) continue
        say(`${broker.name}: idle connections …`)
        journal.add(await measureIdle(broker, 10_000, 2_000))
      }
      const certificates = dirname(own.stack.certificates.ca)
      const server = { cert: join(certificates, 'server.pem'), key: join(certificates, 'server.key') }
      say('TLS handshakes …')
      tlsHandshakes = await measureTlsHandshakes(own.tls as NonNullable<Broker['tls']>, server, 2_000)
    }
    if (plan.withPush) say('webhooks …')
    const push = plan.withPush ? await measurePush(own.stack, plan.seconds) : null
    if (plan.withReplay) say('replays …')
    const replay = plan.withReplay ? await measureReplay(plan.rounds, plan.seconds) : null
    const [cpu] = cpus()
    const results: Results = {
      machine: { cpu: cpu?.model ?? 'unknown', cores: cpus().length, kernel: release(), node: process.version, at },
      brokers: brokers.map(({ name, version, durability }) => ({ name, version, durability })),
      missing,
      kafkaLimit,
      rows: summarize(journal.measured),
      idle: journal.idle,
      tlsHandshakes,
      push,
      replay,
    }
    journal.finish()
    return tell(results, plan, stamp)
  } finally {
    for (const broker of brokers.toReversed()) await broker.stop()
  }
}

/** Writes and prints the results; 1 when Loggerhead lost or reordered anything at QoS 1 or 2. */
function tell(results: Results, plan: Plan, stamp: string): number {
  writeFileSync(join(folder, `${stamp}.json`), `${JSON.stringify(results, null, 2)}\n`)
  for (const [name, text] of Object.entries(charts(results, plan.scenarios))) writeFileSync(join(folder, `${stamp}-${name}`), text)
  const { machine } = results
  process.stdout.write(
    `\n${machine.cpu}, ${machine.cores} cores, Node ${machine.node}\n${table(results, plan.scenarios)}\n${results.push ? `\n${pushText(results.push)}\n` : ''}${results.replay ? `\n${replayText(results.replay)}\n` : ''}\n${join(folder, `${stamp}.json`)}\n`,
  )
  const isQuality = (name: string): boolean => (scenarios.find((scenario) => scenario.name === name)?.load.qos ?? 1) !== 0
  const unclean = results.rows.filter((row) => row.broker === 'loggerhead' && isQuality(row.scenario) && (row.lost > 0 || row.disorder > 0))
  for (const { scenario, lost, disorder } of unclean) process.stdout.write(`${scenario}: ${lost} lost, ${disorder} out of order\n`)
  return unclean.length > 0 ? 1 : 0
}

try {
  process.exitCode = await main(process.argv.slice(2))
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exitCode = 1
}
