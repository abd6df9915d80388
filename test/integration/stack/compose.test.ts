/**
 * docker-compose.yml's cluster with everything but the containers: each service runs with exactly the environment that the
 * file gives it, at a loopback address of its own instead of a host name.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { connectAsync, type MqttClient } from 'mqtt'
import { Guard } from '../../../stack/guard.ts'
import { fetchArtifacts } from '../../../stack/kafka/artifacts.ts'
import { prepareNode } from '../../../stack/kafka/node.ts'
import { machineProbes } from '../../../stack/kafka/probes.ts'
import { type ProcessSpec, SupervisedProcess } from '../../../stack/supervised-process.ts'
import { type ComposeService, loadCompose, readVariables } from '../../support/compose.ts'
import { until } from '../../support/stack.ts'

const project = join(import.meta.dirname, '../../..')
const compose = loadCompose(readVariables('cluster.env'))
const names = Object.keys(compose.services)
const java = await machineProbes(project).java()
// Only Linux has all of 127/8 without asking; the brokers are the artifacts'.
const missing = process.platform !== 'linux' ? 'loopback addresses of Linux' : typeof java === 'string' ? java : undefined

const addressOf = (name: string) => `127.0.30.${names.indexOf(name) + 1}`
const work = mkdtempSync(join(tmpdir(), 'loggerhead-compose-'))
const data = join(work, 'data')

/** A value of the file with host names and container paths replaced by what stands for them here. */
function here(name: string, value: string): string {
  return names
    .reduce((text, other) => text.replaceAll(new RegExp(`(?<![\\w.=/-]|//)${other}(?=:\\d)|(?<=[@/=,])${other}(?=:\\d)`, 'g'), addressOf(other)), value)
    .replaceAll('/loggerhead/data', data)
    .replaceAll('/var/lib/kafka/data', join(work, name, 'log'))
    .replaceAll('0.0.0.0', addressOf(name))
    .replaceAll('localhost:', `${addressOf(name)}:`)
    .replaceAll('://:', `://${addressOf(name)}:`)
}

function environmentOf(name: string, service: ComposeService): Record<string, string> {
  return Object.fromEntries(Object.entries(service.environment ?? {}).map(([variable, value]) => [variable, here(name, String(value))]))
}

const guard = new Guard()
const running = new Map<string, SupervisedProcess>()

async function launch(spec: ProcessSpec): Promise<void> {
  const one = new SupervisedProcess({ spec, logPath: join(work, `${spec.name}.log`), guard, onChange: () => {}, say: () => {} })
  running.set(spec.name, one)
  await one.start()
}

async function launchKafka(name: string, service: ComposeService): Promise<void> {
  const { CLUSTER_ID: clusterId = '', KAFKA_HEAP_OPTS: _heap, ...variables } = environmentOf(name, service)
  const more = Object.fromEntries(
    Object.entries(variables).map(([variable, value]) => [
      variable
        .replace(/^KAFKA_/, '')
        .toLowerCase()
        .replaceAll('_', '.'),
      value,
    ]),
  )
  await fetchArtifacts({ project, say: () => {} })
  const spec = await prepareNode({
    ...{ project, java: (java as { java: string }).java, folder: join(work, name), host: addressOf(name), port: 19_092, controllerPort: 9093 },
    ...{ flushEveryAppend: false, clusterId, more },
  })
  await launch({ ...spec, name })
}

async function launchService(name: string, service: ComposeService): Promise<void> {
  await launch({
    name,
    command: process.execPath,
    args: (service.command ?? []).slice(1).map((word) => (names.includes(word) ? addressOf(word) : word)),
    environment: { PATH: process.env.PATH, ...environmentOf(name, service) },
    ports: {},
    ready: 'message',
    stopMs: 10_000,
  })
}

const kind = (name: string) => name.replace(/-\d+$/, '')
const url = `http://${addressOf('door')}:8080`

