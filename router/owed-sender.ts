import type { Session } from '../model/session.ts'
import { isMarker, isReplayed, type QueueEntry } from '../model/session-queue.ts'
import { decodeMessage } from '../schemas/message-record.ts'
import type { ReplayRequest } from '../schemas/session-records.ts'
import type { Attachment } from '../schemas/snapshot-records.ts'
import type { ClientSession } from './client-session.ts'
import type { Gateways } from './gateways.ts'
import { OwedBatch } from './owed-batch.ts'
import { gone, type Payloads } from './payloads.ts'
import type { SessionConnections } from './session-connections.ts'
import type { SessionJudge } from './session-judge.ts'

export interface OwedSenderOptions {
  readonly shard: number
  readonly term: number
  readonly connections: SessionConnections
  readonly gateways: Gateways
  readonly payloads: Pick<Payloads, 'get'>
  /** Bytes on their way to one gateway above which nothing more is sent to it. */
  readonly gatewayBytesMax: number
  readonly now: () => number
  judge(): SessionJudge
  /** Numbers below this may be of what the session's client may no longer read. */
  rejudgedBelow(session: Session): number
  /** The message is not sent; true when it is done. */
  giveUp(client: ClientSession, number: number, reason: 'expired' | 'gone' | 'unauthorized'): boolean
}

/** What a connection may be released from. */
export interface Releases {
  readonly client: ClientSession
  readonly numbers: readonly number[]
}

/** What a replayed message is judged by: that it is of the past. */
const past: ReplayRequest = { from: '', to: '', client: null, speed: null, access: 'now' }

/** Sends what attached sessions are owed, as far as their clients' windows and their gateways allow. */
export class OwedSender {
  readonly #options: OwedSenderOptions
  readonly #wanting = new Set<ClientSession>()
  /** Who would be sent more if its gateway took more, by the gateway's incarnation: at most those that are connected. */
  readonly #held = new Map<number, Set<ClientSession>>()
  #isPumpScheduled = false
  #isClosed = false

  constructor(options: OwedSenderOptions) {
    this.#options = options
  }

  /** There may be something for the client: it is sent with what there is for others in this turn of the event loop. */
  want(client: ClientSession): void {
    this.#wanting.add(client)
    if (this.#isPumpScheduled) return
    this.#isPumpScheduled = true
    setImmediate(() => {
      this.#isPumpScheduled = false
      this.#pump()
    })
  }

  /** Its connection is over. */
  forget(client: ClientSession): void {
    this.#wanting.delete(client)
    for (const [incarnation, held] of this.#held) if (held.delete(client) && held.size === 0) this.#held.delete(incarnation)
  }

  /** The gateway has taken all it was sent: those go on that stopped for it, in the order they did. All others have their window to wait for. */
  drained(incarnation: number): void {
    const held = this.#held.get(incarnation)
    if (!held) return
    this.#held.delete(incarnation)
    for (const client of held) this.want(client)
  }

  /** PUBREC is in the log, and counts there: PUBREL may go out [MQTT-4.3.3-4]. */
  release(releases: readonly Releases[]): void {
    if (this.#isClosed) return
    const { shard, term, connections, gateways } = this.#options
    const batch = new OwedBatch(shard, term)
    for (const { client, numbers } of releases) {
      const { session } = client
      const gateway = session.attached && gateways.get(session.attached.gateway)
      // On another connection they are sent in their turn; a gateway that must tell its state first tells of these too.
      if (!session.attached || !gateway?.isReady(shard) || !connections.isCurrent(client)) continue
      for (const number of numbers) if (!session.queue.isDone(number)) batch.release(gateway, { connection: session.attached.connection, number })
    }
    batch.flush()
  }

  close(): void {
    this.#isClosed = true
  }

  #pump(): void {
    if (this.#isClosed) return
    const batch = new OwedBatch(this.#options.shard, this.#options.term)
    const wanting = [...this.#wanting]
    this.#wanting.clear()
    for (const client of wanting) this.#send(client, batch)
    batch.flush()
  }

  /** Sends what the client's window allows; stops at what must be read first, so that the order holds. */
  #send(client: ClientSession, batch: OwedBatch): void {
    const { shard, connections, gateways, payloads, gatewayBytesMax, rejudgedBelow, giveUp } = this.#options
    const { session } = client
    const gateway = session.attached && gateways.get(session.attached.gateway)
    // Before the gateway told its state on this link, what it has is not known: a number sent past a lost one would never be made good.
    if (!gateway?.isReady(shard) || !connections.isCurrent(client) || connections.isSettling(session)) return
    const { connection } = session.attached as Attachment
    for (const number of client.takeLate()) batch.release(gateway, { connection, number })
    const judgedAnew = rejudgedBelow(session)
    for (let number = client.next(); number !== undefined; number = client.next()) {
      if (gateway.queuedBytes > gatewayBytesMax) {
        this.#hold(gateway.identity.incarnation, client)
        return
      }
      const entry = session.queue.get(number) as QueueEntry
      if (session.queue.isReceived(number)) {
        // Its record is on its way: what is behind waits, so that the order holds.
        if (!session.queue.isReleasable(number)) return
        client.released(number)
        batch.release(gateway, { connection: (session.attached as Attachment).connection, number })
        continue
      }
      // Expiry bounds the start of a delivery: what may have been sent goes through with it [MQTT-4.3.3-7].
      if (this.#isExpired(entry) && !client.isHalfDone(number)) {
        giveUp(client, number, 'expired')
        continue
      }
      const value = payloads.get(entry.source, entry.offset, () => {
        client.isReading = false
        this.want(client)
      })
      if (value === undefined) {
        client.isReading = true
        return
      }
      const trouble = value === gone ? 'gone' : number < judgedAnew && !this.#mayStillReceive(session, entry.source, value) ? 'unauthorized' : undefined
      if (trouble !== undefined) {
        if (!giveUp(client, number, trouble)) return
      } else if (value !== gone) {
        const { qos, retain, subscriptionIdentifiers } = entry
        const dup = client.sent(number) && qos > 0 // [MQTT-3.3.1-2]
        const { connection } = session.attached as Attachment
        batch.add(gateway, entry.source, entry.offset, value, { connection, qos, dup, retain, number, subscriptionIdentifiers })
      }
    }
  }

  #hold(incarnation: number, client: ClientSession): void {
    const held = this.#held.get(incarnation)
    if (held) held.add(client)
    else this.#held.set(incarnation, new Set([client]))
  }

  #mayStillReceive(session: Session, source: number, value: Buffer): boolean {
    const judge = this.#options.judge()
    const principal = judge.principalOf(session)
    if (!principal || isMarker(source)) return principal !== undefined
    return judge.mayReceive(principal, { filter: decodeMessage(value).topic, replay: isReplayed(source) ? past : null })
  }

  #isExpired({ expiresAt }: QueueEntry): boolean {
    return expiresAt !== 0 && expiresAt <= this.#options.now()
  }
}
