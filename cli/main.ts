import { readFileSync } from 'node:fs'
import { Command } from 'commander'
import { SettingError } from '../settings/setting.ts'
import { addAtCommands } from './at-commands.ts'
import { addAuditCommands } from './audit-commands.ts'
import { addCompletion } from './completion.ts'
import { addEraseCommand } from './erase-command.ts'
import { addExplainDeliveryCommand } from './explain-delivery-command.ts'
import { Failure } from './failure.ts'
import { addLiveCommands } from './live-commands.ts'
import { addMqttCommands } from './mqtt-commands.ts'
import { table } from './output.ts'
import { addPartitionsCommand } from './partitions-command.ts'
import { addPkiCommands } from './pki-commands.ts'
import { addRebuildCommand } from './rebuild-command.ts'
import { addReplayCommand } from './replay-command.ts'
import { addResourceCommands } from './resource-commands.ts'
import { addSubscriptionCommands } from './subscription-commands.ts'
import { surroundings } from './surroundings.ts'
import { addTailCommand } from './tail-command.ts'
import { addTokenCommands } from './token-commands.ts'
import { addWhatIfCommand } from './what-if-command.ts'

const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as { readonly version: string }

const program = new Command('loggerhead')
  .description('Loggerhead from the command line: who may connect, publish and subscribe, what goes on, and messages')
  .version(version)
  .option('--url <url>', 'the HTTP front door (LOGGERHEAD_URL, http://127.0.0.1:8080)')
  .option('--api-key-file <file>', 'file with the key of the HTTP API (LOGGERHEAD_API_KEY_FILE; LOGGERHEAD_API_KEY holds a key itself)')
  .option('--namespace <name>', 'namespace (LOGGERHEAD_NAMESPACE, default)')
  .option('-o, --output <format>', 'table, json or yaml (table)')
  .option('--json', 'the same as --output json')
  .showHelpAfterError('(loggerhead --help, or loggerhead <command> --help, says what is possible)')

addMqttCommands(program)
addTailCommand(program)
addReplayCommand(program)
addRebuildCommand(program)
addResourceCommands(program)
addSubscriptionCommands(program)
addLiveCommands(program)
addAtCommands(program)
addWhatIfCommand(program)
addExplainDeliveryCommand(program)
addPkiCommands(program)
addTokenCommands(program)
addPartitionsCommand(program)
addAuditCommands(program)
addEraseCommand(program)
program
  .command('doctor')
  .description('try the front door, the key, Kafka and every listener as a client would, and say what is wrong')
  .option('--ca <file>', 'PEM file of the CA that signed the server’s certificate; ca.pem of the data folder by default')
  .action(async (options: { readonly ca?: string }, command: Command) => {
    const around = surroundings(command)
    const { examine } = await import('./doctor.ts')
    const findings = await examine(around, options)
    if (around.format === 'table') {
      around.print(
        table(findings, [
          { title: 'CHECK', of: ({ check }) => check },
          { title: 'HEALTH', of: ({ health }) => health },
        ]),
      )
      for (const { check, health, detail } of findings) around.print(`${health === 'failed' ? '✗' : health === 'warning' ? '!' : '·'} ${check}: ${detail}`)
    } else around.show(findings)
    if (findings.some(({ health }) => health === 'failed')) process.exitCode = 1
  })

addCompletion(program)

// A reader that has seen enough, as in `loggerhead tail … | head`, is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))

try {
  await program.parseAsync()
} catch (error) {
  if (!(error instanceof Failure || error instanceof SettingError)) throw error
  process.stderr.write(`loggerhead: ${error.message}\n`)
  process.exitCode = 1
}
