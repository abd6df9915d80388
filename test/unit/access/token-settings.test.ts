import { expect, test } from '@jest/globals'
import { defaultAudiences } from '../../../access/token-settings.ts'

test('OJ-06 tokens are for the host names of their namespace, and for TOKEN_AUDIENCES only when it has none', () => {
  expect(defaultAudiences(['mqtt.factory.example'], ['mqtt.example'])).toEqual(['mqtt.factory.example'])
  expect(defaultAudiences([], ['mqtt.example'])).toEqual(['mqtt.example'])
})
