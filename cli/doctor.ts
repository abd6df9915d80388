/** `loggerhead doctor`: tries everything as a client would, and says in plain words what is wrong and what to do. */
import { readFileSync } from 'node:fs'
import { connect as connectTcp } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls, type PeerCertificate } from 'node:tls'
import mqtt from 'mqtt'
import { topicNames, topicSettings } from '../log/topics.ts'
import { readSettings } from '../settings/setting.ts'
import { firstAnswer } from './first-answer.ts'
import { openLog } from './kafka.ts'
import { refusal } from './mqtt-connection.ts'
import type { Surroundings } from './surroundings.ts'

export type Health = 'ok' | 'warning' | 'failed' | 'skipped'

export interface Finding {
  readonly check: string
  readonly health: Health
  readonly detail: string
}

const timeoutMs = 5_000
const soonMs = 30 * 86_400_000

/** What a certificate's dates mean now. */
export function judgeDates(validFrom: Date, validTo: Date, now: number): { readonly health: Health; readonly detail: string } {
  if (validTo.getTime() <= now) return { health: 'failed', detail: `it expired at ${validTo.toISOString()}: renew it` }
  if (validFrom.getTime() > now) return { health: 'failed', detail: `it is valid only from ${validFrom.toISOString()} on: is this machine’s clock right?` }
  const days = Math.floor((validTo.getTime() - now) / 86_400_000)
  return { health: validTo.getTime() - now < soonMs ? 'warning' : 'ok', detail: `it expires in ${days} days` }
}

/** What to do about a port that cannot be reached. */
export function explainRefusal(error: Error & { readonly code?: string }): string {
  switch (error.code) {
    case 'ECONNREFUSED':
      return 'nothing listens there: is npm start running, and is this its port?'
    case 'ENOTFOUND':
      return 'there is no host of that name'
    case 'ETIMEDOUT':
    case 'EHOSTUNREACH':
      return 'no way leads there: a firewall, or the wrong address?'
    default:
      return error.message
  }
}

/** What a client's distrust of a server's certificate comes from, and what to do; `code` as OpenSSL and Node name it. */
export function explainDistrust(code: string, asked: string, names: string): string {
  switch (code) {
    case 'UNABLE_TO_VERIFY_LEAF_SIGNATURE':
      return 'it leads to no authority that is trusted here: either --ca does not name the file of the root, or the server does not show the intermediate (TLS_CERT holds the whole chain, its own certificate first)'
    case 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY':
    case 'SELF_SIGNED_CERT_IN_CHAIN':
    case 'DEPTH_ZERO_SELF_SIGNED_CERT':
      return 'it leads to no authority that is trusted here: --ca names the file of the root'
    case 'ERR_TLS_CERT_ALTNAME_INVALID':
      return `it is not for “${asked}”, the name that was asked for (SNI), but for ${names || 'no name at all'}: connect by such a name, or get a certificate for this one`
    case 'CERT_HAS_EXPIRED':
      return 'it, or one in its chain, has expired: renew it'
    default:
      return code
  }
}

interface TlsSight {
  readonly authorized: boolean
  readonly why: string
  readonly certificate: PeerCertificate
  readonly protocol: string | null
}

function seeTls(host: string, port: number, ca: Buffer | undefined): Promise<TlsSight> {
  const servername = /^[\d.:]+$/.test(host) ? 'localhost' : host
  return new Promise((resolve, reject) => {
    const socket = connectTls({
      host,
      port,
      servername,
      rejectUnauthorized: false,
      timeout: timeoutMs,
      ...(ca ? { ca } : {}),
    })
    socket.once('secureConnect', () => {
      // A text or an error, whatever the typings say.
      const why = socket.authorizationError as unknown as string | (Error & { readonly code?: string }) | null
      const code = why instanceof Error ? (why.code ?? why.message) : (why ?? '')
      const certificate = socket.getPeerCertificate()
      resolve({
        authorized: socket.authorized,
        why: explainDistrust(code, servername, certificate.subjectaltname ?? ''),
        certificate,
        protocol: socket.getProtocol(),
      })
      socket.destroy()
    })
    socket.once('timeout', () => socket.destroy(new Error(`no TLS handshake within ${timeoutMs} ms`)))
    socket.once('error', reject)
  })
}

function reach(host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connectTcp({ host, port, timeout: timeoutMs })
    socket.once('connect', () => {
      socket.destroy()
      resolve()
    })
    socket.once('timeout', () => socket.destroy(Object.assign(new Error('no answer'), { code: 'ETIMEDOUT' })))
    socket.once('error', reject)
  })
}

/** Connects as a client without a certificate; being refused is an answer too. */
async function tryMqtt(url: string, ca: Buffer | undefined): Promise<{ readonly health: Health; readonly detail: string }> {
  try {
    const client = await mqtt.connectAsync(
      url,
      { protocolVersion: 5, reconnectPeriod: 0, connectTimeout: timeoutMs, clientId: `loggerhead-doctor-${process.pid}`, ...(ca ? { ca } : {}) },
      false,
    )
    await client.endAsync()
    return { health: 'ok', detail: 'MQTT answers, and lets in clients that show no certificate' }
  } catch (error) {
    const { code } = error as { readonly code?: unknown }
    if (code === 0x87 || code === 0x86 || code === 0x8c)
      return { health: 'ok', detail: `MQTT answers, and lets nobody in without a certificate (${refusal(error as Error)})` }
    if (code === 0x88)
      return { health: 'failed', detail: 'MQTT answers “server unavailable”: the gateway has no Kafka or no router; GET /healthz names the hop' }
    return { health: 'failed', detail: `no MQTT: ${typeof code === 'number' ? refusal(error as Error) : explainRefusal(error as Error & { code?: string })}` }
  }
}

