/** Records that tell of others: the topics `index`, `receipts` and `audit`. */

export interface HistoryBlock {
  /** First offset. */
  readonly from: number
  /** Offset after the last. */
  readonly to: number
  /** What its records take in a fetch, roughly. */
  readonly bytes: number
  /** 24-bit hashes, ascending, little-endian, of its topics and of their first levels (history/block.ts). */
  readonly topics: Buffer
  /** The same of its publishers' MQTT client ids. */
  readonly clients: Buffer
}

/** What stretches of a shard's `messages` may hold (topic `index`): who reads for one topic or client passes over the others. */
export interface HistoryBlocks {
  readonly shard: number
  readonly blocks: readonly HistoryBlock[]
}

/** What became of one message at a client's connection. */
export interface Receipt {
  readonly clientId: string
  /** As in the Message record. */
  readonly messageId: Buffer
  /** Partition of `messages`; -1 where the message was delivered as a retained one. */
  readonly source: number
  /** In that partition; -1 likewise. */
  readonly offset: number
  /** Of the delivery. */
  readonly qos: number
  /** sent (written to the connection), acknowledged (PUBACK, PUBCOMP, or PUBREC with a reason code that refuses it) or dropped. */
  readonly outcome: string
  /** Why it was dropped; of one that was acknowledged the name of the reason code with which the client refused it; empty otherwise. */
  readonly reason: string
  readonly at: number
}

/** What became of messages at the connections of clients of one shard (topic `receipts`), where that is to be noted. */
export interface DeliveryReceipts {
  /** Of the clients. */
  readonly shard: number
  /** Id of the gateway that writes this. */
  readonly gateway: string
  /** Receipts of the shard that found no room since the record before: what became of their messages is not told. */
  readonly lost: number
  readonly receipts: readonly Receipt[]
}

/** Where the chains of hashes over a shard's topics stand (topic `audit`). */
export interface AuditCheckpoint {
  /** JSON in UTF-8: exactly these bytes are signed. */
  readonly statement: Buffer
  /** Ed25519, by the key that the statement names. */
  readonly signature: Buffer
}
