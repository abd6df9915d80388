import { execFile } from 'node:child_process'
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { connect, createServer, type TLSSocket } from 'node:tls'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals'
import { parse } from 'yaml'
import { authenticate } from '../../../access/authenticate.ts'
import { issueLeaf, makeAuthorities, makeRevocationList, readRevoked, serialNumberOf } from '../../../cli/pki.ts'
import { readCaCertificate } from '../../../registry/ca-certificate.ts'
import { viewOf } from '../access/registry.ts'

const run = promisify(execFile)
const project = dirname(dirname(dirname(import.meta.dirname)))
const day = 86_400_000

describe('certificates', () => {
  const now = Date.UTC(2030, 0, 1)

  test('a root signs an intermediate, which the registry takes as a CA certificate (XA-01) and which signs leaves for their use', async () => {
    const { root, intermediate } = await makeAuthorities('Fleet', now)
    const [top, middle] = [new X509Certificate(root.certificate), new X509Certificate(intermediate.certificate)]
    expect([middle.checkIssued(top), middle.verify(top.publicKey), middle.ca]).toEqual([true, true, true])
    expect(readCaCertificate(intermediate.certificate, now)).toMatchObject({ ok: true })
    const made = await issueLeaf(intermediate, { use: 'client', commonName: 'vehicle-1', hosts: [], days: 30, now })
    const leaf = new X509Certificate(made.certificate)
    expect([leaf.verify(middle.publicKey), leaf.checkPrivateKey(createPrivateKey(made.key)), leaf.ca, leaf.keyUsage]).toEqual([
      true,
      true,
      false,
      ['1.3.6.1.5.5.7.3.2'],
    ])
    expect([leaf.validFromDate.getTime(), leaf.validToDate.getTime()]).toEqual([now - 3_600_000, now + 30 * day])
    const server = new X509Certificate(
      (await issueLeaf(intermediate, { use: 'server', commonName: 'broker', hosts: ['broker.test', '10.0.0.1'], days: 9999, now })).certificate,
    )
    expect([server.checkHost('broker.test'), server.checkIP('10.0.0.1'), server.keyUsage]).toEqual(['broker.test', '10.0.0.1', ['1.3.6.1.5.5.7.3.1']])
    expect(server.validToDate).toEqual(middle.validToDate) // never later than who signed it
  })

  test('XA-02 a client with the certificate is let in once CA and client are registered', async () => {
    const { intermediate } = await makeAuthorities('Fleet', now)
    const { certificate } = await issueLeaf(intermediate, { use: 'client', commonName: 'vehicle-1', hosts: [], days: 1, now })
    const credentials = { clientId: 'x', username: 'vehicle-1', certificate: new X509Certificate(certificate) }
    const client = { clientCertificateAuthentication: { validationScheme: 'SubjectMatchesAuthenticationName' } }
    const view = viewOf({ caCertificates: { fleet: { encodedCertificate: intermediate.certificate } }, clients: { 'vehicle-1': client } })
    expect(authenticate(view, credentials, { now })).toMatchObject({ ok: true, principal: { clientName: 'vehicle-1' } })
  })

  test('a revocation list holds what was revoked before and now', async () => {
    const { intermediate } = await makeAuthorities('Fleet', now)
    const serials: string[] = []
    for (const commonName of ['a', 'b']) {
      const { certificate } = await issueLeaf(intermediate, { use: 'client', commonName, hosts: [], days: 1, now })
      serials.push(serialNumberOf(certificate))
    }
    expect(new Set(serials).size).toBe(2)
    const first = await makeRevocationList(intermediate, [{ serialNumber: serials[0]!, at: new Date(now) }], now)
    const second = await makeRevocationList(intermediate, [...readRevoked(first), { serialNumber: serials[1]!, at: new Date(now) }], now)
    expect(readRevoked(second)).toEqual(serials.map((serialNumber) => ({ serialNumber, at: new Date(now) })))
  })
})

