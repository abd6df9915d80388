/** Where a route writes to, and why it may not. */
import type { Appender, Log, Refusal } from '../../log/log.ts'

/** Why messages are not routed, under Event Grid's names where it has one (RT-05). */
export type RouteError = 'TopicNotFoundError' | 'AuthenticationError' | 'MessageTooLarge' | 'Rejected' | 'UnsuitableTarget' | 'Gone' | 'ServiceError'

/** What the log says of a record that it refuses. */
export const errorOf: Readonly<Record<Refusal, RouteError>> = {
  topicMissing: 'TopicNotFoundError',
  notAuthorized: 'AuthenticationError',
  tooLarge: 'MessageTooLarge',
  invalid: 'Rejected',
}

/** The target cannot be written to until somebody does something about it. */
export class DeadEnd extends Error {
  readonly reason: RouteError
  constructor(reason: RouteError, message: string, options?: ErrorOptions) {
    super(message, options)
    this.name = 'DeadEnd'
    this.reason = reason
  }
}

/** Where a route writes to. */
export interface Destination {
  /** The Kafka topic. */
  readonly topic: string
  readonly log: Log
  /** An appender of the destination's cluster that works; the same one for all routes of the shard. Rejects with AppendError. */
  appender(): Promise<Appender>
  /** Ends an appender that can do no more: everything unanswered fails, and the next one begins with a new epoch. */
  breakAppender(appender: Appender): void
  /** False for another cluster, where nothing is fenced and read back. */
  readonly isExactlyOnce: boolean
}
