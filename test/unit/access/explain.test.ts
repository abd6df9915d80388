/* biome-ignore-all lint/suspicious/noTemplateCurlyInString: the syntax of templates */
import { expect, test } from '@jest/globals'
import { type ExplainedAction, explain } from '../../../access/explain.ts'
import { viewOf } from './registry.ts'

const allow = (clientGroupName: string, topicSpaceName: string, permission: 'Publisher' | 'Subscriber') => ({ clientGroupName, topicSpaceName, permission })
const machine = (more: object = {}) => ({ clientCertificateAuthentication: {}, attributes: { type: 'machine' }, ...more })

const view = viewOf({
  clients: {
    m1: machine({ authenticationName: 'Press-1' }),
    off: machine({ state: 'Disabled' }),
    boss: { clientCertificateAuthentication: {}, attributes: { type: 'manager' } },
  },
  clientGroups: { machines: { query: 'attributes.type = "machine"' }, managers: { query: 'attributes.type = "manager"' } },
  topicSpaces: {
    telemetry: { topicTemplates: ['unused', 'machines/${client.authenticationName}/#'] },
    lines: { topicTemplates: ['lines/${client.attributes.line}/+'] },
    all: { topicTemplates: ['machines/#'] },
    odd: { topicTemplates: ['halves/a/#'] },
    even: { topicTemplates: ['halves/+'] },
  },
  permissionBindings: {
    'machines-pub': allow('machines', 'telemetry', 'Publisher'),
    'lines-sub': allow('machines', 'lines', 'Subscriber'),
    'managers-sub': allow('managers', 'all', 'Subscriber'),
    'odd-sub': allow('managers', 'odd', 'Subscriber'),
    'even-sub': allow('managers', 'even', 'Subscriber'),
  },
})

test('what is allowed names the binding, group, space and template, by either name of the client', () => {
  for (const name of ['m1', 'press-1']) {
    expect(explain(view, name, 'publish', 'machines/Press-1/temperature')).toMatchObject({
      allowed: true,
      reason: 'the permission binding “machines-pub” allows it',
      client: 'm1',
      authenticationName: 'Press-1',
      groups: ['$all', 'machines'],
      binding: 'machines-pub',
      clientGroup: 'machines',
      topicSpace: 'telemetry',
      template: 'machines/${client.authenticationName}/#',
    })
  }
  expect(explain(view, 'boss', 'subscribe', '$share/g/machines/+/temperature')).toMatchObject({
    allowed: true,
    binding: 'managers-sub',
    template: 'machines/#',
  })
})

test.each<[string, string, ExplainedAction, string, string]>([
  ['a template that is for another', 'm1', 'publish', 'machines/press-1/x', 'its bindings lead to the spaces telemetry, none of whose templates match'],
  ['a group the client is not in', 'm1', 'subscribe', 'machines/#', 'the binding “managers-sub” would, but the client is not in its group “managers”'],
  ['an attribute that is missing', 'm1', 'subscribe', 'lines/a/b', 'a template of the space “lines” has a variable that the client has no usable value for'],
  ['no binding at all', 'boss', 'publish', 'somewhere', 'none is bound to its groups (managers)'],
  ['a reserved topic', 'boss', 'publish', '$SYS/x', 'this topic is the broker’s own'],
  ['a filter wider than what is bound', 'boss', 'subscribe', '#', 'none of whose templates match'],
  ['a disabled client', 'off', 'publish', 'x', 'the client “off” is Disabled'],
  ['a stranger', 'nobody', 'publish', 'x', 'no client has the name or authentication name “nobody”'],
])('what is refused names what is missing: %s', (_title, name, action, topic, reason) => {
  const explanation = explain(view, name, action, topic)
  expect(explanation.allowed).toBe(false)
  expect(explanation.reason).toContain(reason)
  expect(explanation.binding).toBeUndefined()
})

test('what was considered shows each template as it is for this client', () => {
  const { considered } = explain(view, 'm1', 'publish', 'machines/Press-1')
  expect(considered).toEqual([
    {
      binding: 'machines-pub',
      clientGroup: 'machines',
      isMember: true,
      topicSpace: 'telemetry',
      templates: [
        { template: 'unused', filters: ['unused'], matches: false },
        { template: 'machines/${client.authenticationName}/#', filters: ['machines/Press-1/#'], matches: true },
      ],
    },
  ])
})

test('a replay is explained by the bindings with the permission Replayer', () => {
  expect(explain(view, 'boss', 'replay', 'machines/#')).toMatchObject({ allowed: false, considered: [] })
  const own = viewOf({
    clients: { m1: machine() },
    clientGroups: { machines: { query: 'attributes.type = "machine"' } },
    topicSpaces: { all: { topicTemplates: ['machines/#'] } },
    permissionBindings: { past: { clientGroupName: 'machines', topicSpaceName: 'all', permission: 'Replayer' } },
  })
  for (const filter of ['machines/+/x', '$replay/-PT1H/machines/+/x']) {
    expect(explain(own, 'm1', 'replay', filter)).toMatchObject({ allowed: true, binding: 'past', topicSpace: 'all', template: 'machines/#' })
  }
  expect(explain(own, 'm1', 'subscribe', '$replay/-PT1H/machines/1').allowed).toBe(false)
})
