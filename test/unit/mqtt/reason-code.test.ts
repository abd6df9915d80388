import { expect, test } from '@jest/globals'
import { ReasonCode, ReturnCode, reasonCodeOf, reasonName, returnCodeOf } from '../../../mqtt/reason-code.ts'

test('every reason code of section 2.4 is there', () => {
  const expected = [0x00, 0x01, 0x02, 0x04, 0x10, 0x11, 0x18, 0x19, ...Array.from({ length: 0xa3 - 0x80 }, (_, index) => 0x80 + index)]
  expect([...new Set(Object.values(ReasonCode))].sort((a, b) => a - b)).toEqual(expected)
})

test('names are the specification’s, and a number without one is shown as it is', () => {
  expect([0x00, 0x8e, 0x97, 0xa2, 0x7f].map(reasonName)).toEqual(['Success', 'SessionTakenOver', 'QuotaExceeded', 'WildcardSubscriptionsNotSupported', '0x7f'])
})

test('a 3.1.1 return code means the reason code that becomes it again', () => {
  for (const code of Object.values(ReturnCode)) expect(returnCodeOf(reasonCodeOf(code)!)).toBe(code)
  expect(reasonCodeOf(6)).toBeUndefined()
})

test('a reason code that 3.1.1 cannot say has no return code', () => {
  expect([ReasonCode.MalformedPacket, ReasonCode.ProtocolError, ReasonCode.PacketTooLarge].map(returnCodeOf)).toEqual([undefined, undefined, undefined])
})
