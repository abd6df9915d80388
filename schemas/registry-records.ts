/** Records of resources: the topics `registry` and `registry-snapshots`. */

/** A whole resource as the API last wrote it (topic `registry`, key: kind/name; a tombstone deletes). */
export interface RegistryEntry {
  /** clients, clientGroups, topicSpaces, permissionBindings, caCertificates or namespace. */
  readonly kind: string
  readonly name: string
  /** JSON, as in the API. */
  readonly properties: string
  readonly etag: string
  readonly createdAt: number
  readonly updatedAt: number
  /** Who made the change. */
  readonly by: string
}

/** A record of `registry` that no later one of its key has replaced. */
export interface SnapshotRecord {
  readonly offset: number
  /** `kind/name`. */
  readonly key: string
  readonly value: Buffer
}

/** Records of a snapshot of the registry, in the order of their offsets (topic `registry-snapshots`). */
export interface RegistrySnapshotChunk {
  /** Offset of its writer's fence in `registry`. */
  readonly writer: number
  /** What stands below this offset of `registry` is in the snapshot. */
  readonly position: number
  /** From 0. */
  readonly chunk: number
  readonly records: readonly SnapshotRecord[]
}

/** A snapshot of the registry is complete (topic `registry-snapshots`, behind its chunks). */
export interface RegistrySnapshotClosed {
  readonly writer: number
  readonly position: number
  /** Time of the record right below that position, milliseconds since the epoch. */
  readonly lastAt: number
  /** Offset in `registry-snapshots` of its first chunk. */
  readonly from: number
  readonly chunks: number
  /** In all its chunks. */
  readonly records: number
  readonly at: number
}
