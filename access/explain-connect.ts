/** Why a connection is let in or refused: the gateway's own judgement, with what it was judged by. */
import type { RegistryView } from '../model/registry-view.ts'
import { type AuthenticationContext, authenticate, type Credentials } from './authenticate.ts'
import { namesOf } from './certificate-names.ts'
import { compileRules } from './decide.ts'
import type { Principal } from './principal.ts'

/** What a certificate says, where authentication looks. */
export interface ShownCertificate {
  readonly subject: readonly string[]
  readonly dns: readonly string[]
  readonly uri: readonly string[]
  readonly ip: readonly string[]
  readonly email: readonly string[]
  readonly issuer: string
  readonly notBefore: string
  readonly notAfter: string
}

export interface ConnectExplanation {
  readonly allowed: boolean
  /** In words; never told to who connects. */
  readonly reason: string
  /** What CONNACK says, of MQTT 5. */
  readonly reasonCode: number
  readonly client?: string
  readonly authenticationName?: string
  readonly kind?: Principal['kind']
  readonly groups: readonly string[]
  /** When it will be judged anew. */
  readonly expiresAt?: string
  readonly certificate?: ShownCertificate
}

function shown(certificate: NonNullable<Credentials['certificate']>): ShownCertificate {
  const { subject, dns, uri, ip, email } = namesOf(certificate)
  const { issuer, validFromDate, validToDate } = certificate
  return { subject, dns, uri, ip, email, issuer, notBefore: validFromDate.toISOString(), notAfter: validToDate.toISOString() }
}

const ways: { readonly [K in Principal['kind']]?: string } = {
  registered: 'its certificate is that of',
  anonymous: 'the client group $anonymous lets in, without a certificate,',
}

/** Explains what a CONNECT with these credentials would come to now. That the client has the certificate's key is taken for granted. */
export function explainConnect(view: RegistryView, credentials: Credentials, context: AuthenticationContext): ConnectExplanation {
  const certificate = credentials.certificate ? { certificate: shown(credentials.certificate) } : {}
  const judged = authenticate(view, credentials, context)
  if (!judged.ok) return { allowed: false, reason: judged.why, reasonCode: judged.reasonCode, groups: [], ...certificate }
  const { principal, expiresAt } = judged
  const { authenticationName, clientName, kind } = principal
  return {
    allowed: true,
    reason: `${ways[kind] ?? `as ${kind},`} “${authenticationName}”`,
    reasonCode: 0,
    ...(view.clients.has(clientName) ? { client: clientName } : {}),
    authenticationName,
    kind,
    groups: compileRules(view).groupsOf(principal),
    ...(expiresAt === undefined ? {} : { expiresAt: new Date(expiresAt).toISOString() }),
    ...certificate,
  }
}
