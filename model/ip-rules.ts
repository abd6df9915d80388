/** Which addresses may come in (NS-07): ranges in CIDR notation, of IPv4 and IPv6. */
import { BlockList, isIP } from 'node:net'

export interface AddressRange {
  readonly address: string
  readonly family: 'ipv4' | 'ipv6'
  readonly prefix: number
}

/** Reads `192.0.2.0/24`, `2001:db8::/32` or a single address; null when it is neither. */
export function parseRange(text: string): AddressRange | null {
  const [address = '', bits, ...more] = text.split('/')
  const version = isIP(address)
  // A zone names an interface of one machine.
  if (version === 0 || more.length > 0 || address.includes('%')) return null
  const most = version === 4 ? 32 : 128
  if (bits !== undefined && !/^(0|[1-9]\d{0,2})$/.test(bits)) return null
  const prefix = bits === undefined ? most : Number(bits)
  return prefix > most ? null : { address, family: version === 4 ? 'ipv4' : 'ipv6', prefix }
}

/** A set of ranges. */
export class AddressSet {
  readonly #list = new BlockList()

  constructor(ranges: readonly AddressRange[]) {
    for (const { address, family, prefix } of ranges) this.#list.addSubnet(address, prefix, family)
  }

  /** IPv4 addresses as such, not mapped into IPv6. */
  has(address: string): boolean {
    const version = isIP(address)
    return version !== 0 && this.#list.check(address, version === 4 ? 'ipv4' : 'ipv6')
  }
}

/** What the networks within an organisation use: RFC 1918, RFC 4193, link-local and loopback addresses. */
const privateRanges = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '169.254.0.0/16', '127.0.0.0/8', 'fc00::/7', 'fe80::/10', '::1/128']

/** The ranges that a text can be read as; the others allow nobody. */
export function rangesOf(texts: readonly string[]): readonly AddressRange[] {
  return texts.map(parseRange).filter((range) => range !== null)
}

const privateAddresses = new AddressSet(rangesOf(privateRanges))

export interface NetworkAccess {
  /** Disabled: from private addresses only. */
  readonly publicNetworkAccess?: 'Enabled' | 'Disabled'
  /** When there are any, nobody else comes in. */
  readonly inboundIpRules?: readonly { readonly ipMask: string }[]
}

export type AddressRule = (address: string) => boolean

const everybody: AddressRule = () => true

/** Private addresses stand for Event Grid’s private endpoints: turning public access off leaves them, and the rules do not count then. */
export function addressRule({ publicNetworkAccess, inboundIpRules = [] }: NetworkAccess = {}): AddressRule {
  if (publicNetworkAccess === 'Disabled') return (address) => privateAddresses.has(address)
  if (inboundIpRules.length === 0) return everybody
  const allowed = new AddressSet(rangesOf(inboundIpRules.map(({ ipMask }) => ipMask)))
  return (address) => allowed.has(address)
}
