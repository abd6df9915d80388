import { expect, test } from '@jest/globals'
import { route } from '../../../door/routes.ts'

test.each([
  ['/namespaces/default/clients/a', 'registry'],
  ['/namespaces', 'registry'],
  ['/namespaces/default/topicSpaces/a?api-version=1', 'registry'],
  ['/namespaces/default:explain', 'registry'],
  ['/namespaces/default/sessions/a%2Fb:disconnect', 'registry'],
  ['/openapi.json', 'registry'],
  ['/mqtt/messages?topic=a%2Fb', 'gateway'],
  ['/mqtt/retainedMessages', 'gateway'],
  ['/topics/orders:publish?api-version=2024-06-01', 'gateway'],
  ['/topics/orders/eventsubscriptions/one:receive', 'router'],
  ['/topics/orders/eventSubscriptions/one:acknowledge', 'router'],
])('%s goes to the %s', (target, hop) => {
  expect(route(target)).toEqual({ to: 'hop', hop })
})

test.each([
  ['/healthz', 'health'],
  ['/healthz?verbose', 'health'],
  ['/metrics', 'metrics'],
])('%s is answered here', (target, to) => {
  expect(route(target)).toEqual({ to })
})

test.each(['/', '/status', '/namespacesX', '/mqtt', '/topics/orders', '/topics/a/b:publish', '/metrics/x'])('%s is nothing', (target) => {
  expect(route(target)).toMatchObject({ to: 'refused', status: 404 })
})

test.each(['/namespaces/../status', '/mqtt/%2e%2E/metrics', '/mqtt/./x', '/namespaces\\..\\status', 'http://other/namespaces', '*', ''])(
  'a target that could mean something else to a service behind is refused: %s',
  (target) => {
    expect(route(target)).toMatchObject({ to: 'refused', status: 400 })
  },
)

test('a bulk import streams: the door neither bounds nor holds its body', () => {
  expect(route('/namespaces/default/clients:import?dryRun=true')).toEqual({ to: 'hop', hop: 'registry', streams: true })
  expect(route('/namespaces/default/clients')).toEqual({ to: 'hop', hop: 'registry' })
})
