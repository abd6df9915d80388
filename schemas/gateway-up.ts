/** Records of who is up: the topic `gateways`. */

export interface GatewayIncarnation {
  readonly id: string
  /** offset of the gateway's first record in the gateways topic. */
  readonly incarnation: number
}

/** A gateway process has started, or (stopping) ends by itself (topic `gateways`, key: gateway id). */
export interface GatewayUp {
  readonly id: string
  /** host:port of its gRPC delivery server. */
  readonly address: string
  readonly startedAt: number
  readonly stopping: boolean
  /** Null in the record that begins it. */
  readonly incarnation: number | null
  readonly version: string
}
