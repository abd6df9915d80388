/* biome-ignore-all lint/suspicious/noTemplateCurlyInString: the syntax of templates */
/** Bodies in the shape that Azure's management API and its public MQTT samples have. */
import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { makeAuthority } from '../access/pki.ts'
import { ApiHarness } from './harness.ts'

let api: ApiHarness
beforeEach(async () => {
  api = await ApiHarness.open()
})
afterEach(() => api.close())

const day = 86_400_000
const authority = makeAuthority('Intermediate', { from: Date.now() - day, to: Date.now() + day })
const left = (...fields: readonly string[]) => fields.map((field) => `${field} means something to Azure only and was left out`)

test.each<[string, string, object, readonly string[] | undefined]>([
  [
    'NS-03 NS-07 NS-08 a namespace',
    '',
    {
      location: 'westeurope',
      tags: { team: 'fleet' },
      sku: { name: 'Standard', capacity: 1 },
      identity: { type: 'SystemAssigned' },
      properties: {
        isZoneRedundant: true,
        publicNetworkAccess: 'Enabled',
        inboundIpRules: [{ ipMask: '10.0.0.0/8', action: 'Allow' }],
        topicsConfiguration: { inputSchema: 'CloudEventSchemaV1_0' },
        topicSpacesConfiguration: {
          state: 'Enabled',
          routeTopicResourceId: '/subscriptions/1/resourceGroups/g/providers/Microsoft.EventGrid/namespaces/fleet/topics/routed',
          routingIdentityInfo: { type: 'None' },
          maximumSessionExpiryInHours: 2,
          maximumClientSessionsPerAuthenticationName: 5,
          customDomains: [],
          clientAuthentication: { alternativeAuthenticationNameSources: ['ClientCertificateSubject'] },
        },
      },
    },
    [
      ...left(
        'location',
        'tags',
        'sku',
        'identity',
        'properties.isZoneRedundant',
        'properties.topicsConfiguration',
        'properties.topicSpacesConfiguration.state',
      ),
      'properties.topicSpacesConfiguration.routeTopicResourceId: there is no namespace topic “routed” yet',
    ],
  ],
  [
    'XA-01 a CA certificate',
    'caCertificates/Intermediate01',
    { properties: { description: 'CA Certificate Description', encodedCertificate: authority.pem } },
    undefined,
  ],
  [
    'CL-05 a client',
    'clients/vehicle01',
    {
      id: '/subscriptions/x/resourceGroups/y/providers/Microsoft.EventGrid/namespaces/ns/clients/vehicle01',
      name: 'vehicle01',
      type: 'Microsoft.EventGrid/namespaces/clients',
      properties: {
        provisioningState: 'Succeeded',
        state: 'Enabled',
        authenticationName: 'vehicle01',
        clientCertificateAuthentication: { validationScheme: 'SubjectMatchesAuthenticationName' },
        attributes: { type: 'vehicle', floors: 3, sensors: ['motion', 'noise'] },
        description: 'a vehicle',
      },
    },
    left('properties.provisioningState'),
  ],
  ['CG-01 a client group', 'clientGroups/vehicles', { properties: { description: 'all of them', query: "attributes.type = 'vehicle'" } }, undefined],
  [
    'TS-01 TS-10 a topic space, overlapping and with a field of the preview',
    'topicSpaces/vehicles',
    { properties: { subscriptionSupport: 'LowFanout', topicTemplates: ['vehicles/${client.authenticationName}/#', 'vehicles/#', 'vehicles/+/position'] } },
    left('properties.subscriptionSupport'),
  ],
])('%s is taken unchanged, and what only Azure knows is named', async (_, path, body, warnings) => {
  const put = await api.send('PUT', path, { body })
  expect([put.status, put.json.warnings]).toEqual([201, warnings])
  const got = await api.send('GET', path)
  // What the API answers can be sent back, with the same result.
  const again = await api.send('PUT', path, { body: got.json })
  expect([again.status, again.json.properties]).toEqual([200, got.json.properties])
})

test('PB-01 a permission binding in the shape of Azure, for the built-in group', async () => {
  await api.send('PUT', 'topicSpaces/samples', { body: { properties: { topicTemplates: ['sample/#'] } } })
  const body = { properties: { clientGroupName: '$all', permission: 'Publisher', topicSpaceName: 'samples' } }
  expect((await api.send('PUT', 'permissionBindings/samplesPub', { body })).json).toMatchObject({
    ...body,
    type: 'Microsoft.EventGrid/namespaces/permissionBindings',
  })
})
