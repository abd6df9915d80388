import { statfsSync } from 'node:fs'

/** Bytes that can still be written to the disk that holds a folder. */
export function freeBytes(folder: string): number {
  const { bavail, bsize } = statfsSync(folder)
  return bavail * bsize
}

const mebibyte = 1024 * 1024

/** Below this Kafka's next segment or index finds no room. */
const roomMin = 16 * mebibyte

/** A sentence when a disk is full, or as good as; undefined otherwise. */
export function fullDisk(folder: string, bytes: number): string | undefined {
  return bytes < roomMin
    ? `the disk that holds ${folder} is full (${Math.floor(bytes / mebibyte)} MB left): Kafka cannot append until there is room`
    : undefined
}

/** Says when a disk becomes full, and when there is room again. */
export class DiskWatch {
  readonly #folder: string
  readonly #say: (line: string) => void
  readonly #free: (folder: string) => number
  #isFull = false

  constructor(folder: string, say: (line: string) => void, free: (folder: string) => number = freeBytes) {
    this.#folder = folder
    this.#say = say
    this.#free = free
  }

  look(): void {
    const trouble = fullDisk(this.#folder, this.#free(this.#folder))
    if (trouble !== undefined && !this.#isFull) this.#say(trouble)
    if (trouble === undefined && this.#isFull) this.#say(`the disk that holds ${this.#folder} has room again`)
    this.#isFull = trouble !== undefined
  }
}
