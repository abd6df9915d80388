/**
 * The router's side of the link, as little of it as a gateway needs: owns every shard, answers attaches from the real
 * session fold, delivers each message by its filters, numbers what persistent sessions are owed.
 */
import type { Log } from '../../../log/log.ts'
import { partitionOf } from '../../../log/partitioner.ts'
import { SessionFold } from '../../../model/session-fold.ts'
import { matches } from '../../../mqtt/topic.ts'
import { dialDelivery, FrameLink } from '../../../proto/delivery.ts'
import type { Ack, DeliveredMessage, Frame, GatewayFrame, Receiver, RouterFrame } from '../../../proto/frames.ts'
import { decodeRecord } from '../../../schemas/codec.ts'
import { peekMessage } from '../../../schemas/message-record.ts'
import type { AnyRecord } from '../../../schemas/records.ts'

export interface FakeRouterOptions {
  readonly log: Log
  readonly topics: { readonly messages: string; readonly sessions: string }
  readonly partitions: number
  readonly address: string
  readonly incarnation: number
  readonly term?: number
  /** The home namespace when not given. */
  readonly namespace?: string
}

export class FakeRouter {
  readonly received: GatewayFrame[] = []
  readonly acks: Ack[] = []
  readonly records: { readonly offset: number; readonly record: AnyRecord }[] = []
  answersAttaches = true
  /** False: its answers say only how many filters a session holds. */
  namesFilters = true
  delivers = true
  ended: string | null = null
  readonly #options: FakeRouterOptions
  readonly #client: { close(): void }
  readonly #link: FrameLink
  readonly #folds: readonly SessionFold[]
  readonly #followers: { close(): Promise<void> }[] = []
  readonly #numbers = new Map<string, number>()
  readonly #watchers = new Set<() => void>()

  static async start(options: FakeRouterOptions): Promise<FakeRouter> {
    const router = new FakeRouter(options)
    await router.until(() => router.received.some((frame) => frame.kind === 'welcome') || router.ended !== null)
    for (let shard = 0; shard < options.partitions; shard++) router.send({ kind: 'own', shard, term: options.term ?? 1 })
    await router.#follow()
    return router
  }

