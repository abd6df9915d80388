import { expect, test } from '@jest/globals'
import { makeTokenIssuer } from '../access/tokens.ts'
import { ApiHarness } from './harness.ts'

const issuer = makeTokenIssuer()
const { tokenIssuer, kid, encodedCertificate } = issuer
const certificates = [{ kid, encodedCertificate }]
const settings = (clientAuthentication: object) => ({ topicSpacesConfiguration: { clientAuthentication } })
const root = 'properties.topicSpacesConfiguration.clientAuthentication'

async function put(clientAuthentication: object) {
  const api = await ApiHarness.open()
  const answer = await api.send('PUT', '', { body: settings(clientAuthentication) })
  const read = await api.send('GET', '')
  await api.close()
  return { answer, read }
}

test('OJ-01 OJ-03 issuers are kept as they were given, and read back', async () => {
  const customJwtAuthentication = { tokenIssuer, encodedIssuerCertificates: certificates, audiences: ['mqtt.example.com'] }
  const { answer, read } = await put({ customJwtAuthentication })
  expect(answer.status).toBe(201)
  expect(answer.json.warnings).toBeUndefined()
  expect(read.json.properties.topicSpacesConfiguration.clientAuthentication.customJwtAuthentication).toMatchObject(customJwtAuthentication)
})

test('OJ-02 certificates in a key vault mean something to Azure only: without others there is no key', async () => {
  const issuerCertificates = [{ certificateUrl: 'https://vault.example.com/c', identity: { type: 'SystemAssigned' } }]
  const { answer } = await put({ customJwtAuthentication: { tokenIssuer, issuerCertificates, encodedIssuerCertificates: certificates } })
  expect(answer.json.warnings).toEqual([
    `${root}.customJwtAuthentication.issuerCertificates means something to Azure only and was left out`,
    `${root}.customJwtAuthentication.audiences: without any, tokens must be for a host name of the namespace or, when it has none, for one of the gateways’ setting TOKEN_AUDIENCES`,
  ])
  const without = await put({ customJwtAuthentication: { tokenIssuer, issuerCertificates } })
  expect(without.answer).toMatchObject({ status: 400, json: { field: `${root}.customJwtAuthentication` } })
})

test.each([
  ['no issuer', { customJwtAuthentication: { encodedIssuerCertificates: certificates } }, 'customJwtAuthentication.tokenIssuer'],
  ['no keys', { customJwtAuthentication: { tokenIssuer } }, 'customJwtAuthentication'],
  [
    'a certificate that is none',
    { customJwtAuthentication: { tokenIssuer, encodedIssuerCertificates: [{ kid, encodedCertificate: 'nonsense' }] } },
    'customJwtAuthentication.encodedIssuerCertificates[0].encodedCertificate',
  ],
  [
    'a key id twice',
    { customJwtAuthentication: { tokenIssuer, encodedIssuerCertificates: [...certificates, ...certificates] } },
    'customJwtAuthentication.encodedIssuerCertificates[1].kid',
  ],
  ['keys over plain HTTP', { customJwtAuthentication: { tokenIssuer, jwksUrl: 'http://issuer.example.com/keys' } }, 'customJwtAuthentication.jwksUrl'],
  [
    'two places for keys',
    { oauth2JwtAuthentication: { tokenIssuer, jwksUrl: 'https://a.example.com', openIdConfigurationUrl: 'https://b.example.com' } },
    'oauth2JwtAuthentication.jwksUrl',
  ],
  ['a webhook over plain HTTP', { webhookAuthentication: { endpointUrl: 'http://hook.example.com' } }, 'webhookAuthentication.endpointUrl'],
  ['a webhook without a URL', { webhookAuthentication: {} }, 'webhookAuthentication.endpointUrl'],
  ['a user in the webhook’s URL', { webhookAuthentication: { endpointUrl: 'https://a:b@hook.example.com' } }, 'webhookAuthentication.endpointUrl'],
  [
    'a role that is no permission',
    { oauth2JwtAuthentication: { tokenIssuer, encodedIssuerCertificates: certificates, roleAssignments: [{ value: 'x', permission: 'Owner' }] } },
    'oauth2JwtAuthentication.roleAssignments[0].permission',
  ],
])('%s is refused by name', async (_what, clientAuthentication, field) => {
  const { answer } = await put(clientAuthentication)
  expect(answer).toMatchObject({ status: 400, json: { field: `${root}.${field}` } })
})

test('webhook: its URL is read back without its query, and kept when that is sent again', async () => {
  const api = await ApiHarness.open()
  const webhookAuthentication = { endpointUrl: 'https://hook.example.com/a?code=s3cret', identity: { type: 'SystemAssigned' } }
  const first = await api.send('PUT', '', { body: settings({ webhookAuthentication }) })
  expect(first.status).toBe(201)
  const read = await api.send('GET', '')
  expect(read.text).not.toContain('s3cret')
  expect(read.json.properties.topicSpacesConfiguration.clientAuthentication.webhookAuthentication).toEqual({ endpointBaseUrl: 'https://hook.example.com/a' })
  expect((await api.send('PUT', '', { body: { properties: read.json.properties } })).status).toBe(200)
  expect(api.registry.view.namespace?.properties.webhookAuthentication).toEqual({ endpointUrl: webhookAuthentication.endpointUrl })
  const other = await api.send('PUT', '', { body: settings({ webhookAuthentication: { endpointBaseUrl: 'https://evil.example.com/a' } }) })
  expect(other.status).toBe(400)
  await api.close()
})
