import { closeSync, copyFileSync, fstatSync, ftruncateSync, openSync, readSync } from 'node:fs'

/**
 * A process's log, written by the process itself and bounded: past the limit its content moves to `<name>.1` and it
 * starts empty. The writer appends, so that it goes on at the new beginning.
 */
export class LogFile {
  readonly path: string
  /** For the child's standard output. */
  readonly descriptor: number
  readonly #sizeMax: number

  constructor(path: string, sizeMax = 10 * 1024 * 1024) {
    this.path = path
    this.descriptor = openSync(path, 'a')
    this.#sizeMax = sizeMax
  }

  /** To be called now and then. */
  bound(): void {
    if (fstatSync(this.descriptor).size <= this.#sizeMax) return
    try {
      copyFileSync(this.path, `${this.path}.1`)
    } catch {
      // No room for the copy: then the log makes room.
    }
    ftruncateSync(this.descriptor)
  }

  get size(): number {
    return fstatSync(this.descriptor).size
  }

  /** What was written after a position: the last `bytesMax` of it. */
  textSince(position: number, bytesMax = 16_384): string {
    const reader = openSync(this.path, 'r')
    try {
      const { size } = fstatSync(reader)
      const from = Math.max(position > size ? 0 : position, size - bytesMax)
      const buffer = Buffer.alloc(size - from)
      return buffer.toString('utf8', 0, readSync(reader, buffer, 0, buffer.length, from))
    } finally {
      closeSync(reader)
    }
  }

  close(): void {
    closeSync(this.descriptor)
  }
}
