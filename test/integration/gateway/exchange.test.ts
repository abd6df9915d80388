/** The exchange of AUTH packets, with tokens (section 4.12). */
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import type { AuthPacket, ConnectPacket } from '../../../mqtt/packet.ts'
import { audience, forgedToken, makeTokenIssuer, signedWithPublicKey } from '../../unit/access/tokens.ts'
import { type Harness, openRegistry, startHarness } from './harness.ts'
import { connectPacket, RawClient } from './raw-client.ts'

const issuer = makeTokenIssuer()
const stranger = makeTokenIssuer()
const { tokenIssuer, kid, encodedCertificate } = issuer
const customJwtAuthentication = { tokenIssuer, audiences: [audience], encodedIssuerCertificates: [{ kid, encodedCertificate }] }
const namespace = (clientAuthentication: object) => ({ topicSpacesConfiguration: { clientAuthentication } })
const method = 'CUSTOM-JWT'

let harness: Harness
beforeAll(async () => {
  harness = await startHarness(
    // Nobody here guesses: no refusal is put off.
    { AUTHENTICATION_DATA_BYTES_MAX: '4096', FAILED_CONNECT_DELAY_MAX: '0' },
    {
      registry: {
        ...openRegistry,
        'namespace/default': namespace({ customJwtAuthentication }),
        'clientGroups/vehicles': { query: 'attributes.type = "vehicle"' },
        // biome-ignore lint/suspicious/noTemplateCurlyInString: the registry's own variables
        'topicSpaces/own': { topicTemplates: ['own/${client.authenticationName}/#'] },
        'permissionBindings/own': { clientGroupName: 'vehicles', topicSpaceName: 'own', permission: 'Publisher' },
        'permissionBindings/own-sub': { clientGroupName: 'vehicles', topicSpaceName: 'own', permission: 'Subscriber' },
      },
    },
  )
})
afterAll(() => harness.stop())

const withToken = (clientId: string, token: string | undefined, rest: Partial<ConnectPacket> = {}): ConnectPacket =>
  connectPacket(clientId, { properties: { authenticationMethod: method, ...(token !== undefined && { authenticationData: Buffer.from(token) }) }, ...rest })
const auth = (reasonCode: number, token?: string, authenticationMethod = method): AuthPacket => ({
  type: 'auth',
  reasonCode,
  properties: { authenticationMethod, ...(token !== undefined && { authenticationData: Buffer.from(token) }) },
})
const publish = (topic: string, packetId: number) =>
  ({ type: 'publish', topic, payload: Buffer.alloc(0), qos: 1, dup: false, retain: false, packetId }) as const
const soon = (ms: number) => (Date.now() + ms) / 1000

async function connected(clientId: string, claims: object = {}): Promise<RawClient> {
  return RawClient.attached(harness.port, withToken(clientId, await issuer.token({ type: 'vehicle', ...claims })))
}

async function refusal(packet: ConnectPacket): Promise<number> {
  const client = await RawClient.open(harness.port, packet.protocolVersion)
  client.send(packet)
  const { reasonCode, properties } = await client.next('connack')
  expect(properties ?? {}).toEqual({})
  await client.closed()
  return reasonCode
}

test('OJ-04 [MQTT-4.12.0-5] a CONNECT with a good token is answered by a CONNACK with its method, and its claims are its rights', async () => {
  const client = await RawClient.open(harness.port)
  client.send(withToken('jwt-1', await issuer.token({ type: 'vehicle' })))
  expect(await client.next('connack')).toMatchObject({ reasonCode: 0, properties: { authenticationMethod: method } })
  expect(harness.router.of('Attached', 'jwt-1')[0]).toMatchObject({ authenticationName: 'device-1', vouchedBy: 'customJwt', attributes: { type: 'vehicle' } })
  client.send(publish('own/device-1/a', 1), publish('own/device-2/a', 2))
  await client.next('puback', 2)
  expect(client.of('puback').map(({ reasonCode }) => reasonCode)).toEqual([0, 0x87])
  client.destroy()
})

test('[MQTT-4.12.0-2] [MQTT-4.12.0-3] a method without data is asked for it with AUTH 0x18, and goes on with AUTH 0x18', async () => {
  const client = await RawClient.open(harness.port)
  client.send(withToken('asked', undefined))
  expect(await client.next('auth')).toEqual({ type: 'auth', reasonCode: 0x18, properties: { authenticationMethod: method } })
  client.send(auth(0x18, await issuer.token()))
  expect(await client.next('connack')).toMatchObject({ reasonCode: 0, properties: { authenticationMethod: method } })
  client.destroy()
})

