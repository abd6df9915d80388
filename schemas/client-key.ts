/** Records of the keys that payloads are sealed with: the topic `keys`. */

/** A key that a client's messages are sealed with (topic `keys`); a tombstone destroys it. */
export interface ClientKey {
  readonly authenticationName: string
  /** 16 random bytes: what sealed messages name it by. */
  readonly id: Buffer
  /** 32 random bytes, for AES-256-GCM. */
  readonly key: Buffer
  readonly at: number
}
