/**
 * Random histories of one persistent session, with crashes between any two moves.
 *
 * The model: a client that keeps to MQTT 5 and to its Receive Maximum, and says whatever surprises it. What is tried: the
 * pure parts between the journals and that client, as they are: the folds, their queue, what its shard's owner sends
 * next (ClientSession) and what its gateway remembers (Owed). The shell that joins them is the test's own and as simple as
 * can be: lines that keep order and are cut, two journals, an owner that dies and is made anew from them.
 */
import { expect, test } from '@jest/globals'
import { Owed, packetIdOf } from '../../../gateway/outbound.ts'
import { InboxFold } from '../../../model/inbox-fold.ts'
import { anyAge, oldestToDrop } from '../../../model/queue-limits.ts'
import type { Session } from '../../../model/session.ts'
import { SessionFold } from '../../../model/session-fold.ts'
import type { QueueEntry } from '../../../model/session-queue.ts'
import { ClientSession } from '../../../router/client-session.ts'
import type { AnyRecord } from '../../../schemas/records.ts'
import fc from '../../support/fast-check.ts'
import { attached, detached, entry, indexed, receiver } from '../model/session-records.ts'

type Qos = 1 | 2
interface Published {
  readonly offset: number
  readonly topic: string
  readonly qos: Qos
}
type Packet =
  | { readonly type: 'publish'; readonly id: number; readonly message: Published; readonly dup: boolean }
  | { readonly type: 'pubrel'; readonly id: number }
type Answer = { readonly type: 'puback' | 'pubrec' | 'pubcomp'; readonly id: number }
type Frame = { readonly number: number } & ({ readonly kind: 'owed'; readonly message: Published; readonly dup: boolean } | { readonly kind: 'release' })
interface Ack {
  readonly number: number
  readonly isReceived: boolean
}

/** One connection, as client and gateway have it. */
class Connection {
  readonly receiveMaximum: number
  readonly owed = new Owed()
  readonly toClient: Packet[] = []
  readonly toGateway: Answer[] = []
  /** PUBLISHes that the client has not answered to the end, by packet id. */
  readonly open = new Map<number, Published>()
  readonly seen = new Set<number>()
  /** What the client is about to answer. */
  readonly answers: Answer[] = []

  constructor(receiveMaximum: number) {
    this.receiveMaximum = receiveMaximum
  }
}

class Client {
  readonly first: Published[] = []
  readonly times = new Map<number, number>()
  /** QoS 2 packet ids whose PUBREL has not come, and for what. */
  readonly #received = new Map<number, Published>()
  readonly #seen = new Set<number>()

  /** Messages that it has and still waits to be released: their packet ids are taken. */
  get halfDone(): number {
    return this.#received.size
  }

  take(connection: Connection, packet: Packet): void {
    if (packet.type === 'pubrel') {
      this.#received.delete(packet.id)
      connection.answers.push({ type: 'pubcomp', id: packet.id })
      return
    }
    const { id, message, dup } = packet
    if (connection.seen.has(message.offset)) throw new Error(`${message.offset} came twice on one connection [MQTT-4.4.0-1]`)
    if (this.#seen.has(message.offset) && !dup) throw new Error(`${message.offset} came again without DUP [MQTT-3.3.1-1]`)
    connection.seen.add(message.offset)
    this.#seen.add(message.offset)
    const other = connection.open.get(id) ?? this.#received.get(id)
    if (other && other !== message) throw new Error(`packet id ${id} is ${other.offset}’s and comes with ${message.offset} [MQTT-2.2.1-4]`)
    connection.open.set(id, message)
    if (connection.open.size > connection.receiveMaximum)
      throw new Error(`${connection.open.size} in flight, more than ${connection.receiveMaximum} [MQTT-3.3.4-9]`)
    const isRepeat = message.qos === 2 && this.#received.has(id)
    if (!isRepeat) {
      const times = this.times.get(message.offset) ?? 0
      this.times.set(message.offset, times + 1)
      if (times === 0) this.first.push(message)
    }
    if (message.qos === 2) this.#received.set(id, message)
    connection.answers.push({ type: message.qos === 1 ? 'puback' : 'pubrec', id })
  }

  answer(connection: Connection): void {
    const answer = connection.answers.shift()
    if (!answer) return
    if (answer.type !== 'pubrec') connection.open.delete(answer.id)
    connection.toGateway.push(answer)
  }
}

/** The owner of the session's shard: all it knows is in the journals, but for what it has on the way. */
class Owner {
  readonly fold = new SessionFold(0)
  readonly inbox = new InboxFold(0, 1, this.fold)
  client: ClientSession | null = null
  isProgressed = false

