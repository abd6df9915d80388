/** Why a connection is let in or refused: the gateway's own judgement, with what it was judged by. */
import type { JwtAuthentication } from '../model/client-authentication.ts'
import type { RegistryView } from '../model/registry-view.ts'
import { type Authentication, type AuthenticationContext, authenticate, type Credentials } from './authenticate.ts'
import { namesOf } from './certificate-names.ts'
import { compileRules } from './decide.ts'
import type { Evidence, Question } from './evidence.ts'
import { verifyPassword } from './password-hash.ts'
import type { Principal } from './principal.ts'
import { shownUrl } from './shown-url.ts'
import { checkToken } from './token.ts'
import { keysOfIssuer } from './verification-key.ts'

/** What a certificate says, where authentication looks. */
export interface ShownCertificate {
  readonly subject: readonly string[]
  readonly dns: readonly string[]
  readonly uri: readonly string[]
  readonly ip: readonly string[]
  readonly email: readonly string[]
  readonly issuer: string
  readonly notBefore: string
  readonly notAfter: string
}

export interface ConnectExplanation {
  readonly allowed: boolean
  /** In words; never told to who connects. */
  readonly reason: string
  /** What CONNACK says, of MQTT 5. */
  readonly reasonCode: number
  readonly client?: string
  readonly authenticationName?: string
  readonly kind?: Principal['kind']
  readonly groups: readonly string[]
  /** When it will be judged anew. */
  readonly expiresAt?: string
  readonly certificate?: ShownCertificate
}

function shown(certificate: NonNullable<Credentials['certificate']>): ShownCertificate {
  const { subject, dns, uri, ip, email } = namesOf(certificate)
  const { issuer, validFromDate, validToDate } = certificate
  return { subject, dns, uri, ip, email, issuer, notBefore: validFromDate.toISOString(), notAfter: validToDate.toISOString() }
}

const ways: { readonly [K in Principal['kind']]?: string } = {
  registered: 'its certificate or password is that of',
  anonymous: 'the client group $anonymous lets in, without a certificate,',
  customJwt: 'the token is that of',
  oauth2Jwt: 'the token is that of',
}

const keySetOf = ({ jwksUrl, openIdConfigurationUrl }: JwtAuthentication): string | undefined => jwksUrl ?? openIdConfigurationUrl

export interface ExplainContext extends AuthenticationContext {
  /** Most bytes of the attributes that a token gives, as JSON. */
  readonly attributesBytesMax: number
}

/** What of a question can be answered without asking anybody; else the text is who would be asked. */
async function findOut(question: Question, { now, tokenLeewayMs: leewayMs = 0, attributesBytesMax }: ExplainContext): Promise<Evidence | string> {
  switch (question.about) {
    case 'authenticationData':
      return 'the gateway asks the client for authentication data in an AUTH packet'
    case 'webhook':
      return `the gateway asks the webhook ${shownUrl(question.endpointUrl)} about this client, and its answer decides`
    case 'password': {
      const { client, hash, password, why } = question
      return { about: 'password', client, hash, isRight: client !== undefined && (await verifyPassword(password, hash)), why }
    }
    case 'token': {
      const { voucher, token, issuer, audiences } = question
      const verdict = await checkToken(token, { tokenIssuer: issuer.tokenIssuer, audiences, keys: keysOfIssuer(issuer), leewayMs, attributesBytesMax }, now)
      const published = keySetOf(issuer)
      if (published === undefined || verdict.ok || (verdict.rule !== 'kid' && verdict.rule !== 'signature')) return { about: 'token', voucher, verdict }
      return `issuer, audience and form of the token are right; the gateway looks for its key where the issuer publishes it, ${shownUrl(published)}, and so does loggerhead token check`
    }
  }
}

/** Judges with what can be found out here. Nothing is fetched. */
async function judge(view: RegistryView, credentials: Credentials, context: ExplainContext): Promise<Authentication> {
  const judged = authenticate(view, credentials, context)
  if (judged.ok || !judged.question) return judged
  const found = await findOut(judged.question, context)
  return typeof found === 'string' ? { ...judged, why: found } : authenticate(view, { ...credentials, evidence: found }, context)
}

/** Explains what a CONNECT with these credentials would come to now. That the client has the certificate's key is taken for granted. */
export async function explainConnect(view: RegistryView, credentials: Credentials, context: ExplainContext): Promise<ConnectExplanation> {
  const certificate = credentials.certificate ? { certificate: shown(credentials.certificate) } : {}
  const judged = await judge(view, credentials, context)
  if (!judged.ok) return { allowed: false, reason: judged.why, reasonCode: judged.reasonCode, groups: [], ...certificate }
  const { principal, expiresAt } = judged
  const { authenticationName, clientName, kind } = principal
  return {
    allowed: true,
    reason: `${ways[kind] ?? `as ${kind},`} “${authenticationName}”`,
    reasonCode: 0,
    ...(view.clients.has(clientName) ? { client: clientName } : {}),
    authenticationName,
    kind,
    groups: compileRules(view).groupsOf(principal),
    ...(expiresAt === undefined ? {} : { expiresAt: new Date(expiresAt).toISOString() }),
    ...certificate,
  }
}
