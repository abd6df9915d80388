/** Replayed messages on standard output. */
import { once } from 'node:events'
import type { HistoryLine } from '../../history/history-line.ts'
import { type Format, showNext } from '../output.ts'
import type { ReplayOutput, Standing } from './output.ts'

/** A line for people: when, where, what. */
export const lineOf = ({ receivedAt, topic, payload, payloadBase64, erased, unreadable }: HistoryLine): string =>
  `${receivedAt} ${topic} ${erased ? (unreadable ? '(unreadable)' : '(erased)') : (payload ?? payloadBase64 ?? '')}`

export class Printer implements ReplayOutput {
  readonly #format: Format
  readonly #out: NodeJS.WriteStream

  constructor(format: Format, out: NodeJS.WriteStream) {
    this.#format = format
    this.#out = out
  }

  async write(lines: readonly HistoryLine[]): Promise<void> {
    const text = lines.map((line) => {
      const { cursor: _, ...message } = line
      return `${this.#format === 'table' ? lineOf(line) : showNext(this.#format, message)}\n`
    })
    if (!this.#out.write(text.join(''))) await once(this.#out, 'drain')
  }

  async settle(): Promise<Standing> {
    await new Promise<void>((resolve) => {
      this.#out.write('', () => resolve())
    })
    return {}
  }

  async close(): Promise<void> {}
}
