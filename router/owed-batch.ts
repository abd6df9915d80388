/** Collects what goes out to each gateway in one round, a payload once for all its receivers. */
import type { DeliveredMessage, Receiver, Release } from '../proto/frames.ts'
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
  /** After the messages. */
  readonly releases: Release[]
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
    // In the order of the numbers: a release goes before what is added after it.
    if (outgoing && outgoing.releases.length > 0) {
      this.#send(gateway, outgoing)
      outgoing = undefined
    }
    outgoing ??= this.#begin(gateway)
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

  /** The client goes on with PUBREL. */
  release(gateway: Gateway, release: Release): void {
    const outgoing = this.#outgoing.get(gateway) ?? this.#begin(gateway)
    outgoing.releases.push(release)
  }

  flush(): void {
    for (const [gateway, outgoing] of this.#outgoing) this.#send(gateway, outgoing)
  }

  #begin(gateway: Gateway): Outgoing {
    const outgoing = { messages: [], byPosition: new Map(), lastPlace: new Map(), releases: [], bytes: 0 }
    this.#outgoing.set(gateway, outgoing)
    return outgoing
  }

  #grown(gateway: Gateway, outgoing: Outgoing, bytes: number): void {
    outgoing.bytes += bytes
    if (outgoing.bytes >= frameSizeMax) this.#send(gateway, outgoing)
  }

  #send(gateway: Gateway, outgoing: Outgoing): void {
    this.#outgoing.delete(gateway)
    const from = { shard: this.#shard, term: this.#term }
    if (outgoing.messages.length > 0) gateway.send({ kind: 'owed', ...from, messages: outgoing.messages })
    if (outgoing.releases.length > 0) gateway.send({ kind: 'release', ...from, releases: outgoing.releases })
  }
}
