import { randomBytes } from 'node:crypto'
import { describe, expect, test } from '@jest/globals'
import { MessageTraces } from '../../../telemetry/message-traces.ts'

const key = Buffer.from('shared among the services')
const record = (n: number, receivedAt = 1_700_000_000_000) => {
  const messageId = Buffer.alloc(16, 7)
  messageId.writeUInt32BE(n, 12)
  return { messageId, receivedAt }
}
const traceparent = (flags: string) => [['traceparent', `00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-${flags}`]] as const
const chosen = (traces: MessageTraces, count: number, of = record) => Array.from({ length: count }, (_, n) => traces.isChosen(of(n))).filter(Boolean).length

describe('TRACES_PER_MILLION', () => {
  test.each([0, 1_000_000])('%s is none or all', (perMillion) => {
    expect(chosen(new MessageTraces(key, perMillion), 5_000)).toBe(perMillion === 0 ? 0 : 5_000)
  })

  test('of many messages in a row about so many are chosen, whatever the key', () => {
    for (const each of ['a', 'b', 'c', 'd']) {
      const count = chosen(new MessageTraces(Buffer.from(each), 100_000), 20_000)
      // Nine standard deviations.
      expect(Math.abs(count - 2_000)).toBeLessThan(400)
    }
  })

  test('a publisher who has seen one of its messages traced cannot have the next one traced: the time decides too', () => {
    const traces = new MessageTraces(key, 100_000)
    const count = chosen(traces, 20_000, (n) => record(1, 1_700_000_000_000 + n))
    expect(Math.abs(count - 2_000)).toBeLessThan(400)
  })

  test('processes with the same key agree, with another they do not', () => {
    const [one, same, other] = [new MessageTraces(key, 500_000), new MessageTraces(key, 500_000), new MessageTraces(Buffer.from('x'), 500_000)]
    const decisions = (traces: MessageTraces) => Array.from({ length: 200 }, (_, n) => traces.isChosen(record(n)))
    expect(decisions(same)).toEqual(decisions(one))
    expect(decisions(other)).not.toEqual(decisions(one))
  })
})

describe('ids', () => {
  const traces = new MessageTraces(key, 1_000_000)

  test('a trace that begins here has ids of its own, the same in every process', () => {
    const trace = traces.traceOf(record(1), [])
    expect(trace).toEqual({
      traceId: expect.stringMatching(/^[0-9a-f]{32}$/),
      parent: null,
      publishSpanId: expect.stringMatching(/^[0-9a-f]{16}$/),
      matchSpanId: expect.stringMatching(/^[0-9a-f]{16}$/),
    })
    expect(new MessageTraces(key, 1).traceOf(record(1), [])).toEqual(trace)
    expect(traces.traceOf(record(2), [])?.traceId).not.toBe(trace?.traceId)
    expect(trace?.publishSpanId).not.toBe(trace?.matchSpanId)
  })

  test('a publisher’s trace goes on', () => {
    expect(traces.traceOf(record(1), traceparent('01'))).toMatchObject({ traceId: '0af7651916cd43dd8448eb211c80319c', parent: { spanId: 'b7ad6b7169203331' } })
  })

  test('a publisher who says that its trace is not recorded is heeded', () => {
    expect(traces.traceOf(record(1), traceparent('00'))).toBeNull()
  })

  test('a malformed context is none', () => {
    expect(traces.traceOf(record(1), [['traceparent', 'nonsense']])).toMatchObject({ parent: null })
  })

  test('a span id of ours is known by the key, and no other is', () => {
    const traceId = '0af7651916cd43dd8448eb211c80319c'
    const spanId = traces.signedSpanId(traceId, randomBytes(4))
    expect(traces.isSigned({ traceId, spanId })).toBe(true)
    expect(traces.isSigned({ traceId: traceId.replace('0af', '1af'), spanId })).toBe(false)
    expect(new MessageTraces(Buffer.from('x'), 1).isSigned({ traceId, spanId })).toBe(false)
    expect(traces.isSigned({ traceId, spanId: 'b7ad6b7169203331' })).toBe(false)
  })
})
