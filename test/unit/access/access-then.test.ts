/* biome-ignore-all lint/suspicious/noTemplateCurlyInString: the syntax of templates */
import { expect, test } from '@jest/globals'
import { AccessThen, accessKnownSince, filtersMax, versionsMax } from '../../../access/access-then.ts'
import { compileRules } from '../../../access/decide.ts'
import { principalOfSession, type SessionIdentity } from '../../../access/principal.ts'
import type { LogRecord } from '../../../log/log.ts'
import { MemoryLog } from '../../../log/memory-log.ts'
import type { HistoryKept } from '../../../model/history-kept.ts'
import { readRegistryRecord } from '../../../model/registry-follower.ts'
import { RegistryView } from '../../../model/registry-view.ts'
import { encodeRecord } from '../../../schemas/codec.ts'
import { Random } from '../../simulation/random.ts'
import { now } from './pki.ts'
import { makeTokenIssuer } from './tokens.ts'

const topic = 'registry'
const issuer = makeTokenIssuer({ now })
const always: HistoryKept = { since: 0, windowMs: Number.POSITIVE_INFINITY }

/** A registry of its own; `put` writes at the time, deletes without properties. */
async function given() {
  const log = new MemoryLog()
  await log.createTopics([{ name: topic, partitions: 1, replication: 1, settings: {} }])
  const appender = await log.appender()
  const put = async (at: number, key: string, properties: object | null): Promise<void> => {
    const [kind = '', name = ''] = key.split(/\/(.*)/)
    const text = JSON.stringify(properties)
    const entry = { kind, name, properties: text, etag: '', createdAt: at, updatedAt: at, by: '' }
    const value = properties && encodeRecord('RegistryEntry', entry)
    await appender.write({ topic, partition: 0, key: Buffer.from(key), value, timestamp: at })
  }
  const accessOf = (identity: SessionIdentity, { kept = always as HistoryKept | null, now = 1e9 } = {}): AccessThen =>
    new AccessThen({ log, topic, identity, kept: () => kept ?? undefined, now: () => now })
  return { log, put, accessOf }
}

const subscriber = (clientGroupName: string, topicSpaceName: string) => ({ clientGroupName, topicSpaceName, permission: 'Subscriber' })
const bystander = { authenticationName: 'pump' }

/** Pumps may read their own line from 200 on, where they are enabled; from 300 on nothing more. */
async function plant() {
  const world = await given()
  const { put } = world
  await put(100, 'clients/p', { authenticationName: 'Pump', attributes: { type: 'pump', line: 'a' }, state: 'Enabled' })
  await put(100, 'clientGroups/pumps', { query: 'attributes.type = "pump"' })
  await put(100, 'topicSpaces/own', { topicTemplates: ['line/${client.attributes.line}/#'] })
  await put(200, 'permissionBindings/read', subscriber('pumps', 'own'))
  await put(300, 'permissionBindings/read', null)
  return world
}

test('a topic could be read from the record that allowed it on, and to the one that ended it', async () => {
  const { accessOf } = await plant()
  const access = accessOf(bystander)
  await access.fold()
  const when = (name: string) => [100, 200, 201, 300, 301].map((at) => access.allows(name, at))
  // A message of the same millisecond as a record came before it, as a moment has it.
  expect(when('line/a/1')).toEqual([false, false, true, true, false])
  expect(when('line/b/1')).toEqual([false, false, false, false, false])
})

test('who it was counts as well: attributes and state of then, by whatever name the resource goes', async () => {
  const { put, accessOf } = await plant()
  await put(400, 'permissionBindings/read', subscriber('pumps', 'own'))
  await put(500, 'clients/p', { authenticationName: 'Pump', attributes: { type: 'pump', line: 'b' }, state: 'Enabled' })
  await put(600, 'clients/p', { authenticationName: 'Pump', attributes: { type: 'pump', line: 'b' }, state: 'Disabled' })
  await put(700, 'clients/p', { authenticationName: 'Other', attributes: { type: 'pump', line: 'b' }, state: 'Enabled' })
  await put(800, 'clients/PUMP', { attributes: { type: 'pump', line: 'c' }, state: 'Enabled' })
  await put(900, 'clients/PUMP', null)
  const access = accessOf(bystander)
  await access.fold()
  const lines = [450, 550, 650, 750, 850, 950].map((at) => ['a', 'b', 'c'].filter((line) => access.allows(`line/${line}/1`, at)).join())
  expect(lines).toEqual(['a', 'b', '', '', 'c', ''])
})

