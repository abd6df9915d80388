/** Who acts, once authenticated. */
import type { Attributes } from '../model/registry-resources.ts'
import { anonymousGroup } from '../model/registry-resources.ts'
import type { RegistryView } from '../model/registry-view.ts'

export interface Principal {
  /** The resource's name; the authentication name for who has no resource. */
  readonly clientName: string
  /** In its original case: what topic templates see (CL-02). */
  readonly authenticationName: string
  readonly attributes: Attributes
  /** registered: in the registry; anonymous: let in by the group $anonymous; internal: Loggerhead's own canary. */
  readonly kind: 'registered' | 'anonymous' | 'internal'
}

/** Loggerhead's own client, which travels the whole way to prove that it works. */
export const internalName = '$loggerhead'
export const internalClientIdPrefix = '$loggerhead/'
export const internalTopicPrefix = '$loggerhead/canary/'

/** The name of who gives none. */
export const anonymousName = 'anonymous'

export const internalPrincipal: Principal = Object.freeze({ clientName: internalName, authenticationName: internalName, attributes: {}, kind: 'internal' })

/**
 * Who a session belongs to under this view, for sessions without a connection: a session is judged as what its name
 * could be if it connected now. Undefined: nobody any more (client deleted or disabled), and so nothing is allowed.
 */
export function principalOfSession(view: RegistryView, session: { readonly authenticationName: string }): Principal | undefined {
  const { authenticationName } = session
  if (authenticationName === internalName) return internalPrincipal
  const client = view.clientNamed(authenticationName)
  if (client) {
    if (client.properties.state !== 'Enabled') return undefined
    return { clientName: client.name, authenticationName: client.properties.authenticationName, attributes: client.properties.attributes, kind: 'registered' }
  }
  if (!view.clientGroups.has(anonymousGroup) || authenticationName.startsWith('$')) return undefined
  return { clientName: authenticationName, authenticationName, attributes: {}, kind: 'anonymous' }
}
