import type { ResourceKind } from '../model/registry-resources.ts'
import type { RegistryView } from '../model/registry-view.ts'
import type { RegistryEntry } from '../schemas/registry-records.ts'
import type { Author } from './callers.ts'

/** What a change writes, decided against the view as it is then: an entry, or null to delete. Throws Problem to refuse. */
export type Decide = (view: RegistryView, at: number) => DecidedEntry | null

export type DecidedEntry = Omit<RegistryEntry, 'kind' | 'name' | 'by'>

export interface Command {
  readonly kind: ResourceKind
  readonly name: string
  /** A client's authentication name where the request gives one: two of the same name must not be decided together. */
  readonly authenticationName?: string | undefined
  readonly author: Author
  readonly decide: Decide
}
