/** What the owner of a message's shard noted when it matched it: with how much of the sessions' journals, and whom it chose of shared subscriptions. */
import type { BehindGroup, IndexReceiver } from '../schemas/inbox-records.ts'
import type { Place, PlacedRecord } from './records.ts'

export interface Choice {
  readonly receiver: IndexReceiver
  readonly place: Place
}

export class MatchWindow {
  readonly #source: number
  readonly #offset: number
  readonly #messageId: Buffer
  /** The shard's owner has noted that it is through with the message: by then it knew so much of each `sessions` partition. */
  done: { readonly sessionsOffsets: readonly number[]; readonly place: Place } | undefined
  /** A record that says so of another: this one is the same publish, appended again. */
  repeatOf: { readonly offset: number; readonly place: Place } | undefined
  /** Some shared subscription is behind with it: whom that chose stands further on. */
  isWithheld = false
  readonly choices: Choice[] = []

  constructor(source: number, offset: number, messageId: Buffer) {
    this.#source = source
    this.#offset = offset
    this.#messageId = messageId
  }

  /** Records of the shard's own `inbox` partition, until it is `done` and not withheld. */
  apply({ place, record }: PlacedRecord): void {
    if (record.name === 'Chosen' || record.name === 'SharedChosen') {
      for (const { offset, receiver } of record.value.choices) if (offset === this.#offset) this.choices.push({ receiver, place })
    } else if (record.name === 'SharedBehind') {
      const at = this.#offset
      const isIts = ({ from, to, position }: BehindGroup): boolean => from <= at && position <= at && (to === null || at < to)
      if (record.value.shard === this.#source) this.isWithheld = record.value.groups.some(isIts)
    } else if (record.name === 'MessagesHeld') {
      const first = record.value.messages.find(({ id }) => id.equals(this.#messageId))
      if (first && first.offset !== this.#offset) this.repeatOf ??= { offset: first.offset, place }
    } else if (record.name === 'Progress' && record.value.shard === this.#source && record.value.position > this.#offset) {
      this.done ??= { sessionsOffsets: record.value.sessionsOffsets, place }
    }
  }
}
