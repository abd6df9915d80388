/**
 * Packet ids in flight with what each waits for: a ring, where an id has the place of its lowest bits. It costs a message a read
 * and two writes, and three bytes for each that may be in flight.
 */

const packetIdMax = 65_535
const placesMin = 16
const placesMax = 65_536

/** How far a message in flight is: QoS 1 waits for PUBACK; QoS 2 for PUBREC, then for leave to release, then for PUBCOMP. */
export type Flight = 'puback' | 'pubrec' | 'release' | 'pubcomp'

const flights = ['puback', 'pubrec', 'release', 'pubcomp'] as const satisfies readonly Flight[]
const codeOf: Readonly<Record<Flight, number>> = { puback: 0, pubrec: 1, release: 2, pubcomp: 3 }

export class PacketWindow {
  /** By place; 0 where none is in flight, which is no packet id [MQTT-2.2.1-2]. */
  #ids = new Uint16Array(placesMin)
  #flights = new Uint8Array(placesMin)
  #size = 0
  #last = 0

  /** Packet ids in flight. */
  get size(): number {
    return this.#size
  }

  /**
   * Puts the next free packet id in flight, counted from 1. Ids whose place one of long ago has are passed over: the client
   * may acknowledge in any order. Throws RangeError when all 65,535 are in flight.
   */
  take(flight: Flight): number {
    if (this.#size === packetIdMax) throw new RangeError('all packet ids are in flight')
    // Half of the places stay free, so that few ids are passed over.
    if (this.#size * 2 >= this.#ids.length && this.#ids.length < placesMax) this.#grow()
    const ids = this.#ids
    const mask = ids.length - 1
    let id = this.#last
    do id = id === packetIdMax ? 1 : id + 1
    while (ids[id & mask] !== 0)
    ids[id & mask] = id
    this.#flights[id & mask] = codeOf[flight]
    this.#last = id
    this.#size++
    return id
  }

  /** What the packet id waits for; null when it is not in flight. */
  flight(id: number): Flight | null {
    const place = id & (this.#ids.length - 1)
    return id !== 0 && this.#ids[place] === id ? (flights[this.#flights[place] as number] as Flight) : null
  }

  /** What a packet id in flight waits for from now on. */
  set(id: number, flight: Flight): void {
    this.#flights[id & (this.#ids.length - 1)] = codeOf[flight]
  }

  /** The packet id is free again; false when it was not in flight. */
  free(id: number): boolean {
    const place = id & (this.#ids.length - 1)
    if (id === 0 || this.#ids[place] !== id) return false
    this.#ids[place] = 0
    this.#size--
    return true
  }

  #grow(): void {
    const [ids, flights] = [this.#ids, this.#flights]
    this.#ids = new Uint16Array(ids.length * 2)
    this.#flights = new Uint8Array(ids.length * 2)
    // Those that had places of their own have them among more places, too.
    for (const [from, id] of ids.entries()) {
      if (id === 0) continue
      const place = id & (this.#ids.length - 1)
      this.#ids[place] = id
      this.#flights[place] = flights[from] as number
    }
  }
}
