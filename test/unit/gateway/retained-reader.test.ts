import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import { expect, test } from '@jest/globals'
import { anonymousName } from '../../../access/principal.ts'
import { readGatewayConfig } from '../../../gateway/config.ts'
import { ByteBudget } from '../../../gateway/http/byte-budget.ts'
import type { HttpHost } from '../../../gateway/http/http-host.ts'
import type { Asker, HttpRates } from '../../../gateway/http/publisher.ts'
import { RetainedReader } from '../../../gateway/http/retained-reader.ts'
import type { Sealing } from '../../../gateway/sealing.ts'

const config = readGatewayConfig({ MQTTS_PORT: 'off', WSS_PORT: 'off' })
const asker = { principal: { authenticationName: anonymousName }, clientId: 'c', address: '127.0.0.1' } as unknown as Asker
const hostWith = (sealing: Pick<Sealing, 'openedPayload'> | null) =>
  ({ config, metrics: { reached() {} }, access: { maySubscribe: () => true }, sealing }) as unknown as HttpHost
const rates = { of: () => ({ subscribeWaitMs: () => 0, subscribed() {} }) } as unknown as HttpRates
/** More than sockets hold. */
const payload = Buffer.alloc(32 * 1024 * 1024, 'x')

test('HTTP_BODIES_BYTES_MAX: an answer counts until a slow reader has it, or is gone', async () => {
  const budget = new ByteBudget(() => config.HTTP_BODIES_BYTES_MAX)
  const message = { topic: 'a', qos: 1, size: payload.length, lastModifiedTime: '2030-01-31T12:00:00Z', payload: payload.toString('base64') }
  const routers = { ask: async () => [{ router: 'router', status: 200, body: { shards: 1, owned: [0], message } }] }
  const reader = new RetainedReader(hostWith(null), routers, rates, budget)
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

test('RE-06: what was sealed is answered as it was published, 404 once it is erased, and 503 while its key cannot be read', async () => {
  const message = { topic: 'a', qos: 1, size: 60, lastModifiedTime: '2030-01-31T12:00:00Z', payload: Buffer.from('sealed').toString('base64') }
  const routers = { ask: async () => [{ router: 'router', status: 200, body: { shards: 1, owned: [0], message } }] }
  const answered = async (openedPayload: Sealing['openedPayload']): Promise<readonly unknown[]> => {
    const answer: unknown[] = []
    const response = {
      closed: true,
      writeHead: (status: number, headers: Readonly<Record<string, string>>) => answer.push(status, headers['content-length'], headers['x-ms-mqtt-size']),
      end: (body: Buffer) => answer.push(String(body)),
    } as unknown as ServerResponse
    const budget = new ByteBudget(() => config.HTTP_BODIES_BYTES_MAX)
    await new RetainedReader(hostWith({ openedPayload }), routers, rates, budget).get(asker, new Map([['topic', 'a']]), response)
    return answer
  }
  const opened: unknown[] = []
  const asPublished = (payload: Buffer, topic: string): Promise<Buffer> => {
    opened.push(String(payload), topic)
    return Promise.resolve(Buffer.from('36.9'))
  }
  expect(await answered(asPublished)).toEqual([200, '4', '4', '36.9'])
  expect(opened).toEqual(['sealed', 'a'])
  await expect(answered(() => Promise.resolve(null))).rejects.toMatchObject({ status: 404 })
  await expect(answered(() => Promise.reject(new Error('away')))).rejects.toMatchObject({ status: 503 })
})
