import { expect, test } from '@jest/globals'
import { type OutgoingRequest, type OutgoingResponse, RequestFailed } from '../../../outgoing/outgoing-request.ts'
import type { ServedNamespace } from '../../../registry/namespaces.ts'
import { webhookAsker } from '../../../registry/webhook-consent.ts'

const config = { PUSH_ORIGIN: 'loggerhead.local', PUSH_HANDSHAKE_TIMEOUT: 1_000 }
const at = { name: 'default' } as ServedNamespace
const url = 'https://hooks.example.com/doors?code=s3cret'

function given(answer: OutgoingResponse | RequestFailed, hosts: readonly string[] = []) {
  const world = { asked: [] as OutgoingRequest[], limits: [] as string[] }
  const requests = {
    async send(asked: OutgoingRequest) {
      world.asked.push(asked)
      if (answer instanceof RequestFailed) throw answer
      return answer
    },
  }
  return {
    world,
    ask: webhookAsker(
      requests,
      config,
      () => hosts,
      (limit) => world.limits.push(limit),
    ),
  }
}
const answer = (headers: Readonly<Record<string, string>>): OutgoingResponse => ({ status: 200, headers, body: Buffer.alloc(0) })

test('PU-02: OPTIONS asks in the deployment’s name, and tells no secret but the URL itself', async () => {
  const { world, ask } = given(answer({ 'webhook-allowed-origin': '*', 'webhook-allowed-rate': '60' }))
  expect(await ask(at, url, 600)).toEqual({ origin: 'loggerhead.local', perMinute: 60 })
  expect(world.asked).toMatchObject([
    {
      url,
      method: 'OPTIONS',
      timeoutMs: 1_000,
      headers: { 'webhook-request-origin': 'loggerhead.local', 'webhook-request-rate': '600', 'user-agent': 'Loggerhead' },
    },
  ])
})

test('PU-02: a namespace with a host name asks in its own', async () => {
  const { ask } = given(answer({ 'webhook-allowed-origin': 'mqtt.example.com' }), ['mqtt.example.com', 'other.example.com'])
  expect(await ask(at, url, null)).toEqual({ origin: 'mqtt.example.com', perMinute: null })
})

test('PU-02: what is no consent is refused, and the URL’s query is not told', async () => {
  const { ask } = given(answer({}))
  await expect(ask(at, url, null)).rejects.toThrow('the webhook https://hooks.example.com/doors has not agreed to events: its answer to OPTIONS has no header')
  await expect(ask(at, url, null)).rejects.not.toThrow('s3cret')
})

test('PUSH_HANDSHAKE_TIMEOUT: a webhook that does not answer has not agreed', async () => {
  const { world, ask } = given(new RequestFailed('timeout', 'hooks.example.com did not answer within 1000 ms'))
  await expect(ask(at, url, null)).rejects.toThrow('could not be asked whether it wants events: hooks.example.com did not answer')
  expect(world.limits).toEqual(['PUSH_HANDSHAKE_TIMEOUT'])
})
