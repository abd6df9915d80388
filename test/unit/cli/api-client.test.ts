import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from '@jest/globals'
import { ApiClient } from '../../../cli/api-client.ts'
import type { CliConfig } from '../../../cli/config.ts'

test('a stream’s lines are told, and the empty ones that keep it alive are not', async () => {
  const server = createServer((_request, response) => {
    response.write('\n{"n":')
    response.write('1}\n\n\n')
    response.end('{"n":2}\n')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    const { port } = server.address() as AddressInfo
    const config = { url: new URL(`http://127.0.0.1:${port}`), namespace: 'default', key: () => 'a-key' } as unknown as CliConfig
    const lines: unknown[] = []
    for await (const line of new ApiClient(config).lines('/namespaces/default/history')) lines.push(line)
    expect(lines).toEqual([{ n: 1 }, { n: 2 }])
  } finally {
    server.closeAllConnections()
    server.close()
  }
})
