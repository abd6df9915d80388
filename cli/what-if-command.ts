/** `loggerhead what-if`: what files, applied, would have made of traffic that was. Nothing is changed. */
import { text as textOf } from 'node:stream/consumers'
import type { Command } from 'commander'
import { beginningGone } from '../history/log-beginning.ts'
import type { Json } from './api-client.ts'
import { planApply } from './apply.ts'
import { Failure } from './failure.ts'
import { readManifests } from './manifests.ts'
import { type Column, table } from './output.ts'
import { planText } from './plan.ts'
import { surroundings, wholeNumber } from './surroundings.ts'

interface Told {
  readonly count: number
  readonly top: readonly Json[]
  readonly others: number
}

const judgedKinds = new Set(['clientGroups', 'topicSpaces', 'clients', 'permissionBindings'])
const columns = (topic: string): readonly Column<Json>[] => [
  { title: 'COUNT', of: ({ count }) => count },
  { title: 'CLIENT', of: ({ authenticationName }) => authenticationName },
  { title: topic, of: (row) => row.topic },
  { title: 'LAST', of: ({ last }) => last },
  { title: 'WHY', of: ({ why }) => why },
]

/** The report in words. */
export function whatIfText(report: Json): string {
  const { publishes, deliveries, subscriptions } = report as Readonly<Record<string, Readonly<Record<string, unknown>>>>
  const number = (of: Json | undefined, name: string): number => Number(of?.[name] ?? 0)
  const told = (of: Json | undefined, name: string): Told => (of?.[name] as Told | undefined) ?? { count: 0, top: [], others: 0 }
  const section = (what: string, { count, top, others }: Told, topic = 'TOPIC'): string[] =>
    count === 0
      ? [`${what}: none`]
      : [
          `${what}: ${count}`,
          ...table(top, columns(topic))
            .split('\n')
            .map((line) => `  ${line}`),
          ...(others > 0 ? [`  and ${others} more`] : []),
        ]
  const isEmpty = report.from === undefined
  return [
    isEmpty ? 'nothing was published in that time' : `published from ${String(report.from)} to ${String(report.to)}`,
    ...(report.deliveriesUnknown === undefined ? [] : [`deliveries are not judged: ${String(report.deliveriesUnknown)}`]),
    ...(report.since === undefined ? [] : [beginningGone(Date.parse(String(report.since)))]),
    ...(report.gone === undefined ? [] : [`${String(report.gone)} messages were removed by retention while this was read`]),
    '',
    `${number(publishes, 'judged')} publishes, ${number(deliveries, 'judged')} deliveries`,
    ...section('publishes that would have been refused', told(publishes, 'refused')),
    ...section('deliveries that would not have been', told(deliveries, 'refused')),
    ...(number(deliveries, 'lostWithPublish') > 0 ? [`deliveries lost with their publish: ${number(deliveries, 'lostWithPublish')}`] : []),
    ...section('refused publishes that would have been allowed', told(publishes, 'allowed')),
    ...section('refused subscriptions that would have been allowed', told(subscriptions, 'allowed'), 'FILTER'),
    '',
    ...[
      [number(publishes, 'refusedAlready') + number(deliveries, 'refusedAlready'), 'are not allowed by the registry as it is either: it has changed since'],
      [number(publishes, 'undecided'), 'publishes came with rights of a credential that the log does not hold'],
      [number(report, 'refusalsOfUnknownTopic'), 'refusals were only counted, without their topic'],
    ].flatMap(([count, what]) => (Number(count) > 0 ? [`${count} ${what}`] : [])),
  ]
    .join('\n')
    .trimEnd()
}

interface Options {
  readonly file: readonly string[]
  readonly prune?: boolean
  readonly from?: string
  readonly to?: string
  readonly then?: boolean
  readonly topicFilter?: string
  readonly top: number
}

export function addWhatIfCommand(program: Command): void {
  program
    .command('what-if')
    .description('what files, applied, would have made of traffic that was: which publishes and deliveries would be refused or newly allowed')
    .requiredOption('-f, --file <path...>', 'file or folder of YAML or JSON files, as for apply; - for standard input')
    .option('--prune', 'as if what is not in the files were deleted, of the kinds that are in them')
    .option('--from <place>', 'a time in UTC, a duration back from now, or positions (-PT1H)')
    .option('--to <place>', 'the same, not included (now)')
    .option('--then', 'hold the files against the registry as it was where the stretch begins, not as it is now')
    .option('-t, --topic-filter <filter>', 'only messages on topics that match (#)')
    .option('--top <n>', 'clients and topics shown of each count', wholeNumber('--top', 1, 1_000), 20)
    .addHelpText('after', '\nThe exit code is 0 when nothing would be refused that was let through, and 2 otherwise.')
    .action(async (options: Options, command: Command) => {
      const { api, format, print, note, show } = surroundings(command)
      const wanted = readManifests(options.file, options.file.includes('-') ? await textOf(process.stdin) : '')
      const steps = (await planApply(api, wanted, options.prune ?? false)).filter(({ change }) => change !== 'unchanged')
      const others = steps.filter(({ kind }) => !judgedKinds.has(kind.kind))
      for (const { kind, name } of others) note(`${kind.kind}${name === '' ? '' : `/${name}`} is left out: it is not asked who may publish and subscribe`)
      const judged = steps.filter(({ kind }) => judgedKinds.has(kind.kind))
      if (judged.length === 0) throw new Failure('the files change no client group, topic space, permission binding or client: everything would be as it is')
      if (format === 'table') print(`${planText(judged)}\n`)
      const proposed = judged.map(({ change, kind, name }) => {
        if (change === 'delete') return { kind: kind.kind, name, properties: null }
        const { body } = wanted.find((each) => each.kind === kind && each.name === name) as (typeof wanted)[number]
        return { kind: kind.kind, name, properties: body.properties ?? body }
      })
      const { from, to, topicFilter, top } = options
      const body = JSON.stringify({ proposed, from, to, topicFilter, top, registry: options.then ? 'then' : 'now' })
      let last: Json = {}
      for await (const line of api.stream(`${api.path('history')}:whatIf`, new Blob([body]).stream(), 'application/json')) {
        const { progress } = line as { readonly progress?: { readonly messages: number; readonly at: string } }
        if (progress) note(`${progress.messages} messages, up to ${progress.at}`)
        else last = line
      }
      if (!('publishes' in last)) throw new Failure(`what-if broke off: ${String(last.error ?? 'the connection was closed')}`)
      if (format === 'table') print(whatIfText(last))
      else show(last)
      const { publishes, deliveries } = last as unknown as Readonly<Record<'publishes' | 'deliveries', { readonly refused: Told }>>
      if (publishes.refused.count + deliveries.refused.count > 0) process.exitCode = 2
    })
}
