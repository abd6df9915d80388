/**
 * Who a connection is (spec 1.8). In this order:
 *
 * 1. An authentication method of MQTT 5 names a kind of token; any other method is the webhook's business, if there is one.
 * 2. A client of the registry, by user name or by its certificate's names, shows a certificate that is good for it; by user name, or its password.
 * 3. A password that is a token of the namespace's issuer stands for what the token says.
 * 4. Who is no client of the registry is asked about at the namespace's webhook.
 * 5. Without a webhook, and only while the group `$anonymous` exists, anybody without a certificate who claims no registered name.
 *
 * The TLS listener lets every certificate pass (its handshake has proved possession of the key, no more): this is the only
 * judge. Refusals all look alike on the wire; `why` is for the log.
 */
import { timingSafeEqual, type X509Certificate } from 'node:crypto'
import type { JwtAuthentication } from '../model/client-authentication.ts'
import { anonymousGroup, type Resource } from '../model/registry-resources.ts'
import type { RegistryView } from '../model/registry-view.ts'
import { namesOf } from './certificate-names.ts'
import { findClient, judgeCertificate } from './client-certificate.ts'
import type { Evidence, Question, TokenVoucher } from './evidence.ts'
import {
  anonymousName,
  authenticationNameProblem,
  internalClientIdPrefix,
  internalName,
  internalPrincipal,
  type Principal,
  type Voucher,
  vouched,
} from './principal.ts'
import type { RevocationContext } from './revocation.ts'
import { isAudience, looksLikeToken, whyOutsideTime } from './token.ts'
import { keysOfIssuer } from './verification-key.ts'

/** What a connection has to show for itself. */
export interface Credentials {
  /** As connected under; empty when one is yet to be assigned. */
  readonly clientId: string
  readonly username?: string | undefined
  readonly password?: Buffer | undefined
  readonly authenticationMethod?: string | undefined
  readonly authenticationData?: Buffer | undefined
  /** The leaf that the TLS handshake proved possession of. */
  readonly certificate?: X509Certificate | undefined
  /** What else the client sent with it: issuers, perhaps; nothing is proved of them. */
  readonly certificateChain?: readonly X509Certificate[] | undefined
  /** What has been found out about the rest since it was asked; it is judged in the place of password and data. */
  readonly evidence?: Evidence | undefined
}

export interface AuthenticationContext extends RevocationContext {
  /** What Loggerhead's own canary shows as its password; nobody is internal without. */
  readonly internalKey?: string | Buffer | undefined
  /** Milliseconds that the times in a token may be missed by. */
  readonly tokenLeewayMs?: number
  /** Thumbprints of the keys that issuers publish now, by URL; of a URL that is missing here nothing is known. */
  readonly publishedKeys?: ReadonlyMap<string, ReadonlySet<string>>
  /** What tokens must be for when their issuer's settings do not say. */
  readonly tokenAudiences?: readonly string[]
}

/** MQTT 5 CONNACK reason codes; to 3.1.1 0x87 and 0x8C are return code 5, 0x88 is 3. */
export type RefusalCode = 0x87 | 0x88 | 0x8c

export type Authentication =
  | {
      readonly ok: true
      readonly principal: Principal
      /** Milliseconds since the epoch: judge anew then. */
      readonly expiresAt?: number
    }
  | {
      readonly ok: false
      readonly reasonCode: RefusalCode
      readonly why: string
      /** Refused for now: with the answer to this among the credentials the judgement may be another. */
      readonly question?: Question
    }

const notAuthorized = (why: string): Authentication => ({ ok: false, reasonCode: 0x87, why })
const badMethod = (why: string): Authentication => ({ ok: false, reasonCode: 0x8c, why })
const ask = (question: Question, why: string): Authentication => ({ ok: false, reasonCode: 0x87, why, question })

/** Authentication methods of MQTT 5, as Event Grid calls them (EN-02, OJ-04). */
export const tokenMethods: ReadonlyMap<string, TokenVoucher> = new Map([
  ['CUSTOM-JWT', 'customJwt'],
  ['OAUTH2-JWT', 'oauth2Jwt'],
])

/** EN-04: what tokens in the place of Entra's are for, unless their issuer's settings say otherwise. */
const entraAudiences = ['https://eventgrid.azure.net']

