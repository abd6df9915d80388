/** What a verifier says of a log: docs/audit.md has what each of it means. */

/** What is wrong. Of a mark: something between two offsets is not what it was; of checkpoints: they are not all, or not one row. */
export const findingKinds = [
  'changed',
  'missing',
  'inserted',
  'truncated',
  'removedEarly',
  'notCovered',
  'behind',
  'badSignature',
  'unknownKey',
  'retiredKey',
  'notACheckpoint',
  'checkpointsMissing',
  'fork',
  'contradiction',
  'olderTerm',
  'noCheckpoints',
  'expectedMissing',
] as const
export type FindingKind = (typeof findingKinds)[number]

export interface Finding {
  readonly kind: FindingKind
  readonly topic: string
  readonly partition: number
  /** Offsets in the topic that it is about, the last one not included, where it is about some. */
  readonly from?: number
  readonly to?: number
  /** A sentence for people. */
  readonly detail: string
}

/** Offsets of a topic that were there when the reading began, and that retention removed before they were read. */
export interface Removed {
  readonly topic: string
  readonly partition: number
  readonly from: number
  /** Not included. */
  readonly to: number
}

/** Who is told what a verifier comes upon. */
export interface Telling {
  finding(finding: Finding): void
  removed(removed: Removed): void
}

/** What was found of one chain. */
export interface Proven {
  readonly topic: string
  readonly partition: number
  /** Where proof begins: the log's start, or the first mark behind it. */
  from: number
  /** Where it ends: the last mark. */
  to: number
  /** Records between the two that were hashed. */
  records: number
  /** Records behind the last mark: they wait for a checkpoint. */
  waiting: number
  /** Records before the first mark behind the log's start: retention has cut a stretch between two marks. */
  cut: number
}
