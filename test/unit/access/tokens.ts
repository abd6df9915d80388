/** Token issuers for tests: keys, certificates, key sets and tokens, good and bad. */
import { createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { type JWTPayload, SignJWT } from 'jose'
import { issueCertificate } from '../../../access/certificates.ts'

const day = 86_400_000

export interface TokenIssuer {
  readonly tokenIssuer: string
  readonly kid: string
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  /** PEM of a certificate with the public key. */
  readonly encodedCertificate: string
  /** A token of the issuer; claims that are undefined are left out. */
  token(claims?: Readonly<Record<string, unknown>>, header?: Readonly<Record<string, unknown>>, key?: KeyObject): Promise<string>
}

export const audience = 'mqtt.example.com'

/** `now` in milliseconds: tokens are good from a minute before to an hour after it. */
export function makeTokenIssuer(
  options: { readonly tokenIssuer?: string; readonly kid?: string; readonly algorithm?: 'RS256' | 'ES256'; readonly now?: number } = {},
): TokenIssuer {
  const { tokenIssuer = 'https://issuer.example.com', kid = 'key-1', algorithm = 'RS256', now = Date.now() } = options
  const { publicKey, privateKey } =
    algorithm === 'RS256' ? generateKeyPairSync('rsa', { modulusLength: 2048 }) : generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const signingKey = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
  const validity = { notBefore: new Date(now - day), notAfter: new Date(now + day) }
  const seconds = Math.floor(now / 1000)
  return {
    tokenIssuer,
    kid,
    privateKey,
    publicKey,
    encodedCertificate: issueCertificate({ commonName: kid, publicKey, use: 'client', issuer: { commonName: 'any' }, signingKey, ...validity }),
    token(claims = {}, header = {}, key = privateKey) {
      const payload = { iss: tokenIssuer, sub: 'device-1', aud: audience, exp: seconds + 3600, nbf: seconds - 60, iat: seconds - 60, ...claims }
      const defined = Object.fromEntries(Object.entries(payload).filter(([, value]) => value !== undefined)) as JWTPayload
      return new SignJWT(defined).setProtectedHeader({ alg: algorithm, typ: 'JWT', kid, ...header }).sign(key)
    },
  }
}

const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

/** What no library makes: any header, any claims, any signature. */
export function forgedToken(header: object, claims: object, sign: (text: string) => Buffer): string {
  const text = `${part(header)}.${part(claims)}`
  return `${text}.${sign(text).toString('base64url')}`
}

/** HS256 with a public key as the secret: the classic confusion. */
export const signedWithPublicKey = (publicKey: KeyObject) => (text: string) =>
  createHmac('sha256', publicKey.export({ type: 'spki', format: 'pem' }) as string)
    .update(text)
    .digest()
