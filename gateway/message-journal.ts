/** What is published on its way into the log (topic `messages`). */
import { randomBytes } from 'node:crypto'
import type { Appended, Appender } from '../log/log.ts'
import type { PublishPacket } from '../mqtt/packet.ts'
import { encodePublish } from '../schemas/message-record.ts'
import type { Tracing } from '../telemetry/tracing.ts'
import { tracePublish, untilAnswered } from './publish-tracing.ts'
import type { Sealing } from './sealing.ts'

/** A topic a client publishes on: what is the same for each of its messages. */
export interface PublishTopic {
  readonly name: string
  readonly key: Buffer
  readonly partition: number
  /** As of `version` of the registry. */
  allowed: boolean
  version: number
}

/** Who publishes, as it stands in each record. */
export interface PublisherIdentity {
  readonly clientId: string
  readonly session: number
  readonly authenticationName: string
  readonly protocolVersion: 4 | 5
}

export interface MessageJournalOptions {
  readonly appender: Appender
  /** Name of the topic. */
  readonly topic: string
  /** Id of the gateway. */
  readonly gateway: string
  readonly clock: { now(): number }
  /** Null where no client’s messages are sealed. */
  readonly sealing: Sealing | null
  /** Null where nothing is traced. */
  readonly tracing: Tracing | null
}

export class MessageJournal {
  readonly #options: MessageJournalOptions
  /** Of the message at hand, as long as nobody brings one: eight bytes of this run, and a count. */
  readonly #messageId: Buffer = Buffer.alloc(16)
  #count = 0
  /** Reused for every message: the encoder copies. */
  readonly #accepted = { messageId: this.#messageId, clientId: '', session: 0, receivedAt: 0, authenticationName: '', gateway: '', protocolVersion: 0 }

  constructor(options: MessageJournalOptions) {
    this.#options = options
    this.#accepted.gateway = options.gateway
    randomBytes(8).copy(this.#messageId)
  }

  /** `messageId` when another gateway may append the same message; else a fresh one. Answers the time of it, ms since the epoch. */
  append(identity: PublisherIdentity, topic: PublishTopic, packet: PublishPacket, done: Appended, messageId?: Buffer): number {
    const { appender, topic: messages, clock, sealing, tracing } = this.#options
    const receivedAt = clock.now()
    const accepted = this.#accepted
    accepted.messageId = messageId ?? this.#freshId()
    accepted.clientId = identity.clientId
    accepted.session = identity.session
    accepted.authenticationName = identity.authenticationName
    accepted.protocolVersion = identity.protocolVersion
    accepted.receivedAt = receivedAt
    const value = encodePublish(accepted, topic.name, sealing ? sealing.sealed(identity.authenticationName, topic.name, packet) : packet)
    const span = tracing && tracePublish(tracing, accepted, topic.name, packet)
    appender.append({ topic: messages, partition: topic.partition, key: topic.key, value, timestamp: receivedAt }, span ? untilAnswered(span, done) : done)
    return receivedAt
  }

  #freshId(): Buffer {
    const count = ++this.#count
    this.#messageId.writeUInt32BE(Math.floor(count / 0x1_0000_0000), 8)
    this.#messageId.writeUInt32BE(count >>> 0, 12)
    return this.#messageId
  }
}
