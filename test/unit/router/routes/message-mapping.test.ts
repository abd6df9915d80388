import { expect, test } from '@jest/globals'
import { publishedType } from '../../../../events/cloud-event.ts'
import { kafkaEvent } from '../../../../events/received-event.ts'
import type { RouteEnrichments, RouteFormat } from '../../../../model/routes.ts'
import { compileMapping } from '../../../../router/routes/message-mapping.ts'
import type { Message } from '../../../../schemas/message.ts'
import { message } from '../../events/messages.ts'
import { route } from './routes.ts'

const published = { specversion: '1.0', id: 'own-1', source: '/doors', type: 'door.opened' }

/** What subscriptions read of what a route writes. */
function readBack(format: RouteFormat, more: Partial<Message>, dynamic: RouteEnrichments['dynamic'] = []): Record<string, unknown> {
  const mapping = compileMapping(route({ format, enrichments: { static: [], dynamic } }), 'ns')
  const { headers, value } = mapping.recordOf(message(more), () => ({})) ?? { headers: [], value: null }
  const read = kafkaEvent(headers, value)
  return 'event' in read ? { ...read.event.attributes, data: read.event.data.kind } : { ...read.problem }
}

test.each([
  ['that is no JSON', { contentType: 'application/cloudevents+json', payload: Buffer.from('{') }],
  ['without a type', { contentType: 'application/cloudevents+json', payload: Buffer.from('{"specversion":"1.0","id":"1","source":"s"}') }],
  ['in a batch', { contentType: 'application/cloudevents-batch+json', payload: Buffer.from(JSON.stringify([published])) }],
  [
    'whose data is called one',
    {
      contentType: 'application/cloudevents+json',
      payload: Buffer.from(JSON.stringify({ ...published, datacontenttype: 'application/cloudevents+json', data: { a: 1 } })),
    },
  ],
])('RT-06 what subscriptions read of an event %s is what the message became, in either form', (_, more) => {
  const binary = readBack('cloudEventsBinary', more)
  expect(binary).toMatchObject({ specversion: '1.0', datacontenttype: more.contentType })
  expect(binary).toEqual(readBack('cloudEventsStructured', more))
})

test.each(['cloudEventsBinary', 'cloudEventsStructured'] as const)(
  'RT-06 no name and no length that a device chooses hides its event from subscriptions: %s',
  (format) => {
    const long = 'x'.repeat(5_000)
    const contentType = 'application/json'
    const attributes = { ...published, subject: long, ['y'.repeat(65)]: 'too long a name' }
    const userProperties = Object.entries(attributes).map(([name, value]) => ({ name, value }))
    expect(readBack(format, { topic: long })).toMatchObject({ type: publishedType, subject: long })
    expect(readBack(format, { userProperties, contentType })).toEqual({
      ...published,
      subject: long,
      time: expect.any(String),
      datacontenttype: contentType,
      data: 'json',
    })
    const enriched = readBack(format, { userProperties: [{ name: 'room', value: long }] }, [{ key: 'room', value: `\${mqtt.message.userProperties.room}` }])
    expect(enriched).toMatchObject({ type: publishedType, room: long })
    const payload = Buffer.from(JSON.stringify(attributes))
    expect(readBack(format, { contentType: 'application/cloudevents+json', payload })).toMatchObject({ type: publishedType })
  },
)
