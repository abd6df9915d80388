/** The supervisor around a real Kafka, with services that keep nothing but its contract. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { identify, isRunning, type ProcessIdentity } from '../../../stack/process-identity.ts'
import { type Stack, startStack, until } from '../../support/stack.ts'

const project = join(import.meta.dirname, '../../..')
const standIns = { LOGGERHEAD_SERVICES: join(project, 'test/support/stand-ins') }
const shared = { environment: { ...standIns, GATEWAYS: '2' } }

async function identities(stack: Stack): Promise<readonly ProcessIdentity[]> {
  return Object.values(await stack.processes()).map(({ pid }) => identify(pid) as ProcessIdentity)
}

async function allGone(processes: readonly ProcessIdentity[]): Promise<void> {
  await until('every process is gone', 60_000, () => !processes.some(isRunning))
}

let stack: Stack
/** Looks for its Kafka for ten seconds, which the other tests need not wait for. */
let withoutKafka: Stack
beforeAll(async () => {
  stack = await startStack({ kafka: 'own', environment: { ...standIns, GATEWAYS: '2' } })
  withoutKafka = await startStack({ kafka: 'own', wait: 'started', environment: { ...standIns, KAFKA_BROKERS: '127.0.0.1:1' } })
}, 180_000)
afterAll(async () => {
  await withoutKafka?.stop()
  await stack?.stop()
})

test('every process is named in processes.json with its id and ports, and as ready', async () => {
  const processes = await stack.processes()
  expect(Object.keys(processes).sort()).toEqual(['door', 'gateway', 'gateway-2', 'kafka', 'registry', 'router'])
  expect(processes.gateway?.ports.mqtt).toBe(stack.ports.mqtt)
  expect(processes['gateway-2']?.ports.mqtt).toBe(stack.ports.mqtt + 10)
  expect(processes.kafka?.ports.kafka).toBe(stack.ports.kafka)
  for (const { pid, ready } of Object.values(processes)) {
    expect(identify(pid)).toBeDefined()
    expect(ready).toBe(true)
  }
})

test('what dies is started again, and processes.json follows', async () => {
  for (const name of ['router', 'gateway-2', 'door', 'registry']) {
    const pid = await stack.kill(name)
    const again = await stack.restarted(name, pid)
    expect(identify(again.pid)).toBeDefined()
  }
  await stack.untilHealthy()
})

test('Kafka is started again too', async () => {
  const started = performance.now()
  await stack.restarted('kafka', await stack.kill('kafka'))
  await until('kafka is back', 60_000, () => stack.output().includes('kafka is back'))
  process.stderr.write(`Kafka killed and back after ${((performance.now() - started) / 1000).toFixed(1)} s\n`)
})