test.each([
  ['AUTH 0x19 before CONNACK', auth(0x19, 'x'), 0x82],
  ['AUTH 0x18 with another method', auth(0x18, 'x', 'OAUTH2-JWT'), 0x82],
  ['AUTH 0x18 without data once more', auth(0x18), 0x87],
  ['another packet', { type: 'pingreq' } as const, 0x82],
] as const)('[MQTT-4.12.0-3] [MQTT-4.12.0-4] %s is refused and the connection closed', async (_what, packet, reasonCode) => {
  const client = await RawClient.open(harness.port)
  client.send(withToken('wrong-turn', undefined))
  await client.next('auth')
  client.send(packet)
  expect(await client.next('connack')).toMatchObject({ reasonCode })
  await client.closed()
})

test('[MQTT-4.12.0-1] a method that is not known, or not set up, is refused with 0x8C, and not told why', async () => {
  const refused = (authenticationMethod: string) => refusal(connectPacket('other-method', { properties: { authenticationMethod } }))
  expect(await refused('SCRAM-SHA-1')).toBe(0x8c)
  expect(await refused('OAUTH2-JWT')).toBe(0x8c)
  expect(await refused('custom-jwt')).toBe(0x8c)
})

test('[MQTT-4.12.0-6] without a method CONNACK carries none, also when a token came as the password (M3-06)', async () => {
  const token = Buffer.from(await issuer.token())
  for (const protocolVersion of [4, 5] as const) {
    const client = await RawClient.open(harness.port, protocolVersion)
    client.send(connectPacket(`password-${protocolVersion}`, { protocolVersion, username: 'token', password: token }))
    const connack = await client.next('connack')
    expect(connack).toMatchObject({ reasonCode: 0 })
    expect(connack.properties?.authenticationMethod).toBeUndefined()
    expect(harness.router.of('Attached', `password-${protocolVersion}`)[0]).toMatchObject({ authenticationName: 'device-1' })
    client.destroy()
  }
})

test('[MQTT-4.12.0-7] AUTH on a connection whose CONNECT named no method ends it with 0x82', async () => {
  const client = await RawClient.attached(harness.port, connectPacket('no-method'))
  client.send(auth(0x19, await issuer.token()))
  expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x82 })
  await client.closed()
})

test('AUTH before CONNECT, and in MQTT 3.1.1, closes the connection', async () => {
  const early = await RawClient.open(harness.port)
  early.send(auth(0x18, 'x'))
  await early.closed()
  const old = await RawClient.attached(harness.port, connectPacket('old', { protocolVersion: 4 }))
  old.raw(Uint8Array.of(0xf0, 0))
  await old.closed()
})

test.each([
  ['[MQTT-3.15.1-1] a reserved bit in its header', [0xf1, 0], 0x81],
  ['[MQTT-3.15.2-1] reason code 0x00, which is the server’s', [0xf0, 5, 0, 3, 0x15, 0, 0], 0x82],
  ['[MQTT-3.15.2-1] an unknown reason code', [0xf0, 2, 0x87, 0], 0x82],
  ['section 3.15.2.2.2: no authentication method', [0xf0, 2, 0x19, 0], 0x82],
] as const)('AUTH with %s ends the connection', async (_what, bytes, reasonCode) => {
  const client = await connected('bad-auth')
  client.raw(Uint8Array.from(bytes))
  expect(await client.next('disconnect')).toMatchObject({ reasonCode })
  await client.closed()
})

test('EN-03 [MQTT-4.12.1-1] AUTH 0x19 with a new token is answered by AUTH 0x00 and gives the connection the new token’s time', async () => {
  const client = await connected('renewed', { exp: soon(3000) })
  const exp = soon(4000)
  client.send(auth(0x19, await issuer.token({ type: 'vehicle', exp })), publish('own/device-1/a', 1))
  // [MQTT-3.15.2-2], [MQTT-3.15.2-3]: nothing but the method.
  expect(await client.next('auth')).toEqual({ type: 'auth', reasonCode: 0, properties: { authenticationMethod: method } })
  expect(await client.next('puback')).toMatchObject({ reasonCode: 0 })
  expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x87 })
  await harness.router.until(() => harness.router.of('Detached', 'renewed').length === 1)
  const [detached] = harness.router.of('Detached', 'renewed')
  expect(detached).toMatchObject({ reason: 'ClientAuthenticationError' })
  expect(detached?.at).toBeGreaterThanOrEqual(exp * 1000)
})

