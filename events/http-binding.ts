/** CloudEvents in HTTP requests: structured mode, one event or a batch (CloudEvents HTTP binding 3.2 and 3.3). */

export interface HttpContent {
  readonly contentType: string
  readonly body: Buffer
}

const open = Buffer.from('[')
const comma = Buffer.from(',')
const close = Buffer.from(']')

/** One event, given in the JSON format. */
export function structuredContent(event: Buffer): HttpContent {
  return { contentType: 'application/cloudevents+json; charset=utf-8', body: event }
}

/** Any number of events, given in the JSON format, in their order. */
export function batchContent(events: readonly Buffer[]): HttpContent {
  const parts = events.flatMap((event, index) => (index === 0 ? [event] : [comma, event]))
  return { contentType: 'application/cloudevents-batch+json; charset=utf-8', body: Buffer.concat([open, ...parts, close]) }
}
