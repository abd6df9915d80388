import { afterEach, beforeEach, expect, test } from '@jest/globals'
import { differenceText } from '../../../cli/at-commands.ts'
import { InboxFold } from '../../../model/inbox-fold.ts'
import { SessionFold } from '../../../model/session-fold.ts'
import { takeCheckpoint } from '../../../router/checkpoint-writer.ts'
import { encodeRecord } from '../../../schemas/codec.ts'
import type { AnyRecord, Records } from '../../../schemas/records.ts'
import { attached, subscribed } from '../model/session-records.ts'
import { ApiHarness, client } from './harness.ts'

let api: ApiHarness

beforeEach(async () => {
  api = await ApiHarness.open({ KAFKA_PARTITIONS: '1', HISTORY_STREAMS_MAX: '1' })
})
afterEach(() => api.close())

/** A time that is after everything before and before everything after. */
async function moment(): Promise<string> {
  const now = Date.now()
  while (Date.now() <= now + 1) await new Promise(setImmediate)
  return new Date(now + 1).toISOString()
}

const rows = async (path: string) => {
  const answer = await api.send('GET', path)
  expect([answer.status, answer.text]).toEqual([200, expect.stringContaining('"end":true')])
  return answer.text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
    .slice(0, -1)
}

async function append(topic: 'sessions' | 'inbox', { name, value }: AnyRecord): Promise<void> {
  const appender = await api.log.appender()
  await appender.write({ topic: api.topics[topic], partition: 0, key: null, value: encodeRecord(name, value as Records[typeof name]), timestamp: Date.now() })
  await appender.close()
}

/** What the owner of a shard that nobody has used yet writes. */
async function checkpoint(): Promise<void> {
  const sessions = new SessionFold(0)
  const write = takeCheckpoint({
    sessions,
    inbox: new InboxFold(0, 1, sessions),
    term: 0,
    retained: [],
    positions: { position: 0, lifecyclePosition: 0, retainedOffsets: [0] },
    now: Date.now(),
  })
  const appender = await api.log.appender()
  const registry = async () => ({ position: 0, digest: '' })
  await write({ appender, log: api.log, topics: api.topics, registry, journaled: async () => {}, now: Date.now })
  await appender.close()
}

test('clients and permissions of any moment are told as they were, and what changed between two', async () => {
  await api.send('PUT', 'clients/pump', { body: client({ attributes: { room: 'a' } }) })
  await api.send('PUT', 'clientGroups/pumps', { body: { query: 'attributes.room = "a"' } })
  await api.send('PUT', 'topicSpaces/all', { body: { topicTemplates: ['pumps/#'] } })
  await api.send('PUT', 'permissionBindings/pumps-all', { body: { clientGroupName: 'pumps', topicSpaceName: 'all', permission: 'Publisher' } })
  const before = await moment()
  await api.send('PUT', 'clients/pump', { body: client({ attributes: { room: 'b' }, state: 'Disabled' }) })
  await api.send('DELETE', 'permissionBindings/pumps-all')
  const after = await moment()
  await api.send('PUT', 'clients/fan', { body: client() })
  expect(await rows(`at/${before}/clients`)).toMatchObject([{ name: 'pump', attributes: { room: 'a' }, state: 'Enabled' }])
  expect(await rows(`at/${after}/clients`)).toMatchObject([{ name: 'pump', attributes: { room: 'b' }, state: 'Disabled' }])
  expect(await rows(`at/-PT0S/clients`)).toMatchObject([{ name: 'fan' }, { name: 'pump' }])
  const bound = { name: 'pumps-all', permission: 'Publisher', clientGroupName: 'pumps', query: 'attributes.room = "a"', topicTemplates: ['pumps/#'] }
  expect(await rows(`at/${before}/permissions`)).toMatchObject([bound])
  expect(await rows(`at/${after}/permissions`)).toEqual([])
  expect(await rows(`diff?from=${before}&to=${after}&kind=permissions`)).toMatchObject([{ kind: 'permissions', change: 'removed', before: bound }])
  const [changed] = await rows(`diff?from=${before}&to=${after}&kind=clients`)
  expect(changed).toMatchObject({ name: 'pump', change: 'changed', before: { state: 'Enabled' }, after: { state: 'Disabled' } })
  expect(differenceText(changed)).toEqual(
    expect.arrayContaining(['~ clients pump', '    state: Enabled → Disabled', '    attributes: {"room":"a"} → {"room":"b"}']),
  )
})

