/** Writes the generated parts of the documentation: docs/limits.md, the settings table in README.md, the tables of docs/metrics.md, and the dashboard. */
import { existsSync } from 'node:fs'
import { readFile, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { namespaceLimits, namespaceRules } from '../model/namespace-limits.ts'
import type { Setting } from '../settings/setting.ts'
import { dashboardText } from './dashboard.ts'
import { eventGridTable, metricsTables, refusalsTable } from './metric-tables.ts'
import { type ProcessName, processes, readTable } from './setting-tables.ts'

/** A setting and the processes that have it. */
export interface Row {
  readonly variable: string
  readonly setting: Setting
  readonly processes: readonly ProcessName[]
}

/** Every setting once, in the order of the tables; the first table that has it describes it. */
export async function rows(project: string): Promise<readonly Row[]> {
  const found = new Map<string, { setting: Setting; processes: ProcessName[] }>()
  for (const process of processes) {
    for (const [variable, setting] of Object.entries(await readTable(project, process))) {
      const row = found.get(variable)
      if (row) row.processes.push(process)
      else found.set(variable, { setting, processes: [process] })
    }
  }
  return [...found].map(([variable, row]) => ({ variable, ...row }))
}

/** What `npm start` and docker-compose.yml arrange among the services: nobody sets these for a whole stack. */
const arranged = new Set([
  'LOGGERHEAD_INTERNAL_BIND',
  'INTERNAL_PORT',
  'INTERNAL_MQTT_PORT',
  'INTERNAL_KEY_FILE',
  'API_KEY_FILE',
  'GATEWAY_ID',
  'ROUTER_ID',
  'GRPC_PORT',
  'GRPC_BIND',
  'GRPC_ADVERTISE',
  'REGISTRY_URL',
  'GATEWAY_URLS',
  'ROUTER_URLS',
  'CANARY_ADDRESSES',
  'DURABILITY',
])

const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('\n', ' ').replace(/\.$/, '')

function shownDefault(setting: Setting): string {
  if (setting.kind === 'flag') return `\`${setting.default}\``
  const value = setting.kind === 'number' ? setting.default.toLocaleString('en-US').replaceAll(',', ' ') : setting.default
  if (value === '') return ''
  return setting.unit ? `\`${setting.default}\` ${setting.unit}` : `\`${setting.default}\``
}

function allowed(setting: Setting): string {
  if (setting.kind === 'number') return `${setting.min} to ${setting.max}`
  if (setting.kind === 'flag') return 'true, false'
  return setting.oneOf?.filter(Boolean).join(', ') ?? ''
}

const isLimit = ({ setting }: Row) => setting.outcome !== undefined

/** The settings of a whole stack, then those of single services, as Markdown. */
export function settingsTable(all: readonly Row[]): string {
  const table = (list: readonly Row[]) =>
    [
      '| variable | default | allowed | what |',
      '| --- | --- | --- | --- |',
      ...list.map(({ variable, setting }) => `| \`${variable}\` | ${shownDefault(setting)} | ${cell(allowed(setting))} | ${cell(setting.about)} |`),
    ].join('\n')
  const chosen = all.filter((row) => !isLimit(row))
  return [
    table(chosen.filter(({ variable }) => !arranged.has(variable))),
    '',
    'Limits have settings too: [docs/limits.md](docs/limits.md). Between the services, arranged by `npm start` and docker-compose.yml:',
    '',
    table(chosen.filter(({ variable }) => arranged.has(variable))),
  ].join('\n')
}

/** What a namespace may narrow, with its two presets. */
function namespaceSection(all: readonly Row[]): string[] {
  const open = (variable: string): string => {
    const setting = all.find((row) => row.variable === variable)?.setting
    return setting ? `\`${setting.default}\`` : ''
  }
  return [
    '## A namespace',
    '',
    'The namespace resource narrows some of these for itself: `{"limits": {"preset": "open"}}` (what the deployment allows, the default) or `{"limits": {"preset": "eventgrid"}}` (what Event Grid publishes for one throughput unit), and single values over the preset. The deployment’s setting stays the upper bound. [eventgrid.md](eventgrid.md) goes through the rows of Event Grid’s behaviour.',
    '',
    'A change counts at every gateway and router for whatever is decided after it. What is there already may be changed and deleted, and what CONNACK told a client (Receive Maximum, Maximum Packet Size, Topic Alias Maximum and the like) stands until its connection ends.',
    '',
    '| `limits` | what it bounds | `open` | `eventgrid` | bounded by |',
    '| --- | --- | --- | --- | --- |',
    ...Object.entries(namespaceLimits).map(
      ([name, { about, unit, eventgrid, setting }]) => `| \`${name}\` | ${about} (${unit}) | ${open(setting)} | \`${eventgrid}\` | \`${setting}\` |`,
    ),
    '',
    'What becomes of a session that is owed more than `sessionQueueMessages`, `sessionQueueBytes` or `sessionQueueSeconds` is said by `sessionQueueFull` beside them: `endSession` (always in `eventgrid` unless said otherwise) or `dropOldest`; without it, by `SESSION_QUEUE_FULL`.',
    '',
    'Strict rules stand beside them, each `true` or `false`: all are off in `open` and on in `eventgrid`, as in `{"limits": {"preset": "eventgrid", "publishDeniedDisconnects": false}}`.',
    '',
    '| `limits` | when it is `true` |',
    '| --- | --- |',
    ...Object.entries(namespaceRules).map(([name, { about }]) => `| \`${name}\` | ${cell(about)} |`),
    '',
  ]
}

/** docs/limits.md. */
export function limitsPage(all: readonly Row[]): string {
  const limits = all.filter(isLimit)
  const section = (title: string, belongs: (row: Row) => boolean) => {
    const own = limits.filter(belongs)
    if (own.length === 0) return []
    return [
      `## ${title}`,
      '',
      '| setting | default | what it bounds | when it is reached | metric |',
      '| --- | --- | --- | --- | --- |',
      ...own.map(
        ({ variable, setting }) =>
          `| \`${variable}\` | ${shownDefault(setting)} | ${cell(setting.about)} | ${cell(setting.outcome ?? '')} | ${setting.metric ? `\`${cell(setting.metric)}\`` : ''} |`,
      ),
      '',
    ]
  }
  return [
    '<!-- Generated by stack/docs.ts from the settings tables; do not edit. -->',
    '# Limits',
    '',
    'Everything is bounded. Each limit is a setting taken from the environment, counts in a metric when it is reached, and has one stated outcome. Every limit is named by a test.',
    '',
    ...processes.flatMap((process) => section(`The ${process}`, (row) => row.processes.length === 1 && row.processes[0] === process)),
    ...section('Several services', (row) => row.processes.length > 1),
    ...namespaceSection(all),
  ]
    .join('\n')
    .trimEnd()
    .concat('\n')
}

/** A page with the part between its marks, `<!-- name:start -->` and `<!-- name:end -->`, replaced; the page itself when it has no marks. */
export function withPart(page: string, name: string, text: string): string {
  const begin = `<!-- ${name}:start -->`
  const from = page.indexOf(begin)
  const to = page.indexOf(`<!-- ${name}:end -->`)
  return from < 0 || to < from ? page : `${page.slice(0, from)}${begin}\n${text}\n${page.slice(to)}`
}

/** The generated files as they should be, by path. */
export async function generate(project: string): Promise<ReadonlyMap<string, string>> {
  const all = await rows(project)
  const files = new Map([['docs/limits.md', limitsPage(all)]])
  const change = async (path: string, text: (page: string) => string): Promise<void> => {
    if (existsSync(join(project, path))) files.set(path, text(await readFile(join(project, path), 'utf8')))
  }
  await change('README.md', (page) => withPart(page, 'settings', settingsTable(all)))
  files.set('watching/dashboard.json', dashboardText())
  const refusals = await refusalsTable(project)
  await change('docs/operating.md', (page) => withPart(page, 'refusals', refusals))
  const tables = await metricsTables(project)
  await change('docs/metrics.md', (page) => withPart(withPart(page, 'eventgrid', eventGridTable()), 'metrics', tables))
  return files
}

/** Which generated files differ from what they should be. */
export async function outdated(project: string): Promise<readonly string[]> {
  const stale: string[] = []
  for (const [path, text] of await generate(project)) {
    if ((await readFile(join(project, path), 'utf8').catch(() => '')) !== text) stale.push(path)
  }
  return stale
}

if (import.meta.main) {
  const project = dirname(import.meta.dirname)
  for (const [path, text] of await generate(project)) await writeFile(join(project, path), text)
}
