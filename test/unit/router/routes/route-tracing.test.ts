import { expect, test } from '@jest/globals'
import { compileMapping } from '../../../../router/routes/message-mapping.ts'
import { traceRoute } from '../../../../router/routes/route-tracing.ts'
import type { Message } from '../../../../schemas/message.ts'
import type { OpenSpan, Tracing } from '../../../../telemetry/tracing.ts'
import { message as published } from '../../events/messages.ts'
import { route } from './routes.ts'

const traceId = '0af7651916cd43dd8448eb211c80319c'
const given = `00-${traceId}-b7ad6b7169203331-01`
const ours = `00-${traceId}-00f067aa0ba902b7-01`

const message = (userProperties: Message['userProperties']): Message => published({ userProperties })

const span: OpenSpan = { traceparent: ours, tracestate: 'vendor=1', event: () => {}, end: () => {} }
const tracing = (isChosen: boolean): Tracing => ({
  isChosen: () => isChosen,
  look: () => {},
  publish: () => null,
  match: () => null,
  delivery: () => null,
  route: () => span,
  webhook: () => null,
  close: async () => {},
})

const traced = [
  { name: 'traceparent', value: given },
  { name: 'tracestate', value: 'vendor=1' },
]

test('a message that is traced gets its span, and the event continues from that', () => {
  expect(traceRoute(tracing(true), message([]), 'r', 'topic')).toEqual({ span, attributes: { traceparent: ours, tracestate: 'vendor=1' } })
})

test('of one that is not, what its publisher says goes on, traced or not, and what is malformed does not', () => {
  for (const each of [tracing(false), null]) {
    expect(traceRoute(each, message(traced), 'r', 'topic')).toEqual({ span: null, attributes: { traceparent: given, tracestate: 'vendor=1' } })
    expect(traceRoute(each, message([{ name: 'traceparent', value: 'nonsense' }]), 'r', 'topic')).toEqual({ span: null, attributes: {} })
    expect(traceRoute(each, message([]), 'r', 'topic')).toEqual({ span: null, attributes: {} })
  }
})

test('the event has it as the attributes of CloudEvents’ Distributed Tracing extension', () => {
  const mapping = compileMapping(route({ format: 'cloudEventsBinary' }), 'ns')
  const headersOf = (trace: Readonly<Record<string, string>>) =>
    Object.fromEntries((mapping.recordOf(message([]), () => ({}), trace)?.headers ?? []).map(({ name, value }) => [name, String(value)]))
  expect(headersOf({ traceparent: ours, tracestate: 'vendor=1' })).toMatchObject({ ce_traceparent: ours, ce_tracestate: 'vendor=1', ce_specversion: '1.0' })
  expect(headersOf({})).not.toHaveProperty('ce_traceparent')
})
