import mqtt, { type IClientOptions, type IPublishPacket, type MqttClient } from 'mqtt'

export interface Arrived {
  readonly topic: string
  readonly payload: Buffer
  readonly packet: IPublishPacket
}

/** Why MQTT.js could not do something: the broker's reason code, or 0 when the connection just ended. */
export type Outcome = 'done' | number

/** MQTT.js with what arrived kept, and conditions to wait for. It does not reconnect by itself. */
export class JsClient {
  readonly client: MqttClient
  readonly arrived: Arrived[] = []
  #closeCode: number | undefined
  #closed = false
  #wake: (() => void)[] = []

  private constructor(client: MqttClient) {
    this.client = client
    client.on('message', (topic, payload, packet) => {
      this.arrived.push({ topic, payload, packet })
      this.#notify()
    })
    client.on('disconnect', (packet) => {
      this.#closeCode = packet.reasonCode
    })
    client.on('close', () => {
      this.#closed = true
      this.#notify()
    })
    client.on('error', () => {})
  }

  /** Rejects with the CONNACK's code in the message when it is refused. */
  static async connect(url: string, options: IClientOptions = {}): Promise<JsClient> {
    const client = mqtt.connect(url, { reconnectPeriod: 0, connectTimeout: 60_000, ...options })
    const made = new JsClient(client)
    await new Promise<void>((resolve, reject) => {
      client.once('connect', () => resolve())
      client.once('error', (error) => reject(error))
      client.once('close', () => reject(new Error('closed before CONNACK')))
    }).catch((error) => {
      client.end(true)
      throw error
    })
    return made
  }

  /** How the broker answers an attempt to connect: 'done', or its reason (return) code. */
  static async attempt(url: string, options: IClientOptions = {}): Promise<Outcome> {
    try {
      const { client } = await JsClient.connect(url, options)
      await client.endAsync()
      return 'done'
    } catch (error) {
      return Number((error as { code?: unknown }).code) || 0
    }
  }

  get isClosed(): boolean {
    return this.#closed
  }

  /** The reason code of the broker's DISCONNECT, if it sent one. */
  get closeCode(): number | undefined {
    return this.#closeCode
  }

  #notify(): void {
    const wake = this.#wake
    this.#wake = []
    for (const each of wake) each()
  }

  async until(what: string, condition: () => boolean, deadlineMs = 60_000): Promise<void> {
    const deadline = performance.now() + deadlineMs
    while (!condition()) {
      const left = deadline - performance.now()
      if (left <= 0) throw new Error(`${what}: not within ${deadlineMs} ms`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left)
        this.#wake.push(() => {
          clearTimeout(timer)
          resolve()
        })
      })
    }
  }

  /** The next message that arrived and was not taken yet. */
  async next(deadlineMs = 60_000): Promise<Arrived> {
    await this.until('a message', () => this.arrived.length > 0, deadlineMs)
    return this.arrived.shift() as Arrived
  }

  async closed(deadlineMs = 60_000): Promise<void> {
    await this.until('the end of the connection', () => this.#closed, deadlineMs)
  }

  /** How the broker takes a QoS 1 publish: acknowledged, refused with a code, or the connection ends. */
  async publish(topic: string, payload: string | Buffer): Promise<Outcome> {
    if (this.#closed) return this.#closeCode ?? 0
    const answer = this.client.publishAsync(topic, payload, { qos: 1 }).then(
      (): Outcome => 'done',
      (error: { code?: unknown }): Outcome => Number(error.code) || 0,
    )
    const ended = new Promise<Outcome>((resolve) => this.client.once('close', () => resolve(this.#closeCode ?? 0)))
    return Promise.race([answer, ended])
  }

  /** The code in the SUBACK, or that of the connection's end. */
  async subscribe(filter: string, qos: 0 | 1 | 2 = 1): Promise<number> {
    try {
      const [granted] = await this.client.subscribeAsync(filter, { qos })
      return granted?.qos ?? 0
    } catch (error) {
      return (
        Number((error as { code?: unknown; packet?: { granted?: number[] } }).packet?.granted?.[0] ?? (error as { code?: unknown }).code) ||
        this.#closeCode ||
        0x80
      )
    }
  }

  async end(): Promise<void> {
    await this.client.endAsync(true).catch(() => {})
  }
}
