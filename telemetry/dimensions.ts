/**
 * Event Grid's dimensions of metrics, with their values to the letter. Every label of ours that stands for one has these
 * values and no others, so that what is counted stays bounded whatever clients send.
 */
/** What a client asked for, or was sent. */
export const OperationType = { Publish: 'Publish', Deliver: 'Deliver', Subscribe: 'Subscribe', Unsubscribe: 'Unsubscribe', Connect: 'Connect' } as const
export type OperationType = (typeof OperationType)[keyof typeof OperationType]

/** How a client speaks; `http-publish` is for messages that came over HTTP. */
export const protocols = ['MQTT3', 'MQTT5', 'MQTT3-WS', 'MQTT5-WS', 'http-publish'] as const
export type Protocol = (typeof protocols)[number]
/** A protocol as its place in `protocols`: what the hot path counts by. */
export type ProtocolIndex = 0 | 1 | 2 | 3 | 4

export const OperationError = {
  QuotaExceeded: 'QuotaExceeded',
  AuthenticationError: 'AuthenticationError',
  AuthorizationError: 'AuthorizationError',
  ClientError: 'ClientError',
  ServiceError: 'ServiceError',
} as const
export type OperationError = (typeof OperationError)[keyof typeof OperationError]
export const operationErrors = Object.values(OperationError)

/** Event Grid's Result: whose fault it was. */
export const resultOf = (error: OperationError): 'ClientError' | 'ServiceError' => (error === 'ServiceError' ? 'ServiceError' : 'ClientError')

/** Why a message was not routed (Mqtt.FailedRoutedMessages). */
export const RoutingError = {
  AuthenticationError: 'AuthenticationError',
  TopicNotFoundError: 'TopicNotFoundError',
  TooManyRequests: 'TooManyRequests',
  ServiceError: 'ServiceError',
} as const
export type RoutingError = (typeof RoutingError)[keyof typeof RoutingError]
export const routingErrors = Object.values(RoutingError)

export const directions = ['Inbound', 'Outbound'] as const
export const levelsOfService = ['0', '1', '2'] as const

export function protocolIndex(version: 4 | 5, isWebSocket: boolean): ProtocolIndex {
  if (version === 4) return isWebSocket ? 2 : 0
  return isWebSocket ? 3 : 1
}
