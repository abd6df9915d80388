/** Builds records of `sessions` and `inbox` for tests, complete but for what a test is about. */
import type { IndexEntry, Indexed, IndexReceiver } from '../../../schemas/inbox-records.ts'
import type { AnyRecord } from '../../../schemas/records.ts'
import type { Attached, Detached, SessionEnded, SubscriptionRequest } from '../../../schemas/session-records.ts'

export const attached = (clientId: string, but: Partial<Attached> = {}): AnyRecord & { readonly name: 'Attached' } => ({
  name: 'Attached',
  value: {
    clientId,
    authenticationName: 'device',
    at: 1_000,
    gateway: { id: 'g', incarnation: 7 },
    connection: 1,
    connectionId: Buffer.from('0123456789abcdef'),
    cleanStart: false,
    sessionExpiryInterval: 100,
    receiveMaximum: 10,
    maximumPacketSize: 0,
    keepAlive: 60,
    protocolVersion: 5,
    remoteAddress: '127.0.0.1',
    transport: 'tcp',
    registryPosition: 0,
    will: null,
    attributes: {},
    sessionsMax: 0,
    vouchedBy: '',
    ownerKind: '',
    ...but,
  },
})

export const detached = (clientId: string, epoch: number, but: Partial<Detached> = {}): AnyRecord => ({
  name: 'Detached',
  value: {
    clientId,
    epoch,
    at: 2_000,
    reason: 'ClientInitiatedDisconnect',
    reasonCode: 0,
    sessionExpiryInterval: null,
    keepWill: false,
    by: 'gateway',
    ...but,
  },
})

export const subscription = (filter: string, but: Partial<SubscriptionRequest> = {}): SubscriptionRequest => ({
  filter,
  qos: 1,
  noLocal: false,
  retainAsPublished: false,
  retainHandling: 0,
  subscriptionIdentifier: null,
  replay: null,
  ...but,
})

export const subscribed = (clientId: string, epoch: number, ...filters: (string | SubscriptionRequest)[]): AnyRecord => ({
  name: 'Subscribed',
  value: {
    clientId,
    epoch,
    at: 1_500,
    registryPosition: 0,
    subscriptions: filters.map((filter) => (typeof filter === 'string' ? subscription(filter) : filter)),
  },
})

export const unsubscribed = (clientId: string, epoch: number, ...filters: string[]): AnyRecord => ({
  name: 'Unsubscribed',
  value: { clientId, epoch, at: 1_600, filters, withdraws: false },
})

/** Of what the connection was told that it did not get. */
export const withdrawn = (clientId: string, epoch: number, ...filters: string[]): AnyRecord => ({
  name: 'Unsubscribed',
  value: { clientId, epoch, at: 1_700, filters, withdraws: true },
})

export const sessionEnded = (clientId: string, session: number, epoch: number, but: Partial<SessionEnded> = {}): AnyRecord => ({
  name: 'SessionEnded',
  value: { clientId, session, epoch, at: 200_000, reason: 'SessionExpiry', shard: 0, term: 0, ...but },
})

export const termAnnounced = (shard: number, term: number): AnyRecord => ({ name: 'TermAnnounced', value: { shard, term } })
export const shardOwned = (shard: number): AnyRecord => ({ name: 'ShardOwned', value: { shard, router: 'r', at: 0 } })

export const receiver = (clientId: string, session: number, but: Partial<IndexReceiver> = {}): IndexReceiver => ({
  clientId,
  session,
  qos: 1,
  retain: false,
  subscriptionIdentifiers: [],
  group: null,
  replay: null,
  ...but,
})

export const entry = (offset: number, ...receivers: IndexReceiver[]): IndexEntry => ({ offset, size: 100, expiresAt: null, receivers })

export const indexed = (from: number, to: number, entries: readonly IndexEntry[], but: Partial<Indexed> = {}): AnyRecord => ({
  name: 'Indexed',
  value: { shard: 0, term: 0, from, to, part: 0, parts: 1, sessionsOffset: 0, entries, at: 0, ...but },
})

export const acknowledged = (clientId: string, session: number, cursor: number, above: readonly number[] = [], sent = cursor, term = 0): AnyRecord => ({
  name: 'Acknowledged',
  value: { shard: 0, term, sessions: [{ clientId, session, cursor, above, sent, received: [] }] },
})

export const dropped = (clientId: string, session: number, numbers: readonly number[], term = 0): AnyRecord => ({
  name: 'Dropped',
  value: { shard: 0, term, clientId, session, numbers, reason: 'expired' },
})
