/**
 * Changes the number of a namespace's shards while nobody serves it. Topics grow where they are, so that messages keep their places and whatever points
 * to them stays true; what belongs to another shard now – sessions with their queues, retained messages, the state of event subscriptions – is moved.
 *
 * Three marks in the registry make it safe to be killed anywhere. Under `moving` everything new is written beside what counts, from what counts, as
 * often as it takes. Under `committing` the new state is put in place of the former, which reads nothing but what was written before. `done` ends it.
 */
import type { Append, Appender, Log } from '../../log/log.ts'
import { partitionOf } from '../../log/partitioner.ts'
import { type TopicNames, topicKinds, unshardedKinds } from '../../log/topics.ts'
import { formerPartitions, type PartitionChange, partitionChangeOf, partitionsMarker } from '../../model/partition-change.ts'
import { RegistryFollower } from '../../model/registry-follower.ts'
import { partitionsKey } from '../../model/registry-view.ts'
import type { Session } from '../../model/session.ts'
import { chunkKey, closedKey, heldChunks, stateChunks } from '../../model/snapshot.ts'
import { decodeRecord, encodeRecord } from '../../schemas/codec.ts'
import type { GatewayUp } from '../../schemas/gateway-up.ts'
import type { HeldMessage } from '../../schemas/inbox-records.ts'
import { peekMessage } from '../../schemas/message-record.ts'
import { RecordError } from '../../schemas/record-error.ts'
import type { SessionState, SnapshotClosed } from '../../schemas/snapshot-records.ts'
import { retainedFenceKey } from '../retained-store.ts'
import { chunkSizeMax } from '../snapshots.ts'
import { deliveriesFenceKey } from '../subscriptions/subscriptions.ts'
import { heldAfter, type MovedRetained, planSessions, type Renamed, retainedPlace, stateAfter } from './moving-sessions.ts'
import { readShards, type ShardAtRest, whyNotAtRest } from './shards-at-rest.ts'

export interface ChangeOptions {
  readonly log: Log
  readonly topics: TopicNames
  /** How many it shall be. */
  readonly to: number
  readonly now: () => number
  /** Whether something listens at host:port. */
  answers(address: string): Promise<boolean>
  /** Told what is done, a line each. */
  say(line: string): void
  /** Awaited once the new state counts, before the namespace may be served: also after it was done and the command was killed. */
  onMoved?(to: number): Promise<void>
  /** How long processes that hear of the change have to end, ms. */
  readonly endMs?: number
}

/** The change is not made, and nothing was changed. */
export class ChangeRefused extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'ChangeRefused'
  }
}

/** Under it stands, in `snapshots`, what is going to be the closing record of the shard's snapshot. */
const closingKey = Buffer.from('closing')
const markerKey = Buffer.from(partitionsKey)
/** Records under way at a time. */
const writesMax = 1_000
/** As KAFKA_PARTITIONS allows. */
const partitionsMax = 1024

/** Resolves once the namespace may be served with so many partitions. Rejects with ChangeRefused, FencedError when the command runs twice. */
export async function changePartitions(options: ChangeOptions): Promise<void> {
  const { log, topics, to, say } = options
  if (!(Number.isInteger(to) && to >= 1 && to <= partitionsMax)) throw new ChangeRefused(`${to} is not a number of partitions from 1 to ${partitionsMax}`)
  const begun = await readChange(log, topics)
  const current = await log.partitions(topics.messages)
  const isUnderWay = begun !== undefined && begun.state !== 'done'
  if (isUnderWay && begun.to !== to)
    throw new ChangeRefused(`a change from ${begun.from} to ${begun.to} partitions was begun: “loggerhead partitions ${begun.to}” brings it to its end first`)
  if (!isUnderWay && to === current) {
    say(`there are ${to} partitions already`)
    return
  }
  if (!isUnderWay && to < current) throw new ChangeRefused(`there are ${current} partitions: Kafka adds partitions to a topic and takes none away`)
  await refuseWhileServed(options)
  const change = new Change(options, await log.appender({ transactionalId: `${topics.registry}.partitions` }))
  try {
    await change.run(begun, current)
  } finally {
    await change.close()
  }
}

async function readChange(log: Log, topics: TopicNames): Promise<PartitionChange | undefined> {
  const follower = await RegistryFollower.start({ log, topic: topics.registry, clock: { now: () => performance.now() } })
  try {
    return partitionChangeOf(follower.view)
  } finally {
    await follower.close()
  }
}

