import { expect, test } from '@jest/globals'
import { kafkaEvent } from '../../../../events/received-event.ts'
import { routeFormats } from '../../../../model/routes.ts'
import { compileMapping } from '../../../../router/routes/message-mapping.ts'
import { message } from '../../events/messages.ts'

const published = { specversion: '1.0', id: 'own-1', source: '/doors', type: 'door.opened' }

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
  const [binary, structured] = routeFormats
    .filter((format) => format !== 'raw')
    .map((format) => {
      const mapping = compileMapping({ topicFilters: ['#'], conditions: [], format, enrichments: { static: [], dynamic: [] }, key: 'mqttTopic' }, 'ns')
      const { headers, value } = mapping.recordOf(message(more), () => ({})) ?? { headers: [], value: null }
      const read = kafkaEvent(headers, value)
      return 'event' in read ? { ...read.event.attributes, data: read.event.data.kind } : read
    })
  expect(binary).toMatchObject({ specversion: '1.0', datacontenttype: more.contentType })
  expect(binary).toEqual(structured)
})
