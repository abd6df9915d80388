/** `loggerhead partitions`: more shards for a namespace that nobody serves. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'
import { surroundings, wholeNumber } from './surroundings.ts'

/** What shards hold is known to the router: its program does the work. */
const program = fileURLToPath(new URL('../router/partitions/main.ts', import.meta.url))

export function addPartitionsCommand(parent: Command): void {
  parent
    .command('partitions')
    .argument('<count>', 'how many partitions the namespace’s topics shall have; never fewer than now', wholeNumber('<count>', 1, 1024))
    .description('give the namespace more shards, while no gateway and no router of it runs; killed, it goes on where it stopped when it is run again')
    .addHelpText(
      'after',
      '\nKAFKA_BROKERS (127.0.0.1:9092) and the other KAFKA_… settings say where Kafka is, LOGGERHEAD_PREFIX how topic names begin. Nothing starts while a change is under way, and then with the new number only (KAFKA_PARTITIONS). See docs/partitions.md.',
    )
    .action(async (count: number, _options: object, command: Command) => {
      const { config } = surroundings(command)
      // The environment names the deployment's home namespace, --namespace the one that is meant.
      const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', program, String(count), config.namespace], { stdio: 'inherit' })
      const pass = (signal: NodeJS.Signals): void => {
        child.kill(signal)
      }
      process.once('SIGINT', pass).once('SIGTERM', pass)
      const [code] = (await once(child, 'exit')) as [number | null]
      process.exitCode = code ?? 1
    })
}