test('groups and topic spaces of any moment are told as they were, and what changed, whether a permission refers to them or not', async () => {
  await api.send('PUT', 'clientGroups/pumps', { body: { query: 'attributes.room = "a"' } })
  await api.send('PUT', 'topicSpaces/all', { body: { topicTemplates: ['pumps/#'], description: 'every pump' } })
  const before = await moment()
  await api.send('PUT', 'clientGroups/pumps', { body: { query: 'attributes.room = "a"', deliveryReceipts: true } })
  await api.send('PUT', 'clientGroups/fans', { body: { query: 'attributes.kind = "fan"' } })
  await api.send('DELETE', 'topicSpaces/all')
  const after = await moment()
  expect(await rows(`at/${before}/groups`)).toContainEqual(expect.objectContaining({ name: 'pumps', query: 'attributes.room = "a"' }))
  expect(await rows(`at/${before}/spaces`)).toContainEqual(expect.objectContaining({ name: 'all', topicTemplates: ['pumps/#'], description: 'every pump' }))
  expect(await rows(`at/${after}/spaces`)).toEqual([])
  const differences = await rows(`diff?from=${before}&to=${after}&kind=groups`)
  expect(differences).toMatchObject([
    { kind: 'groups', name: 'fans', change: 'added', after: { query: 'attributes.kind = "fan"' } },
    { kind: 'groups', name: 'pumps', change: 'changed', after: { deliveryReceipts: true } },
  ])
  expect(differenceText(differences[1])).toContain('    deliveryReceipts: none → true')
  expect(await rows(`diff?from=${before}&to=${after}&kind=spaces`)).toMatchObject([{ kind: 'spaces', name: 'all', change: 'removed' }])
})

test('a password is told of no moment', async () => {
  await api.send('PUT', 'clients/pump', { body: client({ passwordAuthentication: { password: 'correct horse battery' } }) })
  expect(await rows('at/-PT0S/clients')).toHaveLength(1)
  expect((await api.send('GET', 'at/-PT0S/clients')).text).not.toMatch(/scrypt|password(Hash)?":"/)
})

test('sessions, subscriptions and retained messages are folded on from the last checkpoint before the moment', async () => {
  const early = await moment()
  await checkpoint()
  const empty = await moment()
  await append('sessions', attached('pump'))
  const there = await moment()
  await append('sessions', subscribed('pump', 0, 'pumps/#'))
  const entries = [{ topic: 'pumps/1', offset: 5, isCleared: false, receivedAt: 1_000, expiresAt: null, qos: 1, size: 77 }]
  await append('inbox', { name: 'RetainedChanged', value: { shard: 0, term: 0, entries } })
  const later = await moment()
  await append('inbox', { name: 'RetainedChanged', value: { shard: 0, term: 0, entries: [{ ...entries[0]!, offset: 6, isCleared: true }] } })
  expect(await rows(`at/${empty}/sessions`)).toEqual([])
  expect(await rows(`at/${there}/sessions`)).toMatchObject([{ name: 'pump', connected: true, subscriptions: [], queue: { messages: 0 } }])
  expect(await rows(`at/${later}/subscriptions`)).toMatchObject([{ name: 'pump pumps/#', clientId: 'pump', filter: 'pumps/#' }])
  expect(await rows(`at/${later}/retained`)).toEqual([{ name: 'pumps/1', qos: 1, bytes: 77, receivedAt: '1970-01-01T00:00:01.000Z', position: '0:5' }])
  expect(await rows('at/-PT0S/retained')).toEqual([])
  expect((await rows(`diff?from=${empty}&to=${later}`)).map(({ kind, name, change }) => `${change} ${kind} ${name}`)).toEqual([
    'added sessions pump',
    'added subscriptions pump pumps/#',
    'added retained pumps/1',
  ])
  expect(await api.send('GET', `at/${early}/sessions`)).toMatchObject({ status: 410, json: { detail: expect.stringMatching(/history begins at \d{4}-/) } })
})

test('a moment that is none, another kind and another parameter are refused by name; so is one stream too many', async () => {
  expect((await api.send('GET', 'at/yesterday/clients')).json.violations).toMatchObject([{ field: 'time', value: 'yesterday' }])
  expect((await api.send('GET', 'at/-PT1S/queues')).json.violations).toMatchObject([
    { field: 'kind', value: 'queues', rule: expect.stringContaining('retained') },
  ])
  expect((await api.send('GET', 'diff?to=-PT1S')).json.violations).toMatchObject([{ field: 'from' }])
  expect((await api.send('GET', 'diff?from=-PT1S&of=x')).json.violations).toMatchObject([{ field: 'of' }])
  const both = await Promise.all([api.send('GET', 'at/-PT0S/clients'), api.send('GET', 'at/-PT0S/clients')])
  expect(both.map(({ status }) => status).sort()).toEqual([200, 503])
  expect(api.limits).toContain('HISTORY_STREAMS_MAX')
  // Those that were refused have taken no turn.
  expect((await api.send('GET', 'at/-PT0S/clients')).status).toBe(200)
})
