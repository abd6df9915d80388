/** Answers cut out of what a socket has read into memory that it uses again: each is copied once, into memory of its own size. */

/** Kafka takes no request above 100 MiB, so no batch that it answers with is larger; what announces more is no Kafka. */
const answerBytesMax = 128 * 1024 * 1024
const lengthBytes = 4

/** What was read is no answer of Kafka; final for the connection. */
export class AnswerFrameError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'AnswerFrameError'
  }
}

export class AnswerFrames {
  readonly #onAnswer: (frame: Buffer) => void
  readonly #length = Buffer.alloc(lengthBytes)
  #lengthRead = 0
  #frame: Buffer | null = null
  #filled = 0

  /** `onAnswer` is given each whole answer, its length in front of it. */
  constructor(onAnswer: (frame: Buffer) => void) {
    this.#onAnswer = onAnswer
  }

  /** The next bytes; nobody keeps them. Throws AnswerFrameError when they announce an answer that nobody asked for. */
  take(bytes: Buffer): void {
    let at = 0
    while (at < bytes.length) {
      if (this.#frame === null) {
        while (this.#lengthRead < lengthBytes && at < bytes.length) this.#length[this.#lengthRead++] = bytes[at++] as number
        if (this.#lengthRead < lengthBytes) return
        this.#begin(this.#length.readInt32BE())
        continue
      }
      const frame: Buffer = this.#frame
      const count = Math.min(frame.length - this.#filled, bytes.length - at)
      bytes.copy(frame, this.#filled, at, at + count)
      this.#filled += count
      at += count
      if (this.#filled < frame.length) return
      this.#frame = null
      this.#lengthRead = 0
      this.#onAnswer(frame)
    }
  }

  #begin(answerBytes: number): void {
    if (answerBytes < lengthBytes || answerBytes > answerBytesMax) {
      throw new AnswerFrameError(`an answer of ${answerBytes} bytes is announced; those of Kafka have ${lengthBytes} to ${answerBytesMax}`)
    }
    this.#frame = Buffer.allocUnsafe(lengthBytes + answerBytes)
    this.#frame.writeInt32BE(answerBytes, 0)
    this.#filled = lengthBytes
  }
}
