/** What the namespace lets clients do, by its registry as the gateway has read it. */
import { accessKnownSince } from '../access/access-then.ts'
import { compileRules, maySubscribeTo, type Rules } from '../access/decide.ts'
import type { Principal } from '../access/principal.ts'
import { keptOf } from '../model/history-kept.ts'
import { type AddressRule, addressRule } from '../model/ip-rules.ts'
import type { ReplayRequest } from '../schemas/session-records.ts'
import type { Permission } from './protocol.ts'
import type { RegistrySource } from './registry-source.ts'

export interface NamespaceAccessOptions {
  readonly registry: RegistrySource
  readonly now: () => number
  /** REGISTRY_STALE, as it is now, ms. */
  readonly staleMs: () => number
}

export class NamespaceAccess {
  readonly #options: NamespaceAccessOptions
  #rules: Rules
  #mayComeFrom: AddressRule

  constructor(options: NamespaceAccessOptions) {
    const { view } = options.registry
    this.#options = options
    this.#rules = compileRules(view)
    this.#mayComeFrom = addressRule(view.namespace?.properties)
  }

  /** The registry has changed. */
  changed(): void {
    const { view } = this.#options.registry
    this.#rules = compileRules(view)
    this.#mayComeFrom = addressRule(view.namespace?.properties)
  }

  /** Changes whenever subscriptions have to be judged again. */
  get rulesPosition(): number {
    return this.#rules.position
  }

  /** Registry confirmed within REGISTRY_STALE: new decisions may be made. */
  get isCurrent(): boolean {
    const { registry, staleMs } = this.#options
    return registry.confirmedMs() < staleMs()
  }

  /** When the registry was confirmed last, ms since the epoch. */
  get confirmedAt(): number {
    const { registry, now } = this.#options
    return now() - registry.confirmedMs()
  }

  /** From when on it is known who could do what, ms since the epoch; null when it never is. */
  get knownSince(): number | null {
    const { registry, now } = this.#options
    return accessKnownSince(keptOf(registry.view), now())
  }

  /** Whether the namespace lets the address in (NS-07). */
  mayComeFrom(address: string): boolean {
    return this.#mayComeFrom(address)
  }

  mayPublish(principal: Principal, topic: string): Permission {
    if (!this.isCurrent) return 'undecided'
    return this.#rules.mayPublish(principal, topic).allowed ? 'allowed' : 'denied'
  }

  maySubscribe(principal: Principal, filter: string, replay: ReplayRequest | null = null): boolean {
    return maySubscribeTo(this.#rules, principal, { filter, replay })
  }

  mayReplay(principal: Principal, topic: string): boolean {
    return this.#rules.mayReplay(principal, topic).allowed
  }

  /** Whether a filter may stay. What of its past its session asked for only the session's owner knows, who has the last word. */
  mayHold(principal: Principal, filter: string): boolean {
    return this.#rules.maySubscribe(principal, filter).allowed || this.#rules.mayReplay(principal, filter).allowed
  }

  /** Whether a group of the client asks for receipts of its deliveries. */
  wantsReceipts(principal: Principal): boolean {
    return this.#rules.wantsReceipts(principal)
  }
}
