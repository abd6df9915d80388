/**
 * Repeats of a will's message, which a successor of its client's owner may append again under the same id. A source shard
 * passes them over. Only wills are looked for, by the mark of their ids; publishes have ids that are never repeated here.
 */
import { headerSize } from '../schemas/codec.ts'
import { isWillMessageId } from './will-publisher.ts'

const messageIdSize = 16
/** Ids remembered: the oldest are forgotten first. */
const rememberedMax = 10_000

export class RepeatedWills {
  readonly #seen = new Map<string, number>()

  /** True for the record of a will that stood at an earlier offset. */
  isRepeated(offset: number, value: Buffer): boolean {
    const id = value.subarray(headerSize, headerSize + messageIdSize)
    if (!isWillMessageId(id)) return false
    const key = id.toString('latin1')
    const first = this.#seen.get(key)
    if (first !== undefined) return first !== offset
    this.#seen.set(key, offset)
    if (this.#seen.size > rememberedMax) this.#seen.delete(this.#seen.keys().next().value as string)
    return false
  }
}
