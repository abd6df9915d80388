/**
 * What other rules would have made of traffic that was: pure, one message, delivery or refusal after the other. Both registries judge as gateways and
 * routers do (access/decide.ts); only where they differ does anything change.
 */
import { compileRules, type Rules } from '../access/decide.ts'
import { type ExplainedAction, explain } from '../access/explain.ts'
import { type Principal, principalOfSession, type SessionIdentity } from '../access/principal.ts'
import type { RegistryView } from '../model/registry-view.ts'
import type { DeliveryThen } from './sessions-then.ts'
import { type Counted, Tally, type Told } from './tally.ts'
import type { ToldRefusal } from './told-refusal.ts'

/** Answers that are kept, by client and topic or filter, and characters of those. */
const answersMax = 20_000
const answerCharactersMax = 8 * 1024 * 1024
/** Clients whose principal is kept. */
const principalsMax = 20_000

/** What the registry that is there, and the proposed one, say of the same thing. */
type Verdict = 'stays' | 'refused' | 'allowed' | 'refusedAlready'

export interface ToldWithWhy extends Told {
  readonly top: readonly (Counted & { readonly why: string })[]
}

export interface WhatIfReport {
  readonly publishes: {
    /** That are in the log. */
    readonly judged: number
    /** Of these, would be refused. */
    readonly refused: ToldWithWhy
    /** Of these, are refused by the registry as it is already: it has changed since. */
    readonly refusedAlready: number
    /** Whose publisher's rights came with a credential, and that is not in the log: neither answer is known. */
    readonly undecided: number
    /** That were refused, as far as that was written down, and would be allowed. */
    readonly allowed: Told
  }
  readonly deliveries: {
    readonly judged: number
    readonly refused: ToldWithWhy
    /** Whose message would not have been published. */
    readonly lostWithPublish: number
    readonly refusedAlready: number
  }
  readonly subscriptions: {
    /** SUBSCRIBEs that were refused, as far as that was written down, and would be allowed: `topic` is the filter. */
    readonly allowed: Told
  }
  /** Refusals that were only counted, without the topic: what they would be is not known. */
  readonly refusalsOfUnknownTopic: number
}

class Side {
  readonly #view: RegistryView
  readonly #rules: Rules
  readonly #principals = new Map<string, Principal | undefined>()

  constructor(view: RegistryView) {
    this.#view = view
    this.#rules = compileRules(view)
  }