async function refuseWhileServed(options: ChangeOptions): Promise<void> {
  const serving = await whoServes(options)
  if (serving.length > 0) throw new ChangeRefused(`the namespace is being served, and must not be: ${serving.join('; ')}`)
}

/** Routers by their group, gateways by what answers where they said. */
async function whoServes({ log, topics, answers }: ChangeOptions): Promise<readonly string[]> {
  const serving: string[] = []
  const routers = await log.groupMembers(`${topics.messages}.router`)
  if (routers > 0) serving.push(`${routers} router${routers === 1 ? ' is' : 's are'} up (one that was killed counts for KAFKA_SESSION_TIMEOUT_MS still)`)
  for (const { value } of (await latest(log, topics.gateways, 0)).values()) {
    const record = decodeRecord(value)
    if (record.name !== 'GatewayUp') continue
    const { id, address, stopping }: GatewayUp = record.value
    if (!stopping && (await answers(address))) serving.push(`the gateway ${id} answers at ${address}`)
  }
  return serving
}

interface Stands {
  readonly offset: number
  readonly value: Buffer
}

/** What stands in a partition of a compacted topic, by key. */
async function latest(log: Log, topic: string, partition: number): Promise<Map<string, Stands>> {
  const found = new Map<string, Stands>()
  let offset = (await log.startOffsets(topic)).get(partition) ?? 0
  const end = (await log.endOffsets(topic)).get(partition) ?? 0
  while (offset < end) {
    const stretch = await log.read(topic, partition, offset)
    for (const { key, value, offset: at } of stretch.records) {
      if (!key) continue
      if (value) found.set(key.toString(), { offset: at, value: Buffer.from(value) })
      else found.delete(key.toString())
    }
    if (stretch.nextOffset === offset) throw new Error(`${topic}[${partition}] has nothing at ${offset}, although it reaches to ${end}`)
    offset = stretch.nextOffset
  }
  return found
}

async function endsOf(log: Log, topic: string): Promise<readonly number[]> {
  const ends = await log.endOffsets(topic)
  return Array.from({ length: ends.size }, (_, partition) => ends.get(partition) ?? 0)
}

class Change {
  readonly #options: ChangeOptions
  readonly #marking: Appender
  /** Of each shard, as its owner has it: later owners refuse this one. */
  readonly #fenced: Appender[] = []

  constructor(options: ChangeOptions, marking: Appender) {
    this.#options = options
    this.#marking = marking
  }

