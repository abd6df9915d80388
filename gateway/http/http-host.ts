import type { Principal } from '../../access/principal.ts'
import type { Refusal } from '../../audit/refusals.ts'
import type { RegistryView } from '../../model/registry-view.ts'
import type { CredentialJudge } from '../credential-judge.ts'
import type { GatewayMetrics } from '../metrics.ts'
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
  readonly registryIsCurrent: boolean
  /** Null where no client’s messages are sealed. */
  readonly sealing: Sealing | null
  now(): number
  readiness(isInternal: boolean): Readiness
  /** Whether the namespace lets the address in. */
  mayComeFrom(address: string): boolean
  maySubscribe(principal: Principal, filter: string): boolean
  /** Something was refused: for auditors. */
  audit(refusal: Refusal): void
}
