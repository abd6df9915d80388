import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from '@jest/globals'
import { publicBytes } from '../../../audit/checkpoint.ts'
import { readPublicKeys } from '../../../audit/keys.ts'
import { readRouterConfig } from '../../../router/config.ts'

const folder = mkdtempSync(join(tmpdir(), 'loggerhead-audit-'))
afterAll(() => rmSync(folder, { recursive: true }))

const pem = (type: 'ed25519' | 'x25519' = 'ed25519') =>
  (type === 'ed25519' ? generateKeyPairSync(type) : generateKeyPairSync(type)).privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
function file(name: string, text: string): string {
  writeFileSync(join(folder, name), text)
  return join(folder, name)
}
const audit = (environment: Readonly<Record<string, string>>) => readRouterConfig(environment).config.audit

test('there are no chains unless they are asked for', () => {
  expect(audit({})).toBeUndefined()
  expect(audit({ AUDIT_KEY: 'nowhere.pem' })).toBeUndefined()
})

test('the first key of the file signs, and those behind it have signed before', () => {
  const [now, before] = [pem(), pem()]
  const config = audit({ AUDIT_CHAIN: 'lifecycle, messages', AUDIT_KEY: file('two.pem', before.replace(/^/, now)) })
  expect(config?.kinds).toEqual(['messages', 'lifecycle'])
  expect(config?.keys.map((key) => key.export({ format: 'pem', type: 'pkcs8' }))).toEqual([now, before])
})

test.each([
  ['a topic that is compacted', { AUDIT_CHAIN: 'messages,retained' }, /^AUDIT_CHAIN: “retained” is neither off nor one of messages, lifecycle/],
  ['no key', { AUDIT_CHAIN: 'messages' }, /^AUDIT_KEY: is needed with AUDIT_CHAIN/],
  ['no such file', { AUDIT_CHAIN: 'messages', AUDIT_KEY: join(folder, 'none.pem') }, /^AUDIT_KEY: the file “.*none.pem” cannot be read/],
  ['a file without a key', { AUDIT_CHAIN: 'messages', AUDIT_KEY: file('empty.pem', 'nothing') }, /holds no block “BEGIN PRIVATE KEY”/],
  ['a key of another kind', { AUDIT_CHAIN: 'messages', AUDIT_KEY: file('x.pem', pem('x25519')) }, /holds a key of the kind x25519; it must be ed25519/],
  ['a damaged key', { AUDIT_CHAIN: 'messages', AUDIT_KEY: file('damaged.pem', pem().replace('MC', 'XX')) }, /holds a key that cannot be read/],
])('%s stops the start by name', (_, environment, message) => {
  expect(() => audit(environment)).toThrow(message)
})

test('an auditor’s file holds public keys', () => {
  const { publicKey } = generateKeyPairSync('ed25519')
  expect(readPublicKeys(publicKey.export({ format: 'pem', type: 'spki' }).toString()).map(publicBytes)).toEqual([publicBytes(publicKey)])
  expect(() => readPublicKeys(pem())).toThrow('holds no block “BEGIN PUBLIC KEY”')
})
