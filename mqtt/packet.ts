/** MQTT control packets as this project passes them about, for 3.1.1 (version 4) and 5. Property names follow the MQTT 5 specification. */

export type ProtocolVersion = 4 | 5
export type QoS = 0 | 1 | 2

/** In the order of the packet; names may repeat. */
export type UserProperties = readonly (readonly [name: string, value: string])[]

export interface PublishProperties {
  readonly payloadFormatIndicator?: 0 | 1
  /** Seconds. */
  readonly messageExpiryInterval?: number
  readonly topicAlias?: number
  readonly responseTopic?: string
  readonly correlationData?: Buffer
  readonly userProperties?: UserProperties
  /** Several in a PUBLISH to a client, none in one from a client. */
  readonly subscriptionIdentifiers?: readonly number[]
  readonly contentType?: string
}

export interface WillPacket {
  readonly topic: string
  readonly payload: Buffer
  readonly qos: QoS
  readonly retain: boolean
  readonly properties: {
    /** Seconds. */
    readonly willDelayInterval?: number
    readonly payloadFormatIndicator?: 0 | 1
    readonly messageExpiryInterval?: number
    readonly contentType?: string
    readonly responseTopic?: string
    readonly correlationData?: Buffer
    readonly userProperties?: UserProperties
  }
}

export interface ConnectPacket {
  readonly type: 'connect'
  readonly protocolVersion: ProtocolVersion
  /** The bridge bit (0x80 of the version byte) that mosquitto bridges set; stripped from protocolVersion. */
  readonly bridge: boolean
  readonly clientId: string
  readonly cleanStart: boolean
  /** Seconds. */
  readonly keepAlive: number
  readonly username?: string
  readonly password?: Buffer
  readonly will?: WillPacket
  readonly properties: {
    readonly sessionExpiryInterval?: number
    readonly receiveMaximum?: number
    readonly maximumPacketSize?: number
    readonly topicAliasMaximum?: number
    readonly requestResponseInformation?: boolean
    readonly requestProblemInformation?: boolean
    readonly userProperties?: UserProperties
    readonly authenticationMethod?: string
    readonly authenticationData?: Buffer
  }
}

export interface ConnackPacket {
  readonly type: 'connack'
  readonly sessionPresent: boolean
  /** MQTT 5 reason code; the writer maps it to a return code for 3.1.1. */
  readonly reasonCode: number
  readonly properties?: {
    readonly sessionExpiryInterval?: number
    readonly receiveMaximum?: number
    readonly maximumQoS?: 0 | 1
    readonly retainAvailable?: boolean
    readonly maximumPacketSize?: number
    readonly assignedClientIdentifier?: string
    readonly topicAliasMaximum?: number
    readonly reasonString?: string
    readonly userProperties?: UserProperties
    readonly wildcardSubscriptionAvailable?: boolean
    readonly subscriptionIdentifiersAvailable?: boolean
    readonly sharedSubscriptionAvailable?: boolean
    readonly serverKeepAlive?: number
    readonly responseInformation?: string
    readonly serverReference?: string
    readonly authenticationMethod?: string
    readonly authenticationData?: Buffer
  }
}

export interface PublishPacket {
  readonly type: 'publish'
  /** Empty only with a topic alias. */
  readonly topic: string
  /** A view into the read buffer: copy what outlives the tick. */
  readonly payload: Buffer
  readonly qos: QoS
  readonly dup: boolean
  readonly retain: boolean
  /** 0 at QoS 0. */
  readonly packetId: number
  readonly properties?: PublishProperties
}

export interface AckPacket {
  readonly type: 'puback' | 'pubrec' | 'pubrel' | 'pubcomp'
  readonly packetId: number
  /** 0 when the packet carried none. */
  readonly reasonCode: number
  readonly properties?: { readonly reasonString?: string; readonly userProperties?: UserProperties }
}

export interface SubscribeFilter {
  readonly filter: string
  readonly qos: QoS
  readonly noLocal: boolean
  readonly retainAsPublished: boolean
  readonly retainHandling: 0 | 1 | 2
}

export interface SubscribePacket {
  readonly type: 'subscribe'
  readonly packetId: number
  readonly filters: readonly SubscribeFilter[]
  readonly properties: { readonly subscriptionIdentifier?: number; readonly userProperties?: UserProperties }
}

export interface SubackPacket {
  readonly type: 'suback'
  readonly packetId: number
  readonly reasonCodes: readonly number[]
  readonly properties?: { readonly reasonString?: string; readonly userProperties?: UserProperties }
}

export interface UnsubscribePacket {
  readonly type: 'unsubscribe'
  readonly packetId: number
  readonly filters: readonly string[]
  readonly properties: { readonly userProperties?: UserProperties }
}

export interface UnsubackPacket {
  readonly type: 'unsuback'
  readonly packetId: number
  /** Not written for 3.1.1. */
  readonly reasonCodes: readonly number[]
  readonly properties?: { readonly reasonString?: string; readonly userProperties?: UserProperties }
}

export interface DisconnectPacket {
  readonly type: 'disconnect'
  readonly reasonCode: number
  readonly properties?: {
    readonly sessionExpiryInterval?: number
    readonly reasonString?: string
    readonly userProperties?: UserProperties
    readonly serverReference?: string
  }
}

export interface AuthPacket {
  readonly type: 'auth'
  readonly reasonCode: number
  readonly properties: {
    readonly authenticationMethod?: string
    readonly authenticationData?: Buffer
    readonly reasonString?: string
    readonly userProperties?: UserProperties
  }
}

export type Packet =
  | ConnectPacket
  | ConnackPacket
  | PublishPacket
  | AckPacket
  | SubscribePacket
  | SubackPacket
  | UnsubscribePacket
  | UnsubackPacket
  | { readonly type: 'pingreq' }
  | { readonly type: 'pingresp' }
  | DisconnectPacket
  | AuthPacket
