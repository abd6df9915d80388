/**
 * Random histories of a client that publishes at QoS 2, with ends and crashes between any two moves.
 *
 * The model: a client that keeps to MQTT 5, and says whatever surprises it. What is tried: the pure parts between that client
 * and what is matched, as they are: the publishing half of its connection (Publishing), the fold of its session with the uses of
 * packet ids (SessionFold, PacketUses), and what the owner of its topics holds against repeats (HeldMessages). The shell that
 * joins them is the test's own and as simple as can be: lines that keep order and are cut, two journals that take what a gateway
 * had under way late or never, an owner that dies and is made anew from what it told.
 */
import { expect, test } from '@jest/globals'
import type { Principal } from '../../../access/principal.ts'
import { Output } from '../../../gateway/output.ts'
import { type PublishHost, Publishing } from '../../../gateway/publishing.ts'
import type { Appended } from '../../../log/log.ts'
import { PacketUses } from '../../../model/packet-uses.ts'
import { SessionFold } from '../../../model/session-fold.ts'
import type { PublishPacket } from '../../../mqtt/packet.ts'
import { HeldMessages } from '../../../router/held-messages.ts'
import type { HeldMessage } from '../../../schemas/inbox-records.ts'
import { type RepeatableId, RepeatableKind, readRepeatableId } from '../../../schemas/message-id.ts'
import type { AnyRecord } from '../../../schemas/records.ts'
import fc from '../../support/fast-check.ts'
import { clientOf, config, metricsOf, taken } from '../gateway/client-parts.ts'
import { attached } from '../model/session-records.ts'

const shard = 2
const packetIds = [1, 2, 3] as const
const metrics = metricsOf()

/** What a client publishes, told apart by its payload. */
interface Sent {
  readonly message: number
  isReceived: boolean
}
type FromClient =
  | { readonly type: 'publish'; readonly id: number; readonly message: number; readonly dup: boolean }
  | { readonly type: 'pubrel'; readonly id: number }

interface Append<T> {
  readonly record: T
  readonly done: Appended
}

/** From one gateway to one partition: Kafka keeps the order, and may take late what nobody waits for any more. */
class Line<T> {
  readonly #journal: T[]
  readonly #waiting: Append<T>[] = []
  readonly #unanswered: { readonly done: Appended; readonly offset: number }[] = []

  constructor(journal: T[]) {
    this.#journal = journal
  }

  append(record: T, done: Appended): void {
    this.#waiting.push({ record, done })
  }