test('a second start on the same folder names the holder, and a reset too', async () => {
  const second = await startStack({ previous: stack, wait: 'started', kafka: 'own', environment: standIns })
  expect(await second.ended()).toBe(1)
  expect(second.output()).toContain(`is in use by process ${stack.pid}`)
  const reset = spawn(process.execPath, ['stack/reset.ts'], {
    cwd: project,
    env: { ...process.env, LOGGERHEAD_DATA: stack.folder },
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let said = ''
  reset.stderr.on('data', (text) => (said += text))
  const [code] = await once(reset, 'close')
  expect(code).toBe(1)
  expect(said).toContain(`is in use by process ${stack.pid}`)
})

test('SIGTERM ends everything, with exit code 0, and it starts again', async () => {
  const processes = await identities(stack)
  expect(await stack.stop({ keep: true })).toBe(0)
  expect(processes.some(isRunning)).toBe(false)
  expect(await stack.processes()).toEqual({})
  const started = performance.now()
  stack = await startStack({ previous: stack, kafka: 'own', environment: { ...standIns, GATEWAYS: '2', STAND_IN: 'gateway=ignores SIGTERM' } })
  process.stderr.write(`second start healthy after ${((performance.now() - started) / 1000).toFixed(1)} s\n`)
})

test('kill -9 of the supervisor takes every process with it, the JVM and one that ignores SIGTERM included', async () => {
  const processes = await identities(stack)
  expect(processes.length).toBe(6)
  process.kill(stack.pid, 'SIGKILL')
  const started = performance.now()
  await allGone(processes)
  process.stderr.write(`all gone ${((performance.now() - started) / 1000).toFixed(1)} s after kill -9 of the supervisor\n`)
})

test('Ctrl-C in the terminal of npm start ends everything, with exit code 0, also where a supervisor was killed before', async () => {
  const { folder } = stack
  await stack.stop({ keep: true })
  const environment: NodeJS.ProcessEnv = { ...process.env, ...standIns, LOGGERHEAD_DATA: folder }
  for (const [name, port] of Object.entries(stack.ports)) Object.assign(environment, { [`${name.toUpperCase()}_PORT`]: String(port) })
  for (const how of ['Ctrl-C', 'SIGTERM to npm', 'kill -9 of npm'] as const) {
    // A Kafka of its own once: the tests before end one in every way.
    environment.KAFKA_BROKERS = how === 'Ctrl-C' ? '' : process.env.KAFKA_BROKERS
    // A process group of its own, as a terminal gives it: Ctrl-C is SIGINT to all of the group.
    const npm = spawn('npm', ['start'], { cwd: project, env: environment, detached: true, stdio: ['ignore', 'pipe', 'inherit'] })
    let output = ''
    npm.stdout.on('data', (text) => (output += text))
    await until('npm start is done', 60_000, () => output.includes('Ctrl-C stops everything'))
    const processes = await identities(stack)
    const exited = once(npm, 'exit')
    if (how === 'Ctrl-C') process.kill(-(npm.pid ?? 0), 'SIGINT')
    else npm.kill(how === 'SIGTERM to npm' ? 'SIGTERM' : 'SIGKILL')
    const [code] = await exited
    if (how !== 'kill -9 of npm') expect([how, code]).toEqual([how, 0])
    await allGone(processes)
    await until('the folder is released', 60_000, async () => (await readFile(join(folder, 'supervisor.json'), 'utf8').catch(() => undefined)) === undefined)
  }
}, 180_000)

test('a service that cannot start stops the start, with the sentence that says why', async () => {
  const failing = await startStack({ ...shared, wait: 'started', environment: { ...shared.environment, STAND_IN: 'door=fails' } })
  expect(await failing.ended()).toBe(1)
  expect(failing.output()).toContain('door ended with exit code 1: TLS_CERT: is no certificate')
  expect(await failing.processes()).toEqual({})
  await failing.stop()
})

test('a service whose memory is full ends, is named with its setting, and is started again', async () => {
  const small = await startStack({ ...shared, environment: { ...shared.environment, STAND_IN: 'router=grows', ROUTER_MEMORY: '128' } })
  const { pid, ports } = await small.process('router')
  await fetch(`http://127.0.0.1:${ports.internal}/`).then(
    (answer) => answer.text(),
    () => {}, // it ended before it answered
  )
  const again = await small.restarted('router', pid)
  expect(identify(again.pid)).toBeDefined()
  await until('the setting is named', 60_000, () => small.output().includes('its memory is full: ROUTER_MEMORY gives 128 MiB'))
  await small.stop()
})

test('a port in use is named', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  const failing = await startStack({ wait: 'started', environment: { ...standIns, WS_PORT: String(port) } })
  expect(await failing.ended()).toBe(1)
  expect(failing.output()).toContain(`WS_PORT: port ${port} is in use`)
  server.close()
  await failing.stop()
})

test('a wrong setting is named, a service’s too, before anything is started', async () => {
  for (const [variable, value] of [
    ['GATEWAYS', 'many'],
    ['CONNECTIONS_MAX', '-1'],
  ] as const) {
    const failing = await startStack({ wait: 'started', environment: { ...standIns, [variable]: value } })
    expect(await failing.ended()).toBe(1)
    expect(failing.output()).toContain(`${variable}: “${value}” is not a whole number`)
    await failing.stop()
  }
})

test('a Kafka that does not answer is named', async () => {
  expect(await withoutKafka.ended()).toBe(1)
  expect(withoutKafka.output()).toContain('KAFKA_BROKERS: no broker answers (127.0.0.1:1: ECONNREFUSED)')
})