/** Judges a connection. Pure: the same view, credentials and time give the same answer. */
export function authenticate(view: RegistryView, credentials: Credentials, context: AuthenticationContext): Authentication {
  const { username, clientId, certificate, evidence } = credentials
  if (username === internalName) return judgeInternal(credentials, context)
  if (clientId.startsWith(internalClientIdPrefix)) return notAuthorized(`client ids below ${internalClientIdPrefix} are reserved`)
  if (evidence) return judgeEvidence(view, evidence, context)
  if (credentials.authenticationMethod !== undefined) return judgeMethod(view, credentials, credentials.authenticationMethod, context)
  if (certificate) return judgeWithCertificate(view, credentials, certificate, context)
  return judgeWithoutCertificate(view, credentials, context)
}

function judgeInternal({ clientId, password }: Credentials, { internalKey }: AuthenticationContext): Authentication {
  if (internalKey === undefined || internalKey.length === 0 || !password || !isSame(password, Buffer.from(internalKey as string))) {
    return notAuthorized(`the user name ${internalName} is reserved`)
  }
  if (!clientId.startsWith(internalClientIdPrefix)) return notAuthorized(`${internalName} takes client ids below ${internalClientIdPrefix} only`)
  return { ok: true, principal: internalPrincipal }
}

function isSame(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b)
}

function judgeMethod(view: RegistryView, credentials: Credentials, method: string, context: AuthenticationContext): Authentication {
  const voucher = tokenMethods.get(method)
  if (voucher && view.namespace?.properties[`${voucher}Authentication`]) {
    const { authenticationData } = credentials
    if (authenticationData === undefined || authenticationData.length === 0) return ask({ about: 'authenticationData' }, `${method} came without a token`)
    return askAboutToken(view, voucher, authenticationData, context)
  }
  const byWebhook = askWebhook(view, credentials)
  if (byWebhook) return byWebhook
  const shown = method.slice(0, 64)
  return badMethod(voucher ? `${shown} is not set up: the namespace has no ${voucher}Authentication` : `the authentication method “${shown}” is not known here`)
}

/** What tokens of an issuer must be for. */
export function audiencesOf(issuer: JwtAuthentication | undefined, voucher: TokenVoucher, tokenAudiences: readonly string[]): readonly string[] {
  if (issuer && issuer.audiences.length > 0) return issuer.audiences
  return voucher === 'oauth2Jwt' ? entraAudiences : tokenAudiences
}

function audiencesFor(view: RegistryView, voucher: TokenVoucher, { tokenAudiences = [] }: AuthenticationContext): readonly string[] {
  return audiencesOf(view.namespace?.properties[`${voucher}Authentication`], voucher, tokenAudiences)
}

function askAboutToken(view: RegistryView, voucher: TokenVoucher, token: Buffer, context: AuthenticationContext): Authentication {
  const issuer = view.namespace?.properties[`${voucher}Authentication`]
  if (!issuer) return notAuthorized(`the namespace has no ${voucher}Authentication`)
  const question = { about: 'token', voucher, token: token.toString('latin1'), issuer, audiences: audiencesFor(view, voucher, context) } as const
  return ask(question, 'the token has not been verified')
}

/** A token in the place of a password, for clients whose version or library knows no authentication method (M3-06). */
function askAboutTokenAsPassword(view: RegistryView, { password }: Credentials, context: AuthenticationContext): Authentication | undefined {
  const namespace = view.namespace?.properties
  const voucher = namespace?.customJwtAuthentication ? 'customJwt' : namespace?.oauth2JwtAuthentication ? 'oauth2Jwt' : undefined
  return voucher && password && looksLikeToken(password) ? askAboutToken(view, voucher, password, context) : undefined
}

function askWebhook(view: RegistryView, credentials: Credentials): Authentication | undefined {
  const webhook = view.namespace?.properties.webhookAuthentication
  return webhook && ask({ about: 'webhook', endpointUrl: webhook.endpointUrl, shown: credentials }, 'the webhook has not been asked')
}

const registered = ({ name, properties: { authenticationName, attributes } }: Resource<'clients'>): Principal => ({
  clientName: name,
  authenticationName,
  attributes,
  kind: 'registered',
})

const whyDisabled = ({ properties }: Resource<'clients'>): string => `the client “${properties.authenticationName}” is disabled`
const disabled = (client: Resource<'clients'>): Authentication => notAuthorized(whyDisabled(client))

