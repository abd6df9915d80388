import { randomBytes } from 'node:crypto'
import * as mqtt from '../wire/bytes.ts'
import { Wire } from '../wire/wire.ts'
import type { Broker } from './broker.ts'

export type Version = mqtt.Version

/** One sentence about behaviour, the clause it comes from, and how to find out. */
export interface Case {
  /**
   * What it holds, for the tables of docs/conformance.md: numbers of MQTT 5 where both versions have the rule, `3.1.1 MQTT-…`
   * where only that one has, a section where it has no number.
   */
  readonly clause: string
  readonly title: string
  /** Both when not given. */
  readonly versions?: readonly Version[]
  /** It waits for time to pass: all such run beside one another. */
  readonly lasts?: true
  readonly run: (trial: Trial) => Promise<void>
}

export interface SessionOptions {
  readonly clientId?: string
  readonly clean?: boolean
  readonly keepAlive?: number
  /** Seconds; MQTT 5 only. A 3.1.1 session that is not clean lasts as long as the server lets it. */
  readonly expiry?: number
  readonly properties?: mqtt.Properties
}

/** What one case works with: names of its own, connections that are gone when it ends. */
export class Trial {
  readonly broker: Broker
  readonly version: Version
  /** Begins every topic and client id of this case. */
  readonly name: string
  readonly #wires: Wire[] = []
  readonly #kept: string[] = []
  #ids = 0
  #publisher: Wire | undefined

  constructor(broker: Broker, version: Version) {
    this.broker = broker
    this.version = version
    this.name = `c${randomBytes(5).toString('hex')}`
  }

  topic(rest: string): string {
    return `${this.name}/${rest}`
  }

  /** A packet identifier not used before in this case. */
  id(): number {
    return ++this.#ids
  }

  async open(): Promise<Wire> {
    const wire = await Wire.open(this.broker.endpoint, this.version)
    this.#wires.push(wire)
    return wire
  }

  /** Opens and sends CONNECT; gives the connection and its CONNACK, accepted or not. */
  async connect(options: SessionOptions = {}): Promise<{ readonly wire: Wire; readonly connack: mqtt.Connack }> {
    const wire = await this.open()
    wire.send(this.connectPacket(options))
    return { wire, connack: await wire.expect('connack') }
  }

  connectPacket(options: SessionOptions = {}): Buffer {
    const clientId = options.clientId ?? `${this.name}-${this.#wires.length}`
    if (options.clean === false) this.#kept.push(clientId)
    const list = [...(options.properties ?? [])]
    if (this.version === 5 && options.expiry !== undefined) list.push([mqtt.Property.sessionExpiryInterval, options.expiry])
    return mqtt.connect({ version: this.version, clientId, clean: options.clean ?? true, keepAlive: options.keepAlive ?? 60, properties: list })
  }

  /** A connection that was accepted. */
  async session(options: SessionOptions = {}): Promise<Wire> {
    const { wire, connack } = await this.connect(options)
    if (connack.code !== 0) throw new Error(`CONNECT was refused with ${connack.code}`)
    return wire
  }

  /** A persistent session in either version: kept for 5 minutes. */
  persistent(clientId: string, clean: boolean, properties: mqtt.Properties = []): Promise<{ readonly wire: Wire; readonly connack: mqtt.Connack }> {
    if (this.version === 5) return this.connect({ clientId, clean, expiry: 300, properties })
    return this.connect({ clientId, clean: false, properties })
  }

  async subscribe(wire: Wire, filters: readonly mqtt.Filter[] | string, list: mqtt.Properties = []): Promise<readonly number[]> {
    const id = this.id()
    wire.send(mqtt.subscribe(this.version, id, typeof filters === 'string' ? [[filters, 1]] : filters, list))
    const suback = await wire.find('suback')
    if (suback.id !== id) throw new Error(`SUBACK for ${suback.id} instead of ${id}`)
    return suback.codes
  }

  /** A second client publishes at QoS 1 and waits for the PUBACK. */
  async publish(topic: string, payload: string, more: Partial<mqtt.Publish> = {}): Promise<void> {
    this.#publisher ??= await this.session()
    await this.publishOn(this.#publisher, topic, payload, more)
  }

  async publishOn(wire: Wire, topic: string, payload: string, more: Partial<mqtt.Publish> = {}): Promise<void> {
    const id = this.id()
    wire.send(mqtt.publish({ version: this.version, topic, payload, qos: 1, id, ...more }))
    if ((more.qos ?? 1) === 0) return
    const puback = await wire.find('puback')
    if (puback.id !== id || puback.code >= 0x80) throw new Error(`PUBLISH ${id} was answered by ${JSON.stringify(puback)}`)
  }

  /** The next delivery, acknowledged. */
  async receive(wire: Wire): Promise<mqtt.Delivery> {
    const delivery = await wire.find('publish')
    if (delivery.qos === 1) wire.send(mqtt.puback(delivery.id))
    return delivery
  }

  /**
   * Everything delivered before a marker that is published now on `topic` (which the connection must be subscribed to).
   * This is how a case shows that something does not come: per topic the order is kept.
   */
  async upToMarker(wire: Wire, topic: string): Promise<mqtt.Delivery[]> {
    const marker = `marker ${this.id()}`
    await this.publish(topic, marker)
    const before: mqtt.Delivery[] = []
    for (;;) {
      const delivery = await this.receive(wire)
      if (delivery.payload.toString() === marker) return before
      before.push(delivery)
    }
  }

  /** A PINGREQ and its PINGRESP: the server has read everything sent before. */
  async roundTrip(wire: Wire): Promise<void> {
    wire.send(mqtt.pingreq)
    await wire.find('pingresp')
  }

  /** What only our own broker is held to: another may keep to the specification and do it otherwise. */
  get isOwn(): boolean {
    return this.broker.webSocketPort !== null
  }

  /**
   * The server must end the connection. In MQTT 5 it may name a reason first, in CONNACK or DISCONNECT: then it must be
   * one of these (our own always does), and in 3.1.1 only a CONNACK may.
   */
  async refused(wire: Wire, reasons: readonly number[]): Promise<void> {
    const last = (await wire.closed()).filter((each) => each.type === 'disconnect' || (each.type === 'connack' && each.code !== 0))
    if (last.length === 0 && this.isOwn && this.version === 5) throw new Error('closed without a reason')
    for (const each of last) {
      if ('code' in each && !reasons.includes(each.code))
        throw new Error(`closed with 0x${each.code.toString(16)}, allowed are ${reasons.map((r) => `0x${r.toString(16)}`)}`)
    }
  }

  /** Leaves neither connections nor sessions behind. */
  async end(): Promise<void> {
    for (const wire of this.#wires) wire.destroy()
    for (const clientId of new Set(this.#kept)) {
      const wire = await Wire.open(this.broker.endpoint, this.version)
      wire.send(mqtt.connect({ version: this.version, clientId, clean: true }))
      await wire.expect('connack').catch(() => {})
      wire.destroy()
    }
  }
}
