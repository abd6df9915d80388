/**
 * `npm run bench:registry`: a registry of a million clients. What a decision to publish costs; how long a gateway takes until it
 * is ready, and its memory; what a connect costs it beside the TLS handshake.
 *
 *   npm run bench:registry -- --clients 100000 --connects 1000
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { connect, type TLSSocket } from 'node:tls'
import { parseArgs } from 'node:util'
import mqtt from 'mqtt'
import { pino } from 'pino'
import { issueLeaf, makeAuthorities, type Pair } from '../cli/pki.ts'
import { KafkaLog } from '../log/kafka/kafka-log.ts'
import { encodeRecord } from '../schemas/codec.ts'
import { until } from '../test/support/stack.ts'
import { type LoggerheadBroker, startLoggerhead } from './brokers/loggerhead.ts'
import { decisionsText, measureDecisions } from './decisions.ts'
import { useOf } from './process-times.ts'

const say = (text: string): void => {
  process.stderr.write(`${text}\n`)
}
const number = (value: number, digits = 0): string => value.toLocaleString('en-US', { minimumFractionDigits: digits, maximumFractionDigits: digits })
/** Clients that connect have a certificate each. */
const certificates = 100
/** Connects at a time. */
const atOnce = 20
const window = 20_000

/** Appends clients as the registry would: through the API a million take a quarter of an hour. */
async function register({ stack }: LoggerheadBroker, count: number): Promise<void> {
  const log = new KafkaLog({ brokers: [stack.brokers], clientId: 'bench', logger: pino({ level: 'silent' }) })
  const appender = await log.appender()
  const topic = `${stack.prefix}.default.registry`
  const at = Date.now()
  for (let from = 0; from < count; from += window) {
    const writes = Array.from({ length: Math.min(window, count - from) }, (_, i) => {
      const name = `device-${from + i}`
      const properties = JSON.stringify({
        authenticationName: name,
        state: 'Enabled',
        clientCertificateAuthentication: { validationScheme: 'SubjectMatchesAuthenticationName' },
        attributes: { type: ['press', 'robot', 'truck'][i % 3], site: `site-${i % 100}`, serial: `SN-${(from + i).toString(36).padStart(8, '0')}` },
      })
      const etag = `"${(from + i).toString(36).padStart(12, 'e')}"`
      const entry = encodeRecord('RegistryEntry', { kind: 'clients', name, properties, etag, createdAt: at, updatedAt: at, by: 'bench' })
      return appender.write({ topic, partition: 0, key: Buffer.from(`clients/${name}`), value: Buffer.from(entry), timestamp: at })
    })
    await Promise.all(writes)
  }
  await appender.close()
  await log.close()
}

async function connects(count: number, one: (index: number) => Promise<void>): Promise<void> {
  let next = 0
  const worker = async (): Promise<void> => {
    for (let i = next++; i < count; i = next++) await one(i)
  }
  await Promise.all(Array.from({ length: atOnce }, worker))
}

/** Milliseconds of a process's CPU for each. */
async function cpuOfEach(pid: number, count: number, run: () => Promise<void>): Promise<number> {
  const before = useOf(pid)?.cpu ?? 0
  await run()
  return (((useOf(pid)?.cpu ?? 0) - before) * 1_000) / count
}

