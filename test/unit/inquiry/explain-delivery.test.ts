/** Every answer that explain-delivery can give, each from a log in memory that says so. */
import { beforeEach, expect, test } from '@jest/globals'
import { BeforeHistory } from '../../../history/before-history.ts'
import { momentOf } from '../../../history/moment.ts'
import { shardAt } from '../../../history/past-shard.ts'
import { explainDelivery, messageNamed, NoSuchMessage } from '../../../inquiry/explain-delivery.ts'
import type { Stretch } from '../../../log/log.ts'
import { MemoryLog, type MemoryStore } from '../../../log/memory-log.ts'
import { partitionOf } from '../../../log/partitioner.ts'
import { encodeRecord } from '../../../schemas/codec.ts'
import type { Receipt } from '../../../schemas/evidence-records.ts'
import type { Replayed } from '../../../schemas/inbox-records.ts'
import type { AnyRecord } from '../../../schemas/records.ts'
import type { SessionState } from '../../../schemas/snapshot-records.ts'
import {
  acknowledged,
  attached,
  detached,
  dropped,
  entry,
  indexed,
  receiver,
  sessionEnded,
  subscribed,
  subscription,
  unsubscribed,
} from '../model/session-records.ts'
import { names, Past } from './past.ts'

/** Retention removes the checkpoints at the read of them with this number. */
class OvertakenLog extends MemoryLog {
  readonly #store: MemoryStore
  #left: number

  constructor(store: MemoryStore, overtaken: number) {
    super(store)
    this.#store = store
    this.#left = overtaken
  }