function judgeWithCertificate(view: RegistryView, credentials: Credentials, leaf: X509Certificate, context: AuthenticationContext): Authentication {
  const names = namesOf(leaf)
  const client = findClient(view, credentials.username, names)
  if (typeof client === 'string')
    return askAboutTokenAsPassword(view, credentials, context) ?? askWebhook(view, credentials) ?? refuseInTime(view, credentials, client)
  if (client.properties.state !== 'Enabled') return refuseInTime(view, credentials, whyDisabled(client))
  const verdict = judgeCertificate(view, client, { leaf, chain: credentials.certificateChain ?? [], names }, context)
  if (verdict.ok) return { ok: true, principal: registered(client), expiresAt: verdict.expiresAt }
  return askPasswordOf(client, credentials) ?? askAboutTokenAsPassword(view, credentials, context) ?? refuseInTime(view, credentials, verdict.why)
}

/** Only who gives the user name: guesses are counted under it, and a worthless certificate shall not name somebody in its place. */
function askPasswordOf({ name, properties }: Resource<'clients'>, { username, password }: Credentials): Authentication | undefined {
  const { passwordHash: hash, authenticationName } = properties
  if (hash === undefined || password === undefined || username === undefined || username === '') return undefined
  return ask(
    { about: 'password', client: name, hash, password, why: `the password is not that of “${authenticationName}”` },
    'the password has not been checked',
  )
}

/** Refuses after as long as a password would have taken: nobody shall learn from the time which names are there. */
function refuseInTime(view: RegistryView, { password }: Credentials, why: string): Authentication {
  const hash = view.anyPasswordHash
  if (hash === undefined || password === undefined) return notAuthorized(why)
  return ask({ about: 'password', client: undefined, hash, password, why }, why)
}

function judgeWithoutCertificate(view: RegistryView, credentials: Credentials, context: AuthenticationContext): Authentication {
  const { username } = credentials
  const name = username === undefined || username === '' ? anonymousName : username
  const client = view.clientNamed(name)
  if (client) {
    if (client.properties.state === 'Enabled') {
      const asked = askPasswordOf(client, credentials) ?? askAboutTokenAsPassword(view, credentials, context)
      if (asked) return asked
    }
    return refuseInTime(view, credentials, whyWithoutCertificate(client))
  }
  const asked = askAboutTokenAsPassword(view, credentials, context) ?? askWebhook(view, credentials)
  if (asked) return asked
  const judged = judgeAnonymous(view, name)
  return judged.ok ? judged : refuseInTime(view, credentials, judged.why)
}

function whyWithoutCertificate(client: Resource<'clients'>): string {
  const { authenticationName, state, passwordHash } = client.properties
  if (state !== 'Enabled') return whyDisabled(client)
  return `the client “${authenticationName}” is registered and must show its certificate${passwordHash === undefined ? '' : ' or its password'}`
}

function judgeAnonymous(view: RegistryView, name: string): Authentication {
  if (!view.clientGroups.has(anonymousGroup)) return notAuthorized(`no certificate was shown, and the client group ${anonymousGroup} does not exist`)
  const problem = authenticationNameProblem(name)
  if (problem) return notAuthorized(`the user name ${problem}`)
  return { ok: true, principal: { clientName: name, authenticationName: name, attributes: {}, kind: 'anonymous' } }
}

/** Judges what was found out, under the settings as they are now. */
function judgeEvidence(view: RegistryView, evidence: Evidence, context: AuthenticationContext): Authentication {
  switch (evidence.about) {
    case 'fault':
      return { ok: false, reasonCode: 0x88, why: evidence.why }
    case 'token':
      return judgeToken(view, evidence, context)
    case 'password':
      return judgePassword(view, evidence)
    case 'webhook':
      return judgeWebhook(view, evidence, context)
  }
}

function judgePassword(view: RegistryView, { client: name, hash, isRight, why }: Evidence & { about: 'password' }): Authentication {
  const client = name === undefined ? undefined : view.clients.get(name)
  if (!client || !isRight) return notAuthorized(why)
  if (client.properties.state !== 'Enabled') return disabled(client)
  if (client.properties.passwordHash !== hash) return notAuthorized(`“${client.properties.authenticationName}” has another password now, or none`)
  return { ok: true, principal: registered(client) }
}