async function measureConnects(broker: LoggerheadBroker, gateway: number, count: number): Promise<{ readonly whole: number; readonly handshake: number }> {
  const { stack, tls } = broker
  const folder = mkdtempSync(join(tmpdir(), 'loggerhead-bench-'))
  const { root, intermediate } = await makeAuthorities('Bench', Date.now())
  const put = await stack.api('PUT', '/namespaces/default/caCertificates/bench', { encodedCertificate: intermediate.certificate })
  if (put.status >= 300) throw new Error(`the CA certificate was refused: ${JSON.stringify(put.body)}`)
  const leaf = (commonName: string) => issueLeaf(intermediate, { use: 'client', commonName, hosts: [], days: 1, now: Date.now() })
  const pairs: readonly Pair[] = await Promise.all(Array.from({ length: certificates }, (_, i) => leaf(`device-${i * 997}`)))
  const server = await issueLeaf(intermediate, { use: 'server', commonName: 'localhost', hosts: ['localhost'], days: 1, now: Date.now() })
  const file = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text, { mode: 0o600 })
    return join(folder, name)
  }
  const shown = (i: number) => ({ cert: pairs[i % certificates]!.certificate, key: pairs[i % certificates]!.key, rejectUnauthorized: false })
  const bare = spawn(
    process.execPath,
    [join(import.meta.dirname, 'bare-tls.ts'), file('ca', root.certificate), file('cert', server.certificate), file('key', server.key)],
    { stdio: ['pipe', 'pipe', 'inherit'] },
  )
  try {
    const [port] = (await once(createInterface(bare.stdout), 'line')) as [string]
    const shake = async (i: number): Promise<void> => {
      const socket: TLSSocket = connect({ host: '127.0.0.1', port: Number(port), ...shown(i) })
      await once(socket, 'secureConnect')
      socket.destroy()
    }
    const join5 = async (i: number): Promise<void> => {
      const name = `device-${(i % certificates) * 997}`
      const client = await mqtt.connectAsync(
        `mqtts://127.0.0.1:${tls?.port}`,
        { protocolVersion: 5, clientId: `${name}-${i}`, username: name, reconnectPeriod: 0, ...shown(i) },
        false,
      )
      await client.endAsync()
    }
    // Once each, so that what is compiled and cached at first is not counted.
    await connects(Math.min(count, 1_000), shake)
    await connects(Math.min(count, 1_000), join5)
    return {
      handshake: await cpuOfEach(bare.pid as number, count, () => connects(count, shake)),
      whole: await cpuOfEach(gateway, count, () => connects(count, join5)),
    }
  } finally {
    bare.stdin.end()
    rmSync(folder, { recursive: true })
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { clients: { type: 'string', default: '1000000' }, connects: { type: 'string', default: '2000' } } })
  const [clients, count] = [Number(values.clients), Number(values.connects)]
  if (!(Number.isInteger(clients) && clients >= certificates * 1_000 && clients <= 10_000_000))
    throw new Error(`--clients: “${values.clients}” is not from 100000 to 10000000`)
  if (!(Number.isInteger(count) && count >= 100 && count <= 100_000)) throw new Error(`--connects: “${values.connects}” is not from 100 to 100000`)
  say('decisions …')
  process.stdout.write(`${decisionsText(measureDecisions())}\n\n`)
  const memory = String(1_024 + Math.ceil(clients / 1_000))
  const broker = await startLoggerhead({ GATEWAY_MEMORY: memory, ROUTER_MEMORY: memory, REGISTRY_MEMORY: memory })
  try {
    const { stack } = broker
    const small = useOf((await stack.process('gateway')).pid)?.memory ?? 0
    say(`writing ${number(clients)} clients …`)
    const since = performance.now()
    await register(broker, clients)
    say(`written in ${number((performance.now() - since) / 1_000, 1)} s; the gateway begins anew …`)
    const killed = await stack.kill('gateway')
    const begun = performance.now()
    const { pid, ports } = await stack.restarted('gateway', killed, 300_000)
    await until('the gateway is ready', 300_000, () =>
      fetch(`http://127.0.0.1:${ports.internal}/status`).then(
        (answer) => answer.ok,
        () => false,
      ),
    )
    const readySeconds = (performance.now() - begun) / 1_000
    const cpu = useOf(pid)?.cpu ?? 0
    await stack.untilHealthy(120_000)
    const large = useOf(pid)?.memory ?? 0
    say(`${number(count)} connects …`)
    const { whole, handshake } = await measureConnects(broker, pid, count)
    const lines = [
      `a gateway with ${number(clients)} registered clients:`,
      `  killed until ready again: ${number(readySeconds, 1)} s, with ${number(cpu, 1)} s of CPU`,
      `  memory: ${number(large)} MiB (${number(small)} MiB with a few clients)`,
      `  a connect with a client certificate: ${number(whole, 2)} ms of CPU, of which ${number(handshake, 2)} ms a bare TLS server needs too: ${number(whole - handshake, 2)} ms beside TLS`,
    ]
    process.stdout.write(`${lines.join('\n')}\n`)
  } finally {
    await broker.stop()
  }
}

try {
  await main()
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`)
  process.exitCode = 1
}
