import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type Stack, startStack } from '../support/stack.ts'
import { readRecords } from '../wire/kafka-log.ts'
import { seededRandom } from '../wire/random.ts'
import { Load, type LoadOptions, type Resumed } from './harness.ts'
import { readPayload } from './publisher.ts'
import type { Verdict } from './verdict.ts'

const isLong = process.env.LOGGERHEAD_TEST_LONG === '1'
const kills = isLong ? 20 : 3
const seed = Number(process.env.LOGGERHEAD_SEED ?? Date.now() % 1_000_000)
const random = seededRandom(seed)
/** What is wanted on our own Kafka, s. Printed beside what was measured. */
const targets: Readonly<Record<string, number>> = { 'kill -9 gateway': 3, 'kill -9 router': 5, 'kill -9 kafka': 15 }
/** Nobody waits longer than this for anything to go on. */
const patienceMs = 90_000

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

/** The sequence numbers and message ids of a load as the log holds them. */
async function inLog(stack: Stack, prefix: string): Promise<{ readonly log: Map<string, number[]>; readonly ids: Map<string, string[]> }> {
  const log = new Map<string, number[]>()
  const ids = new Map<string, string[]>()
  for (const { value } of await readRecords(stack.brokers, `${stack.prefix}.default.messages`, 'Message')) {
    if (!value.topic.startsWith(`${prefix}/`)) continue
    const add = <T>(lists: Map<string, T[]>, item: T) => void (lists.get(value.topic)?.push(item) ?? lists.set(value.topic, [item]))
    add(log, readPayload(value.payload).sequence)
    add(ids, value.messageId.toString('hex'))
  }
  return { log, ids }
}

async function endpointsOf(stack: Stack): Promise<{ host: string; port: number }[]> {
  const processes = await stack.processes()
  return Object.entries(processes).flatMap(([name, { ports }]) =>
    /^gateway/.test(name) && ports.mqtt !== undefined ? [{ host: '127.0.0.1', port: ports.mqtt }] : [],
  )
}

/** What the services said last, for a failure that cannot be had again. */
function lastWords(stack: Stack): string {
  const tail = (name: string) => {
    try {
      return readFileSync(join(stack.folder, 'logs', `${name}.log`), 'utf8')
        .trim()
        .split('\n')
        .slice(-25)
        .join('\n')
    } catch {
      return 'no log'
    }
  }
  return ['router', 'router-2', 'gateway', 'gateway-2'].map((name) => `--- ${name}\n${tail(name)}`).join('\n')
}

/** Puts a load on the stack, lets `trouble` happen in it, and judges. */
async function underLoad(stack: Stack, what: string, options: Partial<LoadOptions>, trouble: (load: Load) => Promise<Resumed[]>): Promise<Verdict> {
  const load = await Load.start({ endpoints: await endpointsOf(stack), seed, ...options })
  try {
    await load.after(100)
    const rounds = await trouble(load)
    await load.after(100, patienceMs)
    await load.finish(30_000)
    const { log, ids } = await inLog(stack, load.prefix)
    const verdict = load.verdict(log, ids)
    report(what, rounds, verdict)
    if (verdict.problems.length > 0) process.stderr.write(`${lastWords(stack)}\n`)
    return verdict
  } catch (error) {
    process.stderr.write(`${lastWords(stack)}\n`)
    throw error
  } finally {
    await load.end()
  }
}

/** Kills the named processes at a random moment, together, and waits until everything goes on. */
async function strike(stack: Stack, load: Load, names: readonly string[]): Promise<Resumed> {
  await load.after(20 + Math.floor(random() * 200), patienceMs)
  const killed = await Promise.all(names.map(async (name) => [name, (await stack.process(name)).pid] as const))
  load.mark()
  for (const [, pid] of killed) process.kill(pid, 'SIGKILL')
  const resumed = await load.resumed(patienceMs)
  await Promise.all(killed.map(([name, pid]) => stack.restarted(name, pid, patienceMs)))
  return resumed
}

/** SIGTERM: the process says good-bye and is started again; waits until everything goes on and it is back. */
async function restart(stack: Stack, load: Load, name: string): Promise<Resumed> {
  await load.after(20 + Math.floor(random() * 200), patienceMs)
  load.mark()
  const pid = await stack.kill(name, 'SIGTERM')
  const resumed = await load.resumed(patienceMs)
  await stack.restarted(name, pid, patienceMs)
  await stack.untilHealthy(patienceMs)
  return resumed
}

async function repeat(times: number, one: () => Promise<Resumed>): Promise<Resumed[]> {
  const rounds: Resumed[] = []
  while (rounds.length < times) rounds.push(await one())
  return rounds
}

const deadlineMs = isLong ? 40 * 60_000 : 5 * 60_000

