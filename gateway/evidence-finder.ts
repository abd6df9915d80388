/**
 * Finds out what `authenticate` asks: signatures by keys that may have to be fetched, passwords, the word of a webhook. A bounded
 * number at a time, each within a deadline; who is not answered costs nobody else anything.
 */
import { decodeProtectedHeader } from 'jose'
import type { Evidence, Question } from '../access/evidence.ts'
import { checkToken, type TokenVerdict } from '../access/token.ts'
import { keysOfIssuer } from '../access/verification-key.ts'
import type { GatewaySettings, LimitName } from './config.ts'
import { type KeySets, keySourceOf } from './key-sets.ts'
import type { PasswordChecks } from './password-checks.ts'
import type { Webhook } from './webhook.ts'

export interface EvidenceFinderOptions {
  readonly config: GatewaySettings
  readonly now: () => number
  readonly keySets: KeySets
  readonly webhook: Webhook
  readonly passwords: PasswordChecks
  readonly requests: { close(): void }
  reached(limit: LimitName): void
  onAnswered(about: string, result: string, ms: number): void
}

const fault = (why: string): Evidence => ({ about: 'fault', why })

export class EvidenceFinder {
  readonly #options: EvidenceFinderOptions
  /** Questions under way, by what they are about: a webhook that hangs keeps no token waiting. */
  readonly #underWay = new Map<Question['about'], number>()

  constructor(options: EvidenceFinderOptions) {
    this.#options = options
  }

  /** Questions under way. */
  get pending(): number {
    return [...this.#underWay.values()].reduce((sum, count) => sum + count, 0)
  }

  /** No more is asked of the outside. */
  close(): void {
    this.#options.requests.close()
  }

  /** Answers once, later, with a fault at the latest after AUTHENTICATION_TIMEOUT. */
  findOut(question: Question, answer: (evidence: Evidence) => void): { cancel(): void } {
    const { config, now, reached, onAnswered } = this.#options
    let isOver = false
    const begun = now()
    const done = (evidence: Evidence): void => {
      if (isOver) return
      isOver = true
      clearTimeout(timer)
      onAnswered(question.about, resultOf(evidence), now() - begun)
      answer(evidence)
    }
    const timer = setTimeout(() => {
      reached('AUTHENTICATION_TIMEOUT')
      done(fault('it was not found out in time'))
    }, config.AUTHENTICATION_TIMEOUT)
    timer.unref()
    const cancel = (): void => {
      isOver = true
      clearTimeout(timer)
    }
    const { about } = question
    if (this.#count(about, 0) >= config.AUTHENTICATIONS_PENDING_MAX) {
      reached('AUTHENTICATIONS_PENDING_MAX')
      setImmediate(() => done(fault('too many clients are being looked at')))
      return { cancel }
    }
    this.#count(about, 1)
    this.#find(question, () => !isOver)
      .catch((error: Error) => fault(error.message))
      .then(done)
      .finally(() => {
        this.#count(about, -1)
      })
    return { cancel }
  }

  #count(about: Question['about'], change: -1 | 0 | 1): number {
    const count = (this.#underWay.get(about) ?? 0) + change
    this.#underWay.set(about, count)
    return count
  }

  #find(question: Question, isWanted: () => boolean): Promise<Evidence> {
    switch (question.about) {
      case 'password':
        return this.#password(question, isWanted)
      case 'token':
        return this.#token(question)
      case 'webhook':
        if (this.#count('webhook', 0) > this.#options.config.WEBHOOK_CONCURRENCY_MAX) this.#options.reached('WEBHOOK_CONCURRENCY_MAX')
        return this.#options.webhook.ask(question)
      case 'authenticationData':
        throw new TypeError('this is for the client to answer')
    }
  }

  async #token({ voucher, token, issuer, audiences }: Question & { about: 'token' }): Promise<Evidence> {
    const { config, keySets, now } = this.#options
    const expected = { tokenIssuer: issuer.tokenIssuer, audiences, leewayMs: config.TOKEN_LEEWAY, attributesBytesMax: config.VOUCHED_ATTRIBUTES_MAX }
    const inSettings = keysOfIssuer(issuer)
    const first = this.#counted(await checkToken(token, { ...expected, keys: inSettings }, now()))
    // Another key of the issuer may still verify it; nothing else that is wrong with it would be mended by one.
    const source = keySourceOf(issuer)
    if (first.ok || source === undefined || (first.rule !== 'kid' && first.rule !== 'signature')) return { about: 'token', voucher, verdict: first }
    const keys = await keySets.keys(source, kidOf(token))
    return { about: 'token', voucher, verdict: this.#counted(await checkToken(token, { ...expected, keys }, now())), source: source.url }
  }

  async #password({ client, hash, password, why }: Question & { about: 'password' }, isWanted: () => boolean): Promise<Evidence> {
    const isRight = await this.#options.passwords.check(password, hash, client === undefined, isWanted)
    return { about: 'password', client, hash, isRight, why }
  }

  #counted(verdict: TokenVerdict): TokenVerdict {
    if (!verdict.ok && verdict.rule === 'attributes') this.#options.reached('VOUCHED_ATTRIBUTES_MAX')
    return verdict
  }
}

/** Of a token that has passed as one. */
function kidOf(token: string): string | undefined {
  const { kid } = decodeProtectedHeader(token)
  return kid
}

function resultOf(evidence: Evidence): string {
  switch (evidence.about) {
    case 'fault':
      return 'fault'
    case 'token':
      return evidence.verdict.ok ? 'good' : evidence.verdict.rule
    case 'password':
      return evidence.isRight ? 'good' : 'wrong'
    case 'webhook':
      return evidence.decision.decision
  }
}
