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

/** Those of the registry first: they are read together. */
const registryKinds = ['clients', 'groups', 'spaces', 'permissions'] as const
const shardKinds = ['sessions', 'subscriptions', 'retained'] as const
export const stateKinds = [...registryKinds, ...shardKinds] as const
type RegistryKind = (typeof registryKinds)[number]
type ShardKind = (typeof shardKinds)[number]
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

const iso = (at: number): string => new Date(at).toISOString()
const byName = (a: StateRow, b: StateRow): number => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)

/** The rows in portions, ordered by name within each. Rejects with BeforeHistory. */
export async function* stateRows(options: StateOptions, kind: StateKind, moment: Moment): AsyncGenerator<readonly StateRow[]> {
  if (isOfRegistry(kind)) yield* (await registryRows(options, [kind], moment)).values()
  else for (let shard = 0; shard < options.shards; shard++) yield shardRows(options, kind, moment, shard)
}

/** What of these kinds is not in both moments alike, in portions. Rejects with BeforeHistory. */
export async function* stateDifferences(
  options: StateOptions,
  kinds: readonly StateKind[],
  from: Moment,
  to: Moment,
): AsyncGenerator<readonly StateDifference[]> {
  const ofRegistry = kinds.filter(isOfRegistry)
  if (ofRegistry.length > 0) {
    const before = await registryRows(options, ofRegistry, from)
    const after = await registryRows(options, ofRegistry, to)
    for (const kind of ofRegistry) yield differences(kind, before.get(kind) ?? [], after.get(kind) ?? [])
  }
  for (const kind of kinds) {
    if (isOfRegistry(kind)) continue
    for (let shard = 0; shard < options.shards; shard++) {
      const before = await shardRows(options, kind, from, shard)
      yield differences(kind, before, await shardRows(options, kind, to, shard))
    }
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

const isOfRegistry = (kind: StateKind): kind is RegistryKind => registryKinds.some((known) => known === kind)

async function registryRows(options: StateOptions, kinds: readonly RegistryKind[], moment: Moment): Promise<ReadonlyMap<RegistryKind, readonly StateRow[]>> {
  const { log, topics, now, kept } = options
  const { view } = await registryAt(log, topics, moment, { now, kept })
  return new Map(kinds.map((kind) => [kind, [...rowsOfView(kind, view, options)].sort(byName)]))
}

async function shardRows({ log, topics, shards, now }: StateOptions, kind: ShardKind, moment: Moment, shard: number): Promise<readonly StateRow[]> {
  const past = await shardAt({ log, topics, shard, shards, moment })
  // What is asked of the future is answered by the present.
  return [...rowsOfShard(kind, past, Math.min(moment.at, now))].sort(byName)
}

function rowsOfView(kind: RegistryKind, view: RegistryView, options: StateOptions): Iterable<StateRow> {
  if (kind === 'clients') return clientRows(view, options)
  if (kind === 'permissions') return permissionRows(view)
  return resourceRows(kind === 'groups' ? view.clientGroups : view.topicSpaces)
}

function* resourceRows(resources: ReadonlyMap<string, Resource<'clientGroups' | 'topicSpaces'>>): Generator<StateRow> {
  for (const { name, properties, updatedAt, by } of resources.values()) yield { name, ...properties, updatedAt: iso(updatedAt), by }
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

function* rowsOfShard(kind: ShardKind, { shard, sessions, retained }: PastShard, at: number): Generator<StateRow> {
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
