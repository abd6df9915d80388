/** Kafka's default partitioner: murmur2 over the key's bytes, so that any producer sends a key where ours does. */

const seed = 0x9747b28c
const m = 0x5bd1e995

/** Kafka's murmur2 (org.apache.kafka.common.utils.Utils), signed 32 bits. */
export function murmur2(data: Uint8Array): number {
  const length = data.length
  let h = seed ^ length
  const whole = length & ~3
  let i = 0
  for (; i < whole; i += 4) {
    let k = (data[i] as number) | ((data[i + 1] as number) << 8) | ((data[i + 2] as number) << 16) | ((data[i + 3] as number) << 24)
    k = Math.imul(k, m)
    k ^= k >>> 24
    k = Math.imul(k, m)
    h = Math.imul(h, m) ^ k
  }
  const rest = length - whole
  if (rest === 3) h ^= (data[i + 2] as number) << 16
  if (rest >= 2) h ^= (data[i + 1] as number) << 8
  if (rest >= 1) {
    h ^= data[i] as number
    h = Math.imul(h, m)
  }
  h ^= h >>> 13
  h = Math.imul(h, m)
  h ^= h >>> 15
  return h
}

/** The partition of a key; text is taken as UTF-8. */
export function partitionOf(key: Buffer | string, partitions: number): number {
  return (murmur2(typeof key === 'string' ? Buffer.from(key) : key) & 0x7fffffff) % partitions
}
