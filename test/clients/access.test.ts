import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { type Stack, startStack, until } from '../support/stack.ts'
import { readTopic } from '../wire/kafka-log.ts'
import { type KeyPair, OpensslAuthority } from './certificates.ts'
import { JsClient } from './mqttjs.ts'
import { allow, clientBody, put, registerAuthority, registerClient, remove, tlsOptions } from './registered.ts'

const installed = OpensslAuthority.isInstalled ? describe : describe.skip
const title = (text: string) => (OpensslAuthority.isInstalled ? text : `${text} [skipped: openssl is not installed]`)
const notAuthorized = 0x87

let stack: Stack
let authority: OpensslAuthority
const pairs = new Map<string, KeyPair>()

beforeAll(async () => {
  // As talkative as it can be: see “no secret is written down”.
  stack = await startStack({ environment: { LOG_LEVEL: 'trace' } })
  if (!OpensslAuthority.isInstalled) return
  authority = await OpensslAuthority.make('Access Test CA')
  await registerAuthority(stack, 'access-test-ca', authority)
}, 180_000)

afterAll(async () => {
  authority?.remove()
  await stack?.stop()
})

const url = () => `mqtts://localhost:${stack.ports.mqtts}`

async function register(name: string, attributes?: Readonly<Record<string, unknown>>): Promise<void> {
  pairs.set(name, await registerClient(stack, authority, name, attributes))
}

function options(name: string, more: object = {}): object {
  return { ...tlsOptions(stack, pairs.get(name)), username: name, clientId: name, protocolVersion: 5, ...more }
}

const connect = (name: string, more?: object) => JsClient.connect(url(), options(name, more))
const attempt = (name: string, more?: object) => JsClient.attempt(url(), options(name, more))

/** A point as a vehicle reports it. */
function position(longitude: number, latitude: number): string {
  return JSON.stringify({ type: 'Point', coordinates: [longitude, latitude] })
}

