import type { Follower, Log, Stretch } from '../log/log.ts'
import type { RouterConfig } from './config.ts'
import type { Gateways } from './gateways.ts'
import type { OwnedShard } from './owned-shard.ts'
import type { ReplayTurns } from './replay-turns.ts'
import type { SessionChanges } from './session-changes.ts'
import type { SessionsTail } from './sessions-tail.ts'
import type { Standing } from './shard-levels.ts'

export interface ShardLoopsOptions {
  readonly config: Pick<RouterConfig, 'partitions' | 'outstandingBytesMax'>
  readonly log: Pick<Log, 'health'>
  readonly now: () => number
  /** By shard: those of this router. */
  readonly owned: ReadonlyMap<number, OwnedShard>
  readonly tail: SessionsTail
  readonly sessionChanges: SessionChanges
  readonly gateways: Gateways
  readonly replayTurns: ReplayTurns
  onStuck(error: Error): void
}

/** A loop that hands on nothing for this long, although Kafka answers and empty stretches come twice a second, is stuck, ms. */
const stuckMs = 60_000
/** Topics that begin with it are the broker's, or nobody's that could be in a hurry. */
const dollar = '$'.charCodeAt(0)

/** The loops that serve a router's shards: one matches what is published, one delivers what the inboxes owe. Neither waits for the other. */
export class ShardLoops {
  readonly #options: ShardLoopsOptions
  readonly #standings = new Map<number, Standing>()
  /** When they last handed something on. */
  readonly #aliveAt = { match: 0, deliver: 0 }

  constructor(options: ShardLoopsOptions) {
    this.#options = options
  }

  /** Matches what is published. */
  async match(messages: Follower): Promise<void> {
    const { config, now, tail, owned: all, sessionChanges, gateways } = this.#options
    for await (const stretches of messages.together()) {
      // As it is owned now: what was fetched for one owner is not the next one's.
      const taken = stretches.map((stretch) => ({ stretch, owned: all.get(stretch.partition) }))
      for (const { stretch, owned } of taken) if (owned) this.#seen(stretch)
      // A subscription that was acknowledged before one of these was published is known after this.
      if (taken.some(({ stretch, owned }) => owned && stretch.records.length > 0)) await tail.catchUp()
      for (const { stretch, owned } of taken) {
        this.#aliveAt.match = now()
        if (!owned) continue
        if (stretch.records.length > 0) await owned.source.room(config.outstandingBytesMax)
        while (sessionChanges.hasMetUnknownGateway()) await gateways.catchUp()
        const from = owned.source.taken
        owned.source.take(stretch)
        this.#tellReplays(stretch)
        owned.routes.offer(from, stretch)
        owned.audit?.offer(from, stretch)
      }
    }
  }

  /** Delivers what the inboxes owe. */
  async deliver(inboxes: Follower): Promise<void> {
    const { now, owned } = this.#options
    for await (const stretch of inboxes.stretches()) {
      this.#aliveAt.deliver = now()
      this.#standingOf(stretch.partition).inboxEnd = stretch.endOffset
      await owned.get(stretch.partition)?.inbox(stretch)
    }
  }

  /** What was last heard of a shard's partitions; undefined before anything was. */
  standing(shard: number): Standing | undefined {
    return this.#standings.get(shard)
  }

  /** The shard is not this router's any more. */
  forget(shard: number): void {
    this.#standings.delete(shard)
  }

  /** There was nothing to hand on until now. */
  begin(): void {
    this.#aliveAt.match = this.#aliveAt.deliver = this.#options.now()
  }

  /** Starting anew from the log beats standing still, whatever the cause. `mayRest`: nobody can expect the loops to hand anything on. */
  endWhenStuck(mayRest: boolean): void {
    const { log, now, owned, onStuck } = this.#options
    if (owned.size === 0 || mayRest || !log.health().reachable) {
      this.begin()
      return
    }
    for (const [loop, at] of Object.entries(this.#aliveAt)) {
      if (now() - at > stuckMs) onStuck(new Error(`the loop to ${loop} has handed nothing on for ${stuckMs} ms, although Kafka answers`))
    }
  }

  /** Replays make room for what is published, and go on above its rate; the broker's own probes are nothing to them. */
  #tellReplays({ records }: Stretch): void {
    const oldest = records.find(({ key }) => key?.[0] !== dollar)
    if (!oldest) return
    const { config, owned, replayTurns } = this.#options
    // Of other routers' shards come as many, more or less; the last of its own may just have been taken away.
    const share = config.partitions / Math.max(1, owned.size)
    let bytes = 0
    for (const { value } of records) bytes += value?.length ?? 0
    const now = this.#options.now()
    replayTurns.live(now - oldest.timestamp, { messages: records.length * share, bytes: bytes * share }, now)
  }

  #seen(stretch: Stretch): void {
    const standing = this.#standingOf(stretch.partition)
    standing.messagesEnd = stretch.endOffset
    standing.matchedAt = stretch.records.at(-1)?.timestamp ?? standing.matchedAt
  }

  #standingOf(shard: number): Standing {
    const known = this.#standings.get(shard)
    if (known) return known
    const standing = { messagesEnd: 0, matchedAt: 0, inboxEnd: 0 }
    this.#standings.set(shard, standing)
    return standing
  }
}
