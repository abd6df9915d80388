/** Judges what clients show, by the registry as it is and by what is found out elsewhere: issuers' keys, revocation lists, webhooks. */
import type { X509Certificate } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import type { Logger } from 'pino'
import { type Authentication, type AuthenticationContext, authenticate, type Credentials, stillValid, type Validity } from '../access/authenticate.ts'
import type { Evidence, Question } from '../access/evidence.ts'
import type { Principal } from '../access/principal.ts'
import { defaultAudiences } from '../access/token-settings.ts'
import type { RegistryView } from '../model/registry-view.ts'
import type { AuthenticatingHost } from './authenticating.ts'
import type { GatewayConfig } from './config.ts'
import type { EvidenceFinder } from './evidence-finder.ts'
import { openEvidence } from './evidence-sources.ts'
import { FetchedLists } from './fetched-lists.ts'
import { type KeySets, keySourceOf } from './key-sets.ts'
import type { GatewayMetrics } from './metrics.ts'

export interface CredentialJudgeOptions {
  readonly config: GatewayConfig
  readonly view: () => RegistryView
  readonly now: () => number
  readonly metrics: GatewayMetrics
  readonly logger: Logger
  /** That lead to the namespace, as they are now: audiences of its tokens. */
  readonly hostNames: () => readonly string[]
  /** Password of the internal user; null lets nobody in. */
  readonly internalKey: Buffer | null
  /** Who is in has to be judged again. */
  onChange(): void
}

/** Chains of clients that were let in, kept for resumed TLS sessions. */
const chainsMax = 10_000

export class CredentialJudge implements AuthenticatingHost {
  readonly #options: CredentialJudgeOptions
  readonly #finder: EvidenceFinder
  readonly #lists: FetchedLists
  readonly #keySets: KeySets
  readonly #chains = new LRUCache<string, readonly X509Certificate[]>({ max: chainsMax })

  /** Throws SettingError when a file that the settings name cannot be read. */
  constructor(options: CredentialJudgeOptions) {
    this.#options = options
    const { config, view, now, metrics, logger } = options
    const onChange = (): void => options.onChange()
    const { finder, keySets, requests } = openEvidence(config, now, metrics, logger, onChange)
    this.#finder = finder
    this.#keySets = keySets
    this.#lists = new FetchedLists({ config, requests, view, now, metrics, logger, onChange })
  }

  /** Clients that something is being found out about. */
  get pending(): number {
    return this.#finder.pending
  }

  authenticate(credentials: Credentials, internal: boolean): Authentication {
    const { view, internalKey } = this.#options
    const authentication = authenticate(view(), credentials, { ...this.#context(), internalKey: (internal && internalKey) || undefined })
    if (internal && (authentication.ok ? authentication.principal.kind !== 'internal' : authentication.question)) {
      return { ok: false, reasonCode: 0x87, why: 'the internal listener is for Loggerhead’s own parts' }
    }
    return authentication
  }

  revalidate(credentials: Credentials, principal: Principal): Validity {
    return stillValid(this.#options.view(), { credentials, principal }, this.#context())
  }

  findOut(question: Question, answer: (evidence: Evidence) => void): { cancel(): void } {
    return this.#finder.findOut(question, answer)
  }

  /** The issuers that a client sent with this certificate when it was let in: a resumed TLS session tells them no more. */
  chainOf(certificate: X509Certificate): readonly X509Certificate[] {
    return this.#chains.get(certificate.fingerprint256) ?? []
  }

  rememberChain(certificate: X509Certificate, chain: readonly X509Certificate[]): void {
    this.#chains.set(certificate.fingerprint256, chain)
  }

  /** Fetches what is due. */
  look(): void {
    this.#lists.look(this.#options.now())
    const { customJwtAuthentication, oauth2JwtAuthentication } = this.#options.view().namespace?.properties ?? {}
    this.#keySets.look([customJwtAuthentication, oauth2JwtAuthentication].flatMap((issuer) => (issuer && keySourceOf(issuer)) ?? []))
  }

  close(): void {
    this.#finder.close()
  }

  #context(): AuthenticationContext {
    const { config, now, hostNames } = this.#options
    return {
      now: now(),
      tokenLeewayMs: config.TOKEN_LEEWAY,
      tokenAudiences: defaultAudiences(hostNames(), config.tokenAudiences),
      publishedKeys: this.#keySets.published,
      fetchedLists: this.#lists.lists,
      staleLists: config.CRL_STALE as 'accept' | 'refuse',
    }
  }
}
