import { expect, test } from '@jest/globals'
import { refuseEventCaller } from '../../../access/event-access.ts'
import { TokenRefused } from '../../../access/token-refused.ts'
import type { RegistryView } from '../../../model/registry-view.ts'

function namespaceThatAllows(ipMask: string) {
  const view = {
    looks: 0,
    namespace: {
      properties: {
        get inboundIpRules() {
          view.looks++
          return [{ ipMask }]
        },
      },
    },
  }
  return view
}

function refusal(view: object, address: string) {
  const access = { view: view as RegistryView, isOwnersKey: (given: string) => given === 'owners', bearerOf: undefined, isProduction: false, now: 0 }
  return refuseEventCaller({ authorization: 'Bearer owners', origin: { address, isEncrypted: true } }, access)
}

test('NS-07 an address is judged by the namespace’s rules, which are read once and again when they have changed', async () => {
  const view = namespaceThatAllows('192.0.2.0/24')
  expect(await refusal(view, '192.0.2.7')).toBeUndefined()
  expect(await refusal(view, '198.51.100.7')).toMatchObject({ status: 403, isForAddress: true })
  expect(view.looks).toBe(1)
  const changed = { ...view, namespace: namespaceThatAllows('198.51.100.0/24').namespace }
  expect(await refusal(changed, '192.0.2.7')).toMatchObject({ status: 403 })
  expect(await refusal(changed, '198.51.100.7')).toBeUndefined()
})

const view = { namespace: undefined, apiKeys: new Map() } as unknown as RegistryView
const token = 'head.claims.signature'

function ask(
  authorization: string,
  bearerOf?: (token: string) => Promise<{ readonly by: string; readonly role: 'reader' | 'operator' | 'owner' }>,
  address = '127.0.0.1',
) {
  const origin = { address, isEncrypted: address === '127.0.0.1' }
  return refuseEventCaller({ authorization, origin }, { view, isOwnersKey: () => false, bearerOf, isProduction: true, now: 0 })
}

test('NT-03 a token of the issuer does with the role operator or above, whoever else is told why not', async () => {
  const shown: string[] = []
  const roleOf = (role: 'reader' | 'operator' | 'owner') => async (given: string) => {
    shown.push(given)
    return { by: 'oidc/ada', role }
  }
  expect(await ask(`Bearer ${token}`, roleOf('operator'))).toBeUndefined()
  expect(await ask(`bearer  ${token}`, roleOf('owner'))).toBeUndefined()
  expect(await ask(`Bearer ${token}`, roleOf('reader'))).toEqual({ status: 403, detail: 'this takes the role operator; oidc/ada has the role reader' })
  expect(shown).toEqual([token, token, token])
  for (const status of [401, 403, 503] as const) {
    const refuse = async () => {
      throw new TokenRefused(status, 'the token is refused: exp')
    }
    expect(await ask(`Bearer ${token}`, refuse)).toEqual({ status, detail: 'the token is refused: exp' })
  }
})

test('NT-03 a token is no key, and is shown to nobody where there is no issuer or the way is open to others', async () => {
  const never = async (): Promise<never> => {
    throw new Error('it was looked at')
  }
  expect(await ask(`SharedAccessKey ${token}`, never)).toMatchObject({ status: 401 })
  expect(await ask(`Bearer ${token}`)).toMatchObject({ status: 401 })
  expect(await ask(`Bearer ${token}`, never, '192.0.2.7')).toMatchObject({ status: 403, detail: expect.stringContaining('HTTPS') })
})
