import { expect, test } from '@jest/globals'
import { limitsPage, type Row, settingsTable, withPart } from '../../../stack/docs.ts'
import { tableOf } from '../../../stack/setting-tables.ts'

const rows: readonly Row[] = [
  { variable: 'HTTP_PORT', setting: { kind: 'number', default: 8080, min: 1, max: 65_535, about: 'the front door' }, processes: ['stack', 'door'] },
  { variable: 'INTERNAL_PORT', setting: { kind: 'number', default: 0, min: 0, max: 65_535, about: 'its own' }, processes: ['door'] },
  {
    variable: 'CONNECTIONS_MAX',
    setting: {
      kind: 'number',
      default: 5,
      min: 1,
      max: 9,
      unit: 'connections',
      about: 'Open | sockets',
      outcome: 'closed',
      metric: 'm{limit="CONNECTIONS_MAX"}',
    },
    processes: ['gateway'],
  },
]

test('a limit is a row of docs/limits.md with its default, outcome and metric, and not of the settings table', () => {
  const page = limitsPage(rows)
  expect(page).toContain('## The gateway')
  expect(page).toContain('| `CONNECTIONS_MAX` | `5` connections | Open \\| sockets | closed | `m{limit="CONNECTIONS_MAX"}` |')
  expect(page).not.toContain('HTTP_PORT')
  expect(settingsTable(rows)).not.toContain('CONNECTIONS_MAX')
})

test('the presets of a namespace’s limits are a table of their own', () => {
  const page = limitsPage([
    { variable: 'CLIENT_GROUPS_MAX', setting: { kind: 'number', default: 1000, min: 1, max: 9999, about: 'groups' }, processes: ['registry'] },
  ])
  expect(page).toContain('| `clientGroups` | Client groups (groups) | `1000` | `10` | `CLIENT_GROUPS_MAX` |')
})

test('what the services are told of each other stands apart from what people set', () => {
  const [own, arranged] = settingsTable(rows).split('Between the services')
  expect(own).toContain('| `HTTP_PORT` | `8080` | 1 to 65535 | the front door |')
  expect(own).not.toContain('INTERNAL_PORT')
  expect(arranged).toContain('INTERNAL_PORT')
})

test('only the part between the marks of a page is replaced', () => {
  const page = 'before\n<!-- settings:start -->\nold\n<!-- settings:end -->\nafter\n'
  expect(withPart(page, 'settings', 'new')).toBe('before\n<!-- settings:start -->\nnew\n<!-- settings:end -->\nafter\n')
  expect(withPart('no marks', 'settings', 'new')).toBe('no marks')
})

test('tables are found among what a config.ts exports', () => {
  const table = { A: { kind: 'flag', default: true, about: 'a' } }
  expect(tableOf({ gatewaySettings: table, readConfig: () => 1, other: { b: 1 }, empty: {} })).toEqual(table)
})
