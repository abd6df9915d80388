/** Publishes replayed messages to a broker: QoS, RETAIN and properties as they were, in their order. */
import type { IClientPublishOptions, MqttClient } from 'mqtt'
import { type HistoryLine, payloadOfLine } from '../../history/history-line.ts'
import { reasonName } from '../../mqtt/reason-code.ts'
import { Failure } from '../failure.ts'
import { refusal } from '../mqtt-connection.ts'
import type { ReplayOutput, Standing } from './output.ts'

export interface MqttTargetOptions {
  readonly client: MqttClient
  /** Before every topic. */
  readonly topicPrefix: string
  readonly keepsRetain: boolean
  readonly withProperties: boolean
}

/** Messages that are not acknowledged yet, at most; fewer when the broker says so [MQTT-3.3.4-9]. */
const windowMax = 64

type UserProperties = NonNullable<NonNullable<IClientPublishOptions['properties']>['userProperties']>

/** By name, as MQTT.js has them: the values of a name keep their order. */
function userPropertiesOf(pairs: NonNullable<HistoryLine['userProperties']>): UserProperties {
  const byName = new Map<string, string[]>()
  for (const { name, value } of pairs) byName.set(name, [...(byName.get(name) ?? []), value])
  return Object.fromEntries(byName)
}

/** Topic and options of the publish that repeats a message. */
export function publishOf(line: HistoryLine, { topicPrefix, keepsRetain, withProperties }: Omit<MqttTargetOptions, 'client'>): [string, IClientPublishOptions] {
  const { qos, retain, messageExpiryInterval, payloadFormatIndicator, contentType, responseTopic, correlationDataBase64, userProperties } = line
  const properties = {
    ...(messageExpiryInterval === undefined ? {} : { messageExpiryInterval }),
    ...(payloadFormatIndicator === undefined ? {} : { payloadFormatIndicator: payloadFormatIndicator === 1 }),
    ...(contentType === undefined ? {} : { contentType }),
    ...(responseTopic === undefined ? {} : { responseTopic }),
    ...(correlationDataBase64 === undefined ? {} : { correlationData: Buffer.from(correlationDataBase64, 'base64') }),
    ...(userProperties === undefined ? {} : { userProperties: userPropertiesOf(userProperties) }),
  }
  return [`${topicPrefix}${line.topic}`, { qos, retain: keepsRetain && retain, ...(withProperties ? { properties } : {}) }]
}

export class MqttTarget implements ReplayOutput {
  readonly #options: MqttTargetOptions
  readonly #window: number
  #inFlight = 0
  #failure: Failure | undefined
  #wake: (() => void) | undefined

  constructor(options: MqttTargetOptions) {
    this.#options = options
    const { client } = options
    this.#window = Math.min(windowMax, client.serverProperties?.receiveMaximum ?? windowMax)
    client.on('disconnect', ({ reasonCode }) => this.#fail(`the broker ended the connection: ${reasonName(reasonCode ?? 0)}`))
    client.on('close', () => this.#fail('the connection is gone'))
    client.on('error', (error) => this.#fail(`the connection is gone: ${error.message}`))
  }

  async write(lines: readonly HistoryLine[]): Promise<void> {
    for (const line of lines) {
      // In its place an empty message would be acted on, and one with RETAIN would clear what is retained.
      if (line.erased) continue
      await this.#until(() => this.#inFlight < this.#window)
      const [topic, options] = publishOf(line, this.#options)
      this.#inFlight++
      this.#options.client.publish(topic, payloadOfLine(line), options, (error) => {
        this.#inFlight--
        if (error) this.#fail(`the publish to ${topic} was refused: ${refusal(error)}`)
        this.#wake?.()
      })
    }
  }

  async settle(): Promise<Standing> {
    await this.#until(() => this.#inFlight === 0)
    return {}
  }

  async close(): Promise<void> {
    await this.#options.client.endAsync(this.#failure !== undefined)
  }

  #fail(why: string): void {
    this.#failure ??= new Failure(why)
    this.#wake?.()
  }

  /** One waits at a time: write and settle take turns. */
  async #until(condition: () => boolean): Promise<void> {
    while (!this.#failure && !condition()) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve
      })
    }
    if (this.#failure) throw this.#failure
  }
}