  override read(topic: string, ...rest: [number, number]): Promise<Stretch> {
    if (topic === names.checkpoints && --this.#left === 0) this.#store.truncate(topic, 0, Number.POSITIVE_INFINITY)
    return super.read(topic, ...rest)
  }
}

let past: Past
beforeEach(async () => {
  past = await new Past().begin()
})

/** A persistent session of `screen` with a subscription. */
async function subscribe(filter: Parameters<typeof subscribed>[2] = 'plant/#', but: Parameters<typeof attached>[1] = {}): Promise<number> {
  const session = await past.write('sessions', attached('screen', { at: past.now, ...but }))
  await past.write('sessions', subscribed('screen', session, filter))
  return session
}

const owed = async (session: number, offset: number, but = {}): Promise<number> =>
  past.write('inbox', indexed(offset, offset + 1, [entry(offset, receiver('screen', session, but))], { sessionsOffset: 100 }))

const proof = ({ evidence }: Awaited<ReturnType<Past['ask']>>) => evidence.map(({ what, topic, offset }) => `${topic.split('.').at(-1)} ${offset} ${what}`)

test('acknowledged: the queue tells, with the records of both', async () => {
  const session = await subscribe()
  const at = await past.publish()
  const into = await owed(session, at)
  const done = await past.write('inbox', acknowledged('screen', session, 1))
  const answer = await past.ask(at)
  expect([answer.outcome, answer.reasons]).toEqual(['acknowledged', []])
  expect(answer.message).toMatchObject({ position: `0:${at}`, topic: 'plant/1', publisher: 'pump', id: '01'.repeat(16) })
  expect(proof(answer)).toEqual([`messages ${at} published`, `inbox ${into} put into the session’s queue, as its number 0`, `inbox ${done} acknowledged`])
  expect(answer.subscriptions).toEqual([expect.objectContaining({ filter: 'plant/#', qos: 1, since: expect.objectContaining({ offset: 1 }) })])
})

test('waiting, then inFlight: what a queue holds, and what was sent of it', async () => {
  const session = await subscribe()
  const at = await past.publish()
  await owed(session, at)
  expect((await past.ask(at)).outcome).toBe('waiting')
  await past.write('inbox', acknowledged('screen', session, 0, [], 1))
  expect((await past.ask(at)).outcome).toBe('inFlight')
})

test('inFlight: received at QoS 2, and not completed', async () => {
  const session = await subscribe()
  const at = await past.publish({ qos: 2 })
  await owed(session, at, { qos: 2 })
  const sessions = [{ clientId: 'screen', session, cursor: 0, above: [], sent: 1, received: [0] }]
  await past.write('inbox', { name: 'Acknowledged', value: { shard: 0, term: 0, sessions } })
  expect(await past.ask(at)).toMatchObject({ outcome: 'inFlight', reasons: [expect.stringContaining('PUBREC')] })
})

test('dropped: with the reason, be it that it expired, was too old, or that nobody may read it any more', async () => {
  const session = await subscribe()
  const at = await past.publish()
  await owed(session, at)
  await past.write('inbox', dropped('screen', session, [0]))
  expect(await past.ask(at)).toMatchObject({
    outcome: 'dropped',
    reason: 'expired',
    evidence: expect.arrayContaining([expect.objectContaining({ what: 'dropped: expired' })]),
  })
})

test('sessionEnded: the session was over before it was acknowledged, and how is told', async () => {
  const session = await subscribe()
  const at = await past.publish()
  await owed(session, at)
  await past.write('sessions', sessionEnded('screen', session, session, { reason: 'SessionOverflow' }))
  expect(await past.ask(at)).toMatchObject({ outcome: 'sessionEnded', reason: 'SessionOverflow' })
})

test('noSubscription: what nearly matched, and what was subscribed before and after', async () => {
  const session = await subscribe('plant/2/#')
  await past.write('sessions', subscribed('screen', session, 'plant/1'))
  await past.write('sessions', unsubscribed('screen', session, 'plant/1'))
  const at = await past.publish()
  await past.matched(at + 1)
  await past.write('sessions', subscribed('screen', session, 'plant/+'))
  const answer = await past.ask(at)
  expect(answer.outcome).toBe('noSubscription')
  expect(answer.nearest).toEqual([{ filter: 'plant/2/#', qos: 1 }])
  expect(answer.reasons).toEqual([
    expect.stringMatching(/^its subscription plant\/1 had ended at /),
    expect.stringMatching(/^its subscription plant\/\+ began at /),
  ])
  expect(answer.permission).toMatchObject({ allowed: false })
})

const refusedSubscribe = (name: string): AnyRecord => {
  const data = JSON.stringify({ clientAuthenticationName: name, topic: 'plant/#', reasonCode: 0x87, more: 0 })
  return { name: 'LifecycleEvent', value: { id: '1', type: 'Loggerhead.SubscribeRefused', source: '', subject: '', time: past.now, data } }
}

test('a SUBSCRIBE that was refused is found in the partition that its name had before there were more of them', async () => {
  const name = ['a', 'b', 'c', 'd'].find((each) => partitionOf(Buffer.from(each), 2) === 1) as string
  await past.write('lifecycle', refusedSubscribe(name))
  await past.log.addPartitions(names.lifecycle, 2)
  await past.register('marker/partitions', { state: 'done', from: 1, to: 2, formerly: [], sessions: [0], inbox: [1] })
  await subscribe('other', { authenticationName: name })
  const at = await past.publish()
  await past.matched(at + 1)
  expect(proof(await past.ask(at))).toContain('lifecycle 0 a SUBSCRIBE to plant/# was refused')
})

test('noSubscription: that the client may not subscribe, and which binding is missing, is told as of the message', async () => {
  const client = (attributes: object) => ({ authenticationName: 'screen', state: 'Enabled', clientCertificateAuthentication: {}, attributes })
  await past.register('marker/history', { since: 0, windowMs: 7 * 24 * 3_600_000 })
  await past.register('clients/screen', client({}))
  await past.register('clientGroups/screens', { query: 'attributes.type = "screen"' })
  await past.register('topicSpaces/plant', { topicTemplates: ['plant/#'] })
  await past.register('permissionBindings/screens-read', { clientGroupName: 'screens', topicSpaceName: 'plant', permission: 'Subscriber' })
  await subscribe('other', { authenticationName: 'screen' })
  await past.write('lifecycle', refusedSubscribe('screen'))
  const at = await past.publish()
  await past.matched(at + 1)
  await past.register('clients/screen', client({ type: 'screen' }))
  const answer = await past.ask(at)
  expect(answer).toMatchObject({ outcome: 'noSubscription', permission: { asOf: 'then', allowed: false, reason: expect.stringContaining('screens-read') } })
  expect(answer.reasons).toEqual([expect.stringMatching(/^it was refused a subscription to plant\/# at /)])
  expect(proof(answer)).toContain('lifecycle 0 a SUBSCRIBE to plant/# was refused')
})

test('a refusal that cannot be read tells of nothing', async () => {
  await subscribe('other', { authenticationName: 'screen' })
  for (const data of ['{', 'null', '[]']) {
    const event = { id: '1', type: 'Loggerhead.SubscribeRefused', source: '', subject: '', time: past.now, data }
    await past.write('lifecycle', { name: 'LifecycleEvent', value: event })
  }
  const at = await past.publish()
  await past.matched(at + 1)
  expect(await past.ask(at)).toMatchObject({ outcome: 'noSubscription', reasons: [] })
})

test('where the log does not hold what the registry was, it is asked as it is, and that is said', async () => {
  await past.register('clientGroups/$anonymous', { query: '' })
  await past.register('topicSpaces/plant', { topicTemplates: ['plant/#'] })
  await subscribe('other')
  const at = await past.publish()
  await past.matched(at + 1)
  await past.register('permissionBindings/all-read', { clientGroupName: '$anonymous', topicSpaceName: 'plant', permission: 'Subscriber' })
  expect((await past.ask(at)).permission).toEqual({ asOf: 'now', allowed: true, reason: expect.stringContaining('all-read') })
})

test('journals that no longer hold the client’s beginning are not taken for its whole life', async () => {
  await subscribe('plant/#', { sessionExpiryInterval: 0xffff_ffff })
  const at = await past.publish()
  await past.matched(at + 1)
  past.store.truncate(names.sessions, 0, 2)
  expect(await past.ask(at)).toMatchObject({ outcome: 'unclear', reasons: [expect.stringContaining('is not known')] })
})

test('where the number of shards was changed since, another journal may have had the client: that it had none here says nothing', async () => {
  const at = await past.publish()
  await past.matched(at + 1)
  expect(await past.ask(at)).toMatchObject({ outcome: 'noSession' })
  await past.register('marker/partitions', { state: 'done', from: 1, to: 2, formerly: [], sessions: [0], inbox: [1] })
  expect(await past.ask(at)).toMatchObject({ outcome: 'unclear', reasons: [expect.stringContaining('is not known')] })
})

test('noSession: not yet, and no longer', async () => {
  const early = await past.publish()
  await past.matched(early + 1)
  const session = await subscribe()
  await past.write('sessions', sessionEnded('screen', session, session, { reason: 'Deleted' }))
  const late = await past.publish()
  await past.matched(late + 1)
  expect(await past.ask(early)).toMatchObject({
    outcome: 'noSession',
    reasons: [expect.stringMatching(/^its next session began at /), expect.stringMatching(/plant\/# began at/)],
  })
  expect((await past.ask(late)).reasons).toContainEqual(expect.stringMatching(/^its last session had ended at .*: Deleted$/))
  expect((await past.ask(late, 'nobody')).reasons).toEqual(['the log tells of no session of this client id'])
})

test('noLocal: the client’s own message', async () => {
  await subscribe(subscription('plant/#', { noLocal: true }))
  const at = await past.publish({ clientId: 'screen' })
  await past.matched(at + 1)
  expect((await past.ask(at)).outcome).toBe('noLocal')
})

test('notKept: at QoS 0, with nobody there', async () => {
  const session = await subscribe()
  await past.write('sessions', detached('screen', session))
  const at = await past.publish({ qos: 0 })
  await past.matched(at + 1)
  expect((await past.ask(at)).outcome).toBe('notKept')
})

test('handedToGateway: what goes to a connection stands in no journal, and receipts would tell', async () => {
  await subscribe('plant/#', { sessionExpiryInterval: 0 })
  const at = await past.publish()
  await past.matched(at + 1)
  expect(await past.ask(at)).toMatchObject({
    outcome: 'handedToGateway',
    meaning: expect.stringContaining('receipts would tell'),
    reasons: [expect.stringContaining('gateway g')],
  })
})

const receipt = (outcome: string, but: Partial<Receipt> = {}): Receipt => ({
  clientId: 'screen',
  messageId: Buffer.alloc(16, 1),
  source: 0,
  offset: 0,
  qos: 0,
  outcome,
  reason: '',
  at: past.now,
  ...but,
})
const noteReceipts = (...receipts: Receipt[]): Promise<number> =>
  past.write('receipts', { name: 'DeliveryReceipts', value: { shard: 0, gateway: 'g', lost: 0, receipts } })

test('with receipts it is exact: sent at QoS 0, acknowledged, dropped, or not there although receipts were written', async () => {
  await subscribe('plant/#', { sessionExpiryInterval: 0 })
  const at = await past.publish()
  await past.matched(at + 1)
  await noteReceipts(receipt('sent', { messageId: Buffer.alloc(16, 9) }), receipt('sent', { clientId: 'other' }))
  expect(await past.ask(at)).toMatchObject({
    outcome: 'handedToGateway',
    reasons: [expect.stringContaining('gateway g'), expect.stringContaining('none tells of it')],
  })
  await noteReceipts(receipt('dropped', { reason: 'slow' }))
  expect(await past.ask(at)).toMatchObject({ outcome: 'dropped', reason: 'slow' })
  const sent = await noteReceipts(receipt('sent'))
  const answer = await past.ask(at)
  expect([answer.outcome, proof(answer)]).toEqual(['sent', expect.arrayContaining([`receipts ${sent} receipt: sent`])])
  await noteReceipts(receipt('sent', { qos: 1 }))
  expect((await past.ask(at)).outcome).toBe('inFlight')
  await noteReceipts(receipt('acknowledged', { qos: 1 }))
  expect((await past.ask(at)).outcome).toBe('acknowledged')
  await noteReceipts(receipt('acknowledged', { qos: 1, reason: 'QuotaExceeded' }))
  expect(await past.ask(at)).toMatchObject({ outcome: 'acknowledged', reason: 'QuotaExceeded' })
})

test('receipts that were lost around then are said to be: the absence of one means nothing', async () => {
  await subscribe('plant/#', { sessionExpiryInterval: 0 })
  const at = await past.publish()
  await past.matched(at + 1)
  await past.write('receipts', { name: 'DeliveryReceipts', value: { shard: 0, gateway: 'g', lost: 3, receipts: [] } })
  expect((await past.ask(at)).reasons).toContainEqual(expect.stringMatching(/^3 receipts of its shard were lost around then/))
})

test('anotherMember: the choice of a shared subscription is a record; oneMember: at QoS 0 it is none', async () => {
  await subscribe('$share/g/plant/#')
  const at = await past.publish()
  const choices = [{ offset: at, receiver: receiver('other', 7, { group: '$share/g/plant/#' }) }]
  await past.write('inbox', { name: 'Chosen', value: { shard: 0, term: 0, from: at, to: at + 1, part: 0, parts: 1, choices } })
  await past.matched(at + 1)
  expect(await past.ask(at)).toMatchObject({ outcome: 'anotherMember', reasons: ['$share/g/plant/#: other'] })
  const once = await past.publish({ qos: 0 })
  await past.matched(once + 1)
  expect((await past.ask(once)).outcome).toBe('oneMember')
})

test('anotherMember: what one did not acknowledge went to another, who has it by that', async () => {
  const session = await subscribe('$share/g/plant/#')
  const other = await past.write('sessions', attached('other'))
  await past.write('sessions', subscribed('other', other, '$share/g/plant/#'))
  const at = await past.publish()
  const group = '$share/g/plant/#'
  await owed(session, at, { group })
  const handedOn = {
    source: 0,
    offset: at,
    size: 10,
    expiresAt: null,
    receiver: receiver('other', other, { group }),
    fromClientId: 'screen',
    fromSession: session,
  }
  await past.write('inbox', { name: 'Reassigned', value: { shard: 0, term: 0, sessionsOffset: 0, entries: [handedOn], at: past.now } })
  await past.write('inbox', { name: 'Dropped', value: { shard: 0, term: 0, clientId: 'screen', session, numbers: [0], reason: 'reassigned' } })
  await past.write('inbox', acknowledged('other', other, 1))
  expect(await past.ask(at)).toMatchObject({ outcome: 'anotherMember', reason: 'reassigned' })
  const answer = await past.ask(at, 'other')
  expect([answer.outcome, proof(answer)]).toEqual(['acknowledged', expect.arrayContaining([expect.stringContaining('handed on by another member')])])
})

test('a retained message is found by its place among the retained ones too', async () => {
  const at = await past.publish({ retain: true })
  await past.matched(at + 1)
  const session = await subscribe()
  const entries = [{ offset: at, retainedOffset: 33, size: 10, expiresAt: null, qos: 1, subscriptionIdentifiers: [] }]
  await past.write('inbox', {
    name: 'IndexedRetained',
    value: { shard: 0, term: 0, request: 1, clientId: 'screen', session, last: true, entries, at: past.now },
  })
  expect((await past.ask(at)).outcome).toBe('waiting')
  await past.write('inbox', acknowledged('screen', session, 1))
  const answer = await past.ask(at)
  expect([answer.outcome, proof(answer)]).toEqual(['acknowledged', expect.arrayContaining([expect.stringContaining('as a retained message')])])
})

test('that a later subscription may have brought what was retained is said where no journal tells', async () => {
  const at = await past.publish({ retain: true, qos: 0 })
  await past.matched(at + 1)
  await subscribe('plant/#', { sessionExpiryInterval: 0 })
  const answer = await past.ask(at)
  expect([answer.outcome, answer.reasons]).toEqual(['noSession', expect.arrayContaining([expect.stringContaining('it was retained')])])
  await noteReceipts(receipt('sent', { source: -1, offset: -1 }))
  expect((await past.ask(at)).outcome).toBe('sent')
})

test('replayPending: only a replay would bring it; once it has, that is told', async () => {
  const replay = { from: '0:0', to: null, client: null, speed: null, access: 'now' }
  const session = await subscribe(subscription('$replay/0:0/plant/#', { replay }))
  const at = await past.publish()
  await past.matched(at + 1)
  expect((await past.ask(at)).outcome).toBe('replayPending')
  const value: Replayed = {
    shard: 0,
    term: 0,
    clientId: 'screen',
    session,
    replay: 1,
    phase: 'reading',
    positions: [{ source: 0, next: at + 1, end: null }],
    entries: [{ source: 0, offset: at, size: 10, qos: 1, retain: false }],
    messages: 1,
    subscriptionIdentifiers: [],
    qos: 1,
    filter: '$replay/0:0/plant/#',
    at: past.now,
    since: null,
  }
  await past.write('inbox', { name: 'Replayed', value })
  await past.write('inbox', acknowledged('screen', session, 1))
  const answer = await past.ask(at)
  expect([answer.outcome, proof(answer)]).toEqual(['acknowledged', expect.arrayContaining([expect.stringContaining('by a replay')])])
})

test('repeat: the same publish stands twice, and the first counts', async () => {
  const messageId = Buffer.alloc(16, 5)
  await subscribe()
  const first = await past.publish({ qos: 2, messageId })
  const again = await past.publish({ qos: 2, messageId })
  await past.write('inbox', { name: 'MessagesHeld', value: { shard: 0, term: 0, messages: [{ id: messageId, offset: first }] } })
  await past.matched(again + 1)
  const answer = await past.ask(again)
  expect([answer.outcome, proof(answer)]).toEqual(['repeat', expect.arrayContaining([expect.stringContaining(`the publish counts at offset ${first}`)])])
})

test('notMatched: nobody has noted that it was', async () => {
  await subscribe('other')
  const at = await past.publish()
  expect((await past.ask(at)).outcome).toBe('notMatched')
})

test('unclear: a subscription that came while the message was on its way', async () => {
  const session = await subscribe('other')
  const at = await past.publish({ qos: 0 })
  await past.write('sessions', subscribed('screen', session, 'plant/#'))
  await past.matched(at + 1)
  expect(await past.ask(at)).toMatchObject({ outcome: 'unclear', reasons: [expect.stringContaining('no subscription of the client matched it')] })
})

test('unclear: an owner matched it anew after a subscription, and may have sent it to the connection', async () => {
  const session = await subscribe('other', { sessionExpiryInterval: 0 })
  const at = await past.publish()
  await past.write('inbox', indexed(at, at + 1, [entry(at, receiver('other', 9))], { sessionsOffset: 2 }))
  await past.write('sessions', subscribed('screen', session, 'plant/#'))
  await past.matched(at + 1)
  expect((await past.ask(at)).outcome).toBe('unclear')
})

test('unclear: an owner that died may have sent it to a connection that a later match does not name; what is queued is as the record says', async () => {
  const session = await subscribe()
  const once = await past.publish({ qos: 0 })
  const atLeastOnce = await past.publish()
  const sessionsOffset = (await past.write('sessions', unsubscribed('screen', session, 'plant/#'))) + 1
  await past.write('inbox', indexed(once, atLeastOnce + 1, [entry(atLeastOnce, receiver('other', 9))], { sessionsOffset }))
  await past.matched(atLeastOnce + 1)
  expect((await past.ask(once)).outcome).toBe('unclear')
  expect((await past.ask(atLeastOnce)).outcome).toBe('noSubscription')
})

test('a message is named by its place or its id; what is not in the log is said to be not', async () => {
  expect(messageNamed('2:1184')).toEqual({ kind: 'position', partition: 2, offset: 1184 })
  expect(messageNamed('0A'.repeat(16))).toEqual({ kind: 'id', id: Buffer.alloc(16, 10) })
  for (const text of ['2', '2:x', '', '0a', 'x:1']) expect(messageNamed(text)).toBeUndefined()
  const at = await past.publish({ messageId: Buffer.alloc(16, 7) })
  const options = { log: past.log, topics: names, partitions: 1, registry: past.registry, clientId: 'screen', onRead: () => {}, now: () => past.now }
  expect((await explainDelivery({ ...options, message: { kind: 'id', id: Buffer.alloc(16, 7) } })).message.position).toBe(`0:${at}`)
  for (const message of [
    { kind: 'position', partition: 0, offset: 9 },
    { kind: 'position', partition: 4, offset: 0 },
    { kind: 'id', id: Buffer.alloc(16, 8) },
  ] as const) {
    await expect(explainDelivery({ ...options, message })).rejects.toThrow(NoSuchMessage)
  }
})

test('what retention removes while a message is looked for is not there: the others are looked through, and one that was named is said to be gone', async () => {
  class ForgettingLog extends MemoryLog {
    override read(topic: string, partition: number, offset: number, maxBytes?: number): ReturnType<MemoryLog['read']> {
      if (topic === names.messages) past.store.truncate(topic, partition, 1)
      return super.read(topic, partition, offset, maxBytes)
    }
  }
  await past.publish()
  await past.publish({ messageId: Buffer.alloc(16, 7) })
  const log = new ForgettingLog(past.store)
  const options = { log, topics: names, partitions: 1, registry: past.registry, clientId: 'screen', onRead: () => {}, now: () => past.now }
  expect((await explainDelivery({ ...options, message: { kind: 'id', id: Buffer.alloc(16, 7) } })).message.position).toBe('0:1')
  past = await new Past().begin()
  await past.publish()
  await past.publish()
  const named = explainDelivery({ ...options, log: new ForgettingLog(past.store), message: { kind: 'position', partition: 0, offset: 0 } })
  await expect(named).rejects.toThrow(NoSuchMessage)
})

test('an answer begins at the state that was written down before the message: subscriptions and numbers of the queue go on from there', async () => {
  const session = await subscribe()
  const owned = 1
  const state = (but: Partial<SessionState>): SessionState => ({
    clientId: 'screen',
    authenticationName: 'device',
    session,
    epoch: session,
    sequence: 1,
    sessionExpiryInterval: 100,
    attached: null,
    detachedAt: null,
    endedAt: null,
    subscriptions: [{ ...subscription('plant/#'), epoch: session, retainedAt: null, retainedSince: null, replayAt: null }],
    will: null,
    attributes: {},
    next: 7,
    cursor: 7,
    above: [],
    sent: 7,
    queue: [],
    wills: [],
    received: [],
    uses: Buffer.alloc(0),
    vouchedBy: '',
    ownerKind: '',
    replays: [],
    ...but,
  })
  const sessions = [state({ clientId: 'another', session: 5 }), state({})].map((each) => encodeRecord('SessionState', each))
  const from = await past.write('checkpoints', { name: 'SnapshotChunk', value: { shard: 0, term: 0, generation: 3, chunk: 0, sessions } })
  const positions = { position: 0, lifecyclePosition: 0, highWaters: [0], terms: [0], retainedOffsets: [0], retainedHighWaters: [0], choicesFrom: null }
  const about = { shard: 0, term: 0, generation: 3, chunks: 1, at: past.now }
  const snapshot = encodeRecord('SnapshotClosed', { ...about, sessionsOffset: 2, inboxOffset: owned, ...positions })
  await past.write('checkpoints', { name: 'CheckpointClosed', value: { ...about, from, inboxFrom: owned, snapshot, registryPosition: 0, registryDigest: '' } })
  // What it was made of is gone, and clocks may be a minute apart.
  past.store.truncate(names.sessions, 0, 2)
  past.store.truncate(names.inbox, 0, owned)
  past.now += 120_000
  const at = await past.publish()
  await owed(session, at)
  expect((await past.ask(at)).outcome).toBe('waiting')
  const done = await past.write('inbox', acknowledged('screen', session, 8))
  const answer = await past.ask(at)
  expect([answer.outcome, proof(answer)]).toEqual([
    'acknowledged',
    expect.arrayContaining([`inbox ${done} acknowledged`, expect.stringContaining('as its number 7')]),
  ])
  expect(answer.subscriptions).toEqual([{ filter: 'plant/#', qos: 1 }])
  // Retention comes to that state while it is read, at its closing record or behind it: it is not known then, which is an answer.
  const moment = await momentOf(past.log, names, { kind: 'time', at: past.now + 1 })
  const written = past.store.partition(names.checkpoints, 0)
  const { records = [], startOffset = 0 } = { ...written }
  for (const overtaken of [1, 2]) {
    const putBack = (): unknown => Object.assign(written as object, { records, startOffset })
    const options = { log: new OvertakenLog(past.store, overtaken), topics: names, partitions: 1, registry: past.registry }
    const asked = { clientId: 'screen', message: { kind: 'position', partition: 0, offset: at }, onRead: () => {}, now: () => past.now } as const
    expect((await explainDelivery({ ...options, ...asked })).outcome).toBe('unclear')
    putBack()
    const log = new OvertakenLog(past.store, overtaken)
    await expect(shardAt({ log, topics: names, shard: 0, shards: 1, moment })).rejects.toThrow(BeforeHistory)
    putBack()
  }
  expect((await past.ask(at)).outcome).toBe('acknowledged')
})
