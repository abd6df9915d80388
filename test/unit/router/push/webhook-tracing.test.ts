import { expect, test } from '@jest/globals'
import type { OutgoingRequests } from '../../../../outgoing/outgoing-request.ts'
import { WebhookTarget } from '../../../../router/push/webhook-target.ts'
import type { OpenSpan, Tracing } from '../../../../telemetry/tracing.ts'

const event = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
const ours = '00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01'

type Asked = Parameters<OutgoingRequests['send']>[0]

async function delivered(body: object, options: { readonly isTraced?: boolean; readonly contentType?: string; readonly status?: number } = {}) {
  const { isTraced = false, contentType = 'application/cloudevents+json', status = 200 } = options
  const asked: Asked[] = []
  const ends: (string | undefined)[] = []
  const parents: (string | undefined)[] = []
  const span: OpenSpan = { traceparent: ours, tracestate: '', event: () => {}, end: (problem) => void ends.push(problem) }
  const tracing = {
    webhook: (traceparent: string | undefined) => {
      parents.push(traceparent)
      return isTraced ? span : null
    },
  } as unknown as Tracing
  const requests = {
    send: async (request: Asked) => {
      asked.push(request)
      return { status, headers: {}, body: Buffer.alloc(0) }
    },
  } as unknown as OutgoingRequests
  const target = new WebhookTarget({ requests, url: 'https://hook.example.com/?code=secret', origin: 'events.example.com', timeoutMs: 1000, tracing })
  await target.deliver({ contentType, body: Buffer.from(JSON.stringify(body)) }, {})
  return { header: asked[0]?.headers?.traceparent, state: asked[0]?.headers?.tracestate, ends, parents }
}

test('a request that is traced has its span’s traceparent, and the span ends with the answer', async () => {
  expect(await delivered({ id: '1', traceparent: event }, { isTraced: true })).toEqual({ header: ours, ends: [undefined], parents: [event] })
  expect(await delivered({ id: '1' }, { isTraced: true, status: 503 })).toEqual({ header: ours, ends: ['HTTP 503'], parents: [undefined] })
})

test('one that is not has the event’s own, if that is one', async () => {
  expect((await delivered({ id: '1', traceparent: event })).header).toBe(event)
  for (const body of [{ id: '1' }, { id: '1', traceparent: 'nonsense\r\nx: y' }, { id: '1', data: { traceparent: event } }])
    expect((await delivered(body)).header).toBeUndefined()
})

test('a batch is in no trace', async () => {
  expect((await delivered([{ traceparent: event }], { contentType: 'application/cloudevents-batch+json' })).header).toBeUndefined()
})

test('the event’s tracestate goes with it, in the same trace, if it is in order and there is a trace', async () => {
  for (const isTraced of [true, false]) expect((await delivered({ id: '1', traceparent: event, tracestate: 'vendor=1' }, { isTraced })).state).toBe('vendor=1')
  for (const body of [
    { id: '1', tracestate: 'vendor=1' },
    { id: '1', traceparent: event, tracestate: 'a=\r\nx: y' },
    { id: '1', traceparent: 'nonsense', tracestate: 'vendor=1' },
  ])
    expect((await delivered(body)).state).toBeUndefined()
})