  may(action: 'publish' | 'subscribe', identity: SessionIdentity, key: string, topic: string): boolean {
    const principal = this.#principalOf(identity, key)
    if (!principal) return false
    return (action === 'publish' ? this.#rules.mayPublish(principal, topic) : this.#rules.maySubscribe(principal, topic)).allowed
  }

  #principalOf(identity: SessionIdentity, key: string): Principal | undefined {
    if (this.#principals.has(key)) return this.#principals.get(key)
    if (this.#principals.size >= principalsMax) this.#principals.clear()
    const principal = principalOfSession(this.#view, identity)
    this.#principals.set(key, principal)
    return principal
  }
}

const keyOf = ({ authenticationName, vouchedBy = '', ownerKind = '', attributes }: SessionIdentity): string =>
  vouchedBy === '' ? `${authenticationName}\n${ownerKind === 'anonymous'}` : `${authenticationName}\n${vouchedBy}\n${JSON.stringify(attributes ?? {})}`

export class WhatIf {
  readonly #after: RegistryView
  readonly #before: Side
  readonly #then: Side
  readonly #answers = new Map<string, Verdict>()
  readonly #publishesRefused: Tally
  readonly #publishesAllowed: Tally
  readonly #deliveriesRefused: Tally
  readonly #subscriptionsAllowed: Tally
  #answerCharacters = 0
  #publishes = 0
  #publishesRefusedAlready = 0
  #undecided = 0
  #deliveries = 0
  #deliveriesRefusedAlready = 0
  #lostWithPublish = 0
  #unknown = 0

  /** `pairsMax` pairs of client and topic are told apart in each count. */
  constructor(before: RegistryView, after: RegistryView, pairsMax: number) {
    this.#after = after
    this.#before = new Side(before)
    this.#then = new Side(after)
    this.#publishesRefused = new Tally(pairsMax)
    this.#publishesAllowed = new Tally(pairsMax)
    this.#deliveriesRefused = new Tally(pairsMax)
    this.#subscriptionsAllowed = new Tally(pairsMax)
  }

  /** A publish that is in the log; false when it would not have been. `place` is partition:offset. Who is not known may have been allowed either way. */
  published(publisher: SessionIdentity | undefined, topic: string, place: string): boolean {
    this.#publishes++
    if (!publisher) {
      this.#undecided++
      return true
    }
    const verdict = this.#judge('publish', publisher, topic)
    if (verdict === 'refused') this.#publishesRefused.add(publisher.authenticationName, topic, place)
    if (verdict === 'refusedAlready') this.#publishesRefusedAlready++
    return verdict !== 'refused'
  }

  /** A delivery by any of these subscriptions, each of which would do: a session's, or those of the members of a `group`. `isPublished`: as `published` answered. */
  delivered({ by, group }: DeliveryThen, topic: string, place: string, isPublished: boolean): void {
    this.#deliveries++
    if (!isPublished) {
      this.#lostWithPublish++
      return
    }
    const verdicts = by.map(({ identity, filter }) => this.#judge('subscribe', identity, filter))
    const isAllowed = verdicts.some((verdict) => verdict === 'stays' || verdict === 'allowed')
    if (isAllowed) return
    if (verdicts.includes('refused')) this.#deliveriesRefused.add(group ?? by[0]?.identity.authenticationName ?? '', topic, place)
    else this.#deliveriesRefusedAlready++
  }

  /** Refusals of which nothing more is known. */
  refusedUnknown(count: number): void {
    this.#unknown += count
  }

  refused({ kind, authenticationName, topic, more }: ToldRefusal): void {
    this.#unknown += more
    if (this.#judge(kind, { authenticationName }, topic) !== 'allowed') return
    if (kind === 'publish') this.#publishesAllowed.add(authenticationName, topic)
    else this.#subscriptionsAllowed.add(authenticationName, topic)
  }

  report(top: number): WhatIfReport {
    const withWhy = (tally: Tally, action: ExplainedAction): ToldWithWhy => {
      const told = tally.told(top)
      return { ...told, top: told.top.map((each) => ({ ...each, why: explain(this.#after, each.authenticationName, action, each.topic).reason })) }
    }
    return {
      publishes: {
        judged: this.#publishes,
        refused: withWhy(this.#publishesRefused, 'publish'),
        refusedAlready: this.#publishesRefusedAlready,
        undecided: this.#undecided,
        allowed: this.#publishesAllowed.told(top),
      },
      deliveries: {
        judged: this.#deliveries,
        refused: withWhy(this.#deliveriesRefused, 'subscribe'),
        lostWithPublish: this.#lostWithPublish,
        refusedAlready: this.#deliveriesRefusedAlready,
      },
      subscriptions: { allowed: this.#subscriptionsAllowed.told(top) },
      refusalsOfUnknownTopic: this.#unknown,
    }
  }

  #judge(action: 'publish' | 'subscribe', identity: SessionIdentity, topic: string): Verdict {
    const who = keyOf(identity)
    const key = `${action}\n${who}\n${topic}`
    const known = this.#answers.get(key)
    if (known !== undefined) return known
    const [before, after] = [this.#before.may(action, identity, who, topic), this.#then.may(action, identity, who, topic)]
    const verdict: Verdict = before ? (after ? 'stays' : 'refused') : after ? 'allowed' : 'refusedAlready'
    if (this.#answers.size >= answersMax || this.#answerCharacters > answerCharactersMax) {
      this.#answers.clear()
      this.#answerCharacters = 0
    }
    this.#answerCharacters += key.length
    this.#answers.set(key, verdict)
    return verdict
  }
}
