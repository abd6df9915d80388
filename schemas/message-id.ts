/**
 * The 16 bytes that are the same in every repeated append of one publish, and in no other publish.
 *
 *   counted     random[8] · count u64                                    a publish that nobody can append again
 *   repeatable  session u64 · kind u8 · use u24 · shard u16 · detail u16   one that another process may append again
 *
 * Counts stay below 2^56, so the ninth byte tells the two apart. A repeatable id is made of what everybody knows who could
 * append the same message: the session (its shard, and in `sessions` the offset of the attach that began it) and, by kind, what of it.
 */
export const messageIdSize = 16

/** Who made a repeatable id. */
export const RepeatableKind = {
  /** A QoS 2 PUBLISH: detail is its packet id, use how often the packet id was released in this session before. */
  Publish: 1,
  /** A will: `session` is the offset of the attach that brought it, use and detail are 0. */
  Will: 2,
} as const
export type RepeatableKind = (typeof RepeatableKind)[keyof typeof RepeatableKind]

export interface RepeatableId {
  readonly kind: RepeatableKind
  /** Shard of the client id, and the offset of the attach that began the session. */
  readonly shard: number
  readonly session: number
  /** 0 to 16,777,215; counted modulo that. */
  readonly use: number
  /** 0 to 65,535. */
  readonly detail: number
}

/** Uses are counted modulo this. */
export const usesModulus = 0x100_0000

/** The id's bytes, in a buffer of its own. */
export function repeatableId(id: RepeatableId): Buffer {
  const bytes = Buffer.allocUnsafe(messageIdSize)
  bytes.writeUInt32BE(Math.floor(id.session / 0x1_0000_0000), 0)
  bytes.writeUInt32BE(id.session >>> 0, 4)
  bytes[8] = id.kind
  bytes.writeUIntBE(id.use % usesModulus, 9, 3)
  bytes.writeUInt16BE(id.shard, 12)
  bytes.writeUInt16BE(id.detail, 14)
  return bytes
}

/** True when the same message may stand in the log more than once under this id. */
export const isRepeatable = (id: Buffer): boolean => id[8] !== 0

/** What a repeatable id is made of. */
export function readRepeatableId(id: Buffer): RepeatableId {
  return {
    kind: id[8] as RepeatableKind,
    session: id.readUInt32BE(0) * 0x1_0000_0000 + id.readUInt32BE(4),
    use: id.readUIntBE(9, 3),
    shard: id.readUInt16BE(12),
    detail: id.readUInt16BE(14),
  }
}
