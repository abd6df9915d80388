/** `loggerhead sessions …`, `loggerhead retained …` and `loggerhead explain …`: what is, and why. */
import type { Command } from 'commander'
import type { Json } from './api-client.ts'
import type { Column } from './output.ts'
import { surroundings } from './surroundings.ts'

const property =
  (name: string) =>
  (row: Json): unknown =>
    (row.properties as Json)[name]
const queued = (name: string) => (row: Json) => ((row.properties as Json).queue as Json | undefined)?.[name]

const columns: readonly Column<Json>[] = [
  { title: 'CLIENT ID', of: (row) => row.name },
  { title: 'AUTHENTICATION NAME', of: property('authenticationName') },
  { title: 'CONNECTED', of: property('connected') },
  { title: 'GATEWAY', of: property('gateway') },
  { title: 'ADDRESS', of: property('remoteAddress') },
  { title: 'SUBSCRIPTIONS', of: (row) => ((row.properties as Json).subscriptions as readonly unknown[]).length },
  { title: 'QUEUED', of: queued('messages') },
  { title: 'IN FLIGHT', of: queued('inFlight') },
]

const retainedColumns: readonly Column<Json>[] = [
  { title: 'TOPIC', of: (row) => row.name },
  { title: 'QOS', of: property('qos') },
  { title: 'SIZE', of: property('size') },
  { title: 'LAST MODIFIED', of: property('lastModifiedTime') },
  { title: 'EXPIRY', of: property('expiry') },
  { title: 'PUBLISHER', of: property('publisher') },
]

interface ConsideredBinding {
  readonly binding: string
  readonly clientGroup: string
  readonly isMember: boolean
  readonly topicSpace: string
  readonly templates: readonly { readonly template: string; readonly filters: readonly string[]; readonly matches: boolean }[]
}

/** An explanation as text. */
export function explanationText(explanation: Json): string {
  const { allowed, reason, authenticationName, client, groups } = explanation
  const considered = (explanation.considered ?? []) as readonly ConsideredBinding[]
  const lines = considered.map(({ binding, clientGroup, isMember, topicSpace, templates }) => {
    const matching = templates.find(({ matches }) => matches)
    const where = matching ? `“${matching.template}” matches` : 'no template matches'
    return `  ${isMember && matching ? '✓' : '·'} ${binding}: ${isMember ? 'in' : 'not in'} the group ${clientGroup}; in the space ${topicSpace} ${where}`
  })
  return [
    `${allowed ? 'allowed' : 'refused'}: ${String(reason)}`,
    `  client: ${client === undefined ? 'none registered' : String(client)} (authentication name ${String(authenticationName)})`,
    `  groups: ${(groups as readonly string[]).join(', ') || 'none'}`,
    ...(lines.length > 0 ? ['  bindings with this permission:', ...lines.map((line) => `  ${line}`)] : []),
  ].join('\n')
}

export function addLiveCommands(program: Command): void {
  const sessions = program.command('sessions').description('sessions as they are now')
  sessions
    .command('list')
    .description('all sessions')
    .option('--connected', 'only those with a connection')
    .option('--offline', 'only those without')
    .option('--authentication-name <name>', 'only those of this client')
    .action(async (options: { readonly connected?: boolean; readonly offline?: boolean; readonly authenticationName?: string }, command: Command) => {
      const { api, show } = surroundings(command)
      const query = {
        ...(options.connected ? { connected: 'true' } : options.offline ? { connected: 'false' } : {}),
        ...(options.authenticationName === undefined ? {} : { authenticationName: options.authenticationName }),
      }
      show(await api.listAll(api.path('sessions'), query), columns)
    })
  sessions
    .command('get <clientId>')
    .description('one session: its connection, subscriptions and queue')
    .action(async (clientId: string, _options: object, command: Command) => {
      const { api, show } = surroundings(command)
      show(await api.call('GET', api.path('sessions', clientId)))
    })
  sessions
    .command('delete <clientId>')
    .description('end a session with all it holds; a connection gets DISCONNECT 0x98')
    .action(async (clientId: string, _options: object, command: Command) => {
      const { api, note } = surroundings(command)
      await api.call('DELETE', api.path('sessions', clientId))
      note(`the session ${clientId} is over`)
    })
  sessions
    .command('disconnect <clientId>')
    .description('end a session’s connection and keep the session')
    .action(async (clientId: string, _options: object, command: Command) => {
      const { api, note } = surroundings(command)
      await api.call('POST', `${api.path('sessions', clientId)}:disconnect`)
      note(`${clientId} is disconnected; its session goes on`)
    })

  const retained = program.command('retained').description('retained messages as they are now')
  retained
    .command('list [topicFilter]')
    .description('all retained messages, or those on topics that match')
    .action(async (topicFilter: string | undefined, _options: object, command: Command) => {
      const { api, show } = surroundings(command)
      show(await api.listAll(api.path('retainedMessages'), topicFilter === undefined ? {} : { topicFilter }), retainedColumns)
    })
  retained
    .command('get <topic>')
    .description('one retained message with its payload, in base64')
    .action(async (topic: string, _options: object, command: Command) => {
      const { api, show } = surroundings(command)
      show(await api.call('GET', api.path('retainedMessages', topic)))
    })

  program
    .command('explain <action> <client> <topic>')
    .description('whether a client may publish to a topic or subscribe to a filter, and why')
    .addHelpText(
      'after',
      "\nActions are publish and subscribe.\nExample: loggerhead explain publish vehicle-1 'vehicles/vehicle-1/position'\nThe exit code is 0 when it is allowed and 2 when it is not.",
    )
    .action(async (action: string, client: string, topic: string, _options: object, command: Command) => {
      const { api, format, print, show } = surroundings(command)
      const explanation = await api.call('POST', `${api.path()}:explain`, { client, action, topic })
      if (format === 'table') print(explanationText(explanation))
      else show(explanation)
      if (explanation.allowed !== true) process.exitCode = 2
    })
}
