/** Where a kind's resources stand in the API. An event subscription stands below its topic, and is named `<topic>/<subscription>` here. */
import type { ResourceKind } from '../model/registry-resources.ts'
import type { ApiClient, Json } from './api-client.ts'
import { Failure } from './failure.ts'

/** The path of one resource. Throws Failure for a name that cannot be one. */
export function resourcePath(api: ApiClient, kind: ResourceKind, name: string): string {
  if (kind === 'namespace') return api.path()
  if (kind !== 'eventSubscriptions') return api.path(kind, name)
  const [topic = '', subscription = '', ...more] = name.split('/')
  if (topic === '' || subscription === '' || more.length > 0) throw new Failure(`an event subscription is named <topic>/<subscription>, not “${name}”`)
  return api.path('topics', topic, 'eventSubscriptions', subscription)
}

/** All resources of a kind, named as `resourcePath` wants it. */
export async function* allResources(api: ApiClient, kind: ResourceKind): AsyncGenerator<Json> {
  if (kind !== 'eventSubscriptions') {
    yield* api.list(api.path(kind))
    return
  }
  for await (const topic of api.list(api.path('topics'))) {
    for await (const row of api.list(api.path('topics', String(topic.name), 'eventSubscriptions'))) yield { ...row, name: `${topic.name}/${row.name}` }
  }
}
