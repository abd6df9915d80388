/** Whose checkpoints of one shard are believed. A key that has named its successor signs nothing more: who steals it later can add nothing. */
import type { ReadCheckpoint } from './checkpoint.ts'

export type Standing = 'believed' | 'retired' | 'unknown'

const nameOf = (key: Buffer): string => key.toString('base64')

export class Signers {
  /** Number of the last checkpoint that each may have signed. */
  readonly #until: Map<string, number>

  /** `keys` are believed from the start (SubjectPublicKeyInfo, DER). */
  constructor(keys: readonly Buffer[]) {
    this.#until = new Map(keys.map((key) => [nameOf(key), Number.POSITIVE_INFINITY]))
  }

  /** What its signature is worth, which must be that of the key it names. */
  standing({ key, sequence }: Pick<ReadCheckpoint, 'key' | 'sequence'>): Standing {
    const until = this.#until.get(nameOf(key))
    if (until === undefined) return 'unknown'
    return sequence <= until ? 'believed' : 'retired'
  }

  /** One that is believed is the next of its row. */
  passed({ key, nextKey, sequence }: Pick<ReadCheckpoint, 'key' | 'nextKey' | 'sequence'>): void {
    if (!nextKey) return
    this.#until.set(nameOf(key), sequence)
    this.#until.set(nameOf(nextKey), Number.POSITIVE_INFINITY)
  }
}
