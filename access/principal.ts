/** Who acts, once authenticated. */
import type { Attributes } from '../model/registry-resources.ts'
import { anonymousGroup } from '../model/registry-resources.ts'
import type { RegistryView } from '../model/registry-view.ts'

/** Who may vouch for a name that no resource of the registry stands for: the issuer of a token, or the namespace's webhook. */
export const vouchers = ['customJwt', 'oauth2Jwt', 'webhook'] as const
export type Voucher = (typeof vouchers)[number]

export interface Principal {
  /** The resource's name; the authentication name for who has no resource. */
  readonly clientName: string
  /** In its original case: what topic templates see (CL-02). */
  readonly authenticationName: string
  readonly attributes: Attributes
  /** registered: in the registry; anonymous: let in by the group $anonymous; internal: Loggerhead's own canary; operator: of the HTTP API; else who vouched. */
  readonly kind: 'registered' | 'anonymous' | 'internal' | 'operator' | Voucher
}

/** Loggerhead's own client, which travels the whole way to prove that it works. */
export const internalName = '$loggerhead'
export const internalClientIdPrefix = '$loggerhead/'
export const internalTopicPrefix = '$loggerhead/canary/'

/** The name of who gives none. */
export const anonymousName = 'anonymous'

export const internalPrincipal: Principal = Object.freeze({ clientName: internalName, authenticationName: internalName, attributes: {}, kind: 'internal' })

/** Somebody with the role operator or above, who could allow themselves everything: `by` as the API's records name them. Never has a session. */
export const operatorPrincipal = (by: string): Principal => ({ clientName: by, authenticationName: by, attributes: {}, kind: 'operator' })

/** Longest authentication name, characters (CL-02). */
const authenticationNameMax = 128

/** What keeps a text from being the authentication name of somebody whom the registry does not know; undefined when nothing does. */
export function authenticationNameProblem(name: string): string | undefined {
  if (name === '') return 'is empty'
  if (name.length > authenticationNameMax) return `has more than ${authenticationNameMax} characters`
  if (name.startsWith('$')) return 'begins with “$”, which is reserved'
  if (/\p{Cc}|\p{Surrogate}/u.test(name)) return 'holds control characters'
  return undefined
}

/** What a session tells of who it belongs to. */
export interface SessionIdentity {
  readonly authenticationName: string
  /** A Voucher, and the attributes that came from it; empty or missing: the registry knows. */
  readonly vouchedBy?: string
  /** A Principal's kind; empty or missing: not known. */
  readonly ownerKind?: string
  readonly attributes?: Attributes
}

const isVoucher = (text: string | undefined): text is Voucher => (vouchers as readonly (string | undefined)[]).includes(text)

/** What the record of an attach says of its principal; empty when the registry knows it. */
export const voucherOf = ({ kind }: Principal): Voucher | '' => (isVoucher(kind) ? kind : '')

/**
 * Who a session belongs to under this view, for sessions without a connection: a session is judged as what its name
 * could be if it connected now. Undefined: nobody any more (client deleted or disabled, the voucher's trust withdrawn,
 * a name that was merely said registered since),
 * and so nothing is allowed.
 */
export function principalOfSession(view: RegistryView, session: SessionIdentity): Principal | undefined {
  const { authenticationName, vouchedBy, ownerKind, attributes = {} } = session
  if (authenticationName === internalName) return internalPrincipal
  const client = view.clientNamed(authenticationName)
  if (client && (client.properties.state !== 'Enabled' || ownerKind === 'anonymous')) return undefined
  if (isVoucher(vouchedBy)) return trusts(view, vouchedBy) ? vouched(vouchedBy, authenticationName, attributes, client?.name) : undefined
  if (client) {
    return { clientName: client.name, authenticationName: client.properties.authenticationName, attributes: client.properties.attributes, kind: 'registered' }
  }
  if (!view.clientGroups.has(anonymousGroup) || authenticationName.startsWith('$')) return undefined
  return { clientName: authenticationName, authenticationName, attributes: {}, kind: 'anonymous' }
}

/** True while the namespace's settings name the voucher. */
export function trusts(view: RegistryView, voucher: Voucher): boolean {
  return view.namespace?.properties[`${voucher}Authentication`] !== undefined
}

/** The principal of a name that somebody vouched for. The attributes are the voucher's, also for a registered name. */
export function vouched(kind: Voucher, authenticationName: string, attributes: Attributes, clientName = authenticationName): Principal {
  return { clientName, authenticationName, attributes, kind }
}
