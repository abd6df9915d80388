import { expect, test } from '@jest/globals'
import { type Authentication, authenticate, type Credentials, stillValid } from '../../../access/authenticate.ts'
import { compileRules } from '../../../access/decide.ts'
import type { Evidence, Question } from '../../../access/evidence.ts'
import { principalOfSession, vouched } from '../../../access/principal.ts'
import { checkToken } from '../../../access/token.ts'
import { keysOfIssuer } from '../../../access/verification-key.ts'
import type { RegistryView } from '../../../model/registry-view.ts'
import { now } from './pki.ts'
import { put, viewOf } from './registry.ts'
import { audience, makeTokenIssuer } from './tokens.ts'

const issuer = makeTokenIssuer({ now })
const { tokenIssuer, kid, encodedCertificate } = issuer
const certificates = [{ kid, encodedCertificate }]
const customJwtAuthentication = { tokenIssuer, encodedIssuerCertificates: certificates, audiences: [audience] }
const namespace = (clientAuthentication: object) => ({ default: { topicSpacesConfiguration: { clientAuthentication } } })
const context = { now, tokenLeewayMs: 1000 }

const judge = (view: RegistryView, credentials: Partial<Credentials>): Authentication => authenticate(view, { clientId: 'c', ...credentials }, context)
const why = (answer: Authentication): string => (answer.ok ? 'let in' : `${answer.reasonCode.toString(16)} ${answer.why}`)
const questionOf = (answer: Authentication): Question | undefined => (answer.ok ? undefined : answer.question)

/** The whole way: asked, checked, judged. */
async function present(view: RegistryView, token: string, method = 'CUSTOM-JWT'): Promise<Authentication> {
  const asked = judge(view, { authenticationMethod: method, authenticationData: Buffer.from(token) })
  const question = questionOf(asked)
  if (question?.about !== 'token') return asked
  const { issuer: from, audiences, voucher } = question
  const expected = { tokenIssuer: from.tokenIssuer, audiences, keys: keysOfIssuer(from), leewayMs: 1000, attributesBytesMax: 4096 }
  return judge(view, { evidence: { about: 'token', voucher, verdict: await checkToken(question.token, expected, now) } })
}

test('OJ-04 CUSTOM-JWT: the token says who it is and what its attributes are, no client resource is needed (OJ-08)', async () => {
  const view = viewOf({ namespace: namespace({ customJwtAuthentication }) })
  expect(await present(view, await issuer.token({ type: 'vehicle' }))).toEqual({
    ok: true,
    principal: { clientName: 'device-1', authenticationName: 'device-1', attributes: expect.objectContaining({ type: 'vehicle' }), kind: 'customJwt' },
    expiresAt: now + 3_601_000,
  })
})

test('OJ-04 a method that is not set up is refused with 0x8C and by name', async () => {
  const view = viewOf({ namespace: namespace({ customJwtAuthentication }) })
  expect(why(await present(view, await issuer.token(), 'OAUTH2-JWT'))).toBe('8c OAUTH2-JWT is not set up: the namespace has no oauth2JwtAuthentication')
  expect(why(await present(view, 'x', 'SCRAM-SHA-256'))).toBe('8c the authentication method “SCRAM-SHA-256” is not known here')
  expect(why(await present(viewOf({}), await issuer.token()))).toContain('8c')
})

test('a refused token names the rule that failed', async () => {
  const view = viewOf({ namespace: namespace({ customJwtAuthentication }) })
  expect(why(await present(view, await issuer.token({ aud: 'elsewhere' })))).toContain(
    '87 audience: the token is for “elsewhere”; expected is one of “mqtt.example.com”',
  )
})

test('a method without data is a question for the client', () => {
  const view = viewOf({ namespace: namespace({ customJwtAuthentication }) })
  expect(questionOf(judge(view, { authenticationMethod: 'CUSTOM-JWT' }))).toEqual({ about: 'authenticationData' })
})

