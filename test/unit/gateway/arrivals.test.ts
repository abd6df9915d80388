import { expect, test } from '@jest/globals'
import { type Arrival, chooseNamespace, type Directory, hostOfHeader } from '../../../gateway/arrivals.ts'

const hosts = new Map([
  ['mqtt.factory.example', 'factory'],
  ['mqtt.home.example', 'default'],
])
const lenient: Directory = { home: 'default', hosts, isStrict: false }
const strict: Directory = { home: 'default', hosts, isStrict: true }
const host = (name: string | null): Arrival => ({ by: 'host', host: name })

test.each([
  ['a host of another namespace', host('mqtt.factory.example'), 'factory', 'factory'],
  ['the same with a final dot', host('mqtt.factory.example.'), 'factory', 'factory'],
  ['a host of the home namespace', host('mqtt.home.example'), 'default', 'default'],
  ['an unknown host', host('mqtt.fabrik.example'), 'default', null],
  ['a name below a known one', host('x.mqtt.factory.example'), 'default', null],
  ['a part of a known one', host('factory.example'), 'default', null],
  ['no host', host(null), 'default', null],
  ['a listener of its own', { by: 'listener', namespace: 'factory' } satisfies Arrival, 'factory', 'factory'],
] as const)('%s leads to one namespace; in production only when it is named (NS-02, NS-09)', (_what, arrival, inDevelopment, inProduction) => {
  expect(chooseNamespace(arrival, lenient)).toEqual({ namespace: inDevelopment })
  const choice = chooseNamespace(arrival, strict)
  if (inProduction === null) expect(choice).toEqual({ refused: expect.stringMatching(/host name/) })
  else expect(choice).toEqual({ namespace: inProduction })
})

test.each([
  ['Mqtt.Factory.Example:8083', 'mqtt.factory.example'],
  ['mqtt.factory.example', 'mqtt.factory.example'],
  ['[::1]:8083', '[::1]'],
  ['', null],
  [undefined, null],
] as const)('the Host header %s names %s', (header, name) => {
  expect(hostOfHeader(header)).toBe(name)
})
