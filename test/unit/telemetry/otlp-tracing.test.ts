import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { Registry } from 'prom-client'
import { OtlpTracing } from '../../../telemetry/otlp-tracing.ts'

const record = { messageId: Buffer.alloc(16, 7), receivedAt: 1_700_000_000_000 }
const theirs = '0af7651916cd43dd8448eb211c80319c'
const properties = [['traceparent', `00-${theirs}-b7ad6b7169203331-01`]] as const
const traceIdOf = (traceparent: string | undefined) => traceparent?.split('-')[1]
let tracing: OtlpTracing

beforeEach(() => {
  tracing = new OtlpTracing({
    config: { TRACE_ENDPOINT: 'http://127.0.0.1:1/v1/traces', TRACES_PER_MILLION: 1_000_000, TRACE_SPANS_WAITING_MAX: 10 },
    key: Buffer.from('shared'),
    service: 'gateway',
    instance: 'gateway-1',
    registry: new Registry(),
    logger: { warn: () => {} },
  })
})
afterEach(() => tracing.close())

test('a PUBLISH goes on in its publisher’s trace; one without a trace begins the one that its record stands for', () => {
  expect(traceIdOf(tracing.publish(record, properties, {})?.traceparent)).toBe(theirs)
  const own = traceIdOf(tracing.publish(record, [], {})?.traceparent)
  expect(own).toBe(traceIdOf(tracing.match(record, [], {})?.traceparent))
  expect(own).not.toBe(theirs)
})

test('a trace that begins after a publisher’s has an id of its own', () => {
  tracing.publish(record, properties, {})
  expect(traceIdOf(tracing.webhook(undefined, {})?.traceparent)).not.toBe(theirs)
})