  get session(): Session {
    return this.fold.sessions.get('c') as Session
  }

  /** An owner before this one, or an earlier connection of its, may have sent what stands in the queue. */
  suspect(): void {
    const { queue } = this.session
    queue.sent = Math.max(queue.sent, Math.min(queue.next, queue.cursor + 65_535))
  }

  connect(): void {
    this.client = new ClientSession(this.session, this.session.queue.sent)
  }

  /** The gateway tells what it has of the connection. */
  told(connection: Connection): void {
    const { sent, unacknowledged, received } = connection.owed.state(0, 0)
    this.client?.resume(Math.max(sent, 0), unacknowledged, received)
    this.isProgressed = true
  }
}

class History {
  readonly client = new Client()
  readonly published: Published[] = []
  readonly dropped = new Set<number>()
  readonly #sessions: AnyRecord[] = []
  readonly #inbox: AnyRecord[] = []
  #owner = new Owner()
  #connection: Connection | null = null
  readonly #frames: Frame[] = []
  readonly #acks: Ack[] = []
  /** The owner has not been told of the connection yet, if it lives: nothing is sent. */
  #isUncertain = false

  constructor() {
    this.connect(3)
  }

  get isDone(): boolean {
    return this.#owner.session.queue.length === 0
  }

  publish(topic: string, qos: Qos): void {
    const offset = this.published.length
    this.published.push({ offset, topic, qos })
    this.#append(this.#inbox, indexed(offset, offset + 1, [entry(offset, receiver('c', 0, { qos }))]))
  }

