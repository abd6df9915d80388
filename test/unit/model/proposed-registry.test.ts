import { expect, test } from '@jest/globals'
import { ProposedRegistry } from '../../../model/proposed-registry.ts'
import { put, viewOf } from '../access/registry.ts'

const client = (authenticationName: string, attributes: object = {}) => ({
  authenticationName,
  state: 'Enabled',
  clientCertificateAuthentication: { validationScheme: 'SubjectMatchesAuthenticationName' },
  attributes,
})

test('a proposal is seen above what is there, which stays as it is', () => {
  const base = viewOf({
    clients: { a: client('A', { type: 'old' }), b: client('B'), c: client('C') },
    clientGroups: { olds: { query: 'attributes.type = "old"' }, gone: { query: 'attributes.x = 1' } },
  })
  const proposed = new ProposedRegistry(base)
  proposed.propose({ kind: 'clients', name: 'a', properties: client('A', { type: 'new' }) })
  proposed.propose({ kind: 'clients', name: 'b', properties: null })
  proposed.propose({ kind: 'clients', name: 'd', properties: client('D') })
  proposed.propose({ kind: 'clientGroups', name: 'gone', properties: null })
  expect(proposed.clientNamed('a')?.properties.attributes).toEqual({ type: 'new' })
  expect([proposed.clientNamed('B'), proposed.clients.get('b'), proposed.clients.has('b')]).toEqual([undefined, undefined, false])
  expect([proposed.clientNamed('c')?.name, proposed.clientNamed('d')?.name]).toEqual(['c', 'd'])
  expect(proposed.clients.size).toBe(3)
  expect([...proposed.clientGroups.keys()]).toEqual(['olds'])
  expect([base.clientNamed('a')?.properties.attributes, base.clients.size, base.clientGroups.size]).toEqual([{ type: 'old' }, 3, 2])
})

test('a client that comes to the registry below is there, one that was proposed away is not', () => {
  const base = viewOf({ clients: { a: client('A') } })
  const proposed = new ProposedRegistry(base)
  proposed.propose({ kind: 'clients', name: 'b', properties: null })
  put(base, 'clients', 'b', client('B'))
  put(base, 'clients', 'c', client('C'))
  expect([proposed.clientNamed('b'), proposed.clientNamed('c')?.name]).toEqual([undefined, 'c'])
})
