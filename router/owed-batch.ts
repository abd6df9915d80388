/** Collects what goes out to each gateway in one round, a payload once for all its receivers. */
import type { DeliveredMessage, Receiver } from '../proto/frames.ts'
import type { Gateway } from './gateway.ts'
import { receiverSize } from './stretch-plan.ts'

interface MutableMessage extends DeliveredMessage {
  readonly receivers: Receiver[]
}

interface Outgoing {
  readonly messages: MutableMessage[]
  readonly byPosition: Map<string, number>
  /** Place of the last message for a connection: a later one must not be joined to an earlier place. */
  readonly lastPlace: Map<number, number>
  bytes: number
}

/** Frames are cut at this size, bytes. */
const frameSizeMax = 256 * 1024

export class OwedBatch {
  readonly #shard: number
  readonly #term: number
  readonly #outgoing = new Map<Gateway, Outgoing>()

  constructor(shard: number, term: number) {
    this.#shard = shard
    this.#term = term
  }

  add(gateway: Gateway, source: number, offset: number, value: Buffer, receiver: Receiver): void {
    let outgoing = this.#outgoing.get(gateway)
    if (!outgoing) {
      outgoing = { messages: [], byPosition: new Map(), lastPlace: new Map(), bytes: 0 }
      this.#outgoing.set(gateway, outgoing)
    }
    const position = `${source}:${offset}`
    const place = outgoing.byPosition.get(position)
    if (place !== undefined && place >= (outgoing.lastPlace.get(receiver.connection) ?? -1)) {
      ;(outgoing.messages[place] as MutableMessage).receivers.push(receiver)
      outgoing.lastPlace.set(receiver.connection, place)
      this.#grown(gateway, outgoing, receiverSize(receiver))
      return
    }
    outgoing.byPosition.set(position, outgoing.messages.length)
    outgoing.lastPlace.set(receiver.connection, outgoing.messages.length)
    outgoing.messages.push({ source, offset, value, receivers: [receiver] })
    this.#grown(gateway, outgoing, value.length + receiverSize(receiver))
  }

  flush(): void {
    for (const [gateway, outgoing] of this.#outgoing) this.#send(gateway, outgoing)
  }

  #grown(gateway: Gateway, outgoing: Outgoing, bytes: number): void {
    outgoing.bytes += bytes
    if (outgoing.bytes >= frameSizeMax) this.#send(gateway, outgoing)
  }

  #send(gateway: Gateway, outgoing: Outgoing): void {
    this.#outgoing.delete(gateway)
    if (outgoing.messages.length > 0) gateway.send({ kind: 'owed', shard: this.#shard, term: this.#term, messages: outgoing.messages })
  }
}
