import { expect, test } from '@jest/globals'
import { compileRules } from '../../../access/decide.ts'
import { principalOfSession } from '../../../access/principal.ts'
import { put, viewOf } from './registry.ts'

const client = (type: string) => ({ authenticationName: type, state: 'Enabled', clientCertificateAuthentication: {}, attributes: { type } })

test('receipts are asked for by a group for its members, strangers included, and by none for the broker’s own probe', () => {
  const view = viewOf({
    clients: { pump: client('pump'), valve: client('valve') },
    clientGroups: {
      pumps: { query: 'attributes.type = "pump"', deliveryReceipts: true },
      valves: { query: 'attributes.type = "valve"', deliveryReceipts: false },
      $anonymous: { query: '' },
    },
  })
  const wants = (authenticationName: string): boolean => {
    const principal = principalOfSession(view, { authenticationName })
    return principal !== undefined && compileRules(view).wantsReceipts(principal)
  }
  expect(['pump', 'valve', 'stranger', '$loggerhead'].map(wants)).toEqual([true, false, false, false])
  put(view, 'clientGroups', '$anonymous', { query: '', deliveryReceipts: true })
  expect(['pump', 'valve', 'stranger', '$loggerhead'].map(wants)).toEqual([true, false, true, false])
  put(view, 'clientGroups', 'pumps', { query: 'attributes.type = "pump"' })
  expect(wants('pump')).toBe(false)
})
