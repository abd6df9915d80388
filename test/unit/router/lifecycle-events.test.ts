import { expect, test } from '@jest/globals'
import { SessionFold } from '../../../model/session-fold.ts'
import { lifecycleEvents } from '../../../router/lifecycle-events.ts'
import type { AnyRecord } from '../../../schemas/records.ts'
import { attached, detached, sessionEnded, subscribed } from '../model/session-records.ts'

/** The events of a journal; all are told only after all of it was folded, as a successor does. */
function eventsOf(...records: AnyRecord[]) {
  const fold = new SessionFold(2)
  const changes = records.map((record, offset) => fold.apply(offset, record))
  return changes
    .flatMap((all, offset) => all.flatMap((change) => lifecycleEvents('ns', 2, offset, change)))
    .map(({ authenticationName, event }) => ({ authenticationName, ...event, type: event.type.split('.').at(-1), data: JSON.parse(event.data) }))
}

const brief = (events: ReturnType<typeof eventsOf>) => events.map(({ type, time, data }) => [type, time, data.sequenceNumber, data.disconnectionReason])

test('a connection is told with Event Grid’s names, subject and data [LC-01, LC-02]', () => {
  expect(eventsOf(attached('c/1', { authenticationName: 'device', at: 5 }))).toEqual([
    {
      authenticationName: 'device',
      id: 'ns-2-0-c',
      type: 'MQTTClientSessionConnected',
      source: '/namespaces/ns',
      subject: 'clients/device/sessions/c/1',
      time: 5,
      data: { namespaceName: 'ns', clientAuthenticationName: 'device', clientSessionName: 'c/1', sequenceNumber: 1 },
    },
  ])
})

test('each event has the sequence number of its moment, also when it is told later [LC-05]', () => {
  const journal = [
    attached('c', { at: 1 }),
    detached('c', 0, { at: 2 }),
    attached('c', { at: 3 }),
    attached('c', { at: 4 }),
    subscribed('c', 3, 'a'),
    sessionEnded('c', 0, 3, { at: 5, reason: 'SessionOverflow' }),
    attached('c', { at: 6, sessionExpiryInterval: 0 }),
    detached('c', 6, { at: 7, reason: 'ConnectionLost' }),
  ]
  expect(brief(eventsOf(...journal))).toEqual([
    ['MQTTClientSessionConnected', 1, 1, undefined],
    ['MQTTClientSessionDisconnected', 2, 1, 'ClientInitiatedDisconnect'],
    ['MQTTClientSessionConnected', 3, 2, undefined],
    ['MQTTClientSessionDisconnected', 4, 2, 'SessionTakenOver'],
    ['MQTTClientSessionConnected', 4, 3, undefined],
    ['MQTTClientSessionDisconnected', 5, 3, 'SessionOverflow'],
    ['MQTTClientSessionConnected', 6, 4, undefined],
    ['MQTTClientSessionDisconnected', 7, 4, 'ConnectionLost'],
  ])
})

test('a clean takeover is one disconnect and one connect', () => {
  expect(brief(eventsOf(attached('c', { at: 1 }), attached('c', { at: 2, cleanStart: true })))).toEqual([
    ['MQTTClientSessionConnected', 1, 1, undefined],
    ['MQTTClientSessionDisconnected', 2, 1, 'SessionTakenOver'],
    ['MQTTClientSessionConnected', 2, 2, undefined],
  ])
})

test('an expiry without a connection, a refused attach and a subscription are no events', () => {
  expect(eventsOf(attached('c'), detached('c', 0), sessionEnded('c', 0, 0)).length).toBe(2)
  expect(eventsOf(attached('c'), attached('c', { authenticationName: 'thief' }), subscribed('c', 0, 'a')).length).toBe(1)
})

test('ids are unique, and the same when told again', () => {
  const journal = [attached('c'), attached('c'), detached('c', 1)]
  const ids = eventsOf(...journal).map(({ id }) => id)
  expect(new Set(ids).size).toBe(ids.length)
  expect(eventsOf(...journal).map(({ id }) => id)).toEqual(ids)
})
