import type { LogHealth } from '../log/log.ts'
import type { Caller } from './callers.ts'
import type { RegistryConfig } from './config.ts'
import type { AskWebhook } from './event-resources.ts'
import type { Namespaces } from './namespaces.ts'

export interface ApiOptions {
  readonly namespaces: Namespaces
  readonly key: string
  /** Finds the bearer of a token of the OIDC issuer; undefined when no issuer is set. Rejects with Problem. */
  readonly bearerOf?: ((token: string) => Promise<Caller>) | undefined
  readonly askWebhook: AskWebhook
  readonly config: RegistryConfig
  readonly health: () => LogHealth
  readonly onRequest: (method: string, kind: string, status: number, seconds: number) => void
  readonly onLimit: (limit: string) => void
  readonly onError: (error: unknown) => void
}
