import { once } from 'node:events'
import { createServer } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { expect, test } from '@jest/globals'
import { anonymousName } from '../../../access/principal.ts'
import { readGatewayConfig } from '../../../gateway/config.ts'
import { ByteBudget } from '../../../gateway/http/byte-budget.ts'
import type { HttpHost } from '../../../gateway/http/http-host.ts'
import type { Asker, HttpRates } from '../../../gateway/http/publisher.ts'
import { RetainedReader } from '../../../gateway/http/retained-reader.ts'

const config = readGatewayConfig({ MQTTS_PORT: 'off', WSS_PORT: 'off' })
const asker = { principal: { authenticationName: anonymousName }, clientId: 'c', address: '127.0.0.1' } as unknown as Asker
const host = { config, metrics: { reached() {} }, maySubscribe: () => true } as unknown as HttpHost
const rates = { of: () => ({ subscribeWaitMs: () => 0, subscribed() {} }) } as unknown as HttpRates
/** More than sockets hold. */
const payload = Buffer.alloc(32 * 1024 * 1024, 'x')

test('HTTP_BODIES_BYTES_MAX: an answer counts until a slow reader has it, or is gone', async () => {
  const budget = new ByteBudget(() => config.HTTP_BODIES_BYTES_MAX)
  const message = { topic: 'a', qos: 1, size: payload.length, lastModifiedTime: '2030-01-31T12:00:00Z', payload: payload.toString('base64') }
  const routers = { ask: async () => [{ router: 'router', status: 200, body: { shards: 1, owned: [0], message } }] }
  const reader = new RetainedReader(host, routers, rates, budget)
  let written = Promise.withResolvers<void>()
  const closed: Promise<unknown>[] = []
  const server = createServer((_, response) => {
    closed.push(once(response, 'close'))
    void reader.get(asker, new Map([['topic', 'a']]), response).then(() => written.resolve())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    for (const isGone of [false, true]) {
      written = Promise.withResolvers()
      const client = connect((server.address() as AddressInfo).port, '127.0.0.1')
      client.pause()
      client.write('GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
      await written.promise
      expect(budget.held).toBe(3 * config.MAXIMUM_PACKET_SIZE)
      if (isGone) client.destroy()
      else client.resume()
      await closed.at(-1)
      expect(budget.held).toBe(0)
    }
  } finally {
    server.closeAllConnections()
    server.close()
  }
})
