/** `loggerhead tail`: what it takes; the work, and Kafka with it, is loaded when it is asked for. */
import type { Command } from 'commander'
import { topicKinds } from '../log/topics.ts'
import { surroundings, wholeNumber } from './surroundings.ts'
import type { TailOptions } from './tail.ts'

export function addTailCommand(program: Command): void {
  program
    .command('tail <topic>')
    .description(`decoded records of a topic of the log, one JSON line each: ${topicKinds.join(', ')}`)
    .option('--from-beginning', 'from the oldest record on')
    .option('-n, --last <n>', 'begin with the last n records of each partition', wholeNumber('--last', 0, 1_000_000_000), 0)
    .option('-C, --count <n>', 'end after so many records', wholeNumber('--count', 1, 1_000_000_000))
    .option('--end', 'end at what is the end now')
    .addHelpText('after', '\nKAFKA_BROKERS (127.0.0.1:9092) and the other KAFKA_… settings say where Kafka is, LOGGERHEAD_PREFIX how topic names begin.')
    .action(async (kind: string, options: TailOptions, command: Command) => {
      const { tail } = await import('./tail.ts')
      await tail(surroundings(command), kind, options)
    })
}
