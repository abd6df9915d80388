/** Puts together what finds out about clients, from the settings. */
import type { Logger } from 'pino'
import { OutgoingRequests, RequestFailed } from '../outgoing/outgoing-request.ts'
import { readAuthorities } from '../outgoing/outgoing-settings.ts'
import type { GatewayConfig, LimitName } from './config.ts'
import { EvidenceFinder } from './evidence-finder.ts'
import { KeySets } from './key-sets.ts'
import type { GatewayMetrics } from './metrics.ts'
import { PasswordChecks } from './password-checks.ts'
import { secretFrom, Webhook } from './webhook.ts'

/** The limit behind a kind of RequestFailed. */
const keyLimits: ReadonlyMap<string, LimitName> = new Map([
  ['timeout', 'ISSUER_KEYS_TIMEOUT'],
  ['tooLarge', 'ISSUER_KEYS_BYTES_MAX'],
])
const webhookLimits: ReadonlyMap<string, LimitName> = new Map([
  ['timeout', 'WEBHOOK_TIMEOUT'],
  ['tooLarge', 'WEBHOOK_RESPONSE_MAX'],
  ['attributes', 'VOUCHED_ATTRIBUTES_MAX'],
])

/** Throws SettingError when a file that the settings name cannot be read. */
export function openEvidence(
  config: GatewayConfig,
  now: () => number,
  metrics: GatewayMetrics,
  logger: Logger,
  onWithdrawn: () => void,
): { readonly finder: EvidenceFinder; readonly keySets: KeySets; readonly requests: OutgoingRequests } {
  const requests = new OutgoingRequests({ policy: config.outgoing, connectionsMax: config.WEBHOOK_CONCURRENCY_MAX, ca: readAuthorities(config.OUTGOING_CA) })
  const keySets = new KeySets({
    requests,
    now,
    timeoutMs: config.ISSUER_KEYS_TIMEOUT,
    bytesMax: config.ISSUER_KEYS_BYTES_MAX,
    freshMs: config.ISSUER_KEYS_FRESH,
    ageMaxMs: config.ISSUER_KEYS_AGE_MAX,
    betweenMs: config.ISSUER_KEYS_BETWEEN,
    onWithdrawn,
    onTooOld: () => metrics.reached('ISSUER_KEYS_AGE_MAX'),
    onFetched: (error) => {
      metrics.issuerKeysFetched.inc({ result: error ? 'failed' : 'fetched' })
      const limit = error instanceof RequestFailed ? keyLimits.get(error.kind) : undefined
      if (limit) metrics.reached(limit)
      if (error) logger.warn({ why: error.message }, 'an issuer’s keys could not be fetched')
    },
  })
  const webhook = new Webhook({
    requests,
    timeoutMs: config.WEBHOOK_TIMEOUT,
    bytesMax: config.WEBHOOK_RESPONSE_MAX,
    attributesBytesMax: config.VOUCHED_ATTRIBUTES_MAX,
    token: secretFrom('WEBHOOK_TOKEN_FILE', config.WEBHOOK_TOKEN_FILE, now),
    onDecision: (decision) => metrics.webhookDecisions.inc({ decision }),
    onFailed: (error, status) => {
      metrics.webhookFailures.inc({ error, status_code: status === null ? '' : String(status) })
      const limit = webhookLimits.get(error)
      if (limit) metrics.reached(limit)
    },
  })
  const passwords = new PasswordChecks({
    concurrencyMax: config.PASSWORD_CHECKS_MAX,
    rememberedMax: config.PASSWORDS_REMEMBERED_MAX,
    onWait: () => metrics.reached('PASSWORD_CHECKS_MAX'),
    onForgotten: () => metrics.reached('PASSWORDS_REMEMBERED_MAX'),
  })
  const finder = new EvidenceFinder({
    passwords,
    config,
    requests,
    now,
    keySets,
    webhook,
    reached: (limit) => metrics.reached(limit),
    onAnswered: (about, result, ms) => {
      metrics.authentications.inc({ about, result })
      metrics.authenticationSeconds.observe({ about }, ms / 1000)
    },
  })
  return { finder, keySets, requests }
}
