/** `loggerhead apply`: makes the registry what the files say, after it has shown what that changes. */
import { type ApiClient, type Json, Refused } from './api-client.ts'
import { Failure } from './failure.ts'
import type { Wanted } from './manifests.ts'
import { type Step, stepTo } from './plan.ts'
import { allResources, resourcePath } from './resource-paths.ts'

const pathOf = (api: ApiClient, { kind, name }: Pick<Step, 'kind' | 'name'>): string => resourcePath(api, kind.kind, name)

/** What the API says only when it is asked for. */
const readOnly = new Set(['issueTimeInUtc', 'expiryTimeInUtc'])
const writable = (properties: unknown): Json => Object.fromEntries(Object.entries((properties ?? {}) as Json).filter(([name]) => !readOnly.has(name)))

/** A binding may name what the same apply creates before it, an event subscription stand below such a topic: that one complaint is none. */
function isMetLater({ status, body }: Refused, each: Wanted, wanted: readonly Wanted[]): boolean {
  if (status === 404) return wanted.some(({ kind, name }) => kind.kind === 'topics' && each.name.startsWith(`${name}/`))
  const violations = (body.violations ?? []) as readonly { readonly field: string; readonly value?: unknown }[]
  const kindOf: Readonly<Record<string, string>> = { 'properties.clientGroupName': 'clientGroups', 'properties.topicSpaceName': 'topicSpaces' }
  return violations.length > 0 && violations.every(({ field, value }) => wanted.some(({ kind, name }) => kind.kind === kindOf[field] && name === value))
}

/** Asks the API what each resource would become. Throws Failure with every refusal, before anything is changed. */
export async function planApply(api: ApiClient, wanted: readonly Wanted[], prune: boolean): Promise<readonly Step[]> {
  const refusals: string[] = []
  const steps: Step[] = []
  for (const each of wanted) {
    const path = pathOf(api, each)
    const current = await api.ask('GET', path)
    if (current.status >= 400 && current.status !== 404) throw new Refused(`GET ${path}`, current)
    const before = current.status === 404 ? undefined : writable(current.body.properties)
    try {
      const after = await api.call('PUT', `${path}?dryRun=true`, each.body)
      steps.push(stepTo(each.kind, each.name, before, writable(after.properties)))
    } catch (error) {
      if (!(error instanceof Refused) || error.status === 401 || error.status === 403) throw error
      if (isMetLater(error, each, wanted)) steps.push(stepTo(each.kind, each.name, before, writable(each.body.properties ?? each.body)))
      else refusals.push(`${each.source}: ${each.kind.kind}/${each.name}: ${String(error.body.detail ?? error.message)}`)
    }
  }
  if (refusals.length > 0) throw new Failure(`nothing was changed, because the API would refuse:\n${refusals.map((line) => `  ${line}`).join('\n')}`)
  return prune ? [...steps, ...(await pruned(api, wanted))] : steps
}

/** What is there of the kinds in the files and not in them; what refers to others first. */
async function pruned(api: ApiClient, wanted: readonly Wanted[]): Promise<readonly Step[]> {
  const steps: Step[] = []
  for (const kind of new Set(wanted.map((each) => each.kind))) {
    if (kind.kind === 'namespace') continue
    const kept = new Set(wanted.filter((each) => each.kind === kind).map(({ name }) => name))
    for await (const { name } of allResources(api, kind.kind)) {
      if (!kept.has(String(name)) && name !== '$all') steps.unshift({ change: 'delete', kind, name: String(name), diff: [] })
    }
  }
  return steps
}

/** Carries the plan out, telling each step that was done. */
export async function carryOut(api: ApiClient, steps: readonly Step[], wanted: readonly Wanted[], told: (step: Step, answer: Json) => void): Promise<void> {
  for (const step of steps) {
    if (step.change === 'unchanged') continue
    const path = pathOf(api, step)
    if (step.change === 'delete') told(step, await api.call('DELETE', path))
    else {
      const { body } = wanted.find(({ kind, name }) => kind === step.kind && name === step.name)!
      told(step, await api.call('PUT', path, body))
    }
  }
}
