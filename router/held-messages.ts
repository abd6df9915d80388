/**
 * The messages of a shard whose id may come again, so that a repeated append is matched once. An id is held until whoever
 * could append it again no longer would: a QoS 2 publish until its release is folded, any until its session is over. Even then a copy
 * may still be on its way from a process that was stopped for a while, so what is let go is remembered for a good many more.
 */

import type { HeldMessage } from '../schemas/inbox-records.ts'
import { type RepeatableId, readRepeatableId, repeatableId } from '../schemas/message-id.ts'

/** A session: its shard and the offset of the attach that began it. */
export type Owner = Pick<RepeatableId, 'shard' | 'session'>

export class HeldMessages {
  /** By session, then by id: the offset of the record that counts. */
  readonly #held = new Map<string, Map<string, number>>()
  /** Let go, oldest first. */
  readonly #past = new Map<string, number>()
  readonly #pastMax: number
  #heldCount = 0

  /** `pastMax`: ids remembered after they were let go; beyond it a late copy counts as a message of its own. */
  constructor(pastMax: number) {
    this.#pastMax = pastMax
  }

  /** Ids held, and let go but remembered. */
  get size(): number {
    return this.#heldCount + this.#past.size
  }

  /** True when another record with the id, one that counts, stands elsewhere. The same record read again is no repeat. */
  isRepeat(id: Buffer, offset: number): boolean {
    const key = keyOf(id)
    const known = this.#held.get(ownerOf(key))?.get(key) ?? this.#past.get(key)
    return known !== undefined && known !== offset
  }

  /** The record counts. `isOver`: nobody will append it again, as far as is known. */
  hold(id: Buffer, offset: number, isOver: boolean): void {
    const key = keyOf(id)
    if (isOver) {
      this.#remember(key, offset)
      return
    }
    const owner = ownerOf(key)
    const ids = this.#held.get(owner) ?? new Map<string, number>()
    this.#held.set(owner, ids)
    if (!ids.has(key)) this.#heldCount++
    ids.set(key, offset)
  }

  /** Nobody appends the message again. */
  letGo(id: RepeatableId): void {
    const key = keyOf(repeatableId(id))
    const owner = ownerOf(key)
    const ids = this.#held.get(owner)
    const offset = ids?.get(key)
    if (!ids || offset === undefined) return
    ids.delete(key)
    if (ids.size === 0) this.#held.delete(owner)
    this.#heldCount--
    this.#remember(key, offset)
  }

  /** The session is over: nobody appends its messages again. */
  letGoAllOf(owner: Owner): void {
    const key = ownerOf(keyOf(repeatableId({ ...owner, kind: 1, use: 0, detail: 0 })))
    const ids = this.#held.get(key)
    if (!ids) return
    this.#held.delete(key)
    this.#heldCount -= ids.size
    for (const [id, offset] of ids) this.#remember(id, offset)
  }

  /** Lets go of all that `isOver` says so of. */
  settle(isOver: (id: RepeatableId) => boolean): void {
    for (const ids of [...this.#held.values()]) {
      for (const key of [...ids.keys()]) {
        const id = readRepeatableId(Buffer.from(key, 'latin1'))
        if (isOver(id)) this.letGo(id)
      }
    }
  }

  /** Everything known, what was let go first and in its order: for a successor. */
  *entries(): Generator<HeldMessage> {
    for (const [key, offset] of this.#past) yield { id: Buffer.from(key, 'latin1'), offset }
    for (const ids of this.#held.values()) for (const [key, offset] of ids) yield { id: Buffer.from(key, 'latin1'), offset }
  }

  #remember(key: string, offset: number): void {
    this.#past.delete(key)
    this.#past.set(key, offset)
    if (this.#past.size <= this.#pastMax) return
    for (const oldest of this.#past.keys()) {
      this.#past.delete(oldest)
      return
    }
  }
}

const keyOf = (id: Buffer): string => id.toString('latin1')
/** The bytes of an id that name its session (schemas/message-id.ts). */
const ownerOf = (key: string): string => key.slice(0, 8) + key.slice(12, 14)
