/**
 * How far V8 lets the heap grow before it marks all of it anew. By its own reckoning a heap of 30 MiB, most of it code, may grow by
 * half: under load it is marked every second, in threads beside the main one, and that is a tenth of all CPU and more. A small heap may
 * grow to four times of what lives instead. When little is allocated V8 may give the memory back, after 8 s at the earliest.
 */
import { getHeapStatistics, setFlagsFromString } from 'node:v8'

/** Bytes, garbage included, above which growth is V8's to decide: four times of a large heap is much memory. */
const smallMax = 192 * 1_048_576
const lookMs = 500

/** V8's --heap-growing-percent for a heap of which `used` bytes are taken; 0 is its own reckoning. */
export const growingPercent = (used: number): number => (used <= smallMax ? 300 : 0)

/** For the process it is called in; once. */
export function letHeapGrow(): void {
  let percent = 0
  const look = (): void => {
    const now = growingPercent(getHeapStatistics().used_heap_size)
    // Read by V8 after each collection, not only at its start.
    if (now !== percent) setFlagsFromString(`--heap-growing-percent=${now}`)
    percent = now
  }
  look()
  setInterval(look, lookMs).unref()
}
