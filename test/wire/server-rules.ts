/** What a server may say in each packet: the tables of MQTT 5, sections 2.2.2.2 and 2.4, and of 3.1.1. */
import { Property } from './bytes.ts'

export type ServerPacket = 'connack' | 'publish' | 'puback' | 'pubrec' | 'pubrel' | 'pubcomp' | 'suback' | 'unsuback' | 'disconnect' | 'auth'

const explained = [Property.reasonString, Property.userProperty]
const published = [0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99]
const released = [0x00, 0x92]

/** Property identifiers that MQTT 5 allows in a server's packet. */
export const properties: Readonly<Record<ServerPacket, ReadonlySet<number>>> = {
  connack: new Set([
    ...explained,
    Property.sessionExpiryInterval,
    Property.receiveMaximum,
    Property.maximumQoS,
    Property.retainAvailable,
    Property.maximumPacketSize,
    Property.assignedClientIdentifier,
    Property.topicAliasMaximum,
    Property.wildcardSubscriptionAvailable,
    Property.subscriptionIdentifiersAvailable,
    Property.sharedSubscriptionAvailable,
    Property.serverKeepAlive,
    Property.responseInformation,
    Property.serverReference,
    Property.authenticationMethod,
    Property.authenticationData,
  ]),
  publish: new Set([
    Property.payloadFormatIndicator,
    Property.messageExpiryInterval,
    Property.topicAlias,
    Property.responseTopic,
    Property.correlationData,
    Property.userProperty,
    Property.subscriptionIdentifier,
    Property.contentType,
  ]),
  puback: new Set(explained),
  pubrec: new Set(explained),
  pubrel: new Set(explained),
  pubcomp: new Set(explained),
  suback: new Set(explained),
  unsuback: new Set(explained),
  disconnect: new Set([...explained, Property.serverReference]), // no session expiry interval [MQTT-3.14.2-2]
  auth: new Set([...explained, Property.authenticationMethod, Property.authenticationData]),
}

/** Properties that may be there more than once. */
export const repeatable: ReadonlySet<number> = new Set([Property.userProperty, Property.subscriptionIdentifier])

/** Reason codes of MQTT 5 [MQTT-3.2.2-8], [MQTT-3.4.2-1] and their like. */
export const reasonCodes: Readonly<Record<Exclude<ServerPacket, 'publish'>, ReadonlySet<number>>> = {
  connack: new Set([0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f]),
  puback: new Set(published),
  pubrec: new Set(published),
  pubrel: new Set(released),
  pubcomp: new Set(released),
  suback: new Set([0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2]),
  unsuback: new Set([0x00, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91]),
  disconnect: new Set([
    0x00, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9e, 0x9f, 0xa0,
    0xa1, 0xa2,
  ]),
  auth: new Set([0x00, 0x18, 0x19]),
}

/** The codes of 3.1.1, which has them in two packets only. */
export const returnCodes = { connack: new Set([0, 1, 2, 3, 4, 5]), suback: new Set([0x00, 0x01, 0x02, 0x80]) } as const
