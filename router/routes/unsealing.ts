/** What routes that open what is sealed make of it: the message as it was published, by the keys there are when it is routed. */
import type { LogRecord } from '../../log/log.ts'
import type { ClientKeyRing } from '../../model/client-key-ring.ts'
import type { Loss } from '../../model/client-keys.ts'
import type { Message } from '../../schemas/message.ts'
import { keyIdIn, openedMessage, sealedWith } from '../../schemas/sealed-message.ts'

export class Unsealing {
  readonly #ring: ClientKeyRing

  constructor(ring: ClientKeyRing) {
    this.#ring = ring
  }

  /** Whether none of these records of `messages` is sealed. */
  isPlain(records: readonly LogRecord[]): boolean {
    return keyIds(records).length === 0
  }

  /**
   * Resolves once every key of these records is known, or known to be lost, as the log has it when this is called: a key stands there before what is
   * sealed with it, and whoever was told of an erasure finds nothing opened afterwards. Rejects when the keys cannot be read.
   */
  async settle(records: readonly LogRecord[]): Promise<void> {
    const ids = keyIds(records)
    if (ids.length === 0) return
    try {
      const keys = await this.#ring.keys()
      await keys.confirm()
      for (const id of ids) keys.noteLost(id)
    } catch (error) {
      // Whatever it is about: of the target and of the messages it says nothing.
      throw new Error(`the keys of sealed messages cannot be read: ${(error as Error).message}`, { cause: error })
    }
  }

  /** The message as it was published, or why nobody can read it. Throws for one that is not settled. */
  opened(message: Message): Message | Loss {
    const id = sealedWith(message.payload)
    if (!id) return message
    const keys = this.#ring.known
    if (!keys) throw new Error('the keys of clients are not known')
    const key = keys.find(id)
    return (key && openedMessage(message, key.key)) ?? keys.lossOf(id)
  }
}

function keyIds(records: readonly LogRecord[]): readonly Buffer[] {
  return records.flatMap(({ value }) => (value && keyIdIn(value)) ?? [])
}
