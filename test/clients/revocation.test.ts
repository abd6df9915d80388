/** What is taken away in the registry is over on every gateway, with two gateways and two routers, and Event Grid's reason stands in the log. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { issueCertificate } from '../../access/certificates.ts'
import { type Stack, startStack, until } from '../support/stack.ts'
import { readRecords } from '../wire/kafka-log.ts'
import { JsClient } from './mqttjs.ts'
import { allow, clientBody, put, remove, tlsOptions } from './registered.ts'

const notAuthorized = 0x87
const hourMs = 3_600_000
/** Generous: what is promised is two seconds, and a loaded machine must not decide. */
const soonMs = 60_000

let stack: Stack
beforeAll(async () => {
  stack = await startStack({ environment: { GATEWAYS: '2', ROUTERS: '2' } })
  await put(stack, 'caCertificates/revocation', { encodedCertificate: authority.certificate })
  await put(stack, 'topicSpaces/open', { topicTemplates: ['open/#'] })
  await allow(stack, 'open-pub', '$all', 'open', 'Publisher')
  await allow(stack, 'open-sub', '$all', 'open', 'Subscriber')
}, 180_000)
afterAll(async () => {
  await stack?.stop()
})

interface Authority {
  readonly commonName: string
  readonly certificate: string
  readonly key: KeyObject
}

function makeAuthority(commonName: string): Authority {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const validity = { notBefore: new Date(Date.now() - hourMs), notAfter: new Date(Date.now() + hourMs) }
  return { commonName, key: privateKey, certificate: issueCertificate({ commonName, publicKey, ...validity, use: 'ca', signingKey: privateKey }) }
}

const authority = makeAuthority('Revocation CA')

/** A client with a certificate, on gateway 1 or 2; it keeps its session. */
class Device {
  readonly name: string
  readonly #gateway: 1 | 2
  #pair = { certificate: '', key: '' }
  client: JsClient | null = null

  constructor(name: string, gateway: 1 | 2) {
    this.name = name
    this.#gateway = gateway
    this.certify()
  }

  /** Shows a new certificate from now on. */
  certify(by: Authority = authority, validMs = hourMs): void {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const validity = { notBefore: new Date(Date.now() - hourMs), notAfter: new Date(Date.now() + validMs) }
    const certificate = issueCertificate({ commonName: this.name, publicKey, ...validity, use: 'client', issuer: by, signingKey: by.key })
    this.#pair = { certificate, key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString() }
  }

  get #options() {
    const tls = tlsOptions(stack, { ...this.#pair, certificateFile: '', keyFile: '' })
    return { ...tls, username: this.name, clientId: this.name, protocolVersion: 5, clean: false, properties: { sessionExpiryInterval: 600 } } as const
  }

  get #url(): string {
    return `mqtts://localhost:${stack.ports.mqtts + 10 * (this.#gateway - 1)}`
  }