test('attributes that came with a token are those of the session, as long as its issuer was trusted', async () => {
  const { put, accessOf } = await plant()
  await put(400, 'permissionBindings/read', subscriber('pumps', 'own'))
  const customJwtAuthentication = {
    tokenIssuer: issuer.tokenIssuer,
    encodedIssuerCertificates: [{ kid: issuer.kid, encodedCertificate: issuer.encodedCertificate }],
  }
  await put(500, 'namespace/default', { topicSpacesConfiguration: { clientAuthentication: { customJwtAuthentication } } })
  const access = accessOf({ authenticationName: 'guest', vouchedBy: 'customJwt', attributes: { type: 'pump', line: 'z' } })
  await access.fold()
  expect([450, 550].map((at) => access.allows('line/z/1', at))).toEqual([false, true])
})

test('it is folded once, and on from there', async () => {
  const { log, put, accessOf } = await plant()
  const asked: number[] = []
  const read = log.read.bind(log)
  log.read = (...given) => {
    asked.push(given[2])
    return read(...given)
  }
  const access = accessOf(bystander, { now: 350 })
  await access.fold()
  expect([access.reaches(349), access.reaches(350), asked]).toEqual([true, false, [0]])
  await put(400, 'permissionBindings/read', subscriber('pumps', 'own'))
  await access.fold()
  expect([asked, access.allows('line/a/1', 401), access.allows('line/a/1', 250)]).toEqual([[0, 5], true, true])
})

test('from before the registry’s history nothing is allowed, and without one nothing at all', async () => {
  const { accessOf } = await plant()
  const access = accessOf(bystander, { kept: { since: 250, windowMs: Number.POSITIVE_INFINITY } })
  await access.fold()
  expect([access.since, access.allows('line/a/1', 249), access.allows('line/a/1', 250)]).toEqual([250, false, true])
  const never = accessOf(bystander, { kept: null })
  await never.fold()
  expect([never.since, never.allows('line/a/1', 250)]).toEqual([Number.POSITIVE_INFINITY, false])
  expect([accessKnownSince(undefined, 5), accessKnownSince({ since: 1, windowMs: 2 }, 5)]).toEqual([null, 3])
})

test('of more changes than it keeps the oldest count as not known', async () => {
  const { put, accessOf } = await plant()
  const changes = versionsMax + 10
  for (let i = 0; i < changes; i++) await put(1_000 + i * 10, 'permissionBindings/read', i % 2 === 0 ? subscriber('pumps', 'own') : null)
  const access = accessOf(bystander)
  await access.fold()
  const first = 1_000 + (changes - versionsMax) * 10
  expect(access.since).toBe(first + 1)
  const told = [first - 15, first + 5, first + 15, 1_000 + changes * 10].map((at) => access.allows('line/a/1', at))
  expect(told).toEqual([false, true, false, false])
})

test('of more topic filters than it keeps the oldest changes count as not known, the newest never', async () => {
  const { put, accessOf } = await plant()
  const bind = (at: number) => put(at, 'permissionBindings/read', subscriber('pumps', 'own'))
  const templates = (count: number, name: string) => ({ topicTemplates: Array.from({ length: count }, (_, i) => `${name}/${i}`) })
  await bind(400)
  await put(500, 'topicSpaces/own', templates(filtersMax / 2, 'x'))
  await put(600, 'topicSpaces/own', templates(filtersMax / 2, 'y'))
  const access = accessOf(bystander)
  await access.fold()
  expect([access.since, access.allows('x/1', 550), access.allows('y/1', 650)]).toEqual([501, true, true])
  await put(700, 'topicSpaces/own', templates(filtersMax + 1, 'z'))
  await access.fold()
  expect([access.since, access.allows('y/1', 650), access.allows('z/1', 750)]).toEqual([701, false, true])
})

