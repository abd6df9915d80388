/** `loggerhead erase`: what a client has published cannot be read any more. */
import type { Command } from 'commander'
import { surroundings } from './surroundings.ts'

export function addEraseCommand(program: Command): void {
  program
    .command('erase <authenticationName>')
    .description('destroy the keys of a client’s messages: what it has published is read by nobody any more')
    .action(async (name: string, _options: object, command: Command) => {
      const { api, note } = surroundings(command)
      const { erasedKeys } = await api.call('POST', `${api.path('clients', name)}:erase`)
      note(erasedKeys === 0 ? `there is no key of ${name}: nothing that it has published is sealed` : `${erasedKeys} keys of ${name} are destroyed`)
    })
}
