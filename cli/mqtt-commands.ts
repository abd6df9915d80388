/** `loggerhead pub` and `loggerhead sub`: an MQTT client at hand. */
import { text as textOf } from 'node:stream/consumers'
import type { Command } from 'commander'
import type { MqttClient } from 'mqtt'
import { reasonName } from '../mqtt/reason-code.ts'
import { Failure } from './failure.ts'
import { type ConnectionOptions, connect, refusal, withConnectionOptions } from './mqtt-connection.ts'
import { showNext } from './output.ts'
import { readable } from './payload.ts'
import { surroundings, wholeNumber } from './surroundings.ts'

type ClientOptions = ConnectionOptions & { readonly mqttUrl?: string }

const withClientOptions = (command: Command): Command =>
  withConnectionOptions(command.option('--mqtt-url <url>', 'where to connect: mqtt://, mqtts://, ws:// or wss:// (LOGGERHEAD_MQTT_URL)'))

export function addMqttCommands(program: Command): void {
  withClientOptions(program.command('pub').description('publish a message'))
    .requiredOption('-t, --topic <topic>', 'topic name')
    .option('-m, --message <text>', 'payload; without it, standard input')
    .option('-q, --qos <level>', 'QoS', wholeNumber('--qos', 0, 2), 1)
    .option('-r, --retain', 'keep it as the topic’s retained message')
    .action(
      async (
        options: ClientOptions & { readonly topic: string; readonly message?: string; readonly qos: 0 | 1 | 2; readonly retain?: boolean },
        command: Command,
      ) => {
        const { config, note } = surroundings(command)
        const payload = options.message ?? (await textOf(process.stdin))
        const client = await connect(options.mqttUrl ?? config.mqttUrl, options)
        try {
          await publish(client, options.topic, payload, options.qos, options.retain ?? false)
        } finally {
          await client.endAsync()
        }
        note(options.qos === 0 ? 'sent; QoS 0 is not acknowledged' : 'acknowledged: it is in the log')
      },
    )

  withClientOptions(program.command('sub').description('print messages as they come'))
    .requiredOption('-t, --topic <filter...>', 'topic filter')
    .option('-q, --qos <level>', 'QoS', wholeNumber('--qos', 0, 2), 1)
    .option('-C, --count <n>', 'end after so many messages', wholeNumber('--count', 1, 1_000_000_000))
    .option('-W, --wait <seconds>', 'end with an error after so many seconds', wholeNumber('--wait', 1, 86_400))
    .action(
      async (
        options: ClientOptions & { readonly topic: readonly string[]; readonly qos: 0 | 1 | 2; readonly count?: number; readonly wait?: number },
        command: Command,
      ) => {
        const { config, format, print, note } = surroundings(command)
        const client = await connect(options.mqttUrl ?? config.mqttUrl, options)
        let left = options.count ?? Number.POSITIVE_INFINITY
        const ended = new Promise<void>((resolve, reject) => {
          client.on('message', (topic, payload, packet) => {
            if (left-- <= 0) return
            const { qos, retain, dup, properties } = packet
            print(
              format === 'table'
                ? `${topic} ${readable(payload).payload ?? payload.toString('base64')}`
                : showNext(format, { topic, qos, retain, dup, ...(properties ? { properties } : {}), ...readable(payload) }),
            )
            if (left === 0) resolve()
          })
          client.on('disconnect', ({ reasonCode }) => reject(new Failure(`the broker ended the connection: ${reasonName(reasonCode ?? 0)}`)))
          client.on('close', () => reject(new Failure('the connection is gone')))
          if (options.wait) setTimeout(() => reject(new Failure(`nothing more came within ${options.wait} s`)), options.wait * 1000).unref()
          for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve())
        })
        ended.catch(() => {})
        try {
          const granted = await client.subscribeAsync([...options.topic], { qos: options.qos }).catch((error: Error) => {
            throw new Failure(`the subscription was refused: ${refusal(error)}; loggerhead explain subscribe says why`)
          })
          note(`subscribed: ${granted.map(({ topic, qos }) => `${topic} (QoS ${qos})`).join(', ')}`)
          await ended
        } finally {
          await client.endAsync(true)
        }
      },
    )
}

async function publish(client: MqttClient, topic: string, payload: string, qos: 0 | 1 | 2, retain: boolean): Promise<void> {
  const ended = new Promise<never>((_, reject) => {
    client.once('disconnect', ({ reasonCode }) => reject(Object.assign(new Error('the broker ended the connection'), { code: reasonCode })))
    client.once('close', () => reject(new Error('the broker ended the connection')))
  })
  ended.catch(() => {})
  try {
    await Promise.race([client.publishAsync(topic, payload, { qos, retain }), ended])
  } catch (error) {
    throw new Failure(`the publish was refused: ${refusal(error as Error)}; loggerhead explain publish says why`, { cause: error })
  }
}
