/** What the gateway tells the log of its clients' sessions (topic `sessions`), until it stands there. */
import { randomBytes } from 'node:crypto'
import type { Logger } from 'pino'
import type { Principal } from '../access/principal.ts'
import type { AppendError, Appended, Appender } from '../log/log.ts'
import { encodeRecord } from '../schemas/codec.ts'
import type { Attached, Detached, SubscriptionRequest } from '../schemas/session-records.ts'
import { Attachment } from './attachment.ts'
import type { Ending } from './disconnection.ts'
import { insist } from './insistence.ts'

export interface SessionJournalOptions {
  readonly appender: Appender
  /** Name of the topic. */
  readonly topic: string
  readonly now: () => number
  /** Offset of the registry's last record that is known here. */
  readonly registryPosition: () => number
  /** Connections that there may be, and with them as many attachments. */
  readonly connectionsMax: () => number
  readonly logger: Logger
  /** The gateway stops: what the log did not take is not appended again. */
  readonly isStopping: () => boolean
}

type Answered = (error: AppendError | null) => void

/** Attached records of unknown outcome that are remembered. */
const unsureMax = 10_000

export class SessionJournal {
  readonly #options: SessionJournalOptions
  /** From Attached to Detached, whether or not the connection still stands; by connection number. */
  readonly #attachments = new Map<number, Attachment>()

  constructor(options: SessionJournalOptions) {
    this.#options = options
  }

  /** Appends Attached. `onLost` hears when the log did not take it, or may not have taken it. */
  attach(shard: number, about: Omit<Attached, 'at' | 'connectionId' | 'registryPosition'>, onLost: (error: AppendError) => void): Attachment {
    const { now, registryPosition } = this.#options
    const { clientId, connection: number } = about
    const at = now()
    const attachment = new Attachment(clientId, shard, number, randomBytes(16))
    const value = encodeRecord('Attached', { ...about, at, connectionId: attachment.connectionId, registryPosition: registryPosition() })
    this.#attachments.set(number, attachment)
    this.#append(attachment, value, at, (error, offset) => {
      if (!error) return this.#detached(attachment, attachment.attached(offset, now()))
      if (error.outcome === 'refused') this.#attachments.delete(number)
      this.#forgetUnsure()
      onLost(error)
    })
    return attachment
  }

  /** A router tells where an Attached record stands whose connection does not know it. */
  attachedLate(connection: number, connectionId: Buffer, epoch: number): void {
    const attachment = this.#attachments.get(connection)
    if (attachment?.connectionId.equals(connectionId)) this.#detached(attachment, attachment.attached(epoch, this.#options.now()))
  }

  subscribe(attachment: Attachment, subscriptions: readonly SubscriptionRequest[], done: Answered): void {
    const { now, registryPosition } = this.#options
    const at = now()
    const { clientId } = attachment
    const value = encodeRecord('Subscribed', { clientId, epoch: epochOf(attachment), at, subscriptions, registryPosition: registryPosition() })
    this.#append(attachment, value, at, done)
  }

  unsubscribe(attachment: Attachment, filters: readonly string[], done: Answered): void {
    this.#unsubscribed(attachment, filters, false, done)
  }

  /** Takes back what `subscribe` may have put into the log: it stands behind that there. `due` is asked at each attempt which filters still are. */
  withdraw(attachment: Attachment, due: () => readonly string[], done: Answered): void {
    const append = (answered: Answered): void => {
      const filters = due()
      if (filters.length === 0) answered(null)
      else this.#unsubscribed(attachment, filters, true, answered)
    }
    this.#insist(append, attachment, 'subscriptions that were refused could not be taken back', done)
  }

  /** The session's QoS 2 publish with this packet id is over. */
  release(attachment: Attachment, packetId: number, done: Appended): void {
    const at = this.#options.now()
    this.#append(attachment, encodeRecord('Released', { clientId: attachment.clientId, epoch: epochOf(attachment), at, packetId }), at, done)
  }

  /** New credentials give the session these attributes. */
  reauthenticated(attachment: Attachment, { attributes }: Principal, done: Answered): void {
    const { now, registryPosition } = this.#options
    const at = now()
    const { clientId } = attachment
    const value = encodeRecord('Reauthenticated', { clientId, epoch: epochOf(attachment), at, registryPosition: registryPosition(), attributes })
    this.#append(attachment, value, at, done)
  }

  /** The connection is over; called once for every attachment. */
  detach(attachment: Attachment, ending: Ending): void {
    this.#detached(attachment, attachment.end(ending, this.#options.now()))
  }

  #unsubscribed(attachment: Attachment, filters: readonly string[], withdraws: boolean, done: Answered): void {
    const at = this.#options.now()
    const { clientId } = attachment
    this.#append(attachment, encodeRecord('Unsubscribed', { clientId, epoch: epochOf(attachment), at, filters, withdraws }), at, done)
  }

  #detached(attachment: Attachment, record: Detached | null): void {
    if (!record) return
    this.#attachments.delete(attachment.connection)
    // Repeating is harmless: the fold ignores a detach of an epoch that is over.
    this.#insist((done) => this.#append(attachment, encodeRecord('Detached', record), record.at, done), attachment, 'a disconnection could not be recorded')
  }

  #append(attachment: Attachment, value: Buffer, at: number, done: Appended): void {
    const { appender, topic } = this.#options
    appender.append({ topic, partition: attachment.shard, key: Buffer.from(attachment.clientId), value, timestamp: at }, done)
  }

  #insist(append: (done: Answered) => void, attachment: Attachment, failure: string, done?: Answered): void {
    const { isStopping, logger } = this.#options
    insist(append, isStopping, (error) => {
      if (error) logger.error({ clientId: attachment.clientId, error: error.message }, failure)
      done?.(error)
    })
  }

  /** Attached records of unknown outcome wait for a router's word; the oldest give way. */
  #forgetUnsure(): void {
    const most = this.#options.connectionsMax() + unsureMax
    for (const [number, attachment] of this.#attachments) {
      if (this.#attachments.size <= most) return
      if (attachment.isEnded) this.#attachments.delete(number)
    }
  }
}

function epochOf(attachment: Attachment): number {
  if (attachment.epoch === null) throw new TypeError('the connection is not attached yet')
  return attachment.epoch
}