  async connect(): Promise<JsClient> {
    this.client = await JsClient.connect(this.#url, this.#options)
    return this.client
  }

  attempt() {
    return JsClient.attempt(this.#url, this.#options)
  }
}

/** A device on each gateway, each subscribed to `<what>/x` and connected; `group` holds exactly these. */
async function devicesOn(what: string, by?: Authority): Promise<readonly [Device, Device]> {
  const devices = [new Device(`${what}-1`, 1), new Device(`${what}-2`, 2)] as const
  await put(stack, `clientGroups/${what}`, { query: `attributes.kind = '${what}'` })
  await put(stack, `topicSpaces/${what}`, { topicTemplates: [`${what}/#`] })
  for (const { name } of devices) await put(stack, `clients/${name}`, clientBody(name, { kind: what }))
  await allow(stack, `${what}-sub`, what, what, 'Subscriber')
  await allow(stack, `${what}-pub`, what, what, 'Publisher')
  for (const device of devices) {
    device.certify(by)
    await until(`${device.name} gets in`, soonMs, async () => (await device.attempt()) === 'done')
    const client = await device.connect()
    await until(`${device.name} may subscribe`, soonMs, async () => (await client.subscribe(`${what}/x`)) === 1)
    expect(await client.subscribe('open/marker')).toBe(1)
  }
  return devices
}

const changes: readonly (readonly [
  what: string,
  reason: 'ClientAuthenticationError' | 'ClientAuthorizationError',
  mayComeBack: boolean,
  change: (what: string) => Promise<void>,
])[] = [
  [
    'disabled',
    'ClientAuthenticationError',
    false,
    async (what) => {
      for (const i of [1, 2]) await put(stack, `clients/${what}-${i}`, { ...clientBody(`${what}-${i}`, { kind: what }), state: 'Disabled' })
    },
  ],
  [
    'deleted',
    'ClientAuthenticationError',
    false,
    async (what) => {
      for (const i of [1, 2]) await remove(stack, `clients/${what}-${i}`)
    },
  ],
  ['regrouped', 'ClientAuthorizationError', true, (what) => put(stack, `clientGroups/${what}`, { query: "attributes.kind = 'nothing'" })],
  [
    'relabelled',
    'ClientAuthorizationError',
    true,
    async (what) => {
      for (const i of [1, 2]) await put(stack, `clients/${what}-${i}`, clientBody(`${what}-${i}`, { kind: 'another' }))
    },
  ],
  ['respaced', 'ClientAuthorizationError', true, (what) => put(stack, `topicSpaces/${what}`, { topicTemplates: ['elsewhere/#'] })],
  ['unbound', 'ClientAuthorizationError', true, (what) => remove(stack, `permissionBindings/${what}-sub`)],
]

async function reasonsOf(devices: readonly Device[]): Promise<readonly (string | undefined)[]> {
  const events = await readRecords(stack.brokers, `${stack.prefix}.default.lifecycle`, 'LifecycleEvent')
  return devices.map(({ name }) => {
    const last = events.filter(({ value }) => value.type.endsWith('SessionDisconnected') && value.subject === `clients/${name}/sessions/${name}`).at(-1)
    return last && (JSON.parse(last.value.data) as { disconnectionReason?: string }).disconnectionReason
  })
}

test.each(changes)('NS-11 LC-02: %s devices are disconnected from both gateways with %s', async (what, reason, mayComeBack, change) => {
  const devices = await devicesOn(what)
  await change(what)
  for (const { client } of devices) {
    await client?.closed(soonMs)
    expect(client?.closeCode).toBe(notAuthorized)
  }
  for (const device of devices) expect(await device.attempt()).toBe(mayComeBack ? 'done' : notAuthorized)
  if (!mayComeBack) {
    await until('the reasons are in the log', soonMs, async () => (await reasonsOf(devices)).every((each) => each === reason))
    return
  }
  // The session is there, the subscription is not, and the session says so too.
  for (const device of devices) {
    const client = await device.connect()
    expect(await client.subscribe(`${what}/x`)).toBe(notAuthorized)
    await client.end()
    expect(await stack.api('GET', `/namespaces/default/sessions/${device.name}`)).toMatchObject({ status: 200 })
  }
})

test('LC-02: when a CA is deleted its devices are disconnected from both gateways with ClientAuthenticationError', async () => {
  const other = makeAuthority('Short-lived CA')
  await put(stack, 'caCertificates/short-lived', { encodedCertificate: other.certificate })
  const devices = await devicesOn('orphaned', other)
  await remove(stack, 'caCertificates/short-lived')
  for (const { client } of devices) {
    await client?.closed(soonMs)
    expect(client?.closeCode).toBe(notAuthorized)
  }
  for (const device of devices) expect(await device.attempt()).toBe(notAuthorized)
  await until('the reasons are in the log', soonMs, async () => (await reasonsOf(devices)).every((each) => each === 'ClientAuthenticationError'))
})

test('LC-02: a device whose certificate expires is disconnected with ClientAuthenticationError', async () => {
  const devices = await devicesOn('expired')
  for (const device of devices) {
    await device.client?.end()
    // The time begins anew with each attempt: what comes before it may take as long as it will.
    await until(`${device.name} gets in for a moment`, soonMs, () => {
      device.certify(authority, 4_000)
      return device.connect().catch(() => undefined)
    })
  }
  for (const { client } of devices) {
    await client?.closed(soonMs)
    expect(client?.closeCode).toBe(notAuthorized)
  }
  await until('the reasons are in the log', soonMs, async () => (await reasonsOf(devices)).every((each) => each === 'ClientAuthenticationError'))
})

test('a device that is away loses its subscription and what waited for it, and nothing else', async () => {
  const devices = await devicesOn('away')
  const publisher = new Device('away-publisher', 2)
  await put(stack, 'clients/away-publisher', clientBody('away-publisher', { kind: 'away' }))
  await until('the publisher gets in', soonMs, async () => (await publisher.attempt()) === 'done')
  const speaker = await publisher.connect()
  for (const { client } of devices) await client?.client.endAsync()
  expect(await speaker.publish('away/x', 'no longer yours')).toBe('done')
  await remove(stack, 'permissionBindings/away-sub')
  await until('the change has come', soonMs, async () => (await speaker.subscribe('away/x')) === notAuthorized)
  for (const { name } of devices) {
    await until(
      `${name} is subscribed no more`,
      soonMs,
      async () => !JSON.stringify((await stack.api('GET', `/namespaces/default/sessions/${name}`)).body).includes('away/x'),
    )
  }
  expect(await speaker.publish('away/x', 'never yours')).toBe('done')
  expect(await speaker.publish('open/marker', 'still yours')).toBe('done')
  for (const device of devices) {
    const client = await device.connect()
    expect((await client.next()).payload.toString()).toBe('still yours')
    expect(client.arrived).toEqual([])
    await client.end()
  }
  await speaker.end()
})

test('a publisher is refused at once when its permission is taken away, and stays connected', async () => {
  const devices = await devicesOn('muted')
  for (const { client } of devices) expect(await client?.publish('muted/y', 'heard')).toBe('done')
  await remove(stack, 'permissionBindings/muted-pub')
  for (const { client } of devices) {
    await until('publishes are refused', soonMs, async () => (await client?.publish('muted/y', 'unheard')) === notAuthorized)
    expect(await client?.publish('open/y', 'heard')).toBe('done')
    await client?.end()
  }
})
