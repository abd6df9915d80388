/** User names with passwords, and what a storm of them costs. */
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { hashPassword } from '../../../access/password-hash.ts'
import { type Harness, startHarness } from './harness.ts'
import { connectPacket, RawClient } from './raw-client.ts'

const device = async (password: string) => ({
  clientCertificateAuthentication: {},
  passwordAuthentication: { passwordHash: await hashPassword(Buffer.from(password), 14) },
})

let harness: Harness
beforeAll(async () => {
  harness = await startHarness(
    { PASSWORD_CHECKS_MAX: '1' },
    { registry: { 'clients/device-1': await device('correct horse'), 'clients/device-2': { clientCertificateAuthentication: {} } } },
  )
})
afterAll(() => harness.stop())

async function connect(
  clientId: string,
  username: string,
  password: string,
  protocolVersion: 4 | 5 = 5,
): Promise<{ readonly client: RawClient; readonly reasonCode: number }> {
  const client = await RawClient.open(harness.port, protocolVersion)
  client.send(connectPacket(clientId, { protocolVersion, username, password: Buffer.from(password) }))
  const { reasonCode, properties = {} } = await client.next('connack')
  if (reasonCode !== 0) expect(properties).toEqual({})
  return { client, reasonCode }
}

test('the right password lets in, in both versions; any other, and any other name, is refused alike', async () => {
  for (const version of [4, 5] as const) {
    const { client, reasonCode } = await connect(`right-${version}`, 'DEVICE-1', 'correct horse', version)
    expect(reasonCode).toBe(0)
    expect(harness.router.of('Attached', `right-${version}`)[0]).toMatchObject({ authenticationName: 'device-1', vouchedBy: '' })
    client.destroy()
    for (const [username, password] of [
      ['device-1', 'wrong horse'],
      ['device-1', ''],
      ['device-2', 'correct horse'],
      ['nobody', 'correct horse'],
    ] as const) {
      const refused = await connect('refused', username, password, version)
      expect([username, password, refused.reasonCode]).toEqual([username, password, 0x87])
      refused.client.destroy()
    }
  }
})

test('a password that was right is not checked again, so that a storm of reconnects costs one check', async () => {
  const before = await harness.reached('PASSWORD_CHECKS_MAX')
  const storm = await Promise.all(Array.from({ length: 20 }, (_, i) => connect(`storm-${i}`, 'device-1', 'correct horse')))
  expect(storm.map(({ reasonCode }) => reasonCode)).toEqual(Array.from({ length: 20 }, () => 0))
  expect(await harness.reached('PASSWORD_CHECKS_MAX')).toBe(before)
  for (const { client } of storm) client.destroy()
})

test('a changed password ends the connections of the one before with 0x87 ClientAuthenticationError', async () => {
  const { client } = await connect('changed', 'device-1', 'correct horse')
  await harness.put({ 'clients/device-1': await device('another one') })
  expect(await client.next('disconnect')).toMatchObject({ reasonCode: 0x87 })
  await harness.router.until(() => harness.router.of('Detached', 'changed').length === 1)
  expect(harness.router.of('Detached', 'changed')[0]).toMatchObject({ reason: 'ClientAuthenticationError' })
  const again = await connect('changed', 'device-1', 'correct horse')
  expect(again.reasonCode).toBe(0x87)
  again.client.destroy()
})
