import { describe, expect, test } from '@jest/globals'
import { contextAmong, formatTraceparent, parseTraceparent } from '../../../telemetry/trace-context.ts'
import fc from '../../support/fast-check.ts'

const traceId = '0af7651916cd43dd8448eb211c80319c'
const spanId = 'b7ad6b7169203331'

describe('traceparent (W3C Trace Context)', () => {
  test.each([
    [`00-${traceId}-${spanId}-01`, true],
    [`00-${traceId}-${spanId}-00`, false],
    // Only the lowest flag is known.
    [`00-${traceId}-${spanId}-fe`, false],
    // A later version may say more behind a dash.
    [`cc-${traceId}-${spanId}-01-what-comes`, true],
    [`cc-${traceId}-${spanId}-01`, true],
  ])('%s is read', (text, isSampled) => {
    expect(parseTraceparent(text)).toEqual({ traceId, spanId, isSampled, state: '' })
  })

  test.each([
    '',
    'x',
    `ff-${traceId}-${spanId}-01`,
    `00-${traceId}-${spanId}-01-more`,
    `00-${traceId}-${spanId}-1`,
    `00-${traceId}-${spanId}`,
    `00-${'0'.repeat(32)}-${spanId}-01`,
    `00-${traceId}-${'0'.repeat(16)}-01`,
    `00-${traceId.toUpperCase()}-${spanId}-01`,
    `00-${traceId.slice(1)}-${spanId}-01`,
    ` 00-${traceId}-${spanId}-01`,
    `cc-${traceId}-${spanId}-01${'-'.repeat(10)}${'x'.repeat(600)}`,
    `00-${traceId}-${spanId}-01\n`,
  ])('“%s” is none', (text) => {
    expect(parseTraceparent(text)).toBeNull()
  })

  test('what is written is read again', () => {
    expect(parseTraceparent(formatTraceparent(traceId, spanId, true))).toEqual({ traceId, spanId, isSampled: true, state: '' })
  })

  test('no text of whatever kind is read as ids that are not hexadecimal', () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 80 }), (text) => {
        const read = parseTraceparent(text)
        expect(read === null || /^[0-9a-f]{32} [0-9a-f]{16}$/.test(`${read.traceId} ${read.spanId}`)).toBe(true)
      }),
    )
  })
})

describe('among user properties', () => {
  const parent = ['traceparent', `00-${traceId}-${spanId}-01`] as const

  test('none, one, and two, which is malformed', () => {
    expect(contextAmong([['a', 'b']])).toBe('none')
    expect(contextAmong([['a', 'b'], parent])).toMatchObject({ traceId, spanId })
    expect(contextAmong([parent, parent])).toBe('malformed')
    expect(contextAmong([['traceparent', 'nonsense']])).toBe('malformed')
    expect(contextAmong([['Traceparent', 'nonsense']])).toBe('none')
  })

  test('tracestate goes with it, several joined; one that is too long or has control characters is left out alone', () => {
    expect(contextAmong([parent, ['tracestate', 'a=1'], ['tracestate', 'b=2']])).toMatchObject({ state: 'a=1,b=2' })
    expect(contextAmong([parent, ['tracestate', 'x'.repeat(513)]])).toMatchObject({ traceId, state: '' })
    expect(contextAmong([parent, ['tracestate', 'a=\r\nx: y']])).toMatchObject({ traceId, state: '' })
  })
})
