/** Dead letters that were written together as one document: a JSON array. */
import type { EventPlace } from '../subscriptions/ledger.ts'
import type { EncodedDeadLetter } from './dead-letter-writer.ts'

const [opening, comma, closing] = [Buffer.from('['), Buffer.from(','), Buffer.from(']\n')]

export function joinedLetters(letters: readonly EncodedDeadLetter[]): Buffer {
  return Buffer.concat([opening, ...letters.flatMap(({ body }, index) => (index > 0 ? [comma, body] : [body])), closing])
}

/** Where the events of a document stand. Whoever may write there may have written anything. */
export function sourcesIn(text: string): readonly EventPlace[] {
  try {
    return (JSON.parse(text) as readonly { readonly source?: Partial<EventPlace> }[]).flatMap(({ source }) => {
      const { partition, offset } = source ?? {}
      return Number.isSafeInteger(partition) && Number.isSafeInteger(offset) ? [{ partition: partition as number, offset: offset as number }] : []
    })
  } catch {
    return []
  }
}