  land(count: number): void {
    for (const { record, done } of this.#waiting.splice(0, count)) this.#unanswered.push({ done, offset: this.#journal.push(record) - 1 })
  }

  answer(count: number): void {
    for (const { done, offset } of this.#unanswered.splice(0, count)) done(null, offset)
  }

  /** The gateway dies: it hears no answer, and what it had not sent is gone. */
  die(sent: number): void {
    this.#waiting.splice(sent)
    for (const [index, { record }] of this.#waiting.entries()) this.#waiting[index] = { record, done: () => {} }
    this.#unanswered.length = 0
  }
}

interface Message {
  readonly id: Buffer
  readonly message: number
}

/** Who owns the client's topics: knows the fold of the session, and what an owner before it has told. */
class Owner {
  readonly fold = new SessionFold(shard)
  readonly held = new HeldMessages(1_000)
  position: number
  readonly untold: HeldMessage[] = []

  constructor(sessions: readonly AnyRecord[], told: readonly HeldMessage[], position: number) {
    this.position = position
    for (const { id, offset } of told) this.held.hold(id, offset, false)
    this.follow(sessions)
    this.held.settle((id) => this.#isOver(id))
  }

  follow(sessions: readonly AnyRecord[]): void {
    for (let offset = this.fold.position; offset < sessions.length; offset++) {
      for (const change of this.fold.apply(offset, sessions[offset] as AnyRecord)) {
        if (change.kind !== 'released') continue
        this.held.letGo({ kind: RepeatableKind.Publish, shard, session: change.session.id, use: change.use, detail: change.packetId })
      }
    }
  }

  /** Whether the record counts. */
  take({ id }: Message): boolean {
    const offset = this.position++
    if (this.held.isRepeat(id, offset)) return false
    this.held.hold(id, offset, this.#isOver(readRepeatableId(id)))
    this.untold.push({ id, offset })
    return true
  }

  #isOver({ session, use, detail }: RepeatableId): boolean {
    const live = this.fold.live(session)
    return !live || (live.uses?.of(detail) ?? 0) !== use
  }
}

/** One connection, as client and gateway have it. */
class Connection {
  readonly toGateway: FromClient[] = []
  /** PUBREC and PUBCOMP, as hexadecimal packets. */
  readonly toClient: string[] = []
  readonly output = new Output()
  readonly messages: Line<Message>
  readonly sessions: Line<AnyRecord>
  readonly publishing: Publishing

  constructor(journals: History, epoch: number, session: { readonly id: number; readonly isPresent: boolean; readonly uses: PacketUses }) {
    this.messages = new Line(journals.messages)
    this.sessions = new Line(journals.sessions)
    const host: PublishHost = {
      config,
      metrics,
      registryVersion: 1,
      logIsFull: false,
      partitionOf: () => 0,
      access: { mayPublish: () => 'allowed' },
      now: () => 0,
      sealingReadiness: () => 'ready',
      messages: {
        append: (_identity, _topic, packet, done, id) => {
          if (id === undefined) throw new Error('another gateway could not make the same id')
          this.messages.append({ id, message: packet.payload.readUInt32BE() }, done)
          return 0
        },
      },
    }
    const owner = {
      principal: { authenticationName: 'device' } as Principal,
      onRefused: (topic: string) => {
        throw new Error(`${topic} was refused`)
      },
      onReleased: (packetId: number, done: Appended) => this.sessions.append({ name: 'Released', value: { clientId: 'c', epoch, at: 1_500, packetId } }, done),
      onAcknowledged: () => void this.toClient.push(...taken(this.output)),
      onPublishLost: (error: Error) => {
        throw error
      },
    }
    this.publishing = new Publishing(host, owner, clientOf(5), { ...session, shard }, this.output)
  }

  take(packet: FromClient): void {
    if (packet.type === 'pubrel') {
      this.publishing.release(packet.id)
      return
    }
    const payload = Buffer.alloc(4)
    payload.writeUInt32BE(packet.message)
    const { id: packetId, dup } = packet
    const result = this.publishing.receive({ type: 'publish', topic: 't', payload, qos: 2, dup, retain: false, packetId } as PublishPacket)
    if (result !== 'taken') throw new Error(`PUBLISH ${packetId} was not taken: ${JSON.stringify(result)}`)
  }
}

class History {
  readonly sessions: AnyRecord[] = []
  readonly messages: Message[] = []
  /** The offsets that counted, by message, for any owner. */
  readonly counted = new Map<number, Set<number>>()
  published = 0
  readonly #flights = new Map<number, Sent>()
  /** Of this connection and those before it. */
  readonly #lines: (Line<Message> | Line<AnyRecord>)[] = []
  readonly #told: HeldMessage[] = []
  #toldTo = 0
  #connection: Connection | null = null
  #owner = new Owner([], [], 0)

  publish(id: number): void {
    const connection = this.#connection
    if (!connection || this.#flights.has(id)) return
    const message = this.published++
    this.#flights.set(id, { message, isReceived: false })
    connection.toGateway.push({ type: 'publish', id, message, dup: false })
  }

  /** At a gateway of its own each time; what went before is sent again. */
  connect(): void {
    this.lose()
    const epoch = this.sessions.push(attached('c', { connection: this.sessions.length + 1 })) - 1
    this.#owner.follow(this.sessions)
    const session = this.#owner.fold.sessions.get('c')
    if (!session) throw new Error('the client has no session')
    const uses = session.uses ? PacketUses.decode(session.uses.encode()) : new PacketUses()
    const connection = new Connection(this, epoch, { id: session.id, isPresent: epoch !== session.id, uses })
    this.#connection = connection
    this.#lines.push(connection.messages, connection.sessions)
    for (const [id, { message, isReceived }] of this.#flights)
      connection.toGateway.push(isReceived ? { type: 'pubrel', id } : { type: 'publish', id, message, dup: true })
  }

  lose(): void {
    this.#connection?.publishing.close()
    this.#connection = null
  }

  /** What it had sent to Kafka may still be taken. */
  crashGateway(sent: number): void {
    const connection = this.#connection
    if (!connection) return
    this.#connection = null
    connection.messages.die(sent)
    connection.sessions.die(sent)
  }

  crashOwner(): void {
    this.#owner = new Owner(this.sessions, this.#told, this.#toldTo)
  }

  /** Packets reach the gateway. */
  send(count: number): void {
    const { toGateway } = this.#connection ?? { toGateway: [] }
    for (const packet of toGateway.splice(0, count)) this.#connection?.take(packet)
  }

  /** Acknowledgements reach the client. */
  hear(count: number): void {
    const connection = this.#connection
    for (const packet of connection?.toClient.splice(0, count) ?? []) {
      const id = Number.parseInt(packet.slice(4, 8), 16)
      const flight = this.#flights.get(id)
      if (packet === `5002${packet.slice(4, 8)}` && flight?.isReceived === false) {
        flight.isReceived = true
        connection?.toGateway.push({ type: 'pubrel', id })
      } else if (packet === `7002${packet.slice(4, 8)}` && flight?.isReceived === true) this.#flights.delete(id)
      else throw new Error(`${packet} answers nothing: ${JSON.stringify(flight)}`)
    }
  }

  land(line: number, count: number): void {
    this.#lines.at(-1 - (line % (this.#lines.length || 1)))?.land(count)
  }

  answer(line: number, count: number): void {
    this.#lines.at(-1 - (line % (this.#lines.length || 1)))?.answer(count)
  }

  /** One round with a gateway that is well. */
  exchange(): void {
    this.send(1)
    for (const line of [0, 1]) {
      this.land(line, 1)
      this.answer(line, 1)
    }
    this.hear(1)
  }

  /** The owner reads on; it knows at least what stood in `sessions` when the messages were fetched. */
  match(count: number): void {
    this.#owner.follow(this.sessions)
    for (let left = count; left > 0 && this.#owner.position < this.messages.length; left--) {
      const offset = this.#owner.position
      const record = this.messages[offset] as Message
      if (this.#owner.take(record)) this.counted.set(record.message, (this.counted.get(record.message) ?? new Set()).add(offset))
    }
  }

  /** What is held goes into the journal, and the progress behind it, unless the owner dies in between. */
  tell(dies: boolean): void {
    this.#told.push(...this.#owner.untold.splice(0))
    if (dies) this.crashOwner()
    else this.#toldTo = this.#owner.position
  }

  /** All is well from now on. */
  settle(): void {
    if (!this.#connection) this.connect()
    for (let round = 0; this.#flights.size > 0; round++) {
      if (round > 100) throw new Error(`${JSON.stringify([...this.#flights])} are under way and do not end`)
      this.send(100)
      this.#allLines()
      this.hear(100)
    }
    this.#allLines()
    this.match(Number.POSITIVE_INFINITY)
  }

  #allLines(): void {
    for (const line of this.#lines) {
      line.land(Number.POSITIVE_INFINITY)
      line.answer(Number.POSITIVE_INFINITY)
    }
  }
}

type Move = (history: History) => void
const few = fc.integer({ min: 1, max: 3 })
// A line of the connection that stands, mostly, or of those before it.
const line = fc.oneof({ weight: 3, arbitrary: fc.nat({ max: 1 }) }, { weight: 2, arbitrary: fc.nat({ max: 5 }) })
const moves = (weight: number, arbitrary: fc.Arbitrary<Move>) => ({ weight, arbitrary })
const move = fc.oneof(
  moves(
    8,
    fc.constantFrom(...packetIds).map((id) => (history) => history.publish(id)),
  ),
  moves(
    8,
    few.map((count) => (history) => history.send(count)),
  ),
  moves(
    8,
    few.map((count) => (history) => history.hear(count)),
  ),
  moves(
    10,
    fc.tuple(line, few).map(
      ([which, count]) =>
        (history) =>
          history.land(which, count),
    ),
  ),
  moves(
    10,
    fc.tuple(line, few).map(
      ([which, count]) =>
        (history) =>
          history.answer(which, count),
    ),
  ),
  moves(
    8,
    fc.constant((history) => history.exchange()),
  ),
  moves(
    6,
    few.map((count) => (history) => history.match(count)),
  ),
  moves(
    3,
    fc.constant((history) => history.tell(false)),
  ),
  moves(
    1,
    fc.constant((history) => history.tell(true)),
  ),
  moves(
    3,
    fc.constant((history) => history.connect()),
  ),
  moves(
    1,
    fc.constant((history) => history.lose()),
  ),
  moves(
    1,
    fc.nat({ max: 3 }).map((sent) => (history) => history.crashGateway(sent)),
  ),
  moves(
    1,
    fc.constant((history) => history.crashOwner()),
  ),
)

test('a message that a client publishes at QoS 2 counts once, whatever ends or dies between its PUBLISH and its PUBCOMP [MQTT-4.3.3-10]', () => {
  const numRuns = process.env.LOGGERHEAD_TEST_LONG === '1' ? 50_000 : 1_500
  fc.assert(
    fc.property(fc.array(move, { minLength: 20, maxLength: 200, size: 'max' }), (list) => {
      const history = new History()
      for (const each of list) each(history)
      history.settle()
      const times = Array.from({ length: history.published }, (_, message) => history.counted.get(message)?.size ?? 0)
      expect(times).toEqual(times.map(() => 1))
    }),
    { numRuns },
  )
}, 600_000)
