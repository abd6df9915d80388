/**
 * What cannot be judged from the registry alone: a signature, a hash, the word of a webhook. `authenticate` asks, the gateway
 * finds out, and `authenticate` judges again with the answer among the credentials.
 */
import type { X509Certificate } from 'node:crypto'
import type { JwtAuthentication } from '../model/client-authentication.ts'
import type { Attributes } from '../model/registry-resources.ts'
import type { TokenVerdict } from './token.ts'

export type TokenVoucher = 'customJwt' | 'oauth2Jwt'

/** What a client shows to the webhook. */
export interface ShownToWebhook {
  readonly clientId: string
  readonly username?: string | undefined
  readonly password?: Buffer | undefined
  readonly authenticationMethod?: string | undefined
  readonly authenticationData?: Buffer | undefined
  readonly certificate?: X509Certificate | undefined
  readonly certificateChain?: readonly X509Certificate[] | undefined
}

export type Question =
  /** The client's own to answer, by an AUTH packet. */
  | { readonly about: 'authenticationData' }
  | {
      readonly about: 'token'
      readonly voucher: TokenVoucher
      readonly token: string
      readonly issuer: JwtAuthentication
      readonly audiences: readonly string[]
    }
  /** `client` is its resource's name; none when there is nobody to let in and the check only has to take its time. */
  | { readonly about: 'password'; readonly client: string | undefined; readonly hash: string; readonly password: Buffer; readonly why: string }
  | { readonly about: 'webhook'; readonly endpointUrl: string; readonly shown: ShownToWebhook }

/** The webhook's answer, read. */
export type WebhookDecision =
  | {
      readonly decision: 'allow'
      readonly clientAuthenticationName: string
      readonly attributes: Attributes
      /** Milliseconds since the epoch. */
      readonly expiresAt?: number
    }
  | { readonly decision: 'deny'; readonly errorReason: string }

export type Evidence =
  /** `source`: the URL of the key set with the key; none when it is that of a certificate in the settings. */
  | { readonly about: 'token'; readonly voucher: TokenVoucher; readonly verdict: TokenVerdict; readonly source?: string }
  /** `why` it is no good if it is not. */
  | { readonly about: 'password'; readonly client: string | undefined; readonly hash: string; readonly isRight: boolean; readonly why: string }
  | { readonly about: 'webhook'; readonly endpointUrl: string; readonly decision: WebhookDecision }
  /** It could not be found out, through no fault of the client's. */
  | { readonly about: 'fault'; readonly why: string }
