import { spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import type { IClientOptions } from 'mqtt'
import { parse, stringify } from 'yaml'
import { type Stack, startStack, until } from '../support/stack.ts'
import { makeTokenIssuer } from '../unit/access/tokens.ts'
import { JsClient } from './mqttjs.ts'

const project = dirname(dirname(import.meta.dirname))
const scenarios = join(project, 'docs/examples/scenarios')

/** The public samples of Azure's MQTT broker, set up by the command line alone: authority, certificates, resources. */
describe('sample scenarios', () => {
  let stack: Stack
  let folder: string
  const clients = ['sample_client', 'vehicle01', 'vehicle02', 'map-app', 'vehicle03', 'mobile-app', 'vehicle04', 'vehicle05', 'control-tower']

  function loggerhead(args: readonly string[], input = ''): Promise<string> {
    return new Promise((resolve, reject) => {
      const environment = { ...process.env, ...(stack && { LOGGERHEAD_URL: stack.url, LOGGERHEAD_DATA: stack.folder }) }
      const child = spawn(process.execPath, [join(project, 'cli/main.ts'), ...args], { cwd: folder, env: environment })
      let out = ''
      let err = ''
      child.stdout.setEncoding('utf8').on('data', (text) => (out += text))
      child.stderr.setEncoding('utf8').on('data', (text) => (err += text))
      child.on('error', reject)
      child.on('close', (code) => (code === 0 ? resolve(out) : reject(new Error(`loggerhead ${args.join(' ')}: ${code}\n${err}`))))
      child.stdin.end(input)
    })
  }
  const pem = (...names: readonly string[]) => readFileSync(join(folder, 'pki', ...names))

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'loggerhead-scenarios-'))
    const authority = await loggerhead(['pki', 'init'])
    await loggerhead(['pki', 'issue', 'localhost', '--for', 'server'])
    const issued = ['localhost.pem', 'localhost.key'].map((name) => join(folder, 'pki', 'issued', name))
    // As in production, nobody comes in without a certificate.
    stack = await startStack({ environment: { TLS_CERT: issued[0], TLS_KEY: issued[1], LOGGERHEAD_BIND: '127.0.0.1' } })
    await loggerhead(['apply', '-f', '-'], authority)
    await loggerhead(['delete', 'groups', '$anonymous'])
    await Promise.all(clients.map((name) => loggerhead(['pki', 'issue', name])))
    await loggerhead(['apply', '-f', scenarios])
    await stack.settled()
  }, 180_000)
  afterAll(async () => {
    await stack?.stop()
    rmSync(folder, { recursive: true, force: true })
  })

  /** As the samples do: user name, client id, and common name are one. */
  const connect = (name: string, protocolVersion: 4 | 5, options: IClientOptions = {}) =>
    JsClient.connect(`mqtts://localhost:${stack.ports.mqtts}`, {
      protocolVersion,
      clientId: name,
      username: name,
      keepalive: 30,
      ca: pem('root.pem'),
      cert: pem('issued', `${name}.pem`),
      key: pem('issued', `${name}.key`),
      ...options,
    })

  test('a second apply of all of them changes nothing', async () => {
    expect(await loggerhead(['apply', '-f', scenarios])).toMatch(/^0 to create, 0 to update, 0 to delete, \d+ unchanged\n$/)
  })

  test.each([4, 5] as const)(
    'getting_started: a client gets back what it publishes (MQTT version %d)',
    async (version) => {
      const client = await connect('sample_client', version)
      expect(await client.subscribe('sample/+')).toBe(1)
      expect(await client.publish('sample/topic1', 'hello world!')).toBe('done')
      expect(await client.next()).toMatchObject({ topic: 'sample/topic1', payload: Buffer.from('hello world!') })
      await client.end()
    },
    180_000,
  )

  test('EN-02 EN-05 PB-07 jwt_authentication: a token lets in who is in no registry, over WebSocket, and its roles say what for', async () => {
    const page = readFileSync(join(project, 'docs/scenarios.md'), 'utf8')
    const manifest = parse(/^```yaml\n([\s\S]*?)^```$/m.exec(page)?.[1] ?? '') as {
      properties: { topicSpacesConfiguration: { clientAuthentication: { oauth2JwtAuthentication: Record<string, unknown> } } }
    }
    const issuer = makeTokenIssuer()
    const { oauth2JwtAuthentication } = manifest.properties.topicSpacesConfiguration.clientAuthentication
    // The page's issuer publishes its keys; this one is known by its certificate.
    delete oauth2JwtAuthentication.openIdConfigurationUrl
    Object.assign(oauth2JwtAuthentication, {
      tokenIssuer: issuer.tokenIssuer,
      encodedIssuerCertificates: [{ kid: issuer.kid, encodedCertificate: issuer.encodedCertificate }],
    })
    await loggerhead(['apply', '-f', '-'], stringify(manifest))
    const audience = 'https://eventgrid.azure.net/'
    const token = (roles: readonly string[]) => issuer.token({ sub: 'jwt-client', aud: audience, roles })
    const good = await token(['EventGrid TopicSpaces Publisher', 'EventGrid TopicSpaces Subscriber'])
    expect(await loggerhead(['token', 'check'], good)).toMatch(/^accepted by OAUTH2-JWT, as jwt-client\n/)
    expect(await loggerhead(['token', 'check'], await issuer.token()).catch((error: Error) => error.message)).toContain(': 2')
    const connectWith = async (shown: string) =>
      JsClient.connect(`wss://localhost:${stack.ports.wss}/mqtt`, {
        protocolVersion: 5,
        clientId: 'jwt-client',
        ca: pem('root.pem'),
        properties: { authenticationMethod: 'OAUTH2-JWT', authenticationData: Buffer.from(shown) },
      })
    let client: JsClient | undefined
    // The gateway takes the namespace's settings over within moments.
    await until('the token is believed', 60_000, async () => (client = await connectWith(good).catch(() => undefined)))
    expect(await client!.subscribe('jwt/+')).toBe(1)
    expect(await client!.publish('jwt/topic1', 'hello jwt')).toBe('done')
    expect(await client!.next()).toMatchObject({ topic: 'jwt/topic1', payload: Buffer.from('hello jwt') })
    expect(await client!.publish('sample/topic1', 'x')).toBe(0x87)
    await client!.end()
    const reader = await connectWith(await token(['EventGrid TopicSpaces Subscriber']))
    expect(await reader.subscribe('jwt/+')).toBe(1)
    expect(await reader.publish('jwt/topic1', 'x')).toBe(0x87)
    await reader.end()
    await expect(connectWith(await issuer.token())).rejects.toMatchObject({ code: 0x87 })
  })

  test('PB-06 telemetry: the map sees every vehicle; a vehicle sees none and publishes as itself only (3.1.1)', async () => {
    const [first, second, map] = await Promise.all([connect('vehicle01', 4), connect('vehicle02', 4), connect('map-app', 4)])
    expect(await map.subscribe('vehicles/+/position')).toBe(1)
    expect(await first.subscribe('vehicles/+/position')).toBe(0x80)
    const point = (x: number) => JSON.stringify({ type: 'Point', coordinates: [x, 47.6] })
    expect(await first.publish('vehicles/vehicle01/position', point(1))).toBe('done')
    expect(await second.publish('vehicles/vehicle02/position', point(2))).toBe('done')
    const seen = [await map.next(), await map.next()].map(({ topic, payload }) => [topic, payload.toString()]).toSorted()
    expect(seen).toEqual([
      ['vehicles/vehicle01/position', point(1)],
      ['vehicles/vehicle02/position', point(2)],
    ])
    expect(await first.publish('vehicles/vehicle02/position', point(3))).toBe(0) // 3.1.1 has no word for it but the end
    expect(await loggerhead(['explain', 'publish', 'vehicle01', 'vehicles/vehicle02/position']).catch((error: Error) => error.message)).toContain(': 2')
    await Promise.all([second, map].map((client) => client.end()))
  })

  test('command: a request is answered on its response topic with its correlation data and a status', async () => {
    const [vehicle, app] = await Promise.all([connect('vehicle03', 5), connect('mobile-app', 5)])
    await vehicle.subscribe('vehicles/vehicle03/command/unlock/request')
    await app.subscribe('vehicles/vehicle03/command/unlock/response')
    const correlationData = Buffer.from('6f1c2d1a-1f6b-4c55-9a43-8c1d2e3f4a5b')
    const responseTopic = 'vehicles/vehicle03/command/unlock/response'
    const request = Buffer.from([0x0a, 0x06, 0x08, 0x80, 0xf1, 0xb9, 0xab, 0x06])
    await app.client.publishAsync('vehicles/vehicle03/command/unlock/request', request, {
      qos: 1,
      properties: { correlationData, responseTopic, contentType: 'application/protobuf' },
    })
    const asked = await vehicle.next()
    expect([asked.payload, asked.packet.properties]).toEqual([
      request,
      expect.objectContaining({ correlationData, responseTopic, contentType: 'application/protobuf' }),
    ])
    await vehicle.client.publishAsync(asked.packet.properties?.responseTopic as string, Buffer.from([0x08, 0x01]), {
      qos: 1,
      properties: {
        correlationData: asked.packet.properties?.correlationData as Buffer,
        contentType: 'application/protobuf',
        userProperties: { status: '200' },
      },
    })
    expect((await app.next()).packet).toMatchObject({ topic: responseTopic, properties: { correlationData, userProperties: { status: '200' } } })
    await Promise.all([vehicle, app].map((client) => client.end()))
  })

  test('alert: vehicles that are away get the alert when they are back, with what is left of its time', async () => {
    const persistent = { clean: false, properties: { sessionExpiryInterval: 3600 } }
    const names = ['vehicle04', 'vehicle05']
    for (const name of names) {
      const vehicle = await connect(name, 5, persistent)
      expect(await vehicle.subscribe('vehicles/weather/alert')).toBe(1)
      await vehicle.end()
    }
    const tower = await connect('control-tower', 5)
    const alert = JSON.stringify({ condition: 'hail', severity: 'high' })
    await tower.client.publishAsync('vehicles/weather/alert', alert, { qos: 1, retain: false, properties: { messageExpiryInterval: 300 } })
    for (const name of names) {
      const vehicle = await connect(name, 5, persistent)
      const { payload, packet } = await vehicle.next()
      expect([payload.toString(), packet.qos]).toEqual([alert, 1])
      expect(packet.properties?.messageExpiryInterval).toBeGreaterThan(240)
      expect(packet.properties?.messageExpiryInterval).toBeLessThanOrEqual(300)
      expect(await vehicle.publish('vehicles/weather/alert', 'forged')).toBe(0x87)
      await vehicle.end()
    }
    await tower.end()
  })

  test('a revoked certificate shuts its vehicle out, and explain says why', async () => {
    const vehicle = await connect('vehicle02', 5)
    const certificate = pem('issued', 'vehicle02.pem').toString()
    await loggerhead(['apply', '-f', '-'], await loggerhead(['pki', 'revoke', 'vehicle02']))
    await vehicle.closed()
    expect(vehicle.closeCode).toBe(0x87)
    expect((await stack.api('POST', '/namespaces/default:explain', { action: 'connect', client: 'vehicle02', certificate })).body).toMatchObject({
      allowed: false,
      reason: 'the client “vehicle02” is disabled',
    })
  })
})
