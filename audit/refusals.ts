/**
 * What is refused, for an auditor: the first of its kind from a client and address is told at once, the others within a
 * minute are counted and told together at its end. Bounded: who is one too many is told of as one of "others". Pure.
 */
export const RefusedKind = { connect: 'ConnectRefused', publish: 'PublishRefused', subscribe: 'SubscribeRefused' } as const
export type RefusedKind = (typeof RefusedKind)[keyof typeof RefusedKind]

export interface Refusal {
  readonly kind: RefusedKind
  /** As claimed, when it is CONNECT that is refused. */
  readonly authenticationName: string
  readonly clientId: string
  readonly remoteAddress: string
  readonly transport: string
  /** The topic or the filter. */
  readonly topic?: string
  /** MQTT 5 reason code. */
  readonly reasonCode: number
  readonly why: string
}

/** A refusal to be told, with the number of others that it stands for. */
export interface Told {
  readonly refusal: Refusal
  readonly at: number
  readonly more: number
}

interface Window {
  readonly until: number
  last: Refusal
  at: number
  more: number
}

const windowMs = 60_000
const others = 'others'

export class Refusals {
  readonly #max: () => number
  readonly #onFull: () => void
  /** In the order they began, which is the order they end in. */
  readonly #windows = new Map<string, Window>()

  /** `max` clients and addresses are told of one by one; `onFull` is called for each that is not. */
  constructor(max: () => number, onFull: () => void) {
    this.#max = max
    this.#onFull = onFull
  }

  /** Takes a refusal; answers it when it is to be told now. */
  refused(refusal: Refusal, nowMs: number): Told | null {
    const { kind, remoteAddress, authenticationName } = refusal
    let key = `${kind} ${remoteAddress} ${authenticationName}`
    let window = this.#windows.get(key)
    if (window === undefined && this.#windows.size >= this.#max()) {
      this.#onFull()
      key = others
      window = this.#windows.get(key)
    }
    if (window) {
      window.last = refusal
      window.at = nowMs
      window.more++
      return null
    }
    this.#windows.set(key, { until: nowMs + windowMs, last: refusal, at: nowMs, more: 0 })
    return { refusal, at: nowMs, more: 0 }
  }

  /** What is to be told of minutes that are over, all of them when `nowMs` is Infinity. */
  due(nowMs: number): readonly Told[] {
    const told: Told[] = []
    for (const [key, { until, last, at, more }] of this.#windows) {
      if (until > nowMs) break
      this.#windows.delete(key)
      // The last one stands for itself and those before it.
      if (more > 0) told.push({ refusal: last, at, more: more - 1 })
    }
    return told
  }
}

/** JSON web tokens are not repeated: people put them where names belong. */
const tokens = /ey[\w-]{8,}\.[\w-]+(\.[\w-]*)*/g

/** A text from a client, or about it, as it may stand in the log. */
export function withoutSecrets(text: string): string {
  return text.replace(tokens, '(a token)')
}
