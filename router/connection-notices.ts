import type { Session } from '../model/session.ts'
import type { Attached } from '../schemas/session-records.ts'
import type { Attachment } from '../schemas/snapshot-records.ts'
import type { Gateways } from './gateways.ts'

export interface ConnectionNoticesOptions {
  readonly shard: number
  readonly term: number
  readonly gateways: Gateways
}

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
    const { shard, term, gateways } = this.#options
    gateways.get(attached.gateway)?.send({
      kind: 'attachAnswer',
      shard,
      term,
      connection: attached.connection,
      connectionId: attached.connectionId,
      reasonCode: 0,
      session: session.id,
      epoch: session.epoch,
      // An earlier attach began the session that this one goes on with.
      sessionPresent: session.id !== session.epoch,
      uses: session.uses?.encode() ?? noUses,
      filters: filtersOf(session),
    })
  }

  refuse(record: Pick<Attached, 'gateway' | 'connection' | 'connectionId'>, reasonCode: number): void {
    const { shard, term, gateways } = this.#options
    gateways.get(record.gateway)?.send({
      kind: 'attachAnswer',
      shard,
      term,
      connection: record.connection,
      connectionId: record.connectionId,
      reasonCode,
      session: 0,
      epoch: 0,
      sessionPresent: false,
      uses: noUses,
      filters: [],
    })
  }

  close({ gateway, connection }: Pick<Attachment, 'gateway' | 'connection'>, reasonCode: number, reason: string): void {
    const { shard, term, gateways } = this.#options
    gateways.get(gateway)?.endConnection({ kind: 'close', shard, term, connection, reasonCode, reason })
  }
}

/** What an answer tells of the session's subscriptions: the filters, or how many they are. */
function filtersOf({ subscriptions }: Session): readonly string[] | number {
  const filters = [...subscriptions.keys()]
  return filters.reduce((sum, filter) => sum + Buffer.byteLength(filter), 0) <= filtersBytesMax ? filters : filters.length
}
