import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { expect, test } from '@jest/globals'
import { answers, saysNobody } from '../../../../router/partitions/listening.ts'

test('a gateway is there as long as it takes connections, and not when its host refuses them', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = `127.0.0.1:${(server.address() as AddressInfo).port}`
  expect(await answers(address)).toBe(true)
  server.close()
  await once(server, 'close')
  expect(await answers(address)).toBe(false)
})

test.each([
  ['ECONNREFUSED', true],
  ['ENOTFOUND', true],
  ['EAI_AGAIN', false],
  ['EHOSTUNREACH', false],
  ['ENETUNREACH', false],
  ['ECONNRESET', false],
  ['EMFILE', false],
  ['ETIMEDOUT', false],
])('a connection that ends with %s says that nobody is there: %s', (code, isAbsent) => {
  expect(saysNobody(Object.assign(new Error(code), { code }))).toBe(isAbsent)
})
