/** Records of what was published: the topics `messages` and `retained`. */

export interface UserProperty {
  readonly name: string
  readonly value: string
}

/** An accepted PUBLISH, in the topic `messages` (key: the MQTT topic; timestamp: receivedAt). */
export interface Message {
  /** The same in every repeated append of one publish. */
  readonly messageId: Buffer
  /** The publisher's MQTT client id. */
  readonly clientId: string
  /** The publisher's session: offset in `sessions` of the attach that began it. */
  readonly session: number
  readonly receivedAt: number
  readonly topic: string
  readonly qos: number
  readonly retain: boolean
  /** Seconds, as published. */
  readonly messageExpiryInterval: number | null
  readonly authenticationName: string
  /** Id of the gateway that received it. */
  readonly gateway: string
  /** 4 is MQTT 3.1.1, 5 is MQTT 5. */
  readonly protocolVersion: number
  readonly payloadFormatIndicator: number | null
  readonly contentType: string | null
  readonly responseTopic: string | null
  readonly correlationData: Buffer | null
  /** In the order of the packet. */
  readonly userProperties: readonly UserProperty[]
  readonly payload: Buffer
}

/** The last retained message of a topic (topic `retained`, key: the MQTT topic; a tombstone clears it). Written by the shard's owner under Kafka's fence. */
export interface Retained {
  /** Position in `messages` of the same shard. */
  readonly offset: number
  /** Milliseconds since the epoch. */
  readonly expiresAt: number | null
  /** The value of the Message record. */
  readonly message: Buffer
}
