/** `loggerhead rebuild`: a copy of a broker as it was at a time, in a Kafka of one's own. The work, and Kafka with it, is loaded when it is asked for. */
import type { Command } from 'commander'
import { surroundings } from './surroundings.ts'

export function addRebuildCommand(program: Command): void {
  program
    .command('rebuild')
    .description('a copy of the broker as it was at a time, in an empty Kafka: start Loggerhead on it and look')
    .requiredOption('--until <time>', '2026-01-31T12:00:00Z, a duration back from now (-PT1H), or positions of messages (0:10,1:55)')
    .requiredOption('--to <brokers>', 'Kafka of the copy, host:port, separated by commas; without TLS or a login, as npm start -- --kafka-only runs it')
    .option('--to-prefix <prefix>', 'first part of the copy’s topic names; without it the same as here')
    .addHelpText(
      'after',
      '\nKAFKA_BROKERS (127.0.0.1:9092) and the other KAFKA_… settings say where the log is that is copied, LOGGERHEAD_PREFIX how its topic names begin.',
    )
    .action(async (options: { readonly until: string; readonly to: string; readonly toPrefix?: string }, command: Command) => {
      const { rebuildTo } = await import('./rebuild.ts')
      await rebuildTo(surroundings(command), options)
    })
}
