/** Webhooks over TLS: who signed them, and how old a TLS may be (PU-03). */
import { readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { SecureVersion } from 'node:tls'
import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { structuredContent } from '../../../events/http-binding.ts'
import { AddressSet, rangesOf } from '../../../model/ip-rules.ts'
import { OutgoingRequests } from '../../../outgoing/outgoing-request.ts'
import { WebhookTarget } from '../../../router/push/webhook-target.ts'
import { testCertificates } from '../gateway/certificates.ts'

const certificates = testCertificates()
const event = structuredContent(Buffer.from('{"specversion":"1.0","id":"1","source":"s","type":"t"}'))
let server: Server
beforeAll(async () => {
  const [cert, key] = [certificates.server.TLS_CERT, certificates.server.TLS_KEY].map((file) => readFileSync(file))
  server = createServer({ cert, key, maxVersion: 'TLSv1.2' }, (_request, response) => response.writeHead(204).end())
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
})
afterAll(() => {
  server.closeAllConnections()
  server.close()
})

/** An operator has allowed this machine's own address. */
async function deliver(ca: string | undefined, minVersion: SecureVersion) {
  const policy = { hosts: ['localhost'], addresses: new AddressSet(rangesOf(['127.0.0.1'])), plainOnLoopback: false }
  const requests = new OutgoingRequests({ policy, connectionsMax: 1, ca, minVersion })
  const url = `https://localhost:${(server.address() as AddressInfo).port}/`
  const answer = await new WebhookTarget({ requests, url, origin: 'events.example.com', timeoutMs: 60_000 }).deliver(event, {})
  requests.close()
  return answer
}

test('a webhook whose certificate the operator’s authority has signed is delivered to', async () => {
  expect(await deliver(certificates.ca, 'TLSv1.2')).toMatchObject({ status: 204 })
})

test('a webhook whose certificate nobody vouches for is not', async () => {
  expect(await deliver(undefined, 'TLSv1.2')).toEqual({ failed: 'network' })
})

test('PU-03: a webhook that speaks an older TLS than minimumTlsVersionAllowed is not', async () => {
  expect(await deliver(certificates.ca, 'TLSv1.3')).toEqual({ failed: 'network' })
})
