/** `npm start` with the real services, seen by someone who follows what it prints. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { identify, isRunning, type ProcessIdentity } from '../../../stack/process-identity.ts'
import { testWith } from '../../support/available.ts'
import { type Stack, startStack, until } from '../../support/stack.ts'

const project = join(import.meta.dirname, '../../..')

let stack: Stack
beforeAll(async () => {
  stack = await startStack({ kafka: 'own' })
  await until('the next steps are printed', 60_000, () => stack.output().includes('Ctrl-C stops everything'))
}, 180_000)
afterAll(async () => {
  await stack?.stop()
})

function printed(start: string): string[] {
  return stack
    .output()
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.startsWith(start))
}

/** Runs a line as a shell does, until it ends or is told to. */
function shell(line: string) {
  const child = spawn('sh', ['-c', `exec ${line}`], { cwd: project, stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  return { output: () => output, ended: once(child, 'close').then(([code]) => code as number | null), kill: () => child.kill() }
}

testWith('mosquitto_pub', 'mosquitto_sub')('the mosquitto lines work as they are printed, plain and with a client certificate', async () => {
  const subscribes = printed('mosquitto_sub')
  const publishes = printed('mosquitto_pub')
  expect([subscribes.length, publishes.length]).toEqual([2, 2])
  for (const [index, line] of subscribes.entries()) {
    const subscriber = shell(line)
    // It says nothing when it has subscribed: publish until it hears.
    await until(`“${line}” hears “${publishes[index]}”: ${subscriber.output()}`, 60_000, async () => {
      const publisher = shell(publishes[index] ?? '')
      const code = await publisher.ended
      if (code !== 0) throw new Error(`${publishes[index]} ended with ${code}: ${publisher.output()}`)
      return subscriber.output().includes('sample/topic1 hello')
    }).finally(() => subscriber.kill())
    await subscriber.ended
  }
})

testWith('curl')('the lines for HTTP work as they are printed, and without the key nothing is told', async () => {
  const [publish = '', line = ''] = printed('curl')
  expect(await shell(publish).ended).toBe(0)
  const asked = shell(line)
  expect(await asked.ended).toBe(0)
  expect(asked.output()).toContain('sample_client')
  expect((await fetch(`${stack.url}/namespaces/default/clients`)).status).toBe(401)
})

test('what an acknowledgement is worth is printed and said by /healthz', async () => {
  expect(stack.output()).toContain('single copy in the page cache')
  await stack.untilHealthy()
  expect((await stack.health()).body).toContain('single copy in the page cache')
})

test('after a stop it starts again, and everything is where it was', async () => {
  expect(
    (
      await stack.api('PUT', '/namespaces/default/clients/kept', {
        properties: {
          state: 'Enabled',
          authenticationName: 'kept',
          attributes: { floor: 3 },
          clientCertificateAuthentication: { validationScheme: 'SubjectMatchesAuthenticationName' },
        },
      })
    ).status,
  ).toBeLessThan(300)
  const before = stack.apiKey
  expect(await stack.stop({ keep: true })).toBe(0)
  const started = performance.now()
  stack = await startStack({ kafka: 'own', previous: stack })
  process.stderr.write(`second start of the whole stack healthy after ${((performance.now() - started) / 1000).toFixed(1)} s\n`)
  expect(stack.apiKey).toBe(before)
  expect((await stack.api('GET', '/namespaces/default/clients/kept')).status).toBe(200)
})

test('kill -9 of the supervisor takes every service and the JVM with it', async () => {
  const processes = Object.values(await stack.processes()).map(({ pid }) => identify(pid) as ProcessIdentity)
  process.kill(stack.pid, 'SIGKILL')
  await until('every process is gone', 60_000, () => !processes.some(isRunning))
})
