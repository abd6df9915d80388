import type { Refusal } from '../../audit/refusals.ts'
import type { RegistryView } from '../../model/registry-view.ts'
import type { CredentialJudge } from '../credential-judge.ts'
import type { GatewayMetrics } from '../metrics.ts'
import type { NamespaceAccess } from '../namespace-access.ts'
import type { Readiness } from '../protocol.ts'
import type { PublishHost } from '../publishing.ts'
import type { NamespaceRates } from '../rates.ts'
import type { Sealing } from '../sealing.ts'

/** What publishing and reading over HTTP need of their namespace's gateway. */
export interface HttpHost extends PublishHost {
  readonly credentials: CredentialJudge
  readonly metrics: GatewayMetrics
  readonly rates: NamespaceRates
  readonly view: RegistryView
  readonly access: NamespaceAccess
  /** Null where no client’s messages are sealed. */
  readonly sealing: Sealing | null
  now(): number
  readiness(isInternal: boolean): Readiness
  /** Something was refused: for auditors. */
  audit(refusal: Refusal): void
}
