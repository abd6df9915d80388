import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:https'
import { networkInterfaces, tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type TLSSocket } from 'node:tls'
import { afterEach, expect, test } from '@jest/globals'
import { type DevelopmentCertificates, makeDevelopmentCertificates } from '../../../access/certificates.ts'
import { closeAll, closing, echo, freePort, metric, type OpenDoor, openDoor, until, upstream } from './fixtures.ts'

afterEach(closeAll)

/** An address of this machine that is not loopback: to the door, one from outside. */
const outside = Object.values(networkInterfaces())
  .flatMap((each) => each ?? [])
  .find(({ internal, family }) => !internal && family === 'IPv4')?.address
const fromOutside = outside === undefined ? test.skip : test
const why = outside === undefined ? ' (skipped: this machine has loopback addresses only)' : ''

async function certificates(): Promise<DevelopmentCertificates & { folder: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'loggerhead-door-'))
  closing(() => rmSync(folder, { recursive: true }))
  return { ...(await makeDevelopmentCertificates(folder, { hosts: outside === undefined ? [] : [outside] })), folder }
}

async function secureDoor(made: DevelopmentCertificates, environment: Record<string, string>): Promise<OpenDoor> {
  return openDoor({ HTTPS_PORT: String(await freePort()), TLS_CERT: made.serverCertificate, TLS_KEY: made.serverKey, ...environment })
}

function get(port: number | undefined, host: string, ca: string, headers: Record<string, string>): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    request({ host, port, path: '/namespaces', ca: readFileSync(ca), headers, agent: false }, (response) => {
      let body = ''
      response.on('data', (chunk) => {
        body += chunk
      })
      response.on('end', () => resolve({ status: response.statusCode ?? 0, body }))
    })
      .on('error', reject)
      .end()
  })
}

fromOutside(`in production a key from another machine is refused over plain HTTP and taken over HTTPS${why}`, async () => {
  const made = await certificates()
  let seen = 0
  const registry = await upstream((incoming, response) => {
    seen++
    echo('registry')(incoming, response)
  })
  const door = await secureDoor(made, { LOGGERHEAD_PROFILE: 'production', LOGGERHEAD_BIND: outside ?? '', REGISTRY_URL: registry })
  const headers = { authorization: 'Bearer key' }
  const plain = await fetch(`http://${outside}:${door.ports.http}/namespaces`, { headers })
  expect([plain.status, plain.headers.get('content-type'), await plain.json()]).toMatchObject([
    403,
    'application/problem+json',
    { detail: expect.stringContaining('plain HTTP') },
  ])
  expect([seen, await metric(door, 'loggerhead_door_refused_total{reason="key"}')]).toEqual([0, 1])
  expect((await fetch(`http://${outside}:${door.ports.http}/namespaces`)).status).toBe(200)
  const secure = await get(door.ports.https, outside ?? '', made.ca, headers)
  expect([secure.status, JSON.parse(secure.body)]).toMatchObject([
    200,
    { headers: { authorization: 'Bearer key', 'x-forwarded-proto': 'https', 'x-forwarded-for': outside } },
  ])
})

fromOutside(`metrics are not shown to another machine${why}`, async () => {
  const door = await openDoor({ LOGGERHEAD_BIND: outside ?? '' })
  expect((await fetch(`http://${outside}:${door.ports.http}/metrics`)).status).toBe(403)
})

/** The serial number of the certificate that a new connection is shown. */
async function shown(port: number | undefined, ca: string): Promise<{ serial: string; socket: TLSSocket }> {
  const socket = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: readFileSync(ca) })
  closing(() => socket.destroy())
  await new Promise((resolve, reject) => socket.once('secureConnect', resolve).once('error', reject))
  return { serial: socket.getPeerCertificate().serialNumber, socket }
}

test('a changed certificate is shown to new connections, and those that stand go on', async () => {
  const made = await certificates()
  const door = await secureDoor(made, { REGISTRY_URL: await upstream(echo('registry')) })
  const before = await shown(door.ports.https, made.ca)

  const next = mkdtempSync(join(made.folder, 'next-'))
  for (const file of [made.ca, made.caKey]) copyFileSync(file, join(next, file.split('/').at(-1) ?? ''))
  const renewed = await makeDevelopmentCertificates(next, { hosts: [] })
  // Half a change first: the certificate without its key is not taken.
  writeFileSync(made.serverCertificate, readFileSync(renewed.serverCertificate))
  expect((await shown(door.ports.https, made.ca)).serial).toBe(before.serial)
  writeFileSync(made.serverKey, readFileSync(renewed.serverKey))
  await until(async () => (await shown(door.ports.https, made.ca)).serial !== before.serial)

  before.socket.write('GET /namespaces HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n')
  const [chunk] = (await new Promise((resolve) => before.socket.once('data', (data) => resolve([data])))) as [Buffer]
  expect(chunk.toString()).toMatch(/^HTTP\/1.1 200 /)
})

test('HTTPS_PORT with a certificate that cannot be read stops the start', async () => {
  await expect(openDoor({ HTTPS_PORT: '1', TLS_CERT: '/nonexistent/server.pem', TLS_KEY: '/nonexistent/server.key' })).rejects.toThrow(/ENOENT.*server\.pem/)
})
