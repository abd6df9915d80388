/** Which namespaces may begin, change and end (NS-01, NS-09): pure, given the home registry as it is. */
import { foldHostName, type NamespaceEntry, type NamespaceRecord, namespaceName } from '../model/namespaces.ts'
import type { RegistryView } from '../model/registry-view.ts'
import type { RegistryConfig } from './config.ts'
import { Problem, type Violation } from './problem.ts'

export interface DeploymentLimits extends Pick<RegistryConfig, 'NAMESPACES_MAX' | 'NAMESPACE_SHARDS_MAX'> {
  /** Partitions of the home namespace, and of one that does not say. */
  readonly partitions: number
}

/** What a request asks of a namespace as a part of the deployment. */
export interface AskedNamespace {
  readonly partitions?: number | undefined
  /** Undefined leaves them as they are. */
  readonly hostNames?: readonly string[] | undefined
}

export type DeploymentLimit = 'NAMESPACES_MAX' | 'NAMESPACE_SHARDS_MAX'

/** A limit of the deployment was reached. */
export class DeploymentLimitReached extends Problem {
  readonly limit: DeploymentLimit
  constructor(limit: DeploymentLimit, violation: Violation) {
    super(400, `${violation.field}: ${violation.rule}`, { violations: [violation] })
    this.name = 'DeploymentLimitReached'
    this.limit = limit
  }
}

const hostField = 'properties.topicSpacesConfiguration.customDomains'

function refused(status: 400 | 409, violation: Violation): Problem {
  return new Problem(status, `${violation.field}: ${violation.rule}`, { violations: [violation] })
}

/** Those that take room: all but the ones whose topics are gone. */
function standing(view: RegistryView, home: string): readonly NamespaceEntry[] {
  return [...view.namespaces.values()].filter(({ name, state }) => name !== home && state !== 'Deleted')
}

function checkHostNames(view: RegistryView, name: string, asked: readonly string[]): readonly string[] {
  return asked.map((text, index) => {
    const field = `${hostField}[${index}].fullyQualifiedDomainName`
    const host = foldHostName(text)
    if (host === null) throw refused(400, { field, value: text, rule: 'a host name: letters, digits and “-” between dots, no address' })
    const other = [...view.namespaces.values()].find((entry) => entry.name !== name && entry.state !== 'Deleted' && entry.hostNames.includes(host))
    if (other) throw refused(409, { field, value: text, rule: `must be unique in the deployment (NS-09); the namespace “${other.name}” has it` })
    return host
  })
}

/** What is to be written first for a namespace that is put; `Creating` when it begins. Throws Problem. */
export function decideNamespace(view: RegistryView, home: string, name: string, asked: AskedNamespace, limits: DeploymentLimits): NamespaceRecord {
  const before = view.namespaces.get(name)
  if (before?.state === 'Deleting') throw new Problem(409, `the namespace “${name}” is being deleted; ask again when its topics are gone`, { retryAfter: 10 })
  const isNew = name !== home && (before === undefined || before.state === 'Deleted')
  const partitions = before && !isNew ? before.partitions : (asked.partitions ?? limits.partitions)
  if (isNew) checkNew(view, home, name, partitions, limits)
  const kept = name === home ? limits.partitions : partitions
  if (asked.partitions !== undefined && asked.partitions !== kept)
    throw refused(409, { field: 'properties.partitions', value: asked.partitions, rule: `is fixed once the namespace is there, and is ${kept}` })
  return {
    state: isNew || before?.state === 'Creating' ? 'Creating' : 'Active',
    life: isNew ? (before?.life ?? 0) + 1 : (before?.life ?? 1),
    partitions: kept,
    hostNames: asked.hostNames ? [...new Set(checkHostNames(view, name, asked.hostNames))] : isNew ? [] : (before?.hostNames ?? []),
  }
}

function checkNew(view: RegistryView, home: string, name: string, partitions: number, limits: DeploymentLimits): void {
  if (!namespaceName.pattern.test(name)) throw refused(400, { field: 'name', value: name, rule: `${namespaceName.rule} (NS-01)` })
  const others = standing(view, home)
  const alike = [home, ...others.map((other) => other.name)].find((other) => other.toLowerCase() === name.toLowerCase())
  if (alike !== undefined) throw refused(409, { field: 'name', value: name, rule: `must be unique ignoring case (NS-01); there is “${alike}”` })
  if (others.length + 1 >= limits.NAMESPACES_MAX) {
    const rule = `at most ${limits.NAMESPACES_MAX} namespaces (NAMESPACES_MAX), there are ${others.length + 1}`
    throw new DeploymentLimitReached('NAMESPACES_MAX', { field: 'name', value: name, rule })
  }
  const taken = others.reduce((sum, other) => sum + other.partitions, limits.partitions)
  if (taken + partitions > limits.NAMESPACE_SHARDS_MAX) {
    const rule = `at most ${limits.NAMESPACE_SHARDS_MAX} shards in all namespaces together (NAMESPACE_SHARDS_MAX), ${taken} are taken`
    throw new DeploymentLimitReached('NAMESPACE_SHARDS_MAX', { field: 'properties.partitions', value: partitions, rule })
  }
}

/** What is to be written for a namespace that is deleted. Throws Problem. */
export function decideDeletion(view: RegistryView, home: string, name: string): NamespaceRecord {
  if (name === home) throw new Problem(409, `“${home}” is the home namespace: it holds what is known of the others, and cannot be deleted`)
  const before = view.namespaces.get(name)
  if (before === undefined || before.state === 'Deleted' || before.state === 'Deleting') throw new Problem(404, `there is no namespace “${name}”`)
  return { state: 'Deleting', life: before.life, partitions: before.partitions, hostNames: [] }
}
