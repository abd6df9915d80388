/**
 * Texts that come again and again, as topics and client ids do: found by their bytes, without being decoded anew. The same bytes give
 * the same string, whose hash is known by then. Each place holds one text; another one that falls on it takes it over.
 */
const places = 4096
/** Longer ones are decoded each time, bytes. */
const sizeMax = 128

interface Known {
  readonly bytes: Buffer
  readonly text: string
}

export class KnownTexts {
  readonly #known: (Known | undefined)[] = new Array(places)

  /** The UTF-8 text that stands from `start` to `end`. */
  textOf(source: Buffer, start: number, end: number): string {
    const size = end - start
    if (size > sizeMax) return source.toString('utf8', start, end)
    let hash = size
    for (let at = start; at < end; at++) hash = Math.imul(hash ^ (source[at] as number), 0x01000193)
    const place = (hash ^ (hash >>> 15)) & (places - 1)
    const known = this.#known[place]
    if (known && known.bytes.length === size && isAt(source, start, known.bytes)) return known.text
    const bytes = Buffer.from(source.subarray(start, end))
    const text = bytes.toString()
    this.#known[place] = { bytes, text }
    return text
  }
}

function isAt(source: Buffer, start: number, bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at++) if (source[start + at] !== bytes[at]) return false
  return true
}