function judgeToken(view: RegistryView, { voucher, verdict, source }: Evidence & { about: 'token' }, context: AuthenticationContext): Authentication {
  if (!verdict.ok) return notAuthorized(`${verdict.rule}: ${verdict.why}`)
  const { claims } = verdict
  const { tokenLeewayMs = 0, now, publishedKeys } = context
  const issuer = view.namespace?.properties[`${voucher}Authentication`]
  if (issuer?.tokenIssuer !== claims.issuer) return notAuthorized(`issuer: the namespace does not believe “${claims.issuer}” any more`)
  if (!isAudience(claims.audiences, audiencesFor(view, voucher, context))) return notAuthorized('audience: the token is for none of the audiences any more')
  const isKnown =
    source === undefined
      ? keysOfIssuer(issuer).some(({ thumbprint }) => thumbprint === claims.verifiedBy)
      : (source === issuer.jwksUrl || source === issuer.openIdConfigurationUrl) && publishedKeys?.get(source)?.has(claims.verifiedBy) !== false
  if (!isKnown) return notAuthorized('kid: the key that verified the token is not the issuer’s any more')
  const outside = whyOutsideTime(claims, now, tokenLeewayMs)
  if (outside) return notAuthorized(`time: ${outside}`)
  return judgeVouched(view, voucher, claims.authenticationName, claims.attributes, claims.expiresAt + tokenLeewayMs)
}

function judgeWebhook(view: RegistryView, { endpointUrl, decision }: Evidence & { about: 'webhook' }, { now }: AuthenticationContext): Authentication {
  if (view.namespace?.properties.webhookAuthentication?.endpointUrl !== endpointUrl) return notAuthorized('the namespace asks another webhook now, or none')
  if (decision.decision === 'deny') return notAuthorized(`the webhook denies: ${decision.errorReason}`)
  const { clientAuthenticationName, attributes, expiresAt } = decision
  if (expiresAt !== undefined && now >= expiresAt) return notAuthorized(`the webhook's decision was good until ${new Date(expiresAt).toISOString()}`)
  return judgeVouched(view, 'webhook', clientAuthenticationName, attributes, expiresAt)
}

/** A disabled client stays out whoever vouches for its name; an enabled one keeps the case it was registered in (CL-02). */
function judgeVouched(view: RegistryView, voucher: Voucher, name: string, attributes: Principal['attributes'], expiresAt: number | undefined): Authentication {
  const client = view.clientNamed(name)
  if (client && client.properties.state !== 'Enabled') return disabled(client)
  const principal = vouched(voucher, client?.properties.authenticationName ?? name, attributes, client?.name)
  return { ok: true, principal, ...(expiresAt === undefined ? {} : { expiresAt }) }
}

export type Validity =
  /** Go on, as this principal: its attributes may have changed, so judge publishes and subscriptions by the new one. */
  | { readonly ok: true; readonly principal: Principal; readonly expiresAt?: number }
  /** End the connection: DISCONNECT with the reason code, Event Grid's disconnectionReason in the life cycle event. */
  | { readonly ok: false; readonly reasonCode: 0x87; readonly disconnectionReason: 'ClientAuthenticationError'; readonly why: string }

const ended = (why: string): Validity => ({ ok: false, reasonCode: 0x87, disconnectionReason: 'ClientAuthenticationError', why })

/**
 * Judges a connection that was let in against a newer view or a later time: client deleted or disabled, CA or thumbprint
 * removed, certificate expired, `$anonymous` deleted, the name registered meanwhile.
 */
export function stillValid(
  view: RegistryView,
  connection: { readonly credentials: Credentials; readonly principal: Principal },
  context: AuthenticationContext,
): Validity {
  const { principal: before } = connection
  if (before.kind === 'internal') return { ok: true, principal: before }
  const now = authenticate(view, connection.credentials, context)
  if (!now.ok) return ended(now.why)
  const { principal } = now
  if (principal.kind !== before.kind || principal.authenticationName !== before.authenticationName || principal.clientName !== before.clientName) {
    return ended(`the credentials are now those of “${principal.authenticationName}” and no longer of “${before.authenticationName}”`)
  }
  const isUnchanged = before.attributes === principal.attributes || before.kind === 'anonymous'
  return isUnchanged ? { ...now, principal: before } : now
}