test('M3-06 a token may come as the password of MQTT 3.1.1, whatever the user name', async () => {
  const view = viewOf({ namespace: namespace({ customJwtAuthentication }) })
  const password = Buffer.from(await issuer.token())
  expect(questionOf(judge(view, { username: 'any', password }))).toMatchObject({ about: 'token', voucher: 'customJwt' })
  expect(questionOf(judge(viewOf({}), { username: 'any', password }))).toBeUndefined()
})

test('EN-02 EN-04 OAUTH2-JWT: tokens in the place of Entra’s are for https://eventgrid.azure.net/ unless the settings say otherwise', async () => {
  const view = viewOf({ namespace: namespace({ oauth2JwtAuthentication: { tokenIssuer, encodedIssuerCertificates: certificates } }) })
  expect((await present(view, await issuer.token({ aud: 'https://eventgrid.azure.net/' }), 'OAUTH2-JWT')).ok).toBe(true)
  expect(why(await present(view, await issuer.token(), 'OAUTH2-JWT'))).toContain('audience')
})

test('EN-05 PB-07 roles in a claim stand for permissions, by topic space; permission bindings are not for OAUTH2-JWT', () => {
  const roleAssignments = [
    { value: 'Publishers', permission: 'Publisher' },
    { claim: 'scp', value: 'read', permission: 'Subscriber', topicSpaceName: 'one' },
  ]
  const view = viewOf({
    namespace: namespace({ oauth2JwtAuthentication: { tokenIssuer, encodedIssuerCertificates: certificates, roleAssignments } }),
    topicSpaces: { one: { topicTemplates: ['one/#'] }, two: { topicTemplates: ['two/#'] } },
    permissionBindings: { all: { clientGroupName: '$all', topicSpaceName: 'two', permission: 'Subscriber' } },
  })
  const rules = compileRules(view)
  const may = (attributes: object) => {
    const principal = vouched('oauth2Jwt', 'app', attributes as never)
    return [rules.mayPublish(principal, 'two/x').allowed, rules.maySubscribe(principal, 'one/#').allowed, rules.maySubscribe(principal, 'two/#').allowed]
  }
  expect(may({ roles: ['Publishers'], scp: 'read' })).toEqual([true, true, false])
  expect(may({ roles: 'Publishers' })).toEqual([true, false, false])
  expect(may({})).toEqual([false, false, false])
  // A role is the token's to give: a registered client's attribute of that name is none.
  expect(rules.mayPublish({ clientName: 'a', authenticationName: 'a', attributes: { roles: 'Publishers' }, kind: 'registered' }, 'two/x').allowed).toBe(false)
  expect(rules.mayPublish(vouched('customJwt', 'a', { roles: 'Publishers' }), 'two/x').allowed).toBe(false)
})

test('OJ-08 what a token claims counts in group queries and in templates, and cannot leave its level', () => {
  const view = viewOf({
    namespace: namespace({ customJwtAuthentication }),
    clientGroups: { vehicles: { query: 'attributes.type = "vehicle"' } },
    // biome-ignore lint/suspicious/noTemplateCurlyInString: the registry's own variables
    topicSpaces: { own: { topicTemplates: ['${client.attributes.site}/${client.authenticationName}/#'] } },
    permissionBindings: { pub: { clientGroupName: 'vehicles', topicSpaceName: 'own', permission: 'Publisher' } },
  })
  const rules = compileRules(view)
  const may = (attributes: object, topic: string, name = 'a') => rules.mayPublish(vouched('customJwt', name, attributes as never), topic).allowed
  expect(may({ type: 'vehicle', site: 'oslo' }, 'oslo/a/x')).toBe(true)
  expect(may({ type: 'other', site: 'oslo' }, 'oslo/a/x')).toBe(false)
  for (const site of ['+', '#', 'oslo/+', 'a/b', '', '+/+', '\0']) {
    expect(may({ type: 'vehicle', site }, 'oslo/a/x')).toBe(false)
    expect(may({ type: 'vehicle', site }, 'a/b/a/x')).toBe(false)
    expect(may({ type: 'vehicle', site: 'oslo' }, 'oslo/a/x', site === '' ? '#' : site)).toBe(false)
  }
  // A variable in a value is text.
  // biome-ignore lint/suspicious/noTemplateCurlyInString: as above
  expect(may({ type: 'vehicle', site: '${client.authenticationName}' }, 'a/a/x')).toBe(false)
})