function readCa(config: Surroundings['config'], given: string | undefined): Buffer | undefined {
  try {
    return readFileSync(given ?? join(config.dataFolder, 'certificates', 'ca.pem'))
  } catch {
    return undefined
  }
}

export interface Listener {
  readonly name: 'mqtt' | 'mqtts' | 'ws' | 'wss'
  readonly variable: string
  readonly port: number | undefined
}

/** The listeners as the environment and the defaults say; a port of `off` is none. */
export function listenersOf(environment: Surroundings['environment']): readonly Listener[] {
  const defaults = { mqtt: 1883, mqtts: 8883, ws: 8083, wss: 8084 } as const
  return (Object.keys(defaults) as (keyof typeof defaults)[]).map((name) => {
    const variable = `${name.toUpperCase()}_PORT`
    const text = environment[variable] || String(defaults[name])
    return { name, variable, port: text === 'off' ? undefined : Number(text) }
  })
}

async function checkListener({ name, variable, port }: Listener, host: string, ca: Buffer | undefined): Promise<readonly Finding[]> {
  const check = `${name} ${port === undefined ? '' : `${host}:${port}`}`.trim()
  if (port === undefined) return [{ check, health: 'skipped', detail: `${variable} is off` }]
  try {
    await reach(host, port)
  } catch (error) {
    return [{ check, health: 'failed', detail: `${explainRefusal(error as Error & { code?: string })} (${variable})` }]
  }
  const findings: Finding[] = []
  if (name === 'mqtts' || name === 'wss') {
    try {
      const sight = await seeTls(host, port, ca)
      const dates = judgeDates(new Date(sight.certificate.valid_from), new Date(sight.certificate.valid_to), Date.now())
      if (!sight.authorized)
        findings.push({
          check: `${check} TLS`,
          health: 'failed',
          detail: `the server’s certificate is not trusted: ${sight.why}${ca ? '' : '; --ca names the CA’s file'}`,
        })
      else
        findings.push({
          check: `${check} TLS`,
          health: dates.health,
          detail: `${sight.protocol}, the certificate of ${String(sight.certificate.subject?.CN ?? 'the server')} is trusted; ${dates.detail}`,
        })
      if (!sight.authorized) return findings
    } catch (error) {
      return [{ check: `${check} TLS`, health: 'failed', detail: `no TLS: ${explainRefusal(error as Error)}` }]
    }
  }
  const url = `${name}://${name.endsWith('s') && name !== 'ws' && /^[\d.]+$/.test(host) ? 'localhost' : host}:${port}${name.startsWith('w') ? '/mqtt' : ''}`
  return [...findings, { check: `${check} MQTT`, ...(await tryMqtt(url, ca)) }]
}

async function checkApi({ api, config }: Surroundings): Promise<readonly Finding[]> {
  const findings: Finding[] = []
  try {
    const answer = await fetch(new URL('/healthz', config.url), { signal: AbortSignal.timeout(15_000) })
    const health = (await answer.json()) as Readonly<Record<string, unknown>>
    findings.push({
      check: `front door ${config.url.origin}`,
      health: answer.ok ? 'ok' : 'failed',
      detail: answer.ok
        ? `a message travels MQTT → Kafka → gRPC → MQTT; ${String(health.durability ?? '')}`
        : `a message does not come through: ${JSON.stringify(health)}`,
    })
  } catch (error) {
    const cause = (error as { readonly cause?: Error & { code?: string } }).cause ?? (error as Error)
    return [{ check: `front door ${config.url.origin}`, health: 'failed', detail: `${explainRefusal(cause)} (LOGGERHEAD_URL)` }]
  }
  try {
    await api.call('GET', `${api.path('clients')}?$top=1`)
    findings.push({ check: 'API key', health: 'ok', detail: 'the API takes it' })
  } catch (error) {
    findings.push({ check: 'API key', health: 'failed', detail: (error as Error).message })
  }
  return findings
}

async function checkKafka({ environment, config }: Surroundings): Promise<Finding> {
  const check = `Kafka ${environment.KAFKA_BROKERS || '127.0.0.1:9092'}`
  let log: ReturnType<typeof openLog> | undefined
  try {
    const opened = openLog(environment)
    log = opened
    const names = topicNames(readSettings(topicSettings, environment).LOGGERHEAD_PREFIX, config.namespace)
    const ends = await firstAnswer(opened, opened.endOffsets(names.messages), 'Kafka', timeoutMs)
    const messages = [...ends.values()].reduce((sum, end) => sum + end, 0)
    return { check, health: 'ok', detail: `it answers; ${names.messages} has ${ends.size} partitions and reaches to ${messages} records` }
  } catch (error) {
    return { check, health: 'failed', detail: `${(error as Error).message} (KAFKA_BROKERS)` }
  } finally {
    await log?.close().catch(() => {})
  }
}

function checkVersions(): Finding {
  const [major = 0] = process.versions.node.split('.').map(Number)
  return {
    check: 'Node',
    health: major >= 22 ? 'ok' : 'failed',
    detail: `${process.version}${major >= 22 ? '' : ': 22.18 or newer is needed'}, OpenSSL ${process.versions.openssl}`,
  }
}

/** All findings, in the order in which they should be read. */
export async function examine(surroundings: Surroundings, options: { readonly ca?: string }): Promise<readonly Finding[]> {
  const { config, environment } = surroundings
  const ca = readCa(config, options.ca)
  const [api, kafka, ...listeners] = await Promise.all([
    checkApi(surroundings),
    checkKafka(surroundings),
    ...listenersOf(environment).map((listener) => checkListener(listener, config.url.hostname, ca)),
  ])
  return [checkVersions(), kafka, ...api, ...listeners.flat()]
}
