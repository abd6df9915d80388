/**
 * Topic templates of topic spaces (TS-02 … TS-07): a topic filter with variables,
 * e.g. `machines/${client.authenticationName}/+` or `${client.attributes.site|.factory1}/#`.
 *
 * A variable's value stays inside its level: a value that is empty or holds `/`, `+`, `#` or NUL makes the template match
 * nothing for that client, and so do a missing attribute and one that would make the topic start with `$`. A list stands for any of its values; the same variable
 * has the same value in all of one template.
 */
import { isReadByBroker, startsWithDollar } from './broker-topics.ts'
import type { Subject } from './query.ts'

export interface TemplateLimits {
  /** UTF-8 bytes. */
  readonly bytesMax: number
  readonly levelsMax: number
}

const templateLimits: TemplateLimits = { bytesMax: 1024, levelsMax: 128 }

/** Most filters that one template becomes for one client; beyond, it matches nothing. */
export const expansionsMax = 4096

/** A template cannot be understood: where (characters from the start), and what is allowed there. */
export class TemplateError extends Error {
  readonly position: number
  constructor(position: number, message: string) {
    super(`at character ${position + 1}: ${message}`)
    this.name = 'TemplateError'
    this.position = position
  }
}

/** `name`, or an attribute's key after `attributes.`. */
type Variable = string
type Part = { readonly text: string } | { readonly variable: Variable; readonly suffix: string }

export interface TopicTemplate {
  readonly text: string
  readonly levels: readonly (readonly Part[])[]
  readonly variables: readonly Variable[]
}

const nameVariable = 'authenticationName'
const attributePrefix = 'attributes.'
// biome-ignore lint/suspicious/noTemplateCurlyInString: the syntax of templates
const allowedVariables = '${client.authenticationName} and ${client.attributes.<key>}, both also with |suffix'
const variablePattern = /^client\.(authenticationName|attributes\.[A-Za-z0-9_]+)(?:\|(.*))?$/s

function parseVariable(inner: string, at: number): Part {
  const match = variablePattern.exec(inner)
  if (!match) throw new TemplateError(at, `“\${${inner}}” is no variable; allowed are ${allowedVariables}`)
  const suffix = match[2] ?? ''
  if (match[2] === '') throw new TemplateError(at + 2 + inner.length, 'the suffix after “|” is empty')
  const bad = /[/+#{$]/.exec(suffix)
  if (bad) throw new TemplateError(at + 2 + inner.indexOf('|') + 1 + bad.index, `“${bad[0]}” must not stand in a suffix`)
  return { variable: match[1]!, suffix }
}

function parseLevel(level: string, start: number, isLast: boolean): readonly Part[] {
  const parts: Part[] = []
  let at = 0
  while (at < level.length) {
    const open = level.indexOf('${', at)
    const text = level.slice(at, open === -1 ? undefined : open)
    if (text !== '') parts.push({ text })
    if (open === -1) break
    const close = level.indexOf('}', open)
    if (close === -1) throw new TemplateError(start + open, 'this variable is not closed with “}” in its level')
    parts.push(parseVariable(level.slice(open + 2, close), start + open))
    at = close + 1
  }
  for (const wildcard of ['+', '#']) {
    const index = level.indexOf(wildcard)
    if (index !== -1 && level !== wildcard) throw new TemplateError(start + index, `“${wildcard}” must be a whole level`)
  }
  if (level === '#' && !isLast) throw new TemplateError(start, '“#” must be the last level')
  return parts
}

/** Splits at slashes outside of variables, so that a slash inside of one is named as what it is. */
function splitLevels(text: string): readonly { readonly level: string; readonly start: number }[] {
  const levels: { level: string; start: number }[] = []
  let start = 0
  let inside = false
  for (let at = 0; at <= text.length; at++) {
    if (at === text.length || (text[at] === '/' && !inside)) {
      levels.push({ level: text.slice(start, at), start })
      start = at + 1
      inside = false
    } else if (text.startsWith('${', at)) inside = true
    else if (text[at] === '}') inside = false
  }
  return levels
}

const loneSurrogate = /\p{Surrogate}/u

/** Parses a template. Throws TemplateError with the position of what is wrong. */
export function parseTemplate(text: string, limits: TemplateLimits = templateLimits): TopicTemplate {
  if (text === '') throw new TemplateError(0, 'a topic template has at least one character')
  const bytes = Buffer.byteLength(text)
  if (bytes > limits.bytesMax) throw new TemplateError(0, `a topic template has at most ${limits.bytesMax} bytes, this one ${bytes}`)
  const nul = text.indexOf('\0')
  if (nul !== -1) throw new TemplateError(nul, 'NUL is not allowed [MQTT-4.7.3-2]')
  if (loneSurrogate.test(text)) throw new TemplateError(0, 'this is not well-formed Unicode [MQTT-1.5.4-1]')
  if (isReadByBroker(text)) throw new TemplateError(0, 'topics below $share, $replay and $loggerhead are reserved (TS-09)')
  const pieces = splitLevels(text)
  if (pieces.length > limits.levelsMax) throw new TemplateError(0, `a topic template has at most ${limits.levelsMax} levels, this one ${pieces.length}`)
  const levels = pieces.map(({ level, start }, index) => parseLevel(level, start, index === pieces.length - 1))
  const variables = [...new Set(levels.flat().flatMap((part) => ('variable' in part ? [part.variable] : [])))]
  return { text, levels, variables }
}

const wouldWiden = /[/+#\0]/

function valuesOf(variable: Variable, subject: Subject): readonly string[] {
  const key = variable.slice(attributePrefix.length)
  const value = variable === nameVariable ? subject.authenticationName : Object.hasOwn(subject.attributes, key) ? subject.attributes[key] : undefined
  if (value === undefined) return []
  const texts = typeof value === 'object' ? value : [String(value)]
  return [...new Set(texts)].filter((text) => text !== '' && !wouldWiden.test(text))
}

/** The topic filters that the template is for this client, each as its levels. None when it matches nothing. */
export function substitute(template: TopicTemplate, subject: Subject): readonly (readonly string[])[] {
  let choices: readonly ReadonlyMap<Variable, string>[] = [new Map()]
  for (const variable of template.variables) {
    const values = valuesOf(variable, subject)
    if (values.length * choices.length > expansionsMax) return []
    choices = choices.flatMap((choice) => values.map((value) => new Map([...choice, [variable, value]])))
  }
  const filters = choices.map((choice) =>
    template.levels.map((parts) => parts.map((part) => ('text' in part ? part.text : choice.get(part.variable)! + part.suffix)).join('')),
  )
  // Nobody gets at such topics by their name or an attribute: the template has to say so.
  return spellsDollar(template) ? filters : filters.filter(([first]) => !startsWithDollar(first!))
}

/** The template itself begins with `$`. */
const spellsDollar = ({ levels }: TopicTemplate): boolean => levels[0]!.slice(0, 1).some((part) => 'text' in part && startsWithDollar(part.text))
