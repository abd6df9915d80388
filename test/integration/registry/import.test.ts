import { request } from 'node:http'
import { createConnection } from 'node:net'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { until } from '../../support/stack.ts'
import { key, RegistryDeployment, send } from './process.ts'

const isLong = process.env.LOGGERHEAD_TEST_LONG !== undefined

let deployment: RegistryDeployment
beforeEach(async () => {
  deployment = await RegistryDeployment.create()
})
afterEach(() => deployment.close())

type Result = Readonly<Record<string, unknown>>

/** Sends the lines as they are made and reads the answer as it comes. */
function importLines(port: number, lines: Iterable<string>): Promise<readonly Result[]> {
  return new Promise((resolve, reject) => {
    const post = request(
      {
        port,
        host: '127.0.0.1',
        method: 'POST',
        path: '/namespaces/default/clients:import',
        headers: { authorization: `Bearer ${key}`, 'content-type': 'application/x-ndjson' },
      },
      (answer) => {
        const results: Result[] = []
        createInterface({ input: answer })
          .on('line', (line) => results.push(JSON.parse(line)))
          .on('close', () => resolve(results))
      },
    )
    post.on('error', reject)
    Readable.from(lines).pipe(post)
  })
}

function* clients(count: number): Generator<string> {
  for (let i = 0; i < count; i++) {
    yield `${JSON.stringify({ name: `device-${i}`, properties: { clientCertificateAuthentication: {}, attributes: { site: `site-${i % 10}`, number: i } } })}\n`
  }
}

/** Snapshots of the registry by what became of them. */
async function snapshots(port: number): Promise<Readonly<Record<string, number>>> {
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  return Object.fromEntries(
    [...metrics.matchAll(/^loggerhead_registry_snapshots_total\{result="(\w+)"\} (\d+)$/gm)].map(([, result, times]) => [result, Number(times)]),
  )
}

const count = isLong ? 100_000 : 10_000
test(
  `${count} clients come in one request, with progress, into the real Kafka; a start behind its snapshot of them loses nothing`,
  async () => {
    const first = await deployment.start()
    const started = performance.now()
    const results = await importLines(first.port, clients(count))
    const seconds = (performance.now() - started) / 1000
    process.stderr.write(`${Math.round(count / seconds)} clients imported a second\n`)
    expect(results.at(-1)).toEqual({ done: true, lines: count, created: count, updated: 0, failed: 0 })
    expect(results.length).toBe(count / 1000 + 1)
    await until('a snapshot', 60_000, async () => ((await snapshots(first.port)).written ?? 0) > 0)
    first.child.kill('SIGKILL')
    await first.ended
    const second = await deployment.start()
    expect(await snapshots(second.port)).toMatchObject({ read: 1, unusable: 0 })
    expect(await send(second.port, 'GET', `clients/device-${count - 1}`)).toMatchObject({
      status: 200,
      json: { properties: { attributes: { number: count - 1 } } },
    })
    const status = (await (await fetch(`http://127.0.0.1:${second.port}/status`)).json()) as { readonly resources: { readonly clients: number } }
    expect(status.resources.clients).toBe(count + 1) // and the sample
  },
  isLong ? 300_000 : 180_000,
)

test('one who leaves in the middle of an import leaves nothing running', async () => {
  const { port } = await deployment.start({ IMPORTS_MAX: '1' })
  const socket = createConnection(port, '127.0.0.1')
  const head = `POST /namespaces/default/clients:import HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${key}\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n`
  const lines = [...clients(1500)].join('')
  socket.write(`${head}${Buffer.byteLength(lines).toString(16)}\r\n${lines}\r\n`)
  await new Promise((resolve) => socket.once('data', resolve)) // the first progress
  socket.destroy()
  const deadline = Date.now() + 60_000
  let last: Result | undefined
  // Refused while the other one is under way: with an answer, or by the end of the connection that this one writes to.
  while (last?.done !== true && Date.now() < deadline) last = (await importLines(port, clients(1)).catch(() => [])).at(-1)
  expect(last).toEqual({ done: true, lines: 1, created: 0, updated: 1, failed: 0 })
})

test('a request that takes longer than REGISTRY_REQUEST_TIMEOUT to arrive loses its connection', async () => {
  const { port } = await deployment.start({ REGISTRY_REQUEST_TIMEOUT: '1000' })
  const socket = createConnection(port, '127.0.0.1')
  const closed = new Promise((resolve) => socket.once('close', resolve))
  socket.resume().on('error', () => {})
  socket.write(
    `PUT /namespaces/default/clients/a HTTP/1.1\r\nhost: a\r\nauthorization: Bearer ${key}\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{`,
  )
  await closed
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  expect(metrics).toContain('loggerhead_limit_reached_total{limit="REGISTRY_REQUEST_TIMEOUT"} 1')
})
