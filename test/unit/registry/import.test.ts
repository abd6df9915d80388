import { Readable } from 'node:stream'
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { type ImportResult, runImport } from '../../../registry/bulk-import.ts'
import { readLines } from '../../../registry/lines.ts'
import { ApiHarness, client } from './harness.ts'

let api: ApiHarness
beforeEach(async () => {
  api = await ApiHarness.open()
})
afterEach(() => api.close())

const type = 'application/x-ndjson'
const linesOf = (text: string) =>
  text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line))
const importing = async (body: string, rest = 'clients:import') => linesOf((await api.send('POST', rest, { body, type })).text)
const line = (name: string, more: object = {}) => JSON.stringify({ name, properties: client(more) })

test('clients come in as lines; the answer has a line per error and one at the end', async () => {
  await api.send('PUT', 'clients/known', { body: client() })
  const body = [
    line('known', { description: 'again' }),
    line('new'),
    JSON.stringify({ name: 'bare', authenticationName: 'Bare', clientCertificateAuthentication: {} }),
    '',
    '{"name": "x"',
    JSON.stringify({ properties: client() }),
    line('a b'),
    line('wrong', { state: 'Half' }),
    line('twin', { authenticationName: 'NEW' }),
  ].join('\r\n')
  const results = await importing(body)
  const errors = results.filter((result) => result.error).map(({ error }) => [error.line, error.status, error.field ?? error.detail.slice(0, 20)])
  expect(errors.sort(([a], [b]) => a - b)).toEqual([
    [5, 400, 'the line is not JSON'],
    [6, 400, 'name'],
    [7, 400, 'name'],
    [8, 400, 'properties.state'],
    [9, 409, 'properties.authenticationName'],
  ])
  expect(results.at(-1)).toEqual({ done: true, lines: 8, created: 2, updated: 1, failed: 5 })
  expect(api.registry.view.clientNamed('bare')?.name).toBe('bare')
  expect(api.registry.view.clients.get('known')?.properties.description).toBe('again')
  expect(api.failures).toEqual([])
})

test('progress is told after every thousand lines', async () => {
  const results = await importing(Array.from({ length: 2500 }, (_, i) => line(`c${i}`)).join('\n'))
  expect(results.slice(0, -1).map(({ progress }) => progress.lines)).toEqual([1000, 2000])
  expect(results.at(-1)).toEqual({ done: true, lines: 2500, created: 2500, updated: 0, failed: 0 })
  expect(api.registry.view.clients.size).toBe(2500)
})

test('a dry run says the same and writes nothing', async () => {
  const { position } = api.registry.view
  const results = await importing(`${line('new')}\n${line('a b')}\n`, 'clients:import?dryRun=true')
  expect(results.at(-1)).toEqual({ done: true, lines: 2, created: 1, updated: 0, failed: 1 })
  expect(api.registry.view.position).toBe(position)
})

test('anything but lines of JSON is 415', async () => {
  expect((await api.send('POST', 'clients:import', { body: { name: 'x' } })).status).toBe(415)
})

test('limit IMPORT_LINES_MAX: the import stops there and says so', async () => {
  await api.close()
  api = await ApiHarness.open({ IMPORT_LINES_MAX: '2' })
  const results = await importing(['a', 'b', 'c'].map((name) => line(name)).join('\n'))
  expect(results.at(-1)).toMatchObject({ done: false, lines: 2, created: 2, stopped: expect.stringContaining('IMPORT_LINES_MAX') })
  expect(api.limits).toEqual(['IMPORT_LINES_MAX'])
})

test('a line longer than REGISTRY_BODY_MAX is an error of its own and not held', async () => {
  await api.close()
  api = await ApiHarness.open({ REGISTRY_BODY_MAX: '1024' })
  const results = await importing([line('a'), line('b', { description: 'x'.repeat(3000) }), line('c')].join('\n'))
  expect(results).toContainEqual({ error: { line: 2, status: 413, detail: 'the line is longer than 1024 bytes (REGISTRY_BODY_MAX)' } })
  expect(results.at(-1)).toMatchObject({ done: true, created: 2, failed: 1 })
})

test('limit IMPORTS_MAX: one import more at the same time is refused, and there is room again when one ends', async () => {
  await api.close()
  api = await ApiHarness.open({ IMPORTS_MAX: '1' })
  await api.app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = api.app.server.address() as { port: number }
  const post = (body: string | ReadableStream, more: object = {}) =>
    fetch(`http://127.0.0.1:${port}/namespaces/default/clients:import`, {
      method: 'POST',
      headers: { authorization: 'Bearer correct-horse-battery', 'content-type': type },
      body,
      ...more,
    })
  let end = (): void => {}
  const slow = new ReadableStream({
    start(controller) {
      for (let i = 0; i < 1000; i++) controller.enqueue(new TextEncoder().encode(`${line(`s${i}`)}\n`))
      end = () => controller.close()
    },
  })
  const first = await post(slow, { duplex: 'half' }) // its progress has begun
  expect((await post(line('other'))).status).toBe(503)
  expect(api.limits).toEqual(['IMPORTS_MAX'])
  end()
  expect(linesOf(await first.text()).at(-1)).toMatchObject({ done: true, created: 1000 })
  let status = 503
  for (const deadline = Date.now() + 60_000; status !== 200 && Date.now() < deadline; ) status = (await post(line('other'))).status
  expect(status).toBe(200)
})

test('lines are cut wherever the chunks were, and numbered as the file has them', async () => {
  const chunks = ['a\nb', 'b', '\r\n\n', 'long long long\nc', ''].map((text) => Buffer.from(text))
  const lines = []
  for await (const each of readLines(Readable.from(chunks), 5)) lines.push(each)
  expect(lines).toEqual([
    { number: 1, text: 'a' },
    { number: 2, text: 'bb' },
    { number: 4, text: undefined },
    { number: 5, text: 'c' },
  ])
})

test('never more changes than the window are under way, and an import stops when the log takes none', async () => {
  let underWay = 0
  let most = 0
  async function* lines() {
    for (let number = 1; number <= 50; number++) yield { number, text: String(number) }
  }
  const results: ImportResult[] = []
  const options = { lines: lines(), window: 7, linesMax: 100, onLinesMax: () => {} }
  const carryOut = async () => {
    most = Math.max(most, ++underWay)
    await new Promise(setImmediate)
    underWay--
    return 'created' as const
  }
  for await (const result of runImport({ ...options, carryOut })) results.push(result)
  expect([most, results.at(-1)]).toEqual([7, { done: true, lines: 50, created: 50, updated: 0, failed: 0 }])
})

test('Kafka away in the middle of an import: it stops, and the last line says why', async () => {
  await api.close()
  api = await ApiHarness.open({ REGISTRY_WRITE_TIMEOUT: '100' })
  api.store.setAway(true)
  const results = await importing(Array.from({ length: 2000 }, (_, i) => line(`c${i}`)).join('\n'))
  expect(results.at(-1)).toMatchObject({ done: false, created: 0, stopped: expect.stringContaining('Kafka') })
  expect(results.at(-1).lines).toBeLessThan(2000)
})
