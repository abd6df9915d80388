/** Records of resources: the topic `registry`. */

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
