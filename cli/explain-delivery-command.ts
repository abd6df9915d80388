/** `loggerhead explain-delivery`: why a client got a message, or did not. */
import type { Command } from 'commander'
import type { Json } from './api-client.ts'
import { Failure } from './failure.ts'
import { surroundings } from './surroundings.ts'

interface Shown {
  readonly filter: string
  readonly qos: number
  readonly since?: { readonly at: string }
  readonly until?: { readonly at: string }
}

/** The answer in words. */
function deliveryText(answer: Json): string {
  const { client, outcome, meaning, reason, permission } = answer
  const message = answer.message as Readonly<Record<string, unknown>>
  const list = <T>(name: string): readonly T[] => (answer[name] as readonly T[] | undefined) ?? []
  const about = ({ filter, qos, since, until }: Shown): string =>
    [`  ${filter} at QoS ${qos}`, ...(since ? [`since ${since.at}`] : []), ...(until ? [`until ${until.at}`] : [])].join(', ')
  const { allowed, reason: why, asOf } = (permission ?? {}) as { readonly allowed?: boolean; readonly reason?: string; readonly asOf?: string }
  return [
    `${String(outcome)}: ${String(meaning)}${reason === undefined ? '' : ` (${String(reason)})`}`,
    `  client ${String(client)}, message ${String(message.position)} on ${String(message.topic)} at QoS ${String(message.qos)}, published by ${String(message.publisher)} at ${String(message.publishedAt)}`,
    ...list<string>('reasons').map((each) => `  ${each}`),
    ...(permission === undefined ? [] : [`  ${asOf === 'now' ? 'now' : 'then'} it ${allowed ? 'may' : 'may not'} subscribe to the topic: ${why}`]),
    ...section('subscriptions on the topic', list<Shown>('subscriptions').map(about)),
    ...section('subscriptions that nearly match', list<Shown>('nearest').map(about)),
    ...section(
      'proof',
      list<Readonly<Record<string, unknown>>>('evidence').map(
        ({ what, topic, partition, offset, at }) => `  ${String(at)} ${String(topic)}[${String(partition)}] ${String(offset)}: ${String(what)}`,
      ),
    ),
  ].join('\n')
}

const section = (title: string, lines: readonly string[]): readonly string[] => (lines.length === 0 ? [] : [`${title}:`, ...lines])

export function addExplainDeliveryCommand(program: Command): void {
  program
    .command('explain-delivery')
    .description('why a client got a message, or did not, with the records that prove it')
    .requiredOption('--client <id>', 'the MQTT client id')
    .requiredOption('--message <message>', 'its position in the log, partition:offset, or its id')
    .addHelpText('after', '\nThe exit code is 0 when the client has got it (acknowledged, or sent at QoS 0), and 2 otherwise.')
    .action(async ({ client, message }: { readonly client: string; readonly message: string }, command: Command) => {
      const { api, format, print, note, show } = surroundings(command)
      const body = JSON.stringify({ client, message })
      let last: Json = {}
      for await (const line of api.stream(`${api.path('history')}:explainDelivery`, new Blob([body]).stream(), 'application/json')) {
        const { progress } = line as { readonly progress?: { readonly bytes: number } }
        if (progress) note(`${progress.bytes} bytes of the log read`)
        else last = line
      }
      if (!('outcome' in last)) throw new Failure(`explain-delivery: ${String(last.error ?? 'the connection was closed')}`)
      if (format === 'table') print(deliveryText(last))
      else show(last)
      if (last.outcome !== 'acknowledged' && last.outcome !== 'sent') process.exitCode = 2
    })
}
