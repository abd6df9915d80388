import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from '@jest/globals'
import { partitionOf } from '../../../log/partitioner.ts'
import { SessionFold } from '../../../model/session-fold.ts'
import { pageOfSessions } from '../../../router/session-report.ts'
import { SessionsApi } from '../../../router/sessions-api.ts'
import { decodeRecord } from '../../../schemas/codec.ts'
import type { AnyRecord } from '../../../schemas/records.ts'
import { attached, detached, subscribed } from '../model/session-records.ts'
import { owe } from './sessions.ts'

const shards = 4
let server: Server | undefined
afterEach(() => {
  server?.close()
})

/** Folds of all shards, of which the router owns some; what is appended is folded. */
async function given(owned: readonly number[], ...records: AnyRecord[]) {
  const folds = Array.from({ length: shards }, (_, shard) => new SessionFold(shard))
  const apply = (record: AnyRecord): void => {
    const fold = folds[partitionOf((record.value as { clientId: string }).clientId, shards)] as SessionFold
    fold.apply(fold.position, record)
  }
  for (const record of records) apply(record)
  const written: AnyRecord[] = []
  const decided: string[] = []
  const before: { meanwhile?: AnyRecord; inTheLog?: AnyRecord } = {}
  const api = new SessionsApi({
    folds,
    catchUp: async () => {
      if (before.inTheLog) apply(before.inTheLog)
    },
    termOf: (shard) => (owned.includes(shard) ? 5 : undefined),
    append: async (_shard, _clientId, value) => {
      if (before.meanwhile) apply(before.meanwhile)
      const record = decodeRecord(value)
      written.push(record)
      apply(record)
    },
    now: () => 9_000,
    key: 'internal',
    onDecided: (by, clientId, what) => decided.push(`${by} ${clientId} ${what}`),
  })
  server = createServer((request, response) => {
    if (!api.handle(request, response)) response.writeHead(418).end()
  })
  await new Promise<void>((resolve) => server!.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const send = async (method: string, path: string, key = 'internal') => {
    const answer = await fetch(`${url}${path}`, { method, headers: { authorization: `Bearer ${key}`, 'x-loggerhead-by': 'api-key' } })
    const text = await answer.text()
    return { status: answer.status, body: text === '' ? undefined : JSON.parse(text) }
  }
  return { folds, send, written, decided, before, session: (clientId: string) => folds[partitionOf(clientId, shards)]!.sessions.get(clientId)! }
}

const all = [0, 1, 2, 3]

test('what the log holds when it is asked is in the answer, read by the folds already or not', async () => {
  const { send, before } = await given(all, attached('a'))
  before.inTheLog = subscribed('a', 0, 't/#')
  expect((await send('GET', '/sessions/a')).body).toMatchObject({ subscriptions: [{ filter: 't/#' }] })
})

test('a session is told with its connection, subscriptions and, by the owner of its shard, its queue', async () => {
  const { send, session } = await given(all, attached('a'), subscribed('a', 0, 't/#'))
  owe(session('a'), 1, 2, 3)
  session('a').queue.sent = 2
  expect((await send('GET', '/sessions/a')).body).toMatchObject({
    clientId: 'a',
    isOwner: true,
    authenticationName: 'device',
    connected: true,
    gateway: 'g',
    remoteAddress: '127.0.0.1',
    subscriptions: [{ filter: 't/#', qos: 1 }],
    queue: { messages: 3, bytes: 30, inFlight: 2, oldestAt: '1970-01-01T00:00:01.000Z' },
  })
})

test('a router that does not own the shard tells what the fold of sessions knows, and nothing of queues', async () => {
  const { send } = await given([], attached('a'), detached('a', 0))
  expect((await send('GET', '/sessions/a')).body).toMatchObject({ isOwner: false, connected: false, disconnectedAt: expect.any(String) })
  expect((await send('GET', '/sessions/a')).body.queue).toBeUndefined()
  expect((await send('DELETE', '/sessions/a')).status).toBe(421)
})

test('ending a session is a record of the owner first, and answered once the fold holds it', async () => {
  const { send, written, decided, session } = await given(all, attached('a/b c'))
  expect((await send('DELETE', '/sessions/a%2Fb%20c')).status).toBe(204)
  expect(written).toMatchObject([{ name: 'SessionEnded', value: { clientId: 'a/b c', session: 0, epoch: 0, at: 9_000, reason: 'Deleted', term: 5 } }])
  expect([session('a/b c').isOver, decided]).toEqual([true, ['api-key a/b c ended']])
  expect((await send('DELETE', '/sessions/a%2Fb%20c')).status).toBe(404)
})

test('disconnecting takes the connection and leaves the session', async () => {
  const { send, written, session } = await given(all, attached('a'), subscribed('a', 0, 't'))
  expect((await send('POST', '/sessions/a/disconnect')).status).toBe(204)
  expect(written).toMatchObject([{ name: 'Detached', value: { epoch: 0, reason: 'ServerInitiatedDisconnect', reasonCode: 0x98, by: 'router' } }])
  expect([session('a').attached, session('a').isOver, session('a').subscriptions.size]).toEqual([null, false, 1])
  expect((await send('POST', '/sessions/a/disconnect')).status).toBe(409)
})

test('invariant 6: a connection that came in between is not the one that was meant', async () => {
  const { send, before, session, decided } = await given(all, attached('a'))
  before.meanwhile = attached('a', { connection: 2 })
  expect((await send('DELETE', '/sessions/a')).status).toBe(409)
  expect([session('a').isOver, session('a').attached?.connection, decided]).toEqual([false, 2, []])
})

test('without the key of the services nothing is told or done', async () => {
  const { send, session } = await given(all, attached('a'))
  for (const [method, path] of [
    ['GET', '/sessions'],
    ['GET', '/sessions/a'],
    ['DELETE', '/sessions/a'],
    ['POST', '/sessions/a/disconnect'],
  ] as const)
    expect((await send(method, path, 'other')).status).toBe(401)
  expect(session('a').attached).not.toBeNull()
  expect((await send('PUT', '/sessions/a')).status).toBe(405)
  expect((await send('GET', '/status')).status).toBe(418)
  expect((await send('GET', '//')).status).toBe(418)
})

test('pages are in the order of client ids over all shards, each session once, with what was asked for', async () => {
  const names = Array.from({ length: 50 }, (_, i) => `c${String(i).padStart(2, '0')}`)
  const shuffled = names.toSorted((a, b) => (partitionOf(a, 97) < partitionOf(b, 97) ? -1 : 1))
  const { folds, send } = await given(
    all,
    ...shuffled.map((name, i) => attached(name, { authenticationName: i % 2 === 0 ? 'even' : 'odd' })),
    detached(names[7]!, 999),
  )
  const walked: string[] = []
  for (let after = ''; ; after = walked.at(-1)!) {
    const page = await pageOfSessions(folds, { after, top: 7 })
    walked.push(...page.map(({ clientId }) => clientId))
    if (page.length < 7) break
  }
  expect(walked).toEqual(names)
  expect(await pageOfSessions(folds, { after: '', top: 100, connected: false })).toEqual([])
  expect(await pageOfSessions(folds, { after: '', top: 100, authenticationName: 'odd' })).toHaveLength(25)
  expect((await send('GET', '/sessions?top=2&after=c03')).body.sessions.map(({ clientId }: { clientId: string }) => clientId)).toEqual(['c04', 'c05'])
})
