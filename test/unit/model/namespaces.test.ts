import { expect, test } from '@jest/globals'
import { NamespaceDirectory } from '../../../model/namespace-directory.ts'
import { foldHostName, lifeName, readNamespaceEntry } from '../../../model/namespaces.ts'
import { RegistryView } from '../../../model/registry-view.ts'

let offset = 0
function put(view: RegistryView, name: string, properties: object | null): void {
  const entry = properties && { kind: 'namespaces', name, properties: JSON.stringify(properties), etag: '', createdAt: 0, updatedAt: 7, by: 'test' }
  view.apply({ offset: offset++, key: `namespaces/${name}`, entry })
}
const active = (hostNames: readonly string[] = [], life = 1) => ({ state: 'Active', life, partitions: 2, hostNames })

test('a deployment knows its namespaces from the home registry, and each host name leads to one (NS-01, NS-09)', () => {
  const view = new RegistryView()
  const directory = new NamespaceDirectory(view, 'default', true)
  expect([directory.others, [...directory.names], directory.isStrict]).toEqual([[], ['default'], false])
  put(view, 'factory', active(['mqtt.factory.example', 'shared.example']))
  put(view, 'default', active(['mqtt.home.example']))
  put(view, 'plant', active(['shared.example']))
  put(view, 'coming', { ...active(['coming.example']), state: 'Creating' })
  put(view, 'going', { ...active(['going.example']), state: 'Deleting' })
  directory.refresh()
  expect(directory.others.map(lifeName)).toEqual(['factory', 'plant'])
  expect(Object.fromEntries(directory.hosts)).toEqual({ 'mqtt.home.example': 'default', 'mqtt.factory.example': 'factory', 'shared.example': 'factory' })
})

test('production stays strict when the only other namespace is no more: its clients must not end up in the home namespace', () => {
  const view = new RegistryView()
  const [production, development] = [new NamespaceDirectory(view, 'default', true), new NamespaceDirectory(view, 'default', false)]
  put(view, 'factory', { ...active(), state: 'Deleted' })
  for (const directory of [production, development]) directory.refresh()
  expect([production.others, production.isStrict, development.isStrict]).toEqual([[], true, false])
})

test('a second namespace of a name is another one in every topic, group and link', () => {
  expect(lifeName({ name: 'factory', life: 1 })).toBe('factory')
  expect(lifeName({ name: 'factory', life: 2 })).toBe('factory.2')
})

test.each([
  ['no JSON', 'factory', '{'],
  ['no state', 'factory', '{"life":1,"partitions":1}'],
  ['a life of none', 'factory', '{"state":"Active","life":0,"partitions":1}'],
  ['partitions that are no number', 'factory', '{"state":"Active","life":1,"partitions":"4"}'],
  ['a name that is none', 'fac.2', '{"state":"Active","life":1,"partitions":1}'],
])('an entry with %s is no namespace', (_what, name, properties) => {
  expect(readNamespaceEntry(name, properties, 0)).toBeUndefined()
})

test.each([
  ['MQTT.Factory.example.', 'mqtt.factory.example'],
  ['localhost', 'localhost'],
  ['xn--fabrik-example', 'xn--fabrik-example'],
  ['127.0.0.1', null],
  ['::1', null],
  ['a..b', null],
  ['-a.example', null],
  ['a_b.example', null],
  [`${'a'.repeat(64)}.example`, null],
  [new Array(60).fill('aaaaa').join('.'), null],
  ['', null],
])('the host name %s folds to %s', (text, folded) => {
  expect(foldHostName(text)).toBe(folded)
})
