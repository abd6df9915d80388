import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { Load } from '../kill/harness.ts'
import { patienceMs } from '../kill/under-load.ts'
import { type Stack, startStack, until } from '../support/stack.ts'
import * as mqtt from '../wire/bytes.ts'
import { Wire } from '../wire/wire.ts'

/** Of one client, with 64 KiB each. */
const greedyPublishes = 960

let stack: Stack

beforeAll(async () => {
  const environment = {
    // Less than what the publishers below want to send, so that the bound is reached and seen.
    KAFKA_BYTES_WAITING_MAX: String(2 * 1024 * 1024),
    // Nobody is closed for how long Kafka is away, nor for routers that give their shards up meanwhile.
    KAFKA_AWAY_CLOSE: '600000',
    SHARD_SILENCE: '300000',
    GATEWAY_LOST: '600000',
    REGISTRY_LOST: '300000',
    DRAIN_PERIOD: '1000',
    SHUTDOWN_TIMEOUT: '1000',
  }
  stack = await startStack({ kafka: 'own', environment })
}, 180_000)

afterAll(async () => {
  await stack?.stop()
})

const endpoint = () => ({ host: '127.0.0.1', port: stack.ports.mqtt })

/** CONNECT as a new client: the code of its CONNACK, or undefined when there was none in time. */
async function connackCode(): Promise<number | undefined> {
  const wire = await Wire.open(endpoint(), 5)
  wire.send(mqtt.connect({ version: 5, clientId: '' }))
  const connack = await wire.expect('connack').catch(() => undefined)
  wire.destroy()
  return connack?.code
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe('while Kafka does not answer', () => {
  test('publishers feel backpressure, one that does not wait is not read, new clients get 0x88, /healthz names Kafka, and everything resumes by itself', async () => {
    const load = await Load.start({ endpoints: [endpoint()], publishers: 4, topicsEach: 2, online: 1, offline: 1, flapping: 0, rate: 20 })
    const { pid: kafka } = await stack.process('kafka')
    const { pid: gateway } = await stack.process('gateway')
    let isStopped = false
    try {
      await load.after(100)
      const greedy = await Wire.open(endpoint(), 5)
      greedy.send(mqtt.connect({ version: 5, clientId: 'greedy', keepAlive: 600 }))
      await greedy.expect('connack')
      await stack.kill('kafka', 'SIGSTOP')
      isStopped = true
      const since = performance.now()
      load.mark()

      // 60 MiB, within its Receive Maximum. Besides what the gateway may hold the two kernels take some, 36 MiB where their buffers are large.
      const payload = Buffer.alloc(64 * 1024, 103)
      for (let id = 1; id <= greedyPublishes; id++) greedy.send(mqtt.publish({ version: 5, topic: 'away/greedy', payload, qos: 1, id }))

      await until('CONNECT is answered with 0x88', 60_000, async () => (await connackCode()) === 0x88)
      const refusedAfter = performance.now() - since
      await until('503, and Kafka is named', 60_000, async () => {
        const now = await stack.health().catch(() => undefined)
        return now?.status === 503 && (JSON.parse(now.body) as { hop: string }).hop === 'kafka'
      })
      expect((await stack.process('gateway')).pid).toBe(gateway)
      expect(greedy.unsent).toBeGreaterThan(0)

      process.kill(kafka, 'SIGCONT')
      isStopped = false
      const went = performance.now()
      await until('CONNECT is accepted', 60_000, async () => (await connackCode()) === 0)
      const acceptedAfter = performance.now() - went
      load.mark()
      await greedy.count(greedyPublishes, 120_000)
      expect(greedy.pending.every(({ type }) => type === 'puback')).toBe(true)
      greedy.destroy()
      await load.resumed(60_000)
      await stack.untilHealthy(60_000)
      await load.finish(60_000)
      process.stderr.write(
        `Kafka stopped: 0x88 after ${(refusedAfter / 1_000).toFixed(1)} s, accepted again ${(acceptedAfter / 1_000).toFixed(1)} s after its return\n`,
      )
      expect(load.verdict(null).problems).toEqual([])
    } finally {
      if (isStopped) process.kill(kafka, 'SIGCONT')
      await load.end()
    }
  }, 300_000)

  test('gateway and router end at SIGTERM, say what they could not write, and nothing that was acknowledged is lost', async () => {
    const load = await Load.start({ endpoints: [endpoint()], publishers: 4, topicsEach: 2, online: 1, offline: 1, flapping: 0, rate: 20 })
    const { pid: kafka } = await stack.process('kafka')
    let isStopped = false
    try {
      await load.after(100)
      process.kill(kafka, 'SIGSTOP')
      isStopped = true
      load.mark()
      // Before that it tries to write its snapshots.
      const { ports } = await stack.process('router')
      await until('the router misses Kafka', 60_000, async () => {
        const answer = await fetch(`http://127.0.0.1:${ports.internal}/status`)
        return !((await answer.json()) as { readonly ok: boolean }).ok
      })
      for (const [name, said] of [
        ['router', 'neither snapshots nor the last progress are written'],
        ['gateway', 'the log did not take the last records'],
      ] as const) {
        const pid = await stack.kill(name, 'SIGTERM')
        await until(`the ${name} is gone`, 60_000, () => !isRunning(pid))
        // The log file is written by the supervisor, a little later.
        await until(`the ${name} says so`, 60_000, async () => (await readFile(join(stack.folder, 'logs', `${name}.log`), 'utf8')).includes(said))
      }
      process.kill(kafka, 'SIGCONT')
      isStopped = false
      await load.resumed(patienceMs)
      await stack.untilHealthy(patienceMs)
      await load.finish(patienceMs)
      expect(load.verdict(null).problems).toEqual([])
    } finally {
      if (isStopped) process.kill(kafka, 'SIGCONT')
      await load.end()
    }
  }, 300_000)
})
