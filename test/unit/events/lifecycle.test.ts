/** Life cycle records as CloudEvents, and quick changes of a client told as one. */
import { expect, test } from '@jest/globals'
import { collapse } from '../../../events/lifecycle-collapse.ts'
import { lifecycleCloudEvent, sourceOf } from '../../../events/lifecycle-event.ts'
import type { LifecycleEvent } from '../../../schemas/event-records.ts'

const record = (more: Partial<LifecycleEvent> = {}): LifecycleEvent => ({
  id: 'factory-2-17-c',
  type: 'Microsoft.EventGrid.MQTTClientSessionConnected',
  source: 'factory',
  subject: 'clients/device-1/sessions/device-1',
  time: Date.UTC(2026, 0, 2, 3, 4, 5, 6),
  data: '{"namespaceName":"factory","clientAuthenticationName":"device-1","clientSessionName":"device-1","sequenceNumber":1}',
  ...more,
})

test('LC-01 a life cycle record is a CloudEvent with Event Grid’s envelope: a GUID, the time of its detection, and the namespace as its source', () => {
  const event = lifecycleCloudEvent(record(), '/namespaces/factory')
  expect(event?.attributes).toEqual({
    specversion: '1.0',
    id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/),
    time: '2026-01-02T03:04:05.006Z',
    type: 'Microsoft.EventGrid.MQTTClientSessionConnected',
    source: '/namespaces/factory',
    subject: 'clients/device-1/sessions/device-1',
  })
  expect(event?.data.value()).toEqual({ namespaceName: 'factory', clientAuthenticationName: 'device-1', clientSessionName: 'device-1', sequenceNumber: 1 })
})

test('LC-06 an event that is written twice has one id; another record, another time or another namespace has another', () => {
  const id = (more: Partial<LifecycleEvent> = {}, source = 's') => lifecycleCloudEvent(record(more), source)?.attributes.id
  expect(id()).toBe(id())
  expect(new Set([id(), id({ id: 'factory-2-17-d' }), id({ time: 1 }), id({}, 't')]).size).toBe(4)
})

test('what else stands in lifecycle is no event of a client’s life', () => {
  for (const type of ['Loggerhead.RegistryResourceChanged', 'Loggerhead.ConnectRefused']) expect(lifecycleCloudEvent(record({ type }), 's')).toBeUndefined()
})

test('the source is the namespace’s path, or what the deployment says with its name in it', () => {
  expect(sourceOf('', 'factory')).toBe('/namespaces/factory')
  expect(sourceOf('/subscriptions/1/resourceGroups/g/providers/Microsoft.EventGrid/namespaces/{namespace}', 'factory')).toBe(
    '/subscriptions/1/resourceGroups/g/providers/Microsoft.EventGrid/namespaces/factory',
  )
})

const change = (name: string, seconds: number, isDeleted = false) => ({
  name: `${name}@${seconds}${isDeleted ? ' deleted' : ''}`,
  event: record({
    type: `Microsoft.EventGrid.${isDeleted ? 'MQTTClientDeleted' : 'MQTTClientCreatedOrUpdated'}`,
    subject: `clients/${name}`,
    time: seconds * 1000,
  }),
})
const session = (seconds: number) => ({ name: `session@${seconds}`, event: record({ time: seconds * 1000 }) })
const told = (now: number, ...records: readonly (ReturnType<typeof change> | { readonly name: string; readonly event: undefined })[]) => {
  const { told: all, decided, until } = collapse(records, now * 1000)
  return { told: all.map(({ name }) => name), decided, until: until / 1000 }
}

test('LC-07 a creation and updates within 3 s are one event with the final state, a creation and a deletion within 5 s one deletion', () => {
  expect(told(60, change('a', 0), change('a', 1), change('a', 3))).toEqual({ told: ['a@3'], decided: 3, until: Number.POSITIVE_INFINITY })
  expect(told(60, change('a', 0), change('a', 5, true)).told).toEqual(['a@5 deleted'])
  expect(told(60, change('a', 0), change('a', 2), change('a', 4, true)).told).toEqual(['a@4 deleted'])
  expect(told(60, change('a', 0, true), change('a', 1)).told).toEqual(['a@1'])
})

test('LC-07 what comes later is told by itself, and changes that go on for ever are told every 3 s', () => {
  expect(told(60, change('a', 0), change('a', 3.001)).told).toEqual(['a@0', 'a@3.001'])
  expect(told(60, change('a', 0), change('a', 5.001, true)).told).toEqual(['a@0', 'a@5.001 deleted'])
  expect(told(60, ...Array.from({ length: 9 }, (_, i) => change('a', i))).told).toEqual(['a@3', 'a@7', 'a@8'])
})

test('LC-07 changes of more clients than a call takes arguments wait for their time together', () => {
  const records = Array.from({ length: 150_000 }, (_, i) => change(`c${i}`, 10))
  expect(collapse(records, 11_000)).toEqual({ told: [], decided: 0, until: 15_000 })
})

test('LC-07 clients are told apart, and events of sessions are not collapsed', () => {
  expect(told(60, change('a', 0), session(0), change('b', 1), session(0), change('a', 1)).told).toEqual(['session@0', 'b@1', 'session@0', 'a@1'])
})

test('LC-07 what may still be changed waits, and all behind it; what stands before it does not', () => {
  const records = [session(0), change('a', 1), session(2), change('a', 2)]
  expect(told(5.9, ...records)).toEqual({ told: ['session@0'], decided: 1, until: 6 })
  expect(told(6.001, ...records)).toEqual({ told: ['session@0', 'session@2', 'a@2'], decided: 4, until: Number.POSITIVE_INFINITY })
})

test('a stretch that is cut anywhere tells of every client its last state', () => {
  const records = [change('a', 0), change('b', 1), change('a', 2), session(3), change('b', 4, true), change('a', 5), change('a', 9)]
  for (let cut = 0; cut <= records.length; cut++) {
    const names = [...told(60, ...records.slice(0, cut)).told, ...told(60, ...records.slice(cut)).told]
    expect([cut, names.filter((name) => name.startsWith('a')).at(-1), names.filter((name) => name.startsWith('b')).at(-1)]).toEqual([cut, 'a@9', 'b@4 deleted'])
  }
})

test('a record that cannot be read, or of a clock that is wrong, holds up nothing', () => {
  expect(told(10, { name: 'unreadable', event: undefined }, session(1))).toMatchObject({ told: ['session@1'], decided: 2 })
  expect(told(10, change('a', 3_600))).toMatchObject({ told: ['a@3600'], decided: 1 })
})
