/** How routes get on, as the routers tell: each knows the shards that it owns. */
import type { Resource, ResourceKind } from '../model/registry-resources.ts'
import type { ServedNamespace } from './namespaces.ts'

/** One route on one shard, as a router tells of it. */
interface ToldRoute {
  readonly route: string
  readonly shard: number
  readonly state: string
  readonly position: number
  readonly lag: number
  readonly routed: number
  readonly failed: number
  /** Missing where a router of an earlier version tells. */
  readonly unopened?: number
  readonly error?: string
  readonly detail?: string
  readonly since?: number
}

/** The worst first: what one shard suffers from is the route's trouble. */
const states = ['Dropping', 'Held', 'Starting', 'Running']

/** What stands beside `properties` of a resource; nothing for kinds that have no status. */
export type StatusOf = (resource: Resource) => { readonly status?: object }

/** Asks the routers once for all routes. */
export async function statusOf(kind: ResourceKind, { routers }: ServedNamespace, by: string): Promise<StatusOf> {
  if (kind !== 'routes') return () => ({})
  const answers = await routers.ask('GET', '/routes', by)
  const told = answers.filter(({ status }) => status === 200).flatMap(({ body }) => (body as { readonly routes: readonly ToldRoute[] }).routes)
  return ({ name }) => ({ status: together(told.filter(({ route }) => route === name)) })
}

function together(shards: readonly ToldRoute[]): object {
  const sum = (of: (shard: ToldRoute) => number): number => shards.reduce((total, shard) => total + of(shard), 0)
  const [worst] = [...shards].sort((a, b) => states.indexOf(a.state) - states.indexOf(b.state))
  return {
    // No router owns a shard now, or none can be asked.
    state: worst?.state ?? 'Unknown',
    ...(worst?.error === undefined ? {} : { error: worst.error, detail: worst.detail }),
    lag: sum(({ lag }) => lag),
    routed: sum(({ routed }) => routed),
    failed: sum(({ failed }) => failed),
    unopened: sum(({ unopened = 0 }) => unopened),
    shards: shards
      .map(({ route: _, since, ...shard }) => ({ ...shard, ...(since === undefined ? {} : { since: new Date(since).toISOString() }) }))
      .sort((a, b) => a.shard - b.shard),
  }
}
