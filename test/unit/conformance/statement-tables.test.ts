import { expect, test } from '@jest/globals'
import { citationProblems, citationsOf, holds, tables, withTables } from '../../conformance/statement-tables.ts'
import { type Statement, statements5, statements311 } from '../../conformance/statements.ts'
import { type Title, tableTitle } from '../../conformance/titles.ts'

const title = (...path: readonly string[]): Title => ({ file: 'test/unit/a.test.ts', path })
const statement = (list: readonly Statement[], id: string): Statement => {
  const found = list.find((each) => each.id === id)
  if (!found) throw new Error(`no ${id}`)
  return found
}
const keepAlive5 = statement(statements5, 'MQTT-3.1.2-22')
const keepAlive311 = statement(statements311, 'MQTT-3.1.2-24')

test('every statement is listed once, and what 3.1.1 shares with MQTT 5 is there', () => {
  for (const list of [statements5, statements311]) expect(new Set(list.map(({ id }) => id)).size).toBe(list.length)
  expect([statements5.length, statements311.length]).toEqual([251, 141])
  const known = new Set(statements5.map(({ id }) => id))
  expect(statements311.flatMap(({ like }) => like).filter((id) => !known.has(id))).toEqual([])
  expect([...statements5, ...statements311].filter(({ demands }) => demands === '')).toEqual([])
})

test('a title may cite several statements, of either specification', () => {
  expect(citationsOf('a [MQTT-3.3.2-4, -15] b [3.1.1 MQTT-3-8.3-4] c [MQTT-4.2-1]')).toEqual([
    { of: null, id: 'MQTT-3.3.2-4' },
    { of: null, id: 'MQTT-3.3.2-15' },
    { of: '3.1.1', id: 'MQTT-3-8.3-4' },
    { of: null, id: 'MQTT-4.2-1' },
  ])
  expect(citationsOf('a section is no statement [3.1.2.11.3]')).toEqual([])
})

test('a number of MQTT 5 stands for 3.1.1 where that demands the same, unless the title is of one version', () => {
  expect([holds(title('[MQTT-3.1.2-22] x'), keepAlive5, '5'), holds(title('[MQTT-3.1.2-22] x'), keepAlive311, '3.1.1')]).toEqual([true, true])
  expect(holds(title('CONNECT, MQTT 5', '[MQTT-3.1.2-22] x'), keepAlive311, '3.1.1')).toBe(false)
  expect(holds(title('CONNECT, MQTT 3.1.1', '[MQTT-3.1.2-22] x'), keepAlive5, '5')).toBe(false)
  expect(holds(title('x [3.1.1 MQTT-3.1.2-24]'), keepAlive311, '3.1.1')).toBe(true)
  expect(holds(title('x [3.1.1 MQTT-3.1.2-22]'), keepAlive5, '5')).toBe(false)
})

test('what our parser makes of another server’s packets holds nothing', () => {
  expect(holds(title('version 5, from a server', 'x [MQTT-3.1.2-22]'), keepAlive5, '5')).toBe(false)
})

test('a number that no specification has is a problem', () => {
  expect(citationProblems([title('x [MQTT-3.1.2-22]'), title('y [MQTT-9.9.9-9]'), title('z [3.1.1 MQTT-4.8.2-1]')])).toEqual([
    'test/unit/a.test.ts: “y [MQTT-9.9.9-9]” cites MQTT-9.9.9-9, which MQTT 5 does not have',
    'test/unit/a.test.ts: “z [3.1.1 MQTT-4.8.2-1]” cites MQTT-4.8.2-1, which MQTT 3.1.1 does not have',
  ])
})

test('the page has a row for each statement, tests or none, and one for each section', () => {
  const { statements: page, summary } = tables([title('CONNECT, MQTT 5', '[MQTT-3.1.2-22] too | late'), title('half a pair [3.3.2.3.7]')])
  expect(page).toContain(
    '| MQTT-3.1.2-22 | One and a half keep alives without a packet close the connection as if the network had failed | CONNECT: too \\| late ([unit](../test/unit/a.test.ts)) |',
  )
  expect(page).toContain('| MQTT-3.1.0-2 | A second CONNECT is a protocol error that closes the connection | **no test** |')
  expect(page).toContain('| MQTT-3.1.2-20 | Sends PINGREQ when it has nothing else to send within its keep alive | client |')
  expect(page).toContain('| MQTT-7.0.0-1 | A server that connects to other servers is a client, too | Loggerhead connects to none |')
  expect(page).toContain('| 3.3.2.3.7 | half a pair ([unit](../test/unit/a.test.ts)) |')
  expect(page).toContain('Without a test: MQTT-1.5.4-1, MQTT-1.5.4-2, ')
  expect(summary).toContain('| [MQTT 5](#mqtt-5) | 251 | 13 | 238 | 1 | 237 |')
})

test('only what stands between the marks is replaced', () => {
  const marked = (first: string, second: string) =>
    `a\n<!-- summary:start -->\n${first}<!-- summary:end -->\nb\n<!-- statements:start -->\n${second}<!-- statements:end -->\nc`
  expect(withTables(marked('old\n', 'old\n'), { summary: 'new', statements: 'newer' })).toBe(marked('\nnew\n', '\nnewer\n'))
  expect(() => withTables('no marks', { summary: '', statements: '' })).toThrow('has lost its marks')
})

test('titles of tables are written as jest writes them', () => {
  expect(tableTitle('%s is refused [%s]', ['a flag', 'MQTT-2.1.3-1', Buffer.alloc(1)])).toBe('a flag is refused [MQTT-2.1.3-1]')
  expect(tableTitle('$what.name of $kind', { what: { name: 'a' }, kind: 3 })).toBe('a of 3')
  expect(tableTitle('%s alone', 'ws')).toBe('ws alone')
})
