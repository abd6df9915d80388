/** `loggerhead event-subscriptions pause …`, `resume`, `rewind` and `redrive`: what can be done to one besides writing it. */
import type { Command } from 'commander'
import type { Json } from './api-client.ts'
import { Failure } from './failure.ts'
import { resourcePath } from './resource-paths.ts'
import { surroundings } from './surroundings.ts'

async function act(command: Command, name: string, action: string, body?: Json): Promise<Json> {
  const { api } = surroundings(command)
  return api.call('POST', `${resourcePath(api, 'eventSubscriptions', name)}:${action}`, body)
}

function wholeNumber(option: string, text: string): number {
  if (!/^\d{1,15}$/.test(text)) throw new Failure(`--${option}: “${text}” is not a whole number`)
  return Number(text)
}

/** To the group of commands that `addResourceCommands` has made. */
export function addSubscriptionCommands(program: Command): void {
  const group = program.commands.find((command) => command.name() === 'event-subscriptions')
  if (!group) throw new Error('there are no commands for event subscriptions')
  group
    .command('pause <name>')
    .description('push nothing until it is resumed; events wait in the topic')
    .action(async (name: string, _options: object, command: Command) => {
      await act(command, name, 'pause')
      surroundings(command).note(`${name} is paused`)
    })
  group
    .command('resume <name>')
    .description('push again')
    .action(async (name: string, _options: object, command: Command) => {
      await act(command, name, 'resume')
      surroundings(command).note(`${name} is active`)
    })
  group
    .command('rewind <name>')
    .description('go on at an earlier or later place of the topic')
    .option('--time <time>', 'with the first event that came then or later: 2030-01-31T12:00:00Z, or a duration back from now (-PT10M)')
    .option('--partition <partition>', 'in this partition only, with --offset')
    .option('--offset <offset>', 'with the event at this offset')
    .action(async (name: string, options: { readonly time?: string; readonly partition?: string; readonly offset?: string }, command: Command) => {
      const { time, partition, offset } = options
      surroundings(command).show(
        await act(command, name, 'rewind', {
          ...(time === undefined ? {} : { time }),
          ...(partition === undefined ? {} : { partition: wholeNumber('partition', partition) }),
          ...(offset === undefined ? {} : { offset: wholeNumber('offset', offset) }),
        }),
      )
    })
  group
    .command('redrive <name>')
    .description('try dead letters again, as if they had come now')
    .option('--time <time>', 'only those that were written then or later: 2030-01-31T12:00:00Z, or a duration back from now (-PT10M)')
    .action(async (name: string, { time }: { readonly time?: string }, command: Command) => {
      surroundings(command).show(await act(command, name, 'redrive', time === undefined ? undefined : { time }))
    })
}
