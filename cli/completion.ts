/** `loggerhead completion bash | zsh | fish`: prints what the shell has to be told once; the shell then asks `loggerhead complete` at every TAB. */
import tab from '@bomb.sh/tab/commander'
import type { Command } from 'commander'
import { topicKinds } from '../log/topics.ts'
import { kinds } from './kinds.ts'
import { formats } from './output.ts'

type Offer = (value: string, description: string) => void

const offer = (values: readonly string[]) => (complete: Offer) => {
  for (const value of values) complete(value, '')
}

const argumentsOf: Readonly<Record<string, readonly string[]>> = {
  tail: topicKinds,
  get: kinds.map(({ command }) => command),
  delete: kinds.map(({ command }) => command),
  explain: ['publish', 'subscribe', 'replay', 'connect'],
}

/** Reads the commands as they stand: call it last. */
export function addCompletion(program: Command): void {
  const completion = tab(program, { completionCommandName: 'completion' })
  for (const [name, values] of Object.entries(argumentsOf)) {
    const [argument] = completion.commands.get(name)?.arguments.values() ?? []
    if (argument) argument.handler = offer(values)
  }
  const output = completion.options.get('output')
  if (output) output.handler = offer(formats)
  // Options of the whole command stand behind a command's own as well.
  for (const command of completion.commands.values()) {
    for (const [name, option] of completion.options) if (!command.options.has(name)) command.options.set(name, option)
  }
}
