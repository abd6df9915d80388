import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { verifyPassword } from '../../../access/password-hash.ts'
import { ApiHarness, client } from './harness.ts'

let api: ApiHarness
beforeEach(async () => {
  api = await ApiHarness.open()
})
afterEach(() => api.close())

const secret = 'correct horse'
const put = (passwordAuthentication: object | undefined, more: object = {}) =>
  api.send('PUT', 'clients/d1', { body: client({ ...(passwordAuthentication && { passwordAuthentication }), ...more }) })
const stored = () => api.registry.view.clients.get('d1')?.properties.passwordHash

test('a password is taken once, kept as a hash and never answered', async () => {
  const answer = await put({ password: secret })
  expect(answer.status).toBe(201)
  expect(answer.json.properties.passwordAuthentication).toEqual({})
  const hash = stored() ?? ''
  expect(await verifyPassword(Buffer.from(secret), hash)).toBe(true)
  for (const path of ['clients/d1', 'clients']) {
    const { text } = await api.send('GET', path)
    expect([path, text.includes(secret), text.includes('scrypt')]).toEqual([path, false, false])
  }
})

test('the same password again changes no hash, none keeps it, another replaces it, and leaving it out takes it away', async () => {
  await put({ password: secret })
  const hash = stored()
  await put({ password: secret }, { attributes: { a: 1 } })
  expect(stored()).toBe(hash)
  await put({})
  expect(stored()).toBe(hash)
  await put({ password: 'another one' })
  expect(stored()).not.toBe(hash)
  await put(undefined)
  expect(stored()).toBeUndefined()
  expect(await put({})).toMatchObject({ status: 400, json: { field: 'properties.passwordAuthentication.password' } })
})

test('a password that is too short is refused without being said again, and a hash cannot be set', async () => {
  const answer = await put({ password: 'secret7' })
  expect(answer).toMatchObject({ status: 400, json: { field: 'properties.passwordAuthentication.password' } })
  expect(answer.text).not.toContain('secret7')
  expect(await put({ passwordHash: '$scrypt$ln=14' })).toMatchObject({ status: 400 })
})

test('passwords come in by import too, and are in no event of the change', async () => {
  const line = JSON.stringify({ name: 'd1', ...client({ passwordAuthentication: { password: secret } }) })
  await api.send('POST', 'clients:import', { body: `${line}\n`, type: 'application/x-ndjson' })
  expect(await verifyPassword(Buffer.from(secret), stored() ?? '')).toBe(true)
  const { lifecycle } = api.topics
  const partitions = Array.from({ length: await api.log.partitions(lifecycle) }, (_, partition) => api.log.read(lifecycle, partition, 0))
  const texts = (await Promise.all(partitions)).flatMap(({ records }) => records.map(({ value }) => value?.toString('latin1') ?? ''))
  expect(texts.length).toBeGreaterThan(0)
  for (const text of texts) expect(text).not.toMatch(/scrypt|correct horse/)
})
