/** Buffers that batches are written into, used again once a batch is answered. */
const slabBytesMin = 16 * 1024
const slabBytesMax = 512 * 1024
const keptBytesMax = 16 * 1024 * 1024

export class SlabPool {
  readonly #free: Buffer[] = []
  #bytes = 0

  take(): Buffer {
    const slab = this.#free.pop()
    if (!slab) return Buffer.allocUnsafeSlow(slabBytesMin)
    this.#bytes -= slab.length
    return slab
  }

  give(slab: Buffer): void {
    if (slab.length > slabBytesMax || this.#bytes + slab.length > keptBytesMax) return
    this.#free.push(slab)
    this.#bytes += slab.length
  }
}
