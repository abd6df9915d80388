import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { key, RegistryDeployment, send } from './process.ts'

let deployment: RegistryDeployment
beforeEach(async () => {
  deployment = await RegistryDeployment.create()
})
afterEach(() => deployment.close())

const client = (more: object = {}) => ({ clientCertificateAuthentication: {}, ...more })

test('what was acknowledged is there after kill -9, and SIGTERM ends with 0', async () => {
  const first = await deployment.start()
  const put = await send(first.port, 'PUT', 'clients/truck-1', client({ attributes: { site: 'Oslo' } }))
  expect(put.status).toBe(201)
  expect((await send(first.port, 'DELETE', 'clients/sample_client')).status).toBe(204)
  first.child.kill('SIGKILL')
  expect(await first.ended).toBe('SIGKILL')
  const second = await deployment.start()
  expect(await send(second.port, 'GET', 'clients/truck-1')).toEqual({ status: 200, json: put.json })
  expect((await send(second.port, 'GET', 'clients/sample_client')).status).toBe(404) // the sample stays deleted
  second.child.kill('SIGTERM')
  expect(await second.ended).toBe(0)
})

test('a second registry fences the first on the real Kafka: the first writes no more and ends', async () => {
  const first = await deployment.start()
  const second = await deployment.start()
  expect((await send(second.port, 'PUT', 'clients/new', client())).status).toBe(201)
  const stale = await send(first.port, 'PUT', 'clients/old', client()).catch((error: unknown) => error)
  expect(stale).not.toMatchObject({ status: 201 })
  expect(await first.ended).toBe(1)
  expect(first.log()).toContain('the registry cannot go on')
  expect((await send(second.port, 'GET', 'clients/old')).status).toBe(404)
})

test('the registry ends when its supervisor does', async () => {
  const { child, ended } = await deployment.start()
  child.disconnect()
  expect(await ended).toBe(0)
})

test('/status and /metrics answer without the key, and say how current the view is', async () => {
  const { port } = await deployment.start()
  const status = (await (await fetch(`http://127.0.0.1:${port}/status`)).json()) as Record<string, unknown>
  expect(status).toMatchObject({ ok: true, kafka: { reachable: true }, resources: { clients: 1, permissionBindings: 5 } })
  const metrics = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()
  expect(metrics).toMatch(/^loggerhead_registry_position\{namespace="default"\} \d+$/m)
  expect(metrics).toContain('loggerhead_limit_reached_total{limit="CLIENTS_MAX"} 0')
  expect((await fetch(`http://127.0.0.1:${port}/namespaces/default/clients`)).status).toBe(401)
})

test.each([
  ['API_KEY_FILE', '/nowhere/api-key', 'cannot read the file'],
  ['LOGGERHEAD_NAMESPACE', 'a', 'is not 3 to 50'],
  ['CLIENTS_MAX', 'many', 'is not a whole number'],
])('a wrong %s stops the start and is named', async (variable, value, message) => {
  await expect(deployment.start({ [variable]: value })).rejects.toThrow(new RegExp(`ended with 1[^]*${variable}: [^]*${message}`))
})

test('a thousand clients are written in seconds', async () => {
  const { port } = await deployment.start()
  const started = performance.now()
  const statuses = new Map<number, number>()
  let next = 0
  const work = async () => {
    for (let i = next++; i < 1000; i = next++) {
      const { status } = await send(port, 'PUT', `clients/client-${i}`, client({ attributes: { number: i } }))
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
  }
  await Promise.all(Array.from({ length: 50 }, work))
  const seconds = (performance.now() - started) / 1000
  process.stderr.write(`${Math.round(1000 / seconds)} clients written a second\n`)
  expect(statuses).toEqual(new Map([[201, 1000]]))
  expect(seconds).toBeLessThan(60)
})

test('the production profile writes no samples and takes no key in the clear from elsewhere', async () => {
  // One broker cannot hold three copies: the profile is told apart at the API, topics made before.
  const development = await deployment.start()
  const forwarded = { authorization: `Bearer ${key}`, 'x-forwarded-for': '192.0.2.1', 'x-forwarded-proto': 'http' }
  expect((await fetch(`http://127.0.0.1:${development.port}/namespaces/default/clients`, { headers: forwarded })).status).toBe(200)
  await expect(deployment.start({ LOGGERHEAD_PROFILE: 'production', KAFKA_REPLICATION: '1' })).rejects.toThrow('KAFKA_REPLICATION')
})
