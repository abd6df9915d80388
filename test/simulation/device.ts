/** A client of the simulation, and what it may expect of the broker. */
import { packetIdOf } from '../../gateway/outbound.ts'
import { matches } from '../../mqtt/topic.ts'
import type { Random } from './random.ts'
import type { Delivery, SimConnection, SimGateway } from './sim-gateway.ts'

interface Published {
  readonly topic: string
  readonly text: string
}

const placeOf = ({ source, offset }: { source: number; offset: number }): string => `${source}:${offset}`

export class Device {
  readonly clientId: string
  readonly isPersistent: boolean
  readonly #random: Random
  connection: SimConnection | null = null
  /** Filters whose SUBACK came and that nothing was done to since. */
  readonly filters = new Set<string>()
  /** What was subscribed at some time, or may have been: receiving it is no mistake. */
  readonly #asked = new Set<string>()
  /** Acknowledged publishes that must come, by text. */
  readonly #due = new Map<string, Published>()
  readonly #seen = new Map<string, { readonly connection: number; readonly gateway: string }>()
  /** Per topic and QoS: position of the last first delivery. */
  readonly #last = new Map<string, number>()
  /** Packet ids at QoS 2 that were received and not released: a PUBLISH under one of them is the same message [MQTT-4.3.3-10]. */
  readonly #unreleased = new Set<number>()
  /** What was received at QoS 2. */
  readonly #exact = new Set<string>()
  readonly mistakes: string[] = []
  #hadSession = false
  #checked: SimConnection | null = null
  received = 0
  repeats = 0
  /** Acknowledges at once and always. */
  isDiligent = false

  constructor(clientId: string, isPersistent: boolean, random: Random) {
    this.clientId = clientId
    this.isPersistent = isPersistent
    this.#random = random
  }

  get due(): number {
    return this.#due.size
  }

