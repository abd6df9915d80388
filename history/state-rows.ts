/** The state of a namespace at a moment as rows of one kind, and what differs between two moments. A portion at a time: the registry, or one shard. */
import type { Log } from '../log/log.ts'
import type { TopicNames } from '../log/topics.ts'
import type { HistoryKept } from '../model/history-kept.ts'
import type { Resource } from '../model/registry-resources.ts'
import type { RegistryView } from '../model/registry-view.ts'
import { neverExpires, type Session } from '../model/session.ts'
import type { Moment } from './moment.ts'
import { registryAt } from './past-registry.ts'
import { type PastShard, shardAt } from './past-shard.ts'

export const stateKinds = ['clients', 'sessions', 'subscriptions', 'retained', 'permissions'] as const
export type StateKind = (typeof stateKinds)[number]

/** `name` tells the rows of a kind apart. */
export type StateRow = { readonly name: string } & Readonly<Record<string, unknown>>

export interface StateDifference {
  readonly kind: StateKind
  readonly name: string
  readonly change: 'added' | 'removed' | 'changed'
  readonly before?: StateRow
  readonly after?: StateRow
}

export interface StateOptions {
  readonly log: Log
  readonly topics: TopicNames
  readonly shards: number
  /** Milliseconds since the epoch. */
  readonly now: number
  /** How far back the registry holds every change, by who follows it. */
  readonly kept?: HistoryKept | undefined
  /** What of a client may be shown. */
  showClient(client: Resource<'clients'>): object
}

const registryKinds: ReadonlySet<StateKind> = new Set(['clients', 'permissions'])
const iso = (at: number): string => new Date(at).toISOString()
const byName = (a: StateRow, b: StateRow): number => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)

/** The rows in portions, ordered by name within each. Rejects with BeforeHistory. */
export async function* stateRows(options: StateOptions, kind: StateKind, moment: Moment): AsyncGenerator<readonly StateRow[]> {
  for (let portion = 0; portion < portionsOf(options, kind); portion++) yield rowsOf(options, kind, moment, portion)
}

/** What is not in both moments alike, in portions. Rejects with BeforeHistory. */
export async function* stateDifferences(options: StateOptions, kind: StateKind, from: Moment, to: Moment): AsyncGenerator<readonly StateDifference[]> {
  for (let portion = 0; portion < portionsOf(options, kind); portion++) {
    const before = await rowsOf(options, kind, from, portion)
    yield differences(kind, before, await rowsOf(options, kind, to, portion))
  }
}

/** Both in the order of their names. */
export function differences(kind: StateKind, before: readonly StateRow[], after: readonly StateRow[]): readonly StateDifference[] {
  const left = new Map(before.map((row) => [row.name, row]))
  const found: StateDifference[] = []
  for (const row of after) {
    const { name } = row
    const known = left.get(name)
    left.delete(name)
    if (!known) found.push({ kind, name, change: 'added', after: row })
    else if (JSON.stringify(known) !== JSON.stringify(row)) found.push({ kind, name, change: 'changed', before: known, after: row })
  }
  for (const row of left.values()) found.push({ kind, name: row.name, change: 'removed', before: row })
  return found.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
}

const portionsOf = ({ shards }: StateOptions, kind: StateKind): number => (registryKinds.has(kind) ? 1 : shards)

async function rowsOf(options: StateOptions, kind: StateKind, moment: Moment, portion: number): Promise<readonly StateRow[]> {
  const { log, topics, shards, now, kept } = options
  if (registryKinds.has(kind)) {
    const { view } = await registryAt(log, topics, moment, { now, kept })
    return [...(kind === 'clients' ? clientRows(view, options) : permissionRows(view))].sort(byName)
  }
  const past = await shardAt({ log, topics, shard: portion, shards, moment })
  // What is asked of the future is answered by the present.
  return [...shardRows(kind, past, Math.min(moment.at, now))].sort(byName)
}

function* clientRows(view: RegistryView, { showClient }: StateOptions): Generator<StateRow> {
  for (const client of view.clients.values()) yield { name: client.name, ...showClient(client), updatedAt: iso(client.updatedAt), by: client.by }
}

/** A binding with what it binds: who could do what. */
function* permissionRows(view: RegistryView): Generator<StateRow> {
  for (const { name, properties } of view.permissionBindings.values()) {
    const { permission, clientGroupName, topicSpaceName } = properties
    yield {
      name,
      permission,
      clientGroupName,
      query: view.clientGroups.get(clientGroupName)?.properties.query ?? null,
      topicSpaceName,
      topicTemplates: view.topicSpaces.get(topicSpaceName)?.properties.topicTemplates ?? null,
    }
  }
}

function* shardRows(kind: StateKind, { shard, sessions, retained }: PastShard, at: number): Generator<StateRow> {
  if (kind === 'retained') {
    for (const { topic, offset, receivedAt, expiresAt, qos, size } of retained.at(at)) {
      yield {
        name: topic,
        qos,
        bytes: size,
        receivedAt: iso(receivedAt),
        ...(expiresAt === null ? {} : { expiresAt: iso(expiresAt) }),
        position: `${shard}:${offset}`,
      }
    }
    return
  }
  for (const session of sessions.sessions.values()) {
    if (session.isOver) continue
    if (kind === 'sessions') yield sessionRow(session)
    else yield* subscriptionRows(session)
  }
}

function sessionRow(session: Session): StateRow {
  const { clientId, authenticationName, attached, detachedAt, expiryInterval, queue } = session
  const since = queue.oldest?.at
  return {
    name: clientId,
    authenticationName,
    connected: attached !== null,
    ...(attached ? { gateway: attached.gateway.id, remoteAddress: attached.remoteAddress, connectedAt: iso(attached.at) } : {}),
    ...(detachedAt === null ? {} : { disconnectedAt: iso(detachedAt) }),
    sessionExpiryInterval: expiryInterval === neverExpires ? 'never' : expiryInterval,
    sequenceNumber: session.sequence,
    subscriptions: [...session.subscriptions.keys()].sort(),
    queue: { messages: queue.length, bytes: queue.bytes, ...(since ? { oldestAt: iso(since) } : {}) },
  }
}

function* subscriptionRows({ clientId, authenticationName, subscriptions }: Session): Generator<StateRow> {
  for (const { filter, qos, noLocal, retainAsPublished, retainHandling, subscriptionIdentifier } of subscriptions.values()) {
    yield { name: `${clientId} ${filter}`, clientId, authenticationName, filter, qos, noLocal, retainAsPublished, retainHandling, subscriptionIdentifier }
  }
}
