import { expect, test } from '@jest/globals'
import { refuseEventCaller } from '../../../access/event-access.ts'
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
  const access = { view: view as RegistryView, isOwnersKey: (given: string) => given === 'owners', isProduction: false, now: 0 }
  return refuseEventCaller({ authorization: 'Bearer owners', origin: { address, isEncrypted: true } }, access)
}

test('NS-07 an address is judged by the namespace’s rules, which are read once and again when they have changed', () => {
  const view = namespaceThatAllows('192.0.2.0/24')
  expect(refusal(view, '192.0.2.7')).toBeUndefined()
  expect(refusal(view, '198.51.100.7')).toMatchObject({ status: 403 })
  expect(view.looks).toBe(1)
  const changed = { ...view, namespace: namespaceThatAllows('198.51.100.0/24').namespace }
  expect(refusal(changed, '192.0.2.7')).toMatchObject({ status: 403 })
  expect(refusal(changed, '198.51.100.7')).toBeUndefined()
})
