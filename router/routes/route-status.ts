/** How a route gets on, as operators are shown it. */
import type { RouteError } from './destination.ts'

export type RouteState = 'Starting' | 'Running' | 'Held' | 'Dropping'

export interface RouteStatus {
  readonly route: string
  readonly shard: number
  readonly state: RouteState
  /** Offset in `messages`: everything below is done. */
  readonly position: number
  /** Messages between the position and the end that is known. */
  readonly lag: number
  readonly routed: number
  readonly failed: number
  /** Sealed messages that it was to open and that nobody can read any more. */
  readonly unopened: number
  /** Why the route is held or dropping. */
  readonly error?: RouteError
  readonly detail?: string
  /** Milliseconds since the epoch when that began. */
  readonly since?: number
}
