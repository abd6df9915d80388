/** `loggerhead sessions …`, `loggerhead retained …` and `loggerhead explain …`: what is, and why. */
import type { Command } from 'commander'
import { reasonName } from '../mqtt/reason-code.ts'
import type { Json } from './api-client.ts'
import { Failure } from './failure.ts'
import { readText } from './input.ts'
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
  { title: 'OLDEST', of: queued('oldestAt') },
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
function explanationText(explanation: Json): string {
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

/** An explanation of a connection as text. */
function connectText({ allowed, reason, reasonCode, client, authenticationName, groups, expiresAt, certificate }: Json): string {
  const code = Number(reasonCode)
  const { subject, dns, uri, ip, email, issuer, notAfter } = (certificate ?? {}) as Readonly<Record<string, readonly string[] | string>>
  const names = { subject, dns, uri, ip, email, issuer, 'not after': notAfter }
  return [
    `${allowed ? 'allowed' : 'refused'}: ${String(reason)}`,
    ...(allowed ? [] : [`  CONNACK: ${reasonName(code)} (0x${code.toString(16)})`]),
    ...(client === undefined ? [] : [`  client: ${String(client)} (authentication name ${String(authenticationName)})`]),
    ...(allowed ? [`  groups: ${(groups as readonly string[]).join(', ') || 'none'}`] : []),
    ...(expiresAt === undefined ? [] : [`  judged anew at ${String(expiresAt)}`]),
    ...(certificate === undefined ? [] : ['  the certificate says:']),
    ...Object.entries(names).flatMap(([name, value]) => {
      const text = Array.isArray(value) ? value.join(', ') : String(value ?? '').replaceAll('\n', ', ')
      return text === '' ? [] : [`    ${name}: ${text}`]
    }),
  ].join('\n')
}

interface ConnectOptions {
  readonly clientId?: string
  readonly cert?: string
  readonly passwordFile?: string
  readonly method?: string
  readonly tokenFile?: string
}

async function shownCredentials({ clientId, cert, passwordFile, method, tokenFile }: ConnectOptions): Promise<Json> {
  return {
    clientId,
    certificate: cert === undefined ? undefined : await readText(cert),
    password: passwordFile === undefined ? undefined : (await readText(passwordFile)).replace(/\r?\n$/, ''),
    authenticationMethod: method,
    authenticationData: tokenFile === undefined ? undefined : (await readText(tokenFile)).trim(),
  }
}

export function addLiveCommands(program: Command): void {
  const sessions = program.command('sessions').alias('session').description('sessions as they are now')
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
  retained
    .command('delete <topic>')
    .alias('clear')
    .description('clear what is retained on a topic; its subscribers get an empty message')
    .action(async (topic: string, _options: object, command: Command) => {
      const { api, note } = surroundings(command)
      await api.call('DELETE', api.path('retainedMessages', topic))
      note(`nothing is retained on ${topic} any more`)
    })

  program
    .command('explain <action> [client] [topic]')
    .description('whether a client may publish to a topic, subscribe to a filter, have it replayed, or connect, and why')
    .option('--client-id <id>', 'connect: the MQTT client id')
    .option('--cert <file>', 'connect: PEM file of the certificate that it shows')
    .option('--password-file <file>', 'connect: file with the password; - for standard input')
    .option('--method <name>', 'connect: authentication method of MQTT 5, such as CUSTOM-JWT')
    .option('--token-file <file>', 'connect: file with the token, the authentication data; - for standard input')
    .addHelpText(
      'after',
      `
Actions are publish, subscribe, replay and connect. The client is a name or an authentication name; to connect, the user name that it gives, if any.
Examples:
  loggerhead explain publish vehicle-1 'vehicles/vehicle-1/position'
  loggerhead explain connect vehicle-1 --cert vehicle-1.pem
The exit code is 0 when it is allowed and 2 when it is not.`,
    )
    .action(async (action: string, client: string | undefined, topic: string | undefined, options: ConnectOptions, command: Command) => {
      const { api, format, print, show } = surroundings(command)
      if (action !== 'connect' && (client === undefined || topic === undefined)) throw new Failure(`explain ${action}: give a client and a topic`)
      const explanation = await api.call('POST', `${api.path()}:explain`, { action, client, topic, ...(await shownCredentials(options)) })
      if (format === 'table') print(action === 'connect' ? connectText(explanation) : explanationText(explanation))
      else show(explanation)
      if (explanation.allowed !== true) process.exitCode = 2
    })
}