  private constructor(options: FakeRouterOptions) {
    this.#options = options
    const client = dialDelivery(options.address, undefined, options.namespace)
    this.#client = client
    this.#folds = Array.from({ length: options.partitions }, (_, shard) => new SessionFold(shard))
    this.#link = new FrameLink(client.link(), {
      onFrame: (frame: Frame) => {
        this.received.push(frame as GatewayFrame)
        if (frame.kind === 'acks') this.acks.push(...frame.acks)
        this.#notify()
      },
      onEnd: (reason) => {
        this.ended = reason
        this.#notify()
      },
    })
    this.send({ kind: 'hello', router: 'fake', incarnation: options.incarnation })
  }

  send(frame: RouterFrame): void {
    this.#link.send(frame)
  }

  /** Resolves when the condition holds; looked at whenever something arrives. */
  async until(condition: () => boolean, deadlineMs = 60_000): Promise<void> {
    const deadline = Date.now() + deadlineMs
    while (!condition()) {
      if (Date.now() > deadline) throw new Error('the condition did not come true in time')
      await new Promise<void>((resolve) => {
        const timer = setTimeout(done, 50)
        const watchers = this.#watchers
        function done(): void {
          clearTimeout(timer)
          watchers.delete(done)
          resolve()
        }
        watchers.add(done)
      })
    }
  }

  /** Records of one kind, of one client. */
  of<N extends AnyRecord['name']>(name: N, clientId?: string): Extract<AnyRecord, { name: N }>['value'][] {
    return this.records.flatMap(({ record }) =>
      record.name === name && (clientId === undefined || (record.value as { clientId?: string }).clientId === clientId) ? [record.value as never] : [],
    )
  }

  session(clientId: string) {
    return this.#folds[partitionOf(clientId, this.#options.partitions)]?.sessions.get(clientId)
  }

  async close(): Promise<void> {
    this.#link.close('done')
    this.#client.close()
    await Promise.all(this.#followers.map((follower) => follower.close()))
  }

  async #follow(): Promise<void> {
    const { log, topics, partitions } = this.#options
    const from = new Map(Array.from({ length: partitions }, (_, partition) => [partition, 0] as const))
    const sessions = await log.follow({ topic: topics.sessions, from })
    const messages = await log.follow({ topic: topics.messages, from })
    this.#followers.push(sessions, messages)
    const run = async (): Promise<void> => {
      for await (const stretch of sessions.stretches()) {
        for (const { offset, value } of stretch.records) if (value) this.#session(stretch.partition, offset, decodeRecord(Buffer.from(value)))
        this.#notify()
      }
    }
    const match = async (): Promise<void> => {
      for await (const stretch of messages.stretches()) {
        const delivered: DeliveredMessage[] = []
        const owed = new Map<number, DeliveredMessage[]>()
        for (const { offset, value } of stretch.records) {
          if (!value) continue
          const copy = Buffer.from(value)
          this.records.push({ offset, record: decodeRecord(copy) })
          if (this.delivers) this.#match(stretch.partition, offset, copy, delivered, owed)
        }
        if (stretch.records.length === 0) continue
        const term = this.#options.term ?? 1
        const first = stretch.records[0]?.offset ?? 0
        if (delivered.length > 0) this.send({ kind: 'direct', shard: stretch.partition, term, from: first, to: stretch.nextOffset, messages: delivered })
        for (const [shard, list] of owed) this.send({ kind: 'owed', shard, term, messages: list })
        this.#notify()
      }
    }
    void run().catch(() => {})
    void match().catch(() => {})
  }

  #session(shard: number, offset: number, record: AnyRecord): void {
    this.records.push({ offset, record })
    const term = this.#options.term ?? 1
    for (const change of (this.#folds[shard] as SessionFold).apply(offset, record)) {
      if (change.kind !== 'attached' && change.kind !== 'refused') continue
      const { connection, connectionId } = change.record
      if (change.kind === 'attached' && change.replaced) {
        this.send({ kind: 'close', shard, term, connection: change.replaced.connection, reasonCode: 0x8e, reason: 'SessionTakenOver' })
      }
      if (!this.answersAttaches) continue
      const session = change.kind === 'attached' ? change.session : null
      const filters = [...(session?.subscriptions.keys() ?? [])]
      this.send({
        kind: 'attachAnswer',
        shard,
        term,
        connection,
        connectionId,
        reasonCode: session ? 0 : 0x87,
        session: session?.id ?? 0,
        epoch: session?.epoch ?? 0,
        sessionPresent: change.kind === 'attached' && change.isPresent,
        uses: session?.uses?.encode() ?? Buffer.alloc(0),
        filters: this.namesFilters ? filters : filters.length,
      })
    }
  }

  #match(partition: number, offset: number, value: Buffer, direct: DeliveredMessage[], owed: Map<number, DeliveredMessage[]>): void {
    const message = peekMessage(value)
    const receivers: Receiver[] = []
    for (const fold of this.#folds) {
      for (const session of fold.sessions.values()) {
        const hits = [...session.subscriptions.values()].filter(
          ({ filter, noLocal }) => matches(filter, message.topic) && !(noLocal && message.clientId === session.clientId),
        )
        if (hits.length === 0 || !session.attached) continue
        const qos = Math.min(message.qos, Math.max(...hits.map((hit) => hit.qos))) as 0 | 1
        const base = {
          connection: session.attached.connection,
          qos,
          dup: false,
          retain: false,
          subscriptionIdentifiers: hits.flatMap((hit) => (hit.subscriptionIdentifier === null ? [] : [hit.subscriptionIdentifier])),
        }
        if (qos === 0 || session.expiryInterval === 0) receivers.push({ ...base, number: -1 })
        else {
          const number = this.#numbers.get(session.clientId) ?? 0
          this.#numbers.set(session.clientId, number + 1)
          const list = owed.get(fold.shard) ?? []
          owed.set(fold.shard, list)
          list.push({ source: partition, offset, value, receivers: [{ ...base, number }] })
        }
      }
    }
    if (receivers.length > 0) direct.push({ source: partition, offset, value, receivers })
  }

  #notify(): void {
    for (const watcher of [...this.#watchers]) watcher()
  }
}
