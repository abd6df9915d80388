/** Certificates made by openssl, shown over real TLS, judged by the registry as it follows the real Kafka. */
import { execFile } from 'node:child_process'
import type { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect } from '@jest/globals'
import { authenticate, stillValid } from '../../../access/authenticate.ts'
import { makeDevelopmentCertificates } from '../../../access/certificates.ts'
import { KafkaLog } from '../../../log/kafka/kafka-log.ts'
import { RegistryFollower } from '../../../model/registry-follower.ts'
import { testWith } from '../../support/available.ts'
import { RegistryDeployment, type RunningRegistry, send } from './process.ts'

const test = testWith('openssl')
const run = promisify(execFile)

let folder: string
let deployment: RegistryDeployment
let registry: RunningRegistry
let log: KafkaLog
let follower: RegistryFollower

const file = (name: string) => join(folder, name)
const registryTopic = () => `${deployment.environment.LOGGERHEAD_PREFIX}.default.registry`
const openssl = (...args: string[]) => run('openssl', args, { cwd: folder })

async function makeCa(name: string, subject: string): Promise<void> {
  await openssl(
    'req',
    '-x509',
    '-newkey',
    'rsa:2048',
    '-nodes',
    '-keyout',
    `${name}.key`,
    '-out',
    `${name}.pem`,
    '-days',
    '2',
    '-subj',
    subject,
    '-addext',
    'keyUsage=critical,keyCertSign',
  )
}

async function makeLeaf(name: string, ca: string, subject: string, extensions: string, options: readonly string[] = ['-days', '1']): Promise<void> {
  await writeFile(file(`${name}.ext`), extensions)
  await openssl('req', '-newkey', 'rsa:2048', '-nodes', '-utf8', '-keyout', `${name}.key`, '-out', `${name}.csr`, '-subj', subject)
  await openssl(
    'x509',
    '-req',
    '-in',
    `${name}.csr`,
    '-CA',
    `${ca}.pem`,
    '-CAkey',
    `${ca}.key`,
    '-CAcreateserial',
    '-out',
    `${name}.pem`,
    '-extfile',
    `${name}.ext`,
    ...options,
  )
}

/** Shows a certificate in a real handshake with a server that lets every certificate pass, as the gateway does. */
async function show(name: string): Promise<X509Certificate> {
  const server = createServer({
    cert: await readFile(file('server/server.pem')),
    key: await readFile(file('server/server.key')),
    requestCert: true,
    rejectUnauthorized: false,
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const accepted = once(server, 'secureConnection') as Promise<[TLSSocket]>
  const socket = connect({
    port: (server.address() as AddressInfo).port,
    host: '127.0.0.1',
    ca: await readFile(file('server/ca.pem')),
    cert: await readFile(file(`${name}.pem`)),
    key: await readFile(file(`${name}.key`)),
  })
  socket.on('error', () => {})
  const [peer] = await accepted
  const certificate = peer.getPeerX509Certificate()
  socket.destroy()
  peer.destroy()
  server.close()
  if (!certificate) throw new Error('the client showed no certificate')
  return certificate
}

async function judge(certificate: X509Certificate | undefined, username?: string) {
  const answer = authenticate(follower.view, { clientId: 'c', username, certificate }, { now: Date.now() })
  return answer.ok ? answer.principal.authenticationName : answer.why
}

/** Writes through the API and waits until a follower elsewhere has it: no restart. */
async function change(method: 'PUT' | 'DELETE', rest: string, body?: object): Promise<void> {
  const { status, json } = await send(registry.port, method, rest, body)
  if (status >= 300) throw new Error(`${status} ${JSON.stringify(json)}`)
  // To the end, and not one record on: the registry writes notes of its own meanwhile.
  await follower.reached(((await log.endOffsets(registryTopic())).get(0) ?? 0) - 1)
}

const client = (authenticationName: string, validationScheme: string, allowedThumbprints?: readonly string[]) => ({
  authenticationName,
  clientCertificateAuthentication: { validationScheme, ...(allowedThumbprints ? { allowedThumbprints } : {}) },
})

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'loggerhead-openssl-'))
  await makeDevelopmentCertificates(file('server'), { hosts: [] })
  deployment = await RegistryDeployment.create()
  registry = await deployment.start()
  log = new KafkaLog({
    brokers: process.env.KAFKA_BROKERS!.split(','), // create() has seen it
    clientId: 'test',
    logger: { debug() {}, info() {}, warn() {}, error() {} } as unknown as ConstructorParameters<typeof KafkaLog>[0]['logger'],
  })
  follower = await RegistryFollower.start({ log, topic: registryTopic(), clock: { now: Date.now } })
  await change('DELETE', 'clientGroups/$anonymous')
})