installed(title('the sample scenarios'), () => {
  test('TR-01: getting_started: sample_client gets its own hello world back', async () => {
    await register('sample_client', { type: 'sample-client' })
    await put(stack, 'topicSpaces/samples', { topicTemplates: ['sample/#'] })
    await allow(stack, 'samplesPub', '$all', 'samples', 'Publisher')
    await allow(stack, 'samplesSub', '$all', 'samples', 'Subscriber')
    const client = await connect('sample_client')
    try {
      expect(await client.subscribe('sample/+')).toBe(1)
      expect(await client.publish('sample/topic1', 'hello world!')).toBe('done')
      expect(await client.next()).toMatchObject({ topic: 'sample/topic1', payload: Buffer.from('hello world!') })
    } finally {
      await client.end()
    }
  })

  test('telemetry: the map sees every vehicle, and a vehicle can neither speak for another nor listen', async () => {
    await register('vehicle01', { type: 'vehicle' })
    await register('vehicle02', { type: 'vehicle' })
    await register('map-app', { type: 'map-client' })
    await put(stack, 'clientGroups/vehicles', { query: "attributes.type = 'vehicle'" })
    await put(stack, 'clientGroups/map-clients', { query: 'attributes.type IN ["map-client", "dashboard"]' })
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the variable of a topic template
    await put(stack, 'topicSpaces/own-position', { topicTemplates: ['vehicles/${client.authenticationName}/position'] })
    await put(stack, 'topicSpaces/vehicles', { topicTemplates: ['vehicles/#'] })
    await allow(stack, 'vehiclesPub', 'vehicles', 'own-position', 'Publisher')
    await allow(stack, 'vehiclesSub', 'map-clients', 'vehicles', 'Subscriber')

    const map = await connect('map-app', { protocolVersion: 4 })
    const first = await connect('vehicle01')
    const second = await connect('vehicle02', { protocolVersion: 4 })
    try {
      expect(await map.subscribe('vehicles/+/position')).toBe(1)
      for (let i = 0; i < 5; i++) {
        expect(await first.publish('vehicles/vehicle01/position', position(13.4 + i / 100, 52.5))).toBe('done')
        expect(await second.publish('vehicles/vehicle02/position', position(-122.1, 47.6 + i / 100))).toBe('done')
      }
      const seen = new Map<string, number[][]>()
      for (let i = 0; i < 10; i++) {
        const { topic, payload } = await map.next()
        const point = JSON.parse(payload.toString()) as { type: string; coordinates: number[] }
        expect(point.type).toBe('Point')
        seen.set(topic, [...(seen.get(topic) ?? []), point.coordinates])
      }
      expect(seen.get('vehicles/vehicle01/position')).toEqual([0, 1, 2, 3, 4].map((i) => [13.4 + i / 100, 52.5]))
      expect(seen.get('vehicles/vehicle02/position')).toEqual([0, 1, 2, 3, 4].map((i) => [-122.1, 47.6 + i / 100]))

      expect(await first.subscribe('vehicles/+/position')).toBe(notAuthorized)
      expect(await map.publish('vehicles/vehicle01/position', position(0, 0))).not.toBe('done')
      expect(await first.publish('vehicles/vehicle02/position', position(0, 0))).toBe(notAuthorized)
      const fresh = await connect('map-app')
      expect(await fresh.subscribe('#')).toBe(notAuthorized)
      expect(await fresh.subscribe('vehicles/#')).toBe(1)
      expect(await second.publish('vehicles/vehicle02/position', 'marker')).toBe('done')
      expect((await fresh.next()).payload.toString()).toBe('marker') // and nothing of what was refused
      await fresh.end()
    } finally {
      for (const each of [map, first, second]) await each.end()
    }
  })

  test('command: a response finds its request by correlation data', async () => {
    await register('vehicle03', { type: 'vehicle' })
    await register('mobile-app', { type: 'mobile' })
    await put(stack, 'topicSpaces/vehicles-commands', { topicTemplates: ['vehicles/+/command/#'] })
    await allow(stack, 'vehiclesCmdPub', '$all', 'vehicles-commands', 'Publisher')
    await allow(stack, 'vehiclesCmdSub', '$all', 'vehicles-commands', 'Subscriber')
    const vehicle = await connect('vehicle03')
    const app = await connect('mobile-app')
    try {
      expect(await vehicle.subscribe('vehicles/vehicle03/command/unlock/request')).toBe(1)
      expect(await app.subscribe('vehicles/vehicle03/command/unlock/response')).toBe(1)
      const correlationData = Buffer.from('5f0c-42')
      const responseTopic = 'vehicles/vehicle03/command/unlock/response'
      await app.client.publishAsync('vehicles/vehicle03/command/unlock/request', Buffer.from([8, 1]), {
        qos: 1,
        properties: { responseTopic, correlationData, contentType: 'application/protobuf' },
      })
      const { packet } = await vehicle.next()
      expect(packet.properties).toMatchObject({ responseTopic, correlationData, contentType: 'application/protobuf' })
      await vehicle.client.publishAsync(packet.properties?.responseTopic ?? '', 'unlocked', {
        qos: 1,
        properties: { correlationData: packet.properties?.correlationData as Buffer, userProperties: { status: '200' } },
      })
      expect((await app.next()).packet.properties).toMatchObject({ correlationData, userProperties: { status: '200' } })
    } finally {
      await vehicle.end()
      await app.end()
    }
  })

  test('alert: a vehicle that was away gets the alert when it comes back', async () => {
    await register('vehicle04', { type: 'vehicle' })
    await register('control-tower', { type: 'control-tower' })
    await put(stack, 'topicSpaces/weather', { topicTemplates: ['vehicles/weather/#'] })
    await allow(stack, 'weatherPub', '$all', 'weather', 'Publisher')
    await allow(stack, 'weatherSub', '$all', 'weather', 'Subscriber')
    const kept = { clean: false, properties: { sessionExpiryInterval: 3_600 } }
    const before = await connect('vehicle04', kept)
    expect(await before.subscribe('vehicles/weather/alert')).toBe(1)
    await before.end()
    const tower = await connect('control-tower')
    await tower.client.publishAsync('vehicles/weather/alert', 'snow', { qos: 1, properties: { messageExpiryInterval: 300 } })
    await tower.end()
    const after = await connect('vehicle04', kept)
    try {
      expect(await after.next()).toMatchObject({ topic: 'vehicles/weather/alert', payload: Buffer.from('snow') })
    } finally {
      await after.end()
    }
  })
})

installed(title('who gets in'), () => {
  test('a certificate whose name is not the client, one of an unknown CA, and one of nobody are refused', async () => {
    await register('carol')
    await register('dave')
    expect(await attempt('carol')).toBe('done')
    expect(await attempt('carol', { username: 'dave' })).toBe(notAuthorized)
    expect(await attempt('carol', { username: 'nobody' })).toBe(notAuthorized)
    const stranger = await OpensslAuthority.make('Stranger CA')
    try {
      pairs.set('carol of a stranger', await stranger.client('carol'))
      expect(await JsClient.attempt(url(), { ...options('carol'), ...tlsOptions(stack, pairs.get('carol of a stranger')) })).toBe(notAuthorized)
    } finally {
      stranger.remove()
    }
  })

  test('a self-signed certificate is let in by its thumbprint alone', async () => {
    const pair = await authority.selfSigned('thumb')
    pairs.set('thumb', pair)
    await put(stack, 'clients/thumb', {
      authenticationName: 'thumb',
      clientCertificateAuthentication: { validationScheme: 'ThumbprintMatch', allowedThumbprints: [pair.thumbprint] },
    })
    expect(await attempt('thumb')).toBe('done')
    const other = await authority.selfSigned('thumb-other')
    expect(await JsClient.attempt(url(), { ...options('thumb'), ...tlsOptions(stack, other) })).toBe(notAuthorized)
  })

  test('the API wants its key', async () => {
    const request = (key?: string) => fetch(`${stack.url}/namespaces/default/clients`, { headers: key === undefined ? {} : { authorization: `Bearer ${key}` } })
    expect((await request()).status).toBe(401)
    expect((await request('wrong')).status).toBe(401)
    expect((await request(stack.apiKey)).status).toBe(200)
  })
})

