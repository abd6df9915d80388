/** Packets with a few bytes changed: close enough to right ones to get far before they are found out. */
import type { Random } from '../simulation/random.ts'

/** Bytes that fields begin and end with, and that lengths and flags turn on. */
const telling = [0, 1, 2, 0x7f, 0x80, 0xff, 0xc0, 0xed, 0x21, 0x23, 0x26]

/** One to four changes: a byte set, a bit turned, bytes left out, doubled or put in, the end cut off. The remaining length is set right again in most. */
export function mutate(original: Buffer, random: Random): Buffer {
  let bytes: Buffer = Buffer.from(original)
  for (let changes = 1 + random.below(4); changes > 0; changes--) {
    const at = random.below(bytes.length)
    switch (random.below(6)) {
      case 0:
        bytes[at] = random.pick(telling)
        break
      case 1:
        bytes[at] = random.below(256)
        break
      case 2:
        bytes[at] = (bytes[at] as number) ^ (1 << random.below(8))
        break
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + random.below(3))])
        break
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at, at + 1 + random.below(8)), bytes.subarray(at)])
        break
      default:
        bytes = Buffer.concat([bytes.subarray(0, at), Buffer.from([random.pick(telling)]), bytes.subarray(at)])
    }
    if (bytes.length < 2) return bytes
  }
  return random.chance(0.8) ? reframed(bytes) : bytes
}

/** The same first byte and body under a remaining length that fits. */
function reframed(bytes: Buffer): Buffer {
  let body = 1
  while (body < Math.min(5, bytes.length) && (bytes[body] as number) >= 0x80) body++
  const content = bytes.subarray(body + 1)
  const length: number[] = []
  for (let left = content.length; ; left >>= 7) {
    length.push(left > 0x7f ? (left & 0x7f) | 0x80 : left)
    if (left <= 0x7f) break
  }
  return Buffer.concat([bytes.subarray(0, 1), Buffer.from(length), content])
}
