import { X509Certificate } from 'node:crypto'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { makeDevelopmentCertificates } from '../../../access/certificates.ts'

let folder: string
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'loggerhead-certificates-')), 'certificates')
})
afterEach(() => rm(join(folder, '..'), { recursive: true }))

const day = 86_400_000
const read = async (path: string) => new X509Certificate(await readFile(path))

test('the development certificates are a CA, a server’s with all its names and a client’s, the keys for the owner only', async () => {
  const files = await makeDevelopmentCertificates(folder, { hosts: ['box.example', '192.0.2.7'] })
  expect(files.made).toBe(true)
  const [ca, server, client] = await Promise.all([read(files.ca), read(files.serverCertificate), read(files.clientCertificate)])
  expect(ca.ca).toBe(true)
  for (const leaf of [server, client]) expect([leaf.checkIssued(ca), leaf.verify(ca.publicKey), leaf.ca]).toEqual([true, true, false])
  for (const host of ['localhost', 'box.example']) expect(server.checkHost(host)).toBe(host)
  for (const ip of ['127.0.0.1', '::1', '192.0.2.7']) expect(server.checkIP(ip)).toBe(ip)
  expect(client.subject).toContain('CN=sample_client')
  for (const key of [files.caKey, files.serverKey, files.clientKey]) expect((await stat(key)).mode & 0o777).toBe(0o600)
})

test('what is good stays; a new host name renews the server’s certificate and leaves the CA, so that clients keep trusting', async () => {
  const first = await makeDevelopmentCertificates(folder, { hosts: [] })
  const before = await Promise.all([readFile(first.ca, 'utf8'), readFile(first.serverCertificate, 'utf8'), readFile(first.clientCertificate, 'utf8')])
  expect((await makeDevelopmentCertificates(folder, { hosts: [] })).made).toBe(false)
  expect((await makeDevelopmentCertificates(folder, { hosts: ['new.example'] })).made).toBe(true)
  expect(await readFile(first.ca, 'utf8')).toBe(before[0])
  expect(await readFile(first.serverCertificate, 'utf8')).not.toBe(before[1])
  expect(await readFile(first.clientCertificate, 'utf8')).toBe(before[2])
})

test('certificates close to their end, damaged ones and keys that do not fit are made anew', async () => {
  const now = Date.now()
  const files = await makeDevelopmentCertificates(folder, { hosts: [], now })
  const later = now + 800 * day
  expect((await makeDevelopmentCertificates(folder, { hosts: [], now: later })).made).toBe(true)
  expect((await read(files.serverCertificate)).validToDate.getTime()).toBeGreaterThan(later + 800 * day)
  for (const damage of [files.serverKey, files.clientCertificate, files.caKey]) {
    await writeFile(damage, 'nonsense')
    expect((await makeDevelopmentCertificates(folder, { hosts: [], now: later })).made).toBe(true)
    expect((await makeDevelopmentCertificates(folder, { hosts: [], now: later })).made).toBe(false)
  }
  await writeFile(files.serverKey, await readFile(files.clientKey))
  expect((await makeDevelopmentCertificates(folder, { hosts: [], now: later })).made).toBe(true)
})
