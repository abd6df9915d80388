/**
 * The tables of docs/conformance.md: every statement of both specifications with the tests that hold it. A test holds a
 * statement by citing it in its title: `[MQTT-3.1.0-2]` as MQTT 5 numbers it, `[3.1.1 MQTT-3.1.2-22]` where only 3.1.1
 * says so, `[3.8.2.1.2]` for a rule of that section without a number.
 */
import { type Statement, statements5, statements311 } from './statements.ts'
import type { Title } from './titles.ts'

type Version = '3.1.1' | '5'

/** What a title cites; `of` is absent where the number is of MQTT 5 and the rule may be of both. */
interface Citation {
  readonly of: '3.1.1' | null
  readonly id: string
}

const numbered = /(?<of>3\.1\.1 )?MQTT-(?<stem>\d+(?:[-.]\d+)+)-(?<first>\d+)(?<more>(?:, -\d+)*)/g
const section = /\[(?<cited>(?:3\.1\.1 )?(?:\d+(?:\.\d+)+|table [\d.-]+))\]/g

export function citationsOf(title: string): readonly Citation[] {
  return [...title.matchAll(numbered)].flatMap(({ groups: { of, stem, first, more } = {} }) =>
    [first, ...(more?.match(/\d+/g) ?? [])].map((last) => ({ of: of ? ('3.1.1' as const) : null, id: `MQTT-${stem}-${last}` })),
  )
}

const whole = ({ path }: Title): string => path.join(' ')

/** The versions a test runs for: those its title names, else both. */
function versionsOf(title: Title): readonly Version[] {
  const names: Record<Version, RegExp> = { '3.1.1': /MQTT 3\.1\.1|version 4/, '5': /MQTT 5|version 5/ }
  const named = (Object.keys(names) as Version[]).filter((version) => names[version].test(whole(title)))
  return named.length === 0 ? ['3.1.1', '5'] : named
}

/** How our parser takes what another server does says nothing of what ours does. */
const isOfOtherSide = (title: Title): boolean => / from a server$/.test(title.path[0] ?? '')

export function holds(title: Title, statement: Statement, version: Version): boolean {
  if (isOfOtherSide(title) || !versionsOf(title).includes(version)) return false
  return citationsOf(whole(title)).some(({ of, id }) => {
    if (version === '5') return of === null && id === statement.id
    return of === '3.1.1' ? id === statement.id : statement.like.includes(id)
  })
}

/** Titles that cite what no specification has. */
export function citationProblems(titles: readonly Title[]): readonly string[] {
  const known = { '3.1.1': new Set(statements311.map(({ id }) => id)), '5': new Set(statements5.map(({ id }) => id)) }
  return titles.flatMap((title) =>
    citationsOf(whole(title))
      .filter(({ of, id }) => !known[of ?? '5'].has(id))
      .map(({ of, id }) => `${title.file}: “${title.path.at(-1)}” cites ${id}, which MQTT ${of ?? '5'} does not have`),
  )
}

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('<', '&lt;').replaceAll('\n', ' ')
const suite = ({ file }: Title): string => file.split('/')[1] ?? ''

/** A title without what it cites, and where it stands. */
function told(title: Title): string {
  const words = title.path
    .map((each) => each.replace(/ ?\[[^\]]*(?:MQTT-|\d\.\d)[^\]]*\] ?/g, ' ').trim())
    .map((each) => each.replace(/, MQTT (?:3\.1\.1|5)$/, '').replace(/ +(?=[,;:.])/g, ''))
  return `${cell(words.join(': '))} ([${suite(title)}](../${title.file}))`
}

const isAboutUs = ({ binds, absent }: Statement): boolean => binds === 'server' && absent === undefined

const unique = (lines: readonly string[]): readonly string[] => [...new Set(lines)]

interface Row {
  readonly statement: Statement
  readonly tests: readonly string[]
  readonly isOpen: boolean
}

function rowsOf(statements: readonly Statement[], version: Version, titles: readonly Title[]): readonly Row[] {
  return statements.map((statement) => {
    const tests = unique(titles.filter((title) => holds(title, statement, version)).map(told))
    return { statement, tests, isOpen: isAboutUs(statement) && tests.length === 0 }
  })
}

function summary(specifications: readonly (readonly [version: Version, rows: readonly Row[]])[]): readonly string[] {
  return [
    '| specification | numbered statements | bind clients only, or do not apply | concern this server | held by tests | without a test |',
    '| --- | --- | --- | --- | --- | --- |',
    ...specifications.map(([version, rows]) => {
      const binding = rows.filter(({ statement }) => isAboutUs(statement)).length
      const open = rows.filter(({ isOpen }) => isOpen).length
      return `| [MQTT ${version}](#mqtt-${version.replaceAll('.', '')}) | ${rows.length} | ${rows.length - binding} | ${binding} | ${binding - open} | ${open} |`
    }),
    '',
  ]
}

function tableOf(version: Version, rows: readonly Row[]): readonly string[] {
  const open = rows.filter(({ isOpen }) => isOpen)
  return [
    `## MQTT ${version}`,
    '',
    ...(open.length === 0 ? [] : [`Without a test: ${open.map(({ statement }) => statement.id).join(', ')}.`, '']),
    '| statement | in our words | tests that hold it |',
    '| --- | --- | --- |',
    ...rows.map(
      ({ statement, tests, isOpen }) =>
        `| ${statement.id} | ${cell(statement.demands)} | ${isOpen ? '**no test**' : tests.join('<br>') || (statement.absent ?? statement.binds)} |`,
    ),
    '',
  ]
}

function sectionTable(titles: readonly Title[]): readonly string[] {
  const bySection = new Map<string, string[]>()
  for (const title of titles) {
    if (isOfOtherSide(title)) continue
    for (const { groups } of whole(title).matchAll(section)) {
      const cited = groups?.cited ?? ''
      bySection.set(cited, [...(bySection.get(cited) ?? []), told(title)])
    }
  }
  const order = (cited: string): string => cited.replace(/\d+/g, (digits) => digits.padStart(3, '0'))
  return [
    '## Rules without a number',
    '',
    'What the specifications say without numbering it, above all what is malformed and what a protocol error. Sections are of MQTT 5 unless marked.',
    '',
    '| section | tests that hold it |',
    '| --- | --- |',
    ...[...bySection].sort(([a], [b]) => (order(a) < order(b) ? -1 : 1)).map(([cited, tests]) => `| ${cited} | ${unique(tests).join('<br>')} |`),
    '',
  ]
}

/** What is written between the marks, by the mark's name. */
export function tables(titles: readonly Title[]): { readonly summary: string; readonly statements: string } {
  const specifications = [
    ['5', rowsOf(statements5, '5', titles)],
    ['3.1.1', rowsOf(statements311, '3.1.1', titles)],
  ] as const
  return {
    summary: summary(specifications).join('\n'),
    statements: [...specifications.flatMap(([version, rows]) => tableOf(version, rows)), ...sectionTable(titles)].join('\n'),
  }
}

/** The page with the parts between its marks replaced. */
export function withTables(page: string, generated: ReturnType<typeof tables>): string {
  return Object.entries(generated).reduce((text, [name, part]) => {
    const [begin, end] = [`<!-- ${name}:start -->`, `<!-- ${name}:end -->`]
    const from = text.indexOf(begin)
    const to = text.indexOf(end)
    if (from < 0 || to < from) throw new Error(`docs/conformance.md has lost its marks ${begin} and ${end}`)
    return `${text.slice(0, from)}${begin}\n\n${part}\n${text.slice(to)}`
  }, page)
}