installed(title('a change in the registry takes effect within seconds, without a restart'), () => {
  const soonMs = 60_000

  test('a client that is disabled is closed and refused, and gets in again when enabled', async () => {
    await register('erin')
    const client = await connect('erin')
    await put(stack, 'clients/erin', { ...clientBody('erin'), state: 'Disabled' })
    await client.closed(soonMs)
    expect(client.closeCode).toBe(notAuthorized)
    expect(await attempt('erin')).toBe(notAuthorized)
    await put(stack, 'clients/erin', clientBody('erin'))
    await until('erin gets in again', soonMs, async () => (await attempt('erin')) === 'done')
  })

  test('a client that is deleted is closed and refused', async () => {
    await register('frank')
    const client = await connect('frank')
    await remove(stack, 'clients/frank')
    await client.closed(soonMs)
    expect(await attempt('frank')).toBe(notAuthorized)
  })

  test('when a CA is deleted its clients are closed and refused, and get in again when it is back', async () => {
    const other = await OpensslAuthority.make('Short-lived CA')
    try {
      await registerAuthority(stack, 'short-lived', other)
      pairs.set('grace', await registerClient(stack, other, 'grace'))
      const client = await connect('grace')
      await remove(stack, 'caCertificates/short-lived')
      await client.closed(soonMs)
      expect(await attempt('grace')).toBe(notAuthorized)
      await registerAuthority(stack, 'short-lived', other)
      await until('grace gets in again', soonMs, async () => (await attempt('grace')) === 'done')
    } finally {
      other.remove()
    }
  })

  test('a binding that is removed ends publishing and delivery, and one that is added begins them', async () => {
    await register('heidi', { role: 'heidi' })
    await register('ivan', { role: 'ivan' })
    await put(stack, 'clientGroups/heidi', { query: "attributes.role = 'heidi'" })
    await put(stack, 'clientGroups/ivan', { query: "attributes.role = 'ivan'" })
    await put(stack, 'topicSpaces/private', { topicTemplates: ['private/#'] })
    const publisher = await connect('heidi')
    const subscriber = await connect('ivan')
    try {
      expect(await subscriber.subscribe('private/a')).toBe(notAuthorized)
      await allow(stack, 'heidi-pub', 'heidi', 'private', 'Publisher')
      await allow(stack, 'ivan-sub', 'ivan', 'private', 'Subscriber')
      await until('ivan may subscribe', soonMs, async () => (await subscriber.subscribe('private/a')) === 1)
      let speaker = publisher
      const says = async (text: string) => {
        if (speaker.isClosed) speaker = await connect('heidi')
        return speaker.publish('private/a', text)
      }
      await until('heidi may publish', soonMs, async () => (await says('now')) === 'done')
      expect((await subscriber.next()).payload.toString()).toBe('now')

      await remove(stack, 'permissionBindings/ivan-sub')
      await subscriber.closed(soonMs)
      expect(subscriber.closeCode).toBe(notAuthorized)
      expect(await says('secret')).toBe('done')
      const back = await connect('ivan')
      expect(await back.subscribe('private/a')).toBe(notAuthorized)
      expect([...subscriber.arrived, ...back.arrived]).toEqual([])
      await back.end()

      await remove(stack, 'permissionBindings/heidi-pub')
      await until('heidi may no longer publish', soonMs, async () => (await says('late')) === notAuthorized)
      await speaker.end()
    } finally {
      await publisher.end()
      await subscriber.end()
    }
  })
})