describe('loggerhead pki', () => {
  let folder: string
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'loggerhead-pki-'))
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  const pki = async (...args: readonly string[]) => {
    const done = run(process.execPath, [join(project, 'cli/main.ts'), 'pki', ...args], { cwd: folder })
    return done.then(
      ({ stdout, stderr }) => ({ code: 0, out: stdout, err: stderr }),
      (error: { code: number; stdout: string; stderr: string }) => ({ code: error.code, out: error.stdout, err: error.stderr }),
    )
  }
  const file = (...names: readonly string[]) => join(folder, 'pki', ...names)

  test('init makes an authority once, keeps its keys to their owner, and prints what registers it', async () => {
    const made = await pki('init', '--name', 'Test')
    expect(made.code).toBe(0)
    expect(parse(made.out)).toEqual({
      kind: 'caCertificates',
      name: 'pki',
      properties: { encodedCertificate: readFileSync(file('intermediate.pem'), 'utf8'), description: 'Test' },
    })
    for (const key of ['root.key', 'intermediate.key']) expect(statSync(file(key)).mode & 0o777).toBe(0o600)
    const before = readFileSync(file('root.key'), 'utf8')
    expect(await pki('init')).toMatchObject({ code: 1, out: '', err: expect.stringMatching(/root\.key is there already and is not overwritten/) })
    expect(readFileSync(file('root.key'), 'utf8')).toBe(before)
  })

  test('issue for a client prints what registers it; the same name again is refused', async () => {
    const { code, out } = await pki('issue', 'vehicle-1', '--attribute', 'type=vehicle', 'year=2030', '--days', '7')
    expect([code, parse(out)]).toEqual([
      0,
      {
        kind: 'clients',
        name: 'vehicle-1',
        properties: { clientCertificateAuthentication: { validationScheme: 'SubjectMatchesAuthenticationName' }, attributes: { type: 'vehicle', year: 2030 } },
      },
    ])
    expect(statSync(file('issued/vehicle-1.key')).mode & 0o777).toBe(0o600)
    expect(await pki('issue', 'vehicle-1')).toMatchObject({ code: 1, err: expect.stringMatching(/not overwritten/) })
    expect(await pki('issue', '../evil')).toMatchObject({ code: 1, err: expect.stringMatching(/is not 1 to 64 letters/) })
    expect(await pki('issue', 'v', '--attribute', 'nonsense')).toMatchObject({ code: 1, err: expect.stringMatching(/key=value/) })
    expect(existsSync(file('issued/v.pem'))).toBe(false)
  })

  test('issue for a server makes a chain that leads to the root, for the hosts named', async () => {
    expect(await pki('issue', 'broker', '--for', 'server', '--host', 'localhost', '127.0.0.1')).toMatchObject({ code: 0, out: '' })
    const server = createServer({ cert: readFileSync(file('issued/broker.pem')), key: readFileSync(file('issued/broker.key')) })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    try {
      const socket = await new Promise<TLSSocket>((resolve, reject) => {
        const opened = connect({ host: '127.0.0.1', port, servername: 'localhost', ca: readFileSync(file('root.pem')) }, () => resolve(opened))
        opened.once('error', reject)
      })
      expect(socket.authorized).toBe(true)
      socket.destroy()
    } finally {
      server.close()
    }
  })

  test('revoke lists the certificate, takes its key away and prints what shuts the client out; its name is not issued again', async () => {
    const serial = serialNumberOf(readFileSync(file('issued/vehicle-1.pem'), 'utf8'))
    const { code, out } = await pki('revoke', 'vehicle-1')
    expect([code, parse(out)]).toMatchObject([0, { kind: 'clients', name: 'vehicle-1', properties: { state: 'Disabled', attributes: { type: 'vehicle' } } }])
    expect(readRevoked(readFileSync(file('crl.pem'), 'utf8')).map(({ serialNumber }) => serialNumber)).toEqual([serial])
    expect(readdirSync(file('issued'))).toEqual(['broker.key', 'broker.pem'])
    expect(await pki('revoke', 'vehicle-1')).toMatchObject({ code: 1, err: expect.stringMatching(/no certificate is issued under that name/) })
    expect(await pki('issue', 'vehicle-1')).toMatchObject({ code: 1, err: expect.stringMatching(/was revoked/) })
    expect(await pki('revoke', 'broker')).toMatchObject({ code: 0, out: '', err: expect.stringMatching(/lists 2 certificates/) })
  })
})
