/** Builds registry views for tests from resources as the API takes them. */
import type { ResourceKind } from '../../../model/registry-resources.ts'
import { RegistryView } from '../../../model/registry-view.ts'

let next = 0

/** Puts a resource (or, without properties, deletes it) as the next record. */
export function put(view: RegistryView, kind: ResourceKind, name: string, properties?: object): void {
  const entry = properties && { kind, name, properties: JSON.stringify(properties), etag: `e${next++}`, createdAt: 1, updatedAt: 2, by: 'test' }
  view.apply({ offset: view.position, key: `${kind}/${name}`, entry: entry ?? null })
}

export type Registry = { readonly [K in ResourceKind]?: Readonly<Record<string, object>> }

export function viewOf(registry: Registry): RegistryView {
  const view = new RegistryView()
  for (const [kind, resources] of Object.entries(registry)) {
    for (const [name, properties] of Object.entries(resources)) put(view, kind as ResourceKind, name, properties)
  }
  return view
}
