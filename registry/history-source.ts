import type { Log } from '../log/log.ts'
import type { TopicNames } from '../log/topics.ts'

/** The past of one namespace. */
export interface HistorySource {
  readonly log: Log
  /** The topic `messages`. */
  readonly topic: string
  readonly partitions: number
  /** How many there were before. */
  readonly formerly: readonly number[]
  /** The topic `index`. */
  readonly indexTopic: string
  readonly topics: TopicNames
}
