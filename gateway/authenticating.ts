/**
 * One authentication under way: judged, found out about what the judge asks, judged again. What needs no question is decided
 * at once, within the call that begins it.
 */
import type { Authentication, Credentials } from '../access/authenticate.ts'
import type { Evidence, Question } from '../access/evidence.ts'
import type { ExpectedAuth } from './exchange.ts'

/** What is asked of the outside; answered once, unless `cancel` comes first. */
export type FindOut = (question: Question, answer: (evidence: Evidence) => void) => { cancel(): void }

export interface AuthenticatingHost {
  authenticate(credentials: Credentials, internal: boolean): Authentication
  findOut: FindOut
}

/** Who is told how it went. */
export interface AuthenticatingOwner {
  onJudged(authentication: Authentication, credentials: Credentials): void
  /** The client is to send its data in an AUTH [MQTT-4.12.0-2]. */
  onAsked(): void
}

export class Authenticating {
  readonly #host: AuthenticatingHost
  readonly #isInternal: boolean
  readonly #owner: AuthenticatingOwner
  #credentials: Credentials
  #waitsForClient = false
  #wasAsked = false
  #finding: { cancel(): void } | null = null
  #isOver = false

  constructor(host: AuthenticatingHost, owner: AuthenticatingOwner, isInternal: boolean, credentials: Credentials) {
    this.#host = host
    this.#owner = owner
    this.#isInternal = isInternal
    this.#credentials = credentials
  }

  get expected(): ExpectedAuth {
    return this.#waitsForClient ? 'continue' : 'nothing'
  }

  begin(): void {
    const judged = this.#host.authenticate(this.#credentials, this.#isInternal)
    if (judged.ok || !judged.question) this.#judged(judged)
    else if (judged.question.about === 'authenticationData') this.#ask(judged)
    else this.#finding = this.#host.findOut(judged.question, (evidence) => this.#found(evidence))
  }

  /** The client's answer. */
  continue(data: Buffer | undefined): void {
    this.#waitsForClient = false
    this.#credentials = { ...this.#credentials, authenticationData: data }
    this.begin()
  }

  /** Nobody wants to know any more. */
  cancel(): void {
    this.#isOver = true
    this.#finding?.cancel()
  }

  #ask(judged: Authentication): void {
    // Asked once: who has nothing to say then is refused.
    if (this.#wasAsked) {
      this.#judged(judged)
      return
    }
    this.#wasAsked = true
    this.#waitsForClient = true
    this.#owner.onAsked()
  }

  #found(evidence: Evidence): void {
    if (this.#isOver) return
    const { clientId, username, certificate, certificateChain } = this.#credentials
    // Passwords and tokens are not kept for as long as the connection lasts.
    this.#credentials = { clientId, username, certificate, certificateChain, evidence }
    this.#judged(this.#host.authenticate(this.#credentials, this.#isInternal))
  }

  #judged(authentication: Authentication): void {
    this.#isOver = true
    this.#owner.onJudged(authentication, this.#credentials)
  }
}