  connect(receiveMaximum: number): void {
    this.#lose()
    // The end of a connection may overtake the acknowledgements before it; nothing is sent on the next one until they have come.
    this.hear(Number.POSITIVE_INFINITY)
    if (this.#isUncertain) this.#owner.suspect()
    this.#isUncertain = false
    this.#append(this.#sessions, attached('c', { connection: this.#sessions.length + 1, receiveMaximum }))
    this.#connection = new Connection(receiveMaximum)
    this.#owner.connect()
  }

  lose(isTold: boolean): void {
    if (!this.#connection) return
    this.#lose()
    if (isTold) this.#detach()
  }

  crashGateway(): void {
    if (!this.#connection) return
    this.#lose()
    this.#acks.length = 0
    this.#detach()
  }

  /** The owner dies; the next one knows the journals, and what the gateway tells. */
  crashOwner(): void {
    this.#frames.length = 0
    this.#acks.length = 0
    const owner = new Owner()
    this.#owner = owner
    for (const [offset, record] of this.#sessions.entries()) owner.fold.apply(offset, record)
    for (const [offset, record] of this.#inbox.entries()) owner.inbox.apply(offset, record)
    const { session } = owner
    if (!session.attached) {
      owner.suspect()
      return
    }
    if (session.id !== session.epoch) owner.suspect()
    owner.connect()
    this.#isUncertain = true
    if (this.#connection) this.#tell(this.#connection)
  }

  /** The link between owner and gateway is lost, and made again. */
  cutLink(): void {
    this.#frames.length = 0
    this.#acks.length = 0
    if (this.#connection) this.#tell(this.#connection)
  }

  /** The owner sends what it may. */
  send(count: number): void {
    const { client, session } = this.#owner
    if (!client || !session.attached || this.#isUncertain) return
    for (let left = count; left > 0; left--) {
      const number = client.next()
      if (number === undefined) return
      if (session.queue.isReceived(number)) {
        if (!session.queue.isReleasable(number)) return
        client.released(number)
        this.#frames.push({ kind: 'release', number })
        continue
      }
      const message = this.published[(session.queue.get(number) as QueueEntry).offset] as Published
      this.#frames.push({ kind: 'owed', number, message, dup: client.sent(number) })
    }
  }

  /** Frames reach the gateway, packets the client. */
  deliver(frames: number, packets: number): void {
    for (const frame of this.#frames.splice(0, frames)) this.#takeFrame(frame)
    for (const packet of this.#connection?.toClient.splice(0, packets) ?? []) this.client.take(this.#connection as Connection, packet)
  }

  /** The client answers, and its answers reach the gateway. */
  answer(answers: number, packets: number): void {
    const connection = this.#connection
    if (!connection) return
    for (let i = 0; i < Math.min(answers, 100); i++) this.client.answer(connection)
    for (const answer of connection.toGateway.splice(0, packets)) this.#takeAnswer(connection, answer)
  }

  /** Acknowledgements reach the owner. */
  hear(count: number): void {
    for (const { number, isReceived } of this.#acks.splice(0, count)) {
      const { client } = this.#owner
      if (isReceived ? client?.received(number) : client?.finish(number)) this.#owner.isProgressed = true
    }
  }

  /** Progress goes into the journal; PUBREL may follow it, unless the owner dies in between. */
  journal(dies: boolean): void {
    const { session, client, isProgressed } = this.#owner
    if (!isProgressed) return
    this.#owner.isProgressed = false
    const { cursor, doneAbove: above, sent, received } = session.queue
    const unreleased = client?.hasUnreleased ? client.takeUnreleased() : []
    const progress = { clientId: 'c', session: 0, cursor, above, sent, received }
    this.#append(this.#inbox, { name: 'Acknowledged', value: { shard: 0, term: 0, sessions: [progress] } })
    if (dies) {
      this.crashOwner()
      return
    }
    session.queue.confirmReceived(received)
    if (session.attached && !this.#isUncertain)
      for (const number of unreleased) if (!session.queue.isDone(number)) this.#frames.push({ kind: 'release', number })
  }

  /** The queue is above its limit, and its oldest go. */
  drop(messages: number): void {
    const { session, client } = this.#owner
    const { queue } = session
    if (this.#isUncertain) return
    const underWay = session.attached && client ? client.nextToSend : 0
    const isKept = ({ number, qos }: QueueEntry): boolean => number < underWay || queue.isReceived(number) || (qos === 2 && number < queue.sent)
    const { queueFull: numbers } = oldestToDrop(queue, { messages, bytes: 1e9, seconds: anyAge, whenFull: 'dropOldest' }, 0, isKept)
    for (const number of numbers) {
      this.dropped.add((queue.get(number) as QueueEntry).offset)
      queue.finish(number)
    }
    if (numbers.length > 0)
      this.#append(this.#inbox, { name: 'Dropped', value: { shard: 0, term: 0, clientId: 'c', session: 0, numbers, reason: 'queueFull' } })
  }

  /** All is well from now on. */
  settle(): void {
    if (!this.#connection) this.connect(3)
    for (let round = 0; !this.isDone; round++) {
      if (round > 10_000) throw new Error(`${this.#owner.session.queue.length} are owed and do not go`)
      this.send(100)
      this.deliver(100, 100)
      this.answer(100, 100)
      this.hear(100)
      this.journal(false)
    }
  }

  #append(journal: AnyRecord[], record: AnyRecord): void {
    const offset = journal.push(record) - 1
    if (journal === this.#sessions) this.#owner.fold.apply(offset, record)
    else this.#owner.inbox.apply(offset, record)
  }

  #detach(): void {
    this.hear(Number.POSITIVE_INFINITY)
    this.#append(this.#sessions, detached('c', this.#owner.session.epoch))
    if (this.#isUncertain) this.#owner.suspect()
    this.#isUncertain = false
    this.#owner.client = null
  }

  #lose(): void {
    this.#connection = null
    this.#frames.length = 0
  }

  #tell(connection: Connection): void {
    this.#isUncertain = false
    this.#owner.told(connection)
  }

  #takeFrame(frame: Frame): void {
    const connection = this.#connection
    if (!connection) return
    if (frame.kind === 'release') {
      const id = connection.owed.release(frame.number)
      if (id !== null) connection.toClient.push({ type: 'pubrel', id })
      return
    }
    const taken = connection.owed.take(frame.number, frame.message.qos)
    if (taken === 'known') return
    if (taken === 'done') this.#acks.push({ number: frame.number, isReceived: false })
    else connection.toClient.push({ type: 'publish', id: taken, message: frame.message, dup: frame.dup })
  }

  #takeAnswer({ owed }: Connection, { type, id }: Answer): void {
    if (owed.flight(id) !== type) throw new Error(`${type} ${id} answers nothing: ${owed.flight(id)} is awaited`)
    const number = type === 'pubrec' ? owed.receive(id) : owed.acknowledge(id)
    expect(packetIdOf(number as number)).toBe(id)
    this.#acks.push({ number: number as number, isReceived: type === 'pubrec' })
  }
}

type Move = (history: History) => void
const few = fc.integer({ min: 1, max: 4 })
const always = (move: Move): fc.Arbitrary<Move> => fc.constant(move)
const move = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.tuple(fc.constantFrom('a', 'b'), fc.constantFrom<Qos>(1, 2)).map(
      ([topic, qos]): Move =>
        (history) =>
          history.publish(topic, qos),
    ),
  },
  {
    weight: 8,
    arbitrary: few.map(
      (count): Move =>
        (history) =>
          history.send(count),
    ),
  },
  {
    weight: 8,
    arbitrary: fc.tuple(few, few).map(
      ([frames, packets]): Move =>
        (history) =>
          history.deliver(frames, packets),
    ),
  },
  {
    weight: 8,
    arbitrary: fc.tuple(few, few).map(
      ([answers, packets]): Move =>
        (history) =>
          history.answer(answers, packets),
    ),
  },
  {
    weight: 6,
    arbitrary: few.map(
      (count): Move =>
        (history) =>
          history.hear(count),
    ),
  },
  { weight: 6, arbitrary: always((history) => history.journal(false)) },
  { weight: 1, arbitrary: always((history) => history.journal(true)) },
  {
    weight: 2,
    arbitrary: fc.boolean().map(
      (isTold): Move =>
        (history) =>
          history.lose(isTold),
    ),
  },
  {
    weight: 3,
    arbitrary: few.map(
      (receiveMaximum): Move =>
        (history) =>
          history.connect(receiveMaximum),
    ),
  },
  { weight: 2, arbitrary: always((history) => history.crashOwner()) },
  { weight: 1, arbitrary: always((history) => history.crashGateway()) },
  { weight: 1, arbitrary: always((history) => history.cutLink()) },
  {
    weight: 1,
    arbitrary: fc.integer({ min: 2, max: 8 }).map(
      (messages): Move =>
        (history) =>
          history.drop(messages),
    ),
  },
)

test('QoS 1 is never lost, QoS 2 never repeated, each topic in order, and never more in flight than Receive Maximum', () => {
  const numRuns = process.env.LOGGERHEAD_TEST_LONG === '1' ? 50_000 : 1_500
  fc.assert(
    fc.property(fc.array(move, { minLength: 20, maxLength: 200, size: 'max' }), (moves) => {
      const history = new History()
      for (const each of moves) each(history)
      history.settle()
      const { client, published, dropped } = history
      const times = (message: Published): number => client.times.get(message.offset) ?? 0
      expect(published.filter((message) => times(message) === 0 && !dropped.has(message.offset))).toEqual([])
      expect(published.filter((message) => message.qos === 2 && times(message) > 1)).toEqual([])
      // What was given up meanwhile leaves no packet id behind.
      expect(client.halfDone).toBe(0)
      for (const topic of ['a', 'b']) {
        for (const qos of [1, 2]) {
          const offsets = client.first.filter((message) => message.topic === topic && message.qos === qos).map(({ offset }) => offset)
          expect(offsets).toEqual(offsets.toSorted((a, b) => a - b))
        }
      }
    }),
    { numRuns },
  )
}, 600_000)