test('a connection by token ends when the issuer, its key or the audience is withdrawn, the client disabled, the time over; else it goes on', async () => {
  const view = viewOf({ namespace: namespace({ customJwtAuthentication }) })
  const expected = {
    tokenIssuer,
    audiences: [audience],
    keys: keysOfIssuer(view.namespace!.properties.customJwtAuthentication!),
    leewayMs: 0,
    attributesBytesMax: 4096,
  }
  const evidence: Evidence = { about: 'token', voucher: 'customJwt', verdict: await checkToken(await issuer.token(), expected, now) }
  const credentials = { clientId: 'c', evidence }
  const answer = authenticate(view, credentials, context)
  if (!answer.ok) throw new Error(answer.why)
  const now_ = (settings: object, at = now) => {
    put(view, 'namespace', 'default', namespace(settings).default)
    return stillValid(view, { credentials, principal: answer.principal }, { ...context, now: at })
  }
  expect(now_({ customJwtAuthentication: { ...customJwtAuthentication, encodedIssuerCertificates: [{ kid: 'renamed', encodedCertificate }] } })).toEqual({
    ok: true,
    principal: answer.principal,
    expiresAt: now + 3_601_000,
  })
  const gone = { ok: false, reasonCode: 0x87, disconnectionReason: 'ClientAuthenticationError' }
  expect(now_({ customJwtAuthentication }, now + 3_601_000)).toMatchObject({ ...gone, why: expect.stringContaining('time: the token expired') })
  expect(
    now_({
      customJwtAuthentication: {
        ...customJwtAuthentication,
        encodedIssuerCertificates: [{ kid, encodedCertificate: makeTokenIssuer({ now }).encodedCertificate }],
      },
    }),
  ).toMatchObject(gone)
  expect(now_({ customJwtAuthentication: { ...customJwtAuthentication, audiences: ['elsewhere'] } })).toMatchObject(gone)
  expect(now_({ customJwtAuthentication: { ...customJwtAuthentication, tokenIssuer: 'https://another' } })).toMatchObject(gone)
  expect(now_({})).toMatchObject(gone)
  put(view, 'namespace', 'default', namespace({ customJwtAuthentication }).default)
  put(view, 'clients', 'd1', { authenticationName: 'DEVICE-1', state: 'Disabled', clientCertificateAuthentication: {} })
  expect(stillValid(view, { credentials, principal: answer.principal }, context)).toMatchObject({ ...gone, why: 'the client “DEVICE-1” is disabled' })
})

test('CL-02 a token for a registered name in another case is that client, in the case it was registered in', async () => {
  const view = viewOf({
    namespace: namespace({ customJwtAuthentication }),
    clients: { d1: { authenticationName: 'Device-1', clientCertificateAuthentication: {} } },
  })
  const answer = await present(view, await issuer.token())
  expect(answer.ok && answer.principal).toMatchObject({ clientName: 'd1', authenticationName: 'Device-1' })
})

test('a session of a token’s client is judged by what the token claimed, for as long as the namespace believes the issuer', () => {
  const view = viewOf({ namespace: namespace({ customJwtAuthentication }) })
  const session = { authenticationName: 'device-1', vouchedBy: 'customJwt', attributes: { type: 'vehicle' } }
  expect(principalOfSession(view, session)).toEqual({
    clientName: 'device-1',
    authenticationName: 'device-1',
    attributes: { type: 'vehicle' },
    kind: 'customJwt',
  })
  expect(principalOfSession(view, { ...session, vouchedBy: 'oauth2Jwt' })).toBeUndefined()
  put(view, 'namespace', 'default', {})
  expect(principalOfSession(view, session)).toBeUndefined()
})