  async close(): Promise<void> {
    await Promise.all([this.#marking, ...this.#fenced].map((appender) => appender.close()))
  }

  /** `last`: the one under way, or the one before. */
  async run(last: PartitionChange | undefined, current: number): Promise<void> {
    const { say, to, onMoved } = this.#options
    const change = last && last.state !== 'done' && last.isAtRest ? last : await this.#beginAnew(last, current)
    // Also when it goes on: whoever does so alone must be able to.
    await this.#mark(change)
    if (change.state === 'moving') {
      await this.#grow()
      await this.#fence()
      await this.#move(change)
      await this.#mark({ ...change, state: 'committing' })
    } else await this.#fence()
    await this.#commit()
    await onMoved?.(to)
    await this.#mark({ ...change, state: 'done' })
    say(`done: ${to} partitions, which KAFKA_PARTITIONS must say from now on (of another namespace than the home one, its resource does)`)
  }

  /** One that was killed before it knew that nobody had come has changed nothing: who came may have something left to do. */
  async #beginAnew(last: PartitionChange | undefined, current: number): Promise<PartitionChange> {
    if (last && last.state !== 'done') await this.#mark({ ...last, state: 'done', to: last.from })
    return this.#begin(current, last && last.state !== 'done' ? last.formerly : formerPartitions(last))
  }

  /** Nothing is left to do for anybody, and nobody begins anything any more. */
  async #begin(from: number, formerly: readonly number[]): Promise<PartitionChange> {
    const { log, topics, to, say } = this.#options
    const stand = async () => ({
      ends: { sessions: await endsOf(log, topics.sessions), inbox: await endsOf(log, topics.inbox) },
      messages: await endsOf(log, topics.messages),
    })
    const before = await stand()
    say(`reading ${from} shards`)
    const why = whyNotAtRest(await readShards(log, topics, from, before.ends), before.ends, before.messages)
    if (why.length > 0)
      throw new ChangeRefused(`not everything is done with yet; start the routers without gateways for a moment, and stop them in order: ${why.join('; ')}`)
    const change: PartitionChange = { state: 'moving', from, to, formerly, isAtRest: false, ...before.ends }
    await this.#mark(change)
    // Who came up in between has heard of it, or read it, and ends.
    const until = performance.now() + (this.#options.endMs ?? 20_000)
    let serving = await whoServes(this.#options)
    while (serving.length > 0 && performance.now() < until) {
      await new Promise((resolve) => setTimeout(resolve, 250))
      serving = await whoServes(this.#options)
    }
    if (serving.length === 0 && JSON.stringify(await stand()) === JSON.stringify(before)) return { ...change, isAtRest: true }
    await this.#mark({ ...change, state: 'done', to: from })
    throw new ChangeRefused(`somebody began to serve the namespace meanwhile${serving.length > 0 ? `: ${serving.join('; ')}` : ''}`)
  }

  async #mark(change: PartitionChange): Promise<void> {
    const { topics, now } = this.#options
    const at = now()
    const entry = { kind: 'marker', name: partitionsMarker, properties: JSON.stringify(change), etag: '', createdAt: at, updatedAt: at, by: 'partitions' }
    await this.#marking.write({ topic: topics.registry, partition: 0, key: markerKey, value: encodeRecord('RegistryEntry', entry), timestamp: at })
  }

  async #grow(): Promise<void> {
    const { log, topics, to, say } = this.#options
    // States of the past are told by the shards of their time: they begin anew, with the first that the new owners write.
    await log.deleteTopics([topics.checkpoints])
    for (const kind of topicKinds) if (!unshardedKinds.includes(kind) && kind !== 'checkpoints') await log.addPartitions(topics[kind], to)
    say(`the topics have ${to} partitions`)
  }

  /** Former owners' writes to the compacted topics are refused from here on. */
  async #fence(): Promise<void> {
    const { log, topics, to, now } = this.#options
    for (let shard = 0; shard < to; shard++) {
      const appender = await log.appender({ transactionalId: `${topics.snapshots}.shard-${shard}` })
      this.#fenced.push(appender)
      const value = encodeRecord('ShardOwned', { shard, router: 'loggerhead partitions', at: now() })
      const fence = (topic: string, key: Buffer) => appender.write({ topic, partition: shard, key, value, timestamp: now() })
      await Promise.all([
        fence(topics.snapshots, Buffer.from('fence')),
        fence(topics.retained, retainedFenceKey()),
        fence(topics.deliveries, deliveriesFenceKey()),
      ])
    }
  }

