/** A process's view of the shared log that can be killed: from then on nothing is answered and nothing more is written. */
import type { Append, Appended, Appender, Follower, FollowOptions, Log, LogHealth, Membership, MembershipEvents, TopicSpec } from '../../log/log.ts'
import { MemoryLog, type MemoryStore } from '../../log/memory-log.ts'

const never = <T>(): Promise<T> => new Promise<T>(() => {})

export class ProcessLog implements Log {
  readonly #inner: MemoryLog
  readonly #memberships: Membership[] = []
  readonly #followers: Follower[] = []
  #owned: readonly number[] = []
  #onRevoked: MembershipEvents['onRevoked'] | undefined
  #isDead = false
  /** Membership events are no longer told: the process has lost the group and does not know. */
  #isDeaf = false
  /** What a stopped process will find when it goes on, and what it will do then, in their order. */
  #held: (() => void)[] | null = null

  constructor(store: MemoryStore) {
    this.#inner = new MemoryLog(store)
  }

  /** kill -9. What was handed to the log may still get there. The group notices when `expel` is called. */
  kill(): void {
    this.#isDead = true
    this.#isDeaf = true
    // One that follows nothing would look for it for ever, on real timers once the test is over.
    for (const follower of this.#followers) void follower.close()
  }

  /** SIGSTOP: nothing is heard, and what would be written is written when it goes on. */
  standStill(): void {
    this.#held ??= []
  }

  /** SIGCONT. */
  goOn(): void {
    const held = this.#held ?? []
    this.#held = null
    for (const work of held) work()
  }

  /** In its turn behind what is held. */
  #whenAwake(work: () => void): void {
    if (this.#held) this.#held.push(work)
    else work()
  }

  /** It learns that it was expelled. */
  async hear(): Promise<void> {
    if (!this.#isDead) await this.#onRevoked?.([...this.#owned])
  }

  /** The group gives this process's share to others; it is not told before it can `hear`. */
  async expel(): Promise<void> {
    this.#isDeaf = true
    for (const membership of this.#memberships.splice(0)) await membership.close()
  }

  async #answer<T>(answer: Promise<T>): Promise<T> {
    if (this.#isDead) return never()
    try {
      const value = await answer
      if (this.#held) await new Promise<void>((resolve) => this.#whenAwake(resolve))
      return this.#isDead ? never() : value
    } catch (error) {
      if (this.#isDead) return never()
      throw error
    }
  }

  async appender(options?: { readonly transactionalId?: string }): Promise<Appender> {
    return this.#guard(await this.#answer(this.#inner.appender(options)))
  }

  #guard(inner: Appender): Appender {
    const isDead = (): boolean => this.#isDead
    const whenAwake = (work: () => void): void => this.#whenAwake(work)
    return {
      append(record: Append, done: Appended): void {
        whenAwake(() => {
          if (isDead()) return
          inner.append(record, (error, offset) => {
            whenAwake(() => {
              if (!isDead()) done(error, offset)
            })
          })
        })
      },
      write: (record) => this.#answer(new Promise((resolve, reject) => whenAwake(() => void (isDead() || inner.write(record).then(resolve, reject))))),
      get pendingBytes() {
        return inner.pendingBytes
      },
      get stalledMs() {
        return inner.stalledMs
      },
      fence: (topic, partitions) => this.#answer(isDead() ? never() : inner.fence(topic, partitions)),
      flush: () => this.#answer(inner.flush()),
      close: () => this.#answer(inner.close()),
    }
  }

  async follow(options: FollowOptions): Promise<Follower> {
    const inner = await this.#answer(this.#inner.follow(options))
    this.#followers.push(inner)
    const answer = <T>(value: Promise<T>): Promise<T> => this.#answer(value)
    async function* answered<T>(iterable: AsyncIterable<T>): AsyncGenerator<T> {
      const iterator = iterable[Symbol.asyncIterator]()
      for (;;) {
        const next = await answer(iterator.next())
        if (next.done) return
        yield next.value
      }
    }
    return {
      stretches: () => answered(inner.stretches()),
      together: () => answered(inner.together()),
      seek: (partition, offset) => inner.seek(partition, offset),
      remove: (partition) => inner.remove(partition),
      close: () => answer(inner.close()),
    }
  }

  read = (topic: string, partition: number, offset: number, maxBytes?: number) => this.#answer(this.#inner.read(topic, partition, offset, maxBytes))
  readMany = (topic: string, from: ReadonlyMap<number, number>, maxBytes?: number) => this.#answer(this.#inner.readMany(topic, from, maxBytes))
  endOffsets = (topic: string) => this.#answer(this.#inner.endOffsets(topic))
  startOffsets = (topic: string) => this.#answer(this.#inner.startOffsets(topic))
  offsetsAt = (topic: string, timestampMs: number) => this.#answer(this.#inner.offsetsAt(topic, timestampMs))
  createTopics = (specs: readonly TopicSpec[]) => this.#answer(this.#inner.createTopics(specs))
  addPartitions = (topic: string, count: number) => this.#answer(this.#inner.addPartitions(topic, count))
  groupMembers = (group: string) => this.#answer(this.#inner.groupMembers(group))
  topicExists = (topic: string) => this.#answer(this.#inner.topicExists(topic))
  deleteTopics = (topics: readonly string[]) => this.#answer(this.#inner.deleteTopics(topics))
  topicSettings = (topic: string) => this.#answer(this.#inner.topicSettings(topic))
  changeTopicSettings = (topic: string, settings: Readonly<Record<string, string>>) => this.#answer(this.#inner.changeTopicSettings(topic, settings))
  commitOffsets = (group: string, topic: string, offsets: ReadonlyMap<number, number>) => this.#answer(this.#inner.commitOffsets(group, topic, offsets))
  partitions = (topic: string) => this.#answer(this.#inner.partitions(topic))
  health = (): LogHealth => this.#inner.health()
  close = () => this.#answer(this.#inner.close())

  async join(options: { readonly group: string; readonly topic: string; readonly instance: string } & MembershipEvents): Promise<Membership> {
    this.#onRevoked = options.onRevoked.bind(options)
    const membership = await this.#inner.join({
      ...options,
      onAssigned: async (shards) => {
        if (this.#isDeaf) return
        this.#owned = shards
        await this.#during(options.onAssigned(shards))
      },
      onRevoked: async (shards) => (this.#isDeaf ? undefined : this.#during(options.onRevoked(shards))),
    })
    // Expelled while it joined.
    if (this.#isDeaf) await membership.close()
    else this.#memberships.push(membership)
    return this.#answer(Promise.resolve(membership))
  }

  /** The group does not wait for a process that died meanwhile. */
  async #during(told: void | Promise<void>): Promise<void> {
    if (!told) return
    let isDone = false
    void told.then(() => {
      isDone = true
    })
    while (!isDone && !this.#isDeaf) await new Promise((resolve) => setImmediate(resolve))
  }
}