afterAll(async () => {
  await follower?.close()
  await log?.close()
  await deployment?.close()
  await rm(folder, { recursive: true })
})

test('XA-02, XA-03 openssl’s certificates match by CN, full subject, DNS, URI, IP v4 and v6, and email', async () => {
  await makeCa('factory', '/O=Factory/CN=Factory CA')
  await change('PUT', 'caCertificates/factory', { encodedCertificate: await readFile(file('factory.pem'), 'utf8') })
  const alternatives =
    'subjectAltName=DNS:truck.example,DNS:second.example,URI:urn:truck:1,IP:192.0.2.9,IP:2001:db8::9,email:truck@example.org\nextendedKeyUsage=clientAuth'
  await makeLeaf('truck', 'factory', '/C=NO/O=Factory, \\+ Sons/CN=Trück-1', alternatives)
  const certificate = await show('truck')
  const names: readonly (readonly [name: string, scheme: string])[] = [
    ['Trück-1', 'SubjectMatchesAuthenticationName'],
    ['C=NO,O=Factory\\, \\+ Sons,CN=Trück-1', 'SubjectMatchesAuthenticationName'],
    ['CN=Trück-1, O=Factory\\, \\+ Sons, C=NO', 'SubjectMatchesAuthenticationName'],
    ['second.example', 'DnsMatchesAuthenticationName'],
    ['urn:truck:1', 'UriMatchesAuthenticationName'],
    ['192.0.2.9', 'IpMatchesAuthenticationName'],
    ['2001:db8::9', 'IpMatchesAuthenticationName'],
    ['truck@example.org', 'EmailMatchesAuthenticationName'],
  ]
  for (const [name, scheme] of names) {
    await change('PUT', 'clients/truck', client(name, scheme))
    expect(await judge(certificate, name)).toBe(name)
    await change('DELETE', 'clients/truck')
  }
  await change('PUT', 'clients/truck', client('truck.example', 'UriMatchesAuthenticationName'))
  expect(await judge(certificate, 'truck.example')).toContain('does not say')
  await change('DELETE', 'clients/truck')
})

test('XA-03 a subject cannot be made to look like another by what its values hold', async () => {
  await makeLeaf('sly', 'factory', '/CN=sly\\nCN=admin/O=x \\+ CN=admin/OU=a, CN=admin', 'extendedKeyUsage=clientAuth')
  const certificate = await show('sly')
  await change('PUT', 'clients/admin', client('admin', 'SubjectMatchesAuthenticationName'))
  expect(await judge(certificate, 'admin')).toContain('does not say “admin”')
  await writeFile(file('alt.cnf'), 'subjectAltName=@alt\n[alt]\nURI.1=http://x/,DNS:admin\nDNS.1="x, DNS:admin"\n')
  await makeLeaf('slier', 'factory', '/CN=x', await readFile(file('alt.cnf'), 'utf8'))
  await change('PUT', 'clients/admin', client('admin', 'DnsMatchesAuthenticationName'))
  expect(await judge(await show('slier'), 'admin')).toContain('does not say “admin”')
  await change('DELETE', 'clients/admin')
})

