import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { publish, receive, subscribe } from '../support/cluster.ts'
import { type Stack, startStack } from '../support/stack.ts'
import * as mqtt from '../wire/bytes.ts'
import { Wire } from '../wire/wire.ts'
import type { Load, LoadOptions, Resumed } from './harness.ts'
import { routedOnce } from './routed-once.ts'
import { erasableAttribute, registerSealed } from './sealed-clients.ts'
import { isLong, patienceMs, random, strike, underLoad } from './under-load.ts'
import type { Verdict } from './verdict.ts'

/** A Kafka takes ten seconds to be back. */
const killsOf = (name: string) => (isLong ? 20 : name === 'kafka' ? 1 : 2)
const times = (count: number) => (count === 1 ? 'once' : `${count} times`)

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

/** Two loads at once, at QoS 1 and at QoS 2: each death is judged by both. `trouble` returns how long it took for each. */
async function atBothQos(
  stack: Stack,
  what: string,
  [options, others]: readonly [atLeastOnce: Partial<LoadOptions>, exactlyOnce: Partial<LoadOptions>],
  trouble: (load: Load, other: Load) => Promise<readonly [Resumed[], Resumed[]]>,
): Promise<readonly [atLeastOnce: Verdict, exactlyOnce: Verdict]> {
  let exactlyOnce: Verdict | undefined
  const atLeastOnce = await underLoad(stack, what, options, async (load) => {
    let rounds: readonly [Resumed[], Resumed[]] = [[], []]
    exactlyOnce = await underLoad(stack, `${what} (QoS 2)`, { ...others, qos: 2 }, async (other) => {
      rounds = await trouble(load, other)
      return rounds[1]
    })
    return rounds[0]
  })
  return [atLeastOnce, exactlyOnce as Verdict]
}

const deadlineMs = isLong ? 40 * 60_000 : 5 * 60_000

describe('one of each', () => {
  let stack: Stack

  beforeAll(async () => {
    stack = await startStack({
      kafka: 'own',
      environment: { PUSH_RETRY_DELAYS: '20ms,50ms', PUSH_RESTS: '10ms,10ms,10ms', ERASABLE_ATTRIBUTE: erasableAttribute },
    })
    await registerSealed(stack)
  }, 180_000)

  afterAll(async () => {
    await stack?.stop()
  })

  for (const name of ['gateway', 'router', 'kafka']) {
    test(
      `nothing acknowledged is lost or out of order, and at QoS 2 every session gets everything exactly once, sealed in the log, when the ${name} is killed ${times(killsOf(name))} under load`,
      async () => {
        const verdicts = await atBothQos(stack, `kill -9 ${name}`, [{}, { publishers: 3, isSealed: true }], async (load, other) => {
          const others: Resumed[] = []
          const alongside = async () => {
            other.mark()
            others.push(await other.resumed(patienceMs))
          }
          return [await repeat(killsOf(name), () => strike(stack, load, [name], alongside)), others]
        })
        for (const { problems } of verdicts) expect(problems).toEqual([])
      },
      deadlineMs,
    )
  }

  const routerKills = isLong ? 10 : 3
  test(
    `RT-04, PU-04, PU-05 what devices publish is once in the namespace topic of a route, and at least once at its webhooks, when the router is killed ${routerKills} times, each soon after it is healthy again`,
    async () => {
      const { problems, routed, arrived } = await routedOnce(stack, routerKills)
      expect(problems).toEqual([])
      process.stderr.write(`routed ${routed} messages, each once; ${arrived} arrived at two webhooks\n`)
    },
    deadlineMs,
  )

  for (const [signal, what] of [
    ['SIGSTOP', 'stopped'],
    ['SIGKILL', 'killed'],
  ] as const) {
    test(
      `SUBSCRIBE is answered while the kafka is ${what}, and the answer stays true when it is back`,
      async () => {
        const { ports } = await stack.process('gateway')
        const wire = await Wire.open({ host: '127.0.0.1', port: ports.mqtt as number }, 5)
        const root = `away/${what}`
        wire.send(mqtt.connect({ version: 5, clientId: root, clean: true, keepAlive: 0, properties: [[mqtt.Property.sessionExpiryInterval, 600]] }))
        await wire.expect('connack')
        await subscribe(wire, `${root}/held`)
        const pid = await stack.kill('kafka', signal)
        // The first is on its way to Kafka; when the second is answered the registry has not been confirmed for long.
        wire.send(mqtt.subscribe(5, 11, [[`${root}/first`, 1]]))
        const first = await wire.find('suback')
        wire.send(
          mqtt.subscribe(5, 12, [
            [`${root}/second`, 1],
            [`${root}/held`, 1],
          ]),
        )
        const second = await wire.find('suback')
        if (signal === 'SIGSTOP') {
          process.kill(pid, 'SIGCONT')
          expect([first.codes, second.codes]).toEqual([[0x83], [0x83, 0x83]])
        } else await stack.restarted('kafka', pid, patienceMs)
        await stack.untilHealthy(patienceMs)
        const said = [...first.codes, ...second.codes.slice(0, 1)].map((code) => code < 0x80)
        for (const name of ['first', 'second', 'held']) await publish(wire, `${root}/${name}`, name)
        const expected = [...['first', 'second'].filter((_, i) => said[i]), 'held']
        expect((await receive(wire, expected.length)).sort()).toEqual(expected.sort())
        // And what was refused may be asked for again.
        await subscribe(wire, `${root}/first`)
        await publish(wire, `${root}/first`, 'granted')
        expect(await receive(wire, 1)).toEqual(['granted'])
        wire.destroy()
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
  const environment = { GATEWAYS: '2', ROUTERS: '2', ERASABLE_ATTRIBUTE: erasableAttribute }

  beforeAll(async () => {
    stack = await startStack({ kafka: 'own', environment })
    await registerSealed(stack)
  }, 180_000)

  afterAll(async () => {
    await stack?.stop()
  })

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
      const verdicts = await atBothQos(stack, 'rolling restart', [each, { ...each, version: 4 }], async (load, other) => {
        for (let i = 0; i < (isLong ? 5 : 1) * names.length; i++)
          rounds.push(await restart(stack, i % 3 === 0 ? other : load, names[i % names.length] as string))
        return [rounds, rounds]
      })
      for (const { problems, repeatsInLog } of verdicts) {
        expect(problems).toEqual([])
        // Whatever was read was answered before the good-bye: nobody published again what is in the log.
        expect(repeatsInLog).toBe(0)
      }
    },
    deadlineMs,
  )

  for (const version of [4, 5] as const) {
    test(
      `at QoS 2 every session gets everything exactly once when gateway and router are killed together, then one by one, MQTT ${version === 4 ? '3.1.1' : '5, sealed in the log'}`,
      async () => {
        const strikes = [['gateway', 'router'], ['gateway-2'], ['router-2'], ['gateway'], ['router']]
        const verdict = await underLoad(
          stack,
          'kill -9 gateway and router (QoS 2)',
          { qos: 2, version, flapping: 2, isSealed: version === 5 },
          async (load) => {
            const rounds: Resumed[] = []
            for (let i = 0; i < (isLong ? 4 : 1) * strikes.length; i++) rounds.push(await strike(stack, load, strikes[i % strikes.length] as string[]))
            return rounds
          },
        )
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
        stack = await startStack({ kafka: 'own', previous: stack, environment })
        return [await load.resumed(patienceMs)]
      })
      expect(verdict.problems).toEqual([])
    },
    deadlineMs,
  )
})
