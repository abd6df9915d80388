/** Enrichments of routed messages (spec 1.14): attributes with a fixed value, or with one of the publisher's or the message's. Compiled once; pure. */
import type { Message } from '../schemas/message.ts'
import type { Attributes } from './cloud-event.ts'

export interface StaticEnrichment {
  readonly key: string
  readonly value: string
  readonly valueType?: 'String'
}

export interface DynamicEnrichment {
  readonly key: string
  /** `${client.attributes.type}` and the like. */
  readonly value: string
}

export interface Enrichments {
  readonly static?: readonly StaticEnrichment[]
  readonly dynamic?: readonly DynamicEnrichment[]
}

/** Static and dynamic ones of a route together. */
const enrichmentsMax = 20
/** Characters of a value as it is configured. */
const enrichmentValueMax = 128
const keyPattern = /^[a-z0-9]{1,20}$/
const reservedKeys = new Set(['specversion', 'id', 'time', 'type', 'source', 'subject', 'datacontenttype', 'dataschema', 'data', 'data_base64'])

/** The publisher's attributes as the registry, or who vouched for it, has them. */
export type ClientAttributes = Readonly<Record<string, string | number | readonly string[]>>

type Source = (message: Message, attributes: () => ClientAttributes) => string | number | undefined

/** The attributes that enrichments add to an event; `attributes` is asked only when one needs it. */
export type CompiledEnrichments = (message: Message, attributes: () => ClientAttributes) => Attributes

/** A template is none that is known; the message says what is allowed. */
export class EnrichmentError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'EnrichmentError'
  }
}

/** Compiles enrichments that `enrichmentViolations` found nothing in. */
export function compileEnrichments({ static: fixed = [], dynamic = [] }: Enrichments = {}): CompiledEnrichments {
  const constant: Attributes = Object.fromEntries(fixed.map(({ key, value }) => [key, value]))
  if (dynamic.length === 0) return () => constant
  const sources = dynamic.map(({ key, value }) => [key, parseSource(value)] as const)
  return (message, attributes) => {
    const added: Record<string, string | number | boolean> = { ...constant }
    for (const [key, source] of sources) added[key] = source(message, attributes) ?? ''
    return added
  }
}

const messageSources: Readonly<Record<string, Source>> = {
  topicName: ({ topic }) => topic,
  responseTopic: ({ responseTopic }) => responseTopic ?? undefined,
  correlationData: ({ correlationData }) => correlationData?.toString('base64'),
  pfi: ({ payloadFormatIndicator }) => payloadFormatIndicator ?? undefined,
}

const known = [
  'client.authenticationName',
  'client.attributes.name',
  ...['userProperties.name', ...Object.keys(messageSources)].map((name) => `mqtt.message.${name}`),
]
const allowed = `must be one of ${known.map((name) => `\${${name}}`).join(', ')}; a name of other characters stands as ['name'] after userProperties or attributes`

/** A dynamic enrichment's value. Throws EnrichmentError. */
function parseSource(template: string): Source {
  const inner = /^\$\{(.*)\}$/s.exec(template)?.[1]
  if (inner === undefined) throw new EnrichmentError(allowed)
  if (inner === 'client.authenticationName') return ({ authenticationName }) => authenticationName
  const attribute = nameAfter('client.attributes', inner)
  if (attribute !== undefined) return (_, attributes) => attributeText(attributes(), attribute)
  const property = nameAfter('mqtt.message.userProperties', inner)
  if (property !== undefined) return ({ userProperties }) => userPropertyText(userProperties, property)
  const source = /^mqtt\.message\.(\w+)$/.exec(inner)?.[1]
  if (source === undefined || !Object.hasOwn(messageSources, source)) throw new EnrichmentError(allowed)
  return messageSources[source] as Source
}

/** The name behind a dot, or between `['` and `']` with `\'` and `\\` for what they show; undefined when the text goes on otherwise. */
function nameAfter(start: string, text: string): string | undefined {
  if (!text.startsWith(start)) return undefined
  const rest = text.slice(start.length)
  const plain = /^\.([A-Za-z0-9_-]+)$/.exec(rest)?.[1]
  if (plain !== undefined) return plain
  return /^\['((?:[^'\\]|\\['\\])+)'\]$/s.exec(rest)?.[1]?.replace(/\\(['\\])/g, '$1')
}

function attributeText(attributes: ClientAttributes, name: string): string | number | undefined {
  if (!Object.hasOwn(attributes, name)) return undefined
  const value = attributes[name] as string | number | readonly string[]
  if (typeof value === 'string' || typeof value === 'number') return asAttribute(value)
  return value.join(',')
}

/** CloudEvents knows integers of 32 bits only: larger ones are text. */
const asAttribute = (value: string | number): string | number => (typeof value === 'number' && value !== (value | 0) ? String(value) : value)

function userPropertyText(userProperties: Message['userProperties'], property: string): string | undefined {
  let joined: string | undefined
  for (const { name, value } of userProperties) {
    if (name === property) joined = joined === undefined ? value : `${joined},${value}`
  }
  return joined
}

/** What is wrong with enrichments: the field, its value and what is allowed. */
export interface EnrichmentViolation {
  readonly field: string
  readonly value?: unknown
  readonly rule: string
}

/** Everything that stands against enrichments of the right shape, fields named below `at`. */
export function enrichmentViolations({ static: fixed = [], dynamic = [] }: Enrichments, at: string): readonly EnrichmentViolation[] {
  const violations: EnrichmentViolation[] = []
  const count = fixed.length + dynamic.length
  if (count > enrichmentsMax) return [{ field: at, rule: `at most ${enrichmentsMax} enrichments; these are ${count}` }]
  const seen = new Set<string>()
  const check = (field: string, { key, value }: { readonly key: string; readonly value: string }): void => {
    if (!keyPattern.test(key) || reservedKeys.has(key) || key.startsWith('azsp')) {
      const rule = `1 to 20 lower-case letters and digits, no attribute that every event has (${[...reservedKeys].join(', ')}), not beginning with azsp`
      violations.push({ field: `${field}.key`, value: key, rule })
    } else if (seen.has(key)) violations.push({ field: `${field}.key`, value: key, rule: 'must not stand twice' })
    seen.add(key)
    if (value.length > enrichmentValueMax)
      violations.push({ field: `${field}.value`, rule: `at most ${enrichmentValueMax} characters; these are ${value.length}` })
  }
  for (const [index, enrichment] of fixed.entries()) check(`${at}.static[${index}]`, enrichment)
  for (const [index, enrichment] of dynamic.entries()) {
    check(`${at}.dynamic[${index}]`, enrichment)
    try {
      parseSource(enrichment.value)
    } catch (error) {
      if (!(error instanceof EnrichmentError)) throw error
      violations.push({ field: `${at}.dynamic[${index}].value`, value: enrichment.value, rule: error.message })
    }
  }
  return violations
}
