import { afterAll, beforeAll, expect, test } from '@jest/globals'
import { Ajv2020 } from 'ajv/dist/2020.js'
import { resourceKinds } from '../../../model/registry-resources.ts'
import { mqttPaths } from '../../../registry/openapi-mqtt.ts'
import { resourceSchemas } from '../../../registry/resource-schemas.ts'
import { ApiHarness } from './harness.ts'

let api: ApiHarness
// biome-ignore lint/suspicious/noExplicitAny: a JSON document
let document: any
/** Every route of the API: method, path and the role it takes. */
const routes = new Set<string>()
beforeAll(async () => {
  api = await ApiHarness.open()
  // They are added when the first request comes.
  api.app.addHook('onRoute', ({ method, url, config }) => {
    for (const each of [method].flat()) routes.add(`${each} ${url.replaceAll(/(?<!:):\w+/g, '{}').replaceAll('::', ':')} ${config?.role}`)
  })
  document = JSON.parse((await api.app.inject('/openapi.json')).body)
})
afterAll(() => api.close())

test('the document is there without a key, and is OpenAPI 3.1', () => {
  expect(document).toMatchObject({ openapi: '3.1.0', info: { title: 'Loggerhead' }, security: [{ key: [] }] })
})

test('its schemas are the ones that requests are validated with', () => {
  const named = Object.values(document.components.schemas)
  for (const kind of resourceKinds) expect(named).toContainEqual(JSON.parse(JSON.stringify(resourceSchemas[kind])))
})

test('every reference in it leads somewhere, every schema is one, and operation ids are unique', () => {
  const text = JSON.stringify(document)
  for (const [, name] of text.matchAll(/#\/components\/schemas\/(\w+)/g)) expect(document.components.schemas).toHaveProperty(name!)
  const ajv = new Ajv2020({ strict: false, formats: { 'date-time': true } })
  ajv.addSchema({ $id: 'http://document/', components: document.components })
  for (const name of Object.keys(document.components.schemas)) expect(ajv.getSchema(`http://document/#/components/schemas/${name}`)).toBeDefined()
  const ids = [...text.matchAll(/"operationId":"(\w+)"/g)].map(([, id]) => id)
  expect(new Set(ids).size).toBe(ids.length)
})

test('every operation in it exists, takes the role it names, and every path parameter is described', async () => {
  const least: string[] = []
  for (const [path, item] of Object.entries<Record<string, { 'x-role': string }>>(document.paths)) {
    if (path in mqttPaths) continue // the gateway's: its own tests ask for them
    const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name)
    const described = ((item.parameters ?? []) as unknown as readonly { name: string }[]).map(({ name }) => name)
    expect(described).toEqual(names)
    for (const [method, operation] of Object.entries(item).filter(([key]) => key !== 'parameters')) {
      const url = path.replaceAll(/\{\w+\}/g, 'abc')
      const key = (await api.send('PUT', 'apiKeys/asker', { body: { role: 'reader' } })).json.properties.key
      const { status } = await api.send(method.toUpperCase() as 'GET', url, { key })
      least.push(operation['x-role'])
      // Missing resources are 404 with a problem of the API; what is no route is 404 too, and told apart by the role.
      expect([path, method, status === 403]).toEqual([path, method, operation['x-role'] !== 'reader'])
      await api.send('DELETE', 'apiKeys/asker')
    }
  }
  expect(new Set(least)).toEqual(new Set(['reader', 'operator', 'owner']))
})

test('every route of the API is in it, and no other', () => {
  const described = new Set<string>()
  for (const [path, item] of Object.entries<Record<string, { 'x-role': string }>>(document.paths)) {
    if (path in mqttPaths) continue
    // Of what is done to one thing, `…/{name}:action`, there is one route, which looks for the action itself.
    const route = path.replaceAll(/\{\w+\}|(?<=^\/namespaces\/)default/g, '{}').replace(/\{\}:\w+$/, '{}')
    for (const [method, operation] of Object.entries(item)) {
      if (method !== 'parameters') described.add(`${method.toUpperCase()} ${route} ${operation['x-role']}`)
    }
  }
  expect([...described].sort()).toEqual([...routes].filter((route) => !route.startsWith('HEAD ')).sort())
})