describe('one of each', () => {
  let stack: Stack

  beforeAll(async () => {
    stack = await startStack({ kafka: 'own' })
  }, 180_000)

  afterAll(async () => {
    await stack?.stop()
  }, 60_000)

  for (const name of ['gateway', 'router', 'kafka']) {
    test(
      `nothing acknowledged is lost or out of order when the ${name} is killed ${kills} times under load`,
      async () => {
        const verdict = await underLoad(stack, `kill -9 ${name}`, {}, (load) => repeat(kills, () => strike(stack, load, [name])))
        expect(verdict.problems).toEqual([])
      },
      deadlineMs,
    )
  }

  for (const name of ['gateway', 'router', 'kafka']) {
    test(
      `at QoS 2 every session gets everything exactly once when the ${name} is killed ${kills} times under load`,
      async () => {
        const verdict = await underLoad(stack, `kill -9 ${name} (QoS 2)`, { qos: 2 }, (load) => repeat(kills, () => strike(stack, load, [name])))
        expect(verdict.problems).toEqual([])
      },
      deadlineMs,
    )
  }

  test(
    'nothing acknowledged is lost or out of order when everything is killed at once',
    async () => {
      const all = ['kafka', 'registry', 'router', 'gateway', 'door']
      const verdict = await underLoad(stack, 'kill -9 everything', { version: 4 }, (load) => repeat(isLong ? 3 : 1, () => strike(stack, load, all)))
      expect(verdict.problems).toEqual([])
    },
    deadlineMs,
  )
})

describe('two gateways and two routers', () => {
  let stack: Stack

  beforeAll(async () => {
    stack = await startStack({ kafka: 'own', environment: { GATEWAYS: '2', ROUTERS: '2' } })
  }, 180_000)

  afterAll(async () => {
    await stack?.stop()
  }, 60_000)

  test(
    'nothing acknowledged is lost or out of order when one of two gateways, then one of two routers is killed',
    async () => {
      const names = ['gateway', 'router', 'gateway-2', 'router-2']
      const verdict = await underLoad(stack, 'kill -9 one of two', {}, async (load) => {
        const rounds: Resumed[] = []
        for (let i = 0; i < (isLong ? 5 : 1) * names.length; i++) rounds.push(await strike(stack, load, [names[i % names.length] as string]))
        return rounds
      })
      expect(verdict.problems).toEqual([])
    },
    deadlineMs,
  )

  test(
    'a rolling restart of two gateways and two routers loses nothing, repeats nothing in the log, and is seen by nobody but as a reconnect',
    async () => {
      const names = ['gateway', 'router', 'gateway-2', 'router-2']
      const each = { publishers: 3, rate: 30, transient: 2 }
      const rounds: Resumed[] = []
      let exactlyOnce: Verdict | undefined
      const atLeastOnce = await underLoad(stack, 'rolling restart (QoS 1)', each, async (load) => {
        exactlyOnce = await underLoad(stack, 'rolling restart (QoS 2)', { ...each, qos: 2, version: 4 }, async (other) => {
          for (let i = 0; i < (isLong ? 5 : 1) * names.length; i++)
            rounds.push(await restart(stack, i % 3 === 0 ? other : load, names[i % names.length] as string))
          return rounds
        })
        return rounds
      })
      for (const verdict of [atLeastOnce, exactlyOnce]) {
        expect(verdict?.problems).toEqual([])
        // Whatever was read was answered before the good-bye: nobody published again what is in the log.
        expect(verdict?.repeatsInLog).toBe(0)
      }
    },
    deadlineMs,
  )

  for (const version of [4, 5] as const) {
    test(
      `at QoS 2 every session gets everything exactly once when gateway and router are killed together, then one by one, MQTT ${version === 4 ? '3.1.1' : '5'}`,
      async () => {
        const strikes = [['gateway', 'router'], ['gateway-2'], ['router-2'], ['gateway'], ['router']]
        const verdict = await underLoad(stack, 'kill -9 gateway and router (QoS 2)', { qos: 2, version, flapping: 2 }, async (load) => {
          const rounds: Resumed[] = []
          for (let i = 0; i < (isLong ? 4 : 1) * strikes.length; i++) rounds.push(await strike(stack, load, strikes[i % strikes.length] as string[]))
          return rounds
        })
        expect(verdict.problems).toEqual([])
      },
      deadlineMs,
    )
  }

  test(
    'nothing acknowledged is lost or out of order when the whole stack is stopped in good order and started again',
    async () => {
      const verdict = await underLoad(stack, 'stop and start', {}, async (load) => {
        await load.after(100)
        load.mark()
        expect(await stack.stop({ keep: true })).toBe(0)
        stack = await startStack({ kafka: 'own', previous: stack, environment: { GATEWAYS: '2', ROUTERS: '2' } })
        return [await load.resumed(patienceMs)]
      })
      expect(verdict.problems).toEqual([])
    },
    deadlineMs,
  )
})
