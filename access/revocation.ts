/** Whether a certificate was revoked by the CA that issued it, by the lists that are known. */
import type { X509Certificate } from 'node:crypto'
import type { Resource } from '../model/registry-resources.ts'
import type { CertificateAuthority, RegistryView } from '../model/registry-view.ts'
import { foldSerial, type RevocationList, readRevocationList } from './certificate-structure.ts'

export interface RevocationContext {
  /** Milliseconds since the epoch. */
  readonly now: number
  /** Lists that were fetched, by the name of the CA certificate. */
  readonly fetchedLists?: ReadonlyMap<string, RevocationList>
  /** What a list is worth after the next one was due, or before the first was fetched: `accept` goes on by it, `refuse` lets nobody of the CA in. */
  readonly staleLists?: 'accept' | 'refuse'
}

const inRegistry = new WeakMap<Resource<'caCertificates'>, RevocationList | null>()

/** The list that stands in the registry; parsed once. */
function registeredList(resource: Resource<'caCertificates'>, issuer: X509Certificate): RevocationList | undefined {
  const { encodedRevocationList } = resource.properties
  if (encodedRevocationList === undefined) return undefined
  const known = inRegistry.get(resource)
  if (known !== undefined) return known ?? undefined
  const read = readRevocationList(Buffer.from(encodedRevocationList, 'latin1'), issuer)
  const list = 'problem' in read ? null : read // the API refuses such a list
  inRegistry.set(resource, list)
  return list ?? undefined
}

/**
 * Why the certificate counts no more; undefined when it does. `authorities`: every CA certificate that is registered for its
 * issuer's name and key; the list of any of them is that issuer's.
 */
export function whyRevoked(
  view: RegistryView,
  authorities: readonly CertificateAuthority[],
  certificate: X509Certificate,
  context: RevocationContext,
): string | undefined {
  const serial = foldSerial(certificate.serialNumber)
  let withList: string | undefined
  let isCurrent = false
  for (const authority of authorities) {
    const resource = view.caCertificates.get(authority.name)
    if (!resource) continue
    const { encodedRevocationList, revocationListUrl } = resource.properties
    if (encodedRevocationList === undefined && revocationListUrl === undefined) continue
    const lists = [registeredList(resource, authority.certificate), context.fetchedLists?.get(authority.name)].filter((list) => list !== undefined)
    if (lists.some(({ serials }) => serials.has(serial))) return `the CA “${authority.name}” has revoked the certificate ${serial}`
    withList ??= authority.name
    isCurrent ||= lists.some(({ nextUpdate }) => context.now < nextUpdate)
  }
  if (withList === undefined || isCurrent || context.staleLists !== 'refuse') return undefined
  return `no current revocation list of the CA “${withList}” is known (CRL_STALE)`
}
