/** A verifying load on a whole stack while something happens to it, and what came of it. */
import type { Stack } from '../support/stack.ts'
import { readRecords } from '../wire/kafka-log.ts'
import { seededRandom } from '../wire/random.ts'
import { Load, type LoadOptions, type Resumed } from './harness.ts'
import { readPayload } from './publisher.ts'
import { opener } from './sealed-clients.ts'
import type { Verdict } from './verdict.ts'

export const isLong = process.env.LOGGERHEAD_TEST_LONG === '1'
const seed = Number(process.env.LOGGERHEAD_SEED ?? Date.now() % 1_000_000)
export const random = seededRandom(seed)
/** What is wanted on our own Kafka, s. Printed beside what was measured. */
const targets: Readonly<Record<string, number>> = { 'kill -9 gateway': 3, 'kill -9 router': 5, 'kill -9 kafka': 15 }
/** Nobody waits longer than this for anything to go on. */
export const patienceMs = 90_000

const seconds = (ms: number) => `${(ms / 1_000).toFixed(2)} s`

function report(what: string, rounds: readonly Resumed[], verdict: Verdict): void {
  const worst = (pick: (each: Resumed) => number) => seconds(Math.max(...rounds.map(pick)))
  const median = (pick: (each: Resumed) => number) => seconds(rounds.map(pick).sort((a, b) => a - b)[rounds.length >> 1] ?? 0)
  const target = targets[what]
  process.stderr.write(
    `${[
      `${what}, ${rounds.length} times, seed ${seed}${target === undefined ? '' : `, target ${target} s`}`,
      ...(rounds.length === 0
        ? []
        : [
            `publishing goes on after ${median((r) => r.publishing[0])}, for everybody after ${median((r) => r.publishing[1])} (worst ${worst((r) => r.publishing[1])})`,
            `delivery goes on after ${median((r) => r.delivery[0])}, everywhere after ${median((r) => r.delivery[1])} (worst ${worst((r) => r.delivery[1])})`,
          ]),
      `${verdict.acknowledged} acknowledged, ${verdict.delivered} delivered`,
      `${verdict.repeatsInLog} repeated in the log, ${verdict.repeatsWithDup} delivered again with DUP, ${verdict.repeatsFromResends} delivered again because published again`,
    ].join('\n  ')}\n`,
  )
}

/** The sequence numbers and message ids of a load as the log holds them, and how many of them stand there sealed or, the others, in the clear. */
async function inLog(
  stack: Stack,
  prefix: string,
): Promise<{ readonly log: Map<string, number[]>; readonly ids: Map<string, string[]>; readonly sealed: number; readonly clear: number }> {
  const log = new Map<string, number[]>()
  const ids = new Map<string, string[]>()
  const opened = await opener(stack)
  let [sealed, clear] = [0, 0]
  for (const { value } of await readRecords(stack.brokers, `${stack.prefix}.default.messages`, 'Message')) {
    if (!value.topic.startsWith(`${prefix}/`)) continue
    const add = <T>(lists: Map<string, T[]>, item: T) => void (lists.get(value.topic)?.push(item) ?? lists.set(value.topic, [item]))
    const payload = opened(value.payload, value.topic)
    if (payload) sealed++
    else clear++
    add(log, readPayload(payload ?? value.payload).sequence)
    add(ids, value.messageId.toString('hex'))
  }
  return { log, ids, sealed, clear }
}

async function endpointsOf(stack: Stack): Promise<{ host: string; port: number }[]> {
  const processes = await stack.processes()
  return Object.entries(processes).flatMap(([name, { ports }]) =>
    /^gateway/.test(name) && ports.mqtt !== undefined ? [{ host: '127.0.0.1', port: ports.mqtt }] : [],
  )
}

/** Kills the named processes at a random moment, together, and does something else in it, and waits until everything goes on. */
export async function strike(stack: Stack, load: Load, names: readonly string[], alongside: () => Promise<void> = async () => {}): Promise<Resumed> {
  await load.after(20 + Math.floor(random() * 200), patienceMs)
  const killed = await Promise.all(names.map(async (name) => [name, (await stack.process(name)).pid] as const))
  load.mark()
  for (const [, pid] of killed) process.kill(pid, 'SIGKILL')
  await alongside()
  const resumed = await load.resumed(patienceMs)
  await Promise.all(killed.map(([name, pid]) => stack.restarted(name, pid, patienceMs)))
  return resumed
}

/** Puts a load on the stack, lets `trouble` happen in it, and judges. */
export async function underLoad(stack: Stack, what: string, options: Partial<LoadOptions>, trouble: (load: Load) => Promise<Resumed[]>): Promise<Verdict> {
  const load = await Load.start({ endpoints: await endpointsOf(stack), seed, ...options })
  try {
    await load.after(100)
    const rounds = await trouble(load)
    await load.after(100, patienceMs)
    await load.finish(60_000)
    const { log, ids, sealed, clear } = await inLog(stack, load.prefix)
    const wrong = options.isSealed ? clear : sealed
    const { problems, ...found } = load.verdict(log, ids)
    const sealing = wrong > 0 ? [`${wrong} messages stand in the log ${options.isSealed ? 'in the clear' : 'sealed'}`] : []
    const verdict = { ...found, problems: [...problems, ...sealing] }
    report(what, rounds, verdict)
    return verdict
  } finally {
    await load.end()
  }
}
