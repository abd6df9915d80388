import { type Duplex, type DuplexOptions, duplexPair } from 'node:stream'

/** Two ends of a stream in memory that, as gRPC does, copies what is written before the writer may use its memory again. */
export function linkPair(options?: DuplexOptions): [Duplex, Duplex] {
  const pair = duplexPair(options)
  for (const end of pair) {
    const push = end.push.bind(end)
    end.push = (chunk: Buffer | null) => push(chunk && Buffer.from(chunk))
  }
  return pair
}
