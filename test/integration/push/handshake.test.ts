/** The handshake with a receiver in another process (PU-02; CloudEvents webhook specification, section 4). */
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { AddressSet } from '../../../model/ip-rules.ts'
import { OutgoingRequests } from '../../../outgoing/outgoing-request.ts'
import type { ServedNamespace } from '../../../registry/namespaces.ts'
import { webhookAsker } from '../../../registry/webhook-consent.ts'
import { WebhookReceiver } from '../../support/webhook-receiver.ts'

let receiver: WebhookReceiver
let requests: OutgoingRequests
beforeAll(async () => {
  receiver = await WebhookReceiver.start()
  requests = new OutgoingRequests({ policy: { hosts: [], addresses: new AddressSet([]), plainOnLoopback: true }, connectionsMax: 4 })
})
afterAll(async () => {
  requests.close()
  await receiver.stop()
})

const ask = (path: string, perMinute: number | null = null) =>
  webhookAsker(
    requests,
    { PUSH_ORIGIN: 'events.example.com', PUSH_HANDSHAKE_TIMEOUT: 60_000 },
    () => [],
    () => {},
  )({ name: 'default' } as ServedNamespace, `${receiver.url}${path}`, perMinute)

test.each([
  ['/ok', null],
  ['/ok?allowed-origin=*', null],
  ['/ok?allowed-rate=120', 120],
  ['/ok?allowed-rate=*', null],
  ['/ok?options-status=204', null],
])('PU-02: %s agrees', async (path, perMinute) => {
  expect(await ask(path, 600)).toEqual({ origin: 'events.example.com', perMinute })
  expect((await receiver.received()).at(-1)).toMatchObject({
    method: 'OPTIONS',
    headers: { 'webhook-request-origin': 'events.example.com', 'webhook-request-rate': '600' },
  })
})

test.each([
  ['/ok?allowed-origin=none', 'has no header WebHook-Allowed-Origin'],
  ['/ok?allowed-origin=other.example.com', 'neither “events.example.com” nor'],
  ['/ok?allowed-rate=none', 'WebHook-Allowed-Rate'],
  ['/ok?options-status=405', 'HTTP 405'],
  ['/ok?options-status=500', 'HTTP 500'],
])('PU-02: %s does not agree', async (path, why) => {
  await expect(ask(path)).rejects.toThrow(why)
})

test('PU-02: a redirect is no consent, and is not followed', async () => {
  const before = (await receiver.received()).length
  await expect(ask(`/ok?options-status=307&to=${encodeURIComponent(`${receiver.url}/elsewhere`)}`)).rejects.toThrow('HTTP 307')
  expect((await receiver.received(before)).map(({ path }) => path)).toEqual(['/ok'])
})

test('a webhook on an address that an operator has not allowed is not asked', async () => {
  const strict = new OutgoingRequests({ policy: { hosts: [], addresses: new AddressSet([]), plainOnLoopback: false }, connectionsMax: 4 })
  const asked = webhookAsker(
    strict,
    { PUSH_ORIGIN: 'a.b', PUSH_HANDSHAKE_TIMEOUT: 60_000 },
    () => [],
    () => {},
  )
  await expect(asked({ name: 'default' } as ServedNamespace, 'https://localhost:1/', null)).rejects.toThrow('localhost has an address that is not asked')
  strict.close()
})