  get missing(): string[] {
    return [...this.#due.keys()]
  }

  /** Messages received at QoS 2. */
  get exactly(): number {
    return this.#exact.size
  }

  hasReceived(text: string): boolean {
    return this.#texts.has(text)
  }

  get isOpen(): boolean {
    return this.connection?.phase === 'open'
  }

  connect(gateway: SimGateway): void {
    if (!this.isPersistent) this.#forget()
    const connection = gateway.connect(this.clientId, {
      cleanStart: !this.isPersistent,
      expiry: this.isPersistent ? 100_000 : 0,
      receiveMaximum: 1 + this.#random.below(8),
      onDelivery: (each, delivery) => this.#take(each, delivery),
      onRelease: (each, number) => this.#release(each, number),
      onClosed: (each, why) => {
        this.#trace(`is closed on ${each.gateway.address}/${each.number}: ${why}`)
        if (this.connection !== each) return
        this.connection = null
        if (!this.isPersistent) this.#forget()
      },
    })
    this.connection = connection
  }

  /** Looks at what the connection was answered; call when it is open. */
  checkPresent(): void {
    const { connection } = this
    if (connection?.phase !== 'open' || !this.isPersistent || this.#checked === connection) return
    this.#checked = connection
    this.#trace(`is open as ${connection.session}/${connection.epoch} on ${connection.gateway.address}/${connection.number}`)
    if (this.#hadSession && !connection.sessionPresent) this.mistakes.push('its session is gone')
    this.#hadSession = true
  }

  async subscribe(filter: string, qos: number): Promise<void> {
    const { connection } = this
    if (connection?.phase !== 'open') return
    this.#asked.add(filter)
    this.filters.delete(filter)
    await connection.subscribe({ filter, qos, noLocal: false, retainAsPublished: false, retainHandling: 0, subscriptionIdentifier: null, replay: null })
    // A connection that was taken over or lost meanwhile never got its SUBACK.
    if (this.connection === connection && connection.phase === 'open') this.filters.add(filter)
  }

  async unsubscribe(filter: string): Promise<void> {
    const { connection } = this
    if (connection?.phase !== 'open') return
    this.filters.delete(filter)
    // What has not come yet need not come any more, unless by another filter.
    for (const [text, { topic }] of this.#due) if (!this.#expects(topic)) this.#due.delete(text)
    await connection.unsubscribe(filter)
  }

  /** Whether a message published from now on must come. */
  #expects(topic: string): boolean {
    return [...this.filters].some((filter) => matches(filter, topic))
  }

  /** To be called before the publish is sent; what is returned is to be called when it is acknowledged. */
  expect(topic: string, text: string): () => void {
    const { connection } = this
    const filters = [...this.filters].filter((filter) => matches(filter, topic))
    if (filters.length === 0) return () => {}
    return () => {
      if (!filters.some((filter) => this.filters.has(filter)) || this.#texts.has(text)) return
      if (!this.isPersistent && this.connection !== connection) return
      this.#due.set(text, { topic, text })
    }
  }

  readonly #texts = new Set<string>()

  /** SIM_TRACE=<client id> tells what happens to it. */
  #trace(what: string): void {
    if (process.env.SIM_TRACE === this.clientId) process.stderr.write(`${this.clientId} ${what}\n`)
  }

  #forget(): void {
    this.filters.clear()
    this.#due.clear()
    this.#last.clear()
    this.#seen.clear()
    this.#unreleased.clear()
  }

  #take(connection: SimConnection, delivery: Delivery): void {
    const { topic, text, offset, dup, qos } = delivery
    // It has let go of the connection that it took over from: nobody reads that any more.
    if (connection !== this.connection) return
    this.received++
    this.#trace(`gets ${text} ${delivery.source}:${offset} number ${delivery.number}${dup ? ' dup' : ''} on ${connection.gateway.address}/${connection.number}`)
    const place = placeOf(delivery)
    const before = this.#seen.get(place)
    const by = `${connection.gateway.id}/${connection.gateway.incarnation}/${connection.number}`
    if (before) {
      this.repeats++
      if (before.gateway === by) this.mistakes.push(`${topic} ${text} came twice on one connection`)
      if (!dup) this.mistakes.push(`${topic} ${text} came again without DUP`)
    } else {
      // Order is promised among messages of one QoS.
      const line = `${qos} ${topic}`
      const last = this.#last.get(line) ?? -1
      if (offset < last) this.mistakes.push(`${text} at ${offset} came first after ${last}`)
      this.#last.set(line, Math.max(last, offset))
    }
    if (qos === 0 && dup) this.mistakes.push(`${text} has QoS 0 and DUP`)
    if (![...this.#asked].some((filter) => matches(filter, topic))) this.mistakes.push(`${topic} ${text} was never asked for`)
    this.#seen.set(place, { connection: connection.number, gateway: by })
    this.#due.delete(text)
    this.#texts.add(text)
    if (delivery.number < 0) return
    if (qos === 2) this.#takeExactly(text, packetIdOf(delivery.number))
    this.#answer(() => {
      this.#trace(`acknowledges ${delivery.number}`)
      connection.acknowledge(delivery)
    })
  }

  #takeExactly(text: string, packetId: number): void {
    if (this.#unreleased.has(packetId)) return
    if (this.#exact.has(text)) this.mistakes.push(`${text} came twice at QoS 2`)
    this.#exact.add(text)
    this.#unreleased.add(packetId)
  }

  #release(connection: SimConnection, number: number): void {
    if (connection !== this.connection) return
    this.#unreleased.delete(packetIdOf(number))
    this.#answer(() => connection.complete(number))
  }

  /** Soon, late or never. */
  #answer(answer: () => void): void {
    if (this.isDiligent) setImmediate(answer)
    else if (this.#random.chance(0.85)) {
      let turns = this.#random.below(6)
      const later = (): void => {
        if (turns-- > 0) setImmediate(later)
        else answer()
      }
      later()
    }
  }

  /** Acknowledges what it held back on this connection. */
  catchUp(): void {
    this.isDiligent = true
    const { connection } = this
    if (!connection) return
    for (const delivery of [...connection.received]) connection.acknowledge(delivery)
    for (const number of [...connection.released]) connection.complete(number)
  }
}
