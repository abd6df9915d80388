import { randomUUID } from 'node:crypto'
import { connect } from 'node:net'
import { MqttClient } from 'mqtt'
import { canaryFilter } from './canary-topics.ts'
import type { CanaryAddress } from './config.ts'
import type { TimeLimit } from './time-limit.ts'

/** How far a canary came. `partitions` are those that failed, where some did and others may not. */
export type Probe =
  | { readonly gateway: string; readonly arrived: true; readonly ms: number }
  | {
      readonly gateway: string
      readonly arrived: false
      readonly stopped: 'connect' | 'connack' | 'refused' | 'suback' | 'puback' | 'delivery' | 'closed'
      readonly reason: string
      readonly partitions: readonly number[]
    }

type Stopped = Exclude<Extract<Probe, { arrived: false }>['stopped'], undefined>

export interface CanaryOptions {
  readonly address: CanaryAddress
  /** By messages partition. */
  readonly topics: readonly string[]
  /** The internal key, read again for each connection. */
  readonly key: () => Buffer
  /** Milliseconds; only differences matter. */
  readonly now: () => number
  readonly timeLimit: TimeLimit
}

/** Why a probe ended; carried to its deadline by rejection. */
class Stop extends Error {
  readonly stopped: Stopped
  constructor(stopped: Stopped, message: string) {
    super(message)
    this.stopped = stopped
  }
}

/** One connection to a gateway and what stands open on it. */
interface Line {
  readonly client: MqttClient
  /** By topic: resolves with the PUBACK of the one publish that may be unanswered. */
  readonly unanswered: Map<string, Promise<void>>
  /** By topic and payload: called when it comes back. */
  readonly awaited: Map<string, () => void>
  readonly closed: Promise<never>
}

/**
 * A client of one gateway that stays connected between rounds and does nothing by itself: it connects when asked,
 * and a publish that Kafka has not answered is waited for, not piled upon.
 */
export class CanaryClient {
  readonly #options: CanaryOptions
  #line: Line | null = null

  constructor(options: CanaryOptions) {
    this.#options = options
  }

