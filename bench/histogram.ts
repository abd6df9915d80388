/** Times in microseconds, log-linear: 32 steps per power of two, an error below 3.2 %. */
export class Histogram {
  readonly #counts = new Float64Array(1_024)
  #sum = 0
  #max = 0
  count = 0

  record(microseconds: number): void {
    const value = Math.max(0, Math.floor(microseconds))
    const at = indexOf(value)
    this.#counts[at] = (this.#counts[at] ?? 0) + 1
    this.count++
    this.#sum += microseconds
    this.#max = Math.max(this.#max, microseconds)
  }

  /** Milliseconds; null when nothing was recorded. */
  quantile(q: number): number | null {
    if (this.count === 0) return null
    let left = Math.ceil(q * this.count)
    for (const [at, count] of this.#counts.entries()) {
      left -= count
      if (left <= 0 && count > 0) return toMs(Math.min(upperOf(at), this.#max))
    }
    return toMs(this.#max)
  }

  summary(): LatencySummary {
    const mean = this.count === 0 ? null : toMs(this.#sum / this.count)
    return {
      count: this.count,
      mean,
      p50: this.quantile(0.5),
      p90: this.quantile(0.9),
      p99: this.quantile(0.99),
      p999: this.quantile(0.999),
      max: this.count === 0 ? null : toMs(this.#max),
    }
  }
}

/** Milliseconds. */
export interface LatencySummary {
  readonly count: number
  readonly mean: number | null
  readonly p50: number | null
  readonly p90: number | null
  readonly p99: number | null
  readonly p999: number | null
  readonly max: number | null
}

const toMs = (microseconds: number): number => Math.round(microseconds) / 1_000

/** 0 to 31 exact, then 32 slots an octave. */
function indexOf(value: number): number {
  if (value < 32) return value
  const octave = 31 - Math.clz32(Math.min(value, 0x7fff_ffff))
  return (octave - 4) * 32 + (Math.floor(value / 2 ** (octave - 5)) - 32)
}

function upperOf(index: number): number {
  return index < 32 ? index : 2 ** (Math.floor(index / 32) - 1) * (32 + (index % 32) + 1) - 1
}
