import { readFileSync } from 'node:fs'
import type { Stack } from '../support/stack.ts'
import type { KeyPair, OpensslAuthority } from './certificates.ts'

/** A resource as the HTTP API takes it, and known to every gateway and router; throws unless it answers 2xx. */
export async function put(stack: Stack, path: string, body: unknown): Promise<void> {
  const answer = await stack.api('PUT', `/namespaces/default/${path}`, body)
  if (answer.status < 200 || answer.status > 299) throw new Error(`PUT ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
  await stack.settled()
}

export async function remove(stack: Stack, path: string): Promise<void> {
  const answer = await stack.api('DELETE', `/namespaces/default/${path}`)
  if (answer.status < 200 || answer.status > 299) throw new Error(`DELETE ${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
  await stack.settled()
}

export async function registerAuthority(stack: Stack, name: string, authority: OpensslAuthority): Promise<void> {
  await put(stack, `caCertificates/${name}`, { encodedCertificate: authority.root.certificate })
}

/** The body of a client that shows a certificate with its own name. */
export function clientBody(authenticationName: string, attributes: Readonly<Record<string, unknown>> = {}): object {
  return { authenticationName, state: 'Enabled', attributes, clientCertificateAuthentication: { validationScheme: 'SubjectMatchesAuthenticationName' } }
}

export async function allow(
  stack: Stack,
  name: string,
  clientGroupName: string,
  topicSpaceName: string,
  permission: 'Publisher' | 'Subscriber',
): Promise<void> {
  await put(stack, `permissionBindings/${name}`, { clientGroupName, topicSpaceName, permission })
}

/** A registered client with a certificate of this authority. */
export async function registerClient(
  stack: Stack,
  authority: OpensslAuthority,
  name: string,
  attributes?: Readonly<Record<string, unknown>>,
): Promise<KeyPair> {
  const pair = await authority.client(name)
  await put(stack, `clients/${name}`, clientBody(name, attributes))
  return pair
}

/** What a TLS client needs to trust the stack and to show who it is. */
export function tlsOptions(stack: Stack, pair?: KeyPair): { readonly ca: Buffer; readonly servername: string; readonly cert?: string; readonly key?: string } {
  return { ca: readFileSync(stack.certificates.ca), servername: 'localhost', ...(pair && { cert: pair.certificate, key: pair.key }) }
}
