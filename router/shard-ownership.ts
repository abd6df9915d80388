import type { Logger } from 'pino'
import { FencedError } from '../log/log.ts'
import type { OwnedShard } from './owned-shard.ts'
import type { Applied } from './shard-taking.ts'

export interface ShardOwnershipOptions {
  readonly logger: Logger
  /** As OwnedShard's; `captured` is what is folded of the shard's sessions until it resolves. Rejects with FencedError when another router has taken it. */
  take(shard: number, captured: readonly Applied[]): Promise<OwnedShard>
  /** The shard is among `owned`: it is to be served. */
  onTaken(owned: OwnedShard): Promise<void>
  /** It is not any more. */
  onReleased(shard: number): void
  /** A shard that is this router's cannot be served. */
  onFailed(error: Error): void
}

/** A shard that the group gave us and another router took is taken again after this long, ms: one of the two will hear from the group by then. */
const retakeMs = 2_000

/** Which shards a router owns: what the group gives it, less what another router has taken. */
export class ShardOwnership {
  readonly #options: ShardOwnershipOptions
  readonly #owned = new Map<number, OwnedShard>()
  /** Shards that the group says are ours. */
  readonly #assigned = new Set<number>()
  /** Shards being taken, with what was folded of their sessions meanwhile. */
  readonly #taking = new Map<number, Applied[]>()
  readonly #timers: NodeJS.Timeout[] = []
  #isClosing = false

  constructor(options: ShardOwnershipOptions) {
    this.#options = options
  }

  get owned(): ReadonlyMap<number, OwnedShard> {
    return this.#owned
  }

  get isTaking(): boolean {
    return this.#taking.size > 0
  }

  /** The group gives the shards to this router. */
  async take(shards: readonly number[]): Promise<void> {
    for (const shard of shards) this.#assigned.add(shard)
    await Promise.all(shards.map((shard) => this.#takeOne(shard)))
  }

  /** The group gives the shards to somebody else. */
  async revoke(shards: readonly number[]): Promise<void> {
    for (const shard of shards) this.#assigned.delete(shard)
    await this.release(shards)
  }

  /** Another router took the shard: it was given to it, or it was late with what it had been given before. */
  async superseded(owned: OwnedShard): Promise<void> {
    if (this.#owned.get(owned.shard) !== owned) return
    this.#options.logger.warn({ shard: owned.shard, term: owned.term }, 'another router took the shard')
    await this.release([owned.shard])
    this.#retake(owned.shard)
  }

  /** Of a shard that is being taken. */
  captured(shard: number, applied: Applied): void {
    this.#taking.get(shard)?.push(applied)
  }

  async release(shards: readonly number[]): Promise<void> {
    for (const shard of shards) {
      const owned = this.#owned.get(shard)
      if (!owned) continue
      this.#owned.delete(shard)
      this.#options.onReleased(shard)
      await owned.close()
      this.#options.logger.info({ shard }, 'shard released')
    }
  }

  /** No further shard is taken. */
  close(): void {
    this.#isClosing = true
    for (const timer of this.#timers) clearTimeout(timer)
  }

  #retake(shard: number): void {
    this.#timers.push(setTimeout(() => void this.#takeOne(shard), retakeMs))
  }

  async #takeOne(shard: number): Promise<void> {
    if (this.#isClosing || !this.#assigned.has(shard) || this.#owned.has(shard) || this.#taking.has(shard)) return
    const { take, onTaken, onFailed, logger } = this.#options
    const captured: Applied[] = []
    this.#taking.set(shard, captured)
    try {
      const owned = await take(shard, captured)
      if (this.#isClosing || !this.#assigned.has(shard)) {
        await owned.close()
        return
      }
      this.#owned.set(shard, owned)
      await onTaken(owned)
    } catch (error) {
      // A shard that is ours and not served would wait for ever.
      if (!(error instanceof FencedError)) onFailed(error as Error)
      else logger.warn({ shard }, 'another router took the shard meanwhile')
    } finally {
      this.#taking.delete(shard)
      // Whoever wanted to take it meanwhile left that to this one.
      if (!this.#isClosing && this.#assigned.has(shard) && !this.#owned.has(shard)) this.#retake(shard)
    }
  }
}
