/** What an answer to a produce request means for the batch it is about. Pure: the whole safety argument of the appender is here. */
import type { Refusal } from '../log.ts'

export const ProduceVerdict = {
  /** In the log, at the offset given. */
  stored: 'stored',
  /** Certainly not in the log by this attempt: the same bytes again. */
  retry: 'retry',
  /** May be in the log: the same bytes again, and nothing else, until Kafka says which. */
  retryUncertain: 'retryUncertain',
  /** Certainly not in the log, because of one of its records: halves of it, in order. */
  split: 'split',
  /** Certainly not in the log and never will be. The sequence was not used. */
  refused: 'refused',
  /** The producer's state at the broker is not ours any more. The batch is certainly not in the log: again under a new producer id. */
  renew: 'renew',
  /** The batch may be in the log and no repeat can tell: its records fail as unknown, the producer id is abandoned. */
  abandon: 'abandon',
  /** Another appender has the transactional id. */
  fenced: 'fenced',
} as const
export type ProduceVerdict = (typeof ProduceVerdict)[keyof typeof ProduceVerdict]

export interface Attempted {
  /** Some earlier attempt of the same bytes had no answer, or one that leaves open whether they were stored. */
  readonly uncertain: boolean
  readonly records: number
  readonly baseOffset: number
  readonly fencing: boolean
  /** The process was paused after an attempt: whoever wanted the records written may have gone on elsewhere, so they are not sent again. */
  readonly isPast: boolean
}

// Error codes by the protocol's names, https://kafka.apache.org/protocol#protocol_error_codes
const refusedForOneRecord = new Set([
  10, // MESSAGE_TOO_LARGE
  18, // RECORD_LIST_TOO_LARGE
  32, // INVALID_TIMESTAMP
  87, // INVALID_RECORD, e.g. no key in a compacted topic
])

const refusedForGood = new Set([
  17, // INVALID_TOPIC_EXCEPTION
  21, // INVALID_REQUIRED_ACKS
  29, // TOPIC_AUTHORIZATION_FAILED
  31, // CLUSTER_AUTHORIZATION_FAILED
  35, // UNSUPPORTED_VERSION
  42, // INVALID_REQUEST
  43, // UNSUPPORTED_FOR_MESSAGE_FORMAT
  44, // POLICY_VIOLATION
  53, // TRANSACTIONAL_ID_AUTHORIZATION_FAILED
])

const notAuthorized = new Set([
  29, // TOPIC_AUTHORIZATION_FAILED
  31, // CLUSTER_AUTHORIZATION_FAILED
  53, // TRANSACTIONAL_ID_AUTHORIZATION_FAILED
])

/** The broker answers these before it appends anything. */
const refusedForNow = new Set([
  2, // CORRUPT_MESSAGE: the checksum failed on the way
  3, // UNKNOWN_TOPIC_OR_PARTITION
  5, // LEADER_NOT_AVAILABLE
  6, // NOT_LEADER_OR_FOLLOWER
  9, // REPLICA_NOT_AVAILABLE
  19, // NOT_ENOUGH_REPLICAS
  74, // FENCED_LEADER_EPOCH
  75, // UNKNOWN_LEADER_EPOCH
])

export function judgeProduced(errorCode: number, attempted: Attempted): ProduceVerdict {
  const verdict = judgeRepeatable(errorCode, attempted)
  return attempted.isPast ? withoutRepeat(verdict, attempted.uncertain) : verdict
}

/** What becomes of a batch that is not to be sent again, where the answer says that it should be. */
function withoutRepeat(verdict: ProduceVerdict, uncertain: boolean): ProduceVerdict {
  switch (verdict) {
    case ProduceVerdict.retry:
      return uncertain ? ProduceVerdict.abandon : ProduceVerdict.refused
    case ProduceVerdict.split:
      return ProduceVerdict.refused
    case ProduceVerdict.retryUncertain:
    case ProduceVerdict.renew:
      return ProduceVerdict.abandon
    default:
      return verdict
  }
}

function judgeRepeatable(errorCode: number, attempted: Attempted): ProduceVerdict {
  const { uncertain } = attempted
  switch (errorCode) {
    case 0:
      return ProduceVerdict.stored
    case 46: // DUPLICATE_SEQUENCE_NUMBER: stored before. Without its offset we know it is there but not where, and say so.
      return attempted.baseOffset >= 0 ? ProduceVerdict.stored : ProduceVerdict.abandon
    case 47: // INVALID_PRODUCER_EPOCH
    case 90: // PRODUCER_FENCED
      if (attempted.fencing) return ProduceVerdict.fenced
      return uncertain ? ProduceVerdict.abandon : ProduceVerdict.renew
    case 45: // OUT_OF_ORDER_SEQUENCE_NUMBER
    case 59: // UNKNOWN_PRODUCER_ID
      // One batch a partition is in flight, so had an earlier attempt been stored it would be the broker's last one and this answer
      // a duplicate's. That it is not means the broker lost records. What became of an uncertain attempt then, nobody can say.
      return uncertain ? ProduceVerdict.abandon : ProduceVerdict.renew
  }
  if (refusedForOneRecord.has(errorCode)) {
    // Size and form are judged before duplicates: an earlier attempt may have got through (a limit lowered since).
    if (uncertain) return ProduceVerdict.abandon
    return attempted.records > 1 ? ProduceVerdict.split : ProduceVerdict.refused
  }
  if (refusedForGood.has(errorCode)) return uncertain ? ProduceVerdict.abandon : ProduceVerdict.refused
  if (refusedForNow.has(errorCode)) return ProduceVerdict.retry
  // REQUEST_TIMED_OUT, NOT_ENOUGH_REPLICAS_AFTER_APPEND, KAFKA_STORAGE_ERROR, UNKNOWN_SERVER_ERROR and what future brokers say
  return ProduceVerdict.retryUncertain
}

/** Sequences count records per producer and partition and wrap from 2³¹-1 to 0. */
export function sequenceAfter(sequence: number, records: number): number {
  return (sequence + records) % 0x80000000
}

/** What the port calls Kafka's refusals; undefined for those that neither a topic nor a record is to blame for. */
export function refusalOf(errorCode: number): Refusal | undefined {
  if (errorCode === 3) return 'topicMissing'
  if (notAuthorized.has(errorCode)) return 'notAuthorized'
  if (errorCode === 10 || errorCode === 18) return 'tooLarge'
  return refusedForOneRecord.has(errorCode) ? 'invalid' : undefined
}