const webhookAuthentication = { endpointUrl: 'https://hook.example.com/authenticate' }
const endpointUrl = webhookAuthentication.endpointUrl
const allow = { decision: 'allow', clientAuthenticationName: 'guest-1', attributes: { type: 'guest' } } as const

test('the webhook is asked about who is no client of the registry, and never about who is', () => {
  const view = viewOf({
    namespace: namespace({ webhookAuthentication }),
    clients: { known: { authenticationName: 'known', clientCertificateAuthentication: {} } },
    clientGroups: { $anonymous: {} },
  })
  expect(questionOf(judge(view, { username: 'guest', password: Buffer.from('p') }))).toMatchObject({ about: 'webhook', endpointUrl })
  expect(questionOf(judge(view, { authenticationMethod: 'OWN', authenticationData: Buffer.from('d') }))).toMatchObject({ about: 'webhook' })
  expect(questionOf(judge(view, { username: 'KNOWN', password: Buffer.from('p') }))).toBeUndefined()
})

test('the webhook’s word: allow is a client with those attributes until its expiration, deny is 0x87, no word is 0x88', () => {
  const view = viewOf({ namespace: namespace({ webhookAuthentication }) })
  const told = (decision: object) => judge(view, { evidence: { about: 'webhook', endpointUrl, decision } as Evidence })
  expect(told({ ...allow, expiresAt: now + 5000 })).toEqual({
    ok: true,
    principal: { clientName: 'guest-1', authenticationName: 'guest-1', attributes: { type: 'guest' }, kind: 'webhook' },
    expiresAt: now + 5000,
  })
  expect(why(told({ ...allow, expiresAt: now }))).toContain('87 the webhook’s decision'.replace('’', "'"))
  expect(why(told({ decision: 'deny', errorReason: 'no such device' }))).toBe('87 the webhook denies: no such device')
  expect(why(judge(view, { evidence: { about: 'fault', why: 'it did not answer' } }))).toBe('88 it did not answer')
})

test('another webhook, or none, ends what the one before allowed', () => {
  const view = viewOf({ namespace: namespace({ webhookAuthentication }) })
  const credentials: Credentials = { clientId: 'c', evidence: { about: 'webhook', endpointUrl, decision: allow } }
  const principal = vouched('webhook', 'guest-1', allow.attributes)
  expect(stillValid(view, { credentials, principal }, context).ok).toBe(true)
  put(view, 'namespace', 'default', namespace({ webhookAuthentication: { endpointUrl: 'https://another.example.com' } }).default)
  expect(stillValid(view, { credentials, principal }, context).ok).toBe(false)
})

test('a connection whose key its issuer no longer publishes ends, and one of whose issuer nothing is known stands', async () => {
  const source = 'https://issuer.example/keys'
  const view = viewOf({ namespace: namespace({ customJwtAuthentication: { tokenIssuer, audiences: [audience], jwksUrl: source } }) })
  const expected = {
    tokenIssuer,
    audiences: [audience],
    keys: keysOfIssuer({ encodedIssuerCertificates: certificates } as never),
    leewayMs: 1000,
    attributesBytesMax: 4096,
  }
  const verdict = await checkToken(await issuer.token(), expected, now)
  const evidence = { about: 'token', voucher: 'customJwt', verdict, source } as const
  const judged = (...keys: readonly string[]) =>
    authenticate(view, { clientId: 'c', evidence }, { ...context, publishedKeys: new Map([[source, new Set(keys)]]) })
  expect(why(judge(view, { evidence }))).toBe('let in')
  expect(why(judged('another', verdict.ok ? verdict.claims.verifiedBy : ''))).toBe('let in')
  expect(why(judged('another'))).toContain('kid: the key that verified')
})