  /** Sends one message through each partition and waits until all came back, at most `deadlineMs`. Never rejects. */
  async probe(deadlineMs: number): Promise<Probe> {
    const { gateway } = this.#options.address
    const progress = new Progress(this.#options.topics.length)
    const limit = this.#options.timeLimit(deadlineMs)
    const deadline = new Promise<never>((_, reject) => {
      limit.signal.addEventListener('abort', () => reject(new Stop(progress.stage(), `after ${deadlineMs} ms`)), { once: true })
    })
    deadline.catch(() => {})
    try {
      const resumed = this.#line !== null
      const ms = await this.#round(progress, deadline).catch((error) => {
        // The gateway was restarted since the last round: that it closed the old connection says nothing about now.
        if (!resumed || !(error instanceof Stop) || error.stopped !== 'closed') throw error
        return this.#round(progress, deadline)
      })
      return { gateway, arrived: true, ms }
    } catch (error) {
      if (error instanceof Stop) return { gateway, arrived: false, stopped: error.stopped, reason: error.message, partitions: progress.missing() }
      throw error
    } finally {
      limit.clear()
    }
  }

  close(): void {
    this.#drop()
  }

  async #round(progress: Progress, deadline: Promise<never>): Promise<number> {
    progress.reset()
    const line = this.#line ?? (await this.#connect(progress, deadline))
    const begun = this.#options.now()
    const over = new AbortController()
    const all = Promise.all(this.#options.topics.map((topic, partition) => this.#pass(line, topic, partition, progress, over.signal)))
    all.catch(() => {})
    try {
      await Promise.race([all, line.closed, deadline])
    } finally {
      over.abort()
    }
    return Math.round((this.#options.now() - begun) * 10) / 10
  }

  /** One message through one partition. Does nothing further once the round is over. */
  async #pass(line: Line, topic: string, partition: number, progress: Progress, over: AbortSignal): Promise<void> {
    await line.unanswered.get(topic)?.catch(() => {})
    if (over.aborted) return
    const payload = randomUUID()
    const key = `${topic} ${payload}`
    const back = new Promise<void>((resolve) => line.awaited.set(key, resolve))
    over.addEventListener('abort', () => line.awaited.get(key)?.(), { once: true })
    try {
      const puback = line.client.publishAsync(topic, payload, { qos: 1 }).then(
        () => {},
        (error: Error & { code?: number }) => {
          throw new Stop('refused', `the publish to ${topic} was refused: ${error.message}`)
        },
      )
      puback.catch(() => {})
      line.unanswered.set(topic, puback)
      await puback
      progress.acknowledged.add(partition)
      await back
      if (!over.aborted) progress.delivered.add(partition)
    } finally {
      line.awaited.delete(key)
    }
  }

  async #connect(progress: Progress, deadline: Promise<never>): Promise<Line> {
    const { gateway, host, port } = this.#options.address
    progress.connection = 'connect'
    const password = this.#key()
    const socket = connect({ host, port, noDelay: true })
    socket.once('connect', () => {
      progress.connection = 'connack'
    })
    const client = new MqttClient(() => socket, {
      protocolVersion: 5,
      clientId: `$loggerhead/canary/${gateway}`,
      username: '$loggerhead',
      password,
      clean: true,
      keepalive: 30,
      // Nothing is written when nobody asks: the next probe connects.
      reconnectPeriod: 0,
      resubscribe: false,
      manualConnect: false,
    })
    const closed = new Promise<never>((_, reject) => {
      client.on('error', (error: Error & { code?: string | number }) => {
        const refused = typeof error.code === 'number'
        reject(new Stop(refused ? 'refused' : progress.connection === 'connect' ? 'connect' : 'closed', error.message))
        this.#drop(client)
      })
      client.on('disconnect', (packet) => {
        reject(new Stop('closed', `DISCONNECT with reason code 0x${(packet.reasonCode ?? 0).toString(16).padStart(2, '0')}`))
      })
      client.on('close', () => {
        reject(new Stop(progress.connection === 'connect' ? 'connect' : 'closed', 'the connection was closed'))
        this.#drop(client)
      })
    })
    closed.catch(() => {})
    const line: Line = { client, unanswered: new Map(), awaited: new Map(), closed }
    client.on('message', (topic, payload) => line.awaited.get(`${topic} ${payload}`)?.())
    try {
      await Promise.race([new Promise<void>((resolve) => client.once('connect', () => resolve())), closed, deadline])
      progress.connection = 'suback'
      const subscribed = client.subscribeAsync(canaryFilter(gateway), { qos: 1 })
      subscribed.catch(() => {})
      await Promise.race([subscribed, closed, deadline]).catch((error: Error) => {
        throw error instanceof Stop ? error : new Stop('refused', `the subscription was refused: ${error.message}`)
      })
    } catch (error) {
      this.#drop(client)
      socket.destroy()
      throw error
    }
    progress.connection = 'open'
    this.#line = line
    return line
  }

  #key(): Buffer {
    try {
      return this.#options.key()
    } catch (error) {
      throw new Stop('refused', `the internal key cannot be read: ${error instanceof Error ? error.message : error}`)
    }
  }

  #drop(client = this.#line?.client): void {
    if (this.#line !== null && this.#line.client === client) this.#line = null
    client?.end(true)
  }
}

/** Where a round stands; asked when its time is up. */
class Progress {
  readonly #partitions: number
  connection: 'connect' | 'connack' | 'suback' | 'open' = 'open'
  readonly acknowledged = new Set<number>()
  readonly delivered = new Set<number>()

  constructor(partitions: number) {
    this.#partitions = partitions
  }

  reset(): void {
    this.connection = 'open'
    this.acknowledged.clear()
    this.delivered.clear()
  }

  stage(): Stopped {
    if (this.connection !== 'open') return this.connection
    return this.acknowledged.size < this.#partitions ? 'puback' : 'delivery'
  }

  /** Partitions that did not get as far as the rest should. */
  missing(): number[] {
    if (this.connection !== 'open') return []
    const passed = this.acknowledged.size < this.#partitions ? this.acknowledged : this.delivered
    return Array.from({ length: this.#partitions }, (_, partition) => partition).filter((partition) => !passed.has(partition))
  }
}
