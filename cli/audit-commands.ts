/** `loggerhead audit …`: who changed what, and whether the log still says what it said. */
import type { Command } from 'commander'
import type { Json } from './api-client.ts'
import type { VerifyCommandOptions } from './audit-verify.ts'
import { Failure } from './failure.ts'
import { showNext } from './output.ts'
import { surroundings } from './surroundings.ts'

interface ChangesOptions {
  readonly resource?: string
  readonly by?: string
  readonly from?: string
  readonly to?: string
}

/** A change in one line for people; what stood there before and after is in JSON. */
function changeLine({ time, change, resource, by, address, before, after, concealed }: Json): string {
  const [from, to] = [before ?? {}, after ?? {}] as [Json, Json]
  const fields = change === 'updated' ? Object.keys({ ...from, ...to }).filter((field) => JSON.stringify(from[field]) !== JSON.stringify(to[field])) : []
  const edits = fields.map((field) => `${field}: ${JSON.stringify(from[field]) ?? 'none'} → ${JSON.stringify(to[field]) ?? 'none'}`)
  const hidden = ((concealed ?? []) as readonly string[]).map((field) => `${field} (not shown)`)
  const what = [...edits, ...hidden].join(', ')
  return `${time}  ${change}  ${resource}  by ${by}${address === undefined ? '' : ` from ${address}`}${what === '' ? '' : `  ${what}`}`
}

export function addAuditCommands(program: Command): void {
  const audit = program.command('audit').description('who changed what, and whether the log still says what it said')
  audit
    .command('changes')
    .description('who changed which resource, when and from where, from what to what')
    .option('--resource <resource>', 'only this resource, as clients/pump, or this kind, as clients')
    .option('--by <principal>', 'only what api-key, apiKeys/<name> or oidc/<subject> changed')
    .option('--from <place>', 'a time in UTC, or a duration back from now such as -PT1H (-P7D)')
    .option('--to <place>', 'the same, not included; up to now without it')
    .action(async ({ resource, by, from, to }: ChangesOptions, command: Command) => {
      const { api, format, note, print } = surroundings(command)
      let end: Json | undefined
      for await (const line of api.lines(api.path('changes'), { resource, by, from, to })) {
        if (typeof line.error === 'string') throw new Failure(line.error)
        if (line.end === true) end = line
        else print(format === 'table' ? changeLine(line) : showNext(format, line))
      }
      if (!end) throw new Failure('the answer broke off before its end')
      if (end.since !== undefined) note(`changes are kept since ${String(end.since)}: of those before, some are gone`)
    })
  const kafka = '\nKAFKA_BROKERS (127.0.0.1:9092) and the other KAFKA_… settings say where Kafka is, LOGGERHEAD_PREFIX how topic names begin.'
  audit
    .command('verify')
    .description('read the log beside its signed checkpoints and say where it is not what it was; exit code 2 when it is not')
    .requiredOption('--key <file...>', 'PEM files with the public keys that are believed')
    .option('--expect <file>', 'checkpoints that “audit head” printed once: they must be there still')
    .option('--topic <kind...>', 'only these: messages, lifecycle, sessions, inbox (all that have chains)')
    .addHelpText('after', kafka)
    .action(async (options: VerifyCommandOptions, command: Command) => {
      const { verify } = await import('./audit-verify.ts')
      await verify(surroundings(command), options)
    })
  audit
    .command('head')
    .description('the last checkpoint of each shard, a line each, to be kept where whoever could change the log cannot reach')
    .option('--key <file...>', 'PEM files with the public keys that are believed, as are those that they name; without it, whoever signed')
    .addHelpText('after', kafka)
    .action(async ({ key }: { readonly key?: readonly string[] }, command: Command) => {
      const { head } = await import('./audit-verify.ts')
      await head(surroundings(command), key)
    })
}