  async #move({ from, sessions, inbox }: PartitionChange): Promise<void> {
    const { log, topics, say } = this.#options
    const retained = await this.#moveRetained(from)
    say(`${retained.size} retained messages are where they belong`)
    say(`${await this.#moveDeliveries(from)} records of event subscriptions are where they belong`)
    const shards = await readShards(log, topics, from, { sessions, inbox })
    say(`${await this.#moveSessions(shards, retained)} sessions go to another shard`)
  }

  /** Copies what belongs to another shard. What an earlier attempt has copied is not copied again: queues are going to point to it. */
  async #moveRetained(from: number): Promise<MovedRetained> {
    const { log, topics, to, now } = this.#options
    const moved = new Map<string, { readonly shard: number; readonly offset: number }>()
    const there: Map<string, Stands>[] = []
    for (let shard = 0; shard < to; shard++) there.push(await latest(log, topics.retained, shard))
    // Below every position in `messages`, so that whatever is published replaces it; each its own, for a position tells repeats.
    const lowest = there.map(lowestPosition)
    for (let shard = 0; shard < from; shard++) {
      for (const [topic, { offset, value }] of there[shard] as Map<string, Stands>) {
        const target = isFence(topic) ? shard : partitionOf(topic, to)
        if (target === shard) continue
        const record = decodeRecord(value)
        if (record.name !== 'Retained') continue
        let at = there[target]?.get(topic)?.offset
        if (at === undefined) {
          const position = (lowest[target] as number) - 1
          lowest[target] = position
          at = await this.#write(target, topics.retained, topic, encodeRecord('Retained', { ...record.value, offset: position }), now())
        }
        moved.set(retainedPlace(shard, offset), { shard: target, offset: at })
      }
    }
    return moved
  }

  async #moveDeliveries(from: number): Promise<number> {
    const { log, topics, to, now } = this.#options
    let count = 0
    for (let shard = 0; shard < from; shard++) {
      const writes: (() => Promise<number>)[] = []
      for (const [key, { value }] of await latest(log, topics.deliveries, shard)) {
        const target = shardOfDelivery(key, to) ?? shard
        if (target === shard) continue
        writes.push(() => this.#write(target, topics.deliveries, key, value, now()))
      }
      await inTurns(writes)
      count += writes.length
    }
    return count
  }

  /** Writes the sessions' new names into their journals, and a snapshot of each shard beside the one that counts. */
  async #moveSessions(shards: readonly ShardAtRest[], retained: MovedRetained): Promise<number> {
    const { log, topics, to, now } = this.#options
    const plan = planSessions(shards, to, now())
    const named = await this.#name(plan)
    const [sessionsEnds, inboxEnds, messagesEnds = []] = await Promise.all([topics.sessions, topics.inbox, topics.messages].map((topic) => endsOf(log, topic)))
    const states = Array.from({ length: to }, (): SessionState[] => [])
    const renamed = new Map<Session, Renamed>()
    for (const [index, moving] of plan.entries()) {
      const state = stateAfter(moving, named[index] as readonly number[], retained, messagesEnds)
      states[moving.to]?.push(state)
      renamed.set(moving.session, { shard: moving.to, session: state.session })
    }
    const held = await this.#heldAfter(shards, renamed)
    const at = now()
    for (let shard = 0; shard < to; shard++) {
      const before = shards[shard]
      const term = before ? Math.max(before.sessions.term, before.inbox.terms[shard] ?? -1) : -1
      const generation = (before?.closed?.generation ?? 0) + 1
      const chunks = [...stateChunks(states[shard] ?? [], chunkSizeMax), ...heldChunks(shard, term, held[shard] ?? [])]
      const sessionsOffset = sessionsEnds?.[shard] ?? 0
      const closed: SnapshotClosed = {
        shard,
        term,
        generation,
        chunks: chunks.length,
        at,
        sessionsOffset,
        inboxOffset: inboxEnds?.[shard] ?? 0,
        position: messagesEnds[shard] ?? 0,
        lifecyclePosition: sessionsOffset,
        highWaters: perShard(to, (source) => messagesEnds[source] ?? 0),
        terms: perShard(to, (source) => Math.max(-1, ...shards.map(({ inbox }) => inbox.terms[source] ?? -1))),
        retainedOffsets: perShard(to, (of) => sessionsEnds?.[of] ?? 0),
        retainedHighWaters: perShard(to, () => sessionsOffset),
        choicesFrom: null,
      }
      for (const [chunk, bytes] of chunks.entries()) {
        const value = encodeRecord('SnapshotChunk', { shard, term, generation, chunk, sessions: bytes })
        await this.#write(shard, topics.snapshots, chunkKey(generation, chunk), value, at)
      }
      await this.#write(shard, topics.snapshots, closingKey.toString(), encodeRecord('SnapshotClosed', closed), at)
    }
    return plan.filter(({ from, to: target }) => from !== target).length
  }

  /** The offsets of each session's names. */
  async #name(plan: ReturnType<typeof planSessions>): Promise<readonly (readonly number[])[]> {
    const { log, topics } = this.#options
    const appender = await log.appender()
    try {
      const writes = plan.flatMap(({ to, names }) =>
        names.map((name) => (): Promise<number> => {
          const record: Append = {
            topic: topics.sessions,
            partition: to,
            key: Buffer.from(name.clientId),
            value: encodeRecord('SessionMoved', name),
            timestamp: name.at,
          }
          return appender.write(record)
        }),
      )
      const offsets = await inTurns(writes)
      return plan.map(({ names }) => offsets.splice(0, names.length))
    } finally {
      await appender.close()
    }
  }

  /** By shard: what may come again, under the names that it would have, where it would come. */
  async #heldAfter(shards: readonly ShardAtRest[], renamed: ReadonlyMap<Session, Renamed>): Promise<readonly HeldMessage[][]> {
    const { to } = this.#options
    const lists = Array.from({ length: to }, (): HeldMessage[] => [])
    for (const { shard, held } of shards) {
      for (const message of held) {
        lists[shard]?.push(message)
        const id = heldAfter(message, (of, session) => shards[of]?.sessions.live(session), renamed)
        if (id === undefined) continue
        const topic = message.offset < 0 ? undefined : await this.#topicAt(shard, message.offset)
        const targets = topic === undefined ? lists.keys() : [partitionOf(topic, to)]
        // A position of another partition means nothing there: none is its own.
        for (const target of targets)
          if (target !== shard || !id.equals(message.id)) lists[target]?.push({ id, offset: target === shard ? message.offset : -1 })
      }
    }
    return lists
  }

  async #topicAt(shard: number, offset: number): Promise<string | undefined> {
    const { log, topics } = this.#options
    if (offset < ((await log.startOffsets(topics.messages)).get(shard) ?? 0)) return undefined
    const { value } = (await log.read(topics.messages, shard, offset, 1)).records.find((record) => record.offset === offset) ?? {}
    try {
      return value ? peekMessage(value).topic : undefined
    } catch (error) {
      if (error instanceof RecordError) return undefined
      throw error
    }
  }

  /** The new state takes the place of the former, and what was left behind goes. Reads nothing that an earlier attempt could have taken away. */
  async #commit(): Promise<void> {
    const { topics, to, say, log, now } = this.#options
    for (let shard = 0; shard < to; shard++) {
      const snapshots = await latest(log, topics.snapshots, shard)
      const closing = snapshots.get(closingKey.toString())
      if (closing) {
        await this.#write(shard, topics.snapshots, closedKey.toString(), closing.value, now())
        await this.#write(shard, topics.snapshots, closingKey.toString(), null, now())
      }
      const closed = closing ?? snapshots.get(closedKey.toString())
      const kept = closed ? chunksOf(closed.value) : new Set<string>()
      await this.#forget(
        shard,
        topics.snapshots,
        [...snapshots.keys()].filter((key) => key.startsWith('chunk/') && !kept.has(key)),
      )
      const isElsewhere = (key: string): boolean => !isFence(key) && partitionOf(key, to) !== shard
      await this.#forget(shard, topics.retained, [...(await latest(log, topics.retained, shard)).keys()].filter(isElsewhere))
      const deliveries = [...(await latest(log, topics.deliveries, shard)).keys()]
      await this.#forget(
        shard,
        topics.deliveries,
        deliveries.filter((key) => (shardOfDelivery(key, to) ?? shard) !== shard),
      )
    }
    // Whoever tried to start meanwhile has made it anew, as it was.
    if (await log.topicExists(topics.checkpoints)) await log.addPartitions(topics.checkpoints, to)
    say('the new state counts')
  }

  async #forget(shard: number, topic: string, keys: readonly string[]): Promise<void> {
    await inTurns(keys.map((key) => () => this.#write(shard, topic, key, null, this.#options.now())))
  }

  #write(shard: number, topic: string, key: string, value: Buffer | null, timestamp: number): Promise<number> {
    return (this.#fenced[shard] as Appender).write({ topic, partition: shard, key: Buffer.from(key), value, timestamp })
  }
}

