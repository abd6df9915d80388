/**
 * The sample registry of the development profile. Each part is written once: a marker in the log remembers it, so that
 * what an operator deletes stays deleted.
 */
import type { Permission } from '../model/permission.ts'
import { allGroup, anonymousGroup, type ResourceKind } from '../model/registry-resources.ts'
import type { Registry } from './registry.ts'
import { putCommand } from './resources.ts'
import type { RegistryLimits } from './rules.ts'

interface Sample {
  readonly kind: ResourceKind
  readonly name: string
  readonly properties: Readonly<Record<string, unknown>>
}

const binding = (name: string, clientGroupName: string, topicSpaceName: string, permission: Permission): Sample => ({
  kind: 'permissionBindings',
  name,
  properties: { clientGroupName, topicSpaceName, permission },
})

export const samples: readonly Sample[] = [
  {
    kind: 'clientGroups',
    name: anonymousGroup,
    properties: { description: 'Lets clients in that show no certificate. Delete it and they are out. For development only.' },
  },
  { kind: 'topicSpaces', name: 'everything', properties: { topicTemplates: ['#'], description: 'Every topic' } },
  binding('everything-pub', anonymousGroup, 'everything', 'Publisher'),
  binding('everything-sub', anonymousGroup, 'everything', 'Subscriber'),
  binding('everything-replay', anonymousGroup, 'everything', 'Replayer'),
  {
    kind: 'clients',
    name: 'sample_client',
    properties: {
      clientCertificateAuthentication: { validationScheme: 'SubjectMatchesAuthenticationName' },
      attributes: { type: 'sample-client' },
      description: 'Shows the certificate client.pem of the data folder',
    },
  },
  { kind: 'topicSpaces', name: 'samples', properties: { topicTemplates: ['sample/#'] } },
  binding('samples-pub', allGroup, 'samples', 'Publisher'),
  binding('samples-sub', allGroup, 'samples', 'Subscriber'),
  {
    kind: 'namespace',
    name: '',
    properties: { topicSpacesConfiguration: { clientAuthentication: { alternativeAuthenticationNameSources: ['ClientCertificateSubject'] } } },
  },
]

export interface SampleOptions {
  readonly registry: Registry
  readonly namespace: string
  readonly limits: RegistryLimits
  /** PEM of the development CA, when there is one. */
  readonly ca: string | undefined
}

const samplesMarker = 'development-samples'
const caMarker = 'development-ca'
const caName = 'development'

/** Writes what was never written. A new development CA takes the place of the registered one, unless that was deleted. */
export async function seedDevelopmentSamples({ registry, namespace, limits, ca }: SampleOptions): Promise<void> {
  const { view } = registry
  const put = ({ kind, name, properties }: Sample) =>
    registry.change(
      putCommand({ kind, name: kind === 'namespace' ? namespace : name, properties, limits, author: { by: 'development profile' }, warnings: [] }),
    )
  if (!view.hasMarker(samplesMarker)) {
    for (const sample of samples) {
      if (!view.of(sample.kind).has(sample.kind === 'namespace' ? namespace : sample.name)) await put(sample)
    }
    await registry.mark(samplesMarker)
  }
  if (ca === undefined) return
  const registered = view.caCertificates.get(caName)
  const isFirst = !view.hasMarker(caMarker)
  if (registered ? registered.properties.encodedCertificate.trim() !== ca.trim() : isFirst) {
    await put({ kind: 'caCertificates', name: caName, properties: { encodedCertificate: ca, description: 'The CA of the development profile’s certificates' } })
  }
  if (isFirst) await registry.mark(caMarker)
}