test('OJ-06 an expired token ends its connection with 0x87 ClientAuthenticationError, and cannot be used again', async () => {
  const exp = soon(3000)
  const token = await issuer.token({ exp })
  const client = await RawClient.attached(harness.port, withToken('expires', token))
  expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x87 })
  await harness.router.until(() => harness.router.of('Detached', 'expires').length === 1)
  expect(harness.router.of('Detached', 'expires')[0]).toMatchObject({ reason: 'ClientAuthenticationError', reasonCode: 0x87 })
  expect(harness.router.of('Detached', 'expires')[0]?.at).toBeGreaterThanOrEqual(exp * 1000)
  expect(await refusal(withToken('expires', token))).toBe(0x87)
})

test.each([
  ['of a stranger', async () => stranger.token()],
  ['of somebody else', async () => issuer.token({ sub: 'device-2' })],
  ['that has expired', async () => issuer.token({ exp: soon(-5000) })],
] as const)('[MQTT-4.12.1-2] AUTH 0x19 with a token %s ends the connection with 0x87', async (_what, token) => {
  const client = await connected('renewal-refused')
  client.send(auth(0x19, await token()))
  expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x87 })
  await client.closed()
})

test('[MQTT-4.12.1-1] AUTH 0x19 with another method, AUTH 0x18 unasked, and one AUTH on top of another end the connection with 0x82', async () => {
  const token = await issuer.token()
  for (const packets of [[auth(0x19, token, 'OAUTH2-JWT')], [auth(0x18, token)], [auth(0x19, token), auth(0x19, token)]]) {
    const client = await connected('out-of-order')
    client.send(...packets)
    expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x82 })
    await client.closed()
  }
})

test('AUTH 0x19 without data is asked for it, and everything else goes on meanwhile', async () => {
  const client = await connected('asked-again')
  client.send(auth(0x19))
  expect(await client.next('auth')).toMatchObject({ reasonCode: 0x18 })
  client.send({ type: 'pingreq' })
  await client.next('pingresp')
  client.send(auth(0x18, await issuer.token({ type: 'vehicle' })))
  expect(await client.next('auth', 2)).toMatchObject({ reasonCode: 0 })
  client.destroy()
})

test('a new token with other claims is in the log before it is acknowledged, and its rights count from then on', async () => {
  const client = await connected('other-claims')
  client.send(publish('own/device-1/a', 1))
  expect(await client.next('puback')).toMatchObject({ reasonCode: 0 })
  client.send(auth(0x19, await issuer.token({ type: 'bicycle' })))
  expect(await client.next('auth')).toMatchObject({ reasonCode: 0 })
  client.send(publish('own/device-1/a', 2))
  expect(await client.next('puback', 2)).toMatchObject({ reasonCode: 0x87 })
  await harness.router.until(() => harness.router.of('Reauthenticated', 'other-claims').length === 1)
  expect(harness.router.session('other-claims')?.attributes).toEqual({ type: 'bicycle' })
  client.destroy()
})

test('AUTHENTICATION_TIMEOUT: good new claims that the log is slow to take are no failure of the client', async () => {
  const slow = await startHarness(
    { AUTHENTICATION_TIMEOUT: '400', REGISTRY_STALE: '60000', REGISTRY_LOST: '60000', KAFKA_AWAY_REFUSE: '60000', KAFKA_AWAY_CLOSE: '60000' },
    { registry: { ...openRegistry, 'namespace/default': namespace({ customJwtAuthentication }) } },
  )
  try {
    const client = await RawClient.attached(slow.port, withToken('slow-log', await issuer.token({ type: 'vehicle' })))
    const silent = await RawClient.attached(slow.port, withToken('silent', await issuer.token({ type: 'vehicle' })))
    slow.log.store.setAway(true)
    client.send(auth(0x19, await issuer.token({ type: 'bicycle' })))
    // It is judged before the next packet of another is read: its time would be over first.
    client.send({ type: 'pingreq' })
    await client.next('pingresp')
    silent.send(auth(0x19))
    await silent.closed()
    expect(client.isClosed).toBe(false)
    slow.log.store.setAway(false)
    expect(await client.next('auth')).toMatchObject({ reasonCode: 0 })
    expect(await slow.reached('AUTHENTICATION_TIMEOUT')).toBe(1)
    client.destroy()
  } finally {
    await slow.stop()
  }
})