test('changes of others’ rights take no room: the same is one version, however often the registry changed', async () => {
  const { put, accessOf } = await plant()
  await put(400, 'permissionBindings/read', subscriber('pumps', 'own'))
  for (let i = 0; i < versionsMax + 10; i++) await put(1_000 + i, 'permissionBindings/other', i % 2 === 0 ? subscriber('others', 'own') : null)
  const access = accessOf(bystander)
  await access.fold()
  expect([access.since, access.allows('line/a/1', 250), access.allows('line/a/1', 1_500)]).toEqual([0, true, true])
})

test('two topics are not one with a line break in its name: whoever had those may not read this one’s past, nor the other way around', async () => {
  const { put, accessOf } = await given()
  await put(100, 'clients/p', { authenticationName: 'pump', attributes: {}, state: 'Enabled' })
  await put(100, 'permissionBindings/read', subscriber('$all', 'own'))
  await put(100, 'topicSpaces/own', { topicTemplates: ['a', 'b'] })
  await put(200, 'topicSpaces/own', { topicTemplates: ['a\nb'] })
  const access = accessOf(bystander)
  await access.fold()
  expect([150, 250].map((at) => ['a', 'a\nb'].filter((name) => access.allows(name, at)))).toEqual([['a'], ['a\nb']])
})

test.each([1, 2, 3, 4, 5])('seed %d: it says of every moment what the whole registry folded up to there says', async (seed) => {
  const random = new Random(seed)
  const { log, put, accessOf } = await given()
  const changes = [
    () => put(at, `clients/c${random.below(2)}`, random.chance(0.2) ? null : client()),
    () => put(at, `clientGroups/g${random.below(2)}`, random.chance(0.2) ? null : { query: `attributes.type = "${random.pick(['x', 'y'])}"` }),
    () =>
      put(
        at,
        `topicSpaces/s${random.below(2)}`,
        random.chance(0.2) ? null : { topicTemplates: [random.pick(['a/#', 'b/+', '${client.authenticationName}/1'])] },
      ),
    () => put(at, `permissionBindings/b${random.below(3)}`, random.chance(0.2) ? null : subscriber(random.pick(['g0', 'g1', '$all']), `s${random.below(2)}`)),
    () =>
      put(at, `permissionBindings/b${random.below(3)}`, {
        clientGroupName: '$anonymous',
        topicSpaceName: 's0',
        permission: random.pick(['Subscriber', 'Replayer']),
      }),
    () => put(at, 'clientGroups/$anonymous', random.chance(0.5) ? null : {}),
  ]
  const client = () => ({
    authenticationName: random.pick(['pump', 'Pump', 'other']),
    attributes: { type: random.pick(['x', 'y']) },
    state: random.pick(['Enabled', 'Enabled', 'Disabled']),
  })
  let at = 0
  const access = accessOf(bystander)
  for (let i = 0; i < 200; i++) {
    // Now and then two of the same millisecond, or a clock that steps back.
    at = Math.max(0, at + random.below(4) - 1)
    await random.pick(changes)()
    if (random.chance(0.1)) await access.fold()
  }
  await access.fold()
  const records = (await log.read(topic, 0, 0, 1e7)).records as readonly LogRecord[]
  for (let moment = 0; moment < at + 3; moment++) {
    const view = new RegistryView()
    for (const record of records) {
      if (record.timestamp >= moment) break
      view.apply(readRegistryRecord(record))
    }
    const principal = principalOfSession(view, bystander)
    for (const name of ['a/1', 'b/1', 'pump/1', 'Pump/1']) {
      const expected = principal !== undefined && compileRules(view).maySubscribe(principal, name).allowed
      expect({ moment, name, allowed: access.allows(name, moment) }).toEqual({ moment, name, allowed: expected })
    }
  }
})
