import type { Settings } from '../settings/setting.ts'

/** What tokens of clients are judged by besides the namespace's settings; the same for every process that judges them. */
export const tokenSettings = {
  TOKEN_AUDIENCES: {
    kind: 'text',
    default: '',
    about:
      'What tokens must be for (aud) when their namespace has no host names and names no audiences for their issuer: the host names of this deployment, separated by commas',
  },
  TOKEN_LEEWAY: { kind: 'number', default: 1000, min: 0, max: 300_000, unit: 'ms', about: 'How much the times in a token (exp, nbf) may be missed by' },
} as const satisfies Settings

/**
 * What tokens must be for when their issuer's settings do not say (OJ-06): the namespace's own host names, so that a token for
 * one namespace is not good in another. TOKEN_AUDIENCES counts only for a namespace without any.
 */
export function defaultAudiences(hostNames: readonly string[], tokenAudiences: readonly string[]): readonly string[] {
  return hostNames.length > 0 ? hostNames : tokenAudiences
}