installed(title('no secret is written down'), () => {
  /** The forms in which a text may stand in a line: as it is, in base64 from each of three beginnings, in hexadecimal. */
  const formsOf = (secret: string): readonly string[] => {
    const aligned = [0, 1, 2].map((skipped) => Buffer.from(secret).subarray(skipped).toString('base64').slice(0, -4))
    return [secret, ...aligned, Buffer.from(secret).toString('hex')]
  }

  test('passwords, tokens, API keys and private keys that were refused are in no log line of any process and in no record of lifecycle', async () => {
    await register('locked')
    const secrets = new Map<string, string>()
    const secret = (what: string): string => {
      const text = `${what}-${randomBytes(18).toString('base64url')}`
      secrets.set(what, text)
      return text
    }
    const token = (what: string): string => {
      const claims = Buffer.from(JSON.stringify({ iss: 'https://issuer.example', sub: secret(`${what}-subject`), pad: 'x'.repeat(100) })).toString('base64url')
      const text = `${Buffer.from('{"alg":"RS256","kid":"1"}').toString('base64url')}.${claims}.${randomBytes(32).toString('base64url')}`
      secrets.set(what, text)
      return text
    }
    const plain = `mqtt://127.0.0.1:${stack.ports.mqtt}`
    const with5 = (more: object) => JsClient.attempt(plain, { protocolVersion: 5, ...more })
    const payload = secret('will-payload')
    expect(await with5({ username: 'locked', password: secret('password'), will: { topic: 't', payload: Buffer.from(payload), qos: 0, retain: false } })).toBe(
      notAuthorized,
    )
    expect(await JsClient.attempt(plain, { protocolVersion: 4, username: 'locked', password: secret('old-password') })).toBe(5)
    expect(await with5({ username: '$loggerhead', password: secret('internal-key') })).toBe(notAuthorized)
    expect(await with5({ username: token('token-as-name'), password: 'p' })).toBe(notAuthorized)
    expect(await with5({ username: 'locked', password: token('token-as-password') })).not.toBe('done')
    const method = (name: string, data: string) => ({ properties: { authenticationMethod: name, authenticationData: Buffer.from(data) } })
    expect(await with5(method('CUSTOM-JWT', token('token')))).not.toBe('done')
    expect(await with5(method('OAUTH2-JWT', token('another-token')))).not.toBe('done')
    const stranger = await OpensslAuthority.make('Secret Stranger CA')
    const pair = await stranger.client('locked')
    stranger.remove()
    expect(await JsClient.attempt(url(), { ...options('locked'), ...tlsOptions(stack, pair) })).toBe(notAuthorized)
    const answer = await fetch(`${stack.url}/namespaces/default/clients`, { headers: { authorization: `Bearer ${secret('api-key')}` } })
    expect(answer.status).toBe(401)
    // And what lets in: the owner's key, the keys of those who got in.
    secrets.set('the owner’s key', stack.apiKey)
    for (const [what, { key }] of [...pairs, ['a stranger', pair] as const]) secrets.set(`the key of ${what}`, key.split('\n')[1] as string)

    const events = await until('the refusals are in lifecycle', 60_000, async () => {
      const texts = (await readTopic(stack.brokers, `${stack.prefix}.default.lifecycle`)).map(({ record }) => JSON.stringify(record))
      return texts.some((text) => text.includes('Loggerhead.ConnectRefused') && text.includes('locked')) ? texts : undefined
    })
    const logs = join(stack.folder, 'logs')
    // The log files are written by the supervisor, a little later.
    const written = await until('the refusals are in the logs', 60_000, () => {
      const texts = [stack.output(), ...readdirSync(logs).map((file) => readFileSync(join(logs, file), 'utf8'))]
      return texts.some((text) => text.includes('connect refused')) && texts
    })
    const all = [...written, ...events].join('\n')
    const found = [...secrets].filter(([, text]) => formsOf(text).some((form) => all.includes(form))).map(([what]) => what)
    expect(found).toEqual([])
  })
})

// Last in this file: it takes the anonymous clients' group away from the stack.
describe('the development profile', () => {
  const plain = () => `mqtt://127.0.0.1:${stack.ports.mqtt}`

  test('lets anonymous and user-name clients in until $anonymous is deleted, then within seconds no more', async () => {
    expect(await JsClient.attempt(plain(), { protocolVersion: 5 })).toBe('done')
    expect(await JsClient.attempt(plain(), { protocolVersion: 4, username: 'somebody', password: 'whatever' })).toBe('done')
    const listed = await stack.api('GET', '/namespaces/default/clientGroups')
    expect(JSON.stringify(listed.body)).toContain('$anonymous')
    const client = await JsClient.connect(plain(), { protocolVersion: 5 })
    await remove(stack, 'clientGroups/$anonymous')
    await client.closed()
    expect(client.closeCode).toBe(notAuthorized)
    expect(await JsClient.attempt(plain(), { protocolVersion: 5 })).toBe(notAuthorized)
    expect(await JsClient.attempt(plain(), { protocolVersion: 4 })).toBe(5)
    await stack.untilHealthy()
  })
})
