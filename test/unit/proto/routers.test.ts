import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from '@jest/globals'
import { parseRouterUrls, routersByHttp } from '../../../proto/routers.ts'

const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections()
    server.close()
  }
})

async function router(answer: (path: string, authorization: string, by: string) => [number, object] | undefined): Promise<URL> {
  const server = createServer((request, response) => {
    const given = answer(request.url ?? '', request.headers.authorization ?? '', String(request.headers['x-loggerhead-by']))
    if (given) response.writeHead(given[0], { 'content-type': 'application/json' }).end(JSON.stringify(given[1]))
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
}

test('every router is asked with the key of the services; limit ROUTER_TIMEOUT: a silent one counts as away and holds nobody up for longer', async () => {
  let timeouts = 0
  const routers = routersByHttp({
    addresses: [
      { id: 'a', url: await router((path, authorization, by) => [200, { path, authorization, by }]) },
      { id: 'b', url: await router(() => undefined) },
      { id: 'c', url: new URL('http://127.0.0.1:1') },
    ],
    key: 'internal',
    // Long enough for the one that answers, however busy the machine is.
    timeoutMs: 3_000,
    onTimeout: () => timeouts++,
  })
  expect(await routers.ask('GET', '/sessions/a%2Fb', 'api-key')).toEqual([
    { router: 'a', status: 200, body: { path: '/sessions/a%2Fb', authorization: 'Bearer internal', by: 'api-key' } },
    { router: 'b', status: 0, body: undefined },
    { router: 'c', status: 0, body: undefined },
  ])
  expect(timeouts).toBe(1)
})

test('ROUTER_URLS are a list with or without names', () => {
  const ids = (text: string) => parseRouterUrls(text)?.map(({ id, url }) => `${id} ${url.host}`)
  expect(ids('')).toEqual([])
  expect(ids('one=http://a:1, http://b:2')).toEqual(['one a:1', 'router-2 b:2'])
  expect(ids('a:1')).toBeUndefined()
  expect(ids('ftp://a')).toBeUndefined()
})