test('PB-03 a connection that showed a new token with other claims still ends after the refusal of its last publish', async () => {
  const settings = namespace({ customJwtAuthentication })
  await harness.put({ 'namespace/default': { ...settings, limits: { preset: 'eventgrid' } } })
  await harness.router.until(() => harness.process.gateway.config.rules.publishDeniedDisconnects)
  const client = await connected('leaves-renewed')
  client.send(auth(0x19, await issuer.token({ type: 'bicycle' })))
  expect(await client.next('auth')).toMatchObject({ reasonCode: 0 })
  client.send(publish('own/device-1/a', 1))
  expect(await client.next('puback')).toMatchObject({ reasonCode: 0x87 })
  expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x87 })
  await client.closed()
  await harness.put({ 'namespace/default': settings })
  await harness.router.until(() => !harness.process.gateway.config.rules.publishDeniedDisconnects)
})

const claimed = { iss: tokenIssuer, sub: 'device-1', aud: audience, exp: soon(600_000) }
const byPublicKey = signedWithPublicKey(issuer.publicKey)
const badTokens: readonly (readonly [what: string, token: () => Promise<string> | string])[] = [
  ['a wrong audience', () => issuer.token({ aud: 'elsewhere' })],
  ['a wrong issuer', () => issuer.token({ iss: 'https://evil.example.com' })],
  ['a stranger’s signature', () => stranger.token()],
  ['an unknown kid', () => issuer.token({}, { kid: 'unknown' })],
  ['alg none', () => forgedToken({ alg: 'none', kid }, claimed, () => Buffer.alloc(0))],
  ['HS256 keyed with the public key', () => forgedToken({ alg: 'HS256', kid }, claimed, byPublicKey)],
  ['RS256 in its header and HS256 in truth', () => forgedToken({ alg: 'RS256', kid }, claimed, byPublicKey)],
  ['a reserved name', () => issuer.token({ sub: '$loggerhead' })],
]

test.each(badTokens)('a token with %s is refused with 0x87, by method and as a password, and not told why', async (_what, token) => {
  const bad = await token()
  expect(await refusal(withToken('refused', bad))).toBe(0x87)
  // Although $anonymous would let a stranger in: who shows a token means to be judged by it.
  expect(await refusal(connectPacket('refused', { username: 'device-1', password: Buffer.from(bad) }))).toBe(0x87)
})

test('M5-19 AUTHENTICATION_DATA_BYTES_MAX: more data than that is refused with 0x97, in CONNECT and in AUTH', async () => {
  const large = 'x'.repeat(4097)
  const client = await RawClient.open(harness.port)
  client.send(withToken('large', large))
  expect(await client.next('connack')).toMatchObject({ reasonCode: 0x97 })
  const open = await connected('large-renewal')
  open.send(auth(0x19, large))
  expect(await open.next('disconnect')).toMatchObject({ reasonCode: 0x97 })
  expect(await harness.reached('AUTHENTICATION_DATA_BYTES_MAX')).toBe(2)
})

test('an issuer that the namespace no longer believes ends its connections, and a rotated key does not', async () => {
  const client = await connected('issuer-gone')
  const next = makeTokenIssuer({ kid: 'next' })
  const both = [
    { kid, encodedCertificate },
    { kid: next.kid, encodedCertificate: next.encodedCertificate },
  ]
  const version = harness.process.gateway.registryVersion
  await harness.put({ 'namespace/default': namespace({ customJwtAuthentication: { ...customJwtAuthentication, encodedIssuerCertificates: both } }) })
  await harness.router.until(() => harness.process.gateway.registryVersion > version)
  const byNext = await RawClient.open(harness.port)
  byNext.send(withToken('next-key', await next.token()))
  expect(await byNext.next('connack')).toMatchObject({ reasonCode: 0 })
  client.send({ type: 'pingreq' })
  await client.next('pingresp')
  await harness.put({ 'namespace/default': namespace({ customJwtAuthentication: { ...customJwtAuthentication, encodedIssuerCertificates: both.slice(1) } }) })
  expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x87 })
  byNext.send({ type: 'pingreq' })
  await byNext.next('pingresp')
  byNext.destroy()
  await harness.put({ 'namespace/default': namespace({ customJwtAuthentication }) })
})