test('XA-01 the direct issuer counts: a registered intermediate lets its leaves in, its root does not', async () => {
  await makeCa('root', '/CN=Root')
  await makeLeaf('intermediate', 'root', '/CN=Intermediate', 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign')
  await makeLeaf('leaf', 'intermediate', '/CN=leaf', 'extendedKeyUsage=clientAuth')
  const certificate = await show('leaf')
  await change('PUT', 'clients/leaf', client('leaf', 'SubjectMatchesAuthenticationName'))
  await change('PUT', 'caCertificates/root', { encodedCertificate: await readFile(file('root.pem'), 'utf8') })
  expect(await judge(certificate, 'leaf')).toContain('no CA certificate is registered for the issuer “CN=Intermediate”')
  await change('PUT', 'caCertificates/intermediate', { encodedCertificate: await readFile(file('intermediate.pem'), 'utf8') })
  expect(await judge(certificate, 'leaf')).toBe('leaf')
})

test('a certificate forged to name a registered CA, one signed with SHA-1, one for servers, an expired one: refused', async () => {
  await change('PUT', 'clients/victim', client('victim', 'SubjectMatchesAuthenticationName'))
  await makeCa('forger', '/O=Factory/CN=Factory CA')
  await makeLeaf('forged', 'forger', '/CN=victim', 'extendedKeyUsage=clientAuth')
  expect(await judge(await show('forged'), 'victim')).toMatch(/no registered CA certificate of that name made the signature/)
  await makeLeaf('weak', 'factory', '/CN=victim', 'extendedKeyUsage=clientAuth', ['-days', '1', '-sha1'])
  const weak = new (await import('node:crypto')).X509Certificate(await readFile(file('weak.pem')))
  expect(await judge(weak, 'victim')).toContain('can be forged')
  await makeLeaf('for-servers', 'factory', '/CN=victim', 'extendedKeyUsage=serverAuth')
  expect(await judge(await show('for-servers'), 'victim')).toContain('without clientAuth')
  await makeLeaf('good', 'factory', '/CN=victim', 'extendedKeyUsage=clientAuth')
  const good = await show('good')
  expect(await judge(good, 'victim')).toBe('victim')
  const late = authenticate(follower.view, { clientId: 'c', username: 'victim', certificate: good }, { now: Date.now() + 86_400_000 })
  expect(late).toMatchObject({ ok: false, why: expect.stringContaining('expired') })
})

test('XT-01 a self-signed certificate is known by its thumbprint, as openssl prints it', async () => {
  await openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', 'self.key', '-out', 'self.pem', '-days', '1', '-subj', '/CN=whoever')
  const certificate = await show('self')
  for (const hash of ['-sha1', '-sha256']) {
    const { stdout } = await openssl('x509', '-in', 'self.pem', '-noout', '-fingerprint', hash)
    await change('PUT', 'clients/self', client('self', 'ThumbprintMatch', [stdout.trim().split('=')[1]!]))
    expect(await judge(certificate, 'self')).toBe('self')
  }
  await change('PUT', 'clients/self', client('self', 'ThumbprintMatch', ['00'.repeat(32)]))
  expect(await judge(certificate, 'self')).toContain('thumbprint')
})

test('a CA removed from the registry ends what it let in, without a restart', async () => {
  await makeLeaf('revoked', 'factory', '/CN=revoked', 'extendedKeyUsage=clientAuth')
  await change('PUT', 'clients/revoked', client('revoked', 'SubjectMatchesAuthenticationName'))
  const credentials = { clientId: 'c', username: 'revoked', certificate: await show('revoked') }
  const answer = authenticate(follower.view, credentials, { now: Date.now() })
  if (!answer.ok) throw new Error(answer.why)
  const connection = { credentials, principal: answer.principal }
  expect(stillValid(follower.view, connection, { now: Date.now() }).ok).toBe(true)
  await change('DELETE', 'caCertificates/factory')
  expect(stillValid(follower.view, connection, { now: Date.now() })).toMatchObject({ ok: false, disconnectionReason: 'ClientAuthenticationError' })
})

test('the development certificates verify in openssl by its strictest rules', async () => {
  for (const [purpose, leaf] of [
    ['sslserver', 'server'],
    ['sslclient', 'client'],
  ] as const) {
    const { stdout } = await openssl('verify', '-x509_strict', '-purpose', purpose, '-CAfile', 'server/ca.pem', `server/${leaf}.pem`)
    expect(stdout).toContain('OK')
  }
})
