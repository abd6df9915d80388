import type { RegistryView } from '../model/registry-view.ts'

/** The registry as the gateway sees it. */
export interface RegistrySource {
  readonly view: RegistryView
  /** Milliseconds since the view was last known to be current. */
  confirmedMs(): number
  onChange(callback: (view: RegistryView) => void): () => void
}
