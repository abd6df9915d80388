/** The reason codes of MQTT 5 (section 2.4), by the specification's names. Below 0x80 is success. */
export const ReasonCode = {
  Success: 0x00,
  NormalDisconnection: 0x00,
  GrantedQoS0: 0x00,
  GrantedQoS1: 0x01,
  GrantedQoS2: 0x02,
  DisconnectWithWillMessage: 0x04,
  NoMatchingSubscribers: 0x10,
  NoSubscriptionExisted: 0x11,
  ContinueAuthentication: 0x18,
  ReAuthenticate: 0x19,
  UnspecifiedError: 0x80,
  MalformedPacket: 0x81,
  ProtocolError: 0x82,
  ImplementationSpecificError: 0x83,
  UnsupportedProtocolVersion: 0x84,
  ClientIdentifierNotValid: 0x85,
  BadUserNameOrPassword: 0x86,
  NotAuthorized: 0x87,
  ServerUnavailable: 0x88,
  ServerBusy: 0x89,
  Banned: 0x8a,
  ServerShuttingDown: 0x8b,
  BadAuthenticationMethod: 0x8c,
  KeepAliveTimeout: 0x8d,
  SessionTakenOver: 0x8e,
  TopicFilterInvalid: 0x8f,
  TopicNameInvalid: 0x90,
  PacketIdentifierInUse: 0x91,
  PacketIdentifierNotFound: 0x92,
  ReceiveMaximumExceeded: 0x93,
  TopicAliasInvalid: 0x94,
  PacketTooLarge: 0x95,
  MessageRateTooHigh: 0x96,
  QuotaExceeded: 0x97,
  AdministrativeAction: 0x98,
  PayloadFormatInvalid: 0x99,
  RetainNotSupported: 0x9a,
  QoSNotSupported: 0x9b,
  UseAnotherServer: 0x9c,
  ServerMoved: 0x9d,
  SharedSubscriptionsNotSupported: 0x9e,
  ConnectionRateExceeded: 0x9f,
  MaximumConnectTime: 0xa0,
  SubscriptionIdentifiersNotSupported: 0xa1,
  WildcardSubscriptionsNotSupported: 0xa2,
} as const
export type ReasonCode = (typeof ReasonCode)[keyof typeof ReasonCode]

const names = new Map<number, string>()
for (const [name, code] of Object.entries(ReasonCode)) if (!names.has(code)) names.set(code, name)

/** The name of a reason code, for logs and metrics; `0x..` when MQTT 5 has none of that number. */
export function reasonName(code: number): string {
  return names.get(code) ?? `0x${code.toString(16).padStart(2, '0')}`
}

/** Return codes of CONNACK in MQTT 3.1.1 (table 3.1). */
export const ReturnCode = {
  Accepted: 0,
  UnacceptableProtocolVersion: 1,
  IdentifierRejected: 2,
  ServerUnavailable: 3,
  BadUserNameOrPassword: 4,
  NotAuthorized: 5,
} as const
export type ReturnCode = (typeof ReturnCode)[keyof typeof ReturnCode]

const returnCodes = new Map<number, ReturnCode>([
  [ReasonCode.Success, ReturnCode.Accepted],
  [ReasonCode.UnsupportedProtocolVersion, ReturnCode.UnacceptableProtocolVersion],
  [ReasonCode.ClientIdentifierNotValid, ReturnCode.IdentifierRejected],
  [ReasonCode.ServerUnavailable, ReturnCode.ServerUnavailable],
  [ReasonCode.ServerBusy, ReturnCode.ServerUnavailable],
  [ReasonCode.ServerShuttingDown, ReturnCode.ServerUnavailable],
  [ReasonCode.QuotaExceeded, ReturnCode.ServerUnavailable],
  [ReasonCode.UseAnotherServer, ReturnCode.ServerUnavailable],
  [ReasonCode.ServerMoved, ReturnCode.ServerUnavailable],
  [ReasonCode.ConnectionRateExceeded, ReturnCode.ServerUnavailable],
  [ReasonCode.BadUserNameOrPassword, ReturnCode.BadUserNameOrPassword],
  [ReasonCode.NotAuthorized, ReturnCode.NotAuthorized],
  [ReasonCode.Banned, ReturnCode.NotAuthorized],
  [ReasonCode.BadAuthenticationMethod, ReturnCode.NotAuthorized],
])

/** The 3.1.1 return code for a CONNACK reason code; undefined when none applies and the server closes without a CONNACK [MQTT-3.2.2-6] (3.1.1). */
export function returnCodeOf(reasonCode: number): ReturnCode | undefined {
  return returnCodes.get(reasonCode)
}

const reasonCodes: readonly ReasonCode[] = [
  ReasonCode.Success,
  ReasonCode.UnsupportedProtocolVersion,
  ReasonCode.ClientIdentifierNotValid,
  ReasonCode.ServerUnavailable,
  ReasonCode.BadUserNameOrPassword,
  ReasonCode.NotAuthorized,
]

/** The reason code that a 3.1.1 return code stands for; undefined when 3.1.1 reserves it. */
export function reasonCodeOf(returnCode: number): ReasonCode | undefined {
  return reasonCodes[returnCode]
}