async function bringUp(): Promise<void> {
  const of = (...kinds: readonly string[]) => Object.entries(compose.services).filter(([name]) => kinds.includes(kind(name)))
  const setup = compose.services.setup as ComposeService
  const { spawnSync } = await import('node:child_process')
  const made = spawnSync(
    process.execPath,
    (setup.command ?? []).slice(1).map((word) => (names.includes(word) ? addressOf(word) : word)),
    {
      cwd: project,
      env: { PATH: process.env.PATH, ...environmentOf('setup', setup) },
      encoding: 'utf8',
    },
  )
  expect([made.status, made.stderr]).toEqual([0, ''])
  await Promise.all(of('kafka').map(([name, service]) => launchKafka(name, service)))
  await Promise.all(of('registry', 'router', 'gateway', 'door').map(([name, service]) => launchService(name, service)))
  let last = ''
  await until('healthy', 120_000, async () => {
    const answer = await fetch(`${url}/healthz`).catch(() => undefined)
    last = (await answer?.text()) ?? ''
    return answer?.status === 200
  }).catch((error: Error) => {
    throw new Error(`${error.message}: ${last}`)
  })
}

const described = missing ? describe.skip : describe
described(`docker-compose.yml’s cluster${missing ? ` [skipped: ${missing}]` : ''}`, () => {
  const clients: MqttClient[] = []
  beforeAll(bringUp, 300_000)
  afterAll(async () => {
    for (const client of clients) client.end(true)
    for (const group of ['gateway', 'router', 'door', 'registry', 'kafka']) {
      await Promise.all([...running.values()].filter(({ name }) => kind(name) === group).map((one) => one.stop()))
    }
    guard.close()
    rmSync(work, { recursive: true, force: true })
  })

  test('two gateways, two routers and three brokers bring a message from one gateway to the other, and go on without a broker', async () => {
    const subscriber = await connectAsync(`mqtt://${addressOf('gateway-2')}:1883`, { clientId: 'there', protocolVersion: 5 })
    const publisher = await connectAsync(`mqtt://${addressOf('gateway')}:1883`, { clientId: 'here', protocolVersion: 5 })
    clients.push(subscriber, publisher)
    const heard: string[] = []
    subscriber.on('message', (_topic, payload) => heard.push(payload.toString()))
    await subscriber.subscribeAsync('sample/#', { qos: 1 })
    await publisher.publishAsync('sample/topic1', 'before', { qos: 1 })
    await until('the message is on the other side', 60_000, () => heard.includes('before'))
    process.kill(running.get('kafka-3')?.process?.pid ?? 0, 'SIGKILL')
    for (let k = 0; k < 20; k++) await publisher.publishAsync(`sample/topic${k}`, `after ${k}`, { qos: 1 })
    await until('every message is on the other side', 60_000, () => Array.from({ length: 20 }, (_, k) => `after ${k}`).every((text) => heard.includes(text)))
  })

  test('/healthz says that everything is kept three times', async () => {
    // A broker is away since the last test: its partitions have other leaders within moments.
    await until('it says so', 60_000, async () => (await (await fetch(`${url}/healthz`)).text()).includes('replicated: 3 copies'))
  })

  test('a device’s certificate opens no gRPC port: routers and gateways know each other by a CA of their own', async () => {
    const attempt = (certificates: string, name: string) =>
      new Promise<string>((resolve) => {
        const file = (part: string) => readFileSync(join(data, certificates, part))
        const socket = connect({
          host: addressOf('gateway'),
          port: 7001,
          ca: readFileSync(join(data, 'grpc-certificates/ca.pem')),
          cert: file(`${name}.pem`),
          key: file(`${name}.key`),
          ALPNProtocols: ['h2'],
        })
        // With TLS 1.3 the refusal comes after the client believes the handshake done: what counts is whether the server speaks.
        socket.once('data', () => resolve('answered'))
        socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'refused'))
        socket.once('close', () => resolve('closed'))
        socket.once('secureConnect', () => socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0'))
      })
    expect(await attempt('grpc-certificates', 'client')).toBe('answered')
    expect(await attempt('certificates', 'client')).not.toBe('answered')
  })
})
