/** Settings of the OIDC issuer whose tokens are taken over HTTP besides keys; the same for every service that takes them. */
import type { Settings, Values } from '../settings/setting.ts'

export const oidcSettings = {
  OIDC_ISSUER: {
    kind: 'text',
    default: '',
    about: 'Issuer of bearer tokens that the HTTP API and topics take besides keys, as in their claim iss; empty: none',
  },
  OIDC_AUDIENCE: { kind: 'text', default: '', about: 'Audiences of which a token must have one, separated by commas' },
  OIDC_ROLE_CLAIM: {
    kind: 'text',
    default: 'roles',
    about: 'Claim with the roles of a token’s bearer: a list, or words in a text; dots lead into objects, as in realm_access.roles',
  },
  OIDC_ROLES: {
    kind: 'text',
    default: 'reader=reader,operator=operator,owner=owner',
    about: 'Which values of that claim give which role: role=value, separated by commas; several values may give one role',
  },
  OIDC_KEYS_MAX_AGE: {
    kind: 'number',
    default: 600_000,
    min: 1_000,
    max: 86_400_000,
    unit: 'ms',
    about: 'How long the keys of the issuer are kept; an unknown key is looked for at once',
  },
  OIDC_TIMEOUT: {
    kind: 'number',
    default: 5_000,
    min: 100,
    max: 60_000,
    unit: 'ms',
    about: 'Time for the issuer to answer with its keys',
    outcome: 'the request with the token is answered with 503',
    metric: 'loggerhead_limit_reached_total{limit="OIDC_TIMEOUT"}',
  },
} as const satisfies Settings

export type OidcValues = Values<typeof oidcSettings> & { readonly LOGGERHEAD_PROFILE: string }
