import type { Session } from '../model/session.ts'
import { ReasonCode } from '../mqtt/reason-code.ts'
import type { Frame } from '../proto/frames.ts'
import type { Attached } from '../schemas/session-records.ts'
import type { Attachment } from '../schemas/snapshot-records.ts'
import type { Gateways } from './gateways.ts'

export interface ConnectionNoticesOptions {
  readonly shard: number
  readonly term: number
  readonly gateways: Gateways
}

/** A connection that waits for its answer. */
type Asking = Pick<Attached, 'gateway' | 'connection' | 'connectionId'>
type Answer = Omit<Frame & { readonly kind: 'attachAnswer' }, 'kind' | 'shard' | 'term' | keyof Asking>

const noUses = Buffer.alloc(0)
/** Filters that the answer to an attach carries, bytes: a herd of answers must not fill a link. */
const filtersBytesMax = 64 * 1024

/** What the owner of a shard tells gateways of single connections: that they are let in, or not, or are over. */
export class ConnectionNotices {
  readonly #options: ConnectionNoticesOptions

  constructor(options: ConnectionNoticesOptions) {
    this.#options = options
  }

  accept(session: Session, attached: Attachment): void {
    this.#answer(attached, {
      reasonCode: ReasonCode.Success,
      session: session.id,
      epoch: session.epoch,
      // An earlier attach began the session that this one goes on with.
      sessionPresent: session.id !== session.epoch,
      uses: session.uses?.encode() ?? noUses,
      filters: filtersOf(session),
    })
  }

  refuse(record: Asking, reasonCode: number): void {
    this.#answer(record, { reasonCode, session: 0, epoch: 0, sessionPresent: false, uses: noUses, filters: [] })
  }

  close({ gateway, connection }: Pick<Attachment, 'gateway' | 'connection'>, reasonCode: number, reason: string): void {
    const { shard, term, gateways } = this.#options
    gateways.get(gateway)?.endConnection({ kind: 'close', shard, term, connection, reasonCode, reason })
  }

  #answer({ gateway, connection, connectionId }: Asking, answer: Answer): void {
    const { shard, term, gateways } = this.#options
    gateways.get(gateway)?.send({ kind: 'attachAnswer', shard, term, connection, connectionId, ...answer })
  }
}

/** What an answer tells of the session's subscriptions: the filters, or how many they are. */
function filtersOf({ subscriptions }: Session): readonly string[] | number {
  const filters = [...subscriptions.keys()]
  return filters.reduce((sum, filter) => sum + Buffer.byteLength(filter), 0) <= filtersBytesMax ? filters : filters.length
}
