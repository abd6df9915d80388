import { beforeEach, expect, test } from '@jest/globals'
import { runWhatIf, type WhatIfAnswer } from '../../../inquiry/what-if-run.ts'
import type { ProposedResource } from '../../../model/proposed-registry.ts'
import { attached, detached, sessionEnded, subscribed, subscription, unsubscribed } from '../model/session-records.ts'
import { names, Past } from './past.ts'

let past: Past
beforeEach(async () => {
  past = await new Past().begin()
  await past.register('marker/history', { since: 0, windowMs: 7 * 24 * 3_600_000 })
  for (const name of ['pump', 'screen', 'other']) {
    await past.register(`clients/${name}`, { authenticationName: name, state: 'Enabled', clientCertificateAuthentication: {}, attributes: {} })
  }
  await past.register('topicSpaces/plant', { topicTemplates: ['plant/#'] })
  await past.register('permissionBindings/publish', { clientGroupName: '$all', topicSpaceName: 'plant', permission: 'Publisher' })
  await past.register('permissionBindings/read', { clientGroupName: '$all', topicSpaceName: 'plant', permission: 'Subscriber' })
})

async function connect(clientId: string, filter: Parameters<typeof subscribed>[2], but: Parameters<typeof attached>[1] = {}): Promise<number> {
  const epoch = await past.write('sessions', attached(clientId, { authenticationName: clientId, at: past.now, ...but }))
  await past.write('sessions', subscribed(clientId, epoch, filter))
  return epoch
}

async function ask(proposed: readonly ProposedResource[], asOf: 'now' | 'then' = 'now', from = 0, formerly: readonly number[] = []): Promise<WhatIfAnswer> {
  let last: object = {}
  const range = { from: { kind: 'time', at: from }, to: { kind: 'time', at: Number.MAX_SAFE_INTEGER } } as const
  const options = { log: past.log, topics: names, partitions: 1, formerly, registry: past.registry, asOf, proposed, topicFilter: '#', top: 10 }
  for await (const each of runWhatIf({ ...options, ...range })) last = each
  return last as WhatIfAnswer
}

const noReaders: readonly ProposedResource[] = [{ kind: 'permissionBindings', name: 'read', properties: null }]

test('deliveries are those of the subscriptions that stood when a message was published', async () => {
  await past.publish()
  const epoch = await connect('screen', 'plant/+')
  await past.publish()
  await past.write('sessions', unsubscribed('screen', epoch, 'plant/+'))
  await past.publish()
  await past.write('sessions', subscribed('screen', epoch, 'plant/1'))
  await past.publish()
  await past.write('sessions', sessionEnded('screen', epoch, epoch, { reason: 'Deleted' }))
  await past.publish()
  const { publishes, deliveries } = await ask(noReaders)
  expect(publishes).toMatchObject({ judged: 5, refused: { count: 0 } })
  expect(deliveries).toMatchObject({
    judged: 2,
    lostWithPublish: 0,
    refused: { count: 2, top: [{ authenticationName: 'screen', topic: 'plant/1', count: 2 }] },
  })
})

test('a stretch begins with the sessions that there were', async () => {
  await connect('screen', 'plant/+')
  await past.publish()
  const from = past.now + 1
  await past.publish()
  expect((await ask(noReaders, 'now', from)).deliveries).toMatchObject({ judged: 1, refused: { count: 1 } })
})

test('at QoS 0 nobody without a connection is delivered to, a client does not get its own with No Local, and one copy comes of overlapping filters', async () => {
  const epoch = await connect('screen', 'plant/+')
  await past.write('sessions', subscribed('screen', epoch, 'plant/#'))
  await connect('pump', subscription('plant/#', { noLocal: true }))
  await past.publish({ qos: 0 })
  await past.write('sessions', detached('screen', epoch))
  await past.publish({ qos: 0 })
  await past.publish({ qos: 1 })
  expect((await ask(noReaders)).deliveries).toMatchObject({ judged: 2, refused: { count: 2 } })
})

test('a shared subscription is one delivery, and is refused when no member of it may', async () => {
  await connect('screen', '$share/g/plant/#')
  await connect('other', '$share/g/plant/#')
  await past.publish()
  const disabled = (name: string): ProposedResource => ({
    kind: 'clients',
    name,
    properties: { authenticationName: name, state: 'Disabled', clientCertificateAuthentication: {}, attributes: {} },
  })
  expect((await ask([disabled('screen')])).deliveries).toMatchObject({ judged: 1, refused: { count: 0 } })
  expect((await ask([disabled('screen'), disabled('other')])).deliveries.refused).toMatchObject({ count: 1, top: [{ authenticationName: '$share/g/plant/#' }] })
})

test('what a credential said of a publisher is taken from its session', async () => {
  await past.register('namespace/default', { customJwtAuthentication: { tokenIssuer: 'https://issuer.example' } })
  await past.register('clientGroups/vouched', { query: 'attributes.type = "pump"' })
  const session = await past.write(
    'sessions',
    attached('p', { authenticationName: 'vouched', vouchedBy: 'customJwt', attributes: { type: 'pump' }, at: past.now }),
  )
  await past.publish({ clientId: 'p', authenticationName: 'vouched', session })
  await past.publish({ clientId: 'q', authenticationName: 'unheard', session: 99 })
  const onlyVouched: readonly ProposedResource[] = [
    { kind: 'permissionBindings', name: 'publish', properties: { clientGroupName: 'vouched', topicSpaceName: 'plant', permission: 'Publisher' } },
  ]
  expect((await ask(onlyVouched)).publishes).toMatchObject({ judged: 2, undecided: 1, refused: { count: 0 } })
})

test('the proposal can be held against the registry as it was where the stretch begins', async () => {
  const from = past.now + 1
  await past.publish()
  await past.register('permissionBindings/publish', { clientGroupName: '$all', topicSpaceName: 'nowhere', permission: 'Publisher' })
  expect((await ask(noReaders, 'now', from)).publishes).toMatchObject({ judged: 1, refusedAlready: 1 })
  expect((await ask(noReaders, 'then', from)).publishes).toMatchObject({ judged: 1, refusedAlready: 0, refused: { count: 0 } })
})

test('where the journals no longer hold who was there, publishes are judged and deliveries are said not to be', async () => {
  await connect('screen', 'plant/+')
  await past.publish()
  past.store.truncate(names.sessions, 0, 1)
  const answer = await ask(noReaders)
  expect(answer).toMatchObject({ publishes: { judged: 1 }, deliveries: { judged: 0 }, deliveriesUnknown: 'no history is kept yet' })
})

test('journals of before a change of the number of partitions are not folded from their beginning: sessions that moved stand in two of them', async () => {
  await connect('screen', 'plant/+')
  await past.publish()
  expect((await ask(noReaders)).deliveries).toMatchObject({ judged: 1 })
  expect(await ask(noReaders, 'now', 0, [2])).toMatchObject({ deliveries: { judged: 0 }, deliveriesUnknown: 'no history is kept yet' })
})