const perShard = (count: number, of: (shard: number) => number): number[] => Array.from({ length: count }, (_, shard) => of(shard))

/** Keys of fences begin with a byte that no topic has. */
const isFence = (key: string): boolean => key.charCodeAt(0) === 0

/** The lowest position that a retained message has; 0 when none was ever moved. */
function lowestPosition(stands: ReadonlyMap<string, Stands>): number {
  let lowest = 0
  for (const [key, { value }] of stands) {
    const record = isFence(key) ? undefined : decodeRecord(value)
    if (record?.name === 'Retained') lowest = Math.min(lowest, record.value.offset)
  }
  return lowest
}

/** Undefined for what belongs to the shard itself. */
function shardOfDelivery(key: string, shards: number): number | undefined {
  if (Buffer.from(key).equals(deliveriesFenceKey())) return undefined
  const [topic = '', name = ''] = key.split('/')
  return partitionOf(`${topic}/${name}`, shards)
}

function chunksOf(closing: Buffer): ReadonlySet<string> {
  const { name, value } = decodeRecord(closing)
  if (name !== 'SnapshotClosed') throw new Error(`a ${name} stands where a snapshot ends`)
  return new Set(Array.from({ length: value.chunks }, (_, chunk) => chunkKey(value.generation, chunk)))
}

/** So many at a time; what they answer, in their order. */
async function inTurns(writes: readonly (() => Promise<number>)[]): Promise<number[]> {
  const offsets: number[] = []
  for (let from = 0; from < writes.length; from += writesMax) offsets.push(...(await Promise.all(writes.slice(from, from + writesMax).map((write) => write()))))
  return offsets
}
