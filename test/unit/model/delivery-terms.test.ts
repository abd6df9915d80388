import { expect, test } from '@jest/globals'
import { deliveryTerms } from '../../../model/delivery-terms.ts'
import { sessionOf } from '../router/sessions.ts'
import { subscription } from './session-records.ts'

const session = sessionOf('me')
const message = { clientId: 'other', qos: 1, retain: true } as const

test('overlapping subscriptions give one copy at the highest granted QoS with all their identifiers [MQTT-3.3.4-2, -3]', () => {
  const terms = deliveryTerms(
    session,
    [subscription('a', { qos: 0, subscriptionIdentifier: 3 }), subscription('+', { qos: 2, subscriptionIdentifier: 9 }), subscription('#')],
    { ...message, qos: 2 },
  )
  expect(terms).toEqual({ qos: 2, retain: false, subscriptionIdentifiers: [3, 9] })
})

test('the message’s QoS is the ceiling', () => {
  expect(deliveryTerms(session, [subscription('a', { qos: 2 })], message)?.qos).toBe(1)
})

test('retain is kept when any matching subscription asks for it, and only on retained messages', () => {
  const asPublished = [subscription('a'), subscription('+', { retainAsPublished: true })]
  expect(deliveryTerms(session, asPublished, message)?.retain).toBe(true)
  expect(deliveryTerms(session, asPublished, { ...message, retain: false })?.retain).toBe(false)
})

test('one’s own message does not come back by No Local, but does by another subscription, on that one’s terms [MQTT-3.8.3-3]', () => {
  const noLocal = subscription('a', { noLocal: true, qos: 2, subscriptionIdentifier: 1 })
  const own = { ...message, clientId: 'me' }
  expect(deliveryTerms(session, [noLocal], own)).toBeUndefined()
  expect(deliveryTerms(session, [noLocal, subscription('#', { qos: 0 })], own)).toEqual({ qos: 0, retain: false, subscriptionIdentifiers: [] })
  expect(deliveryTerms(session, [noLocal], message)?.qos).toBe(1)
})
