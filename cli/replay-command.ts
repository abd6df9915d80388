/** `loggerhead replay`: what it takes; the work, and what it writes with, is loaded when it is asked for. */
import { type Command, Option } from 'commander'
import { withConnectionOptions } from './mqtt-connection.ts'
import { kafkaFormats } from './replay/kafka-format.ts'
import type { ReplayCommandOptions } from './replay/run.ts'
import { surroundings, wholeNumber } from './surroundings.ts'

export function addReplayCommand(program: Command): void {
  withConnectionOptions(
    program
      .command('replay [topicFilter]')
      .description('what was published: printed, into a file, or published once more')
      .option('--from <place>', 'a time in UTC (2026-01-31T12:00:00Z), a duration back from now (-PT1H), or positions (0:10,1:55)', '-PT1H')
      .option('--to <place>', 'the same, not included; what is there now by default')
      .option('--client <id>', 'only what this MQTT client id has published')
      .option('--as <name>', 'only what the client with this authentication name may subscribe to')
      .addOption(new Option('--access <moment>', 'with --as: by the permissions of now, or by those of when each message came').choices(['now', 'then']))
      .option('--limit <n>', 'end after so many messages', wholeNumber('--limit', 1, 1_000_000_000))
      .option('--file <file>', 'write to a file: .ndjson, .csv, or .parquet, which is a folder of parts')
      .option('--to-mqtt <url>', 'publish to a broker: mqtt://, mqtts://, ws:// or wss://; QoS, RETAIN and properties as they were')
      .option('--topic-prefix <text>', 'with --to-mqtt: before every topic')
      .option('--no-retain', 'with --to-mqtt: retain nothing')
      .option('--to-kafka <topic>', 'write to a Kafka topic; the key is the MQTT topic')
      .addOption(new Option('--kafka-format <form>', 'with --to-kafka: the form of the records, as routes write them').choices(kafkaFormats).default('raw'))
      .option('--speed <factor>', 'as far apart as they were published (1), or so many times faster; as fast as it goes by default')
      .option('--resume <file>', 'note here how far it is, and go on there; FILE.cursor by default with --file'),
  )
    .addHelpText(
      'after',
      `
Messages keep the order of their topics. Stopped in the middle (Ctrl-C, or by force), the same command goes on where it was: a file of lines has every
message once then, and so has Parquet; what is published again may repeat the last second's messages after a kill. The cursor file of --file is removed when all is
done, that of --resume stays and says so. --ca, --cert, --key, --username, --client-id and --v3 are of --to-mqtt; KAFKA_BROKERS (127.0.0.1:9092)
and the other KAFKA_… settings say where Kafka is. It takes the key of an operator.
Examples:
  loggerhead replay 'plant/1/#' --from -PT2H
  loggerhead replay --from 2026-01-31T00:00:00Z --to 2026-02-01T00:00:00Z --file january-31.parquet
  loggerhead replay 'plant/1/#' --to-mqtt mqtt://test.example --topic-prefix again/ --speed 10
The exit code is 0 when all is done, 1 when something failed and 130 when it was stopped.`,
    )
    .action(async (filter: string | undefined, options: ReplayCommandOptions, command: Command) => {
      const { runReplay } = await import('./replay/run.ts')
      await runReplay(surroundings(command), filter ?? '#', options)
    })
}
