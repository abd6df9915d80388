/**
 * The PROXY protocol's header, version 2: what a load balancer tells of the client before the client's first byte.
 *
 *   signature (12) | version 2, command (1) | family, protocol (1) | length of the rest (2) | addresses | TLVs
 *
 * Pure: bytes in, a verdict out. TLVs are skipped. Version 1, the line of text, is not spoken.
 */
const signature = Buffer.from('0d0a0d0a000d0a515549540a', 'hex')
/** Bytes before the addresses. */
const fixedSize = 16

const Command = { local: 0, proxy: 1 } as const
const Family = { unspecified: 0, ipv4: 1, ipv6: 2, unix: 3 } as const
const Protocol = { unspecified: 0, stream: 1 } as const
/** Bytes of the addresses and ports of each family. */
const addressSize: Readonly<Record<number, number>> = { [Family.unspecified]: 0, [Family.ipv4]: 12, [Family.ipv6]: 36, [Family.unix]: 216 }

export type ProxyHeader =
  /** So far in order; at least `size` bytes in all are needed to go on. */
  | { readonly is: 'incomplete'; readonly size: number }
  /** `source` is the client's address; null when the proxy speaks for itself, as in a health check, or knows no IP address. */
  | { readonly is: 'complete'; readonly size: number; readonly source: string | null }
  | { readonly is: 'malformed'; readonly why: string; readonly isTooLarge: boolean }

const malformed = (why: string, isTooLarge = false): ProxyHeader => ({ is: 'malformed', why, isTooLarge })

/** Reads the header at the beginning of `bytes`; one of more than `sizeMax` bytes is malformed. */
export function readProxyHeader(bytes: Buffer, sizeMax: number): ProxyHeader {
  const known = Math.min(bytes.length, signature.length)
  if (signature.compare(bytes, 0, known, 0, known) !== 0) return malformed('no PROXY protocol signature')
  if (bytes.length < fixedSize) return { is: 'incomplete', size: fixedSize }
  const [version, command] = halves(bytes[12] as number)
  const [family, protocol] = halves(bytes[13] as number)
  const size = fixedSize + bytes.readUInt16BE(14)
  if (version !== 2) return malformed(`version ${version} of the PROXY protocol, not 2`)
  if (command !== Command.local && command !== Command.proxy) return malformed(`the PROXY protocol has no command ${command}`)
  if (size > sizeMax) return malformed(`a header of ${size} bytes, above ${sizeMax}`, true)
  const addresses = addressSize[family]
  // The receiver has to skip what a LOCAL header says of addresses, whatever it is.
  if (command === Command.proxy) {
    if (addresses === undefined) return malformed(`the PROXY protocol has no address family ${family}`)
    if (protocol !== Protocol.stream && protocol !== Protocol.unspecified) return malformed('no stream, but datagrams')
    if (size < fixedSize + addresses) return malformed('shorter than its addresses')
  }
  if (bytes.length < size) return { is: 'incomplete', size }
  return { is: 'complete', size, source: command === Command.proxy ? sourceOf(family, bytes.subarray(fixedSize)) : null }
}

const halves = (byte: number): readonly [number, number] => [byte >>> 4, byte & 0xf]

function sourceOf(family: number, addresses: Buffer): string | null {
  if (family === Family.ipv4) return addresses.subarray(0, 4).join('.')
  return family === Family.ipv6 ? ipv6(addresses.subarray(0, 16)) : null
}

const mapped = Buffer.from('00000000000000000000ffff', 'hex')

/** As Node spells addresses: compressed, and an IPv4 address that is mapped as what it is. */
function ipv6(bytes: Buffer): string {
  if (mapped.equals(bytes.subarray(0, 12))) return bytes.subarray(12).join('.')
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16))
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)
}
