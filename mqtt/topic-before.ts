/** Longer names are decoded each time, bytes: what a connection keeps is small. */
const sizeMax = 256

/**
 * The topic name of the PUBLISH before on one connection. Most publishers use one topic: the same bytes are the same name, which was
 * decoded and checked then. Kept from the second time on, so that one who changes topics with each message pays nothing for it.
 */
export class TopicBefore {
  #bytes: Buffer | null = null
  #name = ''

  /** The name, when the bytes from `start` to `end` are those of the one before. */
  at(buffer: Buffer, start: number, end: number): string | undefined {
    const bytes = this.#bytes
    if (bytes === null || bytes.length !== end - start) return undefined
    // The end first: that is where topics of one publisher differ.
    for (let at = bytes.length - 1; at >= 0; at--) if (bytes[at] !== buffer[start + at]) return undefined
    return this.#name
  }

  /** A name that was decoded from these bytes and is in order. */
  note(name: string, buffer: Buffer, start: number, end: number): void {
    if (name === this.#name && end > start && end - start <= sizeMax) this.#bytes = Buffer.from(buffer.subarray(start, end))
    else this.#bytes = null
    this.#name = name.length <= sizeMax ? name : ''
  }
}
