/** `loggerhead at <time> …` and `loggerhead diff`: the state of any moment of the history window, and what changed between two. */
import type { Command } from 'commander'
import { type StateKind, stateKinds } from '../history/state-rows.ts'
import type { Json } from './api-client.ts'
import { Failure } from './failure.ts'
import type { Column } from './output.ts'
import { type Surroundings, surroundings } from './surroundings.ts'

const column = (title: string, of: string): Column<Json> => ({ title, of: (row) => row[of] })

const columnsOf: Readonly<Record<StateKind, readonly Column<Json>[]>> = {
  clients: [
    column('NAME', 'name'),
    column('AUTHENTICATION NAME', 'authenticationName'),
    column('STATE', 'state'),
    column('ATTRIBUTES', 'attributes'),
    column('UPDATED', 'updatedAt'),
  ],
  groups: [column('NAME', 'name'), column('QUERY', 'query'), column('UPDATED', 'updatedAt')],
  spaces: [column('NAME', 'name'), column('TEMPLATES', 'topicTemplates'), column('UPDATED', 'updatedAt')],
  sessions: [
    column('CLIENT ID', 'name'),
    column('AUTHENTICATION NAME', 'authenticationName'),
    column('CONNECTED', 'connected'),
    column('GATEWAY', 'gateway'),
    column('SUBSCRIPTIONS', 'subscriptions'),
    { title: 'OWED', of: ({ queue }) => (queue as { readonly messages?: number } | undefined)?.messages },
  ],
  subscriptions: [column('CLIENT ID', 'clientId'), column('FILTER', 'filter'), column('QOS', 'qos')],
  retained: [column('TOPIC', 'name'), column('QOS', 'qos'), column('BYTES', 'bytes'), column('RECEIVED', 'receivedAt'), column('POSITION', 'position')],
  permissions: [
    column('NAME', 'name'),
    column('PERMISSION', 'permission'),
    column('GROUP', 'clientGroupName'),
    column('QUERY', 'query'),
    column('TOPIC SPACE', 'topicSpaceName'),
    column('TEMPLATES', 'topicTemplates'),
  ],
}

/** The rows of an answer, and what its last line says. Throws Failure when it broke off. */
async function rowsOf(
  { api }: Surroundings,
  path: string,
  query: Readonly<Record<string, string | undefined>>,
): Promise<{ readonly rows: readonly Json[]; readonly last: Json }> {
  const rows: Json[] = []
  for await (const line of api.lines(path, query)) {
    if (line.error !== undefined) throw new Failure(`the answer broke off: ${String(line.error)}`)
    if (line.end === true) return { rows, last: line }
    rows.push(line)
  }
  throw new Failure('the answer broke off')
}

/** `+ kind name`, `- kind name`, and of what changed each field that did. */
export function differenceText({ kind, name, change, before, after }: Json): readonly string[] {
  if (change !== 'changed') return [`${change === 'added' ? '+' : '-'} ${String(kind)} ${String(name)}`]
  const [old, young] = [before as Json, after as Json]
  const fields = [...new Set([...Object.keys(old), ...Object.keys(young)])].filter((field) => JSON.stringify(old[field]) !== JSON.stringify(young[field]))
  return [`~ ${String(kind)} ${String(name)}`, ...fields.map((field) => `    ${field}: ${shown(old[field])} → ${shown(young[field])}`)]
}

const shown = (value: unknown): string => (value === undefined ? 'none' : typeof value === 'string' ? value : JSON.stringify(value))

/** A shell's user writes PT1H as well as -PT1H: an option it is not. */
const timeOf = (text: string): string => (/^P[\dT]/.test(text) ? `-${text}` : text)

const times = `\nA time is 2026-01-31T12:00:00Z, a duration back from now such as -PT1H or -P1D, or positions of messages (0:10,1:55): the moment before they came.`

export function addAtCommands(program: Command): void {
  program
    .command('at <time> <what>')
    .description(`state as it was at a time of the history window: ${stateKinds.join(', ')}`)
    .allowUnknownOption()
    .addHelpText('after', times)
    .action(async (time: string, what: string, _options: object, command: Command) => {
      const around = surroundings(command)
      const kind = stateKinds.find((known) => known === what)
      if (!kind) throw new Failure(`“${what}” is not one of ${stateKinds.join(', ')}`)
      const { rows, last } = await rowsOf(around, around.api.path('at', timeOf(time), kind), {})
      around.note(`${kind} as of ${String(last.at)}`)
      around.show(rows, columnsOf[kind])
    })
  program
    .command('diff <from> [to]')
    .description('what changed between two times: clients, groups, topic spaces, permissions, sessions, subscriptions and retained messages')
    .option('--kind <kind>', `only ${stateKinds.join(', ')}`)
    .allowUnknownOption()
    .addHelpText('after', times)
    .action(async (from: string, to: string | undefined, { kind }: { readonly kind?: string }, command: Command) => {
      const around = surroundings(command)
      const { rows, last } = await rowsOf(around, around.api.path('diff'), { from: timeOf(from), to: to === undefined ? undefined : timeOf(to), kind })
      if (around.format !== 'table') return around.show(rows)
      around.note(`from ${String(last.from)} to ${String(last.to)}`)
      for (const row of rows) for (const line of differenceText(row)) around.print(line)
      if (rows.length === 0) around.print('nothing differs')
    })
}
